//! Which workloads a policy selects.

use super::report::{Report, quoted};
use crate::model::{FieldPath, LabelTest, NAMESPACE_LABEL, NodeSelector, PodSelector, Requirement, Scope};
use crate::spec::{Kind, LabelOperator, LabelSelector, TracingPolicy};
use std::collections::BTreeSet;

/// Longest name of a label key and longest value, characters.
const LABEL_CHARACTERS_MAX: usize = 63;
/// Longest prefix of a label key (a DNS name), characters.
const PREFIX_CHARACTERS_MAX: usize = 253;

/// The nodes that the document asks for.
pub(super) fn nodes(document: &TracingPolicy, report: &mut Report) -> NodeSelector {
    let at = FieldPath::new("spec.nodeSelector");
    let selector = document.spec.node_selector.as_ref();
    let requirements = selector.map(|selector| requirements(selector, &at, report)).unwrap_or_default();
    if requirements.iter().any(|requirement| requirement.key == NAMESPACE_LABEL) {
        let hint = "nodes are of no namespace; `podSelector` selects pods by theirs";
        report.refuse_with(&at, quoted(NAMESPACE_LABEL), "labels of nodes", hint);
    }
    NodeSelector { requirements }
}

/// The scope that the document asks for; `None` = every process.
pub(super) fn scope(document: &TracingPolicy, report: &mut Report) -> Option<Scope> {
    let spec = &document.spec;
    let at = FieldPath::new("spec");
    let requirements =
        spec.pod_selector.as_ref().map(|selector| requirements(selector, &at.member("podSelector"), report));
    let host = spec.host_selector.is_some();
    match document.kind {
        Kind::TracingPolicy if requirements.is_none() && !host => None,
        Kind::TracingPolicy => {
            if requirements.is_none() {
                let hint =
                    "the policy applies to processes outside pods alone; `podSelector: {}` adds all pods";
                report.warn(&at.member("hostSelector"), "hostSelector without podSelector", hint);
            }
            let pods = requirements.map(|requirements| PodSelector { namespace: None, requirements });
            Some(Scope { pods, host })
        }
        Kind::TracingPolicyNamespaced => {
            if host {
                let found = "hostSelector in a TracingPolicyNamespaced";
                let hint = "processes outside pods are of no namespace; a TracingPolicy can select them";
                report.refuse_with(&at.member("hostSelector"), found, "podSelector", hint);
            }
            // A missing namespace has been refused with the name.
            let namespace = document.metadata.namespace.clone().unwrap_or_default();
            let requirements = requirements.unwrap_or_default();
            Some(Scope { pods: Some(PodSelector { namespace: Some(namespace), requirements }), host: false })
        }
    }
}

fn requirements(selector: &LabelSelector, at: &FieldPath, report: &mut Report) -> BTreeSet<Requirement> {
    let mut found = BTreeSet::new();
    for (key, value) in &selector.match_labels {
        let at = at.member("matchLabels");
        check_key(key, &at, report);
        check_value(value, &at.member(key), report);
        found.insert(Requirement { key: key.clone(), test: LabelTest::In(BTreeSet::from([value.clone()])) });
    }
    for (place, spec) in selector.match_expressions.iter().enumerate() {
        let at = at.member("matchExpressions").index(place);
        check_key(&spec.key, &at.member("key"), report);
        for (place, value) in spec.values.iter().enumerate() {
            check_value(value, &at.member("values").index(place), report);
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
