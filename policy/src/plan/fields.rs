//! Which value of a hook point an argument of a policy means, and how it is read.

use super::Attach;
use super::facts::{Parameter, Signature, TracepointField, TypeClass};
use super::kinds::{certain_kind, is_id, record_text};
use super::probe::{Operand, ProbeArgument};
use super::reach::{Ground, Steps};
use super::refusal::Problem;
use crate::model::{Arg, ArgKind, ArgSource};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_field_kind as kind, lictor_field_shape};
use std::borrow::Cow;

/// Arguments that programs can read: the registers that carry arguments on every supported architecture.
const ARGUMENTS_MAX: usize = 6;

/// One extraction, in an order that does not depend on who asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Field {
    pub(super) source: u8,
    offset: u16,
    pub(super) kind: u8,
    width: u8,
    flags: u8,
    size_source: u8,
    size_offset: u16,
    max_length: u32,
    steps: Steps,
}

impl Field {
    /// The constants of the program for this field.
    pub(super) fn wire(self) -> lictor_field_shape {
        lictor_field_shape {
            kind: self.kind,
            source: self.source,
            width: self.width,
            flags: self.flags,
            offset: self.offset,
            size_source: self.size_source,
            step_count: self.steps.count(),
            size_offset: self.size_offset,
            pad2: 0,
            max_length: self.max_length,
            steps: self.steps.wire(),
        }
    }

    /// Whether the value is a `struct file *` argument, whose class can be cached by its dentry.
    pub(super) fn is_file_argument(self) -> bool {
        u32::from(self.kind) == kind::LICTOR_FIELD_FILE
            && u32::from(self.source) < wire::LICTOR_SOURCE_RETURN
            && !self.has_steps()
    }

    /// Whether the value is somewhere behind its source.
    pub(super) fn has_steps(self) -> bool {
        self.steps.count() != 0
    }

    /// Whether there may be nothing to read it from: on the way to it, or of a call whose arguments were not kept.
    pub(super) fn may_be_unread(self, attach: Attach) -> bool {
        self.has_steps() || attach.keeps_calls() && u32::from(self.source) < wire::LICTOR_SOURCE_RETURN
    }

    /// The number of a system call, in an argument of a function that is called with it.
    pub(super) fn syscall_number(source: u8) -> Self {
        field_of(ArgKind::Syscall, &Place::at(source, None))
    }

    /// Whether the value is in a program's memory, at an address that a register has.
    pub(super) fn is_behind_register(self) -> bool {
        u32::from(self.source) == wire::LICTOR_SOURCE_REGISTERS && self.steps.count() > 1
    }

    /// Whether the value is a socket, or has one.
    pub(super) fn has_socket(self) -> bool {
        let sockets = [kind::LICTOR_FIELD_SOCK, kind::LICTOR_FIELD_SOCKET, kind::LICTOR_FIELD_SKB];
        sockets.contains(&u32::from(self.kind))
    }

    /// Whether the value is the address of a Unix socket.
    pub(super) fn is_unix_address(self) -> bool {
        u32::from(self.kind) == kind::LICTOR_FIELD_SOCKADDR_UN
    }

    pub(super) fn is_number(self) -> bool {
        u32::from(self.kind) == kind::LICTOR_FIELD_NUMBER
    }

    /// The integers that a NUMBER field yields.
    pub(super) fn int(self) -> (u8, bool) {
        (self.width, u32::from(self.flags) & wire::LICTOR_FIELD_SIGNED != 0)
    }
}

