//! The node's assignment as a source of policies. No I/O.
//!
//! What a cluster offers is taken whole or not at all: list and texts have the digests that they are asked for by, and the
//! serial rises. What is refused is told, and what the node holds stays.

use crate::source::directory::Change;
use crate::source::set::FileRead;
use lictor_policy::bundle::{Assigned, Assignment, BundleError, Digest, EntryMode, Held, Shard};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Changes when older files can no longer be read.
const FORMAT: u32 = 1;

/// An assignment that was verified, with the texts of its policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    format: u32,
    /// Serial and digest.
    pub held: Held,
    /// Its policies.
    pub policies: Vec<Assigned>,
}

impl Accepted {
    /// The assignment with the texts of its shards, which are verified by their digests already.
    ///
    /// # Errors
    /// A shard lacks a policy.
    pub fn new(
        held: Held,
        assignment: &Assignment,
        shards: &BTreeMap<Digest, Shard>,
    ) -> Result<Self, BundleError> {
        Ok(Self { format: FORMAT, held, policies: assignment.assigned(shards)? })
    }

    /// Whether what was kept on disk is what was accepted once.
    pub fn is_whole(&self) -> bool {
        let list = Assignment::new(self.policies.iter().map(|policy| policy.entry.clone()));
        self.format == FORMAT && list.encode().is_ok_and(|(digest, _)| digest == self.held.assignment)
    }
}

/// The document as this node is to enforce it, and its name among the others.
fn source(assigned: &Assigned) -> (String, String) {
    let text = match assigned.entry.mode {
        EntryMode::Enforce => assigned.text.clone(),
        EntryMode::Monitor => monitored(&assigned.text),
    };
    (name(assigned), text)
}

/// What the policy is called in the status, in place of a file: its name, with its namespace before a `/`.
pub fn name(assigned: &Assigned) -> String {
    assigned.entry.key().to_string()
}

/// The same policy in monitor mode. Texts of an operator are JSON; any other is left as it is, and then read as what it is.
fn monitored(text: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<serde_json::Value>(text) else { return text.to_owned() };
    if let Some(spec) = document.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
        spec.insert("mode".to_owned(), "monitor".into());
        if let Some(options) = spec.get_mut("options").and_then(serde_json::Value::as_array_mut) {
            options.retain(|option| option.get("name").is_none_or(|name| name != "policy-mode"));
        }
    }
    document.to_string()
}

/// Where accepted assignments wait for the thread that applies them, and what is wrong with the latest offer.
#[derive(Debug, Default)]
pub struct Inbox {
    inner: Mutex<Latest>,
}

#[derive(Debug, Default, Clone)]
struct Latest {
    accepted: Option<Arc<Accepted>>,
    problem: Option<String>,
}

impl Inbox {
    fn latest(&self) -> Latest {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An offer was accepted.
    pub fn accept(&self, accepted: Accepted) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Latest { accepted: Some(Arc::new(accepted)), problem: None };
    }

    /// The latest offer was not; `None` = it is what the node holds.
    pub fn problem(&self, problem: Option<String>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).problem = problem;
    }

    /// What the node holds.
    pub fn held(&self) -> Option<Held> {
        self.latest().accepted.map(|accepted| accepted.held)
    }
}

/// The assignment as a source: what changed since it was last asked.
#[derive(Debug)]
pub struct AssignmentSource {
    inbox: Arc<Inbox>,
    current: Option<Arc<Accepted>>,
    seen: BTreeMap<String, String>,
}

