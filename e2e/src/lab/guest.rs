//! What a guest's initramfs holds.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::cpio::{Contents, Tree};
use super::kernels::Kernel;
use super::{modules, process};

/// Where Debian's busybox-static is.
const C_LIBRARY: &str = "libc.so.6";
const BUSYBOX: &str = "/bin/busybox";

/// Programs taken from this machine, because a policy tells them apart: every applet of busybox is the same binary.
const PROGRAMS: &[&str] = &[
    "bash", "cat", "chmod", "chown", "chroot", "cp", "dash", "date", "dd", "env", "find", "grep", "head",
    "id", "ln", "ls", "mkdir", "mkfifo", "mktemp", "mount", "mv", "nsenter", "readlink", "rm", "rmdir",
    "sed", "seq", "setpriv", "sleep", "sort", "stat", "tail", "tee", "timeout", "touch", "truncate",
    "umount", "uname", "unshare", "wc",
];

/// Mount points and directories that programs expect.
const DIRECTORIES: &[&str] = &[
    "dev",
    "etc",
    "home",
    "lab/modules",
    "lab/root",
    "mnt",
    "opt",
    "out",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "var/lib",
    "var/log",
    "var/tmp",
];

/// Sample files, the kind that policies protect.
const SAMPLES: &[(&str, u32, &str)] = &[
    ("etc/passwd", 0o644, include_str!("etc/passwd")),
    ("etc/shadow", 0o640, include_str!("etc/shadow")),
    ("etc/group", 0o644, include_str!("etc/group")),
    ("etc/hostname", 0o644, "lab\n"),
    ("etc/hosts", 0o644, "127.0.0.1\tlocalhost lab\n::1\tlocalhost\n"),
    ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files\n"),
    (
        "etc/lsb-release",
        0o644,
        "DISTRIB_ID=Lab\nDISTRIB_RELEASE=1\nDISTRIB_CODENAME=lab\nDISTRIB_DESCRIPTION=\"Lab guest\"\n",
    ),
];

/// A file or directory to put into a guest.
#[derive(Clone, Debug)]
pub struct GuestFile {
    /// Absolute path in the guest.
    pub guest: String,
    /// Permission bits; those of the source when absent.
    pub mode: Option<u32>,
    /// What it holds.
    pub source: Contents,
}

/// Lays out the root file system for one run.
pub(super) fn layout(
    kernel: &Kernel,
    wanted_modules: &[String],
    files: &[GuestFile],
    command: &str,
) -> Result<Tree> {
    let mut tree = Tree::default();
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("usr/sbin", "bin"),
    ] {
        tree.link(link, target);
    }
    for directory in DIRECTORIES {
        tree.directory(directory);
    }
    tree.char_device("dev/console", 5, 1);
    for (path, mode, text) in SAMPLES {
        tree.file(path, *mode, Contents::Bytes(text.as_bytes().to_vec()));
    }
    tree.file("init", 0o755, Contents::Bytes(include_bytes!("init.sh").to_vec()));
    tree.file("lab/command", 0o644, Contents::Bytes(command.as_bytes().to_vec()));
    add_modules(&mut tree, kernel, wanted_modules, "lab/modules")?;
    tree.link("usr/bin/sh", "dash");
    let mut binaries = Vec::new();
    for program in PROGRAMS {
        let path = find_program(program)?;
        tree.file(&format!("usr/bin/{program}"), 0o755, Contents::Path(path.clone()));
        binaries.push(path);
    }
    for file in files {
        add(&mut tree, file, &mut binaries)?;
    }
    for library in shared_libraries(&binaries)? {
        let path = library.to_string_lossy().into_owned();
        // Where other distributions have it.
        if library.file_name().is_some_and(|name| name == C_LIBRARY) {
            tree.link(&format!("usr/lib64/{C_LIBRARY}"), &path);
        }
        tree.file(&path, 0o755, Contents::Path(library));
    }
    // Without it the loader looks only into its own default directories.
    if Path::new("/etc/ld.so.cache").exists() {
        tree.file("etc/ld.so.cache", 0o644, Contents::Path(PathBuf::from("/etc/ld.so.cache")));
    }
    applets(&mut tree)?;
    Ok(tree)
}

/// Adds kernel modules and what they depend on to a directory, named so that they can be inserted in the order of their
/// names.
pub(crate) fn add_modules(
    tree: &mut Tree,
    kernel: &Kernel,
    wanted: &[impl AsRef<str>],
    directory: &str,
) -> Result<()> {
    for (position, module) in modules::load_order(&kernel.modules, wanted)?.into_iter().enumerate() {
        let path = format!("{directory}/{position:02}-{}.ko", module.name);
        tree.file(&path, 0o644, Contents::Bytes(module.contents));
    }
    Ok(())
}

