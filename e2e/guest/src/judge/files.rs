//! Files that events are about.

use super::held::Thing;
use anyhow::{Context as _, Result, ensure};
use lictor_policy::model::FileType;
use lictor_policy::oracle::generate::texts;
use lictor_policy::oracle::{Endpoints, Reading};
use rustix::fs::{Mode, OFlags};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The structure of an open file.
pub(super) const STRUCTURE: &str = "file";

/// Makes and opens a file or a directory for each text that events are made of and that can be the path of one; and others.
pub(super) fn open() -> Result<Vec<Thing>> {
    let mut paths: Vec<String> =
        texts().filter(|text| is_path(text)).chain(["/dev/null".to_owned()]).collect();
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in &paths {
        files.push(open_one(path, &paths).with_context(|| path.clone())?);
    }
    let (reader, writer) = rustix::pipe::pipe()?;
    for descriptor in [reader, writer] {
        let endpoints = Endpoints::default();
        files.push(Thing { descriptor, text: Reading::Absent, kind: FileType::Fifo, endpoints });
    }
    Ok(files)
}

/// Whether a text is how the kernel writes the path of a file that can be opened in one step.
fn is_path(text: &str) -> bool {
    const LONGEST: usize = 1000;
    let made = text.starts_with('/') && !text.starts_with("/proc/");
    made && !text.ends_with('/') && text.len() <= LONGEST
}

/// Opens a file that is made if it is not there: a directory where another path leads through it.
fn open_one(path: &str, paths: &[String]) -> Result<Thing> {
    let below = format!("{path}/");
    if paths.iter().any(|other| other.starts_with(&below)) {
        std::fs::create_dir_all(path)?;
    } else if !Path::new(path).exists() {
        let parent = Path::new(path).parent().context("no directory")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, "")?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
    let found = std::fs::symlink_metadata(path)?.file_type();
    let kind = if found.is_dir() {
        FileType::Directory
    } else if found.is_char_device() {
        FileType::CharacterDevice
    } else {
        ensure!(found.is_file(), "neither a file nor a directory");
        FileType::Regular
    };
    let text = Reading::Text(path.as_bytes().to_vec());
    Ok(Thing { descriptor, text, kind, endpoints: Endpoints::default() })
}
