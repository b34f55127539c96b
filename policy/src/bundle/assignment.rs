//! Assignments: which policies a node is to enforce.

use super::blob::{compress, parse, plain, read};
use super::{BundleError, Digest, FORMAT, Shard};
use crate::model::{Mode, PolicyKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const WHAT: &str = "an assignment";
const NODE_WHAT: &str = "the node's assignment";

/// Highest serial: Kubernetes keeps integers of 64 bits with a sign, and JSON readers are exact up to 2^53.
pub const SERIAL_MAX: u64 = 1 << 53;

/// One policy of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentEntry {
    /// `metadata.namespace`; `None` for a `TracingPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: a policy that was deleted and created again is another one.
    pub uid: String,
    /// `metadata.generation`: which version of the spec.
    pub generation: i64,
    /// In which mode the node is to enforce it. The operator may ask for less than the policy says, never for more.
    pub mode: EntryMode,
    /// Digest of the shard that holds its text.
    pub shard: Digest,
}

impl AssignmentEntry {
    /// The policy's name.
    pub fn key(&self) -> PolicyKey {
        PolicyKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// In which mode a node is to enforce a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryMode {
    /// As the policy says.
    Enforce,
    /// Report what would have been done.
    Monitor,
}

impl From<Mode> for EntryMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Monitor => Self::Monitor,
        }
    }
}

impl EntryMode {
    /// As it is written: `enforce` or `monitor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
        }
    }
}

/// One policy of an assignment with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    /// What the list says.
    pub entry: AssignmentEntry,
    /// The document.
    pub text: String,
}

/// Policies that one or more nodes are to enforce.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    entries: Vec<AssignmentEntry>,
}

#[derive(Serialize, Deserialize)]
struct Plain {
    format: u32,
    policies: Vec<AssignmentEntry>,
}

impl Assignment {
    /// An assignment of these policies, in the order of their names. Of several entries for one policy the first in the
    /// order of their content stays.
    pub fn new(entries: impl IntoIterator<Item = AssignmentEntry>) -> Self {
        let ordered: BTreeSet<AssignmentEntry> = entries.into_iter().collect();
        let mut entries: Vec<AssignmentEntry> = ordered.into_iter().collect();
        entries.dedup_by(|later, earlier| {
            (&later.namespace, &later.name) == (&earlier.namespace, &earlier.name)
        });
        Self { entries }
    }

    /// Its policies, in the order of their names.
    pub fn entries(&self) -> &[AssignmentEntry] {
        &self.entries
    }

    /// What it says of a policy.
    pub fn entry(&self, key: &PolicyKey) -> Option<&AssignmentEntry> {
        let wanted = (&key.namespace, &key.name);
        let place = self.entries.binary_search_by(|entry| (&entry.namespace, &entry.name).cmp(&wanted));
        place.ok().and_then(|place| self.entries.get(place))
    }

    /// The shards that it needs.
    pub fn shards(&self) -> BTreeSet<Digest> {
        self.entries.iter().map(|entry| entry.shard).collect()
    }

    /// Its policies with their texts, out of shards that are verified already.
    ///
    /// # Errors
    /// [`BundleError::Missing`]: a shard is not among them, or lacks a policy.
    pub fn assigned(&self, shards: &BTreeMap<Digest, Shard>) -> Result<Vec<Assigned>, BundleError> {
        let assigned = |entry: &AssignmentEntry| {
            let key = entry.key();
            let text = shards.get(&entry.shard).and_then(|shard| shard.text(&key)).map(str::to_owned);
            let missing = || BundleError::Missing { shard: entry.shard, policy: key.to_string() };
            Ok(Assigned { entry: entry.clone(), text: text.ok_or_else(missing)? })
        };
        self.entries.iter().map(assigned).collect()
    }

    /// Its digest and its bytes for the key [`super::ASSIGNMENT_KEY`].
    ///
    /// # Errors
    /// [`BundleError::TooLarge`]: thousands of policies with long names.
    pub fn encode(&self) -> Result<(Digest, Vec<u8>), BundleError> {
        let (bytes, digest) = plain(&Plain { format: FORMAT, policies: self.entries.clone() }, WHAT)?;
        let name = || format!("the list of {} policies of a node", self.entries.len());
        Ok((digest, compress(&bytes, name)?))
    }

    /// Reads what was found under the digest `wanted`.
    ///
    /// # Errors
    /// Everything that is not an assignment with that digest.
    pub fn decode(bytes: &[u8], wanted: &Digest) -> Result<Self, BundleError> {
        let plain: Plain = read(bytes, wanted, WHAT)?;
        Ok(Self::new(plain.policies))
    }
}

/// What a node's own `ConfigMap` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeAssignment {
    /// Always [`FORMAT`].
    format: u32,
    /// The node's name.
    pub node: String,
    /// Rises with each change; see [`next_serial`].
    pub serial: u64,
    /// Digest of the [`Assignment`].
    pub assignment: Digest,
}

impl NodeAssignment {
    /// The assignment with this digest for `node`.
    pub fn new(node: impl Into<String>, serial: u64, assignment: Digest) -> Self {
        Self { format: FORMAT, node: node.into(), serial, assignment }
    }

    /// Its text for the key [`super::NODE_KEY`].
    pub fn encode(&self) -> String {
        // The struct has nothing that JSON cannot say.
        serde_json::json!(self).to_string()
    }

    /// Reads the `ConfigMap` of `node`.
    ///
    /// # Errors
    /// Everything that is not an assignment for that node.
    pub fn decode(text: &str, node: &str) -> Result<Self, BundleError> {
        let read: Self = parse(text.as_bytes(), NODE_WHAT)?;
        if read.node != node {
            return Err(BundleError::OtherNode { found: read.node, wanted: node.to_owned() });
        }
        if read.serial == 0 || read.serial > SERIAL_MAX {
            let found = format!("serial {}", read.serial);
            return Err(BundleError::Malformed { what: NODE_WHAT, found });
        }
        Ok(read)
    }
}

