//! Runs a command on this machine's own kernel.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Options, Outcome};

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

fn execute(options: &Options, script: &str) -> Result<Outcome> {
    let started = Instant::now();
    let out = tempfile::tempdir().context("creating a directory for the files")?;
    let (mut reader, writer) = std::io::pipe().context("creating a pipe")?;
    let mut child = Command::new("bash")
        .args(["-c", script])
        .env("LAB_OUT", out.path())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("starting bash")?;
    let live = options.live;
    let output = thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
            if let Some(live) = live {
                live(&buffer[..count]);
            }
        }
        all
    });
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for the command")? {
            break status;
        }
        if started.elapsed() >= options.timeout {
            child.kill().context("ending the command")?;
            child.wait()?;
            bail!("the command did not end within {} s", options.timeout.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Outcome {
        exit_code: std::os::unix::process::ExitStatusExt::signal(&status)
            .map_or_else(|| status.code().unwrap_or(-1), |signal| 128 + signal),
        output: output.join().unwrap_or_default(),
        files: files(out.path())?,
        console: String::new(),
        release: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        boot_seconds: 0.0,
        command_seconds: seconds,
        seconds,
        retried: false,
    })
}

fn files(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
    }
    Ok(files)
}
