//! What a node worker leaves for the next one on the same machine: the policies that are live, so that a folder with a
//! slip in it does not lose them, and which losses have been told. Nothing in here takes part in a verdict.

use crate::cluster::assignment::Accepted;
use crate::enrich::pods::Pod;
use crate::events::loss::LossLedger;
use crate::source::set::Version;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Changes when older files can no longer be read.
const FORMAT: u32 = 1;

const LIVE: &str = "live.json";
const LOSSES: &str = "losses.json";
const ASSIGNMENT: &str = "assignment.json";
const PODS: &str = "pods.json";

/// The folder that outlives the process.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// The policies that were live, in the order of their files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePolicies {
    format: u32,
    /// The revision's number.
    pub revision: u32,
    /// The plan's digest, hexadecimal.
    pub digest: String,
    /// The documents.
    pub policies: Vec<LivePolicy>,
}

/// One policy that was live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePolicy {
    /// The file that it came from.
    pub file: String,
    /// The document.
    pub text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Losses {
    format: u32,
    /// Counters of the kernel begin anew with each boot.
    boot_id: String,
    ledger: LossLedger,
}

impl StateDir {
    /// The folder at `path`, made when it is first written to.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Keeps the versions that are live.
    pub fn save_live<'a>(
        &self,
        revision: u32,
        digest: &[u8; 32],
        live: impl Iterator<Item = (&'a str, &'a Arc<Version>)>,
    ) -> io::Result<()> {
        let policies =
            live.map(|(file, version)| LivePolicy { file: file.to_owned(), text: version.text.clone() });
        let document = LivePolicies {
            format: FORMAT,
            revision,
            digest: hexadecimal(digest),
            policies: policies.collect(),
        };
        self.save(LIVE, &document)
    }

    /// The versions that were live; `None` = none were kept.
    pub fn load_live(&self) -> io::Result<Option<LivePolicies>> {
        Ok(self.load::<LivePolicies>(LIVE)?.filter(|live| live.format == FORMAT))
    }

    /// Keeps what has been told of losses since the boot `boot_id`.
    pub fn save_losses(&self, boot_id: &str, ledger: &LossLedger) -> io::Result<()> {
        self.save(LOSSES, &Losses { format: FORMAT, boot_id: boot_id.to_owned(), ledger: ledger.clone() })
    }

    /// What has been told of losses since the boot `boot_id`.
    pub fn load_losses(&self, boot_id: &str) -> io::Result<LossLedger> {
        let losses = self.load::<Losses>(LOSSES)?;
        let same = losses.filter(|losses| losses.format == FORMAT && losses.boot_id == boot_id);
        Ok(same.map(|losses| losses.ledger).unwrap_or_default())
    }

    /// Keeps the assignment that was accepted last.
    pub fn save_assignment(&self, accepted: &Accepted) -> io::Result<()> {
        self.save(ASSIGNMENT, accepted)
    }

    /// The assignment that was accepted last; `None` = none was kept.
    ///
    /// # Errors
    /// Also when it is not whole: a part of it would be less than what was enforced.
    pub fn load_assignment(&self) -> io::Result<Option<Accepted>> {
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, "it does not have the digest that it claims");
        match self.load::<Accepted>(ASSIGNMENT)? {
            Some(accepted) if accepted.is_whole() => Ok(Some(accepted)),
            Some(_) => Err(broken()),
            None => Ok(None),
        }
    }

    /// Keeps the pods of this node.
    pub fn save_pods(&self, pods: &[Pod]) -> io::Result<()> {
        self.save(PODS, &pods)
    }

    /// The pods that were kept.
    pub fn load_pods(&self) -> io::Result<Option<Vec<Pod>>> {
        self.load(PODS)
    }

    /// Removes everything: nothing is live any more.
    pub fn forget(&self) -> io::Result<()> {
        for name in [LIVE, LOSSES, ASSIGNMENT, PODS] {
            match std::fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Writes beside the file and renames: a reader, and the machine after a crash, see all of it or what was before.
    fn save(&self, name: &str, document: &impl Serialize) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let text = serde_json::to_vec(document)?;
        let (path, beside) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(&self.path)?.sync_all()
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match std::fs::read(self.path.join(name)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::set::{FileRead, PolicySet};
    use crate::testing::policy;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn live_policies_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().join("lictor"));
        assert_eq!(state.load_live().unwrap(), None);
        let mut set = PolicySet::default();
        set.apply("a.yaml", FileRead::Text(policy("a", "fd_install")));
        let attempt = set.attempt();
        set.settle(attempt);
        state.save_live(3, &[0xab; 32], set.live()).unwrap();
        let live = state.load_live().unwrap().unwrap();
        assert_eq!((live.revision, live.digest.as_str()), (3, "ab".repeat(32).as_str()));
        assert_eq!(live.policies, [LivePolicy { file: "a.yaml".into(), text: policy("a", "fd_install") }]);
        let mode =
            |name: &str| std::fs::metadata(state.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode(LIVE)), (0o700, 0o600));
        state.forget().unwrap();
        assert_eq!(state.load_live().unwrap(), None);
        state.forget().unwrap();
    }

    #[test]
    fn losses_are_of_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let mut ledger = LossLedger::default();
        ledger.observe(&[], &[crate::port::NamedCount { name: "exec_lost", count: 2 }]);
        state.save_losses("boot", &ledger).unwrap();
        assert_eq!(state.load_losses("boot").unwrap(), ledger);
        assert_eq!(state.load_losses("other").unwrap(), LossLedger::default());
    }

    #[test]
    fn damaged_files_are_errors_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        std::fs::write(folder.path().join(LIVE), "{\"format\":1").unwrap();
        assert!(state.load_live().is_err());
        std::fs::write(folder.path().join(LIVE), r#"{"format":2,"revision":1,"digest":"","policies":[]}"#)
            .unwrap();
        assert_eq!(state.load_live().unwrap(), None);
    }
}
