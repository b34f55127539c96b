//! Programs and libraries of the node: where their functions and probes are.

mod digest;
mod go;
mod pclntab;
mod types;

use lictor_policy::model::{DigestKind, FunctionName, UserPlace};
use lictor_policy::plan::{FileIdentity, FoundDigest, FoundPlace, ProgramTypes, UserProblem, UserSite};
use object::read::elf::{ElfFile64, ElfSymbol64, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache, SymbolKind, elf};
use pclntab::Function;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::hash::Hash;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Names to suggest for one that does not exist.
const SUGGESTIONS_MAX: usize = 3;

/// Answers that are kept, of each kind.
const ANSWERS_MAX: usize = 4096;

/// A file as it was when something was found in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    identity: FileIdentity,
    bytes: u64,
    modified: (i64, i64),
    /// Unlike the time before, nobody can set it back.
    changed: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            identity: FileIdentity { device: metadata.dev(), inode: metadata.ino() },
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

type Answer = Result<Vec<FoundPlace>, UserProblem>;

/// The files of a machine. Each is read again only when it is another one: policies are compiled at every change of one.
#[derive(Debug)]
pub(super) struct Binaries {
    root: PathBuf,
    places: Answers<UserPlace, Answer>,
    digests: Answers<DigestKind, Result<FoundDigest, UserProblem>>,
    types: types::Readings,
}

impl Binaries {
    /// Those of the machine whose file system is at `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            places: Answers::default(),
            digests: Answers::default(),
            types: types::Readings::default(),
        }
    }

    /// Where a place is.
    pub(super) fn places(&self, path: &str, place: &UserPlace) -> Answer {
        let (file, version) = self.open(path)?;
        self.places.get(path, place, version, || read(file, path, version.identity, place))
    }

    /// What a file is recognised by.
    pub(super) fn digest(&self, path: &str, kind: DigestKind) -> Result<FoundDigest, UserProblem> {
        let (file, version) = self.open(path)?;
        self.digests.get(path, &kind, version, || digest::found(&file, version, kind))
    }

    /// What a file tells of a program's types.
    pub(super) fn types(&self, path: &str) -> Result<ProgramTypes, UserProblem> {
        let (file, version) = self.open(path)?;
        self.types.get(path, version, file)
    }

    fn open(&self, path: &str) -> Result<(File, Version), UserProblem> {
        let (file, _) = open(&self.root, path).map_err(|error| unreadable(&error))?;
        if !file.metadata().map_err(|error| unreadable(&error))?.is_file() {
            return Err(UserProblem::Unreadable("is no regular file".to_owned()));
        }
        let version = Version::of(&file).map_err(|error| unreadable(&error))?;
        Ok((file, version))
    }
}

/// What was found out about files, by path and question, each as long as the file is the same.
#[derive(Debug)]
struct Answers<Q, A>(Mutex<HashMap<(String, Q), (Version, A)>>);

impl<Q, A> Default for Answers<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Clone + Eq + Hash, A: Clone> Answers<Q, A> {
    fn get(&self, path: &str, question: &Q, version: Version, find: impl FnOnce() -> A) -> A {
        let key = (path.to_owned(), question.clone());
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = known().get(&key).filter(|(found, _)| *found == version) {
            return answer.clone();
        }
        let answer = find();
        let mut answers = known();
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(key, (version, answer.clone()));
        answer
    }
}

fn unreadable(error: &io::Error) -> UserProblem {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        return UserProblem::NoFile;
    }
    UserProblem::Unreadable(format!("cannot be read: {error}"))
}

