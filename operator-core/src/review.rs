//! What the webhook says about a policy.

use crate::index::{Accepted, Index, PolicyKind, read_policy};
use lictor_policy::bundle::{Digest, KernelNames, POLICIES_MAX};
use lictor_policy::model::{LabelTest, PolicyKey, Requirement};
use lictor_policy::{Violation, Violations};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most warnings of one answer, and characters of each: clients cut what is longer.
const WARNINGS_MAX: usize = 20;
const WARNING_CHARS_MAX: usize = 250;

/// Kernels that are named in one warning.
const KERNELS_NAMED_MAX: usize = 5;

/// What the webhook knows of the cluster: taken from the index now and then, so that requests do not wait for it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Policies that exist.
    pub policies: BTreeSet<PolicyKey>,
    /// Labels of nodes that reported, and their kernel.
    pub nodes: Vec<(BTreeMap<String, String>, Digest)>,
    /// Names of the kernels.
    pub kernels: BTreeMap<Digest, Arc<KernelNames>>,
}

impl View {
    /// The view of an index.
    pub fn of(index: &Index) -> Self {
        let nodes = index.nodes().iter().filter_map(|(name, node)| {
            let report = index.reports().get(name)?;
            let kernel = report.report.kernel.names.as_ref()?.parse().ok()?;
            Some((node.labels.clone(), kernel))
        });
        Self {
            policies: index.policies().keys().cloned().collect(),
            nodes: nodes.collect(),
            kernels: index.kernels().clone(),
        }
    }
}

/// What is wrong with a policy, and what its author will want to know.
pub fn review(kind: PolicyKind, key: &PolicyKey, spec: &Json, view: &View) -> (Violations, Vec<String>) {
    let accepted = match read_policy(kind, key, spec) {
        Ok(accepted) => accepted,
        Err(violations) => return (violations, Vec::new()),
    };
    let mut violations = Violations::default();
    let mut warnings: Vec<String> = accepted.warnings.iter().map(ToString::to_string).collect();
    if !view.policies.contains(key) && view.policies.len() >= POLICIES_MAX {
        violations.push(Violation::new(
            &lictor_policy::model::FieldPath::new("metadata.name"),
            format!("{} other policies", view.policies.len()),
            format!("{POLICIES_MAX} policies in a cluster"),
        ));
    }
    kernels(&accepted, view, &mut violations, &mut warnings);
    let left_out = warnings.len().saturating_sub(WARNINGS_MAX);
    warnings.truncate(WARNINGS_MAX);
    if left_out > 0 {
        warnings.push(format!("and {left_out} more"));
    }
    (violations, warnings.into_iter().map(cut).collect())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(WARNING_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Looks for the policy's hooks in the kernels of the nodes that are to enforce it.
fn kernels(accepted: &Accepted, view: &View, violations: &mut Violations, warnings: &mut Vec<String>) {
    let mut nodes_of: BTreeMap<&Digest, usize> = BTreeMap::new();
    for (labels, kernel) in &view.nodes {
        if view.kernels.contains_key(kernel) && accepted.policy.nodes().selects(labels) {
            *nodes_of.entry(kernel).or_default() += 1;
        }
    }
    let nodes: usize = nodes_of.values().sum();
    // What is missing, on how many nodes, with which kernels.
    let mut missing: BTreeMap<(String, String), (Violation, usize, BTreeSet<&str>)> = BTreeMap::new();
    for (digest, count) in &nodes_of {
        let Some(kernel) = view.kernels.get(*digest) else { continue };
        for violation in kernel.missing(&accepted.policy) {
            let place = (violation.path.to_string(), violation.found.clone());
            let entry = missing.entry(place).or_insert_with(|| (violation.clone(), 0, BTreeSet::new()));
            // The name that was meant may be in one kernel only.
            entry.0.hint = entry.0.hint.take().or(violation.hint);
            entry.1 += count;
            entry.2.insert(&kernel.release);
        }
    }
    for (mut violation, count, releases) in missing.into_values() {
        violation.policy = None;
        let named: Vec<&str> = releases.iter().copied().take(KERNELS_NAMED_MAX).collect();
        let more = releases.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let kernels = format!("{}{more}", named.join(", "));
        if count == nodes {
            violation.allowed = match nodes {
                1 => format!("what the kernel of the only node in scope has ({kernels})"),
                _ => format!("what the kernels of the {nodes} nodes in scope have ({kernels})"),
            };
            violations.push(violation);
        } else {
            let hint = violation.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            warnings.push(format!(
                "{}: {} on {count} of {nodes} nodes (kernel {kernels}): they will not enforce this policy{hint}",
                violation.path,
                violation.found.trim_start_matches("the ")
            ));
        }
    }
    for Requirement { key, test } in &accepted.policy.nodes().requirements {
        if matches!(test, LabelTest::In(_))
            && !view.nodes.is_empty()
            && view.nodes.iter().all(|(labels, _)| !labels.contains_key(key))
        {
            warnings.push(format!("spec.nodeSelector: no node has the label `{key}` now"));
        }
    }
}

#[cfg(test)]
mod tests;
