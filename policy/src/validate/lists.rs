//! What a policy says once for all its hooks: lists, macros, and which workloads it applies to.

use super::report::{Report, quoted};
use crate::model::{FieldPath, FunctionPattern, Scope};
use crate::spec::{Kind, KprobeSpec, ListKind, ListSpec, PATTERN_BYTES_MAX, SelectorSpec, TracingPolicy};
use crate::violation::did_you_mean;
use lictor_node_worker_ebpf::LICTOR_MAX_HOOKS;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// Longest policy when everything is written out that its lists and macros stand for, bytes as JSON: a document of a
/// mebibyte could otherwise stand for more than memory holds. A node's hook points with a kilobyte for each rule.
const WRITTEN_OUT_MAX: usize = 16 << 20;

/// What a selector weighs besides its texts, bytes.
const SELECTOR_BYTES: usize = 256;

/// The lists and macros of a policy, and which workloads it applies to.
pub(super) struct Shared<'a> {
    lists: &'a [ListSpec],
    macros: &'a BTreeMap<String, SelectorSpec>,
    /// Lists and macros that something uses, with their kind.
    used: RefCell<BTreeSet<(&'static str, String)>>,
    /// Bytes that may still be written out.
    left: Cell<usize>,
    kind: Kind,
    scope: Option<&'a Scope>,
    has_enforcer: bool,
}

impl<'a> Shared<'a> {
    /// Says what is wrong with the lists and macros themselves. `scope` has the workloads that the policy applies to.
    pub(super) fn new(
        document: &'a TracingPolicy,
        scope: Option<&'a Scope>,
        at: &FieldPath,
        report: &mut Report,
    ) -> Self {
        let spec = &document.spec;
        for (place, list) in spec.lists.iter().enumerate() {
            check_list(list, &spec.lists[..place], &at.member("lists").index(place), report);
        }
        for (name, selector) in &spec.selectors_macros {
            let at = at.member("selectorsMacros").member(name);
            if name.is_empty() {
                report.refuse(&at, "a macro without a name", "a name");
            }
            if !selector.macros.is_empty() {
                let hint = "write their filters into this macro";
                report.refuse_with(
                    &at.member("macros"),
                    "macros within a macro",
                    "filters and actions",
                    hint,
                );
            }
        }
        Self {
            lists: &spec.lists,
            macros: &spec.selectors_macros,
            used: RefCell::default(),
            left: Cell::new(WRITTEN_OUT_MAX),
            kind: document.kind,
            scope,
            has_enforcer: !spec.enforcers.is_empty(),
        }
    }

    /// Whether there are calls that carry out notifications.
    pub(super) fn has_enforcer(&self) -> bool {
        self.has_enforcer
    }

    /// The policy's kind.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The workloads that the policy applies to; `None` = every process.
    pub(super) fn scope(&self) -> Option<&'a Scope> {
        self.scope
    }

    /// Warns of what nothing uses, once all hooks have been looked at.
    pub(super) fn warn_about_unused(&self, at: &FieldPath, report: &mut Report) {
        let used = self.used.borrow();
        for (place, list) in self.lists.iter().enumerate() {
            if !used.contains(&("list", list.name.clone())) {
                let at = at.member("lists").index(place);
                report.warn(
                    &at,
                    format!("the list {}, which nothing uses", quoted(&list.name)),
                    "it has no effect",
                );
            }
        }
        for name in self.macros.keys() {
            if !used.contains(&("macro", name.clone())) {
                let at = at.member("selectorsMacros").member(name);
                report.warn(
                    &at,
                    format!("the macro {}, which no selector uses", quoted(name)),
                    "it has no effect",
                );
            }
        }
    }

    /// The list called `name` and where it stands; says so when there is none.
    pub(super) fn list(
        &self,
        name: &str,
        at: &FieldPath,
        report: &mut Report,
    ) -> Option<(&'a ListSpec, FieldPath)> {
        let found = self.lists.iter().position(|list| list.name == name);
        let Some(place) = found else {
            let names: BTreeSet<&str> = self.lists.iter().map(|list| list.name.as_str()).collect();
            let names = names.into_iter().filter(|name| !name.is_empty());
            unknown("list", name, names.collect(), at, report);
            return None;
        };
        let list = &self.lists[place];
        self.used.borrow_mut().insert(("list", list.name.clone()));
        Some((list, FieldPath::new("spec.lists").index(place)))
    }

    /// The list of functions of the kernel that a hook's `call` names.
    fn generated(&self, call: &str) -> Option<&'a ListSpec> {
        let name = call.strip_prefix("list:")?;
        self.lists.iter().find(|list| list.name == name && list.kind == Some(ListKind::GeneratedFtrace))
    }

    /// Whether a hook's `call` names all system calls.
    pub(super) fn is_every_syscall(&self, call: &str) -> bool {
        let every = |list: &&ListSpec| list.kind == Some(ListKind::GeneratedSyscalls);
        let name = call.strip_prefix("list:");
        name.is_some_and(|name| self.lists.iter().filter(every).any(|list| list.name == name))
    }

    /// Whether a hook's `call` names functions of the kernel by a pattern.
    pub(super) fn is_generated(&self, call: &str) -> bool {
        self.generated(call).is_some()
    }

    /// That pattern; `None` = there is none, or what is wrong with it has been said.
    pub(super) fn pattern(&self, call: &str) -> Option<FunctionPattern> {
        FunctionPattern::new(self.generated(call)?.pattern.as_deref()?).ok()
    }

    /// The macro called `name` and where it stands; says so when there is none.
    pub(super) fn selector(
        &self,
        name: &str,
        at: &FieldPath,
        report: &mut Report,
    ) -> Option<(&'a SelectorSpec, FieldPath)> {
        let Some((name, selector)) = self.macros.get_key_value(name) else {
            unknown("macro", name, self.macros.keys().map(String::as_str).collect(), at, report);
            return None;
        };
        self.used.borrow_mut().insert(("macro", name.clone()));
        let bytes = serde_json::to_string(selector).map_or(WRITTEN_OUT_MAX, |text| text.len());
        self.write_out(bytes, at, report)?;
        Some((selector, FieldPath::new("spec.selectorsMacros").member(name)))
    }

    /// Takes room for so many bytes that are written out.
    pub(super) fn write_out(&self, bytes: usize, at: &FieldPath, report: &mut Report) -> Option<()> {
        if let Some(left) = self.left.get().checked_sub(bytes) {
            self.left.set(left);
            return Some(());
        }
        // Said once: whatever comes next has no room either.
        if self.left.replace(0) > 0 {
            let found =
                format!("a use with which lists and macros stand for more than {WRITTEN_OUT_MAX} bytes");
            report.refuse_with(at, found, format!("{WRITTEN_OUT_MAX} bytes"), "make several policies of it");
        }
        // Nothing is left out without a refusal.
        report.refused += 1;
        None
    }

    /// The hooks that a hook stands for: itself, or one for each value of its list. `None` = it was refused.
    pub(super) fn hooks<'b>(
        &self,
        spec: &'b KprobeSpec,
        at: &FieldPath,
        report: &mut Report,
    ) -> Option<Vec<Cow<'b, KprobeSpec>>> {
        let Some(name) = spec.call.strip_prefix("list:") else { return Some(vec![Cow::Borrowed(spec)]) };
        let at = at.member("call");
        let (list, _) = self.list(name, &at, report)?;
        if matches!(list.kind, Some(ListKind::GeneratedFtrace | ListKind::GeneratedSyscalls)) {
            // Which these are, each node finds out.
            return Some(vec![Cow::Borrowed(spec)]);
        }
        let count = list.values.len();
        // A node has no room for more hook points than this.
        if count > LICTOR_MAX_HOOKS as usize {
            let found = format!("{}, a list of {count}", quoted(&spec.call));
            report.refuse(
                &at,
                found,
                format!("lists of at most {LICTOR_MAX_HOOKS} functions or system calls"),
            );
            return None;
        }
        let bytes = serde_json::to_string(spec).map_or(WRITTEN_OUT_MAX, |text| text.len());
        self.write_out((bytes + spec.selectors.len() * SELECTOR_BYTES) * count, &at, report)?;
        let syscall = spec.syscall || list.kind == Some(ListKind::Syscalls);
        let hook = |value: &String| Cow::Owned(KprobeSpec { call: value.clone(), syscall, ..spec.clone() });
        Some(list.values.iter().map(hook).collect())
    }
}

