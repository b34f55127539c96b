//! Arguments of a hook.

use super::report::{Report, quoted};
use crate::model::{
    Arg, ArgKind, ArgSource, CapabilitiesField, Cast, FieldPath, IntField, IntKind, MEMBERS_MAX, MemberPath,
};
use crate::spec::{ArgSpec, LABEL_BYTES_MAX, SourceName, TypeName};

/// Most arguments of a probe: `sys/sdt.h` has no macro for more.
const PROBE_ARGUMENTS_MAX: i64 = 12;

/// What the arguments of a hook are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A function's parameters.
    Function,
    /// Those of a system call, which are the process's.
    Syscall,
    /// The parameters of an LSM hook, which runs before the operation that it is asked about.
    Lsm,
    /// A tracepoint's fields.
    Tracepoint,
    /// A tracepoint's arguments.
    RawTracepoint,
    /// The parameters of a function of a program.
    Program(Structures),
    /// The arguments of a probe of a program.
    Probe(Structures),
}

/// Whether a program's structures are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structures {
    /// A file describes them (`btfPath`).
    Described,
    /// Nothing does.
    Unknown,
}

impl Structures {
    pub(super) fn of(btf_path: Option<&str>) -> Self {
        if btf_path.is_some() { Self::Described } else { Self::Unknown }
    }
}

impl Origin {
    /// The highest index. Programs see the six arguments that are passed in registers; records of tracepoints have at
    /// most 128 fields.
    fn last(self) -> i64 {
        match self {
            Self::Function | Self::Syscall | Self::Lsm | Self::RawTracepoint | Self::Program(_) => 5,
            Self::Probe(_) => PROBE_ARGUMENTS_MAX - 1,
            Self::Tracepoint => 127,
        }
    }

    fn allowed(self, first: i64) -> String {
        let why = match self {
            Self::Function | Self::Syscall | Self::Lsm | Self::Program(_) => {
                "the first six arguments of a function can be read"
            }
            Self::Tracepoint => "a field of the tracepoint's format file",
            Self::RawTracepoint => "the first six arguments of a raw tracepoint can be read",
            Self::Probe(_) => "a probe has at most twelve arguments",
        };
        format!("{first} to {}: {why}", self.last() + first)
    }
}

/// An argument; says what is wrong otherwise.
pub(super) fn argument(spec: &ArgSpec, origin: Origin, at: &FieldPath, report: &mut Report) -> Option<Arg> {
    let before = report.refused;
    let kind = kind(spec.kind);
    let index = u8::try_from(spec.index).ok().filter(|_| spec.index <= origin.last());
    if index.is_none() {
        report.refuse(&at.member("index"), format!("`{}`", spec.index), origin.allowed(0));
    }
    let size_arg = size(spec, kind, origin, at, report);
    if origin != Origin::Tracepoint {
        record_only(kind, at, report);
    }
    untold(spec, kind, origin, at, report);
    if spec.return_copy && kind != ArgKind::CharBuf {
        let found = "`returnCopy` on a type that is not read at the end";
        report.refuse(&at.member("returnCopy"), found, "char_buf only");
    } else if spec.return_copy && !matches!(origin, Origin::Function | Origin::Syscall | Origin::Program(_)) {
        let found = "`returnCopy` where nothing returns";
        report.refuse(
            &at.member("returnCopy"),
            found,
            "kprobes and uprobes: the buffer is read when the function ends",
        );
    }
    if spec.source.is_some() {
        let hint = "write the entry under the hook's `data`";
        report.refuse_with(&at.member("source"), "`source` of an argument", "`source` under `data`", hint);
    }
    structures(spec, origin, at, report);
    let (path, cast) = (path(spec, at, report), cast(spec, at, report));
    let label = label(spec.label.as_deref(), at, report);
    let arg = Arg {
        at: at.clone(),
        source: ArgSource::Argument,
        index: index?,
        cast,
        path,
        kind,
        label,
        size_arg,
        return_copy: spec.return_copy,
        max_data: max_data(spec, kind, size_arg, at, report),
    };
    (report.refused == before).then_some(arg)
}

