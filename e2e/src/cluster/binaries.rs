//! Kubernetes' own programs, etcd and helm: compiled once from the Go modules that `e2e/cluster/tools` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::go;
use crate::digest;
use crate::lab::{Report, cache_dir, process};

/// The Kubernetes that `go.mod` names; `k8s.io/kubernetes` and its staging modules have it in their versions.
pub const KUBERNETES_VERSION: &str = "v1.37.2";
/// The helm that `go.mod` names.
pub const HELM_VERSION: &str = "v4.3.1";

const GO_MOD: &str = include_str!("../../cluster/tools/go.mod");
const GO_SUM: &str = include_str!("../../cluster/tools/go.sum");

/// Name of a program, and its package. In this order the slow ones come first, and the rest uses what they compiled.
const PROGRAMS: &[(&str, &str)] = &[
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
];

/// Written last, when all programs are there.
const COMPLETE: &str = "complete";

/// The directory of the programs, if they are compiled already.
pub fn cached() -> Option<PathBuf> {
    directory().ok().filter(|directory| directory.join(COMPLETE).exists())
}

/// The directory of the programs, which are compiled when the cache does not hold them: minutes, once.
///
/// # Errors
/// When there is no Go and none can be fetched, a module cannot be fetched, or a program does not compile.
pub fn obtain(report: Report) -> Result<PathBuf> {
    if let Some(directory) = cached() {
        return Ok(directory);
    }
    let directory = directory()?;
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let lock = fs::File::create(directory.join("lock")).context("creating the cache lock")?;
    lock.lock().context("waiting for the cache lock")?;
    if let Some(directory) = cached() {
        return Ok(directory);
    }
    let go = go::obtain(report)?;
    for (position, (name, package)) in PROGRAMS.iter().enumerate() {
        let output = directory.join(name);
        if output.exists() {
            continue;
        }
        report(&format!(
            "compiling {name}, {} of {} (once; kept in {})",
            position + 1,
            PROGRAMS.len(),
            directory.display()
        ));
        // Under another name until it is whole.
        let unfinished = directory.join(format!("{name}.new"));
        compile(&go, package, &unfinished).with_context(|| format!("compiling {name} from its Go module"))?;
        fs::rename(unfinished, output)?;
    }
    fs::write(directory.join(COMPLETE), "")?;
    Ok(directory)
}

/// A directory for exactly these modules and flags.
fn directory() -> Result<PathBuf> {
    let name = digest::short_name(&[GO_MOD, GO_SUM, &linker_flags()]);
    Ok(cache_dir()?.join("cluster").join(name))
}

fn compile(go: &Path, package: &str, output: &Path) -> Result<()> {
    // Tests of other things may be running: they come first.
    let mut command = Command::new("nice");
    command.args(["-n", "15"]).arg(go).args([
        "build",
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
    ]);
    command.arg(linker_flags()).arg("-o").arg(output).arg(package);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/tools"));
    // The machine's own settings for other Go projects must not matter here.
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
    process::capture(&mut command).map(drop)
}

/// Without symbols, and with the versions that the programs report: Kubernetes refuses to run without one, and charts
/// ask for it.
fn linker_flags() -> String {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let mut flags = vec!["-s -w".to_owned()];
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (variable, value) in
            [("gitVersion", KUBERNETES_VERSION), ("gitMajor", major), ("gitMinor", minor)]
        {
            flags.push(format!("-X {package}.{variable}={value}"));
        }
    }
    flags.push(format!("-X helm.sh/helm/v4/internal/version.version={HELM_VERSION}"));
    flags.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_modules() {
        let requires = |module: &str, version: &str| {
            let wanted = format!("{module} {version}");
            GO_MOD.lines().any(|line| line.contains(&wanted))
        };
        assert!(requires("k8s.io/kubernetes", KUBERNETES_VERSION));
        assert!(requires("helm.sh/helm/v4", HELM_VERSION));
        for (name, package) in PROGRAMS {
            assert!(GO_MOD.lines().any(|line| line.trim() == *package), "{name} is no tool of go.mod");
        }
    }

    #[test]
    fn flags_hold_the_version() {
        assert!(linker_flags().contains("-X k8s.io/component-base/version.gitMinor=37"));
    }
}
