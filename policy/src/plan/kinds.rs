//! Which types of policies a value of the kernel can be read as.

use super::facts::{Parameter, TypeClass, automatic_kind};
use super::fields::c_class;
use super::refusal::Problem;
use crate::model::{Arg, ArgKind, IntField, IntKind};

/// User and group ids are structures in C and integers in registers.
pub(super) fn is_id(parameter: &Parameter) -> bool {
    matches!(parameter.type_name.as_str(), "kuid_t" | "kgid_t")
}

/// The kind of `arg`, checked against what the kernel says about its type.
pub(super) fn certain_kind(arg: &Arg, parameter: Option<&Parameter>, what: &str) -> Result<ArgKind, Problem> {
    let Some(parameter) = parameter else {
        if arg.kind == ArgKind::Auto {
            let found = format!("type auto for {what}");
            return Err(Problem::new(found, "a type: this kernel does not tell the types of this function"));
        }
        return Ok(arg.kind);
    };
    if arg.kind == ArgKind::Auto {
        if is_id(parameter) {
            return Ok(ArgKind::Int(IntKind { width: 4, signed: false, shown_as: IntField::Uint }));
        }
        return automatic_kind(&parameter.class).or(record_text(parameter)).ok_or_else(|| {
            let found = format!("type auto for {what}");
            Problem::new(found, format!("a type: {} cannot be shown by itself", parameter.type_name))
        });
    }
    if fits(arg.kind, parameter) {
        return Ok(arg.kind);
    }
    let found = format!("type {} for {what}", arg.kind.name());
    Err(Problem::new(found, format!("{}: its type is {}", fitting(parameter), parameter.type_name)))
}

/// Structures that begin with a `struct sock`.
const SOCKS: [&str; 7] =
    ["sock", "inet_sock", "inet_connection_sock", "tcp_sock", "udp_sock", "raw_sock", "unix_sock"];

/// Structures that hold the addresses of sockets of any kind, or of Unix sockets.
const UNIX_ADDRESSES: [&str; 4] = ["sockaddr", "sockaddr_un", "sockaddr_storage", "sockaddr_unsized"];

/// Whether a value of the parameter's type can be read as `kind`.
fn fits(kind: ArgKind, parameter: &Parameter) -> bool {
    let class = &parameter.class;
    let points_to = |name: &str| matches!(class, TypeClass::StructPointer(to) if to == name);
    let integer = matches!(class, TypeClass::Integer { .. }) || is_id(parameter);
    // Records of tracepoints hold sockets and packets as bare addresses.
    let untyped = *class == TypeClass::Pointer;
    let pointer = matches!(class, TypeClass::CharPointer | TypeClass::StructPointer(_) | TypeClass::Pointer);
    match kind {
        // An address is shown as a number only whole.
        ArgKind::Int(int) => integer || pointer && int.width == 8,
        ArgKind::Capability | ArgKind::Fd | ArgKind::Syscall | ArgKind::BpfCmd => integer,
        ArgKind::String if record_text(parameter).is_some() => true,
        ArgKind::String | ArgKind::CharBuf => matches!(class, TypeClass::CharPointer | TypeClass::Pointer),
        ArgKind::CharIovec => points_to("iovec") || *class == TypeClass::Pointer,
        ArgKind::File => points_to("file"),
        ArgKind::Path => points_to("path"),
        ArgKind::Dentry => points_to("dentry"),
        ArgKind::Filename => points_to("filename"),
        ArgKind::LinuxBinprm => points_to("linux_binprm"),
        ArgKind::Sock => {
            matches!(class, TypeClass::StructPointer(to) if SOCKS.contains(&to.as_str())) || untyped
        }
        ArgKind::Socket => points_to("socket") || untyped,
        ArgKind::Skb => points_to("sk_buff") || untyped,
        ArgKind::Cred => points_to("cred"),
        ArgKind::UserNamespace => points_to("user_namespace"),
        ArgKind::Module => points_to("module"),
        ArgKind::BpfAttr => points_to("bpf_attr"),
        ArgKind::BpfMap => points_to("bpf_map"),
        ArgKind::PerfEvent => points_to("perf_event"),
        ArgKind::NetDevice => points_to("net_device"),
        ArgKind::Sockaddr => {
            matches!(class, TypeClass::StructPointer(to) if to.starts_with("sockaddr")) || untyped
        }
        ArgKind::SockaddrUn => UNIX_ADDRESSES.iter().any(|name| points_to(name)) || untyped,
        // In newer kernels a structure without a name.
        ArgKind::Capabilities(_) => {
            points_to("kernel_cap_struct")
                || parameter.type_name.contains("kernel_cap_t")
                || is_void(parameter)
        }
        ArgKind::BpfProg => points_to("bpf_prog"),
        ArgKind::LoadInfo => points_to("load_info"),
        ArgKind::Kiocb => points_to("kiocb"),
        ArgKind::IovIter => points_to("iov_iter"),
        ArgKind::DataLoc | ArgKind::ConstBuf => record_text(parameter) == Some(kind),
        ArgKind::Auto | ArgKind::Nop => true,
    }
}