/// Refuses what has no type of its own, in a program, which tells none of its functions. Those of members are described.
fn untold(spec: &ArgSpec, kind: ArgKind, origin: Origin, at: &FieldPath, report: &mut Report) {
    if kind == ArgKind::Auto && matches!(origin, Origin::Program(_)) && spec.resolve.is_none() {
        report.refuse(&at.member("type"), "`auto`", "a type: a program does not tell those of its functions");
    }
}

/// Whether a buffer is wanted as long as it is.
fn max_data(
    spec: &ArgSpec,
    kind: ArgKind,
    size_arg: Option<u8>,
    at: &FieldPath,
    report: &mut Report,
) -> bool {
    let known = if kind == ArgKind::CharBuf {
        size_arg.is_some() || spec.return_copy
    } else {
        matches!(kind, ArgKind::CharIovec | ArgKind::IovIter)
    };
    if spec.max_data && !known {
        let found = "`maxData` of what is no buffer of known length";
        let effect = "it has no effect: it is for char_buf with `sizeArgIndex` or `returnCopy`, char_iovec and iov_iter";
        report.warn(&at.member("maxData"), found, effect);
    }
    spec.max_data && known
}

/// Refuses what stands in the records of tracepoints and nowhere else.
fn record_only(kind: ArgKind, at: &FieldPath, report: &mut Report) {
    if matches!(kind, ArgKind::DataLoc | ArgKind::ConstBuf) {
        let found = format!("`{}` of what is not the record of a tracepoint", kind.name());
        report.refuse_with(
            &at.member("type"),
            found,
            "fields of tracepoints that are not raw",
            "`string` and `char_buf` read what an address leads to",
        );
    }
}

/// Refuses a way through structures where arguments lead to none of the kernel's.
fn structures(spec: &ArgSpec, origin: Origin, at: &FieldPath, report: &mut Report) {
    let (found, hint) = match origin {
        Origin::Function | Origin::Lsm | Origin::RawTracepoint => return,
        Origin::Syscall => (
            "of a system call, whose arguments are numbers and addresses of the process's own memory",
            "for a kernel function, write `syscall: false`",
        ),
        Origin::Tracepoint => (
            "of a tracepoint's record, which has copies",
            "with `raw: true` the tracepoint's arguments are read, counted from 0",
        ),
        Origin::Program(Structures::Described) | Origin::Probe(Structures::Described) => {
            return of_program(spec, origin, at, report);
        }
        Origin::Program(Structures::Unknown) | Origin::Probe(Structures::Unknown) => (
            "of a program, whose structures nothing describes",
            "name a file that describes them in the hook's `btfPath`",
        ),
    };
    let allowed = "arguments of kernel functions, LSM hooks, raw tracepoints, and programs with `btfPath`";
    for (name, given) in
        [("resolve", &spec.resolve), ("btfType", &spec.btf_type), ("btfTypeModule", &spec.btf_type_module)]
    {
        if given.is_some() {
            report.refuse_with(&at.member(name), format!("`{name}` {found}"), allowed, hint);
        }
    }
}

/// Refuses what does not lead to a member of a structure of a program that a file describes.
fn of_program(spec: &ArgSpec, origin: Origin, at: &FieldPath, report: &mut Report) {
    if spec.btf_type_module.is_some() {
        let allowed = "`btfType` alone: a program has no structures of the kernel's modules";
        report.refuse(&at.member("btfTypeModule"), "`btfTypeModule` of a program", allowed);
    }
    match (&spec.resolve, &spec.btf_type) {
        (None, Some(_)) => {
            let allowed = "`resolve` beside it: the way to the member that is meant";
            report.refuse(&at.member("btfType"), "`btfType` alone", allowed);
        }
        (Some(_), None) if matches!(origin, Origin::Probe(_)) => {
            let allowed = "`btfType` beside it: a probe does not tell what its arguments point to";
            report.refuse(&at.member("resolve"), "`resolve` alone", allowed);
        }
        (Some(_), _) | (None, None) => {}
    }
}

