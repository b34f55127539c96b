//! The policies of a folder: what each file says now, and which version of it is live. No I/O.
//!
//! A file whose new version cannot be enforced keeps its last live version: a slip of the pen must not open a door.
//! That is said of the file until it is put right or removed.

use lictor_policy::Violation;
use lictor_policy::model::{FieldPath, Policy, PolicyKey};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reasons kept for one file; a document with more is wrong as a whole.
pub const REASONS_MAX: usize = 100;

/// What reading a file brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRead {
    /// Its text.
    Text(String),
    /// Why there is no text.
    Unreadable(String),
}

/// One version of a policy that passed validation.
#[derive(Debug, PartialEq)]
pub struct Version {
    /// The document.
    pub text: String,
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// What it says.
    pub policy: Policy,
    /// What its author will want to know; one line each.
    pub warnings: Vec<String>,
}

impl Version {
    /// The policy's name.
    pub fn key(&self) -> &PolicyKey {
        self.policy.key()
    }
}

/// Whether the policy of a file is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// The file as it is now is live.
    Live,
    /// An earlier version is live; the file as it is now cannot be.
    Stale,
    /// Nothing of the file is live, and it cannot be.
    Rejected,
    /// The file has been read and is not live yet: the kernel does not take the revision.
    Pending,
}

impl FileState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Live, Self::Stale, Self::Rejected, Self::Pending];

    /// The name shown to users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
        }
    }
}

/// Why the file as it is now is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It is, or nothing is known against it.
    #[default]
    None,
    /// It is no policy that this node worker understands, or not the only one of its name.
    Invalid,
    /// This node cannot do what it asks for.
    Unsupported,
    /// The kernel did not take it.
    Kernel,
}

/// What is known about one file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStatus {
    /// The file.
    pub file: String,
    /// See [`FileState`].
    pub state: FileState,
    /// The version that is live, or else the one that wants to be; `None` = no version could be read.
    pub version: Option<Arc<Version>>,
    /// Why the file as it is now is not live: in a word.
    pub cause: Cause,
    /// Why, one line each.
    pub reasons: Vec<String>,
    /// What the policy's author will want to know.
    pub warnings: Vec<String>,
}

/// The files.
#[derive(Debug, Default)]
pub struct PolicySet {
    files: BTreeMap<String, File>,
}

#[derive(Debug, Default)]
struct File {
    /// The file as it is now, or why it is no policy.
    current: Option<Result<Arc<Version>, Vec<String>>>,
    live: Option<Arc<Version>>,
    /// Why `current` was not made live, though it passed validation.
    refused: Vec<String>,
    cause: Cause,
    /// Said by the compiler about the live version.
    warnings: Vec<String>,
    /// The file was deleted; its policy is live until the next attempt.
    deleted: bool,
}

impl PolicySet {
    /// A file was read. `false` = it says what it said before.
    pub fn apply(&mut self, name: &str, read: FileRead) -> bool {
        let file = self.files.entry(name.to_owned()).or_default();
        let was_deleted = std::mem::take(&mut file.deleted);
        if let (FileRead::Text(text), Some(Ok(current))) = (&read, &file.current)
            && current.text == *text
        {
            return was_deleted;
        }
        let current = match read {
            FileRead::Unreadable(reason) => Err(vec![reason]),
            FileRead::Text(text) => {
                // The same text as the live version needs no second reading.
                match file.live.as_ref().filter(|live| live.text == text) {
                    Some(live) => Ok(Arc::clone(live)),
                    None => load(name, text),
                }
            }
        };
        if file.current.as_ref() == Some(&current) {
            return was_deleted;
        }
        file.current = Some(current);
        file.refused.clear();
        file.cause = Cause::None;
        true
    }

    /// A file is gone. `false` = it was not there.
    pub fn delete(&mut self, name: &str) -> bool {
        match self.files.get_mut(name) {
            Some(file) => !std::mem::replace(&mut file.deleted, true),
            None => false,
        }
    }

