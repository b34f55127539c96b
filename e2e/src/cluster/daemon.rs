//! Programs that run beside the tests and must not outlive them.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::lab::process::tail;

/// Lines of a log that an error shows.
const LOG_LINES: usize = 15;
/// How often something that is waited for is looked at.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Request = (Command, Sender<std::io::Result<Child>>);

/// Starts a program that the kernel ends when this one ends, however that happens.
///
/// The kernel counts the end of the thread that started it, so one thread that stays starts all of them.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, waiting) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in waiting {
                // Nobody waits for the answer any more: the caller ended, and with it the program.
                drop(answer.send(command.spawn()));
            }
        });
        requests
    });
    let (answer, answered) = channel();
    let gone = || std::io::Error::other("the thread that starts programs is gone");
    spawner.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// A program with its log, started and stopped at will; ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A program that is not running yet. Its output is appended to `LOGS/NAME.log`.
    pub fn new(name: &str, program: impl Into<PathBuf>, logs: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: logs.join(format!("{name}.log")),
            child: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it, unless it is running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(spawn(command).with_context(|| format!("starting {}", self.name))?);
        Ok(())
    }

    /// Ends it at once and waits until it is gone, so that its ports are free. Not running is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("ending {}", self.name))?;
        }
        Ok(())
    }

    /// Sends it a signal by name, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        let pid = self.pid()?;
        let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status()?;
        ensure!(status.success(), "{} cannot be sent {signal}", self.name);
        Ok(())
    }

    /// Waits until it has ended by itself, for at most `limit`.
    ///
    /// # Errors
    /// When it is still running then.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        let what = format!("{} to end", self.name);
        eventually(&what, limit, || {
            ensure!(!self.is_running()?, "it is running");
            Ok(())
        })
    }

    /// Whether it is running.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn is_running(&mut self) -> Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it is not running; the error has the last lines of its log.
    pub fn pid(&mut self) -> Result<u32> {
        self.ensure_running()?;
        self.child.as_ref().map(Child::id).context("it is not running")
    }

    /// # Errors
    /// When it is not running; the error has the last lines of its log.
    pub fn ensure_running(&mut self) -> Result<()> {
        if !self.is_running()? {
            bail!("{} is not running; the end of its log:\n{}", self.name, self.last_lines());
        }
        Ok(())
    }

    /// The last lines that it has written so far.
    pub fn last_lines(&self) -> String {
        tail(&self.log(), LOG_LINES)
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What cannot be ended here ends with this program.
        drop(self.stop());
    }
}

/// Repeats `attempt` until it succeeds, for at most `limit`; ever less often, since an attempt may cost what is waited for
/// the time that it needs.
///
/// # Errors
/// When the time is up: what was waited for, and why the last attempt failed.
pub fn eventually<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let mut pause = POLL;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() >= limit => {
                return Err(error.context(format!("waited {} s for {what}", limit.as_secs())));
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(directory: &Path, script: &str) -> Daemon {
        Daemon::new("sh", "sh", directory).arguments(["-c", script])
    }

    #[test]
    fn a_program_is_started_stopped_and_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut daemon =
            shell(directory.path(), "echo $GREETING; exec sleep 1000").variable("GREETING", "hello");
        assert!(!daemon.is_running().unwrap());
        daemon.start().unwrap();
        let pid = daemon.pid().unwrap();
        daemon.start().unwrap();
        assert_eq!(daemon.pid().unwrap(), pid, "a running program is not started twice");
        eventually("output", Duration::from_secs(20), || {
            ensure!(daemon.log() == "hello\n", "{:?}", daemon.log());
            Ok(())
        })
        .unwrap();
        daemon.stop().unwrap();
        assert!(!daemon.is_running().unwrap());
        daemon.start().unwrap();
        assert_ne!(daemon.pid().unwrap(), pid);
        drop(daemon);
    }

    #[test]
    fn a_program_survives_the_thread_that_asked_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut daemon = shell(directory.path(), "exec sleep 1000");
        thread::scope(|scope| scope.spawn(|| daemon.start().unwrap()).join()).unwrap();
        thread::sleep(Duration::from_millis(300));
        daemon.ensure_running().unwrap();
    }

    #[test]
    fn the_end_of_a_program_is_seen_and_its_log_shown() {
        let directory = tempfile::tempdir().unwrap();
        let mut daemon = shell(directory.path(), "echo what went wrong; exit 3");
        daemon.start().unwrap();
        daemon.wait_for_end(Duration::from_secs(20)).unwrap();
        assert!(daemon.pid().unwrap_err().to_string().contains("what went wrong"));
        assert!(daemon.signal("TERM").is_err());
    }

    #[test]
    fn waiting_ends_with_the_last_reason() {
        let error = eventually("luck", Duration::ZERO, || -> Result<()> { bail!("none today") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "waited 0 s for luck: none today");
    }
}
