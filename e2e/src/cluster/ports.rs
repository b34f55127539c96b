//! Ports on the loopback address that no other cluster of this machine takes.

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;

use anyhow::{Context as _, Result, bail};

use crate::lab::cache_dir;

/// Below Linux's range of ports for outgoing connections (32768 and up), so that no connection takes one between the
/// moment it is found free and the moment a program binds it.
const RANGE: std::ops::Range<u16> = 21_000..31_000;

/// A port that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    /// Locked: programs that look for ports at the same time see it.
    _lock: File,
}

impl Port {
    /// Finds a port that nobody holds or listens on.
    pub(super) fn reserve() -> Result<Self> {
        let directory = cache_dir()?.join("ports");
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let length = RANGE.end - RANGE.start;
        // Where the search begins only spreads the searches of programs that run at the same time.
        let first = u16::try_from(std::process::id() % u32::from(length)).unwrap_or_default();
        for step in 0..length {
            let number = RANGE.start + (first + step) % length;
            let path = directory.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", path.display()));
                }
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no port from {} to {} is free on 127.0.0.1", RANGE.start, RANGE.end - 1)
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_or_used_port_is_not_given_again() {
        let first = Port::reserve().unwrap();
        let second = Port::reserve().unwrap();
        assert_ne!(first.number(), second.number());
        let number = second.number();
        let listener = TcpListener::bind(("127.0.0.1", number)).unwrap();
        drop(second);
        assert_ne!(Port::reserve().unwrap().number(), number);
        drop(listener);
    }
}
