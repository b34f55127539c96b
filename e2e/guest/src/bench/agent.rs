//! The node worker itself, as a process: its memory, and what an event costs it.

use super::Recorder;
use super::clock::guest_ns;
use super::operations::{FILE, Workload};
use super::policies::{Hooks, Last, Set};
use anyhow::{Context, Result, bail, ensure};
use lictor_e2e::bench::row::Measure;
use lictor_node_worker::socket::client;
use lictor_node_worker::source::set::FileState;
use lictor_node_worker::status::Status;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The program that is measured.
const PROGRAM: &str = "/usr/bin/lictor-node";
/// Where it works.
const DIRECTORY: &str = "/tmp/bench-agent";
/// Longest wait for the node worker, guest time.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pause between looks at it.
const PAUSE: Duration = Duration::from_millis(50);
/// In this time a change is live, unless far over its budget.
const UNDISTURBED: Duration = Duration::from_secs(5);
/// Events of a round.
const EVENTS: u32 = 20_000;
/// Events between two pauses, and the pause: 50,000 a second.
const BURST: (u32, Duration) = (50, Duration::from_millis(1));
/// The event that a read makes.
const EVENT: &str = "process_kprobe";

/// A node worker with a folder of policies.
struct Agent {
    child: Child,
    policies: PathBuf,
    socket: PathBuf,
}

impl Agent {
    fn start() -> Result<Self> {
        let directory = Path::new(DIRECTORY);
        let policies = directory.join("policies");
        let socket = directory.join("socket");
        fs::create_dir_all(&policies)?;
        let child = Command::new(PROGRAM)
            .arg("--policy-dir")
            .arg(&policies)
            .arg("--export-filename")
            .arg(directory.join("events"))
            .arg("--socket")
            .arg(&socket)
            .arg("--state-dir")
            .arg(directory.join("state"))
            .args(["--no-stdout", "--log", "warn", "--export-file-max-size-mb", "1024"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context(PROGRAM)?;
        Ok(Self { child, policies, socket })
    }

    /// Puts a set's files into the folder and waits until they are live.
    fn bring_live(&self, set: Set) -> Result<Status> {
        for entry in fs::read_dir(&self.policies)? {
            fs::remove_file(entry?.path())?;
        }
        for (number, text) in set.texts().iter().enumerate() {
            fs::write(self.policies.join(format!("bench-{number:05}.yaml")), text)?;
        }
        let live = |status: &Status| {
            let live = status.policies.iter().filter(|file| file.state == FileState::Live).count();
            live == status.policies.len() && live == set.policies as usize
        };
        self.wait("all policies are live", live)
    }

    fn wait(&self, what: &str, done: impl Fn(&Status) -> bool) -> Result<Status> {
        let begin = guest_ns();
        loop {
            let last = match client::status(&self.socket) {
                Ok(status) if done(&status) => return Ok(status),
                Ok(_) => "its status is another one".to_owned(),
                Err(error) => format!("{:#}", anyhow::Error::from(error)),
            };
            if guest_ns() - begin > PATIENCE.as_nanos() as f64 {
                bail!("not seen in {PATIENCE:?} of guest time: {what}; {last}");
            }
            sleep(PAUSE);
        }
    }

    /// Instructions of the process so far, in user and kernel mode: run time of its threads.
    fn instructions(&self) -> Result<f64> {
        let mut sum = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().context("an empty schedstat")?;
            sum += first.parse::<f64>()?;
        }
        Ok(sum)
    }

    /// Removes the engine from the kernel, and ends the process.
    fn release(mut self) -> Result<()> {
        client::release(&self.socket)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{PROGRAM} ended with {status}");
        Ok(fs::remove_dir_all(DIRECTORY)?)
    }
}

/// Lines of the measured event, and events that were lost anywhere, so far.
fn lines_and_lost(status: &Status) -> (u64, u64) {
    let events = &status.events;
    let lost = events.lost.values().chain(events.sinks_lost.values()).sum();
    (events.lines.get(EVENT).copied().unwrap_or(0), lost)
}

/// One event per read; `pause` runs after each [`BURST`].
fn events(
    recorder: &mut Recorder,
    work: &Workload,
    agent: &Agent,
    variant: &str,
    pause: impl Fn(),
) -> Result<()> {
    let (lines, lost) = lines_and_lost(&agent.wait("a status", |_| true)?);
    let (instructions, begin) = (agent.instructions()?, guest_ns());
    for number in 0..EVENTS {
        work.read()?;
        if number % BURST.0 == BURST.0 - 1 {
            pause();
        }
    }
    let told = |status: &Status| {
        let now = lines_and_lost(status);
        now.0 - lines + now.1 - lost >= u64::from(EVENTS)
    };
    let now = lines_and_lost(&agent.wait("every event is written or counted as lost", told)?);
    let time = guest_ns() - begin;
    let instructions = agent.instructions()? - instructions;
    let written = (now.0 - lines) as f64;
    let lost = f64::from(EVENTS) - written;
    let mut put = |operation: &str, measure| recorder.put(operation, variant, (1, 1), measure);
    put("agent instructions per event", Measure::Instructions((instructions / written).round()))?;
    put("events lost", Measure::Count(lost))?;
    put("events per second", Measure::Count((written / time * 1e9).round()))
}

/// Measures and records.
pub(super) fn run(recorder: &mut Recorder, work: &Workload) -> Result<()> {
    let agent = Agent::start()?;
    for policies in [1, 1000] {
        let status = agent.bring_live(Set::new(Hooks::Lsm, Last::Same, policies))?;
        let resident = Measure::Bytes(status.agent.resident_bytes as f64);
        recorder.put("agent memory", "policies", (policies, 3), resident)?;
    }
    change(recorder, &agent)?;
    agent.bring_live(Set::new(Hooks::Observe, Last::ReportPath, 1))?;
    ensure!(FILE.starts_with(super::operations::DIRECTORY), "the policy is about another file");
    events(recorder, work, &agent, "one event per read", || sleep(BURST.1))?;
    events(recorder, work, &agent, "one event per read, full rate", || ())?;
    agent.release()
}

/// One policy of a thousand is changed in the folder; what the node worker does in that time without a change is
/// left out.
fn change(recorder: &mut Recorder, agent: &Agent) -> Result<()> {
    let revision = |status: &Status| status.revision.as_ref().map_or(0, |revision| revision.number);
    let before = revision(&agent.wait("a status", |_| true)?);
    // Whoever asks it for a status meanwhile makes it work.
    let undisturbed = || {
        let before = agent.instructions()?;
        sleep(UNDISTURBED);
        Ok::<f64, anyhow::Error>(agent.instructions()? - before)
    };
    let idle = undisturbed()?;
    let text = Set::new(Hooks::Lsm, Last::Named, 501).text(500);
    fs::write(agent.policies.join("bench-00500.yaml"), text)?;
    let changing = undisturbed()?;
    let status = agent.wait("a status", |_| true)?;
    ensure!(revision(&status) == before + 1, "the change took longer than {UNDISTURBED:?}, or two revisions");
    let second = (idle / UNDISTURBED.as_secs_f64()).round();
    recorder.put("agent instructions per second", "no event", (1000, 3), Measure::Instructions(second))?;
    let measure = Measure::Instructions(changing - idle);
    recorder.put("load", "one policy changed, whole node worker", (1000, 3), measure)
}
