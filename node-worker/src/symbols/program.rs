//! Functions of programs: which file is mapped at an address, and what it says is there.

use super::elf::{self, FILE_BYTES_MAX};
use super::{Frame, bare, within_call};
use crate::port::ImageTable;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read of the list of a process's mappings: some ten thousand of them.
const MAPS_BYTES_MAX: u64 = 1 << 20;

/// Functions that are remembered.
const KNOWN_MAX: usize = 8192;

/// Whose functions are wanted.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) boot_ns: u64,
    pub(super) addresses: Vec<u64>,
}

/// A file as it was when something was found in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) bytes: u64,
    pub(super) changed: (i64, i64),
}

/// A function's name, and how far the place is from its beginning; `None` = there is none.
type Found = Option<(String, u64)>;

/// Reads programs.
#[derive(Debug)]
pub(super) struct Programs {
    procfs: PathBuf,
    images: Option<Arc<dyn ImageTable>>,
    known: HashMap<(Version, u64), Found>,
}

impl Programs {
    pub(super) fn new(procfs: PathBuf, images: Option<Arc<dyn ImageTable>>) -> Self {
        Self { procfs, images, known: HashMap::new() }
    }

    /// The frames of a process. When it is gone or has begun another program since, nothing is known of them.
    pub(super) fn frames(&mut self, asked: &Process) -> Vec<Frame> {
        let mut frames = bare(&asked.addresses);
        let maps = maps(&self.procfs, asked.pid);
        let is_later = |begin: crate::port::ImageBegin| begin.boot_ns > asked.boot_ns;
        // Asked last: a program that began meanwhile has other mappings.
        if self.images.as_ref().and_then(|images| images.began(asked.pid)).is_some_and(is_later) {
            return frames;
        }
        let mut wanted: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        for (depth, frame) in frames.iter_mut().enumerate() {
            let place = within_call(depth, frame.address);
            let Some(number) = maps.iter().position(|map| (map.begin..map.end).contains(&place)) else {
                continue;
            };
            let map = &maps[number];
            frame.module.clone_from(&map.path);
            if map.inode != 0 {
                frame.offset = frame.address - map.begin + map.offset;
                wanted.entry(number).or_default().push((depth, place - map.begin + map.offset));
            }
        }
        let mut left = FILE_BYTES_MAX;
        for (number, places) in wanted {
            self.name(&mut frames, asked.pid, &maps[number], &places, &mut left);
        }
        frames
    }

    /// Names the frames of one mapping. Places are frames and where in the file they are.
    fn name(
        &mut self,
        frames: &mut [Frame],
        process: u32,
        map: &Map,
        places: &[(usize, u64)],
        left: &mut u64,
    ) {
        let Ok((file, version)) = open(&self.procfs.join(process.to_string()), map) else { return };
        if self.known.len() + places.len() > KNOWN_MAX {
            self.known.clear();
        }
        let unknown: Vec<u64> = places
            .iter()
            .map(|(_, offset)| *offset)
            .filter(|offset| !self.known.contains_key(&(version, *offset)))
            .collect();
        if !unknown.is_empty()
            && let Ok(found) = elf::functions(&file, &unknown, left)
        {
            self.known.extend(unknown.iter().map(|offset| (version, *offset)).zip(found));
        }
        for (depth, offset) in places {
            if let Some(Some((name, from))) = self.known.get(&(version, *offset))
                && let Some(frame) = frames.get_mut(*depth)
            {
                frame.symbol.clone_from(name);
                frame.offset = *from + u64::from(*depth != 0);
            }
        }
    }
}

/// What a process has mapped as code. `procfs` is where the node's proc file system is mounted.
pub(super) fn maps(procfs: &Path, process: u32) -> Vec<Map> {
    let mut text = Vec::new();
    let file = File::open(procfs.join(process.to_string()).join("maps"));
    // What was read before an error counts.
    let _ = file.and_then(|file| file.take(MAPS_BYTES_MAX).read_to_end(&mut text));
    text.split(|byte| *byte == b'\n').filter_map(Map::parse).collect()
}

