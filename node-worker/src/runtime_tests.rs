use super::*;
use crate::events::testing::{self, Hook, Task};
use crate::fake::{FakeKernel, SHAPE};
use crate::socket::client;
use crate::source::set::FileState;
use crate::testing::{facts, policy};
use clap::Parser as _;
use lictor_node_worker_ebpf::LICTOR_FIRED_POST;
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::watch;

const SHELL: Task = Task { pid: 7_000_001, start_boot_ns: 70_000_000, exec_id: 2 };
const INIT: Task = Task { pid: 1, start_boot_ns: 10_000_000, exec_id: 1 };

struct Stopped(watch::Receiver<bool>);

impl SignalSource for Stopped {
    async fn next(&mut self) -> Signal {
        // The sender outlives the node worker.
        let _ = self.0.wait_for(|stop| *stop).await;
        Signal::Stop
    }
}

/// A running node worker on a fake kernel.
struct Running {
    kernel: FakeKernel,
    folder: TempDir,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), RunError>>,
}

fn args(folder: &Path) -> Args {
    let at = |name: &str| folder.join(name).display().to_string();
    let words = [
        "lictor-node".to_owned(),
        "--policy-dir".to_owned(),
        at("policies"),
        "--export-filename".to_owned(),
        at("events.log"),
        "--no-stdout".to_owned(),
        "--socket".to_owned(),
        at("lictor.sock"),
        "--state-dir".to_owned(),
        at("state"),
        "--http-address".to_owned(),
        "127.0.0.1:0".to_owned(),
        "--node-name".to_owned(),
        "test-node".to_owned(),
    ];
    Args::parse_from(words)
}

fn start(kernel: FakeKernel, folder: TempDir) -> Running {
    let prepared = prepare(args(folder.path())).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (port, source) = (kernel.clone(), kernel.clone());
    let thread =
        std::thread::spawn(move || run(prepared, facts(), Vec::new(), port, source, Stopped(stopped)));
    Running { kernel, folder, stop, thread }
}

fn running(policies: &[(&str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    for (name, call) in policies {
        std::fs::write(folder.path().join(format!("policies/{name}.yaml")), policy(name, call)).unwrap();
    }
    let running = start(FakeKernel::default(), folder);
    running.wait("the first revision", |running| running.kernel.inner().live.is_some());
    running
}

impl Running {
    fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < end, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.folder.path().join("events.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("lictor.sock")
    }

    fn end(self) -> (FakeKernel, TempDir) {
        self.stop.send(true).unwrap();
        self.thread.join().unwrap().unwrap();
        (self.kernel, self.folder)
    }
}

#[test]
fn events_reach_the_file_and_clients_and_stopping_keeps_enforcement() {
    let running = running(&[("a", "fd_install")]);
    running.wait("the socket", |running| client::status(&running.socket()).is_ok());
    let mut stream = client::events(&running.socket()).unwrap();
    running.kernel.push(testing::exec(SHELL, 71_000_000, INIT, "/bin/sh", &["sh"], "/"));
    let slot = 1;
    running.kernel.push(Hook::new(SHELL, 72_000_000, 1, slot, SHAPE).fired(0, LICTOR_FIRED_POST).bytes());
    running.wait("the events", |running| running.lines().len() == 2);
    let lines = running.lines();
    assert_eq!(lines[0]["process_exec"]["process"]["binary"], "/bin/sh");
    assert_eq!(lines[1]["process_kprobe"]["policy_name"], "a");
    assert_eq!(lines[1]["node_name"], "test-node");
    let first: serde_json::Value = serde_json::from_slice(stream.next_line().unwrap().unwrap()).unwrap();
    assert_eq!(first, lines[0]);
    let (kernel, folder) = running.end();
    assert_eq!(kernel.live_policies(), ["a"]);
    assert!(!kernel.inner().released);
    assert!(!folder.path().join("lictor.sock").exists());
}

#[test]
fn a_changed_folder_is_noticed_and_a_broken_file_told() {
    let running = running(&[("a", "fd_install")]);
    std::fs::write(running.folder.path().join("policies/b.yaml"), policy("b", "vfs_read")).unwrap();
    running.wait("the second policy", |running| running.kernel.live_policies() == ["a", "b"]);
    std::fs::write(running.folder.path().join("policies/b.yaml"), "broken: [").unwrap();
    running.wait("the report", |running| {
        client::status(&running.socket())
            .is_ok_and(|status| status.policies.get(1).is_some_and(|policy| policy.state == FileState::Stale))
    });
    assert_eq!(running.kernel.live_policies(), ["a", "b"]);
    running.end();
}

#[test]
fn a_restart_takes_over_and_reads_the_records_of_its_absence() {
    let (kernel, folder) = running(&[("a", "fd_install")]).end();
    kernel.push(Hook::new(SHELL, 72_000_000, 1, 1, SHAPE).fired(0, LICTOR_FIRED_POST).bytes());
    std::fs::write(folder.path().join("policies/a.yaml"), policy("a", "vfs_write")).unwrap();
    let again = start(kernel, folder);
    again.wait("the event", |running| !running.lines().is_empty());
    assert_eq!(again.lines()[0]["process_kprobe"]["function_name"], "fd_install");
    assert_eq!(again.lines()[0].get("lictor"), None);
    again.wait("the second revision", |running| {
        running.kernel.inner().live.as_ref().is_some_and(|(number, _)| *number == 2)
    });
    again.end();
}

#[test]
fn a_release_ends_the_node_worker_and_enforcement() {
    let running = running(&[("a", "fd_install")]);
    running.wait("the socket", |running| client::status(&running.socket()).is_ok());
    client::release(&running.socket()).unwrap();
    running.thread.join().unwrap().unwrap();
    assert!(running.kernel.inner().released);
}

#[test]
fn two_node_workers_do_not_run_at_once() {
    let running = running(&[]);
    let error = prepare(args(running.folder.path())).unwrap_err();
    assert!(matches!(error, RunError::Running(_)), "{error}");
    running.end();
}

#[test]
fn mistakes_are_told_before_the_kernel_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = args(folder.path());
    wrong.export_filename = Some("/nonexistent/events.log".into());
    assert!(prepare(wrong).unwrap_err().to_string().contains("/nonexistent/events.log"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wrong = args(folder.path());
    wrong.http_address = HttpAddress::At(taken.local_addr().unwrap());
    assert!(prepare(wrong).unwrap_err().to_string().contains("listen for HTTP"));
}