fn is_void(parameter: &Parameter) -> bool {
    parameter.type_name.trim_start_matches("const ") == "void *"
}

/// How characters in a tracepoint's record are read.
pub(super) fn record_text(parameter: &Parameter) -> Option<ArgKind> {
    let (element, _) = parameter.type_name.split_once('[')?;
    if let Some(element) = element.trim().strip_prefix("__data_loc ") {
        return (element == "char").then_some(ArgKind::DataLoc);
    }
    let byte = matches!(c_class(element.trim()), Some(TypeClass::Integer { width: 1, .. }));
    (byte && parameter.class == TypeClass::Other).then_some(ArgKind::ConstBuf)
}

/// The kinds that fit a parameter, for messages.
fn fitting(parameter: &Parameter) -> &'static str {
    match &parameter.class {
        TypeClass::Integer { .. } => "integer types, fd, capability, bpf_cmd, nop",
        TypeClass::CharPointer => "string, char_buf, nop",
        TypeClass::StructPointer(name) => match name.as_str() {
            "file" => "file, nop",
            "path" => "path, nop",
            "dentry" => "dentry, nop",
            "filename" => "filename, nop",
            "linux_binprm" => "linux_binprm, nop",
            "socket" => "socket, nop",
            "cred" => "cred, nop",
            "user_namespace" => "user_namespace, nop",
            "module" => "module, nop",
            "bpf_attr" => "bpf_attr, nop",
            "bpf_map" => "bpf_map, nop",
            "perf_event" => "perf_event, nop",
            "net_device" => "net_device, nop",
            "sk_buff" => "skb, nop",
            name if SOCKS.contains(&name) => "sock, nop",
            name if UNIX_ADDRESSES.contains(&name) => "sockaddr, sockaddr_un, nop",
            name if name.starts_with("sockaddr") => "sockaddr, nop",
            "iovec" => "char_iovec, nop",
            "bpf_prog" => "bpf_prog, nop",
            "load_info" => "load_info, nop",
            "kiocb" => "kiocb, nop",
            "iov_iter" => "iov_iter, nop",
            "kernel_cap_struct" => "kernel_cap_t, nop",
            _ => "uint64 (the address), nop",
        },
        TypeClass::Pointer if parameter.type_name.contains("kernel_cap_t") => "kernel_cap_t, nop",
        TypeClass::Pointer => {
            "string, char_buf, char_iovec, sock, socket, skb, sockaddr, sockaddr_un, uint64 (the address), nop"
        }
        TypeClass::Other if is_id(parameter) => "integer types, nop",
        TypeClass::Other => match record_text(parameter) {
            Some(ArgKind::DataLoc) => "data_loc, string, nop",
            Some(_) => "const_buf, string, nop",
            None => "nop",
        },
    }
}
