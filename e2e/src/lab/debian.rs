//! Debian packages as files: fetched and unpacked into the cache, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::Apt;
use super::kernels::cache_dir;
use super::process::{self, Report};
use crate::digest;

/// What is wanted of a suite.
#[derive(Clone, Copy, Debug)]
pub struct Packages {
    /// What they are for; part of the directory's name.
    pub name: &'static str,
    /// The suite.
    pub suite: &'static str,
    /// Names of packages.
    pub packages: &'static [&'static str],
    /// Whether what they depend on is wanted too.
    pub with_dependencies: bool,
}

/// Written last; holds the names of the files that were unpacked.
const COMPLETE: &str = "packages";

impl Packages {
    /// The directory with their files, if the cache holds it.
    pub fn cached(&self) -> Option<PathBuf> {
        let directory = self.directory().ok()?;
        directory.join(COMPLETE).exists().then(|| directory.join("root"))
    }

    /// The directory with their files, which are fetched when the cache does not hold them. No script of a package is
    /// run, and the machine's own packages are neither read nor changed.
    ///
    /// # Errors
    /// When the mirror cannot be reached, or a package is not in the suite.
    pub fn obtain(&self, report: Report) -> Result<PathBuf> {
        if let Some(root) = self.cached() {
            return Ok(root);
        }
        let directory = self.directory()?;
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let apt = Apt::prepare(self.suite)?;
        if let Some(root) = self.cached() {
            return Ok(root);
        }
        report(&format!(
            "fetching Debian packages for {} from {} (once; kept in {})",
            self.name,
            self.suite,
            directory.display()
        ));
        let (debs, root) = (directory.join("debs"), directory.join("root"));
        for unfinished in [&debs, &root] {
            if unfinished.exists() {
                fs::remove_dir_all(unfinished).context("removing an unfinished download")?;
            }
        }
        fs::create_dir_all(debs.join("partial"))?;
        apt.run(&["update"])?;
        if self.with_dependencies {
            apt.download_all(self.packages, &debs)?;
        } else {
            for package in self.packages {
                apt.download(package, &debs)?;
            }
        }
        let names = unpack(&debs, &root)?;
        fs::remove_dir_all(&debs).context("removing the downloaded packages")?;
        fs::write(directory.join(COMPLETE), names)?;
        Ok(root)
    }

    fn directory(&self) -> Result<PathBuf> {
        let dependencies = if self.with_dependencies { "with dependencies" } else { "" };
        let hash = digest::short_name(&[self.packages, &[dependencies]].concat());
        Ok(cache_dir()?.join("debian").join(format!("{}-{}-{hash}", self.name, self.suite)))
    }
}

/// Unpacks all packages of a directory; returns their file names, one a line.
fn unpack(debs: &Path, root: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(debs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            process::capture(Command::new("dpkg-deb").arg("-x").arg(&path).arg(root))?;
            names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_is_another_directory() {
        let packages =
            |packages, with_dependencies| Packages { name: "n", suite: "s", packages, with_dependencies };
        let directory = |packages: Packages| packages.directory().unwrap();
        assert_eq!(directory(packages(&["a", "b"], true)), directory(packages(&["a", "b"], true)));
        assert_ne!(directory(packages(&["a", "b"], true)), directory(packages(&["ab"], true)));
        assert_ne!(directory(packages(&["a"], true)), directory(packages(&["a"], false)));
    }
}