impl AssignmentSource {
    /// Takes what `inbox` has.
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, current: None, seen: BTreeMap::new() }
    }

    /// What has changed; `None` = no assignment has come yet, which is not the same as one without policies.
    pub fn scan(&mut self) -> Option<Vec<Change>> {
        let accepted = self.inbox.latest().accepted?;
        let now: BTreeMap<String, String> = accepted.policies.iter().map(source).collect();
        let removed = self.seen.keys().filter(|name| !now.contains_key(*name));
        let mut changes: Vec<Change> = removed.map(|name| Change::Removed { file: name.clone() }).collect();
        for (name, text) in &now {
            if self.seen.get(name) != Some(text) {
                changes.push(Change::Read { file: name.clone(), read: FileRead::Text(text.clone()) });
            }
        }
        self.seen = now;
        self.current = Some(accepted);
        Some(changes)
    }

    /// Whether the assignment has a policy of this name.
    pub fn has(&self, name: &str) -> bool {
        self.seen.contains_key(name)
    }

    /// The next scan tells everything.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// The assignment that the last scan was about.
    pub fn current(&self) -> Option<&Arc<Accepted>> {
        self.current.as_ref()
    }

    /// What is wrong with the latest offer.
    pub fn problem(&self) -> Option<String> {
        self.inbox.latest().problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_policy::bundle::{AssignmentEntry, PolicyDocument, document_text};
    use lictor_policy::model::{Mode, PolicyKey};

    fn key(name: &str) -> PolicyKey {
        PolicyKey { namespace: None, name: name.to_owned() }
    }

    fn text(name: &str, hook: &str) -> String {
        let spec = serde_json::json!({"lsmhooks": [{"hook": hook}], "options": [{"name": "policy-mode", "value": "enforce"}]});
        document_text("lictor.io/v1alpha1", "TracingPolicy", &key(name), &spec)
    }

    fn accepted(serial: u64, policies: &[(&str, &str, EntryMode)]) -> Accepted {
        let documents =
            policies.iter().map(|(name, hook, _)| PolicyDocument { key: key(name), text: text(name, hook) });
        let shard = Shard::new(documents);
        let digest = shard.digest().unwrap();
        let entries = policies.iter().map(|(name, _, mode)| AssignmentEntry {
            namespace: None,
            name: (*name).to_owned(),
            uid: format!("uid-{name}"),
            generation: 1,
            mode: *mode,
            shard: digest,
        });
        let assignment = Assignment::new(entries);
        let held = Held { serial, assignment: assignment.encode().unwrap().0 };
        Accepted::new(held, &assignment, &[(digest, shard)].into()).unwrap()
    }

    fn names(changes: Option<Vec<Change>>) -> Vec<String> {
        let name = |change| match change {
            Change::Read { file, .. } => file,
            Change::Removed { file } => format!("!{file}"),
        };
        changes.unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        let inbox = Arc::new(Inbox::default());
        let mut source = AssignmentSource::new(Arc::clone(&inbox));
        assert_eq!(source.scan(), None, "nothing has come: that is not an empty list");
        let enforce = EntryMode::Enforce;
        inbox.accept(accepted(1, &[("a", "file_open", enforce), ("b", "file_open", enforce)]));
        assert_eq!(names(source.scan()), ["a", "b"]);
        assert!(names(source.scan()).is_empty());
        inbox.accept(accepted(2, &[("b", "bprm_check_security", enforce), ("c", "file_open", enforce)]));
        assert_eq!(names(source.scan()), ["!a", "b", "c"]);
        assert!(source.has("c") && !source.has("a"));
        inbox.accept(accepted(3, &[]));
        assert_eq!(names(source.scan()), ["!b", "!c"]);
        assert_eq!(inbox.held().unwrap().serial, 3);
    }

    #[test]
    fn a_mode_that_is_asked_for_is_the_policys_mode() {
        let monitored = accepted(1, &[("a", "file_open", EntryMode::Monitor)]);
        let (_, text) = source(&monitored.policies[0]);
        assert_eq!(lictor_policy::load(&text, None).unwrap().policy.mode(), Mode::Monitor);
    }

    #[test]
    fn a_shard_without_the_policy_is_refused() {
        let good = accepted(1, &[("a", "file_open", EntryMode::Enforce)]);
        let entry = good.policies[0].entry.clone();
        let list = Assignment::new([entry.clone()]);
        for shards in [BTreeMap::new(), [(entry.shard, Shard::default())].into()] {
            let error = Accepted::new(good.held, &list, &shards).unwrap_err();
            assert!(error.to_string().contains("found no policy a"), "{error}");
        }
    }

    #[test]
    fn what_was_kept_is_whole_or_not_used() {
        let kept = accepted(9, &[("a", "file_open", EntryMode::Enforce)]);
        assert!(kept.is_whole());
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Accepted>(&text).unwrap(), kept);
        let mut other = kept;
        other.policies[0].entry.generation = 2;
        assert!(!other.is_whole());
    }

    #[test]
    fn a_problem_does_not_take_away_what_is_held() {
        let inbox = Arc::new(Inbox::default());
        let mut source = AssignmentSource::new(Arc::clone(&inbox));
        inbox.accept(accepted(1, &[("a", "file_open", EntryMode::Enforce)]));
        inbox.problem(Some("shard x is not there".into()));
        assert_eq!(names(source.scan()), ["a"]);
        assert_eq!(source.problem().as_deref(), Some("shard x is not there"));
        inbox.problem(None);
        assert_eq!(source.problem(), None);
    }
}
