//! What this process has open, and where the kernel has it: what pointers of events lead to.

use super::{UNMAPPED, files, sockets};
use anyhow::{Result, anyhow, ensure};
use lictor_node_worker::events::decode::{FieldValue, Record, decode};
use lictor_policy::model::{Arg, FileType, Hook, Origin, Predicate, Rule, ValueTest};
use lictor_policy::oracle::generate::Random;
use lictor_policy::oracle::{Endpoints, Reading, Value};
use lictor_policy::plan::TypeClass;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Asked of everything that this process opens: its descriptor, where the kernel has the file, and its socket, if it is one.
pub(super) const WATCH: &str = "apiVersion: lictor.io/v1alpha1
kind: TracingPolicy
metadata: {name: held}
spec:
  kprobes:
  - call: fd_install
    syscall: false
    args: [{index: 0, type: int}, {index: 1, type: uint64}, {index: 1, type: uint64, resolve: private_data}]
";

/// An open file, or a socket, and what an event about it tells.
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) descriptor: OwnedFd,
    pub(super) text: Reading,
    pub(super) kind: FileType,
    pub(super) endpoints: Endpoints,
}

/// Where the kernel has a descriptor's file, and what its private data is.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: u64,
    private: u64,
}

/// What is open.
#[derive(Debug)]
pub(super) struct Held {
    files: Vec<Thing>,
    sockets: Vec<Thing>,
    /// By descriptor.
    places: BTreeMap<i32, Place>,
}

/// Structures that arguments of made-up places point to.
const STRUCTURES: [&str; 2] = [files::STRUCTURE, sockets::STRUCTURE];

/// Whether a value is a pointer to a structure that only the kernel can make.
pub(super) fn is_held(class: &TypeClass) -> bool {
    matches!(class, TypeClass::StructPointer(name) if STRUCTURES.contains(&name.as_str()))
}

impl Held {
    /// Opens everything; what [`WATCH`] tells of it is to be taken after that.
    pub(super) fn open() -> Result<Self> {
        Ok(Self { files: files::open()?, sockets: sockets::open()?, places: BTreeMap::new() })
    }

    /// Takes a record of the policy [`WATCH`].
    pub(super) fn take(&mut self, record: &[u8]) -> Result<()> {
        let Record::Hook(record) = decode(record).map_err(|error| anyhow!("{error:?}"))? else {
            return Ok(());
        };
        let values: Vec<FieldValue<'_>> = record.fields().iter().map(|field| field.value).collect();
        let [FieldValue::Number(descriptor), FieldValue::Number(file), FieldValue::Number(private)] =
            values[..]
        else {
            return Err(anyhow!("not what is asked of fd_install: {values:?}"));
        };
        self.places.insert(descriptor as i32, Place { file, private });
        Ok(())
    }

    /// Whether it is known of each where it is.
    pub(super) fn ready(&self) -> Result<()> {
        for thing in self.files.iter().chain(&self.sockets) {
            let descriptor = thing.descriptor.as_raw_fd();
            ensure!(self.places.contains_key(&descriptor), "nothing was told of descriptor {descriptor}");
        }
        Ok(())
    }

    /// Brings a value that is a pointer to such a structure to something that is open, to nothing, or to where nothing can be
    /// read.
    pub(super) fn make(&self, value: &mut Value) {
        let TypeClass::StructPointer(name) = &value.class else { return };
        let is_file = name == files::STRUCTURE;
        let things = if is_file { &self.files } else { &self.sockets };
        let mut random = Random::new(value.number);
        if random.chance(15) {
            (value.number, value.text) =
                if random.chance(50) { (0, Reading::Absent) } else { (UNMAPPED, Reading::Unresolved) };
            (value.file_type, value.endpoints) = (None, Endpoints::default());
            return;
        }
        let thing = &things[random.below(things.len())];
        let place = self.places[&thing.descriptor.as_raw_fd()];
        value.number = if is_file { place.file } else { place.private };
        value.text = thing.text.clone();
        value.file_type = is_file.then_some(thing.kind);
        value.endpoints = thing.endpoints;
    }
}

/// Whether a rule asks for what an argument leads to that is such a pointer at the place `arguments` are of.
pub(super) fn asks_for_held(hook: &Hook, rule: &Rule, arguments: &[TypeClass]) -> bool {
    rule.predicates.iter().any(|predicate| {
        let Predicate::Arg { arg, test, .. } = predicate else { return false };
        let Some(origin) = hook.args.get(*arg).map(Arg::origin) else { return false };
        let plain = origin == Origin::from(origin.index);
        plain
            && arguments.get(usize::from(origin.index)).is_some_and(is_held)
            && !matches!(test, ValueTest::Number(_))
    })
}
