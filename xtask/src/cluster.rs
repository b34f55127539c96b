//! `cargo xtask cluster`: runs a command against a real Kubernetes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lictor_e2e::cluster::{Cluster, Options, binaries};

use crate::{progress, setup};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Use the cluster of this kubeconfig instead of a fresh control plane
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Only get the programs into the cache
    #[arg(long, conflicts_with = "command")]
    fetch: bool,
    /// The command and its arguments; your shell when absent
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the command with `KUBECONFIG` set and kubectl and helm in its search path; the exit code is the command's.
pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    setup::run()?;
    let binaries = fetch()?;
    if arguments.fetch {
        progress::line(&format!("the programs are in {}", binaries.display()));
        return Ok(0);
    }
    if let Some(kubeconfig) = arguments.kubeconfig.as_ref().filter(|path| !path.as_os_str().is_empty()) {
        check(kubeconfig)?;
        progress::line(&format!("using the cluster of {}", kubeconfig.display()));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = user_command(arguments);
        command.env("KUBECONFIG", kubeconfig).env("PATH", format!("{}:{path}", binaries.display()));
        return status(&mut command);
    }
    let cluster = Cluster::start(&Options { report: progress::line, ..Options::default() })?;
    let code = status(user_command(arguments).envs(cluster.admin().environment()));
    progress::line("ending the control plane");
    code
}

/// Whoever names several files, or none, hears it before anything is built.
pub(crate) fn check(kubeconfig: &Path) -> Result<()> {
    ensure!(kubeconfig.is_file(), "{} is not a file: name one kubeconfig", kubeconfig.display());
    Ok(())
}

/// Gets the programs of the control plane into the cache.
pub(crate) fn fetch() -> Result<PathBuf> {
    if let Some(binaries) = binaries::cached() {
        return Ok(binaries);
    }
    progress::step("getting the programs of Kubernetes, etcd and helm", || binaries::obtain(progress::line))
}

fn user_command(arguments: &Arguments) -> Command {
    let Some((program, rest)) = arguments.command.split_first() else {
        progress::line("starting a shell; leave it to end the control plane");
        return Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    };
    let mut command = Command::new(program);
    command.args(rest);
    command
}

fn status(command: &mut Command) -> Result<i32> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {program}"))?;
    Ok(status.code().unwrap_or(128))
}