/// Where a hook point's values stand.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    /// In the registers of a function's call.
    Call {
        /// For messages.
        function: String,
        /// `None`: the function is not in BTF, types are taken on trust.
        signature: Option<Signature>,
        /// Position at the hook point of each parameter of `signature`, where they differ; `None` = not there.
        positions: Option<&'static [Option<u8>]>,
        /// The module of the kernel that the function is of.
        module: Option<String>,
    },
    /// In the user's registers at a system call's entry.
    Syscall {
        /// For messages.
        function: String,
        /// From the tracepoint of the system call; `None` = unknown.
        parameters: Option<Vec<Parameter>>,
    },
    /// In the registers of a 32-bit program at a system call's entry.
    Syscall32 {
        /// For messages.
        function: String,
    },
    /// In the user's registers at the beginning of a function of a program.
    User {
        /// For messages.
        function: String,
    },
    /// Where a program's probe has them.
    Probe {
        /// For messages.
        function: String,
        /// Each, or the words of the note that are not understood.
        arguments: Vec<Result<ProbeArgument, String>>,
    },
    /// In a tracepoint's record.
    Record {
        /// For messages.
        event: String,
        /// All fields, the common ones included.
        fields: Vec<TracepointField>,
    },
}

/// An argument whose type is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    /// How it is shown and tested; never `Auto`.
    pub(super) kind: ArgKind,
    /// `None` for `Nop`.
    pub(super) field: Option<Field>,
}

/// What stands at one position.
pub(super) struct Place<'a> {
    pub(super) source: u8,
    pub(super) offset: u16,
    /// `None` = not known.
    pub(super) parameter: Option<Cow<'a, Parameter>>,
    /// The way from there to the value.
    pub(super) steps: Steps,
    /// Bytes that it has in a tracepoint's record; 0 elsewhere.
    bytes: u16,
}

impl<'a> Place<'a> {
    /// A value that a program is handed.
    pub(super) fn at(source: u8, parameter: Option<Cow<'a, Parameter>>) -> Self {
        Self { source, offset: 0, parameter, steps: Steps::default(), bytes: 0 }
    }
}

impl Reader {
    /// The field for `arg`.
    pub(super) fn argument(&self, arg: &Arg, ground: Ground<'_>) -> Result<Resolved, Problem> {
        let place = match arg.source {
            ArgSource::Argument => self.place(arg.index, "index")?,
            ArgSource::CurrentTask => Ground::task(),
            ArgSource::Registers => ground.registers(self)?,
        };
        let mut place = ground.reach(place, arg, self)?;
        if matches!(self, Self::Probe { .. }) && is_text(arg.kind) && arg.path.is_none() {
            // A number of eight bytes may be an address, and nothing tells what of.
            place.parameter =
                place.parameter.filter(|one| !matches!(one.class, TypeClass::Integer { width: 8, .. }));
        }
        let name = if place.steps.count() == 0 { self.name(arg.index) } else { arg.origin().to_string() };
        let kind = certain_kind(arg, place.parameter.as_deref(), &name)?;
        if kind == ArgKind::Nop {
            return Ok(Resolved { kind, field: None });
        }
        if arg.source != ArgSource::CurrentTask {
            let what = if arg.is_data() { arg.origin().to_string() } else { format!("index {}", arg.index) };
            self.check_memory(kind, &what)?;
        }
        let mut field = field_of(kind, &ground.behind(place, kind)?);
        let size_arg = arg.size_arg.or_else(|| self.address_length(arg, kind));
        if let (Some(index), Self::Syscall32 { function }) = (size_arg, self) {
            field.size_source = length_register_32(index, function)?;
            field.width = 4;
        } else if let Some(index) = size_arg {
            let size = self.place(index, "size argument")?;
            let class = size.parameter.as_ref().map_or(&UNKNOWN_LENGTH, |parameter| &parameter.class);
            let TypeClass::Integer { width, .. } = class else {
                let found = format!("index {index} as the length of index {}", arg.index);
                return Err(Problem::new(found, format!("an integer; it is {}", self.name(index))));
            };
            // Tracepoints: tells only that there is a length; it stands at the offset.
            let in_record = u32::from(size.source) == wire::LICTOR_SOURCE_NONE;
            field.size_source = if in_record { index } else { size.source };
            field.size_offset = size.offset;
            field.width = *width;
        }
        if matches!(self, Self::Syscall32 { .. }) && arg.source == ArgSource::Argument {
            field.flags |= wire::LICTOR_FIELD_NARROW as u8;
        }
        if arg.max_data {
            field.max_length = wire::LICTOR_MAX_DATA;
        }
        if arg.return_copy {
            field.flags |= wire::LICTOR_FIELD_RETURN_COPY as u8;
        }
        Ok(Resolved { kind, field: Some(field) })
    }

