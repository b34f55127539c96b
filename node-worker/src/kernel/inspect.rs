//! What tests look at inside the engine.

use super::{Engine, OpenError, base, counts, sys};
use crate::port::KernelError;
use std::io;

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
}
