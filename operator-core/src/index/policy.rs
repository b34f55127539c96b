//! A policy object, read.

use lictor_crds::{API_VERSION, PolicyObject, PolicyStatus};
use lictor_policy::bundle::{Digest, EntryMode, PolicyDocument, RULES_MAX, Shard, document_text, whole_text};
use lictor_policy::model::{FieldPath, HookTarget, Policy, PolicyKey};
use lictor_policy::{Violation, Violations, Warning, load};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kind of a policy object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// `TracingPolicy`
    Cluster,
    /// `TracingPolicyNamespaced`
    Namespaced,
}

impl PolicyKind {
    /// The kind of `P`.
    pub fn of<P: PolicyObject>() -> Self {
        if P::KIND == lictor_crds::TracingPolicy::KIND { Self::Cluster } else { Self::Namespaced }
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => lictor_crds::TracingPolicy::KIND,
            Self::Namespaced => lictor_crds::TracingPolicyNamespaced::KIND,
        }
    }
}

/// A policy object.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyEntry {
    /// Its kind.
    pub kind: PolicyKind,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.resourceVersion`; empty when there is none.
    pub resource_version: String,
    /// Digest of its whole spec, to see whether it has to be read again.
    spec: Digest,
    /// What it says, or why it says nothing.
    pub verdict: Verdict,
    /// Its status in the API, as far as known.
    pub status: Option<PolicyStatus>,
}

/// What a policy object says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A policy.
    Accepted(Box<Accepted>),
    /// None, for these reasons, one line each.
    Rejected(Vec<String>),
}

/// A policy that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What travels to the nodes.
    pub document: Arc<PolicyDocument>,
    /// Digest of its text.
    pub digest: Digest,
    /// Its meaning.
    pub policy: Arc<Policy>,
    /// In which mode.
    pub mode: EntryMode,
    /// What its author will want to know.
    pub warnings: Vec<Warning>,
}

impl PolicyEntry {
    /// Reads an object; what `old` knows of the same spec is not found out again.
    pub(super) fn read<P: PolicyObject>(object: &P, old: Option<&Self>) -> Self {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let spec = Digest::of(object.spec().to_string().as_bytes());
        let verdict = match old.filter(|old| old.uid == uid && old.spec == spec) {
            Some(old) => old.verdict.clone(),
            None => match read_policy(PolicyKind::of::<P>(), &object.key(), object.spec()) {
                Ok(accepted) => Verdict::Accepted(Box::new(accepted)),
                Err(violations) => Verdict::Rejected(violations.iter().map(ToString::to_string).collect()),
            },
        };
        Self {
            kind: PolicyKind::of::<P>(),
            uid,
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            spec,
            verdict,
            status: object.status().cloned(),
        }
    }

    /// The policy, when there is one.
    pub fn accepted(&self) -> Option<&Accepted> {
        match &self.verdict {
            Verdict::Accepted(accepted) => Some(accepted),
            Verdict::Rejected(_) => None,
        }
    }
}

/// Reads a policy: everything that can be said without a node. The webhook and the index both come through here.
///
/// # Errors
/// All violations.
pub fn read_policy(kind: PolicyKind, key: &PolicyKey, spec: &Json) -> Result<Accepted, Violations> {
    let mut violations = super::spelling::misspelled(spec);
    let loaded = load(&whole_text(API_VERSION, kind.name(), key, spec), None);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(found) => {
            violations.extend(unplaced(found));
            return Err(violations);
        }
    };
    let text = document_text(API_VERSION, kind.name(), key, spec);
    let document = PolicyDocument { key: key.clone(), text };
    violations.extend(too_many_rules(&loaded.policy));
    violations.clone().into_result()?;
    if let Err(error) = Shard::new([document.clone()]).encode() {
        return Err(too_large(&document.key, &error.to_string()).into());
    }
    let digest = document.digest();
    Ok(Accepted {
        digest,
        document: Arc::new(document),
        mode: loaded.policy.mode().into(),
        policy: Arc::new(loaded.policy),
        warnings: loaded.warnings.into_iter().map(|warning| Warning(bare(warning.0))).collect(),
    })
}

/// More rules than a hook point has room for; the other limits depend on the node.
fn too_many_rules(policy: &Policy) -> Vec<Violation> {
    let mut rules: BTreeMap<&HookTarget, (usize, &FieldPath)> = BTreeMap::new();
    for hook in policy.hooks() {
        rules.entry(&hook.target).or_insert((0, &hook.at)).0 += hook.rules.len();
    }
    let over = rules.into_values().filter(|(count, _)| *count > RULES_MAX);
    let violation = |(count, at): (usize, &FieldPath)| {
        Violation::new(at, format!("{count} rules (selectors)"), format!("{RULES_MAX} at one hook point"))
    };
    over.map(violation).collect()
}

fn too_large(key: &PolicyKey, what: &str) -> Violation {
    let path = FieldPath::new("spec");
    let mut violation = Violation::new(&path, "a policy that is too large to travel", "");
    // The error names the policy, which whoever reads this knows.
    violation.hint = Some(what.replacen(&format!("policy {key}: "), "", 1));
    violation
}

/// Without lines, which the text that was read has, and what its author wrote has not.
fn unplaced(violations: Violations) -> Vec<Violation> {
    violations.into_iter().map(bare).collect()
}

fn bare(mut violation: Violation) -> Violation {
    violation.line = None;
    violation.policy = None;
    violation
}
