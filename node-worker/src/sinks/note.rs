//! What is about to be written to the event file, noted before it is written, so that a node worker that is killed
//! between the write and the giving back of the records' space does not make the next one write the lines again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name of the file in the state folder.
pub const FILE: &str = "written";

/// Changes when older notes can no longer be read.
const FORMAT: u64 = 0x4c49_4354_4f52_0001;

/// Words of a note in the file: format, seven of [`Note`], sum.
const WORDS: usize = 9;

/// Records in the ring: those that were handed out since their space was last given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records {
    /// Names the ring, within a boot.
    pub ring: u64,
    /// Where in the ring they begin; grows for ever.
    pub position: u64,
    /// How many of them the lines cover that are written next, and all lines before.
    pub count: u64,
}

/// A write to the event file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) boot: u64,
    pub(super) records: Records,
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The file of the last note.
#[derive(Debug)]
pub struct Notes {
    file: File,
    boot: u64,
}

impl Notes {
    /// Opens the file in the state folder. `boot_id` names the machine's boot: rings begin anew with each.
    pub fn open(state_dir: &Path, boot_id: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(state_dir.join(FILE))?;
        // FNV-1a: two boots that differ in nothing but this are not to be expected.
        let boot = boot_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Self { file, boot })
    }

    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    /// One write within a page: a killed process leaves all of it or nothing.
    pub(super) fn write(&self, note: &Note) -> io::Result<()> {
        let Note { boot, records, inode, offset, length } = *note;
        let words = [FORMAT, boot, records.ring, records.position, records.count, inode, offset, length];
        let mut bytes = Vec::with_capacity(WORDS * 8);
        for word in words.iter().chain([&sum(&words)]) {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        self.file.write_all_at(&bytes, 0)
    }

    /// The last note; `None` = there is none, or it is damaged.
    pub(super) fn read(&self) -> Option<Note> {
        let mut bytes = [0; WORDS * 8];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let [format, boot, ring, position, count, inode, offset, length, check] = words;
        let whole = format == FORMAT && boot == self.boot && check == sum(&words[..WORDS - 1]);
        let records = Records { ring, position, count };
        whole.then_some(Note { boot, records, inode, offset, length })
    }
}

fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum: u64, word| sum.rotate_left(7).wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_in_its_boot_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::open(folder.path(), "one").unwrap();
        assert_eq!(notes.read(), None);
        let records = Records { ring: 1, position: 2, count: 3 };
        let note = Note { boot: notes.boot(), records, inode: 4, offset: 5, length: 6 };
        notes.write(&note).unwrap();
        assert_eq!(Notes::open(folder.path(), "one").unwrap().read(), Some(note));
        assert_eq!(Notes::open(folder.path(), "two").unwrap().read(), None);
        notes.file.write_all_at(&[9], 40).unwrap();
        assert_eq!(notes.read(), None);
    }
}