    /// The files known now, deleted ones not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|(_, file)| !file.deleted).map(|(name, _)| name.as_str())
    }

    /// Whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds a version that an earlier node worker had live. A text that is no policy any more is left out.
    pub fn restore(&mut self, name: &str, text: String) {
        if let Ok(version) = load(name, text) {
            self.files.entry(name.to_owned()).or_default().live = Some(version);
        }
    }

    /// The versions that are live, by file.
    pub fn live(&self) -> impl Iterator<Item = (&str, &Arc<Version>)> {
        self.files.iter().filter_map(|(name, file)| Some((name.as_str(), file.live.as_ref()?)))
    }

    /// Begins an attempt to make the files as they are now live.
    pub fn attempt(&self) -> Attempt {
        let candidates = self.files.iter().filter(|(_, file)| !file.deleted).map(|(name, file)| {
            let current = file.current.as_ref().and_then(|current| current.as_ref().ok()).cloned();
            let candidate = match (current, file.live.clone()) {
                (Some(current), live) => {
                    let fallback = live.filter(|live| live.digest != current.digest);
                    let is_new = fallback.is_some() || file.live.is_none();
                    Candidate { chosen: Some(current), fallback, is_new, ..Candidate::default() }
                }
                (None, live) => Candidate { chosen: live, ..Candidate::default() },
            };
            let holds = file.live.as_ref().map(|live| live.key().clone());
            (name.clone(), Candidate { holds, ..candidate })
        });
        Attempt { candidates: candidates.collect() }
    }

    /// An attempt went live.
    pub fn settle(&mut self, attempt: Attempt) {
        self.files.retain(|_, file| !file.deleted);
        let unique = attempt.unique();
        for (name, candidate) in attempt.candidates {
            let Some(file) = self.files.get_mut(&name) else { continue };
            file.live = unique.get(&name).and_then(|place| place.version.clone());
            file.refused = candidate.refused;
            file.cause = candidate.cause;
            file.warnings.clear();
        }
        for (name, place) in unique {
            for Duplicate { key, owner } in place.lost_to {
                if let Some(file) = self.files.get_mut(&name) {
                    file.cause = Cause::Invalid;
                    file.refused.push(format!(
                        "{name}: metadata.name: found `{key}` a second time; allowed: each name once; {owner} has the \
                         same name"
                    ));
                }
                if let Some(file) = self.files.get_mut(&owner) {
                    file.warnings.push(format!("{name} has the same name `{key}` and is not used"));
                }
            }
        }
    }

    /// Something the compiler has to say about a live policy.
    pub fn warn(&mut self, key: &PolicyKey, warning: &str) {
        for file in self.files.values_mut() {
            if file.warnings.len() < REASONS_MAX && file.live.as_ref().is_some_and(|live| live.key() == key) {
                file.warnings.push(warning.to_owned());
            }
        }
    }

    /// What is known about each file.
    pub fn status(&self) -> Vec<FileStatus> {
        let files = self.files.iter().filter(|(_, file)| !file.deleted || file.live.is_some());
        files.map(|(name, file)| file.status(name)).collect()
    }
}

