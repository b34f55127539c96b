//! Calls: what rules ask others for, an HTTP GET or the addresses of a name.
//!
//! The thread that reads records puts a call into a bounded queue and goes on; two threads for each kind make them. A call
//! that fails is tried again with growing pauses, during which the threads make others.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lictor_policy::model::Call;

pub use super::transport::{Attempt, DnsTransport, HttpTransport, Transport};

/// Calls of a kind that wait at most, those that wait to be tried again included. At two threads and 5 ms a call, what two
/// and a half seconds bring; further ones are counted as dropped. Targets are short: 2 MiB at most in all.
pub const QUEUE_MAX: usize = 1024;

/// Threads for each kind of call.
pub const WORKERS: usize = 2;

/// Attempts after the first one.
pub const RETRIES_MAX: u32 = 3;

/// Pause before the first retry; each further one is twice as long. Half of it up to all of it is waited, at random,
/// so that many nodes do not call in step.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Failures are logged at most this often; all are counted.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What became of calls so far.
#[derive(Debug, Default)]
pub struct CallCounts {
    /// Calls that were answered well.
    pub ok: AtomicU64,
    /// Calls given up.
    pub failed: AtomicU64,
    /// Calls that found the queue full, or were waiting when the node worker stopped.
    pub dropped: AtomicU64,
    /// Attempts after the first one.
    pub retried: AtomicU64,
}

/// Makes the calls of one kind.
#[derive(Debug)]
pub struct Caller {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Puts calls into the queue of a [`Caller`].
#[derive(Debug, Clone)]
pub struct CallQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    counts: CallCounts,
}

#[derive(Debug, Default)]
struct State {
    waiting: BinaryHeap<Job>,
    next_order: u64,
    stopped: bool,
    logged_at: Option<Instant>,
    unlogged: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    due: Instant,
    order: u64,
    attempts: u32,
    target: Box<str>,
}

impl Ord for Job {
    /// The job that is due first is the greatest: the heap gives the greatest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Caller {
    /// Starts the threads. `kind`, a short word, names them.
    pub fn start(kind: &str, transport: impl Transport) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let transport = Arc::new(transport);
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            let (shared, transport) = (Arc::clone(&shared), Arc::clone(&transport));
            let thread = std::thread::Builder::new().name(format!("lictor-{kind}-{number}"));
            workers.push(thread.spawn(move || shared.work(&*transport))?);
        }
        Ok(Self { shared, workers })
    }

    /// The end that takes calls.
    pub fn queue(&self) -> CallQueue {
        CallQueue(Arc::clone(&self.shared))
    }

    /// Drops what waits, and waits for the attempts that are being made.
    pub fn stop(self) {
        self.shared.stop();
        for worker in self.workers {
            // A thread that panicked has nothing left to wait for.
            let _ = worker.join();
        }
    }
}

/// The callers of all kinds.
#[derive(Debug)]
pub struct Callers {
    urls: Caller,
    names: Caller,
}

impl Callers {
    /// Starts the threads that call over the network.
    pub fn start() -> io::Result<Self> {
        Self::with(HttpTransport::new(), DnsTransport)
    }

    /// Starts the threads.
    pub fn with(urls: impl Transport, names: impl Transport) -> io::Result<Self> {
        Ok(Self { urls: Caller::start("url", urls)?, names: Caller::start("dns", names)? })
    }

    /// The ends that take calls.
    pub fn queues(&self) -> CallQueues {
        CallQueues { urls: self.urls.queue(), names: self.names.queue() }
    }

    /// Drops what waits, and waits for the attempts that are being made.
    pub fn stop(self) {
        self.urls.stop();
        self.names.stop();
    }
}

/// A queue for each kind of call.
#[derive(Debug, Clone)]
pub struct CallQueues {
    /// `GetUrl`
    pub urls: CallQueue,
    /// `DnsLookup`
    pub names: CallQueue,
}

impl CallQueues {
    /// Queues a call. Never waits: a full queue drops it.
    pub fn submit(&self, call: &Call) {
        match call {
            Call::Url(url) => self.urls.submit(url),
            Call::Name(name) => self.names.submit(name),
        }
    }
}

impl CallQueue {
    /// Queues a call. Never waits: a full queue drops it.
    pub fn submit(&self, target: &str) {
        self.0.submit(target);
    }

    /// What became of calls so far.
    pub fn counts(&self) -> &CallCounts {
        &self.0.counts
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, target: &str) {
        self.push(target.into(), 0, Instant::now());
    }

