//! Running helper programs.

use std::io::ErrorKind;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Called with one line of progress for a person who waits.
pub type Report = fn(&str);

/// Lines of a failed program's output that are worth showing.
const TAIL_LINES: usize = 12;

/// Runs a program and returns its stdout.
///
/// # Errors
/// When it cannot be started or ends with a failure; the error holds the last lines that it printed.
pub(super) fn capture(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        bail!("{} failed ({}):\n{}", name(command), output.status, tail(&text, TAIL_LINES));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and returns all of its output, whatever its exit status.
pub(super) fn output(command: &mut Command) -> Result<Output> {
    command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("{} is not installed: run `cargo xtask setup`", name(command)),
        _ => anyhow::Error::new(error).context(format!("starting {}", name(command))),
    })
}

/// As [`capture`], for output that is not text.
pub(super) fn capture_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = output(command).context("running a helper program")?;
    if !output.status.success() {
        bail!("{} failed: {}", name(command), tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES));
    }
    Ok(output.stdout)
}

/// The last `lines` lines of a text.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_last_lines() {
        let error = capture(Command::new("sh").args(["-c", "seq 1 30; exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("\n30") && !error.contains("\n18\n"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = capture(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
        assert!(error.contains("no-such-program-here") && error.contains("xtask setup"), "{error}");
    }
}