impl File {
    fn status(&self, name: &str) -> FileStatus {
        let mut warnings: Vec<String> = Vec::new();
        let (state, version, mut reasons) = match (&self.current, &self.live) {
            (Some(Ok(current)), Some(live)) if current.digest == live.digest => {
                (FileState::Live, Some(live), Vec::new())
            }
            (Some(Ok(current)), None) if self.refused.is_empty() => {
                (FileState::Pending, Some(current), Vec::new())
            }
            (Some(Ok(current)), None) => (FileState::Rejected, Some(current), self.refused.clone()),
            (Some(Ok(_)), Some(live)) if self.refused.is_empty() => {
                (FileState::Pending, Some(live), Vec::new())
            }
            (Some(Ok(_)), Some(live)) => (FileState::Stale, Some(live), self.refused.clone()),
            (Some(Err(reasons)), Some(live)) => (FileState::Stale, Some(live), reasons.clone()),
            (Some(Err(reasons)), None) => (FileState::Rejected, None, reasons.clone()),
            (None, live) => (FileState::Stale, live.as_ref(), vec!["the file has not been read yet".into()]),
        };
        if self.deleted {
            reasons.push("the file was deleted, and its policy could not be taken out of the kernel".into());
        }
        if let Some(version) = version {
            warnings.extend(version.warnings.iter().cloned());
        }
        warnings.extend(self.warnings.iter().cloned());
        let cause = match (state, &self.current) {
            (FileState::Live | FileState::Pending, _) => Cause::None,
            (_, Some(Ok(_))) => self.cause,
            (_, Some(Err(_)) | None) => Cause::Invalid,
        };
        FileStatus { file: name.to_owned(), state, version: version.cloned(), cause, reasons, warnings }
    }
}

/// One try to bring a set of versions into the kernel. Versions that cannot be enforced are replaced, one after the
/// other, by the version that is live, or left out.
#[derive(Debug, Clone)]
pub struct Attempt {
    candidates: BTreeMap<String, Candidate>,
}

/// A policy name that another file has.
#[derive(Debug, Clone)]
struct Duplicate {
    key: PolicyKey,
    owner: String,
}

#[derive(Debug, Clone, Default)]
struct Candidate {
    chosen: Option<Arc<Version>>,
    fallback: Option<Arc<Version>>,
    /// `chosen` is not the live version.
    is_new: bool,
    /// The name of the policy that is live from this file.
    holds: Option<PolicyKey>,
    refused: Vec<String>,
    cause: Cause,
}

/// What a file has after names that are there twice have been given to one of their files.
#[derive(Debug, Clone, Default)]
struct Place {
    version: Option<Arc<Version>>,
    /// `version` is the live one, though the file has a newer one whose name another file has.
    fell_back: bool,
    lost_to: Vec<Duplicate>,
}

impl Candidate {
    fn at(&self, place: &Place) -> Option<&Arc<Version>> {
        match (place.lost_to.is_empty(), place.fell_back) {
            (true, _) => self.chosen.as_ref(),
            (false, true) => self.fallback.as_ref(),
            (false, false) => None,
        }
    }
}

impl Attempt {
    /// The version of each file. Of several files with one policy name, the one whose policy of that name is live has
    /// it, or else the first: a new file cannot displace what is enforced. The others keep what is live of theirs.
    fn unique(&self) -> BTreeMap<String, Place> {
        let mut places: BTreeMap<&str, Place> =
            self.candidates.keys().map(|name| (name.as_str(), Place::default())).collect();
        // Each turn takes at least one version away, and a file has two.
        loop {
            let lost = self.duplicates(&places);
            if lost.is_empty() {
                break;
            }
            for (name, duplicate) in lost {
                let (Some(place), Some(candidate)) = (places.get_mut(name), self.candidates.get(name)) else {
                    continue;
                };
                place.fell_back = place.lost_to.is_empty() && candidate.fallback.is_some();
                place.lost_to.push(duplicate);
            }
        }
        let settled = places.into_iter().map(|(name, mut place)| {
            place.version = self.candidates.get(name).and_then(|candidate| candidate.at(&place)).cloned();
            (name.to_owned(), place)
        });
        settled.collect()
    }

