use super::*;
use crate::actions::calls::Callers;
use crate::events::loss::Gap;
use crate::fake::FakeKernel;
use crate::source::directory::Directory;
use crate::testing::{NoTransport, facts, policy};
use tempfile::TempDir;

struct Bench {
    kernel: FakeKernel,
    control: Control<FakeKernel>,
    requests: mpsc::Receiver<Request>,
    folder: TempDir,
    state: TempDir,
    health: Arc<Health>,
    decoders: Arc<Decoders>,
    counts: Arc<PipelineCounts>,
}

fn bench() -> Bench {
    bench_of(FakeKernel::default(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

/// A node worker on a machine.
fn bench_of(kernel: FakeKernel, folder: TempDir, state: TempDir) -> Bench {
    let (sender, requests) = mpsc::channel();
    let cgroups = state.path().join("cgroups");
    std::fs::create_dir_all(&cgroups).unwrap();
    let (health, decoders, counts) = (Arc::default(), Arc::default(), Arc::default());
    let control = Control::new(Parts {
        port: kernel.clone(),
        facts: facts(),
        notes: vec!["a note".into()],
        node: "n".into(),
        source: Source::Directory(Directory::new(folder.path())),
        pods: Pods::new(Arc::default(), cgroups, false),
        state: StateDir::new(state.path()),
        boot_id: "boot".into(),
        decoders: Arc::clone(&decoders),
        requests: sender,
        counts: Arc::clone(&counts),
        output: Arc::default(),
        hub: Arc::default(),
        calls: Callers::with(NoTransport, NoTransport).unwrap().queues(),
        health: Arc::clone(&health),
    });
    Bench { kernel, control, requests, folder, state, health, decoders, counts }
}

impl Bench {
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn states(&self) -> Vec<(String, FileState)> {
        let status = self.control.status();
        status
            .policies
            .iter()
            .map(|policy| (policy.policy.clone().unwrap_or_else(|| "?".into()), policy.state))
            .collect()
    }

    /// The same machine with another node worker.
    fn restart(self) -> Self {
        bench_of(self.kernel, self.folder, self.state)
    }
}

#[test]
fn the_folder_goes_live_and_follows_changes() {
    let mut bench = bench();
    bench.write("a.yaml", &policy("a", "fd_install"));
    bench.write("b.yaml", "nonsense");
    bench.control.begin();
    assert_eq!(bench.kernel.live_policies(), ["a"]);
    assert_eq!(bench.states(), [("a".into(), FileState::Live), ("?".into(), FileState::Rejected)]);
    assert!(bench.decoders.get(1).is_some());

    bench.write("b.yaml", &policy("b", "vfs_read"));
    bench.control.look(false);
    assert_eq!(bench.kernel.live_policies(), ["a", "b"]);
    std::fs::remove_file(bench.folder.path().join("a.yaml")).unwrap();
    bench.control.look(false);
    assert_eq!(bench.kernel.live_policies(), ["b"]);
    // Nothing changed: nothing is applied.
    let number = bench.kernel.inner().live.as_ref().map(|(number, _)| *number);
    bench.control.look(false);
    assert_eq!(bench.kernel.inner().live.as_ref().map(|(number, _)| *number), number);
}

#[test]
fn a_restart_with_a_broken_file_keeps_its_last_good_version() {
    let mut first = bench();
    first.write("a.yaml", &policy("a", "fd_install"));
    first.write("b.yaml", &policy("b", "vfs_read"));
    first.control.begin();
    first.write("a.yaml", "broken");
    std::fs::remove_file(first.folder.path().join("b.yaml")).unwrap();
    let mut second = first.restart();
    second.control.adopt();
    second.control.begin();
    assert_eq!(second.kernel.live_policies(), ["a"]);
    assert_eq!(second.states(), [("a".into(), FileState::Stale)]);
    // Records of the revision that was live before can be read.
    assert!(second.decoders.get(1).is_some());
    assert!(second.decoders.get(2).is_some());
}

#[test]
fn an_unreadable_folder_leaves_everything_live() {
    let mut first = bench();
    first.write("a.yaml", &policy("a", "fd_install"));
    first.control.begin();
    let moved = first.folder.path().with_extension("moved");
    std::fs::rename(first.folder.path(), &moved).unwrap();
    first.control.look(false);
    assert_eq!(first.kernel.live_policies(), ["a"]);
    assert!(first.control.status().problems[0].contains("cannot be read"));
    // The same after a restart.
    let mut second = first.restart();
    second.control.adopt();
    second.control.begin();
    assert_eq!(second.kernel.live_policies(), ["a"]);
    std::fs::rename(&moved, second.folder.path()).unwrap();
    second.control.look(false);
    assert!(second.control.status().problems.is_empty());
    assert_eq!(second.states(), [("a".into(), FileState::Live)]);
}

#[test]
fn an_unreadable_folder_and_lost_state_do_not_mean_no_policies() {
    let mut first = bench();
    first.write("a.yaml", &policy("a", "fd_install"));
    first.control.begin();
    StateDir::new(first.state.path()).forget().unwrap();
    std::fs::remove_dir_all(first.folder.path()).unwrap();
    let mut second = first.restart();
    second.control.adopt();
    second.control.begin();
    assert_eq!(second.kernel.live_policies(), ["a"]);
    assert!(second.control.status().problems[0].contains("cannot be read"));
    // An empty folder does mean it.
    std::fs::create_dir(second.folder.path()).unwrap();
    second.control.look(false);
    assert!(second.kernel.live_policies().is_empty());
}

#[test]
fn a_kernel_that_fails_is_tried_again() {
    let mut bench = bench();
    bench.write("a.yaml", &policy("a", "fd_install"));
    bench.kernel.inner().failing_applies = 1;
    bench.control.begin();
    assert!(bench.control.status().problems[0].contains("did not take the revision"));
    assert_eq!(bench.states(), [("a".into(), FileState::Pending)]);
    bench.control.retry_at = Some(Instant::now());
    bench.control.tick();
    assert_eq!(bench.states(), [("a".into(), FileState::Live)]);
    assert!(bench.control.status().problems.is_empty());
}

#[test]
fn ready_means_live_and_read() {
    let mut bench = bench();
    bench.write("a.yaml", &policy("a", "fd_install"));
    bench.control.begin();
    bench.control.tick();
    assert!(!bench.health.ready.load(Ordering::Relaxed));
    bench.counts.last_read_boot_ns.store(1, Ordering::Relaxed);
    bench.control.tick();
    assert!(bench.health.ready.load(Ordering::Relaxed));
}

#[test]
fn losses_are_told_once_even_across_a_restart() {
    let mut first = bench();
    first.write("a.yaml", &policy("a", "fd_install"));
    first.control.begin();
    first.kernel.inner().lost = 5;
    first.control.tick();
    let gaps = |bench: &Bench| -> Vec<Gap> {
        let requests = bench.requests.try_iter();
        requests
            .filter_map(|request| if let Request::Gap(gap) = request { Some(gap) } else { None })
            .collect()
    };
    assert_eq!(gaps(&first).iter().map(Gap::total).collect::<Vec<_>>(), [5]);
    first.kernel.inner().lost = 7;
    let mut second = first.restart();
    second.control.adopt();
    second.control.begin();
    second.control.tick();
    assert_eq!(gaps(&second).iter().map(Gap::total).collect::<Vec<_>>(), [2]);
    second.control.tick();
    assert!(gaps(&second).is_empty());
}

#[test]
fn the_status_is_read_back_from_the_kernel() {
    let mut bench = bench();
    bench.write("a.yaml", &policy("a", "fd_install"));
    bench.control.begin();
    let status = bench.control.status();
    let revision = status.revision.clone().unwrap();
    assert_eq!((revision.number, revision.policies, revision.digest.len()), (1, 1, 64));
    assert_eq!(status.policies[0].counts["denied"], 7);
    assert_eq!(status.hooks[0].point, "fentry/fd_install");
    assert_eq!(status.hooks[0].counts["emitted"], 8);
    assert_eq!(status.failures["path_walk"], 3);
    assert_eq!(status.kernel.release, "6.12.0-test");
    assert_eq!(status.kernel.notes, ["a note"]);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    bench.kernel.inner().reads_fail = true;
    assert!(bench.control.status().problems[0].contains("cannot read fake kernel"));
}

#[test]
fn release_ends_enforcement_and_forgets() {
    let mut bench = bench();
    bench.write("a.yaml", &policy("a", "fd_install"));
    bench.control.begin();
    let (answer, answered) = oneshot::channel();
    bench.control.serve(Command::Release(answer));
    assert_eq!(answered.blocking_recv().unwrap(), Ok(()));
    assert!(bench.kernel.inner().released);
    assert!(bench.health.released.load(Ordering::Relaxed));
    assert_eq!(StateDir::new(bench.state.path()).load_live().unwrap(), None);
}

#[test]
fn reload_reads_every_file_and_opens_the_event_file() {
    let mut bench = bench();
    bench.control.begin();
    bench.control.serve(Command::Reload);
    assert!(matches!(bench.requests.try_recv(), Ok(Request::Reopen)));
}