fn unknown(what: &str, name: &str, names: Vec<&str>, at: &FieldPath, report: &mut Report) {
    let allowed = if names.is_empty() {
        format!("a {what} of the policy, which has none")
    } else {
        format!("a {what} of the policy: {}", names.join(", "))
    };
    let found = format!("the {what} {}", quoted(name));
    match did_you_mean(name, names) {
        Some(hint) => report.refuse_with(at, found, allowed, hint),
        None => report.refuse(at, found, allowed),
    }
}

fn check_list(list: &ListSpec, earlier: &[ListSpec], at: &FieldPath, report: &mut Report) {
    let twice = earlier.iter().any(|other| other.name == list.name);
    if twice || list.name.is_empty() {
        let found =
            if twice { format!("{} a second time", quoted(&list.name)) } else { "an empty name".into() };
        report.refuse(&at.member("name"), found, "a name that no other list has");
    }
    match (list.kind, &list.pattern) {
        (Some(ListKind::GeneratedFtrace), pattern) => generated(list, pattern.as_deref(), at, report),
        (Some(ListKind::GeneratedSyscalls), None) => {
            if !list.values.is_empty() {
                let allowed = "none: all system calls are the values";
                report.refuse(&at.member("values"), "values of what is generated", allowed);
            }
        }
        (_, Some(pattern)) => {
            report.refuse(&at.member("pattern"), quoted(pattern), "a list of type generated_ftrace");
        }
        (_, None) if list.values.is_empty() => {
            report.refuse(&at.member("values"), "no value", "at least one");
        }
        (_, None) => {}
    }
    let mut seen = BTreeSet::new();
    for (place, value) in list.values.iter().enumerate() {
        if value.starts_with("list:") {
            let at = at.member("values").index(place);
            report.refuse(&at, quoted(value), "values: a list stands in no other list");
        }
        if !seen.insert(value) {
            let at = at.member("values").index(place);
            report.refuse(&at, format!("{} a second time", quoted(value)), "each value once");
        }
    }
}

/// A list whose values are those names of the kernel that its pattern fits.
fn generated(list: &ListSpec, pattern: Option<&str>, at: &FieldPath, report: &mut Report) {
    if !list.values.is_empty() {
        report.refuse(
            &at.member("values"),
            "values beside a pattern",
            "none: the kernel's functions are the values",
        );
    }
    let at = at.member("pattern");
    let allowed = format!("a regular expression of at most {PATTERN_BYTES_MAX} bytes, as ^ksys_");
    match pattern {
        None => report.refuse(&at, "nothing", allowed),
        Some(pattern) if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX => {
            report.refuse(&at, format!("{} bytes", pattern.len()), allowed);
        }
        Some(pattern) => {
            if let Err(error) = FunctionPattern::new(pattern) {
                report.refuse_with(&at, quoted(pattern), allowed, error);
            }
        }
    }
}