/// Opens a file by its path on the node whose file system is at `root`. A node worker in a container has a root of its own;
/// the node's is that of the node's first process.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(super) fn open(root: &Path, path: &str) -> io::Result<(File, FileIdentity)> {
    let directory = rustix::fs::open(
        root.join("proc/1/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match directory {
        // Links between processes of `/proc` lead out of any root: these are followed as they are.
        Ok(directory) if !path.starts_with("/proc/") => {
            // Links of the node with whole paths are followed within the node's root.
            rustix::fs::openat2(directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?
        }
        Ok(_) | Err(_) => rustix::fs::open(root.join(path.trim_start_matches('/')), flags, Mode::empty())?,
    };
    let file = File::from(file);
    let metadata = file.metadata()?;
    Ok((file, FileIdentity { device: metadata.dev(), inode: metadata.ino() }))
}

type Elf<'a> = ElfFile64<'a, Endianness, &'a ReadCache<File>>;

fn read(file: File, path: &str, identity: FileIdentity, place: &UserPlace) -> Answer {
    let cache = ReadCache::new(file);
    let damaged = |error: object::Error| {
        UserProblem::Unreadable(format!("is no file in the format ELF for 64 bits: {error}"))
    };
    let elf = Elf::parse(&cache).map_err(damaged)?;
    if elf.elf_header().e_machine.get(elf.endian()) != MACHINE {
        return Err(UserProblem::Unreadable("is for another processor".to_owned()));
    }
    let site = |offset: u64, ref_counter: u32| UserSite {
        path: path.to_owned(),
        offset,
        ref_counter,
        file: identity,
    };
    match place {
        UserPlace::Function { name, ref_counter, at_end } => {
            let offsets = offsets(&elf, name)?;
            let mut addresses = offsets.iter().filter_map(|offset| address_of(&elf, *offset));
            if *at_end && addresses.any(|address| go::has_function_at(&elf, address)) {
                return Err(UserProblem::MovesStack);
            }
            let found = |offset| {
                let address = address_of(&elf, offset)?;
                Some(FoundPlace { site: site(offset, *ref_counter), address, arguments: String::new() })
            };
            Ok(offsets.into_iter().filter_map(found).collect())
        }
        UserPlace::Probe { provider, name } => {
            let probes = probes(&elf).map_err(damaged)?;
            let wanted = |probe: &&Probe| probe.provider == *provider && probe.name == *name;
            let found = |probe: &Probe| FoundPlace {
                site: site(probe.offset, probe.ref_counter),
                address: probe.address,
                arguments: probe.arguments.clone(),
            };
            let places: Vec<FoundPlace> = probes.iter().filter(wanted).map(found).collect();
            if places.is_empty() {
                let names: BTreeSet<String> =
                    probes.iter().map(|probe| format!("{}:{}", probe.provider, probe.name)).collect();
                return Err(near(&place.to_string(), names.iter().map(String::as_str)));
            }
            Ok(places)
        }
    }
}

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = elf::EM_AARCH64;

/// A relocation that is an address of the file, moved by as much as the file is.
#[cfg(target_arch = "x86_64")]
const RELATIVE: u32 = elf::R_X86_64_RELATIVE;
#[cfg(target_arch = "aarch64")]
const RELATIVE: u32 = elf::R_AARCH64_RELATIVE;

fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> UserProblem {
    let names = lictor_policy::nearest(wanted, names, SUGGESTIONS_MAX);
    UserProblem::NoPlace(names.into_iter().map(str::to_owned).collect())
}

/// Where the code of a place is in the file: more than one when several functions have the name.
fn offsets(elf: &Elf<'_>, name: &FunctionName) -> Result<BTreeSet<u64>, UserProblem> {
    let code = |address: u64| offset_of(elf, address, true);
    let nowhere = || UserProblem::NoPlace(Vec::new());
    match name {
        FunctionName::Symbol { name, plus } => {
            let functions = functions(elf);
            let here = functions.iter().filter(|function| function.name == name.as_bytes());
            let found: BTreeSet<u64> = here
                .filter(|function| *plus == 0 || *plus < function.bytes)
                .filter_map(|function| code(function.address.checked_add(*plus)?))
                .collect();
            if found.is_empty() {
                let names = functions.iter().filter_map(|function| str::from_utf8(function.name).ok());
                return Err(near(name, names));
            }
            Ok(found)
        }
        FunctionName::Address(address) => Ok(BTreeSet::from([code(*address).ok_or_else(nowhere)?])),
        FunctionName::Offset(offset) => {
            let endian = elf.endian();
            let holds = |header: &&elf::ProgramHeader64<Endianness>| {
                let (begin, bytes) = header.file_range(endian);
                is_code(header, endian) && *offset >= begin && *offset - begin < bytes
            };
            elf.elf_program_headers()
                .iter()
                .find(holds)
                .map(|_| BTreeSet::from([*offset]))
                .ok_or_else(nowhere)
        }
    }
}

/// The functions that a file has names of: by its symbols, or by the table of a Go program that was stripped of them.
fn functions<'a>(elf: &Elf<'a>) -> Vec<Function<'a>> {
    let symbols = elf.symbols().chain(elf.dynamic_symbols());
    let defined = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    let function = |symbol: ElfSymbol64<'a, '_, Endianness, &'a ReadCache<File>>| {
        let name = symbol.name_bytes().ok()?;
        Some(Function { name, address: symbol.address(), bytes: symbol.size() })
    };
    let named = defined.filter_map(function);
    if elf.symbols().next().is_none() { named.chain(go::functions(elf)).collect() } else { named.collect() }
}

