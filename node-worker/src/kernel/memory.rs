//! Memory that is shared with the kernel: the live revision's word and the ring of records.
#![allow(unsafe_code, reason = "mapped memory has no safe interface")]
#![allow(clippy::cast_ptr_alignment, reason = "mappings begin at pages, and the offset is checked")]

use lictor_node_worker_ebpf::lictor_live;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a page on every architecture that the programs are built for.
pub(super) const PAGE_BYTES: usize = 4096;

/// A mapping of a map's memory; unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory; access to it is by atomics (words) or by copying (records).
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access never writes but through atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `map` from `offset`.
    pub(super) fn new(map: BorrowedFd<'_>, offset: usize, length: usize, writable: bool) -> io::Result<Self> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset.cast_signed() as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self { start, length })
    }

    /// The 8-byte word at `offset`, which must be aligned and inside the mapping.
    pub(super) fn word(&self, offset: usize) -> io::Result<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset + 8 > self.length {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: inside the mapping, aligned (it begins at a page), and shared with the kernel as an atomic word.
        Ok(unsafe { &*self.start.as_ptr().add(offset).cast::<AtomicU64>() })
    }

    /// The bytes `[offset, offset + length)`. The caller knows that the kernel does not write there meanwhile.
    pub(super) fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        if offset.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: inside the mapping; the ring's protocol leaves records alone until they are committed.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), length) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this address and length, and not unmapped since.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The word that says which revision is live.
#[derive(Debug)]
pub(super) struct LiveWord(Mapping);

impl LiveWord {
    /// Maps the map `live`.
    pub(super) fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        Mapping::new(map, 0, PAGE_BYTES, true).map(Self)
    }

    fn word(&self) -> io::Result<&AtomicU64> {
        self.0.word(std::mem::offset_of!(lictor_live, revision_slot))
    }

    /// Revision number and slot; revision 0 = nothing is judged.
    pub(super) fn get(&self) -> io::Result<(u32, u32)> {
        let word = self.word()?.load(Ordering::SeqCst);
        Ok((word as u32, (word >> 32) as u32))
    }

    /// The key of the hashes of paths; zero = there is none yet.
    pub(super) fn path_key(&self) -> io::Result<[u64; 2]> {
        let at = std::mem::offset_of!(lictor_live, path_key);
        Ok([self.0.word(at)?.load(Ordering::SeqCst), self.0.word(at + 8)?.load(Ordering::SeqCst)])
    }

    /// Sets it, once.
    pub(super) fn set_path_key(&self, key: [u64; 2]) -> io::Result<()> {
        let at = std::mem::offset_of!(lictor_live, path_key);
        self.0.word(at)?.store(key[0], Ordering::SeqCst);
        self.0.word(at + 8)?.store(key[1], Ordering::SeqCst);
        Ok(())
    }

    /// Makes `slot` live as `revision`, by one store.
    pub(super) fn set(&self, revision: u32, slot: u32) -> io::Result<()> {
        self.word()?.store(u64::from(slot) << 32 | u64::from(revision), Ordering::SeqCst);
        Ok(())
    }

    /// Raises `fs_generation` as the kernel does after a change of the tree of mounts: nothing that was remembered of a
    /// file holds any more.
    pub(super) fn raise_generation(&self) -> io::Result<()> {
        // The low half of its word; the high half has no flag yet that a carry could reach.
        self.0.word(std::mem::offset_of!(lictor_live, fs_generation))?.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Waits until `ring` has something to read, at most `timeout_ms` milliseconds.
pub(super) fn wait_readable(ring: BorrowedFd<'_>, timeout_ms: i32) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd.
    let result = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// Waits until every program that may still look at an older revision has ended.
///
/// Programs of the types used here run inside RCU read sections; the command waits for a grace period.
pub(super) fn wait_for_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: takes three integers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives memory that is free back to the system. Opening the kernel half parses megabytes of type information once;
/// the allocator would keep what that took for the rest of the agent's life.
pub(super) fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
