//! Event lines, as `lictor-node` writes them and as established tools do, back to what happened.

use super::endpoints;
use super::replay::Lack;
use crate::model::{
    ABI_32, Arg, ArgKind, CALLS_32, CapabilitySet, ContainerLabels, FileType, HookTarget, Namespace,
    PodLabels, UserPlace, Workload, image_repository,
};
use crate::oracle::{
    Endpoints, Event, Lineage, Moment, Notifications, Privileges, Process, ProcessId, Reading, Value,
};
use crate::plan::TypeClass;
use crate::validate::{BPF_COMMANDS, CAPABILITIES, PROT_EXEC, low_bits};
use base64::Engine as _;
use lictor_node_worker_ebpf::LICTOR_SYSCALL_32;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Longest event line that is read, bytes: a record has at most 24 KiB, and JSON writes a byte with at most six.
pub const LINE_BYTES_MAX: usize = 1 << 18;

/// What an event line tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A rule of a hook fired.
    Hook(Box<Recorded>),
    /// A program was run.
    Exec {
        /// Who runs it now.
        process: Box<RecordedProcess>,
        /// Path of the program that the parent runs.
        parent_binary: Option<String>,
    },
    /// Anything else: an exit, a gap.
    Other,
}

/// One operation, as far as a line tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Where.
    pub place: HookTarget,
    /// Values in the order of the policy that reported them: arguments, then data.
    pub args: Vec<RecordedValue>,
    /// What the function returned.
    pub returned: Option<RecordedValue>,
    /// Who.
    pub process: RecordedProcess,
    /// The policy that reported it.
    pub policy: Option<String>,
    /// The selector that fired, as `spec.kprobes[0].selectors[1]`.
    pub rule: Option<String>,
    /// The operation was made to fail.
    pub denied: bool,
}

/// A value of an event line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordedValue {
    /// An integer.
    Number(i128),
    /// A text, or bytes.
    Text(Vec<u8>),
    /// A file: its path, if it has one, and its kind, if the line tells it.
    File(Option<String>, Option<FileType>),
    /// A socket, a packet or a socket address. Of a socket, lines do not tell which of two types it was read as.
    Endpoints(ArgKind, Endpoints),
    /// The address of a Unix socket: its family and its path.
    UnixAddress(Endpoints, Vec<u8>),
    /// It could not be read.
    Unresolved,
    /// Something that no filter of this version asks about.
    Other,
}

/// The process of an event line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordedProcess {
    /// Names the process image.
    pub exec_id: String,
    /// The parent's.
    pub parent_exec_id: String,
    /// Process id in the node's first PID namespace.
    pub pid: u32,
    /// Id of the thread; `None` = the line does not tell.
    pub tid: Option<u32>,
    /// Path of its executable.
    pub binary: Option<String>,
    /// Path of its parent's.
    pub parent_binary: Option<String>,
    /// Capability sets; `None` = the line does not tell.
    pub capabilities: Option<BTreeMap<CapabilitySet, u64>>,
    /// Inode numbers of its namespaces, and whether each is the node's; `None` = the line does not tell.
    pub namespaces: Option<BTreeMap<Namespace, (u32, bool)>>,
    /// The workload that it is of; the node where the line does not tell of a pod.
    pub workload: Workload,
}

/// What other lines tell of those that a process descends from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Relatives {
    /// Their ids, the parent first.
    pub ancestors: Vec<ProcessId>,
    /// Paths of what it and they have run, as far as lines tell.
    pub binaries: Vec<String>,
}

impl Relatives {
    /// What a process comes from: never all of it, since lines begin some time.
    fn lineage(&self, process: &RecordedProcess) -> Lineage {
        let own = [&process.binary, &process.parent_binary].into_iter().flatten();
        let binaries = own.chain(&self.binaries).map(|path| path.clone().into_bytes()).collect();
        Lineage { binaries, complete: false }
    }
}