    /// The argument with the length of a Unix socket's address, where nobody names one: the one behind it, if that is called a
    /// length. What stands behind an address is anything at all, and nothing need end its path.
    fn address_length(&self, arg: &Arg, kind: ArgKind) -> Option<u8> {
        let plain = arg.source == ArgSource::Argument && arg.path.is_none() && kind == ArgKind::SockaddrUn;
        let index = arg.index.checked_add(1).filter(|_| plain)?;
        let parameter = self.place(index, "size argument").ok()?.parameter?;
        let is_length =
            matches!(parameter.class, TypeClass::Integer { .. }) && parameter.name.contains("len");
        is_length.then_some(index)
    }

    /// The field for the return value, read when the function ends.
    pub(super) fn returned(&self, arg: &Arg, ground: Ground<'_>) -> Result<Resolved, Problem> {
        let parameter = match self {
            Self::Call { function, signature, .. } => match signature {
                Some(Signature { returns: None, .. }) => {
                    let found = format!("a return value of {function}");
                    return Err(Problem::new(found, format!("none: BTF says that {function} returns void")));
                }
                Some(Signature { returns: Some(returns), .. }) => Some(Cow::Borrowed(returns)),
                None => None,
            },
            Self::Syscall { .. } | Self::Syscall32 { .. } => Some(Cow::Owned(Parameter {
                name: String::new(),
                type_name: "long".to_owned(),
                class: TypeClass::Integer { width: 8, signed: true },
            })),
            Self::User { .. } => None,
            Self::Probe { function, .. } => {
                return Err(Problem::new("a return value", format!("none: {function} is a probe")));
            }
            Self::Record { event, .. } => {
                return Err(Problem::new("a return value", format!("none: {event} is a tracepoint")));
            }
        };
        let place = ground.reach(Place::at(wire::LICTOR_SOURCE_RETURN as u8, parameter), arg, self)?;
        let kind = certain_kind(arg, place.parameter.as_deref(), "the return value")?;
        if kind == ArgKind::Nop {
            return Ok(Resolved { kind, field: None });
        }
        self.check_memory(kind, "the return value")?;
        Ok(Resolved { kind, field: Some(field_of(kind, &ground.behind(place, kind)?)) })
    }