/// Adds busybox, and its applets where nothing else has the name.
fn applets(tree: &mut Tree) -> Result<()> {
    ensure!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is missing: run `cargo xtask setup`");
    ensure!(!is_dynamic(Path::new(BUSYBOX))?, "{BUSYBOX} is not the static one: install busybox-static");
    tree.file("usr/bin/busybox", 0o755, Contents::Path(PathBuf::from(BUSYBOX)));
    for applet in process::capture(Command::new(BUSYBOX).arg("--list"))?.lines() {
        let path = format!("usr/bin/{applet}");
        if !tree.contains(&path) {
            tree.link(&path, "busybox");
        }
    }
    Ok(())
}

fn find_program(name: &str) -> Result<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("this machine has no {name}, which every Debian base has"))
}

/// Adds one given file, or a directory with everything in it.
fn add(tree: &mut Tree, file: &GuestFile, binaries: &mut Vec<PathBuf>) -> Result<()> {
    ensure!(file.guest.starts_with('/'), "the guest path `{}` is not absolute", file.guest);
    let path = match &file.source {
        Contents::Bytes(_) => {
            tree.file(&file.guest, file.mode.unwrap_or(0o644), file.source.clone());
            return Ok(());
        }
        Contents::Path(path) => path,
    };
    let metadata = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if metadata.is_dir() {
        tree.directory(&file.guest);
        for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let guest = format!("{}/{name}", file.guest.trim_end_matches('/'));
            add(tree, &GuestFile { guest, mode: file.mode, source: Contents::Path(entry.path()) }, binaries)?;
        }
        return Ok(());
    }
    let mode = file.mode.unwrap_or(metadata.permissions().mode() & 0o7777);
    tree.file(&file.guest, mode, file.source.clone());
    if is_dynamic(path)? {
        binaries.push(path.clone());
    }
    Ok(())
}

/// Whether a file is an executable or library that names an interpreter or other libraries.
fn is_dynamic(path: &Path) -> Result<bool> {
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    let mut head = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(4096).read_to_end(&mut head))
        .with_context(|| format!("reading {}", path.display()))?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let number = |at: usize, size: usize| {
        let mut bytes = [0; 8];
        let field = head.get(at..at + size)?;
        bytes[..size].copy_from_slice(field);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (Some(table), Some(entry_size), Some(entries)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return Ok(false);
    };
    let kinds: BTreeSet<usize> =
        (0..entries).filter_map(|index| number(table.checked_add(index * entry_size)?, 4)).collect();
    // A static position-independent program has a dynamic section too, but no interpreter; a library is the reverse.
    Ok(kinds.contains(&(PT_INTERP as usize))
        || (kinds.contains(&(PT_DYNAMIC as usize)) && path.to_string_lossy().contains(".so")))
}

/// The libraries, loader included, that the binaries need, as the dynamic loader of this machine finds them.
pub(crate) fn shared_libraries(binaries: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let dynamic = binaries.iter().map(|path| Ok((path, is_dynamic(path)?)));
    let dynamic: Vec<&PathBuf> = dynamic
        .filter_map(|entry: Result<_>| entry.map(|(path, yes)| yes.then_some(path)).transpose())
        .collect::<Result<_>>()?;
    if dynamic.is_empty() {
        return Ok(BTreeSet::new());
    }
    parse_ldd(&process::capture(Command::new("ldd").args(dynamic))?)
}

fn parse_ldd(text: &str) -> Result<BTreeSet<PathBuf>> {
    let mut libraries = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let location = line.split_once("=> ").map_or(line, |(_, location)| location);
        if location == "not found" {
            bail!("a program for the guest needs a library that this machine lacks: {line}");
        }
        if let Some((path, _)) = location.split_once(" (")
            && path.starts_with('/')
        {
            libraries.insert(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_output_is_understood() {
        let text = "/bin/cat:\n\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x3)\n/bin/other:\n\tstatically linked\n";
        let found = parse_ldd(text).unwrap();
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, expected.iter().map(PathBuf::from).collect());
        assert!(parse_ldd("\tlibx.so => not found\n").unwrap_err().to_string().contains("libx.so"));
    }

    #[test]
    fn dynamic_binaries_are_told_from_others() {
        assert!(is_dynamic(Path::new("/bin/cat")).unwrap());
        assert!(!is_dynamic(Path::new("/etc/passwd")).unwrap());
    }

    #[test]
    fn a_guest_path_must_be_absolute() {
        let file = GuestFile { guest: "x".to_owned(), mode: None, source: Contents::Bytes(Vec::new()) };
        assert!(add(&mut Tree::default(), &file, &mut Vec::new()).is_err());
    }
}