/// The way to a value.
fn path(spec: &ArgSpec, at: &FieldPath, report: &mut Report) -> Option<MemberPath> {
    let text = spec.resolve.as_ref()?;
    let path = MemberPath::parse(text);
    if let Err(found) = &path {
        let allowed = format!("at most {MEMBERS_MAX} members, as `mm.owner.comm` or `numbers[0].nr`");
        report.refuse(&at.member("resolve"), found, allowed);
    }
    path.ok()
}

/// The structure that a pointer is taken to lead to.
fn cast(spec: &ArgSpec, at: &FieldPath, report: &mut Report) -> Option<Cast> {
    let module = spec.btf_type_module.as_ref().and_then(|name| module(name, at, report));
    let Some(name) = &spec.btf_type else {
        if spec.btf_type_module.is_some() {
            let hint = "name the structure of the module in `btfType`";
            report.refuse_with(
                &at.member("btfTypeModule"),
                "no `btfType` beside it",
                "both, or neither",
                hint,
            );
        }
        return None;
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(letter) {
        let allowed = "the name of a structure without `struct`: letters, digits and `_`";
        report.refuse(&at.member("btfType"), quoted(name), allowed);
        return None;
    }
    Some(Cast { structure: name.clone(), module })
}

/// The name of a module, as the kernel spells it.
fn module(name: &str, at: &FieldPath, report: &mut Report) -> Option<String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(letter) {
        let allowed = "the name of a module, as `lsmod` shows it: letters, digits, `_` and `-`";
        report.refuse(&at.member("btfTypeModule"), quoted(name), allowed);
        return None;
    }
    Some(name.replace('-', "_"))
}

/// An entry of `data` at `place`.
pub(super) fn data(spec: &ArgSpec, place: usize, at: &FieldPath, report: &mut Report) -> Option<Arg> {
    let before = report.refused;
    if spec.index != 0 && usize::try_from(spec.index) != Ok(place) {
        let hint = "filters under `matchData` name data by their place";
        let allowed = if place == 0 { "0".to_owned() } else { format!("0, or {place}: its place in `data`") };
        report.refuse_with(&at.member("index"), format!("`{}`", spec.index), allowed, hint);
    }
    let source = match spec.source {
        Some(SourceName::CurrentTask) => Some(ArgSource::CurrentTask),
        Some(SourceName::PtRegs) => Some(ArgSource::Registers),
        None => {
            let hint = "what the function is called with belongs under `args`";
            report.refuse_with(&at.member("source"), "nothing", "current_task, pt_regs", hint);
            None
        }
    };
    if let (None, Some(source)) = (&spec.resolve, source) {
        let allowed = match source {
            ArgSource::Registers => "the name of a register, as `ax`",
            ArgSource::CurrentTask | ArgSource::Argument => {
                "the way from the task's struct task_struct to the value, as `cred.uid.val`"
            }
        };
        report.refuse(&at.member("resolve"), "nothing", allowed);
    }
    for (name, given) in [("btfType", &spec.btf_type), ("btfTypeModule", &spec.btf_type_module)] {
        if given.is_some() {
            let allowed = format!("`{name}` of arguments: where data begin is known");
            report.refuse(&at.member(name), format!("`{name}` under `data`"), allowed);
        }
    }
    if spec.size_arg_index.is_some_and(|index| index != 0) {
        let found = "`sizeArgIndex` under `data`";
        report.refuse(&at.member("sizeArgIndex"), found, "`sizeArgIndex` of arguments");
    }
    if spec.return_copy {
        report.refuse(&at.member("returnCopy"), "`returnCopy` under `data`", "`returnCopy` of arguments");
    }
    if spec.max_data {
        report.refuse(&at.member("maxData"), "`maxData` under `data`", "`maxData` of arguments");
    }
    let kind = kind(spec.kind);
    record_only(kind, at, report);
    if kind == ArgKind::CharIovec {
        let found = "char_iovec under `data`";
        report.refuse(&at.member("type"), found, "types that need no length from an argument");
    }
    let path = path(spec, at, report);
    let label = label(spec.label.as_deref(), at, report);
    let arg = Arg {
        at: at.clone(),
        source: source?,
        index: 0,
        cast: None,
        path,
        kind,
        label,
        size_arg: None,
        return_copy: false,
        max_data: false,
    };
    (report.refused == before).then_some(arg)
}