fn is_code(header: &elf::ProgramHeader64<Endianness>, endian: Endianness) -> bool {
    header.p_type(endian) == elf::PT_LOAD && header.p_flags(endian) & elf::PF_X != 0
}

/// Where in the file what has this address is.
fn offset_of(elf: &Elf<'_>, address: u64, code: bool) -> Option<u64> {
    let endian = elf.endian();
    elf.elf_program_headers().iter().find_map(|header| {
        let (begin, bytes) = header.file_range(endian);
        let within = address.checked_sub(header.p_vaddr(endian))?;
        let loaded = header.p_type(endian) == elf::PT_LOAD && (!code || is_code(header, endian));
        (loaded && within < bytes).then(|| begin + within)
    })
}

/// The address that the file gives code of it.
fn address_of(elf: &Elf<'_>, offset: u64) -> Option<u64> {
    let endian = elf.endian();
    elf.elf_program_headers().iter().find_map(|header| {
        let (begin, bytes) = header.file_range(endian);
        let within = offset.checked_sub(begin).filter(|within| *within < bytes && is_code(header, endian))?;
        header.p_vaddr(endian).checked_add(within)
    })
}

/// A probe of the file.
#[derive(Debug)]
struct Probe {
    provider: String,
    name: String,
    arguments: String,
    address: u64,
    offset: u64,
    ref_counter: u32,
}

/// The notes with a file's probes, as `sys/sdt.h` of `SystemTap` writes them.
fn probes(elf: &Elf<'_>) -> object::Result<Vec<Probe>> {
    /// `NT_STAPSDT`
    const PROBE: u32 = 3;
    let base = elf.section_by_name(".stapsdt.base").map(|section| section.address());
    let mut probes = Vec::new();
    for section in elf.sections().filter(|section| section.name() == Ok(".note.stapsdt")) {
        let Some(mut notes) = section.elf_section_header().notes(elf.endian(), elf.data())? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"stapsdt" && note.n_type(elf.endian()) == PROBE {
                probes.extend(probe(elf, note.desc(), base));
            }
        }
    }
    Ok(probes)
}

