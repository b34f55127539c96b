//! Says when a folder may have changed.
//!
//! The kernel's notifications (inotify) make it quick. They do not tell everything, changes behind a link that points
//! elsewhere for one, so the folder is also looked at every two seconds. Either way the answer is only "look again".

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Without notification the folder is looked at this often.
pub const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// A folder that changes is looked at once it has been quiet for this long.
pub const QUIET: Duration = Duration::from_millis(50);

/// A folder that never is quiet is looked at this long after the first change.
pub const QUIET_MAX: Duration = Duration::from_millis(500);

/// A watched folder.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// Calls `look` whenever the folder may have changed, from a thread of its own. `look` returns `false` to end it.
    pub fn start(path: PathBuf, look: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("lictor-watch".into());
        let stopped = Arc::clone(&stop);
        thread.spawn(move || Watcher::new(path, stopped).run(&look))?;
        Ok(Self { stop })
    }

    /// Ends the watch; its thread ends within [`LOOK_PAUSE`].
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Watcher {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    inotify: Option<OwnedFd>,
}

impl Watcher {
    fn new(path: PathBuf, stop: Arc<AtomicBool>) -> Self {
        Self { path, stop, inotify: None }
    }

    fn run(&mut self, look: &dyn Fn() -> bool) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.inotify.is_none() {
                self.inotify = self.subscribe();
            }
            if self.wait(LOOK_PAUSE) {
                self.wait_until_quiet();
            }
            if !look() {
                return;
            }
        }
    }

    /// A subscription; `None` = the folder is not there, or the limit of subscriptions is reached. Looking goes on.
    fn subscribe(&self) -> Option<OwnedFd> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let events = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&descriptor, &self.path, events).ok()?;
        Some(descriptor)
    }

    /// Waits for a notification; `false` = none came. Takes what came out of the queue.
    fn wait(&mut self, time: Duration) -> bool {
        let Some(descriptor) = &self.inotify else {
            std::thread::sleep(time);
            return false;
        };
        let timeout =
            Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) };
        let ready = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&timeout));
        if !matches!(ready, Ok(count) if count > 0) {
            return false;
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(descriptor, &mut space);
        let mut folder_gone = false;
        while let Ok(event) = reader.next() {
            folder_gone |= event.events().intersects(
                inotify::ReadFlags::DELETE_SELF | inotify::ReadFlags::MOVE_SELF | inotify::ReadFlags::IGNORED,
            );
        }
        if folder_gone {
            self.inotify = None;
        }
        true
    }

    fn wait_until_quiet(&mut self) {
        let end = Instant::now() + QUIET_MAX;
        while Instant::now() < end && self.wait(QUIET) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_change_is_noticed_soon() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, looks) = mpsc::channel();
        let watch =
            Watch::start(folder.path().to_owned(), move || tell.send(Instant::now()).is_ok()).unwrap();
        // The first look may come from the pause; after it the subscription is certain.
        looks.recv_timeout(Duration::from_secs(10)).unwrap();
        std::fs::write(folder.path().join("a.yaml"), "x").unwrap();
        let written = Instant::now();
        let looked = looks.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(looked - written < LOOK_PAUSE, "noticed after {:?}", looked - written);
        drop(looks);
        watch.stop();
    }

    #[test]
    fn a_folder_that_comes_later_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later");
        let mut watcher = Watcher::new(path.clone(), Arc::default());
        assert!(watcher.subscribe().is_none());
        std::fs::create_dir(&path).unwrap();
        watcher.inotify = watcher.subscribe();
        std::fs::write(path.join("a"), "x").unwrap();
        assert!(watcher.wait(Duration::from_secs(5)));
        std::fs::remove_dir_all(&path).unwrap();
        assert!(watcher.wait(Duration::from_secs(5)));
        watcher.wait_until_quiet();
        assert!(watcher.inotify.is_none());
    }
}
