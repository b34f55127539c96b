//! Running helper programs.

use std::fs;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Options;

/// Called with one line of progress for a person who waits.
pub type Report = fn(&str);

/// Lines of a failed program's output that are worth showing.
const TAIL_LINES: usize = 12;

/// How often a running program and its output are looked at.
const POLL: Duration = Duration::from_millis(20);

/// Runs a program and returns its stdout.
///
/// # Errors
/// When it cannot be started or ends with a failure; the error holds the last lines that it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        bail!("{} failed ({}):\n{}", name(command), output.status, tail(&text, TAIL_LINES));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and returns all of its output, whatever its exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.output().map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            not_installed(&name(command))
        } else {
            anyhow::Error::new(error).context(format!("starting {}", name(command)))
        }
    })
}

/// Checks that a program is in the search path, for programs that another one starts.
pub(crate) fn require(program: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if found { Ok(()) } else { Err(not_installed(program)) }
}

fn not_installed(program: &str) -> anyhow::Error {
    anyhow::anyhow!("{program} is not installed: run `cargo xtask setup`")
}

/// As [`capture`], for output that is not text.
pub(crate) fn capture_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = output(command).context("running a helper program")?;
    if !output.status.success() {
        bail!("{} failed: {}", name(command), tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES));
    }
    Ok(output.stdout)
}

/// The last `lines` lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Waits for a program whose output goes to a file, passing that on; false when the time is up.
pub(super) fn watch(child: &mut Child, options: &Options, output: &Path, started: Instant) -> Result<bool> {
    let mut shown = 0;
    loop {
        let ended = child.try_wait().context("waiting for the program")?.is_some();
        if let Some(live) = options.live {
            shown += show(live, output, shown);
        }
        if ended {
            return Ok(true);
        }
        if started.elapsed() >= options.timeout {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

/// Passes on what was added to the output since `from`; returns how much.
fn show(live: fn(&[u8]), output: &Path, from: u64) -> u64 {
    let mut added = Vec::new();
    let read = fs::File::open(output).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut added)
    });
    if read.is_ok() && !added.is_empty() {
        live(&added);
    }
    added.len() as u64
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
        assert_eq!(require("no-such-program-here").unwrap_err().to_string(), error);
        assert!(require("sh").is_ok());
    }
}
