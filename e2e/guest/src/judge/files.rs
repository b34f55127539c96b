//! Files that events are about: this process holds them open, and knows where the kernel has them.

use anyhow::{Context as _, Result, anyhow, ensure};
use lictor_node_worker::events::decode::{FieldValue, Record, decode};
use lictor_policy::model::{Arg, FileType, Hook, HookTarget, Origin, Predicate, Rule, ValueTest};
use lictor_policy::oracle::generate::{Random, texts};
use lictor_policy::oracle::{Reading, Value};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Asked of every file that this process opens: its descriptor, and where the kernel has it.
pub(super) const WATCH: &str = "apiVersion: lictor.io/v1alpha1
kind: TracingPolicy
metadata: {name: files}
spec:
  kprobes:
  - call: fd_install
    syscall: false
    args: [{index: 0, type: int}, {index: 1, type: uint64}]
";

/// The structure of an open file.
pub(super) const STRUCTURE: &str = "file";
/// Which argument it is at the LSM hook of [`super::places`].
const INDEX: u8 = 5;

/// An address that leads nowhere, and what is then known of the file.
const NOWHERE: [(u64, Reading); 2] = [(0, Reading::Absent), (super::UNMAPPED, Reading::Unresolved)];

/// Open files.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<File>,
    /// Where the kernel has them, by descriptor.
    addresses: BTreeMap<i32, u64>,
}

#[derive(Debug)]
struct File {
    descriptor: OwnedFd,
    text: Reading,
    kind: FileType,
}

impl Files {
    /// Makes and opens a file or a directory for each text that events are made of and that can be the path of one; and others.
    pub(super) fn open() -> Result<Self> {
        let paths = texts().filter(|text| is_path(text)).chain(["/dev/null".to_owned()]);
        let mut paths: Vec<String> = paths.collect();
        paths.sort();
        paths.dedup();
        let mut files = Vec::new();
        for path in &paths {
            files.push(open(path, &paths).with_context(|| path.clone())?);
        }
        let (reader, writer) = rustix::pipe::pipe()?;
        for descriptor in [reader, writer] {
            files.push(File { descriptor, text: Reading::Absent, kind: FileType::Fifo });
        }
        Ok(Self { files, addresses: BTreeMap::new() })
    }

    /// Takes a record of the policy [`WATCH`].
    pub(super) fn take(&mut self, record: &[u8]) -> Result<()> {
        let Record::Hook(record) = decode(record).map_err(|error| anyhow!("{error:?}"))? else {
            return Ok(());
        };
        let values: Vec<FieldValue<'_>> = record.fields().iter().map(|field| field.value).collect();
        let [FieldValue::Number(descriptor), FieldValue::Number(address)] = values[..] else {
            return Err(anyhow!("not the arguments of fd_install: {values:?}"));
        };
        self.addresses.insert(descriptor as i32, address);
        Ok(())
    }

    /// Whether it is known of each where it is.
    pub(super) fn ready(&self) -> Result<()> {
        for file in &self.files {
            let descriptor = file.descriptor.as_raw_fd();
            ensure!(self.addresses.contains_key(&descriptor), "nothing was told of descriptor {descriptor}");
        }
        Ok(())
    }

    /// Brings a value that is a file to one of these, or to none.
    pub(super) fn make(&self, value: &mut Value) {
        let mut random = Random::new(value.number);
        if random.chance(15) {
            let (address, text) = &NOWHERE[random.below(NOWHERE.len())];
            *value = Value { number: *address, text: text.clone(), file_type: None, ..value.clone() };
            return;
        }
        let file = &self.files[random.below(self.files.len())];
        value.number = self.addresses.get(&file.descriptor.as_raw_fd()).copied().unwrap_or(0);
        value.text = file.text.clone();
        value.file_type = Some(file.kind);
    }
}

/// Whether a text is how the kernel writes the path of a file that can be opened in one step.
fn is_path(text: &str) -> bool {
    const LONGEST: usize = 1000;
    let made = text.starts_with('/') && !text.starts_with("/proc/");
    made && !text.ends_with('/') && text.len() <= LONGEST
}

/// Opens a file that is made if it is not there: a directory where another path leads through it.
fn open(path: &str, paths: &[String]) -> Result<File> {
    let below = format!("{path}/");
    if paths.iter().any(|other| other.starts_with(&below)) {
        std::fs::create_dir_all(path)?;
    } else if !Path::new(path).exists() {
        let parent = Path::new(path).parent().context("no directory")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, "")?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
    let found = std::fs::symlink_metadata(path)?.file_type();
    let kind = if found.is_dir() {
        FileType::Directory
    } else if found.is_char_device() {
        FileType::CharacterDevice
    } else {
        ensure!(found.is_file(), "neither a file nor a directory");
        FileType::Regular
    };
    Ok(File { descriptor, text: Reading::Text(path.as_bytes().to_vec()), kind })
}

/// Whether a rule asks for the file at that hook, and not for its address.
pub(super) fn asks_for_file(hook: &Hook, rule: &Rule) -> bool {
    let of_file = |predicate: &Predicate| {
        let Predicate::Arg { arg, test, .. } = predicate else { return false };
        let origin = hook.args.get(*arg).map(Arg::origin);
        origin == Some(Origin::from(INDEX)) && !matches!(test, ValueTest::Number(_))
    };
    matches!(hook.target, HookTarget::Lsm(_)) && rule.predicates.iter().any(of_file)
}
