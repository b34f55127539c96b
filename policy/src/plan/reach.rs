//! From where a value begins to where it stands: through the kernel's structures.

use super::Attach;
use super::facts::{ModuleProblem, NoWay, Parameter, Symbols, TypeClass, Way};
use super::fields::{Place, Reader};
use super::program::{ProgramGround, no_file};
use super::refusal::Problem;
use crate::model::{Arg, ArgKind, ArgSource, Cast, MEMBERS_MAX, MemberPath, Register};
use lictor_node_worker_ebpf as wire;
use std::borrow::Cow;

/// The steps of a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Steps {
    count: u8,
    is_address: bool,
    /// Bytes that a text there can have, as far as they are kept.
    text_bytes: u32,
    offsets: [i32; MEMBERS_MAX],
    /// After the first step: a register that is added, and how many bits it is shifted to the left.
    index: Option<(u16, u8)>,
}

impl Steps {
    pub(super) fn of(way: &Way) -> Self {
        let mut steps = Self {
            count: way.steps.len().min(MEMBERS_MAX) as u8,
            is_address: way.is_address,
            text_bytes: way.text_bytes.unwrap_or(u32::MAX).min(wire::LICTOR_MAX_BYTES),
            offsets: [0; MEMBERS_MAX],
            index: None,
        };
        for (step, offset) in steps.offsets.iter_mut().zip(&way.steps) {
            *step = *offset;
        }
        steps
    }

    /// From the registers to the value that one of them has: its offset among them.
    pub(super) fn to_register(register: i32) -> Self {
        let mut steps = Self { count: 1, text_bytes: wire::LICTOR_MAX_BYTES, ..Self::default() };
        steps.offsets[0] = register;
        steps
    }

    /// From the registers to what stands so many bytes behind the address in one of them, another one added (`index`).
    pub(super) fn to_memory(register: i32, index: Option<(u16, u8)>, displacement: i32) -> Self {
        let mut steps = Self { count: 2, index, ..Self::to_register(register) };
        steps.offsets[1] = displacement;
        steps
    }

    /// No way at all: the value itself, in two halves.
    pub(super) fn constant(value: u64) -> Self {
        let mut steps = Self::default();
        steps.offsets[0] = (value as u32).cast_signed();
        steps.offsets[1] = ((value >> 32) as u32).cast_signed();
        steps
    }

    /// These, then those from what they lead to; `None` = more than programs follow.
    pub(super) fn then(self, way: &Self) -> Option<Self> {
        let mut steps = Self { is_address: way.is_address, text_bytes: way.text_bytes, ..self };
        let mut more = &way.offsets[..usize::from(way.count)];
        if self.is_address
            && let Some((first, rest)) = more.split_first()
        {
            let last = steps.offsets.get_mut(usize::from(self.count).checked_sub(1)?)?;
            *last = last.checked_add(*first)?;
            more = rest;
        }
        for offset in more {
            *steps.offsets.get_mut(usize::from(steps.count))? = *offset;
            steps.count += 1;
        }
        Some(steps)
    }

    /// The register that is added after the first step, by its offset, and its shift.
    pub(super) fn index(self) -> Option<(u16, u8)> {
        self.index
    }

    /// How many there are; none where the source is the value.
    pub(super) fn count(self) -> u8 {
        self.count
    }

    /// What is added at each step.
    pub(super) fn wire(self) -> [i32; MEMBERS_MAX] {
        self.offsets
    }

    /// The last one reads nothing.
    pub(super) fn is_address(self) -> bool {
        self.is_address
    }

    /// Bytes that a text there can have.
    pub(super) fn text_bytes(self) -> u32 {
        if self.is_address { self.text_bytes } else { wire::LICTOR_MAX_BYTES }
    }
}

/// What a value's way depends on besides the function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) symbols: &'a dyn Symbols,
    pub(super) attach: Attach,
    /// Where the structures of the hook's program are described; `None` = nowhere.
    pub(super) program: Option<ProgramGround<'a>>,
}