    fn push(&self, target: Box<str>, attempts: u32, due: Instant) {
        let mut state = self.lock();
        if state.stopped || state.waiting.len() >= QUEUE_MAX {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let order = state.next_order;
        state.next_order += 1;
        state.waiting.push(Job { due, order, attempts, target });
        drop(state);
        self.changed.notify_one();
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.counts.dropped.fetch_add(state.waiting.len() as u64, Ordering::Relaxed);
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a job that is due; `None` = stop.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let pause = match state.waiting.peek() {
                None => Duration::from_hours(1),
                Some(job) => job.due.saturating_duration_since(Instant::now()),
            };
            if pause.is_zero() {
                return state.waiting.pop();
            }
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn work(&self, transport: &impl Transport) {
        while let Some(job) = self.next() {
            match transport.attempt(&job.target) {
                Attempt::Done => {
                    self.counts.ok.fetch_add(1, Ordering::Relaxed);
                }
                Attempt::TryAgain(reason) if job.attempts < RETRIES_MAX => {
                    tracing::debug!(called = %job.target, reason, "call to be tried again");
                    self.counts.retried.fetch_add(1, Ordering::Relaxed);
                    let due = Instant::now() + pause_before_retry(job.attempts, random());
                    self.push(job.target, job.attempts + 1, due);
                }
                Attempt::TryAgain(reason) | Attempt::Refused(reason) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.log_failure(&job.target, &reason);
                }
            }
        }
    }

    fn log_failure(&self, target: &str, reason: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.logged_at.is_some_and(|at| now.duration_since(at) < LOG_PAUSE) {
            state.unlogged += 1;
            return;
        }
        let others = std::mem::take(&mut state.unlogged);
        state.logged_at = Some(now);
        drop(state);
        tracing::warn!(called = target, reason, other_failures = others, "a call failed");
    }
}

/// The pause after `attempts` failed retries. `random` picks a point between half of it and all of it.
fn pause_before_retry(attempts: u32, random: u64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << attempts.min(16));
    full / 2 + (full / 2).mul_f64(f64::from(random as u32) / f64::from(u32::MAX))
}

/// A number that differs from node to node and from call to call; not for secrets.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Answers attempts from a list, then well; tells each URL.
    struct Scripted {
        answers: Mutex<Vec<Attempt>>,
        called: Mutex<mpsc::Sender<String>>,
    }

    impl Transport for Scripted {
        fn attempt(&self, target: &str) -> Attempt {
            let _ = self.called.lock().unwrap().send(target.to_owned());
            self.answers.lock().unwrap().pop().unwrap_or(Attempt::Done)
        }
    }

    fn scripted(answers: Vec<Attempt>) -> (Caller, mpsc::Receiver<String>) {
        let (called, calls) = mpsc::channel();
        let transport = Scripted { answers: Mutex::new(answers), called: Mutex::new(called) };
        (Caller::start("test", transport).unwrap(), calls)
    }

    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_failed_call_is_tried_again() {
        let (caller, calls) = scripted(vec![Attempt::TryAgain("down".into())]);
        let queue = caller.queue();
        queue.submit("http://x/");
        wait_until("the call", || queue.counts().ok.load(Ordering::Relaxed) == 1);
        assert_eq!(queue.counts().retried.load(Ordering::Relaxed), 1);
        caller.stop();
        assert_eq!(calls.iter().count(), 2);
    }

    #[test]
    fn an_answer_that_will_not_change_ends_the_call() {
        let (caller, calls) = scripted(vec![Attempt::Refused("status 404".into())]);
        let queue = caller.queue();
        queue.submit("http://x/");
        wait_until("the failure", || queue.counts().failed.load(Ordering::Relaxed) == 1);
        caller.stop();
        assert_eq!(calls.iter().count(), 1);
    }

    #[test]
    fn a_full_queue_drops_and_never_waits() {
        let shared = Shared::default();
        for _ in 0..QUEUE_MAX + 5 {
            shared.submit("http://x/");
        }
        assert_eq!(shared.lock().waiting.len(), QUEUE_MAX);
        assert_eq!(shared.counts.dropped.load(Ordering::Relaxed), 5);
        shared.stop();
        assert_eq!(shared.counts.dropped.load(Ordering::Relaxed), QUEUE_MAX as u64 + 5);
        assert_eq!(shared.next(), None);
    }

    #[test]
    fn retries_wait_behind_calls_that_are_due() {
        let shared = Shared::default();
        let now = Instant::now();
        shared.push("late".into(), 1, now + Duration::from_mins(1));
        shared.push("first".into(), 0, now);
        shared.push("second".into(), 0, now);
        assert_eq!(shared.next().map(|job| job.target), Some("first".into()));
        assert_eq!(shared.next().map(|job| job.target), Some("second".into()));
    }

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        for (attempts, full) in [(0, 500), (1, 1000), (2, 2000)] {
            assert_eq!(pause_before_retry(attempts, 0), Duration::from_millis(full / 2));
            assert_eq!(pause_before_retry(attempts, u64::from(u32::MAX)), Duration::from_millis(full));
        }
    }
}
