//! Filters on the process: its program, its id, its namespaces, its capabilities.

use super::names::{self, CAPABILITIES};
use super::number::{self, Span};
use super::report::{Report, quoted};
use super::text::{self, Subject};
use crate::model::{
    BinaryOf, BinaryTest, CapabilitySet, CapabilityTest, FieldPath, Namespace, NamespaceChangeTest,
    NamespaceTest, NamespaceValue, PidTest, Predicate, TextMatch,
};
use crate::spec::{
    BinaryFilter, BinaryOperator, CapabilityFilter, CapabilitySetName, MembershipOperator,
    NamespaceChangeFilter, NamespaceFilter, NamespaceName, PidFilter,
};
use crate::violation::did_you_mean;

/// A filter on the program that the process runs, or its `parent`.
pub(super) fn binary(
    filter: &BinaryFilter,
    parent: bool,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let (part, negated) = match filter.operator {
        BinaryOperator::In => (TextMatch::Equal, false),
        BinaryOperator::NotIn => (TextMatch::Equal, true),
        BinaryOperator::Prefix => (TextMatch::Prefix, false),
        BinaryOperator::NotPrefix => (TextMatch::Prefix, true),
        BinaryOperator::Postfix => (TextMatch::Postfix, false),
        BinaryOperator::NotPostfix => (TextMatch::Postfix, true),
    };
    some_values(&filter.values, at, report)?;
    let test = text::test(Subject::Path, part, negated, &filter.values, at, report)?;
    let of = match (filter.follow_children, parent) {
        (false, false) => BinaryOf::Process,
        (false, true) => BinaryOf::Parent,
        (true, _) => lineage(part, parent, at, report)?,
    };
    Some(Predicate::Binary(BinaryTest { at: at.clone(), of, test }))
}

/// Says where `followChildren` cannot be.
fn lineage(part: TextMatch, parent: bool, at: &FieldPath, report: &mut Report) -> Option<BinaryOf> {
    let at = at.member("followChildren");
    if parent {
        let hint = "a `matchBinaries` with it holds for the children of those programs, too";
        report.refuse_with(&at, "true, for the program of the parent", "false, or `matchBinaries`", hint);
        return None;
    }
    if part != TextMatch::Equal {
        let hint = "of what ran before, whole paths are remembered, not their beginnings and ends";
        report.refuse_with(&at, "true, with a beginning or an end of paths", "operators In, NotIn", hint);
        return None;
    }
    Some(BinaryOf::Lineage)
}

pub(super) fn pid(filter: &PidFilter, at: &FieldPath, report: &mut Report) -> Option<Predicate> {
    some_values(&filter.values, at, report)?;
    Some(Predicate::Pid(PidTest {
        at: at.clone(),
        values: filter.values.clone(),
        negated: negated(filter.operator),
        in_namespace: filter.is_namespace_pid,
        follow_forks: filter.follow_forks,
    }))
}

pub(super) fn namespace(filter: &NamespaceFilter, at: &FieldPath, report: &mut Report) -> Option<Predicate> {
    const NUMBERS: Span = Span { low: 1, high: u32::MAX as i128 };
    some_values(&filter.values, at, report)?;
    let mut values = Vec::new();
    for (place, value) in filter.values.iter().enumerate() {
        if value == "host_ns" {
            values.push(NamespaceValue::Host);
            continue;
        }
        let inode = number::parse(value).filter(|number| NUMBERS.contains(*number)).map(u32::try_from);
        if let Some(Ok(inode)) = inode {
            values.push(NamespaceValue::Inode(inode));
        } else {
            let at = at.member("values").index(place);
            report.refuse(&at, quoted(value), format!("host_ns, or {NUMBERS}: that of the namespace"));
        }
    }
    (values.len() == filter.values.len()).then(|| {
        Predicate::Namespace(NamespaceTest {
            at: at.clone(),
            namespace: kernel_namespace(filter.namespace),
            values,
            negated: negated(filter.operator),
        })
    })
}