impl Ground<'_> {
    /// The current task.
    pub(super) fn task() -> Place<'static> {
        Place::at(wire::LICTOR_SOURCE_TASK as u8, Some(Cow::Owned(pointer_to("task_struct"))))
    }

    /// The registers, where programs get them.
    pub(super) fn registers(self, reader: &Reader) -> Result<Place<'static>, Problem> {
        if !matches!(reader, Reader::Syscall { .. } | Reader::Syscall32 { .. } | Reader::User { .. })
            && self.attach != Attach::Kprobe
        {
            let found = format!("source pt_regs of a program that is attached as {}", self.attach.name());
            let allowed = "system calls, functions of programs, and those that only a kprobe can attach to: \
                           other programs are handed arguments and no registers";
            return Err(Problem::new(found, allowed)
                .hint("read an argument under `args` instead, or the system call"));
        }
        Ok(Place::at(wire::LICTOR_SOURCE_REGISTERS as u8, Some(Cow::Owned(pointer_to("pt_regs")))))
    }

    /// Where the value of `arg` stands, which begins at `place`.
    pub(super) fn reach<'b>(
        self,
        mut place: Place<'b>,
        arg: &Arg,
        reader: &Reader,
    ) -> Result<Place<'b>, Problem> {
        if arg.path.is_none() && arg.cast.is_none() {
            return Ok(place);
        }
        let field = if arg.path.is_some() { "resolve" } else { "btfType" };
        if arg.source == ArgSource::Argument {
            match (reader, self.program) {
                (Reader::User { .. } | Reader::Probe { .. }, Some(program)) => {
                    return program.reach(place, arg, reader);
                }
                _ => check_kernel_memory(field, reader)?,
            }
        }
        let begins = start(place.parameter.as_deref(), arg, reader, field)?;
        let mut narrow = None;
        let path = match (&arg.path, arg.source) {
            (Some(path), ArgSource::Registers) => {
                let (path, width) = register(path);
                narrow = width;
                path
            }
            (Some(path), ArgSource::Argument | ArgSource::CurrentTask) => path.clone(),
            (None, _) => MemberPath::default(),
        };
        let way = match &begins.module {
            Some(module) => self.symbols.module_member(module, &begins.structure, &path),
            None => self.symbols.member(&begins.structure, &path),
        };
        let way = way.map_err(|none| no_way(none, arg, None))?;
        place.steps = Steps::of(&way);
        place.parameter = match arg.source {
            ArgSource::Registers if let Some(width) = narrow => Some(Cow::Owned(low_bytes(width))),
            // A register holds anything.
            ArgSource::Registers if arg.kind != ArgKind::Auto => None,
            ArgSource::Argument | ArgSource::CurrentTask | ArgSource::Registers => {
                Some(Cow::Owned(way.value))
            }
        };
        Ok(place)
    }
}

/// The file that an operation on an open file is about.
const FILE_OF_KIOCB: &str = "ki_filp";

impl Ground<'_> {
    /// Where the value of a kind stands that is behind the pointer at `place`.
    pub(super) fn behind(self, mut place: Place<'_>, kind: ArgKind) -> Result<Place<'_>, Problem> {
        let more = if matches!(kind, ArgKind::Capabilities(_)) {
            // Two words or one, but always 64 bits at the pointer itself.
            Steps { count: 1, text_bytes: wire::LICTOR_MAX_BYTES, ..Steps::default() }
        } else if kind == ArgKind::Kiocb {
            let path = MemberPath::parse(FILE_OF_KIOCB).unwrap_or_default();
            let way = self.symbols.member("kiocb", &path).map_err(|_| {
                let allowed = format!("kernels whose struct kiocb has the member {FILE_OF_KIOCB}");
                Problem::new("type kiocb", allowed)
            })?;
            Steps::of(&way)
        } else {
            return Ok(place);
        };
        let too_long = || {
            let found = format!("type {} at the end of such a way", kind.name());
            Problem::new(found, format!("at most {MEMBERS_MAX} pointers, the value's own included"))
        };
        place.steps = place.steps.then(&more).ok_or_else(too_long)?;
        Ok(place)
    }
}

fn pointer_to(structure: &str) -> Parameter {
    Parameter {
        name: String::new(),
        type_name: format!("struct {structure} *"),
        class: TypeClass::StructPointer(structure.to_owned()),
    }
}

/// Structures are followed in the kernel's own memory.
fn check_kernel_memory(field: &str, reader: &Reader) -> Result<(), Problem> {
    match reader {
        Reader::Call { .. } => Ok(()),
        Reader::Syscall { function, .. } | Reader::Syscall32 { function } => Err(Problem::new(
            format!("{field} on an argument of {function}"),
            "arguments of kernel functions: a system call gets numbers and addresses of the process's own memory",
        )
        .hint("hook the kernel's function with `syscall: false`, or an LSM hook")),
        Reader::Record { event, .. } => Err(Problem::new(
            format!("{field} on a field of {event}"),
            "arguments: the record of a tracepoint has copies",
        )
        .hint("with `raw: true` the tracepoint's arguments can be read")),
        Reader::User { function } | Reader::Probe { function, .. } => Err(no_file(field, function)),
    }
}

/// The structure that a way begins at.
fn start(parameter: Option<&Parameter>, arg: &Arg, reader: &Reader, field: &str) -> Result<Cast, Problem> {
    // What begins elsewhere than at an argument is the kernel's own.
    let module = reader.module().filter(|_| arg.source == ArgSource::Argument).map(str::to_owned);
    let cast = arg.cast.as_ref();
    match (parameter.map(|parameter| &parameter.class), cast) {
        (
            None
            | Some(
                TypeClass::StructPointer(_)
                | TypeClass::Pointer
                | TypeClass::CharPointer
                | TypeClass::Integer { width: 8, .. },
            ),
            Some(cast),
        ) => Ok(cast.clone()),
        (Some(TypeClass::StructPointer(name)), None) => Ok(Cast { structure: name.clone(), module }),
        (None, None) => Err(Problem::new(
            format!("{field} on a value whose type is not known"),
            "pointers to structures: this kernel does not tell the types of this function",
        )
        .hint("name the structure in `btfType`")),
        (Some(TypeClass::Pointer | TypeClass::CharPointer), None) => Err(Problem::new(
            format!("{field} on a value of type {}", parameter.map_or("", |one| &one.type_name)),
            "pointers to structures",
        )
        .hint("name the structure that it points to in `btfType`")),
        (Some(TypeClass::Integer { .. } | TypeClass::Other), _) => Err(Problem::new(
            format!("{field} on a value of type {}", parameter.map_or("", |one| &one.type_name)),
            "pointers",
        )),
    }
}

