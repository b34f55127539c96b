//! Temporary directories that are removed even when the program that made them was killed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "lictor-cluster-";
/// Locked by the program whose directory it is, as long as that lives.
const OWNER: &str = "owner";

/// A temporary directory. Removed when dropped, or by the next program that makes one.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    _owner: File,
}

impl Scratch {
    /// A new directory; those that killed programs left behind are removed.
    pub(super) fn create() -> Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(parent: &Path) -> Result<Self> {
        sweep(parent);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .with_context(|| format!("creating a directory in {}", parent.display()))?;
        // It gets its name when it is locked: a sweep at this moment leaves the directory alone.
        let unlocked = directory.path().join("new");
        let owner = File::create(&unlocked).context("creating a lock")?;
        owner.lock().context("locking a directory")?;
        fs::rename(unlocked, directory.path().join(OWNER)).context("naming a lock")?;
        Ok(Self { directory, _owner: owner })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(owner) = File::open(entry.path().join(OWNER)) else { continue };
        if owner.try_lock().is_ok() {
            // Another program may be removing it too.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let first = Scratch::create_in(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        let other = parent.path().join("other");
        for directory in [&left, &other] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join(OWNER), "").unwrap();
        }
        let second = Scratch::create_in(parent.path()).unwrap();
        assert!(first.path().exists() && second.path().exists() && other.exists());
        assert!(!left.exists());
        let gone = second.path().to_path_buf();
        drop(second);
        assert!(!gone.exists());
    }
}
