//! Boots a guest and collects what it reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::kernels::{Kernel, KernelName};
use super::process;
use super::{Acceleration, Options, Outcome};

/// Why a run gave no outcome.
#[derive(Debug)]
pub(super) enum Failure {
    /// The guest never reached its init; worth one more try.
    NeverBooted(anyhow::Error),
    /// Anything else.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

const CONSOLE_TAIL_LINES: usize = 100;

/// The processor model, one that the kernel is known to run on under QEMU 7.2.
///
/// Without hardware virtualisation, 6.1 and 6.12 panic at random when they use 16-byte compare-and-exchange, and 7.2
/// cannot create inode or task storage when it lacks it. None of them gains from five-level page tables.
fn processor(kernel: KernelName, acceleration: Acceleration) -> &'static str {
    match (acceleration, kernel) {
        (Acceleration::Kvm, _) => "host",
        (_, KernelName::V6_1 | KernelName::V6_12) => "max,-la57,-cx16",
        (_, KernelName::Sid) => "max,-la57",
    }
}

fn kernel_arguments(options: &Options) -> String {
    let mut arguments = format!(
        "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable mitigations=off lsm={}",
        options.security_modules
    );
    for argument in &options.kernel_arguments {
        arguments.push(' ');
        arguments.push_str(argument);
    }
    arguments
}

/// QEMU's arguments for a machine without network and disks: kernel, processor, memory, and three serial ports whose
/// output goes to the files `console`, `output` and `report` of the directory, which also has the `initrd`.
pub(crate) fn arguments(kernel: &Kernel, options: &Options, directory: &Path) -> Vec<String> {
    let (accelerator, cpus) = match options.acceleration {
        Acceleration::Emulated if options.turns => ("tcg,thread=single", options.cpus),
        Acceleration::Emulated => ("tcg,thread=multi", options.cpus),
        // Guest time then follows the number of executed instructions, which needs a single processor.
        Acceleration::Deterministic => ("tcg,thread=single", 1),
        Acceleration::Kvm => ("kvm", options.cpus),
    };
    let (cpus, memory) = (cpus.to_string(), options.memory_mib.to_string());
    let (image, initrd) =
        (kernel.image.display().to_string(), directory.join("initrd").display().to_string());
    let append = kernel_arguments(options);
    let mut arguments = vec!["-M", "q35", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"];
    arguments.extend(["-accel", accelerator, "-cpu", processor(kernel.name, options.acceleration)]);
    if options.acceleration == Acceleration::Deterministic {
        arguments.extend(["-icount", "shift=0,sleep=off"]);
    }
    arguments
        .extend(["-smp", &cpus, "-m", &memory, "-kernel", &image, "-initrd", &initrd, "-append", &append]);
    let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    for port in ["console", "output", "report"] {
        arguments.extend(["-serial".to_owned(), format!("file:{}", directory.join(port).display())]);
    }
    arguments
}

fn command(kernel: &Kernel, options: &Options, directory: &Path) -> Command {
    // The guest dies with this program, whichever way that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nic", "none"]);
    command.args(arguments(kernel, options, directory));
    command
}

/// Boots the guest once. `tree` is its root file system.
pub(super) fn boot(kernel: &Kernel, options: &Options, tree: &super::cpio::Tree) -> Result<Outcome, Failure> {
    process::require("qemu-system-x86_64")?;
    let directory =
        tempfile::Builder::new().prefix("lictor-lab-").tempdir().context("creating a directory")?;
    let mut initrd = BufWriter::new(fs::File::create(directory.path().join("initrd"))?);
    tree.write(&mut initrd)?;
    initrd.flush()?;
    drop(initrd);
    let errors = directory.path().join("errors");
    let started = Instant::now();
    let mut child = command(kernel, options, directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&errors)?)
        .spawn()
        .context("starting the guest")?;
    let ended = process::watch(&mut child, options, &directory.path().join("output"), started);
    let killed = ended.as_ref().is_ok_and(|ended| !ended);
    if ended.is_err() || killed {
        child.kill().context("ending the guest")?;
    }
    let status = child.wait()?;
    ended?;
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap_or_default();
    let console = String::from_utf8_lossy(&read("console")).replace('\r', "");
    let report = read("report");
    let seconds = started.elapsed().as_secs_f64();
    let Some(report) = Report::parse(&report) else {
        let booted = report.starts_with(b"boot ");
        let why = match (killed, booted) {
            (true, true) => format!("the command did not end within {} s", options.timeout.as_secs()),
            (true, false) => {
                format!("the guest did not reach its init within {} s", options.timeout.as_secs())
            }
            (false, true) => "the guest went down before the command ended".to_owned(),
            (false, false) => format!("the guest never reached its init ({status})"),
        };
        let mut message = format!("kernel {}: {why}", kernel.name);
        let complaints = read("errors");
        for (what, bytes) in
            [("output", &read("output")), ("console", &read("console")), ("QEMU", &complaints)]
        {
            let text = process::tail(&String::from_utf8_lossy(bytes).replace('\r', ""), CONSOLE_TAIL_LINES);
            if !text.is_empty() {
                write!(message, "\nlast lines of {what}:\n{text}")?;
            }
        }
        let error = anyhow::Error::msg(message);
        return Err(if booted { Failure::Other(error) } else { Failure::NeverBooted(error) });
    };
    Ok(Outcome {
        exit_code: report.exit_code,
        output: read("output"),
        files: report.files,
        console,
        release: report.release,
        boot_seconds: report.boot_seconds,
        command_seconds: report.exit_seconds - report.boot_seconds,
        seconds,
        retried: false,
    })
}