/// What a note says; `None` = nothing that makes sense. Three addresses, of the place, of `.stapsdt.base` when the file was
/// linked (it may have been moved since) and of the counter; then three texts.
fn probe(elf: &Elf<'_>, description: &[u8], base: Option<u64>) -> Option<Probe> {
    let (numbers, texts) = description.split_first_chunk::<24>()?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&numbers[at..at + 8]);
        if elf.is_little_endian() { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    };
    let moved = base.map_or(0, |base| base.wrapping_sub(number(8)));
    let mut texts = texts.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let (provider, name, arguments) = (texts.next()?, texts.next()?, texts.next()?);
    let address = number(0).wrapping_add(moved);
    let offset = offset_of(elf, address, true)?;
    let ref_counter = match number(16) {
        0 => 0,
        address => u32::try_from(offset_of(elf, address, false)?).ok()?,
    };
    Some(Probe { provider, name, arguments, address, offset, ref_counter })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn function(name: FunctionName) -> UserPlace {
        UserPlace::Function { name, ref_counter: 0, at_end: false }
    }

    /// A machine with this test's own program, and its path there.
    fn machine() -> (tempfile::TempDir, Binaries, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let binaries = Binaries::new(root.path());
        (root, binaries, program)
    }

    #[test]
    fn a_function_is_found_by_symbol_address_and_offset() {
        let (_root, binaries, program) = machine();
        let main = binaries.places("/program", &UserPlace::function("main")).unwrap();
        let [FoundPlace { site, arguments, .. }] = &main[..] else { panic!("{main:?}") };
        assert_eq!((site.path.as_str(), arguments.as_str()), ("/program", ""));
        assert_eq!(site.file.inode, fs::metadata(&program).unwrap().ino());
        let by_offset = binaries.places("/program", &function(FunctionName::Offset(site.offset))).unwrap();
        assert_eq!(by_offset, main);
        let cache = ReadCache::new(File::open(&program).unwrap());
        let elf = Elf::parse(&cache).unwrap();
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok("main")).unwrap();
        let by_address = binaries.places("/program", &function(FunctionName::Address(symbol.address())));
        assert_eq!(by_address.unwrap(), main);
        let behind = FunctionName::Symbol { name: "main".to_owned(), plus: 1 };
        assert_eq!(binaries.places("/program", &function(behind)).unwrap()[0].site.offset, site.offset + 1);
        let too_far = FunctionName::Symbol { name: "main".to_owned(), plus: 1 << 40 };
        assert!(matches!(binaries.places("/program", &function(too_far)), Err(UserProblem::NoPlace(_))));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let (root, binaries, _) = machine();
        fs::write(root.path().join("text"), "no program").unwrap();
        let main = UserPlace::function("main");
        assert_eq!(binaries.places("/none", &main), Err(UserProblem::NoFile));
        assert!(matches!(binaries.places("/text", &main), Err(UserProblem::Unreadable(_))));
        assert!(matches!(binaries.places("/", &main), Err(UserProblem::Unreadable(_))));
        let Err(UserProblem::NoPlace(near)) = binaries.places("/program", &UserPlace::function("mainn"))
        else {
            panic!("there is no function of that name")
        };
        assert!(near.contains(&"main".to_owned()), "{near:?}");
        for name in [FunctionName::Offset(u64::MAX), FunctionName::Offset(0), FunctionName::Address(u64::MAX)]
        {
            assert_eq!(binaries.places("/program", &function(name)), Err(UserProblem::NoPlace(Vec::new())));
        }
        let probe = UserPlace::Probe { provider: "lab".to_owned(), name: "step".to_owned() };
        assert_eq!(binaries.places("/program", &probe), Err(UserProblem::NoPlace(Vec::new())));
    }

    #[test]
    fn a_file_that_is_replaced_is_read_again() {
        let (root, binaries, program) = machine();
        let main = UserPlace::function("main");
        let first = binaries.places("/program", &main).unwrap();
        let copy = root.path().join("copy");
        fs::copy(&program, &copy).unwrap();
        fs::rename(copy, &program).unwrap();
        let second = binaries.places("/program", &main).unwrap();
        assert_eq!(first[0].site.offset, second[0].site.offset);
        assert_ne!(first[0].site.file, second[0].site.file);
        fs::remove_file(&program).unwrap();
        assert_eq!(binaries.places("/program", &main), Err(UserProblem::NoFile));
    }
}
