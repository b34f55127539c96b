//! Debian cloud kernels: which one a name stands for, how it is fetched, where it is cached.
//!
//! A private apt root is used, so that the machine's own package state is neither read nor changed. The mirror is the
//! one that the machine itself uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::apt::Apt;
use super::process::{self, Report};

/// A kernel that the lab can boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelName {
    /// Debian 12's kernel, Linux 6.1.
    V6_1,
    /// Debian 13's kernel, Linux 6.12.
    V6_12,
    /// The newest kernel of Debian unstable at the time it was fetched.
    Sid,
}

impl KernelName {
    /// Every kernel, oldest first.
    pub const ALL: &'static [Self] = &[Self::V6_1, Self::V6_12, Self::Sid];

    /// The name used on the command line and in the cache.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Sid => "sid",
        }
    }

    /// The suites that carry this kernel, tried in order.
    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::V6_1 => &["bookworm"],
            Self::V6_12 => &["bookworm-backports", "trixie"],
            Self::Sid => &["sid"],
        }
    }

    /// What the package's version must begin with; a suite that moved on to another series is not this kernel.
    fn version_prefix(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1.",
            Self::V6_12 => "6.12.",
            Self::Sid => "",
        }
    }
}

impl std::fmt::Display for KernelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for KernelName {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "6.1" => Ok(Self::V6_1),
            "6.12" => Ok(Self::V6_12),
            "sid" | "7.2" => Ok(Self::Sid),
            other => bail!("unknown kernel `{other}`: expected 6.1, 6.12 or sid (also called 7.2)"),
        }
    }
}

/// Where a cached kernel came from; written beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Debian package, such as `linux-image-6.1.0-40-cloud-amd64`.
    pub package: String,
    /// Debian version of that package.
    pub version: String,
    /// Further packages that hold parts of it, in suites that split the kernel into several.
    pub parts: Vec<String>,
    /// Suite the package was taken from.
    pub suite: String,
    /// Day of the download, UTC, `YYYY-MM-DD`.
    pub fetched: String,
}

/// A kernel on disk.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Which one it is.
    pub name: KernelName,
    /// Where it came from.
    pub origin: Origin,
    /// The boot image.
    pub image: PathBuf,
    /// The directory that holds the modules (`.../lib/modules/RELEASE`).
    pub modules: PathBuf,
}

const META_PACKAGE: &str = "linux-image-cloud-amd64";
const ORIGIN_FILE: &str = "kernel.json";

/// The cache directory: `$LICTOR_CACHE`, else `lictor` in the user's cache directory.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("LICTOR_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither LICTOR_CACHE nor HOME is set: no place for downloaded kernels")?;
    Ok(base.join("lictor"))
}

/// The kernel, if the cache holds it.
pub fn cached(name: KernelName) -> Option<Kernel> {
    open(name, &cache_dir().ok()?.join("kernels").join(name.as_str())).ok()
}

/// Returns the kernel, downloading it when the cache does not hold it yet. A cached kernel needs no network.
pub fn obtain(name: KernelName, report: Report) -> Result<Kernel> {
    let dir = cache_dir()?.join("kernels").join(name.as_str());
    if let Ok(kernel) = open(name, &dir) {
        return Ok(kernel);
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    // Two programs that want the same kernel must not download into each other's files.
    let lock = fs::File::create(dir.join("lock")).context("creating the cache lock")?;
    lock.lock().context("waiting for the cache lock")?;
    if let Ok(kernel) = open(name, &dir) {
        return Ok(kernel);
    }
    let mut failures = Vec::new();
    for suite in name.suites() {
        report(&format!("fetching kernel {name} from Debian {suite} (once; kept in {})", dir.display()));
        match fetch(name, suite, &dir) {
            Ok(()) => return open(name, &dir),
            Err(error) => failures.push(format!("suite {suite}, package {META_PACKAGE}: {error:#}")),
        }
    }
    bail!("kernel {name} cannot be had\n  {}", failures.join("\n  "))
}

/// Reads a kernel from its cache directory.
fn open(name: KernelName, dir: &Path) -> Result<Kernel> {
    let origin: Origin = serde_json::from_slice(&fs::read(dir.join(ORIGIN_FILE))?)?;
    let root = dir.join("root");
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|place| only_entry(&root.join(place), "").ok())
        .context("the kernel package holds no modules directory")?;
    // Suites before Debian 14 keep the image in /boot, later ones beside the modules.
    let image = only_entry(&root.join("boot"), "vmlinuz-").or_else(|_| only_entry(&modules, "vmlinuz"))?;
    Ok(Kernel { name, origin, image, modules })
}

