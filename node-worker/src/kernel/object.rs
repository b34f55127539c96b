//! BPF objects made ready for this kernel: relocated once, then loaded as often as hook points need them.

use super::instruction::{INSTRUCTION_BYTES, LOAD_WIDE, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use super::slot_maps::{self, SlotMaps};
use super::specialise::{Code, Constants, specialise};
use super::sys::{self, MapSpec, ProgramSpec};
use aya_obj::btf::{Btf, BtfFeatures};
use aya_obj::{EbpfSectionKind, Object};
use lictor_node_worker_ebpf::{
    self as wire, LICTOR_EMPTY_HOOKS, LICTOR_PATCH, LICTOR_SHAPE_MEMO, LICTOR_SOURCE_NONE,
    lictor_column_source, lictor_patch, lictor_shape,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Descriptor that stands for the constants, which differ from one loaded program to the next as the maps of hook slots
/// do; replaced in [`Template::load`]. No process has that many open files.
const RODATA_FD: RawFd = 0x7fff_0001;

/// Begins the names of data sections that are maps of one element, shared by all programs.
const SHARED_DATA: &str = ".data.";

/// Bytes of an entry of `func_info`.
const FUNC_INFO_BYTES: usize = 8;

/// The verifier's log that is kept for an error message, bytes; only read when a load fails.
const LOG_BYTES: usize = 1 << 20;

/// Why an object cannot be used on this kernel.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The object does not parse, or a type that it needs is not in the kernel.
    #[error("object {object}: {reason}")]
    Object {
        /// Name of the object.
        object: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A system call failed.
    #[error("{operation}")]
    System {
        /// What was tried, on what.
        operation: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The verifier refused a program.
    #[error("the kernel refused program {program} for {target}: {error}: {log}")]
    Refused {
        /// Program.
        program: String,
        /// What it was to attach to.
        target: String,
        /// The system's answer.
        error: io::Error,
        /// The last lines of the verifier's log, joined by ` | `.
        log: String,
    },
}

impl ObjectError {
    fn system(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        |source| Self::System { operation, source }
    }
}

/// A map as an object declares it.
#[derive(Debug, Clone)]
pub(super) struct MapDeclaration {
    pub(super) spec: MapSpec,
    /// Template of the maps inside, for a map of maps.
    pub(super) inner: Option<MapSpec>,
}

impl MapDeclaration {
    fn mapped_by_user_space(mut self) -> Self {
        const MMAPABLE: u32 = 1 << 10;
        self.spec.flags |= MMAPABLE;
        self
    }
}

/// An object on its way to templates.
pub(super) struct KernelObject {
    name: &'static str,
    object: Object,
}

impl KernelObject {
    /// Parses `bytes`.
    pub(super) fn parse(name: &'static str, bytes: &[u8]) -> Result<Self, ObjectError> {
        let object = Object::parse(bytes)
            .map_err(|error| ObjectError::Object { object: name, reason: error.to_string() })?;
        Ok(Self { name, object })
    }

    /// The names of all types that the object was compiled with.
    pub(super) fn type_names(&self) -> Result<BTreeSet<Vec<u8>>, ObjectError> {
        let Some(btf) = &self.object.btf else { return Ok(BTreeSet::new()) };
        let btf = lictor_policy::btf::Btf::parse(btf.to_bytes())
            .map_err(|error| ObjectError::Object { object: self.name, reason: error.to_string() })?;
        // `name___flavour` is the kernel's `name` as some version has it.
        let plain = |name: &[u8]| {
            let end = name.windows(3).position(|three| three == b"___").unwrap_or(name.len());
            name[..end].to_vec()
        };
        Ok(btf.type_names().into_iter().map(plain).collect())
    }

    /// Relocates the programs with the kernel's types: those of [`KernelObject::type_names`], and what they hold.
    pub(super) fn relocate(&mut self, btf: &Btf) -> Result<(), ObjectError> {
        let fail = |reason: String| ObjectError::Object { object: self.name, reason };
        self.object.relocate_btf(btf).map_err(|error| fail(super::chain(&error)))?;
        // Every kernel that the programs support has all of these (5.17 and newer).
        let features = BtfFeatures::new(true, true, true, true, true, true, true, true);
        self.object.fixup_and_sanitize_btf(&features).map_err(|error| fail(error.to_string()))?;
        Ok(())
    }

    /// The maps that the object declares, shared data sections included.
    pub(super) fn maps(&self) -> BTreeMap<String, MapDeclaration> {
        let spec = |map: &aya_obj::Map| MapSpec {
            map_type: map.map_type(),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
            flags: map.map_flags(),
        };
        self.object
            .maps
            .iter()
            .filter_map(|(name, map)| {
                let inner = map.inner().as_ref().map(spec);
                let declaration = MapDeclaration { spec: spec(map), inner };
                if map.section_kind() == EbpfSectionKind::BtfMaps {
                    return Some((name.clone(), declaration));
                }
                let shared = name.strip_prefix(SHARED_DATA)?;
                Some((shared.to_owned(), declaration.mapped_by_user_space()))
            })
            .collect()
    }

    /// Binds the object to `maps` and gives its programs, ready to be loaded.
    pub(super) fn templates(
        mut self,
        maps: &BTreeMap<String, OwnedFd>,
    ) -> Result<BTreeMap<String, Template>, ObjectError> {
        let fail = |reason: String| ObjectError::Object { object: self.name, reason };
        let rodata = rodata_of(&mut self.object).map_err(fail)?;
        let declared = self.object.maps.clone();
        let mut bound = Vec::new();
        for (name, map) in &declared {
            let shared = name.strip_prefix(SHARED_DATA).unwrap_or(name);
            let in_map = matches!(map.section_kind(), EbpfSectionKind::BtfMaps | EbpfSectionKind::Data);
            let fd = if !in_map {
                RODATA_FD
            } else if let Some(placeholder) = slot_maps::placeholder(name) {
                placeholder
            } else {
                maps.get(shared).ok_or_else(|| fail(format!("map {name} was not created")))?.as_raw_fd()
            };
            bound.push((name.as_str(), fd, map));
        }
        let text: HashSet<usize> = self.object.functions.keys().map(|(section, _)| *section).collect();
        self.object.relocate_maps(bound.into_iter(), &text).map_err(|error| fail(super::chain(&error)))?;
        self.object.relocate_calls(&text).map_err(|error| fail(super::chain(&error)))?;
        let btf = self.object.btf.as_ref().ok_or_else(|| fail("it has no type information".to_owned()))?;
        let btf = sys::btf_load(&btf.to_bytes())
            .map_err(ObjectError::system(format!("load the types of object {}", self.name)))?;
        let btf = std::sync::Arc::new(btf);
        let mut templates = BTreeMap::new();
        for (name, program) in &self.object.programs {
            let function = &self.object.functions[&program.function_key()];
            let template = Template {
                name: name.clone(),
                code: Code {
                    instructions: instruction_bytes(&function.instructions),
                    func_info: function.func_info.func_info_bytes(),
                },
                license: self.object.license.clone(),
                btf: std::sync::Arc::clone(&btf),
                rodata: rodata.clone(),
            };
            templates.insert(name.clone(), template);
        }
        Ok(templates)
    }
}

/// The constants of an object, and where in them the ones stand that we set.
#[derive(Debug, Clone, Default)]
struct Rodata {
    bytes: Vec<u8>,
    shape: Option<usize>,
}

fn rodata_of(object: &mut Object) -> Result<Rodata, String> {
    let shape_bytes = size_of::<lictor_shape>();
    let shape = constant_offset(object, "shape", shape_bytes)?;
    let bytes = object
        .maps
        .values()
        .find(|map| map.section_kind() == EbpfSectionKind::Rodata)
        .map(|map| map.data().to_vec())
        .unwrap_or_default();
    Ok(Rodata { bytes, shape })
}

/// Where the constant `name` stands in `.rodata`; `None` when the object does not use it. The parser knows, but only
/// tells by writing, so a mark is written, looked for, and taken out again.
fn constant_offset(object: &mut Object, name: &str, length: usize) -> Result<Option<usize>, String> {
    const MARK: u8 = 0xa5;
    let mark = vec![MARK; length];
    let globals = [(name, (mark.as_slice(), false))].into_iter().collect();
    object.patch_map_data(globals).map_err(|error| error.to_string())?;
    let Some(map) = object.maps.values_mut().find(|map| map.section_kind() == EbpfSectionKind::Rodata) else {
        return Ok(None);
    };
    let found = map.data().windows(length).position(|window| window == mark);
    if let Some(offset) = found {
        map.data_mut()[offset..offset + length].fill(0);
    }
    Ok(found)
}

fn instruction_bytes(instructions: &[aya_obj::generated::bpf_insn]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(instructions.len() * INSTRUCTION_BYTES);
    for instruction in instructions {
        bytes.push(instruction.code);
        bytes.push(instruction.dst_reg() | instruction.src_reg() << 4);
        bytes.extend_from_slice(&instruction.off.to_ne_bytes());
        bytes.extend_from_slice(&instruction.imm.to_ne_bytes());
    }
    bytes
}

/// A program that can be loaded any number of times, each time with constants of its own.
#[derive(Debug)]
pub(super) struct Template {
    name: String,
    code: Code,
    license: CString,
    btf: std::sync::Arc<OwnedFd>,
    rodata: Rodata,
}

/// What a program is loaded as.
#[derive(Debug, Clone)]
pub(super) struct LoadAs<'a> {
    /// `BPF_PROG_TYPE_*`
    pub(super) program_type: u32,
    /// `BPF_*` attach type.
    pub(super) attach_type: u32,
    /// Type id of the target, 0 = none.
    pub(super) attach_btf_id: u32,
    /// BTF of the module that the target is of; `None` = it is the kernel's own.
    pub(super) attach_btf: Option<BorrowedFd<'a>>,
    /// Name of the target, for messages.
    pub(super) target: &'a str,
    /// It may wait, for a file to be read.
    pub(super) sleepable: bool,
}

impl Template {
    /// Loads the program with `shape` (bytes of `struct lictor_shape`) as its constants and the maps of its hook slot;
    /// both absent for programs that use neither.
    pub(super) fn load(
        &self,
        load_as: &LoadAs<'_>,
        shape: Option<&[u8]>,
        maps: Option<&SlotMaps>,
        count_stats: bool,
    ) -> Result<OwnedFd, ObjectError> {
        let constants = self.constants(shape);
        let Code { mut instructions, func_info } = self.code(shape, &constants, count_stats);
        let rodata = constant_map(&constants)?;
        replace_descriptor(&mut instructions, RODATA_FD, rodata.as_ref().map(AsRawFd::as_raw_fd));
        for (placeholder, map) in maps.into_iter().flat_map(SlotMaps::descriptors) {
            replace_descriptor(&mut instructions, placeholder, Some(map));
        }
        let spec = ProgramSpec {
            name: &self.name,
            program_type: load_as.program_type,
            attach_type: load_as.attach_type,
            attach_btf_id: load_as.attach_btf_id,
            attach_btf: load_as.attach_btf,
            sleepable: load_as.sleepable,
            instructions: &instructions,
            license: &self.license,
            btf: self.btf.as_fd(),
            func_info: &func_info,
            func_info_count: (func_info.len() / FUNC_INFO_BYTES) as u32,
            func_info_record_bytes: FUNC_INFO_BYTES as u32,
        };
        sys::program_load(&spec, None).map_err(|error| self.refused(&spec, load_as.target, error))
    }

    fn refused(&self, spec: &ProgramSpec<'_>, target: &str, error: io::Error) -> ObjectError {
        let mut log = vec![0; LOG_BYTES];
        // Once more, for the reason; the outcome is known.
        let _ = sys::program_load(spec, Some(&mut log));
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        ObjectError::Refused {
            program: self.name.clone(),
            target: target.to_owned(),
            error,
            log: last_lines(&String::from_utf8_lossy(&log[..end]), 12),
        }
    }

    /// The program as it is loaded, but for descriptors.
    fn code(&self, shape: Option<&[u8]>, constants: &[u8], count_stats: bool) -> Code {
        let shape: lictor_shape = shape.and_then(wire::read).unwrap_or_default();
        let mut code = self.code.clone();
        patch_numbers(&mut code.instructions, &patches(&shape, count_stats));
        let known = Constants { descriptor: RODATA_FD, bytes: constants };
        specialise(&code, known).unwrap_or_else(|| {
            tracing::debug!(program = self.name, "the whole program is loaded: it has unknown instructions");
            code
        })
    }

    /// The program's constants with `shape` among them.
    fn constants(&self, shape: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = self.rodata.bytes.clone();
        if let (Some(offset), Some(shape)) = (self.rodata.shape, shape) {
            bytes[offset..offset + shape.len()].copy_from_slice(shape);
        }
        bytes
    }
}

/// A map of the constants that nobody can change any more; none when there are none.
fn constant_map(bytes: &[u8]) -> Result<Option<OwnedFd>, ObjectError> {
    const ARRAY: u32 = 2;
    const READ_ONLY_FOR_PROGRAMS: u32 = 1 << 7;
    if bytes.is_empty() {
        return Ok(None);
    }
    let spec = MapSpec {
        map_type: ARRAY,
        key_size: 4,
        value_size: bytes.len() as u32,
        max_entries: 1,
        flags: READ_ONLY_FOR_PROGRAMS,
    };
    let fail = ObjectError::system;
    let map = sys::map_create("rodata", &spec, None).map_err(fail("create the map of constants"))?;
    sys::map_update(map.as_fd(), &0u32.to_ne_bytes(), bytes).map_err(fail("fill the map of constants"))?;
    sys::map_freeze(map.as_fd()).map_err(fail("freeze the map of constants"))?;
    Ok(Some(map))
}

/// Puts `fd` where the wide loads of `instructions` name the descriptor `placeholder`.
fn replace_descriptor(instructions: &mut [u8], placeholder: RawFd, fd: Option<RawFd>) {
    let Some(fd) = fd else { return };
    for instruction in instructions.chunks_exact_mut(INSTRUCTION_BYTES) {
        let source = instruction[1] >> 4;
        let names_map = source == PSEUDO_MAP_FD || source == PSEUDO_MAP_VALUE;
        if instruction[0] == LOAD_WIDE && names_map && instruction[4..8] == placeholder.to_ne_bytes() {
            instruction[4..8].copy_from_slice(&fd.to_ne_bytes());
        }
    }
}

/// The numbers of `enum lictor_patch` for a program of this shape.
fn patches(shape: &lictor_shape, count_stats: bool) -> [u64; lictor_patch::LICTOR_PATCH_NUMBERS as usize] {
    let source = |field: u8| {
        let field = shape.fields.get(usize::from(field));
        field.map_or(u64::from(LICTOR_SOURCE_NONE), |field| u64::from(field.source))
    };
    let cgroup = shape.columns[..usize::from(shape.column_count).min(shape.columns.len())]
        .iter()
        .any(|column| u32::from(column.source) == lictor_column_source::LICTOR_FROM_CGROUP);
    let slot = u32::from(shape.hook_slot);
    let has_memo = u32::from(shape.flags) & LICTOR_SHAPE_MEMO != 0;
    let mut numbers = [0; lictor_patch::LICTOR_PATCH_NUMBERS as usize];
    numbers[lictor_patch::LICTOR_PATCH_COUNT_STATS as usize] = u64::from(count_stats);
    numbers[lictor_patch::LICTOR_PATCH_PATH_SOURCE as usize] = source(shape.path_field);
    numbers[lictor_patch::LICTOR_PATCH_EMPTY_BIT as usize] =
        if slot < LICTOR_EMPTY_HOOKS { 1 << slot } else { 0 };
    numbers[lictor_patch::LICTOR_PATCH_MEMO_KEY as usize] =
        if has_memo { u64::from(shape.memo_key) } else { 0 };
    numbers[lictor_patch::LICTOR_PATCH_MEMO_SOURCE as usize] = source(shape.memo_field);
    numbers[lictor_patch::LICTOR_PATCH_MEMO_CGROUP as usize] = u64::from(cgroup);
    numbers
}

/// Writes the numbers where wide loads name them. A program without a number of this name keeps what it has.
fn patch_numbers(instructions: &mut [u8], numbers: &[u64]) {
    const WIDE_BYTES: usize = 2 * INSTRUCTION_BYTES;
    let starts = (0..instructions.len().saturating_sub(INSTRUCTION_BYTES)).step_by(INSTRUCTION_BYTES);
    for start in starts {
        let wide = &mut instructions[start..start + WIDE_BYTES];
        let is_number = wide[0] == LOAD_WIDE && wide[1] >> 4 == 0;
        if !is_number || wide[12..16] != LICTOR_PATCH.to_ne_bytes() {
            continue;
        }
        let name = u32::from_ne_bytes([wide[4], wide[5], wide[6], wide[7]]);
        if let Some(value) = numbers.get(name as usize) {
            wide[4..8].copy_from_slice(&(*value as u32).to_ne_bytes());
            wide[12..16].copy_from_slice(&((*value >> 32) as u32).to_ne_bytes());
        }
    }
}

/// The last `count` lines of `text` that say something, joined by ` | `.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod stack_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// They would take most of the time that reading an object takes.
    #[test]
    fn objects_know_no_lines_of_their_source() {
        for (name, bytes) in super::super::OBJECTS {
            let object = Object::parse(bytes).unwrap();
            assert!(!object.functions.is_empty(), "{name}");
            for function in object.functions.values() {
                assert_eq!(function.line_info.line_info.len(), 0, "{name}: {}", function.name);
            }
        }
    }

    #[test]
    fn descriptors_are_replaced_in_wide_map_loads_only() {
        let mut wide = vec![LOAD_WIDE, PSEUDO_MAP_VALUE << 4, 0, 0];
        wide.extend_from_slice(&RODATA_FD.to_ne_bytes());
        let mut plain = vec![0xb7, 0, 0, 0];
        plain.extend_from_slice(&RODATA_FD.to_ne_bytes());
        let mut instructions = [wide, plain.clone()].concat();
        replace_descriptor(&mut instructions, RODATA_FD, Some(9));
        assert_eq!(instructions[4..8], 9i32.to_ne_bytes());
        assert_eq!(instructions[8..], plain[..]);
    }

    #[test]
    fn numbers_are_written_where_a_wide_load_names_them() {
        let wide = |low: u32, high: u32| {
            let mut bytes = vec![LOAD_WIDE, 1, 0, 0];
            bytes.extend_from_slice(&low.to_ne_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&high.to_ne_bytes());
            bytes
        };
        let mut instructions = [wide(1, LICTOR_PATCH), wide(1, 0), wide(9, LICTOR_PATCH)].concat();
        patch_numbers(&mut instructions, &[7, 0x1_0000_0002]);
        assert_eq!(instructions, [wide(2, 1), wide(1, 0), wide(9, LICTOR_PATCH)].concat());
    }

    #[test]
    fn a_shape_becomes_numbers() {
        let mut shape =
            lictor_shape { hook_slot: 40, path_field: 1, memo_field: 255, ..lictor_shape::default() };
        (shape.memo_key, shape.flags, shape.fields[1].source) = (77, LICTOR_SHAPE_MEMO as u8, 3);
        assert_eq!(patches(&shape, true), [1, 3, 1 << 40, 77, 255, 0]);
        (shape.flags, shape.hook_slot, shape.column_count) = (0, 64, 1);
        shape.columns[0].source = lictor_column_source::LICTOR_FROM_CGROUP as u8;
        assert_eq!(patches(&shape, false), [0, 3, 0, 0, 255, 1]);
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b | c");
    }
}
