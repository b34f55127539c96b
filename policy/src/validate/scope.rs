//! Which workloads a policy selects.

use super::report::{Report, quoted};
use crate::model::{
    CONTAINER_NAME, CONTAINER_REPO, FieldPath, LabelTest, NAMESPACE_LABEL, NodeSelector, PodSelector,
    Requirement, Scope, WorkloadTest, image_repository,
};
use crate::spec::{Kind, LabelOperator, LabelSelector, PolicySpec, TracingPolicy, WorkloadFilter};
use std::collections::BTreeSet;

/// Longest name of a label key and longest value, characters.
const LABEL_CHARACTERS_MAX: usize = 63;
/// Longest prefix of a label key (a DNS name), characters.
const PREFIX_CHARACTERS_MAX: usize = 253;

/// The nodes that the document asks for.
pub(super) fn nodes(document: &TracingPolicy, report: &mut Report) -> NodeSelector {
    let at = FieldPath::new("spec.nodeSelector");
    let selector = document.spec.node_selector.as_ref();
    let requirements = selector.map(|selector| labels(selector, &at, report)).unwrap_or_default();
    if requirements.iter().any(|requirement| requirement.key == NAMESPACE_LABEL) {
        let hint = "nodes are of no namespace; `podSelector` selects pods by theirs";
        report.refuse_with(&at, quoted(NAMESPACE_LABEL), "labels of nodes", hint);
    }
    NodeSelector { requirements }
}

/// The scope that the document asks for; `None` = every process.
pub(super) fn scope(document: &TracingPolicy, report: &mut Report) -> Option<Scope> {
    let at = FieldPath::new("spec");
    let selected = WorkloadFilter::from(&document.spec);
    let asked = selectors(document.kind, &selected, &at, report);
    match document.kind {
        Kind::TracingPolicy => {
            if asked.as_ref().is_some_and(|scope| scope.pods.is_none()) {
                let hint =
                    "the policy applies to processes outside pods alone; `podSelector: {}` adds all pods";
                report.warn(&at.member("hostSelector"), "hostSelector without podSelector", hint);
            }
            asked
        }
        Kind::TracingPolicyNamespaced => {
            // A missing namespace has been refused with the name.
            let namespace = Some(document.metadata.namespace.clone().unwrap_or_default());
            let pods = asked.and_then(|scope| scope.pods).unwrap_or_else(PodSelector::all);
            Some(Scope { pods: Some(PodSelector { namespace, ..pods }), host: false })
        }
    }
}

/// The workloads that a selector is for; `None` = all that its policy applies to. `within` is the policy's scope.
pub(super) fn workloads(
    kind: Kind,
    filter: &WorkloadFilter,
    within: Option<&Scope>,
    at: &FieldPath,
    report: &mut Report,
) -> Option<WorkloadTest> {
    let scope = selectors(kind, filter, at, report)?;
    if let Some(policy) = within
        && !(scope.host && policy.host || scope.pods.is_some() && policy.pods.is_some())
    {
        let found = format!("{scope}, where the policy applies to {policy}");
        report.refuse_with(at, found, "workloads that the policy applies to", "such a selector never holds");
    }
    Some(WorkloadTest { at: at.clone(), scope })
}

impl From<&PolicySpec> for WorkloadFilter {
    fn from(spec: &PolicySpec) -> Self {
        Self {
            pod_selector: spec.pod_selector.clone(),
            container_selector: spec.container_selector.clone(),
            host_selector: spec.host_selector,
        }
    }
}

/// What three selectors select together; `None` = every process.
fn selectors(kind: Kind, filter: &WorkloadFilter, at: &FieldPath, report: &mut Report) -> Option<Scope> {
    let WorkloadFilter { pod_selector, container_selector, host_selector } = filter;
    let pods = pod_selector.as_ref().map(|selector| labels(selector, &at.member("podSelector"), report));
    let containers = container_selector
        .as_ref()
        .map(|selector| container_labels(selector, &at.member("containerSelector"), report));
    if host_selector.is_some() && kind == Kind::TracingPolicyNamespaced {
        let found = "hostSelector in a TracingPolicyNamespaced";
        let hint = "processes outside pods are of no namespace; a TracingPolicy can select them";
        report.refuse_with(&at.member("hostSelector"), found, "podSelector, containerSelector", hint);
    }
    let host = host_selector.is_some();
    let pods = (pods.is_some() || containers.is_some()).then(|| PodSelector {
        requirements: pods.unwrap_or_default(),
        containers: containers.unwrap_or_default(),
        ..PodSelector::all()
    });
    (pods.is_some() || host).then_some(Scope { pods, host })
}

/// What a selector of pods or nodes asks for.
fn labels(selector: &LabelSelector, at: &FieldPath, report: &mut Report) -> BTreeSet<Requirement> {
    requirements(selector, check_key, |_, value, at, report| check_value(value, at, report), at, report)
}

/// What a selector of containers asks for. Images may be named as short as pods name them.
fn container_labels(selector: &LabelSelector, at: &FieldPath, report: &mut Report) -> BTreeSet<Requirement> {
    let found = requirements(selector, check_container_key, check_container_value, at, report);
    let in_full = |requirement: Requirement| {
        if requirement.key != CONTAINER_REPO {
            return requirement;
        }
        let names = |values: BTreeSet<String>| values.iter().map(|value| image_repository(value)).collect();
        let test = match requirement.test {
            LabelTest::In(values) => LabelTest::In(names(values)),
            LabelTest::NotIn(values) => LabelTest::NotIn(names(values)),
            test @ (LabelTest::Exists | LabelTest::DoesNotExist) => test,
        };
        Requirement { test, ..requirement }
    };
    found.into_iter().map(in_full).collect()
}