/// What the guest said about itself.
#[derive(Debug, PartialEq)]
struct Report {
    release: String,
    boot_seconds: f64,
    exit_code: i32,
    exit_seconds: f64,
    files: BTreeMap<String, Vec<u8>>,
}

impl Report {
    /// None when the report does not go as far as its last line.
    fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).ok()
    }

    fn read(mut rest: &[u8]) -> Result<Self> {
        let boot = line(&mut rest)?;
        let ("boot", uptime, release) = words(&boot)? else { bail!("no boot line") };
        let exit = line(&mut rest)?;
        let ("exit", code, end) = words(&exit)? else { bail!("no exit line") };
        let mut report = Self {
            release: release.to_owned(),
            boot_seconds: uptime.parse()?,
            exit_code: code.parse()?,
            exit_seconds: end.parse()?,
            files: BTreeMap::new(),
        };
        loop {
            let next = line(&mut rest)?;
            if next == "done" {
                return Ok(report);
            }
            let ("file", size, name) = words(&next)? else { bail!("neither a file nor the end") };
            let size: usize = size.parse()?;
            ensure!(rest.len() >= size, "a file is cut short");
            let (contents, after) = rest.split_at(size);
            report.files.insert(name.to_owned(), contents.to_vec());
            rest = after;
        }
    }
}

fn line(rest: &mut &[u8]) -> Result<String> {
    let end = rest.iter().position(|byte| *byte == b'\n').context("the report is cut short")?;
    let text = String::from_utf8(rest[..end].to_vec())?;
    *rest = &rest[end + 1..];
    Ok(text)
}

fn words(line: &str) -> Result<(&str, &str, &str)> {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(first), Some(second), Some(third)) => Ok((first, second, third)),
        _ => bail!("`{line}` has fewer than three words"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_binary_files_is_read() {
        let bytes = b"boot 3.25 6.1.0\nexit 7 5.50\nfile 6 a/b.bin\n\0done\nfile 0 empty file\ndone\n";
        let report = Report::parse(bytes).unwrap();
        assert_eq!((report.exit_code, report.release.as_str()), (7, "6.1.0"));
        assert!((report.exit_seconds - report.boot_seconds - 2.25).abs() < 1e-9);
        assert_eq!(report.files["a/b.bin"], b"\0done\n");
        assert_eq!(report.files["empty file"], b"");
    }

    #[test]
    fn a_report_cut_short_is_none() {
        let bytes = b"boot 3.25 6.1.0\nexit 7 5.50\nfile 3 a\nabcdone\n";
        for length in 0..bytes.len() {
            assert_eq!(Report::parse(&bytes[..length]), None, "{length}");
        }
        assert!(Report::parse(bytes).is_some());
    }

    #[test]
    fn only_sid_keeps_the_sixteen_byte_exchange() {
        for kernel in KernelName::ALL {
            let model = processor(*kernel, Acceleration::Emulated);
            assert_eq!(model.contains("-cx16"), *kernel != KernelName::Sid);
            assert!(model.contains("-la57"));
        }
    }
}
