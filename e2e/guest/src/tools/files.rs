//! Single operations on files.

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, MemfdFlags, RenameFlags, memfd_create, renameat_with};
use rustix::io::Errno;
use std::io::{IoSlice, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

pub(super) fn exchange(one: &Path, other: &Path) -> Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .with_context(|| format!("exchanging {} and {}", one.display(), other.display()))
}

pub(super) fn write_parts(file: &Path, parts: &[String]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part.as_bytes())).collect();
    let written = file.write_vectored(&slices)?;
    println!("{written}");
    Ok(())
}

pub(super) fn threads(threads: u32, times: u32, file: &Path) -> Result<()> {
    let open = || (0..times).try_for_each(|_| std::fs::File::open(file).map(drop));
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..threads).map(|_| scope.spawn(open)).collect();
        for thread in opening {
            match thread.join() {
                Ok(opened) => opened.with_context(|| format!("opening {}", file.display()))?,
                Err(_) => anyhow::bail!("a thread panicked"),
            }
        }
        Ok(())
    })
}

pub(super) fn memfd(name: &str, program: &Path, arguments: &[String]) -> Result<()> {
    let mut copy = std::fs::File::from(memfd_create(name, MemfdFlags::CLOEXEC).context("memfd_create")?);
    std::io::copy(&mut std::fs::File::open(program)?, &mut copy)?;
    // What is open for writing cannot be run. This one stays open over exec: a script's interpreter would need it.
    let file = std::fs::File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).context("keeping the descriptor")?;
    drop(copy);
    let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if let Some(applet) = program.file_name() {
        command.arg0(applet);
    }
    Err(command.args(arguments).exec()).context("running the copy")
}

/// Whether `file` can be opened and read.
fn verdict(file: &str) -> &'static str {
    let opened = rustix::fs::open(file, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    match opened.and_then(|opened| rustix::io::read(opened, &mut [0; 1])) {
        Ok(_) => "allow",
        Err(Errno::PERM) => "deny",
        Err(Errno::NOENT) => "missing",
        Err(_) => "error",
    }
}

pub(super) fn deep(root: &Path, name: &str, depth: u32, file: &str) -> Result<()> {
    std::env::set_current_dir(root)?;
    for _ in 0..depth {
        if let Err(error) = std::fs::create_dir(name)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error.into());
        }
        std::env::set_current_dir(name)?;
    }
    if verdict(file) == "missing" {
        // Made by a hard link or a rename from elsewhere it would be opened under another name first.
        std::fs::rename(root.join("seed"), file).context("placing the file")?;
    }
    println!("{}", verdict(file));
    Ok(())
}
