//! Tries for texts: which keys a text begins with, answered by one longest match.
//!
//! A key's class stands for the key and for all shorter keys that it begins with, so the longest match tells
//! everything. The kernel's trie takes keys of bounded length; a longer key is cut into chunks of
//! [`LICTOR_LPM_CHUNK`] bytes, and the entry of a full chunk names the state in which the rest is looked up. When the
//! lookup in that state finds nothing, the class found so far holds: each entry has its shorter keys folded in.

use super::{Trie, TrieEntry};
use lictor_node_worker_ebpf::LICTOR_LPM_CHUNK;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

const CHUNK: usize = LICTOR_LPM_CHUNK as usize;

/// Distinct keys in the order of their bytes, and how they nest: the keys that begin with key `i` follow it directly.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    sorted: Vec<&'a [u8]>,
    /// The longest other key that key `i` begins with.
    parents: Vec<Option<usize>>,
    /// One past the last key that begins with key `i`.
    ends: Vec<usize>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(mut keys: Vec<&'a [u8]>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let mut parents = Vec::with_capacity(keys.len());
        let mut ends = vec![keys.len(); keys.len()];
        let mut open: Vec<usize> = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            while let Some(&last) = open.last() {
                if key.starts_with(keys[last]) {
                    break;
                }
                ends[last] = index;
                open.pop();
            }
            parents.push(open.last().copied());
            open.push(index);
        }
        Self { sorted: keys, parents, ends }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn index(&self, key: &[u8]) -> Option<usize> {
        self.sorted.binary_search(&key).ok()
    }

    /// Key `index` and the keys that begin with it.
    pub(super) fn covered(&self, index: usize) -> Range<usize> {
        index..self.ends[index]
    }

    /// The longest key that the first `length` bytes of key `index` begin with.
    fn covering(&self, index: usize, length: usize) -> Option<usize> {
        let mut candidate = Some(index);
        while let Some(key) = candidate {
            if self.sorted[key].len() <= length {
                return candidate;
            }
            candidate = self.parents[key];
        }
        None
    }

    /// The trie. `class` gives the class of a key, and of "no key matches".
    ///
    /// With `directories`, each directory (up to a `/`) above a key has an entry too, as long as it fits into the
    /// first chunk: a directory that has no entry of its whole length, or one that is not extended, has nothing below
    /// it that could differ in class.
    pub(super) fn trie(&self, class: impl Fn(Option<usize>) -> u32, directories: bool) -> Trie {
        let mut trie = Trie { entries: BTreeMap::new(), states: 1 };
        let mut states: HashMap<&[u8], u32> = HashMap::new();
        let mut previous: &[u8] = &[];
        for (index, key) in self.sorted.iter().enumerate() {
            if directories {
                self.add_directories(&mut trie, index, previous, &class);
            }
            let (mut state, mut offset) = (0, 0);
            while key.len() - offset > CHUNK {
                let end = offset + CHUNK;
                let next = *states.entry(&key[..end]).or_insert_with(|| {
                    trie.states += 1;
                    trie.states - 1
                });
                let entry = trie.entries.entry((state, key[offset..end].to_vec())).or_default();
                *entry = TrieEntry { class: class(self.covering(index, end)), next, extended: true };
                (state, offset) = (next, end);
            }
            let extended = self.ends[index] > index + 1;
            let entry = TrieEntry { class: class(Some(index)), next: 0, extended };
            trie.entries.insert((state, key[offset..].to_vec()), entry);
            previous = key;
        }
        trie
    }

    /// Entries for the directories above key `index` that `previous`, the key before it, does not share.
    fn add_directories(
        &self,
        trie: &mut Trie,
        index: usize,
        previous: &[u8],
        class: &impl Fn(Option<usize>) -> u32,
    ) {
        let key = self.sorted[index];
        let shared = key.iter().zip(previous).take_while(|(a, b)| a == b).count();
        // The last byte is left out: what ends there is the key itself.
        for end in 1..key.len().min(CHUNK + 1) {
            if key[end - 1] != b'/' || end <= shared {
                continue;
            }
            let entry = trie.entries.entry((0, key[..end].to_vec())).or_default();
            entry.class = class(self.covering(index, end));
            entry.extended = true;
        }
    }
}
