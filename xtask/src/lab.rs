//! `cargo xtask lab`: runs a command on lab kernels.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use lictor_e2e::lab::{self, Acceleration, KernelName, Lab, Options, Outcome};

use crate::{progress, setup};

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kernel to boot: 6.1, 6.12 or sid; may be given several times
    #[arg(long = "kernel", short = 'k', value_name = "KERNEL", default_value = "6.12")]
    kernels: Vec<KernelName>,
    /// Run on this machine's own kernel instead
    #[arg(long, conflicts_with_all = ["kernels", "kvm", "icount", "files"])]
    native: bool,
    /// Use hardware virtualisation
    #[arg(long, conflicts_with = "icount")]
    kvm: bool,
    /// Count instructions: one guest instruction takes one nanosecond of guest time
    #[arg(long)]
    icount: bool,
    /// File or directory to put into the guest; without GUEST it goes to /usr/bin
    #[arg(long = "file", short = 'f', value_name = "HOST[:GUEST]")]
    files: Vec<String>,
    /// Directory for the files that the command leaves in `$LAB_OUT`
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<std::path::PathBuf>,
    /// Limit for one run, boot included
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
    /// Processors of the guest
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Memory of the guest, MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// The kernel's list of security modules
    #[arg(long, value_name = "LIST")]
    lsm: Option<String>,
    /// Further kernel argument
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Kernel module to insert first, with what it depends on
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// Print the kernel's messages too
    #[arg(long)]
    console: bool,
    /// The command, run by bash
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the command on each kernel; the exit code is the first that is not 0.
pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    let script = arguments.command.join(" ");
    let options = options(arguments);
    if arguments.native {
        let outcome = Lab::run_native(&options, &script)?;
        keep(arguments, &outcome, None)?;
        return Ok(outcome.exit_code);
    }
    setup::run()?;
    let mut code = 0;
    for kernel in &arguments.kernels {
        let mut lab = Lab::new(*kernel, options.clone());
        for file in &arguments.files {
            let (host, guest) = split(file)?;
            lab = lab.file(host, guest);
        }
        fetch(*kernel)?;
        let outcome = lab.run(&script)?;
        if arguments.console {
            eprint!("{}", outcome.console);
        }
        progress::line(&format!(
            "kernel {}: exit code {} after {:.1} s (guest: boot {:.1} s, command {:.2} s)",
            outcome.release,
            outcome.exit_code,
            outcome.seconds,
            outcome.boot_seconds,
            outcome.command_seconds
        ));
        keep(arguments, &outcome, (arguments.kernels.len() > 1).then_some(*kernel))?;
        if code == 0 {
            code = outcome.exit_code;
        }
    }
    Ok(code)
}

/// Gets a kernel into the cache.
pub(crate) fn fetch(kernel: KernelName) -> Result<()> {
    if lab::cached(kernel).is_some() {
        return Ok(());
    }
    progress::step(&format!("getting kernel {kernel}"), || lab::obtain(kernel, progress::line)).map(drop)
}

fn options(arguments: &Arguments) -> Options {
    let defaults = Options::default();
    Options {
        cpus: arguments.cpus,
        memory_mib: arguments.memory,
        timeout: Duration::from_secs(arguments.timeout),
        turns: false,
        acceleration: match (arguments.kvm, arguments.icount) {
            (true, _) => Acceleration::Kvm,
            (_, true) => Acceleration::Deterministic,
            _ => Acceleration::Emulated,
        },
        security_modules: arguments.lsm.clone().unwrap_or(defaults.security_modules),
        kernel_arguments: arguments.append.clone(),
        modules: arguments.modules.clone(),
        live: Some(|bytes| {
            let mut out = std::io::stdout();
            // A closed pipe on our side must not end the guest half-way.
            drop(out.write_all(bytes).and_then(|()| out.flush()));
        }),
        report: progress::line,
    }
}

/// `HOST:GUEST`, or `HOST` alone.
fn split(file: &str) -> Result<(String, String)> {
    let (host, guest) = match file.split_once(':') {
        Some((host, guest)) => (host, guest.to_owned()),
        None => (file, in_usr_bin(file)?),
    };
    ensure!(Path::new(host).exists(), "{host} does not exist");
    Ok((host.to_owned(), guest))
}

fn in_usr_bin(file: &str) -> Result<String> {
    let name = Path::new(file).file_name().with_context(|| format!("`{file}` names no file"))?;
    Ok(format!("/usr/bin/{}", name.to_string_lossy()))
}

/// Writes the files of a run to the directory asked for, one directory for each kernel if there are several.
fn keep(arguments: &Arguments, outcome: &Outcome, kernel: Option<KernelName>) -> Result<()> {
    let Some(out) = &arguments.out else { return Ok(()) };
    let directory = kernel.map_or_else(|| out.clone(), |kernel| out.join(kernel.as_str()));
    for (name, contents) in &outcome.files {
        if name.split('/').any(|part| part == "..") {
            bail!("the guest left a file with the name `{name}`");
        }
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, contents).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
