//! The operations that are measured.

use super::clock::{Effort, cost};
use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{pread, write};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// The file that is opened and read: a path of six components.
pub(super) const FILE: &str = "/srv/tenant-0000/data/000/models/weights.bin";
/// Its directory.
pub(super) const DIRECTORY: &str = "/srv/tenant-0000/data/000/models/";
/// A static program that ends at once.
const PROGRAM: &str = "/usr/bin/busybox";
/// Files of the scan, in directories of [`PER_DIRECTORY`].
const SCAN_FILES: u32 = 2000;
const PER_DIRECTORY: u32 = 50;

/// Something whose cost is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Operation {
    /// Opens [`FILE`] and closes it.
    Open,
    /// Reads one byte of [`FILE`].
    Read,
    /// Writes one byte to `/dev/null`.
    Write,
    /// A new process that executes a static program, which ends at once.
    Exec,
    /// The first open of each of 2,000 files, 50 in a directory.
    Scan,
    /// The same after another file of each directory was opened.
    ScanKnown,
    /// Renames a file, and back.
    RenameFile,
    /// Renames a directory, and back.
    RenameDirectory,
    /// A bind mount and its unmount.
    Mount,
}

impl Operation {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Exec,
        Self::Scan,
        Self::ScanKnown,
        Self::RenameFile,
        Self::RenameDirectory,
        Self::Mount,
    ];

    /// The name in rows.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open+close",
            Self::Read => "read",
            Self::Write => "write",
            Self::Exec => "fork+exec+exit",
            Self::Scan => "scan",
            Self::ScanKnown => "scan, known directory",
            Self::RenameFile => "rename file pair",
            Self::RenameDirectory => "rename directory pair",
            Self::Mount => "mount+umount",
        }
    }
}

/// Files to work on, opened once.
pub(super) struct Workload {
    effort: Effort,
    file: CString,
    opened: OwnedFd,
    null: OwnedFd,
    scan: Vec<CString>,
    /// A further file of each directory of the scan.
    known: Vec<CString>,
}

fn open(path: &CString, flags: OFlags) -> Result<OwnedFd> {
    openat(CWD, path, flags, Mode::empty()).with_context(|| path.to_string_lossy().into_owned())
}

fn create(path: &str) -> Result<CString> {
    let parent = Path::new(path).parent().context("no directory")?;
    fs::create_dir_all(parent)?;
    fs::write(path, "weights")?;
    Ok(CString::new(path)?)
}

impl Workload {
    /// Creates the files.
    pub(super) fn new(effort: Effort) -> Result<Self> {
        let file = create(FILE)?;
        let directories = 0..SCAN_FILES / PER_DIRECTORY;
        let mut scan = Vec::new();
        let mut known = Vec::new();
        for directory in directories {
            known.push(create(&format!("/srv/scan/dir-{directory}/known.dat"))?);
            for number in 0..PER_DIRECTORY {
                scan.push(create(&format!("/srv/scan/dir-{directory}/file-{number}.dat"))?);
            }
        }
        for directory in ["/srv/moved/a", "/srv/mounted"] {
            fs::create_dir_all(directory)?;
        }
        create("/srv/moved/file")?;
        let null = open(&c"/dev/null".to_owned(), OFlags::WRONLY)?;
        Ok(Self { effort, opened: open(&file, OFlags::RDONLY)?, null, file, scan, known })
    }

    /// Instructions of one `operation`. `round` runs before each round, `each` before each operation; `each` counts.
    pub(super) fn measure(
        &self,
        operation: Operation,
        mut round: impl FnMut() -> Result<()>,
        each: impl Fn() -> Result<()>,
    ) -> Result<f64> {
        let effort = self.effort;
        match operation {
            Operation::Open => cost(effort, round, |_| {
                each()?;
                open(&self.file, OFlags::RDONLY).map(drop)
            }),
            Operation::Read => cost(effort, round, |_| {
                each()?;
                self.read()
            }),
            Operation::Write => cost(effort, round, |_| {
                each()?;
                ensure!(write(&self.null, &[0])? == 1, "nothing was written");
                Ok(())
            }),
            Operation::Exec => cost(effort.divided(10), round, |_| execute()),
            Operation::Scan => cost(self.scan_effort(), round, |number| self.scan_one(number)),
            Operation::ScanKnown => {
                let warm = || {
                    round()?;
                    self.known.iter().try_for_each(|path| open(path, OFlags::RDONLY).map(drop))
                };
                cost(self.scan_effort(), warm, |number| self.scan_one(number))
            }
            Operation::RenameFile => cost(effort.divided(2), round, |_| there_and_back("/srv/moved/file")),
            Operation::RenameDirectory => cost(effort.divided(2), round, |_| there_and_back("/srv/moved/a")),
            Operation::Mount => cost(effort.divided(10), round, |_| {
                mount_bind("/srv/moved", "/srv/mounted")?;
                Ok(unmount("/srv/mounted", UnmountFlags::DETACH)?)
            }),
        }
    }

    /// Reads one byte of [`FILE`].
    pub(super) fn read(&self) -> Result<()> {
        ensure!(pread(&self.opened, &mut [0u8], 0)? == 1, "nothing was read");
        Ok(())
    }

    fn scan_effort(&self) -> Effort {
        Effort { operations: SCAN_FILES, ..self.effort }
    }

    fn scan_one(&self, number: u32) -> Result<()> {
        open(&self.scan[number as usize], OFlags::RDONLY).map(drop)
    }
}

fn execute() -> Result<()> {
    let mut command = Command::new(PROGRAM);
    let status = command.arg("true").stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{PROGRAM} true: {status}");
    Ok(())
}

fn there_and_back(path: &str) -> Result<()> {
    let other = "/srv/moved/other";
    rustix::fs::rename(path, other)?;
    Ok(rustix::fs::rename(other, path)?)
}