/// A label, if it can be shown.
pub(super) fn label(label: Option<&str>, at: &FieldPath, report: &mut Report) -> Option<String> {
    let label = label?;
    if label.len() > LABEL_BYTES_MAX {
        report.refuse(
            &at.member("label"),
            format!("{} bytes", label.len()),
            format!("at most {LABEL_BYTES_MAX} bytes"),
        );
    }
    (!label.is_empty()).then(|| label.to_owned())
}

/// The argument with the length, from 0.
fn size(spec: &ArgSpec, kind: ArgKind, origin: Origin, at: &FieldPath, report: &mut Report) -> Option<u8> {
    let at = at.member("sizeArgIndex");
    let sized = matches!(kind, ArgKind::CharBuf | ArgKind::CharIovec | ArgKind::SockaddrUn);
    match spec.size_arg_index {
        None if kind == ArgKind::CharIovec => {
            report.refuse(&at, "nothing", "which argument holds the number of pieces, counted from 1");
            None
        }
        None => {
            if kind == ArgKind::CharBuf && !spec.return_copy {
                report.warn(&at, "a char_buf without `sizeArgIndex`", "it is read up to its first zero byte");
            }
            None
        }
        // 0 is how some policies write "none".
        Some(0) if kind != ArgKind::CharIovec => None,
        Some(_) if !sized => {
            report.warn(
                &at,
                "`sizeArgIndex` on a type without length",
                "it has no effect: only char_buf, char_iovec and sockaddr_un use it",
            );
            None
        }
        Some(_) if matches!(origin, Origin::Probe(_)) => {
            let hint = "without it a char_buf is read to its first zero byte";
            report.refuse_with(
                &at,
                "`sizeArgIndex` of a probe",
                "nothing: lengths of probes are not read",
                hint,
            );
            None
        }
        Some(number) => {
            let index = u8::try_from(number - 1).ok().filter(|index| i64::from(*index) <= origin.last());
            if index.is_none() {
                report.refuse(&at, format!("`{number}`"), origin.allowed(1));
            }
            index
        }
    }
}

/// The value that a function returned; says what is wrong otherwise.
pub(super) fn returned(spec: &ArgSpec, origin: Origin, at: &FieldPath, report: &mut Report) -> Option<Arg> {
    let before = report.refused;
    let kind = kind(spec.kind);
    untold(spec, kind, origin, at, report);
    if matches!(origin, Origin::Program(_)) {
        structures(spec, origin, at, report);
    }
    record_only(kind, at, report);
    if spec.index != 0 {
        report.refuse(&at.member("index"), format!("`{}`", spec.index), "0: a function returns one value");
        return None;
    }
    if matches!(kind, ArgKind::CharBuf | ArgKind::CharIovec) {
        report.refuse(&at.member("type"), "a buffer", "a type that a function returns: it has no length");
        return None;
    }
    if spec.size_arg_index.is_some_and(|index| index != 0) {
        report.warn(&at.member("sizeArgIndex"), "`sizeArgIndex` of a returned value", "it has no effect");
    }
    if spec.return_copy {
        report.warn(&at.member("returnCopy"), "`returnCopy` of a returned value", "it has no effect");
    }
    if spec.max_data {
        report.warn(&at.member("maxData"), "`maxData` of a returned value", "it has no effect");
    }
    if spec.source.is_some() {
        report.refuse(&at.member("source"), "`source` of a returned value", "`source` under `data`");
    }
    let (path, cast) = (path(spec, at, report), cast(spec, at, report));
    let label = label(spec.label.as_deref(), at, report);
    let arg = Arg {
        at: at.clone(),
        source: ArgSource::Argument,
        index: 0,
        cast,
        path,
        kind,
        label,
        size_arg: None,
        return_copy: false,
        max_data: false,
    };
    (report.refused == before).then_some(arg)
}

