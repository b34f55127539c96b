//! `cargo xtask codegen`: starts the generator, which is a program of its own.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Writes the generated files, or checks that the committed ones are as they would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root()).args(["run", "--quiet", "--package", "lictor-codegen", "--"]);
    if check {
        command.arg("--check");
    }
    let output = command.output().context("starting the generator")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end().trim_start_matches("error: "));
    }
    Ok(())
}
