//! Reads a folder of policies.
//!
//! A scan looks at every policy file of the folder, reads those that may have changed, and says what is new. What a
//! name means is asked anew each time, so that links which are swapped (as the kubelet does with mounted objects)
//! and files that are replaced by a rename are seen like any other change.

use super::set::FileRead;
use lictor_node_worker_ebpf::LICTOR_MAX_POLICIES;
use lictor_policy::DOCUMENT_BYTES_MAX;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Policy files in one folder: as many as the kernel tables hold policies.
pub const FILES_MAX: usize = LICTOR_MAX_POLICIES as usize;

/// A file changed this short before it was read may change again without a new time stamp, so its content is compared
/// at the next scan too.
const RACY_NS: i128 = 2_000_000_000;

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file is new or says something else.
    Read {
        /// Path of the file.
        file: String,
        /// What it says.
        read: FileRead,
    },
    /// A file is gone.
    Removed {
        /// Path of the file.
        file: String,
    },
}

/// A folder of policies.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    identity: Identity,
    content: [u8; 32],
    racy: bool,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    File { device: u64, inode: u64, bytes: u64, modified_ns: i128, changed_ns: i128 },
    Error(String),
}

impl Directory {
    /// The folder at `path`; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: BTreeMap::new() }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file was there at the last scan.
    pub fn has(&self, file: &str) -> bool {
        self.seen.contains_key(file)
    }

    /// The folder's files that were there at the last scan are to be read again, whether they seem changed or not.
    pub fn forget(&mut self) {
        for seen in self.seen.values_mut() {
            seen.racy = true;
        }
    }

    /// What changed since the last scan.
    ///
    /// # Errors
    /// The folder itself cannot be read; then nothing counts as changed.
    pub fn scan(&mut self) -> io::Result<Vec<Change>> {
        let files = self.files()?;
        let mut changes = Vec::new();
        let removed: Vec<String> =
            self.seen.keys().filter(|file| !files.contains_key(*file)).cloned().collect();
        for file in removed {
            self.seen.remove(&file);
            changes.push(Change::Removed { file });
        }
        for (file, path) in files {
            if let Some(read) = self.look(&file, &path) {
                changes.push(Change::Read { file, read });
            }
        }
        Ok(changes)
    }

    /// Paths of the policy files by their names in messages, the first [`FILES_MAX`] of them.
    fn files(&self) -> io::Result<BTreeMap<String, PathBuf>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            if is_policy_name(&path) {
                files.insert(path.to_string_lossy().into_owned(), path);
            }
        }
        self.complete(&mut files);
        if files.len() > FILES_MAX {
            tracing::error!(
                directory = %self.path.display(), files = files.len(), limit = FILES_MAX,
                "too many policy files: the last ones by name are left out"
            );
            files = files.into_iter().take(FILES_MAX).collect();
        }
        Ok(files)
    }

    /// Adds the files that are there and were not listed: while a file is replaced by a rename, a listing in several parts may
    /// have neither the old one nor the new one (readdir(3) leaves that open), though the name leads somewhere at every
    /// moment. Only a name that leads nowhere is gone.
    fn complete(&self, listed: &mut BTreeMap<String, PathBuf>) {
        let unlisted = self.seen.keys().filter(|file| !listed.contains_key(*file));
        let there = unlisted.filter(|file| std::fs::symlink_metadata(file).is_ok());
        let there: Vec<(String, PathBuf)> = there.map(|file| (file.clone(), PathBuf::from(file))).collect();
        listed.extend(there);
    }

    /// Reads a file if it may have changed; `None` = it says the same as before.
    fn look(&mut self, file: &str, path: &Path) -> Option<FileRead> {
        let before = self.seen.get(file);
        let identity = match std::fs::metadata(path) {
            Ok(metadata) => Identity::of(&metadata),
            Err(error) => Identity::Error(format!("cannot be read: {error}")),
        };
        if before.is_some_and(|before| before.identity == identity && !before.racy) {
            return None;
        }
        let racy = identity.is_racy();
        let read = match &identity {
            Identity::Error(reason) => FileRead::Unreadable(reason.clone()),
            Identity::File { .. } => read(path),
        };
        let content = fingerprint(&read);
        let same = before.is_some_and(|before| before.content == content);
        self.seen.insert(file.to_owned(), Seen { identity, content, racy });
        if same { None } else { Some(read) }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        if !metadata.is_file() {
            return Self::Error("is not a regular file".into());
        }
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_racy(&self) -> bool {
        let Self::File { modified_ns, changed_ns, .. } = self else { return false };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now_ns = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
        now_ns - modified_ns.max(changed_ns) < RACY_NS
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// Whether a file holds a policy, by its name.
fn is_policy_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| lictor_policy::is_policy_file(&name.to_string_lossy()))
}

