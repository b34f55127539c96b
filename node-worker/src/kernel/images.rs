//! What the kernel remembers of processes: the table of `struct lictor_image`.

use super::memory::LiveWord;
use super::sys;
use crate::port::{ImageBegin, ImageTable, OlderProcess};
use lictor_node_worker_ebpf::{
    LICTOR_IMAGE_INCOMPLETE, LICTOR_IMAGE_ORIGIN_UNKNOWN, bytes_of, lictor_image, read,
};
use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What hashes of paths depend on, so that nobody can choose a path that has another one's.
#[derive(Clone, Copy)]
pub(super) struct PathKey([u64; 2]);

/// Nobody is to find the key in a log.
impl std::fmt::Debug for PathKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PathKey")
    }
}

impl PathKey {
    /// The key of the engine, which is made when there is none yet: before the first program that hashes is attached.
    pub(super) fn of(live: &LiveWord) -> io::Result<Self> {
        let known = live.path_key()?;
        if known != [0; 2] {
            return Ok(Self(known));
        }
        let mut bytes = [0; 16];
        fill_random(&mut bytes)?;
        let key = [word(&bytes[..8]), word(&bytes[8..])];
        live.set_path_key(key)?;
        Ok(Self(key))
    }

    /// SipHash-2-4 of a path, as the programs compute it.
    pub(super) fn hash(self, path: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        hasher.write(path);
        hasher.finish()
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

/// The map of `struct lictor_image`, by process id.
#[derive(Debug)]
pub(super) struct Images {
    map: OwnedFd,
    key: PathKey,
}

impl Images {
    pub(super) fn new(map: OwnedFd, key: PathKey) -> Self {
        Self { map, key }
    }

    fn image(&self, pid: u32) -> Option<lictor_image> {
        let mut bytes = [0; size_of::<lictor_image>()];
        sys::map_lookup(self.map.as_fd(), &pid.to_ne_bytes(), &mut bytes).ok()?;
        read(&bytes)
    }

    /// Adds executables to those that a process comes from, as the programs do.
    fn add(&self, image: &mut lictor_image, process: &OlderProcess) {
        if !process.complete {
            image.flags |= LICTOR_IMAGE_INCOMPLETE;
        }
        for path in &process.binaries {
            let hash = self.key.hash(path);
            let length = image.lineage_length as usize;
            if image.lineage.iter().take(length).any(|known| *known == hash) {
                continue;
            }
            match image.lineage.get_mut(length) {
                Some(free) => {
                    *free = hash;
                    image.lineage_length += 1;
                }
                None => image.flags |= LICTOR_IMAGE_INCOMPLETE,
            }
        }
    }
}

impl ImageTable for Images {
    fn began(&self, pid: u32) -> Option<ImageBegin> {
        let image = self.image(pid)?;
        (image.boot_ns != 0)
            .then_some(ImageBegin { start_boot_ns: image.start_boot_ns, boot_ns: image.boot_ns })
    }

    fn remember(&self, process: &OlderProcess) -> io::Result<bool> {
        let key = process.pid.to_ne_bytes();
        let written = match self.image(process.pid) {
            Some(image) if image.flags & LICTOR_IMAGE_ORIGIN_UNKNOWN == 0 => return Ok(false),
            Some(mut image) => {
                image.flags &= !LICTOR_IMAGE_ORIGIN_UNKNOWN;
                self.add(&mut image, process);
                sys::map_replace(self.map.as_fd(), &key, bytes_of(&image))
            }
            None => {
                let mut image = lictor_image {
                    cap_effective: process.effective,
                    cap_permitted: process.permitted,
                    cap_inheritable: process.inheritable,
                    namespaces: process.namespaces,
                    ..lictor_image::default()
                };
                self.add(&mut image, process);
                sys::map_insert(self.map.as_fd(), &key, bytes_of(&image))
            }
        };
        match written {
            Ok(()) => Ok(true),
            // It has ended in the meantime, or another process has its id now: of that one the programs know.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the paper's appendix: the bytes 0, 1, ... under the key 0, 1, ... 15.
    #[test]
    fn the_hash_is_that_of_the_paper() {
        let key = PathKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let text: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&text), 0xa129_ca61_49be_45e5);
        assert_eq!(key.hash(&[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(format!("{key:?}"), "PathKey");
    }
}
