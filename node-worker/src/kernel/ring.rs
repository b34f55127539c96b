//! The ring of records, read in place and given back to the kernel batch by batch.
//!
//! Layout and protocol of `BPF_MAP_TYPE_RINGBUF` (kernel/bpf/ringbuf.c): a page with the consumer's position, one with
//! the producer's, then the data twice in a row, so that a record which wraps is still in one piece. Each record
//! begins with eight bytes: its length with a busy and a discard bit, and a word for the kernel.

use super::images::Images;
use super::memory::{Mapping, PAGE_BYTES, wait_readable};
use super::sys;
use crate::port::{BATCH_RECORDS, Batch, ImageTable, KernelError, RecordSource};
use crate::sinks::note::Records;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEAD_BYTES: u64 = 8;

/// The kernel does not wake the reader (that would cost more than the record), so it looks by itself this often.
const POLL: Duration = Duration::from_millis(5);

/// Reads the ring.
#[derive(Debug)]
pub(super) struct Ring {
    map: OwnedFd,
    images: Arc<Images>,
    /// The kernel's number of the map.
    id: u64,
    consumer: Mapping,
    producer: Mapping,
    data_bytes: u64,
    /// Handed out, but not committed yet.
    position: u64,
}

impl Ring {
    /// Maps the ring `map`. `images` is the table of what processes run.
    pub(super) fn new(map: OwnedFd, images: Images) -> Result<Self, KernelError> {
        let fail = |error| KernelError::new("map", "ring", error);
        // struct bpf_map_info: type, id, key size, value size, max_entries.
        let mut info = [0u8; 20];
        sys::object_info(map.as_fd(), &mut info).map_err(fail)?;
        let data_bytes = u64::from(u32::from_ne_bytes([info[16], info[17], info[18], info[19]]));
        let id = u64::from(u32::from_ne_bytes([info[4], info[5], info[6], info[7]]));
        let consumer = Mapping::new(map.as_fd(), 0, PAGE_BYTES, true).map_err(fail)?;
        let length = PAGE_BYTES + 2 * data_bytes as usize;
        let producer = Mapping::new(map.as_fd(), PAGE_BYTES, length, false).map_err(fail)?;
        let position = consumer.word(0).map_err(fail)?.load(Ordering::Acquire);
        Ok(Self { map, images: Arc::new(images), id, consumer, producer, data_bytes, position })
    }

    fn produced(&self) -> Result<u64, KernelError> {
        let word = self.producer.word(0).map_err(|error| KernelError::new("read", "ring", error))?;
        Ok(word.load(Ordering::Acquire))
    }

    /// Hands out the record at the position; `None` when there is none, or it is still being written.
    fn next(&mut self, produced: u64, take: &mut dyn FnMut(&[u8])) -> Option<usize> {
        if self.position >= produced {
            return None;
        }
        let offset = PAGE_BYTES + (self.position & (self.data_bytes - 1)) as usize;
        // The length shares its aligned word with the kernel's own, so one atomic load reads both.
        let head = self.producer.word(offset).ok()?.load(Ordering::Acquire) as u32;
        if head & BUSY != 0 {
            return None;
        }
        let length = head & !(BUSY | DISCARD);
        let mut handed_out = 0;
        if head & DISCARD == 0 {
            take(self.producer.bytes(offset + HEAD_BYTES as usize, length as usize)?);
            handed_out = 1;
        }
        self.position += (u64::from(length) + HEAD_BYTES + 7) & !7;
        Some(handed_out)
    }
}

impl RecordSource for Ring {
    fn poll(&mut self, timeout: Duration, take: &mut dyn FnMut(&[u8])) -> Result<Batch, KernelError> {
        let deadline = Instant::now() + timeout;
        loop {
            let produced = self.produced()?;
            let mut records = 0;
            while records < BATCH_RECORDS {
                match self.next(produced, take) {
                    Some(handed_out) => records += handed_out,
                    None => break,
                }
            }
            let waiting_bytes = self.produced()?.saturating_sub(self.position);
            let left = deadline.saturating_duration_since(Instant::now());
            if records > 0 || left.is_zero() {
                return Ok(Batch { records, waiting_bytes });
            }
            if produced == self.position {
                // Nothing there: a record that is being written would make the ring readable at once.
                std::thread::sleep(POLL.min(left));
            } else {
                wait_readable(self.map.as_fd(), 1)
                    .map_err(|error| KernelError::new("poll", "ring", error))?;
            }
        }
    }

    fn commit(&mut self) -> Result<(), KernelError> {
        let word =
            self.consumer.word(0).map_err(|error: io::Error| KernelError::new("commit", "ring", error))?;
        word.store(self.position, Ordering::Release);
        Ok(())
    }

    fn records(&self) -> Option<Records> {
        let position = self.consumer.word(0).ok()?.load(Ordering::Acquire);
        Some(Records { ring: self.id, position, count: 0 })
    }

    fn images(&self) -> Option<Arc<dyn ImageTable>> {
        Some(Arc::<Images>::clone(&self.images))
    }
}
