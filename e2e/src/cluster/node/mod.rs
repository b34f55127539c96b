//! A real node: kubelet, containerd and runc on a Debian kernel with BPF LSM, in a guest.
//!
//! The guest's root is an initramfs made for the run, its only disk holds `/var/lib`. It reaches the API server through
//! QEMU's user network; the API server reaches it, and its pods, through a proxy inside it.

use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::control::HOST_FROM_GUEST;
use super::daemon::{Daemon, eventually};
use super::image::Image;
use super::pki::{Pair, Subject};
use super::ports::Port;
use super::{Cluster, Ran};
use crate::lab::{self, KernelName, Report, process, qemu_arguments};

mod system;

/// The image of the process that holds a pod's namespaces.
pub(super) const PAUSE_IMAGE: &str = "lictor.test/pause:1";

/// Boots of the emulated kernel that never reach their init are tried this often.
const BOOTS: u32 = 2;
/// How long the guest may take to reach its init.
const BOOT: Duration = Duration::from_mins(5);
/// How long it may take from there until the node is ready.
const READY: Duration = Duration::from_mins(15);
/// Longest answer of the shell in the guest.
const SHELL: Duration = Duration::from_mins(3);
/// Size of the disk; it is sparse.
const DISK: &str = "6G";
/// Lines of the guest's output that an error shows.
const LOG_LINES: usize = 25;
/// Last line of what the shell in the guest writes, before the exit code.
const MARK: &str = "shell-ended-with";

/// How a node is run.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its name in the cluster.
    pub name: String,
    /// Labels beside those that kubelet sets, `KEY=VALUE,...`.
    pub labels: String,
    /// Images that its pods can use; that of [`PAUSE_IMAGE`] must be among them.
    pub images: Vec<Image>,
    /// Kernel, processors and memory of the guest.
    pub guest: lab::Options,
    /// Directory of the built programs of this repository.
    pub programs: PathBuf,
}

/// What makes a node this node.
struct Settings {
    name: String,
    labels: String,
    api_address: String,
    pause_image: &'static str,
    kubeconfig: String,
    ca: String,
    serving: Pair,
}

/// A running node. Dropping it cuts its power.
#[derive(Debug)]
pub struct Node {
    name: String,
    guest: Mutex<Daemon>,
    directory: PathBuf,
    shell: Port,
    relay: Port,
    report: Report,
}

/// Gets what a node needs beside the programs of Kubernetes into the cache.
///
/// # Errors
/// When something cannot be fetched.
pub fn fetch(report: Report) -> Result<()> {
    lab::obtain(KernelName::V6_12, report)?;
    system::PACKAGES.obtain(report).map(drop)
}

impl Node {
    /// Boots a node of a cluster, until its init runs. [`Node::wait_ready`] waits for the rest.
    ///
    /// # Errors
    /// When something is missing that cannot be fetched, or the guest does not boot.
    pub fn start(cluster: &Cluster, options: &NodeOptions) -> Result<Self> {
        process::require("qemu-system-x86_64")?;
        let report = options.guest.report;
        let directory = cluster.directory().join(&options.name);
        fs::create_dir_all(&directory)?;
        let kernel = lab::obtain(KernelName::V6_12, report)?;
        let packages = system::PACKAGES.obtain(report)?;
        let mut images = Vec::new();
        for (position, image) in options.images.iter().enumerate() {
            let archive = directory.join(format!("image-{position}.tar"));
            image.write(&archive)?;
            images.push(archive);
        }
        let parts = system::Parts {
            kernel: &kernel,
            packages: &packages,
            binaries: cluster.binaries(),
            programs: &options.programs,
            images: &images,
            settings: &settings(cluster, options)?,
        };
        let mut initrd = BufWriter::new(fs::File::create(directory.join("initrd"))?);
        parts.tree()?.write(&mut initrd)?;
        initrd.flush()?;
        for image in images {
            fs::remove_file(image)?;
        }
        let (shell, relay) = (Port::reserve()?, Port::reserve()?);
        let mut arguments = qemu_arguments(&kernel, &options.guest, &directory);
        let forward = |port: &Port, to: u16| format!("hostfwd=tcp:127.0.0.1:{}-:{to}", port.number());
        let network = format!("user,id=net,{},{}", forward(&shell, 2222), forward(&relay, 3128));
        let disk = directory.join("disk");
        let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
        for argument in
            ["-drive", &drive, "-netdev", &network, "-device", "virtio-net-pci,netdev=net,romfile="]
        {
            arguments.push(argument.to_owned());
        }
        arguments.extend(["-device", "virtio-rng-pci"].map(str::to_owned));
        let guest = Daemon::new("qemu", "qemu-system-x86_64", &directory).arguments(arguments);
        let node =
            Self { name: options.name.clone(), guest: Mutex::new(guest), directory, shell, relay, report };
        node.boot(&disk)?;
        cluster.relay(Some(node.relay_address()));
        Ok(node)
    }