fn read(path: &Path) -> FileRead {
    let limit = DOCUMENT_BYTES_MAX as u64;
    let attempt = || -> io::Result<Vec<u8>> {
        // A name may have become a pipe since it was looked at; opening that must not wait for a writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match attempt() {
        Ok(bytes) => bytes,
        Err(error) => return FileRead::Unreadable(format!("cannot be read: {error}")),
    };
    if bytes.len() as u64 > limit {
        let size = std::fs::metadata(path).map_or(bytes.len() as u64, |metadata| metadata.len());
        return FileRead::Unreadable(format!("found {size} bytes; allowed: at most {limit} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => FileRead::Text(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            FileRead::Unreadable(format!(
                "found bytes that are not UTF-8 (at byte {at}); allowed: UTF-8 text"
            ))
        }
    }
}

fn fingerprint(read: &FileRead) -> [u8; 32] {
    let (kind, text) = match read {
        FileRead::Text(text) => (0_u8, text),
        FileRead::Unreadable(reason) => (1, reason),
    };
    Sha256::new().chain_update([kind]).chain_update(text.as_bytes()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// Short names of what changed, `-` before those that are gone, `!` before those that cannot be read.
    fn changed(directory: &mut Directory) -> Vec<String> {
        let changes = directory.scan().unwrap();
        let short = |file: &str| Path::new(file).file_name().unwrap().to_string_lossy().into_owned();
        changes
            .iter()
            .map(|change| match change {
                Change::Removed { file } => format!("-{}", short(file)),
                Change::Read { file, read: FileRead::Unreadable(_) } => format!("!{}", short(file)),
                Change::Read { file, read: FileRead::Text(text) } => format!("{}={text}", short(file)),
            })
            .collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = Directory::new(folder.path());
        assert!(changed(&mut directory).is_empty());
        for name in ["b.yaml", "a.yml", "c.json", "d.txt", ".e.yaml", "f.yaml~", "g.test.yaml"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(changed(&mut directory), ["a.yml=a.yml", "b.yaml=b.yaml", "c.json=c.json"]);
        assert!(changed(&mut directory).is_empty());
        fs::write(folder.path().join("b.yaml"), "new").unwrap();
        fs::remove_file(folder.path().join("c.json")).unwrap();
        assert_eq!(changed(&mut directory), ["-c.json", "b.yaml=new"]);
    }

    #[test]
    fn a_file_that_a_listing_misses_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = Directory::new(folder.path());
        for name in ["a.yaml", "b.yaml"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(changed(&mut directory).len(), 2);
        fs::remove_file(folder.path().join("b.yaml")).unwrap();
        let mut listed = BTreeMap::new();
        directory.complete(&mut listed);
        assert_eq!(listed.into_values().collect::<Vec<_>>(), [folder.path().join("a.yaml")]);
    }

    #[test]
    fn a_change_that_keeps_size_and_time_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        let mut directory = Directory::new(folder.path());
        fs::write(&path, "one").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(changed(&mut directory).len(), 1);
        fs::write(&path, "two").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(changed(&mut directory), ["a.yaml=two"]);
    }

    #[test]
    fn a_touched_file_with_the_same_text_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        let mut directory = Directory::new(folder.path());
        fs::write(&path, "one").unwrap();
        changed(&mut directory);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "one").unwrap();
        assert!(changed(&mut directory).is_empty());
    }

    #[test]
    fn a_swapped_link_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("a.yaml"), text).unwrap();
        }
        symlink("..v1", root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        let mut directory = Directory::new(root);
        assert_eq!(changed(&mut directory), ["a.yaml=one"]);
        symlink("..v2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert_eq!(changed(&mut directory), ["a.yaml=two"]);
        fs::remove_file(root.join("..data")).unwrap();
        assert_eq!(changed(&mut directory), ["!a.yaml"]);
        assert!(changed(&mut directory).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("dir.yaml")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe.yaml"), rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        fs::write(root.join("bytes.yaml"), b"a\xff").unwrap();
        fs::write(root.join("large.yaml"), vec![b' '; 10 << 20]).unwrap();
        let mut directory = Directory::new(root);
        let changes = directory.scan().unwrap();
        let reasons: Vec<String> = changes
            .iter()
            .map(|change| {
                let Change::Read { read: FileRead::Unreadable(reason), .. } = change else {
                    panic!("{change:?}")
                };
                reason.clone()
            })
            .collect();
        assert_eq!(
            reasons,
            [
                "found bytes that are not UTF-8 (at byte 1); allowed: UTF-8 text",
                "is not a regular file",
                "found 10485760 bytes; allowed: at most 1048576 bytes",
                "is not a regular file",
            ]
        );
        assert!(directory.scan().unwrap().is_empty());
    }

    #[test]
    fn an_unreadable_folder_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("policies");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.yaml"), "one").unwrap();
        let mut directory = Directory::new(&root);
        changed(&mut directory);
        let moved = folder.path().join("moved");
        fs::rename(&root, &moved).unwrap();
        assert!(directory.scan().is_err());
        fs::rename(&moved, &root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(changed(&mut directory).is_empty());
    }

    #[test]
    fn forgotten_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "one").unwrap();
        let mut directory = Directory::new(folder.path());
        changed(&mut directory);
        directory.forget();
        assert!(changed(&mut directory).is_empty());
    }
}
