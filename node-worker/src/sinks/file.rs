//! Event lines in a file that is rotated by size.

use super::note::{Note, Notes, Records};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Where event lines are kept and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLimits {
    /// The file being written; older ones are called `NAME.1` (the newest) to `NAME.N`.
    pub path: PathBuf,
    /// A file that has reached this size is rotated, bytes.
    pub rotate_bytes: u64,
    /// Older files kept.
    pub backups: u32,
    /// Permission bits of new files.
    pub mode: u32,
}

/// A file of event lines. Whole batches are written, so no line is ever split between two files.
#[derive(Debug)]
pub struct RotatedFile {
    limits: FileLimits,
    file: Option<File>,
    inode: u64,
    written_bytes: u64,
    notes: Option<Notes>,
}

impl RotatedFile {
    /// Opens the file, appending to what is there.
    pub fn open(limits: FileLimits) -> io::Result<Self> {
        let mut rotated = Self { limits, file: None, inode: 0, written_bytes: 0, notes: None };
        rotated.reopen()?;
        Ok(rotated)
    }

    /// Takes a note of each write from here on, and puts in order what the last one left: how many of the records that
    /// `records` names have their lines in the file already. Half of a write is taken back.
    pub fn take_notes(&mut self, notes: Notes, records: Records) -> io::Result<u64> {
        let last = notes.read();
        self.notes = Some(notes);
        let Some(note) = last else { return Ok(0) };
        let same = note.inode == self.inode
            && note.records.ring == records.ring
            && note.records.position == records.position;
        let end = note.offset.saturating_add(note.length);
        if !same || self.written_bytes <= note.offset {
            return Ok(0);
        }
        if self.written_bytes >= end {
            return Ok(note.records.count);
        }
        if let Some(file) = &self.file {
            file.set_len(note.offset)?;
            self.written_bytes = note.offset;
        }
        Ok(0)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.limits.path
    }

    /// Opens the path anew: after another program has moved the file away.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let file =
            OpenOptions::new().append(true).create(true).mode(self.limits.mode).open(&self.limits.path)?;
        // The mode given to open is cut by the umask, and does not apply to a file that is there.
        file.set_permissions(Permissions::from_mode(self.limits.mode))?;
        let metadata = file.metadata()?;
        self.written_bytes = metadata.len();
        self.inode = metadata.ino();
        self.file = Some(file);
        Ok(())
    }

    /// Writes whole lines, which tell of these records and of those before them in their batch. A failed write leaves no half line behind, as far as the file system lets it.
    pub fn write(&mut self, lines: &[u8], records: Records) -> io::Result<()> {
        if self.written_bytes >= self.limits.rotate_bytes {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(notes) = &self.notes {
            let (offset, length) = (self.written_bytes, lines.len() as u64);
            notes.write(&Note { boot: notes.boot(), records, inode: self.inode, offset, length })?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.write_all(lines) {
            Ok(()) => {
                self.written_bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A full disk takes a part; readers must not see half a line followed by others.
                let _ = file.set_len(self.written_bytes);
                Err(error)
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.limits.backups == 0 {
            std::fs::remove_file(&self.limits.path)?;
        } else {
            for number in (1..self.limits.backups).rev() {
                ignore_missing(std::fs::rename(self.backup(number), self.backup(number + 1)))?;
            }
            ignore_missing(std::fs::rename(&self.limits.path, self.backup(1)))?;
        }
        self.reopen()
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.limits.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn limits(directory: &Path, rotate_bytes: u64, backups: u32) -> FileLimits {
        FileLimits { path: directory.join("events.log"), rotate_bytes, backups, mode: 0o600 }
    }

    #[test]
    fn old_files_are_kept_up_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 4, 2)).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            file.write(line.as_bytes(), Records::default()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).ok();
        assert_eq!(read("events.log").as_deref(), Some("four\n"));
        assert_eq!(read("events.log.1").as_deref(), Some("three\n"));
        assert_eq!(read("events.log.2").as_deref(), Some("two\n"));
        assert_eq!(read("events.log.3"), None);
    }

    #[test]
    fn what_is_there_is_kept_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("events.log"), "before\n").unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 7, 1)).unwrap();
        file.write(b"after\n", Records::default()).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("events.log.1")).unwrap(), "before\n");
        let mode = fs::metadata(directory.path().join("events.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_backups_the_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 1, 0)).unwrap();
        file.write(b"one\n", Records::default()).unwrap();
        file.write(b"two\n", Records::default()).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "two\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_moved_away_is_written_until_it_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 1000, 1)).unwrap();
        file.write(b"one\n", Records::default()).unwrap();
        let moved = directory.path().join("moved");
        fs::rename(file.path(), &moved).unwrap();
        file.write(b"two\n", Records::default()).unwrap();
        file.reopen().unwrap();
        file.write(b"three\n", Records::default()).unwrap();
        assert_eq!(fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "three\n");
    }

    #[test]
    fn a_full_device_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join("events.log")).unwrap();
        // Permissions of a device are not ours to change, but as root the call succeeds.
        if let Ok(mut file) =
            RotatedFile::open(FileLimits { mode: 0o666, ..limits(directory.path(), 1000, 1) })
        {
            assert!(file.write(b"one\n", Records::default()).is_err());
        }
    }

    #[test]
    fn what_was_written_before_a_kill_is_known_and_half_of_it_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let notes = || Notes::open(directory.path(), "boot").unwrap();
        let records = |position, count| Records { ring: 7, position, count };
        let open = || RotatedFile::open(limits(directory.path(), 1000, 1)).unwrap();
        let mut file = open();
        assert_eq!(file.take_notes(notes(), records(0, 0)).unwrap(), 0);
        file.write(b"one\n", records(0, 1)).unwrap();
        file.write(b"two\nthree\n", records(64, 3)).unwrap();
        // Killed before the space was given back.
        assert_eq!(open().take_notes(notes(), records(64, 0)).unwrap(), 3);
        // Killed after that, or another ring.
        assert_eq!(open().take_notes(notes(), records(128, 0)).unwrap(), 0);
        assert_eq!(open().take_notes(notes(), Records { ring: 8, ..records(64, 0) }).unwrap(), 0);
        // Killed within the write.
        let cut = |bytes| OpenOptions::new().write(true).open(file.path()).unwrap().set_len(bytes).unwrap();
        cut(9);
        assert_eq!(open().take_notes(notes(), records(64, 0)).unwrap(), 0);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one\n");
        // Killed before the write.
        assert_eq!(open().take_notes(notes(), records(64, 0)).unwrap(), 0);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one\n");
    }
}
