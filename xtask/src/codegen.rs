//! `cargo xtask codegen`: starts the generators, which are programs of their own.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Writes the generated files, or checks that the committed ones are as they would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    generator("lictor-codegen", "lictor-codegen", check)?;
    generator("lictor-crds", "lictor-crd-manifests", check)
}

fn generator(package: &str, program: &str, check: bool) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root()).args(["run", "--quiet", "--package", package, "--bin", program, "--"]);
    if check {
        command.arg("--check");
    }
    let output = command.output().context("starting the generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end().trim_start_matches("error: "));
    }
    Ok(())
}
