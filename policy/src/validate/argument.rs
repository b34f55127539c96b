//! Arguments of a hook.

use super::report::Report;
use crate::model::{Arg, ArgKind, FieldPath, IntField, IntKind};
use crate::spec::{ArgSpec, LABEL_BYTES_MAX, TypeName};

/// Most arguments of a probe: `sys/sdt.h` has no macro for more.
const PROBE_ARGUMENTS_MAX: i64 = 12;

/// What the arguments of a hook are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A function's parameters.
    Function,
    /// The parameters of an LSM hook, which runs before the operation that it is asked about.
    Lsm,
    /// A tracepoint's fields.
    Tracepoint,
    /// A tracepoint's arguments.
    RawTracepoint,
    /// The parameters of a function of a program.
    Program,
    /// The arguments of a probe of a program.
    Probe,
}

impl Origin {
    /// The highest index. Programs see the six arguments that are passed in registers; records of tracepoints have at
    /// most 128 fields.
    fn last(self) -> i64 {
        match self {
            Self::Function | Self::Lsm | Self::RawTracepoint | Self::Program => 5,
            Self::Probe => PROBE_ARGUMENTS_MAX - 1,
            Self::Tracepoint => 127,
        }
    }

    fn allowed(self, first: i64) -> String {
        let why = match self {
            Self::Function | Self::Lsm | Self::Program => "the first six arguments of a function can be read",
            Self::Tracepoint => "a field of the tracepoint's format file",
            Self::RawTracepoint => "the first six arguments of a raw tracepoint can be read",
            Self::Probe => "a probe has at most twelve arguments",
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
    if kind == ArgKind::Auto && origin == Origin::Program {
        report.refuse(&at.member("type"), "`auto`", "a type: a program does not tell those of its functions");
    }
    if spec.return_copy && kind != ArgKind::CharBuf {
        let found = "`returnCopy` on a type that is not read at the end";
        report.refuse(&at.member("returnCopy"), found, "char_buf only");
    } else if spec.return_copy && origin != Origin::Function {
        let found = "`returnCopy` where nothing returns";
        report.refuse(&at.member("returnCopy"), found, "kprobes: the buffer is read when the function ends");
    }
    let label = label(spec.label.as_deref(), at, report);
    let arg = Arg { at: at.clone(), index: index?, kind, label, size_arg, return_copy: spec.return_copy };
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
    let sized = matches!(kind, ArgKind::CharBuf | ArgKind::CharIovec);
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
                "it has no effect: only char_buf and char_iovec use it",
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
    let kind = kind(spec.kind);
    if kind == ArgKind::Auto && origin == Origin::Program {
        report.refuse(&at.member("type"), "`auto`", "a type: a program does not tell those of its functions");
        return None;
    }
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
    let label = label(spec.label.as_deref(), at, report);
    Some(Arg { at: at.clone(), index: 0, kind, label, size_arg: None, return_copy: false })
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
        TypeName::Cred => ArgKind::Cred,
        TypeName::UserNamespace => ArgKind::UserNamespace,
        TypeName::Module => ArgKind::Module,
        TypeName::BpfAttr => ArgKind::BpfAttr,
        TypeName::BpfMap => ArgKind::BpfMap,
        TypeName::PerfEvent => ArgKind::PerfEvent,
        TypeName::NetDevice => ArgKind::NetDevice,
        TypeName::Nop => ArgKind::Nop,
    }
}
