//! Runs a command on this machine's own kernel.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::{Options, Outcome, process};

/// What this machine lacks, in words; empty when it can be used.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    let uid = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root =
        uid.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !root {
        missing.push("root: run it as root".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        missing.push("type information: there is no /sys/kernel/btf/vmlinux".to_owned());
    }
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|module| module == "bpf") => {}
        Ok(list) => missing.push(format!("the BPF security module: the kernel runs `{}`", list.trim())),
        Err(error) => missing.push(format!("a readable /sys/kernel/security/lsm ({error})")),
    }
    missing
}

/// Runs a bash script here.
pub(super) fn run(options: &Options, script: &str) -> Result<Outcome> {
    let missing = missing();
    if !missing.is_empty() {
        bail!("this machine cannot be used as the lab; it lacks\n  {}", missing.join("\n  "));
    }
    execute(options, script)
}

/// As [`run`], without asking whether the kernel is good for anything.
pub(super) fn execute(options: &Options, script: &str) -> Result<Outcome> {
    let started = Instant::now();
    let directory = tempfile::tempdir().context("creating a directory")?;
    let (out, output) = (directory.path().join("out"), directory.path().join("output"));
    fs::create_dir(&out)?;
    // A file, not a pipe: a daemon that the script leaves behind would keep a pipe open.
    let writer = fs::File::create(&output)?;
    let mut child = Command::new("bash")
        .args(["-c", script])
        .env("LAB_OUT", &out)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("starting bash")?;
    if !process::watch(&mut child, options, &output, started)? {
        child.kill().context("ending the command")?;
        child.wait()?;
        bail!("the command did not end within {} s", options.timeout.as_secs());
    }
    let status = child.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    let mut files = BTreeMap::new();
    collect(&out, "", &mut files)?;
    Ok(Outcome {
        exit_code: status.signal().map_or_else(|| status.code().unwrap_or(-1), |signal| 128 + signal),
        output: fs::read(&output)?,
        files,
        console: String::new(),
        release: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        boot_seconds: 0.0,
        command_seconds: seconds,
        seconds,
        retried: false,
    })
}

/// Reads every file below a directory; `prefix` is what their names begin with.
fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if kind.is_file() {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_script_gives_output_files_and_exit_code() {
        let script = "echo out; echo err >&2; mkdir $LAB_OUT/d; echo x >$LAB_OUT/d/f; sleep 60 & exit 3";
        let outcome = execute(&Options::default(), script).unwrap();
        assert_eq!((outcome.exit_code, outcome.text().as_str()), (3, "out\nerr\n"));
        assert_eq!(outcome.files["d/f"], b"x\n");
        assert!(outcome.seconds < 30.0, "a process left behind must not be waited for");
        assert_eq!(execute(&Options::default(), "kill -9 $$").unwrap().exit_code, 137);
    }

    #[test]
    fn the_time_limit_holds() {
        let options = Options { timeout: Duration::from_millis(200), ..Options::default() };
        assert!(execute(&options, "exec sleep 60").unwrap_err().to_string().contains("did not end"));
    }
}