/// What a node took last; it keeps that on disk beside the policies themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its serial.
    pub serial: u64,
    /// Its digest.
    pub assignment: Digest,
}

/// What a [`NodeAssignment`] is to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// The assignment that it holds already. The serial may be newer.
    Same,
    /// Another one, to be fetched.
    New,
}

impl Held {
    /// Whether an assignment may follow the one that a node holds; `None` = it holds none.
    ///
    /// # Errors
    /// [`BundleError::Replayed`]: an older serial, or the same with another content.
    pub fn check(held: Option<&Self>, offered: &NodeAssignment) -> Result<Offer, BundleError> {
        let Some(held) = held else { return Ok(Offer::New) };
        if offered.assignment == held.assignment && offered.serial >= held.serial {
            return Ok(Offer::Same);
        }
        if offered.serial <= held.serial {
            return Err(BundleError::Replayed { found: offered.serial, held: held.serial });
        }
        Ok(Offer::New)
    }
}

/// The serial of a node's next assignment: above that of its `ConfigMap` as it is now (`written`) and above what the
/// node says that it holds (`held`). Where neither is known, for a new node or one whose objects were deleted, it is the
/// time in seconds since 1970, which is above all that was counted before.
pub fn next_serial(written: Option<u64>, held: Option<u64>, now_seconds: u64) -> u64 {
    let known = written.max(held).map_or(now_seconds, |serial| serial.saturating_add(1));
    known.clamp(1, SERIAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, generation: i64) -> AssignmentEntry {
        AssignmentEntry {
            namespace: None,
            name: name.into(),
            uid: format!("uid-{name}"),
            generation,
            mode: EntryMode::Enforce,
            shard: Digest::of(name.as_bytes()),
        }
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written_in_any_order() {
        let one = Assignment::new([entry("a", 1), entry("b", 2)]);
        let other = Assignment::new([entry("b", 2), entry("a", 1), entry("a", 1)]);
        let (digest, bytes) = one.encode().unwrap();
        assert_eq!(other.encode().unwrap(), (digest, bytes.clone()));
        assert_eq!(Assignment::decode(&bytes, &digest), Ok(one));
        assert!(Assignment::decode(&bytes[1..], &digest).is_err());
        // A shard is no assignment, even when somebody stores it as one.
        let (digest, bytes) = Shard::default().encode().unwrap();
        assert!(Assignment::decode(&bytes, &digest).is_ok_and(|read| read.entries().is_empty()));
    }

    #[test]
    fn a_policy_is_assigned_once() {
        let twice = Assignment::new([entry("a", 2), entry("a", 1)]);
        assert_eq!(twice.entries(), [entry("a", 1)]);
    }

    #[test]
    fn eight_thousand_policies_fit() {
        let entries = (0..8192).map(|number| AssignmentEntry {
            uid: format!("{:.36}", Digest::of(&u32::to_le_bytes(number)).to_string()),
            shard: Digest::of(&u32::to_le_bytes(number / 16)),
            ..entry(&format!("a-policy-with-a-name-of-some-length-{number}"), 1)
        });
        let (_, bytes) = Assignment::new(entries).encode().unwrap();
        assert!(bytes.len() < super::super::BLOB_BYTES_MAX, "{} bytes", bytes.len());
    }

    #[test]
    fn what_a_node_reads_is_checked() {
        let written = NodeAssignment::new("worker", 7, Digest::of(b"x"));
        let text = written.encode();
        assert_eq!(NodeAssignment::decode(&text, "worker"), Ok(written));
        let other = NodeAssignment::decode(&text, "worker-2").unwrap_err();
        assert!(other.to_string().contains("found one for the node worker; allowed: worker-2"), "{other}");
        for end in 0..text.len() {
            assert!(NodeAssignment::decode(&text[..end], "worker").is_err());
        }
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert!(matches!(
            NodeAssignment::decode(&newer, "worker"),
            Err(BundleError::Format { found: 2, .. })
        ));
        for serial in [0, SERIAL_MAX + 1, u64::MAX] {
            let text = NodeAssignment::new("worker", serial, Digest::of(b"x")).encode();
            assert!(NodeAssignment::decode(&text, "worker").is_err());
        }
    }

    #[test]
    fn serials_only_rise() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let held = Held { serial: 7, assignment: old };
        let check = |serial, digest| Held::check(Some(&held), &NodeAssignment::new("n", serial, digest));
        assert_eq!(check(8, new), Ok(Offer::New));
        assert_eq!(check(7, old), Ok(Offer::Same));
        assert_eq!(check(8, old), Ok(Offer::Same));
        assert_eq!(check(6, new), Err(BundleError::Replayed { found: 6, held: 7 }));
        assert_eq!(check(7, new), Err(BundleError::Replayed { found: 7, held: 7 }));
        assert_eq!(check(6, old), Err(BundleError::Replayed { found: 6, held: 7 }));
        assert_eq!(Held::check(None, &NodeAssignment::new("n", 1, old)), Ok(Offer::New));
    }

    #[test]
    fn the_next_serial_is_above_all_that_is_known() {
        assert_eq!(next_serial(None, None, 1_800_000_000), 1_800_000_000);
        assert_eq!(next_serial(Some(5), None, 1_800_000_000), 6);
        assert_eq!(next_serial(Some(5), Some(9), 1_800_000_000), 10);
        // A clock that went back, or never was set.
        assert_eq!(next_serial(None, None, 0), 1);
        assert_eq!(next_serial(Some(SERIAL_MAX), None, 3), SERIAL_MAX);
    }
}
