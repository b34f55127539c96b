//! The wall clock of a program, which jumps at will; the monotonic one goes on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::lab::{Packages, Report};

const PACKAGES: Packages = Packages {
    name: "faketime",
    suite: "bookworm",
    packages: &["libfaketime"],
    // It is linked with nothing but the C library.
    with_dependencies: false,
};
/// The library among the package's files.
const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A clock.
pub(super) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right.
    pub(super) fn new(directory: &Path, report: Report) -> Result<Self> {
        let clock = Self { library: PACKAGES.obtain(report)?.join(LIBRARY), file: directory.join("clock") };
        clock.jump("+0")?;
        Ok(clock)
    }

    /// How far it is ahead from now on, such as `+2h` or `-400d`.
    pub(super) fn jump(&self, offset: &str) -> Result<()> {
        // Whole or not at all: the programs read it whenever they ask for the time.
        let next = self.file.with_extension("next");
        fs::write(&next, offset).and_then(|()| fs::rename(&next, &self.file)).context("moving the clock")
    }

    /// What makes a program use this clock.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