/// Reads an event line.
///
/// # Errors
/// What is wrong with it, as it continues "found ...".
pub fn parse(line: &str) -> Result<Line, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("a line of {} bytes, more than the {LINE_BYTES_MAX} of any event", line.len()));
    }
    let json: Json = serde_json::from_str(line).map_err(|error| format!("text that is not JSON: {error}"))?;
    let Json::Object(members) = &json else { return Err("JSON that is no object".to_owned()) };
    let known = |name: &str| members.get(name).filter(|event| event.is_object());
    if let Some(exec) = known("process_exec") {
        let parent = exec.get("parent").and_then(|parent| text(parent, "binary"));
        return Ok(Line::Exec { process: Box::new(process(exec)), parent_binary: parent.map(str::to_owned) });
    }
    let name = |event: &Json, member: &str| match text(event, member) {
        Some(name) => Ok(name.to_owned()),
        None => Err(format!("an event without `{member}`")),
    };
    if let Some(event) = known("process_loader") {
        return Ok(Line::Hook(Box::new(loaded(event, json.get("lictor")))));
    }
    let (event, place) = if let Some(event) = known("process_lsm") {
        (event, HookTarget::Lsm(name(event, "function_name")?))
    } else if let Some(event) = known("process_kprobe") {
        let function = name(event, "function_name")?;
        let call = ["__x64_sys_", "__arm64_sys_"].iter().find_map(|prefix| function.strip_prefix(prefix));
        let call = call.map(|call| HookTarget::Syscall(call.to_owned()));
        let of_32_bit = CALLS_32.iter().find_map(|prefix| function.strip_prefix(prefix));
        let call = call.or_else(|| of_32_bit.map(|call| HookTarget::Syscall32(call.to_owned())));
        (event, call.unwrap_or(HookTarget::Function(function)))
    } else if let Some(event) = known("process_tracepoint") {
        let (subsystem, name) = (name(event, "subsys")?, name(event, "event")?);
        (event, HookTarget::Tracepoint { subsystem, event: name, raw: false })
    } else if let Some(event) = known("process_uprobe") {
        let path = name(event, "path")?;
        (event, UserPlace::function(&name(event, "symbol")?).of(&path))
    } else if let Some(event) = known("process_usdt") {
        let (path, provider, name) = (name(event, "path")?, name(event, "provider")?, name(event, "name")?);
        (event, UserPlace::Probe { provider, name }.of(&path))
    } else {
        let event = members.keys().any(|name| name.starts_with("process_") || name == "rate_limit_info");
        return if event { Ok(Line::Other) } else { Err("JSON that is no event line".to_owned()) };
    };
    let list = |name: &str| event.get(name).and_then(Json::as_array).into_iter().flatten();
    let args = list("args").chain(list("data"));
    let own = json.get("lictor");
    let own_text = |member: &str| own.and_then(|own| text(own, member)).map(str::to_owned);
    let monitored = own_text("mode").is_some();
    // Other writers do not tell of the verdict; their action does.
    let denied = match own {
        Some(_) => own_text("verdict").is_some() && !monitored,
        None => text(event, "action") == Some("KPROBE_ACTION_OVERRIDE"),
    };
    Ok(Line::Hook(Box::new(Recorded {
        place,
        args: args.map(value).collect(),
        returned: event.get("return").map(value),
        process: process(event),
        policy: text(event, "policy_name").map(str::to_owned),
        rule: own_text("rule"),
        denied,
    })))
}

/// A file that was mapped as code. Whose report it is stands beside it: the event's own shape has no place for that.
fn loaded(event: &Json, own: Option<&Json>) -> Recorded {
    let own_text = |member: &str| own.and_then(|own| text(own, member)).map(str::to_owned);
    Recorded {
        place: HookTarget::Mapping,
        args: mapped(text(event, "path").filter(|path| !path.is_empty())),
        returned: None,
        process: process(event),
        policy: own_text("policy_name"),
        rule: own_text("rule"),
        denied: own_text("verdict").is_some(),
    }
}

/// The values that `spec.loader` reads of a file that was mapped as code.
pub(super) fn mapped(path: Option<&str>) -> Vec<RecordedValue> {
    let file = RecordedValue::File(path.map(str::to_owned), Some(FileType::Regular));
    vec![file, RecordedValue::Number(i128::from(PROT_EXEC))]
}

fn text<'a>(json: &'a Json, member: &str) -> Option<&'a str> {
    json.get(member)?.as_str()
}

