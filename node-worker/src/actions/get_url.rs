//! `GetUrl`: an HTTP GET for each event of a rule that asks for one.
//!
//! The thread that reads records puts a URL into a bounded queue and goes on; two threads call. A URL that cannot be
//! reached is tried again with growing pauses, during which the threads call others.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Calls that wait at most, those that wait to be tried again included. At two threads and 5 ms a call, what two and
/// a half seconds bring; further ones are counted as dropped. URLs are short: less than 1 MiB in all.
pub const QUEUE_MAX: usize = 1024;

/// Threads that call.
pub const WORKERS: usize = 2;

/// One attempt, from name resolution to the end of the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Attempts after the first one.
pub const RETRIES_MAX: u32 = 3;

/// Pause before the first retry; each further one is twice as long. Half of it up to all of it is waited, at random,
/// so that many nodes do not call in step.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Bytes of an answer that are read so that its connection can be used again.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Failures are logged at most this often; all are counted.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The server answered that it is well.
    Done,
    /// No answer, or one that says to come back later.
    TryAgain(String),
    /// An answer that will not change.
    Refused(String),
}

/// Makes one attempt.
pub trait Transport: Send + Sync + 'static {
    /// Calls `url` and waits for the answer, at most [`ATTEMPT_TIMEOUT`].
    fn get(&self, url: &str) -> Attempt;
}

/// What became of calls so far.
#[derive(Debug, Default)]
pub struct UrlCounts {
    /// Calls that were answered well.
    pub ok: AtomicU64,
    /// Calls given up.
    pub failed: AtomicU64,
    /// Calls that found the queue full, or were waiting when the node worker stopped.
    pub dropped: AtomicU64,
    /// Attempts after the first one.
    pub retried: AtomicU64,
}

/// Takes URLs to call.
#[derive(Debug)]
pub struct UrlCaller {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Puts URLs into the queue of a [`UrlCaller`].
#[derive(Debug, Clone)]
pub struct UrlQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    counts: UrlCounts,
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
    url: Box<str>,
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

impl UrlCaller {
    /// Starts the threads.
    pub fn start(transport: impl Transport) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let transport = Arc::new(transport);
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            let (shared, transport) = (Arc::clone(&shared), Arc::clone(&transport));
            let thread = std::thread::Builder::new().name(format!("lictor-url-{number}"));
            workers.push(thread.spawn(move || shared.work(&*transport))?);
        }
        Ok(Self { shared, workers })
    }

    /// The end that takes URLs.
    pub fn queue(&self) -> UrlQueue {
        UrlQueue(Arc::clone(&self.shared))
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

impl UrlQueue {
    /// Queues a call. Never waits: a full queue drops it.
    pub fn submit(&self, url: &str) {
        self.0.submit(url);
    }

    /// What became of calls so far.
    pub fn counts(&self) -> &UrlCounts {
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

    fn submit(&self, url: &str) {
        self.push(url.into(), 0, Instant::now());
    }

    fn push(&self, url: Box<str>, attempts: u32, due: Instant) {
        let mut state = self.lock();
        if state.stopped || state.waiting.len() >= QUEUE_MAX {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let order = state.next_order;
        state.next_order += 1;
        state.waiting.push(Job { due, order, attempts, url });
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
            match transport.get(&job.url) {
                Attempt::Done => {
                    self.counts.ok.fetch_add(1, Ordering::Relaxed);
                }
                Attempt::TryAgain(reason) if job.attempts < RETRIES_MAX => {
                    tracing::debug!(url = %job.url, reason, "URL to be tried again");
                    self.counts.retried.fetch_add(1, Ordering::Relaxed);
                    let due = Instant::now() + pause_before_retry(job.attempts, random());
                    self.push(job.url, job.attempts + 1, due);
                }
                Attempt::TryAgain(reason) | Attempt::Refused(reason) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.log_failure(&job.url, &reason);
                }
            }
        }
    }

    fn log_failure(&self, url: &str, reason: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.logged_at.is_some_and(|at| now.duration_since(at) < LOG_PAUSE) {
            state.unlogged += 1;
            return;
        }
        let others = std::mem::take(&mut state.unlogged);
        state.logged_at = Some(now);
        drop(state);
        tracing::warn!(url, reason, other_failures = others, "URL could not be called");
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

/// Calls over the network.
#[derive(Debug)]
pub struct HttpTransport {
    agent: ureq::Agent,
}

impl HttpTransport {
    /// A client that names itself `lictor-node` and follows at most three redirects.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(3)
            .user_agent(concat!("lictor-node/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }
}

impl Default for HttpTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for HttpTransport {
    fn get(&self, url: &str) -> Attempt {
        match self.agent.get(url).call() {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // The answer itself is of no interest, and a server that stalls in it has got the call.
                let _ = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
                match status {
                    200..=399 => Attempt::Done,
                    408 | 425 | 429 | 500..=599 => Attempt::TryAgain(format!("status {status}")),
                    _ => Attempt::Refused(format!("status {status}")),
                }
            }
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::Http(_))) => {
                Attempt::Refused(error.to_string())
            }
            Err(error) => Attempt::TryAgain(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    /// Answers attempts from a list, then well; tells each URL.
    struct Scripted {
        answers: Mutex<Vec<Attempt>>,
        called: Mutex<mpsc::Sender<String>>,
    }

    impl Transport for Scripted {
        fn get(&self, url: &str) -> Attempt {
            let _ = self.called.lock().unwrap().send(url.to_owned());
            self.answers.lock().unwrap().pop().unwrap_or(Attempt::Done)
        }
    }

    fn scripted(answers: Vec<Attempt>) -> (UrlCaller, mpsc::Receiver<String>) {
        let (called, calls) = mpsc::channel();
        let transport = Scripted { answers: Mutex::new(answers), called: Mutex::new(called) };
        (UrlCaller::start(transport).unwrap(), calls)
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
        assert_eq!(shared.next().map(|job| job.url), Some("first".into()));
        assert_eq!(shared.next().map(|job| job.url), Some("second".into()));
    }

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        for (attempts, full) in [(0, 500), (1, 1000), (2, 2000)] {
            assert_eq!(pause_before_retry(attempts, 0), Duration::from_millis(full / 2));
            assert_eq!(pause_before_retry(attempts, u64::from(u32::MAX)), Duration::from_millis(full));
        }
    }

    /// A server that gives each connection the next answer, and tells the first line of each request.
    fn server(answers: Vec<&'static str>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/path?x=1", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                tell.send(text.lines().next().unwrap_or_default().to_owned()).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, told)
    }

    #[test]
    fn the_network_transport_tells_answers_apart() {
        let (url, requests) = server(vec![
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        ]);
        let transport = HttpTransport::new();
        assert_eq!(transport.get(&url), Attempt::Done);
        assert_eq!(transport.get(&url), Attempt::TryAgain("status 503".into()));
        assert_eq!(transport.get(&url), Attempt::Refused("status 404".into()));
        assert!(requests.iter().take(3).all(|line| line == "GET /path?x=1 HTTP/1.1"));
        assert!(matches!(transport.get("http://127.0.0.1:1/"), Attempt::TryAgain(_)));
        assert!(matches!(transport.get("not a url"), Attempt::Refused(_)));
    }
    #[test]
    fn https_speaks_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut hello = [0; 3];
            listener.accept().unwrap().0.read_exact(&mut hello).unwrap();
            hello
        });
        assert!(matches!(HttpTransport::new().get(&url), Attempt::TryAgain(_)));
        // A TLS record: handshake, version 3.x.
        assert_eq!(server.join().unwrap()[..2], [22, 3]);
    }
}
