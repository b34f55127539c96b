//! Event lines in a file that is rotated by size.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
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
    written_bytes: u64,
}

impl RotatedFile {
    /// Opens the file, appending to what is there.
    pub fn open(limits: FileLimits) -> io::Result<Self> {
        let mut rotated = Self { limits, file: None, written_bytes: 0 };
        rotated.reopen()?;
        Ok(rotated)
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
        self.written_bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Writes whole lines. A failed write leaves no half line behind, as far as the file system lets it.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.written_bytes >= self.limits.rotate_bytes {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
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
            file.write(line.as_bytes()).unwrap();
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
        file.write(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("events.log.1")).unwrap(), "before\n");
        let mode = fs::metadata(directory.path().join("events.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_backups_the_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 1, 0)).unwrap();
        file.write(b"one\n").unwrap();
        file.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "two\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_moved_away_is_written_until_it_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::open(limits(directory.path(), 1000, 1)).unwrap();
        file.write(b"one\n").unwrap();
        let moved = directory.path().join("moved");
        fs::rename(file.path(), &moved).unwrap();
        file.write(b"two\n").unwrap();
        file.reopen().unwrap();
        file.write(b"three\n").unwrap();
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
            assert!(file.write(b"one\n").is_err());
        }
    }
}