    /// What stands at `index`; `what` names the index in messages.
    fn place(&self, index: u8, what: &str) -> Result<Place<'_>, Problem> {
        let at = usize::from(index);
        match self {
            Self::Call { function, signature: Some(signature), positions, .. } => {
                parameter_place(index, what, function, signature, *positions)
            }
            Self::Call { function, signature: None, .. } | Self::User { function } => {
                check_register(index, what, function)?;
                Ok(Place::at(index, None))
            }
            Self::Probe { function, arguments } => probe_place(index, what, function, arguments),
            Self::Syscall32 { function } => {
                check_register(index, what, function)?;
                let steps = Steps::to_register(ARGUMENTS_32[usize::from(index)]);
                Ok(Place { steps, ..Place::at(wire::LICTOR_SOURCE_REGISTERS as u8, None) })
            }
            Self::Syscall { function, parameters } => {
                if let Some(parameters) = parameters
                    && at >= parameters.len()
                {
                    return Err(too_far(
                        index,
                        what,
                        function,
                        &parameter_list(parameters),
                        parameters.len(),
                    ));
                }
                check_register(index, what, function)?;
                let parameter = parameters.as_ref().map(|all| Cow::Borrowed(&all[at]));
                Ok(Place::at(index, parameter))
            }
            Self::Record { event, fields } => {
                let Some(field) = fields.get(at) else {
                    let names: Vec<String> =
                        fields.iter().map(|field| format!("{} {}", field.type_name, field.name)).collect();
                    let list = names.join(", ");
                    return Err(Problem::new(
                        format!("{what} {index}"),
                        format!("0 to {}: {event} has the fields {list}", fields.len().saturating_sub(1)),
                    ));
                };
                let parameter = Parameter {
                    name: field.name.clone(),
                    type_name: field.type_name.clone(),
                    class: record_class(field),
                };
                let parameter = Some(Cow::Owned(parameter));
                Ok(Place {
                    offset: field.offset,
                    bytes: field.size,
                    ..Place::at(wire::LICTOR_SOURCE_NONE as u8, parameter)
                })
            }
        }
    }

    /// The module that the function is of, whose structures it is called with.
    pub(super) fn module(&self) -> Option<&str> {
        match self {
            Self::Call { module, .. } => module.as_deref(),
            Self::Syscall { .. }
            | Self::Syscall32 { .. }
            | Self::User { .. }
            | Self::Probe { .. }
            | Self::Record { .. } => None,
        }
    }

    /// What stands at `index`, for messages.
    fn name(&self, index: u8) -> String {
        match self.place(index, "index") {
            Ok(Place { parameter: Some(parameter), .. }) => shown(&parameter),
            Ok(Place { parameter: None, .. }) | Err(_) => format!("index {index}"),
        }
    }

    /// System calls and programs have no kernel structures among their arguments, whatever their types say.
    fn check_memory(&self, kind: ArgKind, what: &str) -> Result<(), Problem> {
        let kernel_only = match kind {
            ArgKind::File
            | ArgKind::Path
            | ArgKind::Dentry
            | ArgKind::Filename
            | ArgKind::LinuxBinprm
            | ArgKind::Sock
            | ArgKind::Socket
            | ArgKind::Skb
            | ArgKind::Cred
            | ArgKind::UserNamespace
            | ArgKind::Module
            | ArgKind::BpfAttr
            | ArgKind::BpfMap
            | ArgKind::PerfEvent
            | ArgKind::NetDevice
            | ArgKind::Capabilities(_)
            | ArgKind::BpfProg
            | ArgKind::LoadInfo
            | ArgKind::Kiocb
            | ArgKind::IovIter => true,
            ArgKind::Auto
            | ArgKind::Int(_)
            | ArgKind::String
            | ArgKind::CharBuf
            | ArgKind::CharIovec
            | ArgKind::Fd
            | ArgKind::Capability
            | ArgKind::Syscall
            | ArgKind::Sockaddr
            | ArgKind::SockaddrUn
            | ArgKind::BpfCmd
            | ArgKind::DataLoc
            | ArgKind::ConstBuf
            | ArgKind::Nop => false,
        };
        match self {
            Self::Syscall { function, .. } | Self::Syscall32 { function } if kernel_only => {
                Err(Problem::new(
                    format!("type {} for {what} of {function}", kind.name()),
                    "integers, fd, string, char_buf, char_iovec, sockaddr, sockaddr_un, nop: a system call gets no kernel structures",
                ))
            }
            Self::User { function } | Self::Probe { function, .. } if kernel_only => Err(Problem::new(
                format!("type {} for {what} of {function}", kind.name()),
                "integers, fd, string, char_buf, char_iovec, sockaddr, sockaddr_un, nop: a program has no structures of the kernel",
            )),
            Self::Syscall32 { function } if kind == ArgKind::CharIovec => Err(Problem::new(
                format!("type char_iovec for {what} of {function}"),
                "integers, fd, string, char_buf, sockaddr, sockaddr_un, nop: pieces of 32-bit programs are laid out in another way",
            )),
            Self::Syscall { .. }
            | Self::Syscall32 { .. }
            | Self::Call { .. }
            | Self::Record { .. }
            | Self::User { .. }
            | Self::Probe { .. } => Ok(()),
        }
    }
}

/// Whether it is read where an address leads to.
fn is_text(kind: ArgKind) -> bool {
    matches!(kind, ArgKind::String | ArgKind::CharBuf | ArgKind::Sockaddr | ArgKind::SockaddrUn)
}

