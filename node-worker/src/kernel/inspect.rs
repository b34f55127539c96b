//! What tests look at inside the engine.

use super::{Engine, OpenError, base, counts, sys};
use crate::port::KernelError;
use lictor_node_worker_ebpf::LICTOR_MAX_NOTIFICATIONS;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The map of what is left for threads, which are told by pidfds.
const NOTIFICATIONS: &str = "notifications";

/// Offset of `busy` in `struct scratch` (bpf/lib/maps.h): its first member.
const BUSY_BYTES: usize = 4;

impl Engine {
    /// Instructions that the verifier goes through for each program that is always there, by its name.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn base_instructions(&self) -> Result<Vec<(&'static str, u32)>, OpenError> {
        let programs = base::load_each(&self.templates, self.types.as_ref())?;
        Ok(programs.iter().map(|(name, program)| (*name, counts::verified_instructions(program))).collect())
    }

    /// Slots of scratch memory that a program holds at this moment; between events there is none.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn scratch_in_use(&self) -> Result<u32, KernelError> {
        const NAME: &str = "scratches";
        let map = self.shared.get(NAME)?;
        // struct bpf_map_info: type, id, key size, value size, max_entries.
        let mut info = [0u8; 20];
        sys::object_info(map, &mut info).map_err(|error| KernelError::new("read", NAME, error))?;
        let number = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let mut value = vec![0; number(12) as usize];
        let mut held = 0;
        for slot in 0..number(16) {
            sys::map_lookup(map, &slot.to_ne_bytes(), &mut value)
                .map_err(|error: io::Error| KernelError::new("read map", NAME, error))?;
            held += u32::from(value.iter().take(BUSY_BYTES).any(|byte| *byte != 0));
        }
        Ok(held)
    }

    /// Leaves these notifications for a process's first thread and takes away what else was left for it; with none, it is as if
    /// nothing had ever been left.
    ///
    /// # Errors
    /// There are more than a thread can have, or the map cannot be written.
    pub fn leave_notifications(&self, process: BorrowedFd<'_>, numbers: &[u64]) -> Result<(), KernelError> {
        let fail = |error| KernelError::new("write map", NOTIFICATIONS, error);
        let map = self.shared.get(NOTIFICATIONS)?;
        let key = process.as_raw_fd().to_ne_bytes();
        if numbers.is_empty() {
            return match sys::map_delete(map, &key) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(error)),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let mut left = [0; LICTOR_MAX_NOTIFICATIONS as usize];
        let wanted = left.get_mut(..numbers.len()).ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?;
        wanted.copy_from_slice(numbers);
        sys::map_update(map, &key, bytemuck::bytes_of(&left)).map_err(fail)
    }

    /// What is left for a process's first thread.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn notifications(&self, process: BorrowedFd<'_>) -> Result<Vec<u64>, KernelError> {
        let map = self.shared.get(NOTIFICATIONS)?;
        let mut left = [0_u64; LICTOR_MAX_NOTIFICATIONS as usize];
        match sys::map_lookup(map, &process.as_raw_fd().to_ne_bytes(), bytemuck::bytes_of_mut(&mut left)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(KernelError::new("read map", NOTIFICATIONS, error)),
            Ok(()) => Ok(left.into_iter().filter(|number| *number != 0).collect()),
        }
    }
}