    fn boot(&self, disk: &Path) -> Result<()> {
        let mut last = None;
        for _ in 0..BOOTS {
            self.guest().stop()?;
            drop(fs::remove_file(disk));
            let mut format = Command::new("mke2fs");
            format.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"]).arg(disk).arg(DISK);
            process::capture(&mut format)?;
            self.guest().start()?;
            match self.wait_for_step("userspace", BOOT) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    (self.report)(&format!("{error:#}"));
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("it was never tried")))
    }

    /// Waits until the guest's init has said that it made this step.
    fn wait_for_step(&self, step: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            if self.output().lines().any(|line| line.starts_with("step ") && line.ends_with(step)) {
                return Ok(());
            }
            let running = self.guest().is_running()?;
            if !running || started.elapsed() > limit {
                let why = if running { "does not come" } else { "went down before it came" };
                bail!("node {}: the guest {why} to the step `{step}`\n{}", self.name, self.last_lines());
            }
            std::thread::sleep(super::daemon::POLL);
        }
    }

    /// Waits until the cluster says that the node is ready.
    ///
    /// # Errors
    /// When the guest goes down, or the time is up; the error has the end of the guest's output.
    pub fn wait_ready(&self, cluster: &Cluster) -> Result<()> {
        let started = Instant::now();
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let waited = eventually(&format!("node {} to be ready", self.name), READY, || {
            std::thread::sleep(Duration::from_millis(400));
            if !self.guest().is_running()? {
                return Ok(false);
            }
            let status = cluster.admin().kubectl(&["get", "node", &self.name, "-o", ready])?;
            ensure!(status == "True", "it is `{status}`");
            Ok(true)
        });
        match waited {
            Ok(true) => {
                let seconds = started.elapsed().as_secs_f64();
                (self.report)(&format!("node {} is ready, {seconds:.1} s after its init", self.name));
                Ok(())
            }
            Ok(false) => self.ensure_up().with_context(|| self.last_lines()),
            Err(error) => Err(error.context(self.last_lines())),
        }
    }

    /// That its guest runs.
    ///
    /// # Errors
    /// When it went down.
    pub fn ensure_up(&self) -> Result<()> {
        ensure!(self.guest().is_running()?, "the guest of node {} went down", self.name);
        Ok(())
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a bash script in the guest, outside any container; stdout and stderr come together.
    ///
    /// # Errors
    /// When the guest does not answer in time.
    pub fn shell(&self, script: &str) -> Result<Ran> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.shell.number()));
        let mut stream = TcpStream::connect_timeout(&address, SHELL).context("reaching the guest's shell")?;
        stream.set_read_timeout(Some(SHELL))?;
        write!(stream, "{{\n{script}\n}} 2>&1 </dev/null; echo; echo {MARK} $?\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("reading from the guest's shell")?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (output, code) =
            answer.rsplit_once(MARK).with_context(|| format!("the guest's shell ended early: {answer}"))?;
        let stdout = output.strip_suffix('\n').unwrap_or(output).to_owned();
        Ok(Ran { code: code.trim().parse()?, stdout, stderr: String::new() })
    }

    /// The way into the node: a proxy (HTTP CONNECT) that reaches its pods.
    pub fn relay_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.relay.number()))
    }

    /// What init, containerd and kubelet wrote so far.
    pub fn output(&self) -> String {
        self.file("output")
    }

    /// Messages of the guest's kernel.
    pub fn console(&self) -> String {
        self.file("console")
    }

    /// Seconds of guest time at which init made each of its steps, with the step's name.
    pub fn steps(&self) -> Vec<(f64, String)> {
        let output = self.output();
        let step = |line: &str| {
            let (up, name) = line.strip_prefix("step ")?.split_once(' ')?;
            Some((up.parse().ok()?, name.to_owned()))
        };
        output.lines().filter_map(step).collect()
    }

    /// The guest's program: to cut its power, or to stop it with signals and let it go on.
    pub fn guest(&self) -> MutexGuard<'_, Daemon> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Copies what it wrote so far into a new directory of the cache, and returns that.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub fn keep_last_words(&self) -> Result<PathBuf> {
        let parent = lab::cache_dir()?.join("guests-gone-down");
        fs::create_dir_all(&parent)?;
        let prefix = format!("{}-", self.name);
        let kept = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent)?.keep();
        for (name, text) in
            [("output", self.output()), ("console", self.console()), ("qemu", self.guest().log())]
        {
            fs::write(kept.join(name), text)?;
        }
        Ok(kept)
    }

    /// The end of what its init, containerd and kubelet, its kernel and its emulator wrote.
    pub fn last_lines(&self) -> String {
        let parts = [("output", self.output()), ("console", self.console()), ("QEMU", self.guest().log())];
        let last = |(what, lines): &(&str, String)| {
            format!("last lines of {what}:\n{}", process::tail(lines, LOG_LINES))
        };
        parts.iter().map(last).collect::<Vec<_>>().join("\n")
    }
}

fn settings(cluster: &Cluster, options: &NodeOptions) -> Result<Settings> {
    let name = &options.name;
    let port =
        cluster.url().rsplit_once(':').map(|(_, port)| port.to_owned()).context("the URL has no port")?;
    let api_address = format!("{HOST_FROM_GUEST}:{port}");
    let user = Subject::client(format!("system:node:{name}"), &["system:nodes"]);
    let serving = Subject::server(format!("system:node:{name}"), &[name, "10.0.2.15", "127.0.0.1"]);
    Ok(Settings {
        name: name.clone(),
        labels: options.labels.clone(),
        pause_image: PAUSE_IMAGE,
        kubeconfig: cluster.pki().kubeconfig(&format!("https://{api_address}"), &user)?,
        ca: cluster.pki().ca(),
        serving: cluster.pki().issue(&serving)?,
        api_address,
    })
}