fn kernel_namespace(name: NamespaceName) -> Namespace {
    match name {
        NamespaceName::Uts => Namespace::Uts,
        NamespaceName::Ipc => Namespace::Ipc,
        NamespaceName::Mnt => Namespace::Mnt,
        NamespaceName::Pid => Namespace::Pid,
        NamespaceName::PidForChildren => Namespace::PidForChildren,
        NamespaceName::Net => Namespace::Net,
        NamespaceName::Time => Namespace::Time,
        NamespaceName::TimeForChildren => Namespace::TimeForChildren,
        NamespaceName::Cgroup => Namespace::Cgroup,
        NamespaceName::User => Namespace::User,
    }
}

pub(super) fn namespace_change(
    filter: &NamespaceChangeFilter,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    some_values(&filter.values, at, report)?;
    let named: Vec<Namespace> = filter.values.iter().map(|name| kernel_namespace(*name)).collect();
    let negated = negated(filter.operator);
    let any_of: Vec<Namespace> =
        Namespace::ALL.into_iter().filter(|namespace| named.contains(namespace) != negated).collect();
    if any_of.is_empty() {
        report.refuse(
            &at.member("values"),
            "every kind of namespace, for NotIn",
            "some of them: one is to be left",
        );
        return None;
    }
    Some(Predicate::NamespaceChange(NamespaceChangeTest { at: at.clone(), any_of }))
}

/// The set of these capabilities; says which there are not.
pub(super) fn capabilities(values: &[String], at: &FieldPath, report: &mut Report) -> u64 {
    let mut mask = 0;
    for (place, name) in values.iter().enumerate() {
        match names::capability(name) {
            Some(bit) => mask |= 1 << bit,
            None => unknown_capability(name, &at.member("values").index(place), report),
        }
    }
    mask
}

/// A filter on the capabilities that the process has, or on those that have changed.
pub(super) fn capability(
    filter: &CapabilityFilter,
    at: &FieldPath,
    report: &mut Report,
) -> Option<CapabilityTest> {
    some_values(&filter.values, at, report)?;
    let before = report.refused;
    let mask = capabilities(&filter.values, at, report);
    let set = match filter.set {
        CapabilitySetName::Effective => CapabilitySet::Effective,
        CapabilitySetName::Permitted => CapabilitySet::Permitted,
        CapabilitySetName::Inheritable => CapabilitySet::Inheritable,
    };
    (report.refused == before).then(|| CapabilityTest {
        at: at.clone(),
        set,
        mask,
        negated: negated(filter.operator),
        in_namespace: filter.is_namespace_capability,
    })
}

pub(super) fn unknown_capability(name: &str, at: &FieldPath, report: &mut Report) {
    let allowed = "the name of a capability, as CAP_SYS_ADMIN";
    // Looking for near names takes time, and nobody will read them.
    if report.violations.is_full() {
        report.refuse(at, quoted(name), allowed);
        return;
    }
    let with_prefix = format!("CAP_{}", name.to_uppercase());
    let hint = if names::capability(&with_prefix).is_some() {
        Some(format!("did you mean `{with_prefix}`?"))
    } else {
        did_you_mean(name, CAPABILITIES)
    };
    match hint {
        Some(hint) => report.refuse_with(at, quoted(name), allowed, hint),
        None => report.refuse(at, quoted(name), allowed),
    }
}

fn negated(operator: MembershipOperator) -> bool {
    match operator {
        MembershipOperator::In => false,
        MembershipOperator::NotIn => true,
    }
}

/// A filter without values says nothing.
pub(super) fn some_values<T>(values: &[T], at: &FieldPath, report: &mut Report) -> Option<()> {
    if values.is_empty() {
        report.refuse(&at.member("values"), "no value", "at least one");
        return None;
    }
    Some(())
}
