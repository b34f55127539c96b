//! A private apt: fetches Debian packages of any suite without reading or changing the machine's own packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::kernels::cache_dir;
use super::{mirror, process};

/// An apt that knows one suite and nothing of the machine's packages.
pub(super) struct Apt {
    dir: PathBuf,
    suite: String,
    /// One program at a time uses a suite's lists and cache.
    _lock: fs::File,
}

impl Apt {
    pub(super) fn prepare(suite: &str) -> Result<Self> {
        let dir = cache_dir()?.join(format!("apt-{suite}"));
        for part in ["lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("creating {}", dir.display()))?;
        }
        let lock =
            fs::File::create(dir.join("owner.lock")).context("creating the lock of a private apt root")?;
        lock.lock().context("waiting for a private apt root")?;
        let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
        ensure!(keyring.exists(), "{} is missing: install debian-archive-keyring", keyring.display());
        let stanza = |uri: &str, suite: &str| {
            format!(
                "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\n\
                 Signed-By: {}\n\n",
                keyring.display()
            )
        };
        let mut source = stanza(&mirror::debian_mirror()?, suite);
        // Kernels of a stable release are newest in its security archive.
        let stable = suite != "sid" && !suite.contains('-');
        if let Some(uri) = mirror::security_mirror().filter(|_| stable) {
            source.push_str(&stanza(&uri, &format!("{suite}-security")));
        }
        fs::write(dir.join("sources/lictor.sources"), source)?;
        fs::write(dir.join("status"), "")?;
        Ok(Self { dir, suite: suite.to_owned(), _lock: lock })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        let dir = self.dir.display();
        let options = [
            format!("Dir::Etc::sourcelist={dir}/sources/lictor.sources"),
            format!("Dir::Etc::sourceparts={dir}/sources"),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={dir}"),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}/cache"),
            "APT::Architecture=amd64".to_owned(),
            "APT::Get::AllowUnauthenticated=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            // The cache is in a home directory, which apt's own user may not enter.
            "APT::Sandbox::User=root".to_owned(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        if self.suite == "sid" {
            // Mirrors of unstable may lag behind the index's expiry; the signature is still checked.
            command.args(["-o", "Acquire::Check-Valid-Until=false"]);
        }
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        // Errors must be errors: by default apt-get update ends with 0 when a mirror could not be reached.
        process::capture(self.command("apt-get").args(["-o", "APT::Update::Error-Mode=any"]).args(arguments))
    }

    pub(super) fn cache(&self, arguments: &[&str]) -> Result<String> {
        process::capture(self.command("apt-cache").args(arguments))
    }

    pub(super) fn download(&self, package: &str, into: &Path) -> Result<()> {
        process::capture(self.command("apt-get").args(["download", package]).current_dir(into)).map(drop)
    }

    /// Downloads packages and all that they depend on.
    pub(super) fn download_all(&self, packages: &[&str], into: &Path) -> Result<()> {
        let archives = format!("Dir::Cache::archives={}", into.display());
        let mut command = self.command("apt-get");
        command.args(["-o", &archives, "--download-only", "--yes", "--no-install-recommends", "install"]);
        process::capture(command.args(packages)).map(drop)
    }
}