/// What stands at argument `index` of a probe.
fn probe_place<'a>(
    index: u8,
    what: &str,
    function: &str,
    arguments: &[Result<ProbeArgument, String>],
) -> Result<Place<'a>, Problem> {
    let argument = match arguments.get(usize::from(index)) {
        Some(Ok(argument)) => argument,
        Some(Err(word)) => {
            let found = format!("{what} {index} of {function}, which stands at `{word}`");
            let allowed = "constants, registers, and memory at registers";
            return Err(Problem::new(found, allowed));
        }
        None => {
            let allowed = match arguments.len() {
                0 => format!("none: {function} has no arguments"),
                1 => format!("0: {function} has 1 argument"),
                count => format!("0 to {}: {function} has {count} arguments", count - 1),
            };
            return Err(Problem::new(format!("{what} {index}"), allowed));
        }
    };
    let ProbeArgument { width, signed, operand } = *argument;
    let parameter = Parameter {
        name: String::new(),
        type_name: format!("{}int{}_t", if signed { "" } else { "u" }, u32::from(width) * 8),
        class: TypeClass::Integer { width, signed },
    };
    let (source, steps) = match operand {
        Operand::Constant(value) => (wire::LICTOR_SOURCE_CONSTANT, Steps::constant(value.cast_unsigned())),
        Operand::Register(register) => (wire::LICTOR_SOURCE_REGISTERS, Steps::to_register(register)),
        Operand::Memory { base, index, displacement } => {
            (wire::LICTOR_SOURCE_REGISTERS, Steps::to_memory(base, index, displacement))
        }
    };
    Ok(Place { steps, ..Place::at(source as u8, Some(Cow::Owned(parameter))) })
}

/// What stands at parameter `index` of a function; `positions` are those at the hook point, where they differ.
fn parameter_place<'a>(
    index: u8,
    what: &str,
    function: &str,
    signature: &'a Signature,
    positions: Option<&[Option<u8>]>,
) -> Result<Place<'a>, Problem> {
    let at = usize::from(index);
    let parameters = &signature.parameters;
    let Some(parameter) = parameters.get(at) else {
        return Err(too_far(index, what, function, &parameter_list(parameters), parameters.len()));
    };
    if parameters[..at].iter().any(|one| one.class == TypeClass::Other && !is_id(one)) {
        let allowed = "arguments before the first structure passed by value: \
                       the position of those behind it is not known";
        return Err(Problem::new(format!("{what} {index} of {function}"), allowed));
    }
    let position = match positions {
        None => Some(index),
        Some(positions) => positions.get(at).copied().flatten(),
    };
    let Some(source) = position else {
        let found = format!("{what} {index} of {function} ({})", shown(parameter));
        return Err(Problem::new(found, "arguments that the attached function has too"));
    };
    check_register(source, what, function)?;
    Ok(Place::at(source, Some(Cow::Borrowed(parameter))))
}

/// The arguments of system calls of 32-bit programs: `bx`, `cx`, `dx`, `si`, `di`, `bp` by their offset in `struct pt_regs`
/// (`arch/x86/include/asm/syscall_wrapper.h`).
const ARGUMENTS_32: [i32; ARGUMENTS_MAX] = [40, 88, 96, 104, 112, 32];

/// The source of a length there: only registers that carry arguments of 64-bit programs can be one.
fn length_register_32(index: u8, function: &str) -> Result<u8, Problem> {
    match index {
        2 => Ok(2),
        3 => Ok(1),
        4 => Ok(0),
        _ => Err(Problem::new(
            format!("size argument {index} of {function}"),
            "2 to 4: no length is read from the others of a 32-bit program",
        )),
    }
}

/// Length of which nothing is known: registers are wide enough for any.
const UNKNOWN_LENGTH: TypeClass = TypeClass::Integer { width: 8, signed: false };

fn check_register(index: u8, what: &str, function: &str) -> Result<(), Problem> {
    if usize::from(index) < ARGUMENTS_MAX {
        return Ok(());
    }
    let found = format!("{what} {index} of {function}");
    Err(Problem::new(found, format!("0 to {}: only the first arguments are in registers", ARGUMENTS_MAX - 1)))
}

fn too_far(index: u8, what: &str, function: &str, list: &str, count: usize) -> Problem {
    let allowed = match count {
        0 => format!("none: {function}() has no arguments"),
        1 => format!("0: {function}({list}) has 1 argument"),
        _ => format!("0 to {}: {function}({list}) has {count} arguments", count - 1),
    };
    Problem::new(format!("{what} {index}"), allowed)
}