/// A number, or a number in a text: 64-bit integers are written so.
fn number(json: &Json) -> Option<i128> {
    match json {
        Json::Number(number) => number.as_i128(),
        Json::String(text) => text.parse().ok(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn value(json: &Json) -> RecordedValue {
    let Json::Object(members) = json else { return RecordedValue::Other };
    for (name, inner) in members {
        let read = match name.as_str() {
            "int_arg" | "uint_arg" | "long_arg" | "size_arg" => number(inner).map(RecordedValue::Number),
            "capability_arg" => inner.get("value").and_then(number).map(RecordedValue::Number),
            "bpf_cmd_arg" => bpf_command(inner).map(RecordedValue::Number),
            "kernel_cap_t_arg" | "cap_inheritable_arg" | "cap_permitted_arg" | "cap_effective_arg" => {
                let digits = inner.as_str().map(|text| u64::from_str_radix(text, 16));
                digits.and_then(Result::ok).map(|set| RecordedValue::Number(set.into()))
            }
            "syscall_id" => Some(RecordedValue::Number(syscall(inner))),
            "string_arg" => inner.as_str().map(|text| RecordedValue::Text(text.as_bytes().to_vec())),
            // An interface and a module are compared by their names.
            "net_dev_arg" | "module_arg" => {
                let name = text(inner, "name").unwrap_or_default();
                Some(RecordedValue::Text(name.as_bytes().to_vec()))
            }
            "bytes_arg" => bytes(inner),
            "truncated_bytes_arg" => inner.get("bytes_arg").and_then(bytes),
            "file_arg" | "path_arg" | "linux_binprm_arg" => {
                let cut =
                    text(inner, "flags").is_some_and(|flags| flags.contains("unresolvedPathComponents"));
                let path = text(inner, "path").filter(|path| !path.is_empty());
                Some(if cut {
                    RecordedValue::Unresolved
                } else {
                    RecordedValue::File(path.map(str::to_owned), text(inner, "permission").and_then(of_mode))
                })
            }
            "sockaddrun_arg" => {
                let path = text(inner, "path").unwrap_or_default();
                let family = endpoints::of_line(ArgKind::SockaddrUn, inner);
                Some(RecordedValue::UnixAddress(family, path.as_bytes().to_vec()))
            }
            "error_arg" => Some(RecordedValue::Unresolved),
            _ => endpoints::kind_of_member(name)
                .map(|kind| RecordedValue::Endpoints(kind, endpoints::of_line(kind, inner))),
        };
        if let Some(read) = read {
            return read;
        }
    }
    RecordedValue::Other
}

/// A command of `bpf()`, by its name or, when it has none, its number.
fn bpf_command(json: &Json) -> Option<i128> {
    let place = json.as_str().and_then(|name| BPF_COMMANDS.iter().position(|known| *known == name));
    place.and_then(|place| i128::try_from(place).ok()).or_else(|| number(json))
}

/// The number of a system call as the engine compares it. A number that is 0 is left out of lines.
fn syscall(json: &Json) -> i128 {
    let number = json.get("id").and_then(number).unwrap_or(0);
    if text(json, "abi") == Some(ABI_32) { number | i128::from(LICTOR_SYSCALL_32) } else { number }
}

/// The kind of file by its permissions, `-rw-r--r--`.
fn of_mode(permission: &str) -> Option<FileType> {
    Some(match permission.chars().next()? {
        '-' => FileType::Regular,
        'd' => FileType::Directory,
        'l' => FileType::Link,
        'p' => FileType::Fifo,
        's' => FileType::Socket,
        'c' => FileType::CharacterDevice,
        'b' => FileType::BlockDevice,
        _ => return None,
    })
}

fn bytes(json: &Json) -> Option<RecordedValue> {
    base64::engine::general_purpose::STANDARD.decode(json.as_str()?).ok().map(RecordedValue::Text)
}

/// The process of an event and what it may do.
fn process(event: &Json) -> RecordedProcess {
    let Some(process) = event.get("process") else { return RecordedProcess::default() };
    let owned = |member: &str| text(process, member).unwrap_or_default().to_owned();
    let id = |name| process.get(name).and_then(number).and_then(|id| u32::try_from(id).ok());
    RecordedProcess {
        exec_id: owned("exec_id"),
        parent_exec_id: owned("parent_exec_id"),
        pid: id("pid").unwrap_or(0),
        tid: id("tid"),
        binary: text(process, "binary").filter(|path| !path.is_empty()).map(str::to_owned),
        parent_binary: event.get("parent").and_then(|parent| text(parent, "binary")).map(str::to_owned),
        capabilities: process.get("cap").map(capabilities),
        namespaces: process.get("ns").map(namespaces),
        workload: process.get("pod").map_or(Workload::Host, pod),
    }
}

fn pod(json: &Json) -> Workload {
    let labels = json.get("pod_labels").and_then(Json::as_object).into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let namespace = text(json, "namespace").unwrap_or_default().to_owned();
    let container = json.get("container").and_then(|container| {
        let image = container.get("image").and_then(|image| text(image, "name")).unwrap_or_default();
        Some(ContainerLabels { name: text(container, "name")?.to_owned(), repo: image_repository(image) })
    });
    Workload::of_pod(PodLabels { namespace, labels: labels.collect() }, container)
}

fn capabilities(json: &Json) -> BTreeMap<CapabilitySet, u64> {
    let sets = [
        ("effective", CapabilitySet::Effective),
        ("permitted", CapabilitySet::Permitted),
        ("inheritable", CapabilitySet::Inheritable),
    ];
    let bit = |name: &str| {
        // Capability 1 is written without its prefix.
        let place =
            CAPABILITIES.iter().position(|known| *known == name || known.strip_prefix("CAP_") == Some(name));
        place.map_or(0, |place| 1 << place)
    };
    let mask = |member: &str| {
        let names = json.get(member).and_then(Json::as_array).into_iter().flatten();
        names.filter_map(Json::as_str).fold(0, |mask, name| mask | bit(name))
    };
    sets.into_iter().map(|(member, set)| (set, mask(member))).collect()
}

/// Names of namespaces in event lines.
pub(super) const NAMESPACES: [(&str, Namespace); 10] = [
    ("uts", Namespace::Uts),
    ("ipc", Namespace::Ipc),
    ("mnt", Namespace::Mnt),
    ("pid", Namespace::Pid),
    ("pid_for_children", Namespace::PidForChildren),
    ("net", Namespace::Net),
    ("time", Namespace::Time),
    ("time_for_children", Namespace::TimeForChildren),
    ("cgroup", Namespace::Cgroup),
    ("user", Namespace::User),
];

fn namespaces(json: &Json) -> BTreeMap<Namespace, (u32, bool)> {
    let each = NAMESPACES.iter().filter_map(|(member, namespace)| {
        let found = json.get(*member)?;
        let inode = found.get("inum").and_then(number).and_then(|inode| u32::try_from(inode).ok())?;
        Some((*namespace, (inode, found.get("is_host").and_then(Json::as_bool) == Some(true))))
    });
    each.collect()
}

impl RecordedValue {
    /// The value as a hook would read it.
    pub(super) fn read(&self) -> Value {
        let number_class = TypeClass::Integer { width: 8, signed: true };
        let (mut file_type, mut endpoints) = (None, Endpoints::default());
        let (class, number, text) = match self {
            Self::Number(number) => (number_class, low_bits(*number), Reading::Absent),
            Self::Text(bytes) => (TypeClass::CharPointer, 0, Reading::Text(bytes.clone())),
            Self::File(path, kind) => {
                file_type = *kind;
                let path = path.as_ref().map(|path| Reading::Text(path.as_bytes().to_vec()));
                (TypeClass::StructPointer("file".into()), 0, path.unwrap_or(Reading::Absent))
            }
            Self::Endpoints(kind, found) => {
                endpoints = *found;
                let structure = endpoints::structure(*kind).unwrap_or_default();
                (TypeClass::StructPointer(structure.to_owned()), 0, Reading::Absent)
            }
            Self::UnixAddress(found, path) => {
                endpoints = *found;
                (TypeClass::StructPointer("sockaddr_un".to_owned()), 0, Reading::Text(path.clone()))
            }
            Self::Unresolved | Self::Other => (TypeClass::CharPointer, 0, Reading::Unresolved),
        };
        Value { class, number, text, file_type, endpoints }
    }

    /// Whether a value of this form can be what an argument of the type reads.
    pub(super) fn fits(&self, kind: ArgKind) -> bool {
        match self {
            Self::Number(_) => kind.integer().is_some() || kind == ArgKind::Auto,
            Self::Text(_) => matches!(
                kind,
                ArgKind::String
                    | ArgKind::CharBuf
                    | ArgKind::CharIovec
                    | ArgKind::Filename
                    | ArgKind::Module
                    | ArgKind::NetDevice
                    | ArgKind::DataLoc
                    | ArgKind::ConstBuf
                    | ArgKind::Auto
            ),
            Self::File(..) => kind.is_file() || kind == ArgKind::Auto,
            Self::Endpoints(ArgKind::Sock, _) => {
                matches!(kind, ArgKind::Sock | ArgKind::Socket | ArgKind::Auto)
            }
            Self::Endpoints(found, _) => kind == *found || kind == ArgKind::Auto,
            Self::UnixAddress(..) => matches!(kind, ArgKind::SockaddrUn | ArgKind::Auto),
            Self::Unresolved => true,
            Self::Other => kind.is_only_shown(),
        }
    }
}

impl Recorded {
    /// The operation, with its values under the numbers that `layout` gives them, the arguments of the hook that
    /// reported it. `None` = these are not the arguments that the line has.
    pub(super) fn event(&self, layout: &[Arg], relatives: &Relatives) -> Option<Event> {
        let shown: Vec<&Arg> = layout.iter().filter(|arg| arg.kind != ArgKind::Nop).collect();
        let fits = shown.len() == self.args.len()
            && shown
                .iter()
                .zip(&self.args)
                .all(|(arg, value)| value.fits(arg.kind) || *value == RecordedValue::Other);
        if !fits {
            return None;
        }
        let known = shown.iter().zip(&self.args).filter(|(_, value)| **value != RecordedValue::Other);
        Some(Event {
            target: self.place.clone(),
            moment: Moment::Begin,
            denies: denies(&self.place),
            args: known.map(|(arg, value)| (arg.origin(), value.read())).collect(),
            returned: self.returned.as_ref().map(RecordedValue::read),
            process: self.process.judged(relatives),
        })
    }
}

/// Whether the kernel asks at a place.
pub(super) fn denies(place: &HookTarget) -> bool {
    match place {
        HookTarget::Lsm(_) | HookTarget::Mapping => true,
        HookTarget::Function(name) => name.starts_with("security_"),
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Syscall(_)
        | HookTarget::Syscall32(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::User { .. } => false,
    }
}

impl RecordedProcess {
    fn judged(&self, relatives: &Relatives) -> Process {
        let reading = |path: &Option<String>| {
            path.as_ref().map_or(Reading::Unresolved, |path| Reading::Text(path.clone().into_bytes()))
        };
        let namespaces = self.namespaces.iter().flatten().map(|(name, (inode, _))| (*name, *inode));
        Process {
            binary: reading(&self.binary),
            parent_binary: reading(&self.parent_binary),
            id: ProcessId { global: self.pid, own: self.pid },
            ancestors: relatives.ancestors.clone(),
            lineage: relatives.lineage(self),
            now: Privileges {
                capabilities: self.capabilities.clone().unwrap_or_default(),
                namespaces: namespaces.collect(),
            },
            beginning: None,
            workload: self.workload.clone(),
            notifications: Notifications::new(),
        }
    }

    /// Whether the process sees itself under the id that the node sees.
    pub(super) fn in_first_pid_namespace(&self) -> bool {
        let namespaces = self.namespaces.as_ref();
        namespaces.and_then(|found| found.get(&Namespace::Pid)).is_some_and(|(_, is_host)| *is_host)
    }

    /// What a filter on the process would need and the line does not tell.
    pub(super) fn lacks(&self, namespaces: bool, capabilities: bool) -> Option<Lack> {
        if namespaces && self.namespaces.is_none() {
            return Some(Lack::Namespaces);
        }
        (capabilities && self.capabilities.is_none()).then_some(Lack::Capabilities)
    }
}
