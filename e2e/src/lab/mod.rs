//! The lab: runs a command on a real Debian kernel in a virtual machine and brings back what it did.
//!
//! A guest is a kernel, an initramfs made for the run and three serial ports. It needs no root, no network, no disk
//! image and no KVM.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

mod apt;
mod cases;
mod cpio;
mod debian;
mod guest;
mod kernels;
mod mirror;
mod modules;
mod native;
pub(crate) mod process;
mod qemu;

pub(crate) use cases::record_of_cases;
pub use cases::{CASE_FUNCTIONS, CaseResult, LabContext, LabTest, recorded_cases};
pub use cpio::Contents;
pub(crate) use cpio::Tree;
pub use debian::Packages;
pub use guest::GuestFile;
pub(crate) use guest::{add_modules, shared_libraries};
pub use kernels::{Kernel, KernelName, Origin, cache_dir, cached, obtain};
pub use process::Report;
pub(crate) use qemu::arguments as qemu_arguments;

/// How a guest's processor is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceleration {
    /// Software emulation: works everywhere.
    #[default]
    Emulated,
    /// Software emulation in which one guest instruction takes one nanosecond of guest time. One processor.
    Deterministic,
    /// Hardware virtualisation; needs `/dev/kvm`, and hangs on some machines that have it.
    Kvm,
}

/// How a guest is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Processors; one when deterministic.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Wall-clock limit for the whole run, boot included.
    pub timeout: Duration,
    /// How the processor is run.
    pub acceleration: Acceleration,
    /// Emulated processors take turns instead of running at the same time. QEMU can keep a breakpoint of the kernel's,
    /// which it puts there while it rewrites its own code, for a processor that begins to translate that code just then;
    /// the kernel no longer knows of it and goes down (seen with QEMU 7.2, `int3` in `trace_syscall_enter`). For tests
    /// that attach much and do not need processors that race.
    pub turns: bool,
    /// The kernel's `lsm=` list; without `bpf` in it, BPF LSM programs are not called.
    pub security_modules: String,
    /// Further kernel arguments.
    pub kernel_arguments: Vec<String>,
    /// Kernel modules to insert before the command, by name; what they depend on is added.
    pub modules: Vec<String>,
    /// Called with the command's output as it comes.
    pub live: Option<fn(&[u8])>,
    /// Called with lines of progress.
    pub report: Report,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: 2,
            memory_mib: 1024,
            timeout: Duration::from_mins(3),
            acceleration: Acceleration::Emulated,
            turns: false,
            // Without `integrity`, kernel 6.1 panics (`integrity_inode_get`) once a policy of IMA measures a file.
            security_modules: "landlock,lockdown,yama,integrity,bpf".to_owned(),
            kernel_arguments: Vec::new(),
            modules: Vec::new(),
            live: None,
            report: |_| {},
        }
    }
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code of the command; 128 and the signal's number when a signal ended it.
    pub exit_code: i32,
    /// What it wrote to stdout and stderr, byte for byte.
    pub output: Vec<u8>,
    /// The files it left in the directory `$LAB_OUT` (`/out` in a guest), by path relative to that.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Messages of the guest's kernel.
    pub console: String,
    /// The kernel's release.
    pub release: String,
    /// Guest seconds until its init ran.
    pub boot_seconds: f64,
    /// Guest seconds that the command took.
    pub command_seconds: f64,
    /// Wall-clock seconds of the run.
    pub seconds: f64,
    /// Whether a first guest never reached its init.
    pub retried: bool,
}

impl Outcome {
    /// The output as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// A run in preparation.
///
/// The command's stdout is a serial terminal (raw): pipe a program that behaves differently on terminals through `cat`.
#[derive(Clone, Debug)]
pub struct Lab {
    kernel: KernelName,
    options: Options,
    files: Vec<GuestFile>,
}

impl Lab {
    /// A run on the given kernel.
    pub fn new(kernel: KernelName, options: Options) -> Self {
        Self { kernel, options, files: Vec::new() }
    }

    /// Puts a file or directory of this machine at an absolute path of the guest. Libraries that a program needs are
    /// added.
    #[must_use]
    pub fn file(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.files.push(GuestFile { guest: guest.into(), mode: None, source: Contents::Path(host.into()) });
        self
    }

    /// Puts a file with these contents at an absolute path of the guest; `mode` holds the permission bits.
    #[must_use]
    pub fn text(mut self, guest: impl Into<String>, mode: u32, contents: impl Into<Vec<u8>>) -> Self {
        let source = Contents::Bytes(contents.into());
        self.files.push(GuestFile { guest: guest.into(), mode: Some(mode), source });
        self
    }

    /// Runs a bash script in a fresh guest.
    ///
    /// # Errors
    /// When the kernel cannot be had, the guest does not boot (it is tried twice), goes down early or does not end in
    /// time. A script that fails is not an error: its exit code is in the outcome.
    pub fn run(&self, script: &str) -> Result<Outcome> {
        let kernel = obtain(self.kernel, self.options.report)?;
        let tree = guest::layout(&kernel, &self.options.modules, &self.files, script)
            .with_context(|| format!("preparing a guest for kernel {}", self.kernel))?;
        match qemu::boot(&kernel, &self.options, &tree) {
            Ok(outcome) => Ok(outcome),
            Err(qemu::Failure::Other(error)) => Err(error),
            Err(qemu::Failure::NeverBooted(error)) => {
                (self.options.report)(&format!("{error:#}\ntrying once more"));
                match qemu::boot(&kernel, &self.options, &tree) {
                    Ok(outcome) => Ok(Outcome { retried: true, ..outcome }),
                    Err(qemu::Failure::Other(error) | qemu::Failure::NeverBooted(error)) => Err(error),
                }
            }
        }
    }

    /// Runs a bash script on this machine itself, as root. Files are not put anywhere: use their own paths.
    ///
    /// # Errors
    /// When this machine cannot judge events with BPF (what lacks is listed), or the script does not end in time.
    pub fn run_native(options: &Options, script: &str) -> Result<Outcome> {
        native::run(options, script)
    }
}
