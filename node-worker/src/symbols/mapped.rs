//! Build ids of files that were mapped as code.
//!
//! A file is known by device and inode: whatever a path leads to by now, another file's build id is not told. So any process
//! may be asked for it, the one that had it mapped being gone, perhaps.

use super::elf;
use super::program::{Map, Version, below_root, linked, maps, reopen};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Files whose build ids are remembered: some ten times what a node with many images runs; some 200 bytes each.
const KNOWN_MAX: usize = 8192;

/// The first process of the node, whose root is the node's.
const FIRST: u32 = 1;

/// A file that was mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedFile {
    /// Who mapped it, then who may see it under the same path: the parent.
    pub processes: [u32; 2],
    /// Its path, from the root of their mount namespace.
    pub path: Vec<u8>,
    /// Its device, as the kernel's `dev_t`: 12 bits and 20 bits.
    pub device: u32,
    /// Its inode number.
    pub inode: u64,
}

impl MappedFile {
    fn device(&self) -> (u32, u32) {
        (self.device >> 20, self.device & 0xf_ffff)
    }
}

/// Reads build ids.
#[derive(Debug)]
pub(super) struct BuildIds {
    procfs: PathBuf,
    known: HashMap<Version, Vec<u8>>,
}

impl BuildIds {
    pub(super) fn new(procfs: PathBuf) -> Self {
        Self { procfs, known: HashMap::new() }
    }

    /// The file's build id, empty when it has none; `None` = the file cannot be had.
    pub(super) fn of(&mut self, mapped: &MappedFile) -> Option<Vec<u8>> {
        let (file, version) = self.open(mapped).ok()?;
        if let Some(known) = self.known.get(&version) {
            return Some(known.clone());
        }
        // Only programs have one.
        let found = elf::build_id(&file).ok().flatten().unwrap_or_default();
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(version, found.clone());
        Some(found)
    }

    /// By its path, which costs least; or else, where file systems tell programs other devices than the kernel has or the
    /// path is not that of any root, by the mapping.
    fn open(&self, mapped: &MappedFile) -> io::Result<(File, Version)> {
        let [process, parent] = mapped.processes;
        for process in [process, parent, FIRST] {
            let Ok(place) = below_root(&self.procfs.join(process.to_string()), &mapped.path) else {
                continue;
            };
            let metadata = place.metadata()?;
            let device = metadata.dev();
            let device = (rustix::fs::major(device), rustix::fs::minor(device));
            if metadata.is_file() && metadata.ino() == mapped.inode && device == mapped.device() {
                return reopen(&place);
            }
        }
        let same = |map: &Map| map.inode == mapped.inode && map.device == mapped.device();
        let found = maps(&self.procfs, process).into_iter().find(same).ok_or(io::ErrorKind::NotFound)?;
        let place = linked(&self.procfs.join(process.to_string()), &found)?;
        if !place.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        reopen(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A node with this test as process 7, which nobody else is.
    fn node(directory: &Path) -> BuildIds {
        symlink(format!("/proc/{}", std::process::id()), directory.join("7")).unwrap();
        BuildIds::new(directory.to_owned())
    }

    fn mapped(path: &Path, processes: [u32; 2]) -> MappedFile {
        let metadata = std::fs::metadata(path).unwrap();
        let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        let path = path.to_str().unwrap().as_bytes().to_vec();
        MappedFile { processes, path, device: major << 20 | minor, inode: metadata.ino() }
    }

    /// An executable file with this build id.
    fn program(path: &Path, id: &[u8]) {
        std::fs::write(path, elf::tests::with_build_id(id)).unwrap();
    }

    #[test]
    fn a_mapped_file_has_its_build_id() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = node(directory.path());
        let path = directory.path().join("program");
        program(&path, b"12345678");
        let file = mapped(&path, [7, 0]);
        assert_eq!(ids.of(&file), Some(b"12345678".to_vec()));
        assert_eq!(ids.known.len(), 1);
        assert_eq!(ids.of(&file), Some(b"12345678".to_vec()), "remembered");
        // The process is gone; its parent sees the same file.
        assert_eq!(ids.of(&MappedFile { processes: [8, 7], ..file.clone() }), Some(b"12345678".to_vec()));
        assert_eq!(ids.of(&MappedFile { processes: [8, 9], ..file.clone() }), None);
        std::fs::write(&path, "#!/bin/sh").unwrap();
        assert_eq!(ids.of(&file), Some(Vec::new()), "written since: what is there now");
    }

    #[test]
    fn another_file_at_the_path_is_not_taken_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = node(directory.path());
        let path = directory.path().join("program");
        program(&path, b"12345678");
        let file = mapped(&path, [7, 0]);
        assert_eq!(ids.of(&MappedFile { inode: file.inode + 1, ..file.clone() }), None);
        assert_eq!(ids.of(&MappedFile { device: file.device ^ 1, ..file.clone() }), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ids.of(&file), None);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert_eq!(
            ids.of(&mapped(&path, [7, 0])),
            None,
            "a pipe is not opened, which would wait for a writer"
        );
    }

    #[test]
    fn a_file_that_no_path_leads_to_is_found_by_its_mapping() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = node(directory.path());
        let exe = std::env::current_exe().unwrap();
        let known = mapped(&exe, [7, 0]);
        let by_path = ids.of(&known).unwrap();
        // Links of `map_files` are for those who may follow them.
        let by_mapping = ids.of(&MappedFile { path: b"/nowhere".to_vec(), ..known });
        assert!(by_mapping.is_none_or(|found| found == by_path));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let mut ids = node(directory.path());
        let version = |inode| Version { device: 0, inode, bytes: 0, changed: (0, 0) };
        ids.known.extend((0..KNOWN_MAX as u64).map(|inode| (version(inode), Vec::new())));
        let path = directory.path().join("program");
        program(&path, b"12345678");
        assert!(ids.of(&mapped(&path, [7, 0])).is_some());
        assert_eq!(ids.known.len(), 1);
    }
}