    /// The files whose version at its place has a name that another file has with more right.
    fn duplicates(&self, places: &BTreeMap<&str, Place>) -> Vec<(&str, Duplicate)> {
        let mut owners: BTreeMap<&PolicyKey, (&str, bool)> = BTreeMap::new();
        let mut lost = Vec::new();
        for (name, candidate) in &self.candidates {
            let Some(version) = places.get(name.as_str()).and_then(|place| candidate.at(place)) else {
                continue;
            };
            let key = version.key();
            let holds = candidate.holds.as_ref() == Some(key);
            let Some((owner, owner_holds)) = owners.get(key).copied() else {
                owners.insert(key, (name, holds));
                continue;
            };
            let (winner, loser) =
                if holds && !owner_holds { (name.as_str(), owner) } else { (owner, name.as_str()) };
            owners.insert(key, (winner, holds || owner_holds));
            lost.push((loser, Duplicate { key: key.clone(), owner: winner.to_owned() }));
        }
        lost
    }

    /// The policies of this attempt, in the order of their files. No two have the same name.
    pub fn policies(&self) -> Vec<Policy> {
        let places = self.unique();
        places.into_values().filter_map(|place| Some(place.version?.policy.clone())).collect()
    }

    /// The version of the policy `key` cannot be enforced, for these reasons. It is replaced by the live version, or
    /// left out when that is the one, or there is none. `true` = an older version takes its place.
    pub fn refuse(&mut self, key: &PolicyKey, cause: Cause, reasons: &[String]) -> bool {
        let unique = self.unique();
        let has = |place: &Place| place.version.as_ref().is_some_and(|version| version.key() == key);
        let Some((name, place)) = unique.iter().find(|(_, place)| has(place)) else { return false };
        let Some(candidate) = self.candidates.get_mut(name) else { return false };
        candidate.cause = cause;
        candidate.refused.extend(reasons.iter().cloned());
        candidate.refused.truncate(REASONS_MAX);
        let fallback = candidate.fallback.take();
        candidate.chosen = if place.fell_back { None } else { fallback };
        candidate.is_new = false;
        candidate.chosen.is_some()
    }

    /// The policies of this attempt that are not live in this version, in the order of their files.
    pub fn new_keys(&self) -> Vec<PolicyKey> {
        let unique = self.unique();
        let is_new = |name: &String, place: &Place| {
            !place.fell_back && self.candidates.get(name).is_some_and(|candidate| candidate.is_new)
        };
        unique
            .iter()
            .filter(|(name, place)| is_new(name, place))
            .filter_map(|(_, place)| place.version.as_ref().map(|version| version.key().clone()))
            .collect()
    }

    /// A violation that the compiler found, with the file and the line of its policy.
    ///
    /// The document is read again for it: the lines of a thousand policies would take more memory than the policies.
    pub fn locate(&self, key: &PolicyKey, violation: Violation) -> Violation {
        let unique = self.unique();
        let mut placed = unique.iter().filter_map(|(name, place)| Some((name, place.version.as_ref()?)));
        let Some((name, version)) = placed.find(|(_, version)| version.key() == key) else {
            return violation;
        };
        match lictor_policy::load(&version.text, Some(name)) {
            Ok(loaded) => loaded.locate(violation),
            Err(_) => violation,
        }
    }
}

fn load(name: &str, text: String) -> Result<Arc<Version>, Vec<String>> {
    match lictor_policy::load(&text, Some(name)) {
        // What an operator hands out has no selector any more.
        Ok(loaded) if !loaded.policy.nodes().requirements.is_empty() => {
            let mut violation = Violation::new(
                &FieldPath::new("spec.nodeSelector"),
                "a selector of nodes",
                "none on a machine that is in no cluster",
            );
            violation.hint = Some("remove it; this machine enforces what is in its folder".to_owned());
            violation.file = Some(name.to_owned());
            Err(vec![violation.to_string()])
        }
        Ok(loaded) => Ok(Arc::new(Version {
            digest: Sha256::digest(text.as_bytes()).into(),
            policy: loaded.policy,
            warnings: loaded.warnings.iter().take(REASONS_MAX).map(ToString::to_string).collect(),
            text,
        })),
        Err(violations) => Err(violations.iter().take(REASONS_MAX).map(ToString::to_string).collect()),
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