fn kind(name: TypeName) -> ArgKind {
    let int = |width, signed, shown_as| ArgKind::Int(IntKind { width, signed, shown_as });
    match name {
        TypeName::Auto => ArgKind::Auto,
        TypeName::Int | TypeName::Sint32 | TypeName::Int32 => int(4, true, IntField::Int),
        TypeName::Sint8 | TypeName::Int8 => int(1, true, IntField::Int),
        TypeName::Sint16 | TypeName::Int16 => int(2, true, IntField::Int),
        TypeName::Uint8 => int(1, false, IntField::Uint),
        TypeName::Uint16 => int(2, false, IntField::Uint),
        TypeName::Uint32 => int(4, false, IntField::Uint),
        TypeName::Long | TypeName::Sint64 | TypeName::Int64 => int(8, true, IntField::Long),
        TypeName::Ulong | TypeName::Uint64 | TypeName::SizeT => int(8, false, IntField::Size),
        TypeName::String => ArgKind::String,
        TypeName::CharBuf => ArgKind::CharBuf,
        TypeName::CharIovec => ArgKind::CharIovec,
        TypeName::File => ArgKind::File,
        TypeName::Fd => ArgKind::Fd,
        TypeName::Path => ArgKind::Path,
        TypeName::Dentry => ArgKind::Dentry,
        TypeName::Filename => ArgKind::Filename,
        TypeName::LinuxBinprm => ArgKind::LinuxBinprm,
        TypeName::Capability => ArgKind::Capability,
        TypeName::Syscall64 => ArgKind::Syscall,
        TypeName::Sock => ArgKind::Sock,
        TypeName::Socket => ArgKind::Socket,
        TypeName::Skb => ArgKind::Skb,
        TypeName::Sockaddr => ArgKind::Sockaddr,
        TypeName::SockaddrUn => ArgKind::SockaddrUn,
        TypeName::Cred => ArgKind::Cred,
        TypeName::UserNamespace => ArgKind::UserNamespace,
        TypeName::Module => ArgKind::Module,
        TypeName::BpfAttr => ArgKind::BpfAttr,
        TypeName::BpfMap => ArgKind::BpfMap,
        TypeName::PerfEvent => ArgKind::PerfEvent,
        TypeName::NetDevice => ArgKind::NetDevice,
        TypeName::KernelCapT => ArgKind::Capabilities(CapabilitiesField::Any),
        TypeName::CapInheritable => ArgKind::Capabilities(CapabilitiesField::Inheritable),
        TypeName::CapPermitted => ArgKind::Capabilities(CapabilitiesField::Permitted),
        TypeName::CapEffective => ArgKind::Capabilities(CapabilitiesField::Effective),
        TypeName::BpfCmd => ArgKind::BpfCmd,
        TypeName::BpfProg => ArgKind::BpfProg,
        TypeName::LoadInfo => ArgKind::LoadInfo,
        TypeName::Kiocb => ArgKind::Kiocb,
        TypeName::IovIter => ArgKind::IovIter,
        TypeName::DataLoc => ArgKind::DataLoc,
        TypeName::ConstBuf => ArgKind::ConstBuf,
        TypeName::Nop => ArgKind::Nop,
    }
}
