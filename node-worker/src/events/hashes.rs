//! Hook records that wait for the hash of their file, which the kernel computes after it has made the record.
//!
//! A thread computes one hash at a time, within the hook, so a record and its hash are found by the thread.

use lictor_node_worker_ebpf::lictor_hash_record;
use std::collections::HashMap;

/// Records that wait at most. Further ones are told without their hash: the ring has no more room than for some of them.
const WAITING_MAX: usize = 1024;

/// How long a record waits. Long files on slow disks take longer, and are told without a hash.
const WAIT_NS: u64 = 5_000_000_000;

/// The names of `enum hash_algo` (`include/uapi/linux/hash_info.h`), with the bytes of their digests, by number.
const ALGORITHMS: [(&str, usize); 12] = [
    ("md4", 16),
    ("md5", 16),
    ("sha1", 20),
    ("rmd160", 20),
    ("sha256", 32),
    ("sha384", 48),
    ("sha512", 64),
    ("sha224", 28),
    ("rmd128", 16),
    ("rmd256", 32),
    ("rmd320", 40),
    ("wp256", 32),
];

/// A hash as events show it: `sha256:` and hexadecimal digits; `None` = the kernel could not compute it, or by an algorithm
/// that has no name here.
pub fn text(record: &lictor_hash_record) -> Option<String> {
    let (name, length) = ALGORITHMS.get(usize::try_from(record.algorithm).ok()?)?;
    Some(format!("{name}:{}", crate::state::hexadecimal(record.digest.get(..*length)?)))
}

/// The records that wait, by thread.
#[derive(Debug, Default)]
pub struct Hashes {
    waiting: HashMap<u32, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    record: Vec<u8>,
    since_ns: u64,
}

impl Hashes {
    /// Keeps the record of thread `tid`; gives back what is to be told at once and without a hash: an earlier one of the
    /// thread, whose hash has not come and will not, or this one when too many wait.
    pub fn hold(&mut self, tid: u32, record: &[u8], now_ns: u64) -> Option<Vec<u8>> {
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&tid) {
            return Some(record.to_vec());
        }
        let waiting = Waiting { record: record.to_vec(), since_ns: now_ns };
        self.waiting.insert(tid, waiting).map(|earlier| earlier.record)
    }

    /// The record that the hash of thread `tid` is of.
    pub fn take(&mut self, tid: u32) -> Option<Vec<u8>> {
        self.waiting.remove(&tid).map(|waiting| waiting.record)
    }

    /// Records that have waited long enough, the oldest first.
    pub fn expired(&mut self, now_ns: u64) -> Vec<Vec<u8>> {
        self.taken(|waiting| waiting.since_ns.saturating_add(WAIT_NS) <= now_ns)
    }

    /// All of them, the oldest first.
    pub fn all(&mut self) -> Vec<Vec<u8>> {
        self.taken(|_| true)
    }

    fn taken(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Vec<u8>> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Waiting> =
            self.waiting.extract_if(|_, waiting| wanted(waiting)).map(|(_, waiting)| waiting).collect();
        found.sort_by_key(|waiting| waiting.since_ns);
        found.into_iter().map(|waiting| waiting.record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_named_by_their_algorithm() {
        let mut record = lictor_hash_record { algorithm: 4, ..lictor_hash_record::default() };
        record.digest[..3].copy_from_slice(&[0xab, 0, 1]);
        assert_eq!(text(&record).unwrap(), format!("sha256:ab0001{}", "0".repeat(58)));
        record.algorithm = 6;
        assert_eq!(text(&record).unwrap().len(), "sha512:".len() + 128);
        for algorithm in [-95, 12, i32::MAX, i32::MIN] {
            assert_eq!(text(&lictor_hash_record { algorithm, ..record }), None);
        }
    }

    #[test]
    fn a_record_waits_for_the_hash_of_its_thread() {
        let mut hashes = Hashes::default();
        assert_eq!(hashes.hold(1, b"one", 10), None);
        assert_eq!(hashes.hold(2, b"two", 11), None);
        assert_eq!(hashes.take(1).as_deref(), Some(&b"one"[..]));
        assert_eq!(hashes.take(1), None);
        assert_eq!(hashes.hold(2, b"later", 12).as_deref(), Some(&b"two"[..]), "its hash did not come");
        assert_eq!(hashes.all(), [b"later"]);
    }

    #[test]
    fn nothing_waits_for_ever_and_no_more_than_there_is_room_for() {
        let mut hashes = Hashes::default();
        hashes.hold(1, b"new", 100);
        hashes.hold(2, b"old", 10);
        assert!(hashes.expired(10 + WAIT_NS - 1).is_empty());
        assert_eq!(hashes.expired(10 + WAIT_NS), [b"old"]);
        for tid in 2..=WAITING_MAX as u32 {
            assert_eq!(hashes.hold(tid, b"x", 100), None);
        }
        assert_eq!(hashes.hold(9_999, b"surplus", 100).as_deref(), Some(&b"surplus"[..]));
        assert_eq!(hashes.hold(1, b"again", 100).as_deref(), Some(&b"new"[..]));
        assert_eq!(hashes.all().len(), WAITING_MAX);
    }
}