/// Opens the file that a process has mapped: by the link of `map_files`, which leads to the very file, whatever its path
/// names by now; without the right to follow such links (`CAP_CHECKPOINT_RESTORE`), by its path below the process's root.
fn open(process: &Path, map: &Map) -> io::Result<(File, Version)> {
    let place = linked(process, map).or_else(|_| below_root(process, map.path.as_bytes()))?;
    let metadata = place.metadata()?;
    if !metadata.is_file() || metadata.ino() != map.inode {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    reopen(&place)
}

/// Other things than files are not even opened: that could do something.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The place of the very file that is mapped.
pub(super) fn linked(process: &Path, map: &Map) -> io::Result<File> {
    let link = process.join(format!("map_files/{:x}-{:x}", map.begin, map.end));
    Ok(File::from(rustix::fs::open(link, PLACE, Mode::empty())?))
}

/// The place that a path leads to below the root of a process.
pub(super) fn below_root(process: &Path, path: &[u8]) -> io::Result<File> {
    let root = rustix::fs::open(process.join("root"), PLACE | OFlags::DIRECTORY, Mode::empty())?;
    Ok(File::from(rustix::fs::openat2(root, path, PLACE, Mode::empty(), ResolveFlags::IN_ROOT)?))
}

/// Opens the file at a place, which is a file.
pub(super) fn reopen(place: &File) -> io::Result<(File, Version)> {
    let again = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(again, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let version = Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    Ok((file, version))
}

/// A mapping of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    begin: u64,
    end: u64,
    offset: u64,
    path: String,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// 0 = no file is mapped.
    pub(super) inode: u64,
}

impl Map {
    /// A line of `maps`: begin-end, permissions, offset, device, inode, path. `None` for what holds no code.
    fn parse(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line);
        let mut words = line.splitn(6, ' ');
        let (begin, end) = words.next()?.split_once('-')?;
        let permissions = words.next()?;
        let offset = words.next()?;
        let (major, minor) = words.next()?.split_once(':')?;
        let inode = words.next()?;
        let path = words.next().unwrap_or_default().trim_start();
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let half = |text: &str| u32::from_str_radix(text, 16).ok();
        let map = Self {
            begin: number(begin)?,
            end: number(end)?,
            offset: number(offset)?,
            path: path.strip_suffix(" (deleted)").unwrap_or(path).to_owned(),
            device: (half(major)?, half(minor)?),
            inode: inode.parse().ok()?,
        };
        permissions.contains('x').then_some(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::ImageBegin;

    #[test]
    fn lines_of_maps() {
        let line = b"55d0a000-55d0f000 r-xp 00002000 fe:01 1234                 /usr/bin/a b (deleted)";
        let map = Map::parse(line).unwrap();
        assert_eq!((map.begin, map.end, map.offset, map.inode), (0x55d0_a000, 0x55d0_f000, 0x2000, 1234));
        assert_eq!(map.path, "/usr/bin/a b");
        assert_eq!(map.device, (0xfe, 1));
        let map = Map::parse(b"7ffe1000-7ffe3000 r-xp 00000000 00:00 0                  [vdso]").unwrap();
        assert_eq!((map.path.as_str(), map.inode), ("[vdso]", 0));
        let map = Map::parse(b"7f001000-7f003000 rwxp 00000000 00:00 0 ").unwrap();
        assert_eq!((map.path.as_str(), map.inode), ("", 0));
        for line in
            ["", "7f001000-7f003000 rw-p 00000000 00:00 0 ", "x-y r-xp 0 0 0", "1-2 r-xp", "12 r-xp 0 0 0"]
        {
            assert_eq!(Map::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[derive(Debug)]
    struct Began(u64);

    impl ImageTable for Began {
        fn began(&self, _: u32) -> Option<ImageBegin> {
            Some(ImageBegin { start_boot_ns: 0, boot_ns: self.0 })
        }

        fn remember(&self, _: &crate::port::OlderProcess) -> io::Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn a_program_that_began_later_is_another_one() {
        let here = a_program_that_began_later_is_another_one as fn() as usize as u64;
        let asked = Process { pid: std::process::id(), boot_ns: 50, addresses: vec![here] };
        let named = |began| {
            let images: Option<Arc<dyn ImageTable>> = Some(Arc::new(Began(began)));
            Programs::new("/proc".into(), images).frames(&asked)[0].symbol.clone()
        };
        assert!(named(50).contains("a_program_that_began_later"), "{}", named(50));
        assert_eq!(named(51), "");
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut programs = Programs::new("/proc".into(), None);
        let version = Version { device: 0, inode: 0, bytes: 0, changed: (0, 0) };
        programs.known.extend((0..KNOWN_MAX as u64).map(|offset| ((version, offset), None)));
        let here = what_is_known_is_bounded as fn() as usize as u64;
        let frames = programs.frames(&Process { pid: std::process::id(), boot_ns: 0, addresses: vec![here] });
        assert!(frames[0].symbol.contains("what_is_known_is_bounded"), "{frames:?}");
        assert_eq!(programs.known.len(), 1);
    }
}