/// Says what is wrong with a key.
type CheckKey = fn(&str, &FieldPath, &mut Report);
/// Says what is wrong with a value of a key.
type CheckValue = fn(&str, &str, &FieldPath, &mut Report);

fn requirements(
    selector: &LabelSelector,
    check_key: CheckKey,
    check_value: CheckValue,
    at: &FieldPath,
    report: &mut Report,
) -> BTreeSet<Requirement> {
    let mut found = BTreeSet::new();
    for (key, value) in &selector.match_labels {
        let at = at.member("matchLabels");
        check_key(key, &at, report);
        check_value(key, value, &at.member(key), report);
        found.insert(Requirement { key: key.clone(), test: LabelTest::In(BTreeSet::from([value.clone()])) });
    }
    for (place, spec) in selector.match_expressions.iter().enumerate() {
        let at = at.member("matchExpressions").index(place);
        check_key(&spec.key, &at.member("key"), report);
        for (place, value) in spec.values.iter().enumerate() {
            check_value(&spec.key, value, &at.member("values").index(place), report);
        }
        let values: BTreeSet<String> = spec.values.iter().cloned().collect();
        let test = match spec.operator {
            LabelOperator::In => LabelTest::In(values),
            LabelOperator::NotIn => LabelTest::NotIn(values),
            LabelOperator::Exists => LabelTest::Exists,
            LabelOperator::DoesNotExist => LabelTest::DoesNotExist,
        };
        match (spec.operator, spec.values.is_empty()) {
            (LabelOperator::In | LabelOperator::NotIn, true) => {
                report.refuse(&at.member("values"), "no values", "at least one value for In and NotIn");
            }
            (LabelOperator::Exists | LabelOperator::DoesNotExist, false) => {
                report.refuse(&at.member("values"), "values", "none for Exists and DoesNotExist");
            }
            _ => {}
        }
        found.insert(Requirement { key: spec.key.clone(), test });
    }
    found
}

/// Letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    end(bytes.first())
        && end(bytes.last())
        && text.len() <= LABEL_CHARACTERS_MAX
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn check_key(key: &str, at: &FieldPath, report: &mut Report) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let part = |part: &str| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(alphanumeric)
            && bytes.last().copied().is_some_and(alphanumeric)
            && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
    };
    let good_prefix =
        prefix.is_none_or(|prefix| prefix.len() <= PREFIX_CHARACTERS_MAX && prefix.split('.').all(part));
    if key != NAMESPACE_LABEL && !(good_prefix && is_name(name)) {
        let allowed = format!(
            "a label key: a name of at most {LABEL_CHARACTERS_MAX} letters, digits, `-`, `_` and `.`, perhaps behind a DNS name and `/`; or {NAMESPACE_LABEL}"
        );
        report.refuse(at, quoted(key), allowed);
    }
}

fn check_value(value: &str, at: &FieldPath, report: &mut Report) {
    if !value.is_empty() && !is_name(value) {
        let allowed = format!(
            "a label value: at most {LABEL_CHARACTERS_MAX} letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit"
        );
        report.refuse(at, quoted(value), allowed);
    }
}

fn check_container_key(key: &str, at: &FieldPath, report: &mut Report) {
    if ![CONTAINER_NAME, CONTAINER_REPO].contains(&key) {
        let hint = "containers have no labels; `podSelector` selects pods by theirs";
        report.refuse_with(at, quoted(key), format!("`{CONTAINER_NAME}`, `{CONTAINER_REPO}`"), hint);
    }
}

fn check_container_value(key: &str, value: &str, at: &FieldPath, report: &mut Report) {
    match key {
        CONTAINER_NAME if !is_container_name(value) => {
            let allowed = format!(
                "the name of a container: at most {LABEL_CHARACTERS_MAX} lower-case letters, digits and `-`, a letter or digit at both ends"
            );
            report.refuse(at, quoted(value), allowed);
        }
        CONTAINER_REPO if !is_repository(value) => {
            let allowed = "an image without tag and digest, as in `docker.io/library/nginx`";
            report.refuse(at, quoted(value), allowed);
        }
        _ => {}
    }
}

/// A DNS label (RFC 1123), as the API server asks of containers' names.
fn is_container_name(text: &str) -> bool {
    is_name(text)
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Longest repository, characters (github.com/distribution/reference: `NameTotalLengthMax`).
const REPOSITORY_CHARACTERS_MAX: usize = 255;

/// Parts with slashes between, the first of which may be a host with a port.
fn is_repository(text: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        alphanumeric(bytes.first())
            && alphanumeric(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    };
    let without_port = match text.split_once('/').and_then(|(host, rest)| Some((host.split_once(':')?, rest)))
    {
        Some(((host, digits), rest))
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            format!("{host}/{rest}")
        }
        _ => text.to_owned(),
    };
    text.len() <= REPOSITORY_CHARACTERS_MAX && without_port.split('/').all(part)
}