fn parameter_list(parameters: &[Parameter]) -> String {
    parameters.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A parameter as C writes it.
fn shown(parameter: &Parameter) -> String {
    let space = if parameter.name.is_empty() || parameter.type_name.ends_with('*') { "" } else { " " };
    format!("{}{space}{}", parameter.type_name, parameter.name)
}

/// The extraction for a kind at a place.
fn field_of(asked: ArgKind, place: &Place<'_>) -> Field {
    let (code, int) = match asked {
        ArgKind::Int(_)
        | ArgKind::Capability
        | ArgKind::Syscall
        | ArgKind::BpfCmd
        | ArgKind::Capabilities(_) => (kind::LICTOR_FIELD_NUMBER, asked.integer()),
        ArgKind::String | ArgKind::DataLoc => (kind::LICTOR_FIELD_STRING, None),
        ArgKind::CharBuf | ArgKind::ConstBuf => (kind::LICTOR_FIELD_CHAR_BUF, None),
        ArgKind::CharIovec => (kind::LICTOR_FIELD_CHAR_IOVEC, None),
        ArgKind::File | ArgKind::Kiocb => (kind::LICTOR_FIELD_FILE, None),
        ArgKind::Fd => (kind::LICTOR_FIELD_FD, None),
        ArgKind::Path => (kind::LICTOR_FIELD_PATH, None),
        ArgKind::Dentry => (kind::LICTOR_FIELD_DENTRY, None),
        ArgKind::Filename => (kind::LICTOR_FIELD_FILENAME, None),
        ArgKind::LinuxBinprm => (kind::LICTOR_FIELD_BINPRM, None),
        ArgKind::Sock => (kind::LICTOR_FIELD_SOCK, None),
        ArgKind::Socket => (kind::LICTOR_FIELD_SOCKET, None),
        ArgKind::Skb => (kind::LICTOR_FIELD_SKB, None),
        ArgKind::Sockaddr => (kind::LICTOR_FIELD_SOCKADDR, None),
        ArgKind::SockaddrUn => (kind::LICTOR_FIELD_SOCKADDR_UN, None),
        ArgKind::Cred => (kind::LICTOR_FIELD_CRED, None),
        ArgKind::UserNamespace => (kind::LICTOR_FIELD_USER_NAMESPACE, None),
        ArgKind::Module => (kind::LICTOR_FIELD_MODULE, None),
        ArgKind::BpfAttr => (kind::LICTOR_FIELD_BPF_ATTR, None),
        ArgKind::BpfMap => (kind::LICTOR_FIELD_BPF_MAP, None),
        ArgKind::PerfEvent => (kind::LICTOR_FIELD_PERF_EVENT, None),
        ArgKind::NetDevice => (kind::LICTOR_FIELD_NET_DEVICE, None),
        ArgKind::BpfProg => (kind::LICTOR_FIELD_BPF_PROG, None),
        ArgKind::LoadInfo => (kind::LICTOR_FIELD_LOAD_INFO, None),
        ArgKind::IovIter => (kind::LICTOR_FIELD_IOV_ITER, None),
        ArgKind::Auto | ArgKind::Nop => (kind::LICTOR_FIELD_NOP, None),
    };
    let text = place.parameter.as_deref().and_then(record_text);
    let text = text.filter(|text| asked == *text || asked == ArgKind::String);
    let in_record = text == Some(ArgKind::ConstBuf);
    let int = int.map(|int| narrowed(int, place.parameter.as_deref()));
    let (mut width, signed) = int.unwrap_or((0, false));
    if asked == ArgKind::Fd && place.steps.count() != 0 {
        // Nothing need be behind a member, so no more than it has is read.
        width = narrowed((4, true), place.parameter.as_deref()).0;
    }
    Field {
        source: place.source,
        offset: place.steps.index().map_or(place.offset, |(register, _)| register),
        kind: code as u8,
        width,
        flags: (if signed { wire::LICTOR_FIELD_SIGNED as u8 } else { 0 })
            | (if asked == ArgKind::Syscall { wire::LICTOR_FIELD_SYSCALL as u8 } else { 0 })
            | (if place.steps.is_address() { wire::LICTOR_FIELD_ADDRESS as u8 } else { 0 })
            | (if text == Some(ArgKind::DataLoc) { wire::LICTOR_FIELD_DATA_LOC as u8 } else { 0 })
            | (if place.steps.index().is_some() { wire::LICTOR_FIELD_INDEXED as u8 } else { 0 }),
        size_source: if in_record { wire::LICTOR_SOURCE_CONSTANT } else { wire::LICTOR_SOURCE_NONE } as u8,
        size_offset: match place.steps.index() {
            Some((_, shift)) => shift.into(),
            None if in_record => place.bytes,
            None => 0,
        },
        max_length: match int {
            Some(_) => 8,
            None if in_record => place.bytes.into(),
            None => place.steps.text_bytes(),
        },
        steps: place.steps,
    }
}

/// Width and sign to read an integer with. A parameter narrower than the kind is read as what it is: the bits above it
/// in its register are anything at all.
fn narrowed((width, signed): (u8, bool), parameter: Option<&Parameter>) -> (u8, bool) {
    match parameter {
        Some(Parameter { class: TypeClass::Integer { width: real, signed: real_sign }, .. })
            if *real < width =>
        {
            (*real, *real_sign)
        }
        Some(parameter) if is_id(parameter) && width > 4 => (4, false),
        Some(_) | None => (width, signed),
    }
}

/// The class of a tracepoint's field.
fn record_class(field: &TracepointField) -> TypeClass {
    let name = field.type_name.as_str();
    if name.contains('[')
        || name.contains("__data_loc")
        || name.contains("__rel_loc")
        || name.starts_with("struct ") && !name.ends_with('*')
    {
        return TypeClass::Other;
    }
    let size = field.size as u8;
    match c_class(name) {
        // Records of system calls hold narrow arguments in wide fields.
        Some(TypeClass::Integer { width, signed }) if u16::from(width) <= field.size => {
            TypeClass::Integer { width, signed }
        }
        Some(TypeClass::Integer { .. }) | None if matches!(field.size, 1 | 2 | 4 | 8) => {
            TypeClass::Integer { width: size, signed: field.signed }
        }
        Some(class) if field.size == 8 => class,
        Some(_) | None => TypeClass::Other,
    }
}

/// The class of a type by its name in C; `None` = not known.
pub(super) fn c_class(name: &str) -> Option<TypeClass> {
    let words: Vec<&str> = name
        .split_whitespace()
        .filter(|word| !matches!(*word, "const" | "volatile" | "__user" | "__attribute__((user))"))
        .collect();
    let name = words.join(" ");
    if let Some(target) = name.strip_suffix('*') {
        let target = target.trim();
        return Some(match target.strip_prefix("struct ") {
            Some(structure) => TypeClass::StructPointer(structure.to_owned()),
            None if target == "char" => TypeClass::CharPointer,
            None => TypeClass::Pointer,
        });
    }
    let (width, signed) = match name.as_str() {
        "char" | "signed char" | "s8" | "__s8" => (1, true),
        "unsigned char" | "bool" | "u8" | "__u8" => (1, false),
        "short" | "s16" | "__s16" => (2, true),
        "unsigned short" | "umode_t" | "u16" | "__u16" => (2, false),
        "int" | "s32" | "__s32" | "pid_t" | "clockid_t" | "timer_t" | "mqd_t" | "key_t" | "key_serial_t" => {
            (4, true)
        }
        "unsigned int" | "unsigned" | "u32" | "__u32" | "uid_t" | "gid_t" | "qid_t" => (4, false),
        "long" | "s64" | "__s64" | "loff_t" | "off_t" | "ssize_t" => (8, true),
        "unsigned long" | "size_t" | "u64" | "__u64" | "aio_context_t" => (8, false),
        _ => return None,
    };
    Some(TypeClass::Integer { width, signed })
}