fn only_entry(dir: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("no {prefix}* in {}", dir.display())
}

/// Downloads the newest kernel of a suite into `dir`.
fn fetch(name: KernelName, suite: &str, dir: &Path) -> Result<()> {
    let apt = Apt::prepare(suite)?;
    apt.run(&["update"])?;
    let meta = apt.cache(&["show", "--no-all-versions", META_PACKAGE])?;
    let package = image_package(&meta)
        .with_context(|| format!("{META_PACKAGE} names no kernel image in this suite; it says:\n{meta}"))?;
    let record = apt.cache(&["show", "--no-all-versions", &package])?;
    let version = field(&record, "Version").with_context(|| format!("{package} has no version"))?;
    ensure!(
        version.starts_with(name.version_prefix()),
        "the suite has {package} {version}, which is not a {name} kernel"
    );
    let parts = part_packages(&record, &package);
    let work = dir.join("new");
    if work.exists() {
        fs::remove_dir_all(&work).context("removing an unfinished download")?;
    }
    let (debs, root) = (work.join("debs"), work.join("root"));
    fs::create_dir_all(&debs)?;
    apt.download(&format!("{package}={version}"), &debs)?;
    for part in &parts {
        apt.download(part, &debs)?;
    }
    for deb in fs::read_dir(&debs)? {
        process::capture(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(&root))?;
    }
    let today = process::capture(Command::new("date").args(["-u", "+%F"]))?;
    let origin =
        Origin { package, version, parts, suite: suite.to_owned(), fetched: today.trim().to_owned() };
    let final_root = dir.join("root");
    if final_root.exists() {
        fs::remove_dir_all(&final_root).context("removing an unreadable kernel")?;
    }
    fs::rename(&root, &final_root)?;
    // Last, because its presence is what makes the directory a cached kernel.
    fs::write(dir.join(ORIGIN_FILE), serde_json::to_vec_pretty(&origin)?)?;
    fs::remove_dir_all(&work).context("removing the downloaded packages")
}

/// The packages with the same release that the image package's record depends on: Debian 14 keeps the image and the
/// modules in packages of their own.
fn part_packages(record: &str, package: &str) -> Vec<String> {
    let release = package.trim_start_matches("linux-image-");
    field(record, "Depends")
        .unwrap_or_default()
        .split([',', '|'])
        .filter_map(|item| item.split_whitespace().next())
        .filter(|name| {
            name.strip_suffix(release)
                .is_some_and(|kind| ["linux-binary-", "linux-modules-", "linux-base-"].contains(&kind))
        })
        .map(str::to_owned)
        .collect()
}

/// The kernel image that the meta package's record depends on.
fn image_package(record: &str) -> Option<String> {
    field(record, "Depends")?
        .split([',', '|'])
        .filter_map(|item| item.split_whitespace().next())
        .find(|package| package.starts_with("linux-image-") && package.ends_with("-cloud-amd64"))
        .map(str::to_owned)
}

fn field(record: &str, name: &str) -> Option<String> {
    record
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in KernelName::ALL {
            assert_eq!(name.as_str().parse::<KernelName>().unwrap(), *name);
        }
        assert_eq!("7.2".parse::<KernelName>().unwrap(), KernelName::Sid);
        assert!("6.6".parse::<KernelName>().is_err());
    }

    #[test]
    fn the_meta_package_names_the_image() {
        let record = "Package: linux-image-cloud-amd64\nVersion: 6.1.9-1\nDepends: linux-base (>= 4.3~), \
                      linux-image-6.1.0-40-cloud-amd64 (= 6.1.9-1)\nDescription: x\n";
        assert_eq!(image_package(record).as_deref(), Some("linux-image-6.1.0-40-cloud-amd64"));
        assert_eq!(field(record, "Version").as_deref(), Some("6.1.9-1"));
        assert_eq!(image_package("Depends: linux-base\n"), None);
    }

    #[test]
    fn a_split_kernel_has_parts() {
        let record = "Depends: dracut | initramfs-tools (>= 1), linux-base-7.2.1-cloud-amd64 (= 7), \
                      linux-binary-7.2.1-cloud-amd64 (= 7), linux-modules-7.2.1-cloud-amd64 (= 7)\n";
        let parts = part_packages(record, "linux-image-7.2.1-cloud-amd64");
        assert_eq!(parts.len(), 3, "{parts:?}");
        assert_eq!(parts[1], "linux-binary-7.2.1-cloud-amd64");
        let whole = "Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.1)\n";
        assert_eq!(part_packages(whole, "linux-image-6.1.0-40-cloud-amd64"), Vec::<String>::new());
    }
}