/// A register as `struct pt_regs` names it, and how many of its low bytes are meant; `None` = all of them.
fn register(path: &MemberPath) -> (MemberPath, Option<u8>) {
    let named = path.to_string();
    // The kernel has the names of 16 bits for whole registers; those of the newer ones end in `w`.
    let meant = Register::named(&named).filter(|one| one.width() != 2 || named.ends_with('w'));
    let member = match meant {
        Some(register) => register.member(),
        None if named == "orig_rax" => "orig_ax",
        None => return (path.clone(), None),
    };
    let narrow = meant.map(Register::width).filter(|width| *width < 8);
    (MemberPath::parse(member).unwrap_or_else(|_| path.clone()), narrow)
}

/// What the low bytes of a register are.
fn low_bytes(width: u8) -> Parameter {
    Parameter {
        name: String::new(),
        type_name: format!("uint{}_t", 8 * u32::from(width)),
        class: TypeClass::Integer { width, signed: false },
    }
}

/// Why nothing is known of the module that `btfTypeModule` names, for people.
fn no_module(module: &str, problem: ModuleProblem) -> Problem {
    let found = |which: &str| format!("btfTypeModule {module}, {which}");
    match problem {
        ModuleProblem::Untold => {
            Problem::new(found("whose types are not known here"), "modules whose BTF is at hand")
                .hint("give `check` a copy of the module's file under /sys/kernel/btf, with `--btf-module`")
        }
        ModuleProblem::NotLoaded(nearest) => {
            Problem::new(found("which is not loaded"), "modules that are loaded before the policy is")
                .nearest(&nearest)
        }
        ModuleProblem::BuiltIn => {
            Problem::new(found("which is built into this kernel"), "modules that are loaded")
                .hint("leave out `btfTypeModule`: the kernel itself has its structures")
        }
        ModuleProblem::NoBtf => {
            let allowed = "modules that describe their types: they have a file under /sys/kernel/btf";
            Problem::new(found("which has no BTF"), allowed)
        }
        ModuleProblem::Unreadable(why) => Problem::new(
            found(&format!("whose BTF cannot be read: {why}")),
            "BTF that builds upon this kernel's",
        ),
    }
}

/// Why a value cannot be reached, for people; `file` describes the structures, where they are not the kernel's.
pub(super) fn no_way(none: NoWay, arg: &Arg, file: Option<&str>) -> Problem {
    match none {
        NoWay::NoModule { module, problem } => no_module(&module, problem),
        NoWay::NoStructure { name, nearest } => {
            let module = arg.cast.as_ref().and_then(|cast| cast.module.as_ref());
            let whose = match (file, module) {
                (Some(file), _) => format!("structures that `{file}` describes"),
                (None, Some(module)) => format!("structures of the module {module} or of this kernel"),
                (None, None) => "structures of this kernel".to_owned(),
            };
            Problem::new(format!("struct {name}"), whose).nearest(&nearest)
        }
        NoWay::NoMember { member, nearest, .. } if arg.source == ArgSource::Registers => {
            Problem::new(format!("register {member}"), "members of struct pt_regs of this kernel")
                .nearest(&nearest)
        }
        NoWay::NoMember { structure, member, nearest } => {
            let whose = match file {
                Some(file) => format!("members that it has in `{file}`"),
                None => "members that this kernel has".to_owned(),
            };
            Problem::new(format!("the member {member} of {structure}"), whose).nearest(&nearest)
        }
        NoWay::NoMembers { path, type_name, is_array: true } => {
            Problem::new(format!("{path}, an array ({type_name}), as a whole"), "one of its elements")
                .hint(format!("write `{path}[0]`"))
        }
        NoWay::NoMembers { path, type_name, is_array: false } => Problem::new(
            format!("a member of {path}, whose type is {type_name}"),
            "members of structures and of what pointers to structures lead to",
        ),
        NoWay::NoElements { path, type_name } => Problem::new(
            format!("{path}, an element of what is of type {type_name}"),
            "elements of arrays, and of what pointers lead to",
        ),
        NoWay::NoElement { path, element, count } => Problem::new(
            format!("element {element} in {path}"),
            format!("0 to {}: the array has {count}", count.saturating_sub(1)),
        ),
        NoWay::BitField { structure, member } => Problem::new(
            format!("the bit field {member} of {structure}"),
            "members of whole bytes: a bit field has no address",
        ),
        NoWay::TooLong => Problem::new(
            "a way over more pointers than programs follow, or further than 2 GiB",
            format!("at most {MEMBERS_MAX} pointers"),
        ),
    }
}
