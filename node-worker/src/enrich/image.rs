//! A process as events show it, kept in pieces that are already JSON.
//!
//! A process object has some 3 KiB, nearly all of it capability names and namespaces that a whole machine shares.
//! So its text is kept in three layers: [`Security`] (capabilities and namespaces; one copy for all processes that
//! have the same ones), [`Program`] (what an execve began; shared by the processes that are forked from it) and
//! [`Image`] (one process running one program). Writing one is eight copies of bytes.

use super::names;
use super::pods::PodText;
use crate::sinks::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Capabilities and namespaces of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SecurityIds {
    /// Bit sets.
    pub permitted: u64,
    /// Bit sets.
    pub effective: u64,
    /// Bit sets.
    pub inheritable: u64,
    /// Inode numbers in the order of `LICTOR_FROM_NS_*`; 0 = the kernel has no such namespace, or it is unknown.
    pub namespaces: [u32; 10],
}

/// [`SecurityIds`] as JSON: `"cap":{...},"ns":{...}`.
pub type Security = Arc<[u8]>;

/// Distinct sets of capabilities and namespaces kept: a node runs at most some hundred containers, each with a few
/// sets. When all are in use by live processes, more are made but not shared.
const SECURITY_KEPT: usize = 4096;

/// Makes and shares [`Security`] texts.
#[derive(Debug)]
pub struct SecurityTexts {
    host: [u32; 10],
    kept: HashMap<SecurityIds, Security>,
}

impl SecurityTexts {
    /// `host`: the namespaces of process 1 of the node.
    pub fn new(host: [u32; 10]) -> Self {
        Self { host, kept: HashMap::new() }
    }

    /// The text of `ids`.
    pub fn get(&mut self, ids: &SecurityIds) -> Security {
        if let Some(text) = self.kept.get(ids) {
            return Arc::clone(text);
        }
        if self.kept.len() >= SECURITY_KEPT {
            self.kept.retain(|_, text| Arc::strong_count(text) > 1);
        }
        let text: Security = self.write(ids).into();
        if self.kept.len() < SECURITY_KEPT {
            self.kept.insert(*ids, Arc::clone(&text));
        }
        text
    }

    fn write(&self, ids: &SecurityIds) -> Vec<u8> {
        let mut out = b"\"cap\":{".to_vec();
        let sets =
            [("permitted", ids.permitted), ("effective", ids.effective), ("inheritable", ids.inheritable)];
        for (name, set) in sets {
            push_capabilities(&mut out, name, set);
        }
        out.extend_from_slice(b"},\"ns\":{");
        for (position, name) in names::NAMESPACES.iter().enumerate() {
            let inode = ids.namespaces[position];
            // Kernels without time namespaces exist; the others are always there.
            if inode == 0 && name.starts_with("time") {
                continue;
            }
            if !out.ends_with(b"{") {
                out.push(b',');
            }
            text::push_string(&mut out, name.as_bytes());
            out.extend_from_slice(b":{");
            if inode != 0 {
                out.extend_from_slice(b"\"inum\":");
                text::push_unsigned(&mut out, u64::from(inode));
                if inode == self.host[position] {
                    out.extend_from_slice(b",\"is_host\":true");
                }
            }
            out.push(b'}');
        }
        out.push(b'}');
        out
    }
}

/// Appends the names of a capability set as a member, or nothing for an empty one.
pub(crate) fn push_capabilities(out: &mut Vec<u8>, name: &str, set: u64) {
    // Kernels fill the unused high bits of a full set in some interfaces; only known capabilities are shown.
    let known = set & ((1 << names::CAPABILITIES.len()) - 1);
    if known == 0 {
        return;
    }
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    text::push_string(out, name.as_bytes());
    out.extend_from_slice(b":[");
    for (bit, capability) in names::CAPABILITIES.iter().enumerate() {
        if known & (1 << bit) != 0 {
            if !out.ends_with(b"[") {
                out.push(b',');
            }
            text::push_string(out, capability.as_bytes());
        }
    }
    out.push(b']');
}

/// User and group ids of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Real, effective, saved and file system user.
    pub users: [u32; 4],
    /// Real, effective, saved and file system group.
    pub groups: [u32; 4],
    /// The `SECBIT_*` bits.
    pub secure_bits: u32,
}

/// What is special about an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BinaryProperties {
    /// The execve changed the effective user to this one.
    pub setuid: Option<u32>,
    /// The execve changed the effective group to this one.
    pub setgid: Option<u32>,
    /// The file has no name any more (or never had one): its inode number.
    pub unlinked_inode: Option<u64>,
}

/// The program that a process runs: all that its forks have in common with it.
#[derive(Debug)]
pub struct Program {
    /// `"uid":..,"cwd":..,"binary":..,"arguments":..`
    identity: Box<[u8]>,
    /// `"auid":..`
    login: Box<[u8]>,
    security: Security,
    /// `"process_credentials":{..}` and `"binary_properties":{..}`.
    credentials: Box<[u8]>,
}

/// What a [`Program`] is made from.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgramFacts<'a> {
    /// Real user; `None` = unknown.
    pub uid: Option<u32>,
    /// Working directory; empty = unknown.
    pub cwd: &'a [u8],
    /// Path of the program; empty = unknown.
    pub binary: &'a [u8],
    /// Arguments for people, see [`shown_arguments`].
    pub arguments: &'a [u8],
    /// Login user; `u32::MAX` = none.
    pub login_uid: u32,
    /// Users and groups; `None` = unknown.
    pub credentials: Option<Credentials>,
    /// What is special about the executable.
    pub properties: BinaryProperties,
}

impl Program {
    /// The program with these facts.
    pub fn new(facts: &ProgramFacts<'_>, security: Security) -> Self {
        let mut identity =
            Vec::with_capacity(64 + facts.binary.len() + facts.arguments.len() + facts.cwd.len());
        if let Some(uid) = facts.uid {
            identity.extend_from_slice(b",\"uid\":");
            text::push_unsigned(&mut identity, u64::from(uid));
        }
        for (name, value) in [("cwd", facts.cwd), ("binary", facts.binary), ("arguments", facts.arguments)] {
            if !value.is_empty() {
                identity.push(b',');
                text::push_string(&mut identity, name.as_bytes());
                identity.push(b':');
                text::push_string(&mut identity, value);
            }
        }
        let mut login = b",\"auid\":".to_vec();
        text::push_unsigned(&mut login, u64::from(facts.login_uid));
        let mut credentials = Vec::new();
        if let Some(ids) = &facts.credentials {
            push_credentials(&mut credentials, ids);
        }
        push_properties(&mut credentials, &facts.properties, facts.binary);
        Self { identity: identity.into(), login: login.into(), security, credentials: credentials.into() }
    }
}

fn push_credentials(out: &mut Vec<u8>, ids: &Credentials) {
    out.extend_from_slice(b",\"process_credentials\":{");
    push_ids(out, ids);
    out.push(b'}');
}

/// Appends users, groups and secure bits as members, the first ones of an object.
pub(crate) fn push_ids(out: &mut Vec<u8>, ids: &Credentials) {
    let kinds = [("", 0), ("e", 1), ("s", 2), ("fs", 3)];
    for (prefix, index) in kinds {
        for (suffix, values) in [("uid", &ids.users), ("gid", &ids.groups)] {
            if !out.ends_with(b"{") {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
            out.extend_from_slice(b"\":");
            text::push_unsigned(out, u64::from(values[index]));
        }
    }
    let bits = names::SECURE_BITS.iter().enumerate().filter(|(bit, _)| ids.secure_bits & (1 << bit) != 0);
    for (position, (_, name)) in bits.enumerate() {
        out.extend_from_slice(if position == 0 { b",\"securebits\":[" } else { b"," });
        text::push_string(out, name.as_bytes());
    }
    if ids.secure_bits & 0xff != 0 {
        out.push(b']');
    }
}

fn push_properties(out: &mut Vec<u8>, properties: &BinaryProperties, path: &[u8]) {
    if *properties == BinaryProperties::default() {
        return;
    }
    out.extend_from_slice(b",\"binary_properties\":{");
    for (name, id) in [("setuid", properties.setuid), ("setgid", properties.setgid)] {
        if let Some(id) = id {
            text::push_string(out, name.as_bytes());
            out.push(b':');
            text::push_unsigned(out, u64::from(id));
            out.push(b',');
        }
    }
    let changed: &[u8] = match (properties.setuid.is_some(), properties.setgid.is_some()) {
        (true, true) => {
            b"\"privileges_changed\":[\"PRIVILEGES_RAISED_EXEC_FILE_SETUID\",\"PRIVILEGES_RAISED_EXEC_FILE_SETGID\"],"
        }
        (true, false) => b"\"privileges_changed\":[\"PRIVILEGES_RAISED_EXEC_FILE_SETUID\"],",
        (false, true) => b"\"privileges_changed\":[\"PRIVILEGES_RAISED_EXEC_FILE_SETGID\"],",
        (false, false) => b"",
    };
    out.extend_from_slice(changed);
    if let Some(inode) = properties.unlinked_inode {
        out.extend_from_slice(b"\"file\":{\"inode\":{\"number\":");
        text::push_quoted_unsigned(out, inode);
        out.extend_from_slice(b",\"links\":0},\"path\":");
        text::push_string(out, path);
        out.push(b'}');
    } else {
        // The comma after the last member above.
        out.pop();
    }
    out.push(b'}');
}

/// One process running one program: what an exec id names.
#[derive(Debug)]
pub struct Image {
    /// Names the image among all of the cluster, for as long as a node is up.
    pub exec_id: Box<str>,
    /// Process id.
    pub pid: u32,
    /// The program.
    pub program: Arc<Program>,
    /// Within a container: a descendant of its first process.
    pub in_init_tree: bool,
    /// Process id in its own PID namespace; 0 = unknown.
    pub namespace_pid: u32,
    /// The cgroup that it was last seen in; 0 = unknown.
    cgroup: AtomicU64,
    /// `{"exec_id":..,"pid":..`
    begin: Box<[u8]>,
    /// `"flags":..,"start_time":..`
    middle: Box<[u8]>,
    /// `"parent_exec_id":..`
    parent: Box<[u8]>,
}

/// What an [`Image`] is made from, beside its program.
#[derive(Debug, Clone, Copy)]
pub struct ImageFacts<'a> {
    /// See [`exec_id`].
    pub exec_id: &'a str,
    /// The parent's.
    pub parent_exec_id: &'a str,
    /// Process id.
    pub pid: u32,
    /// Words about how the image came to be known.
    pub flags: &'a str,
    /// When the program began, nanoseconds since 1970.
    pub start_epoch_ns: u64,
    /// See [`Image::in_init_tree`].
    pub in_init_tree: bool,
    /// See [`Image::namespace_pid`].
    pub namespace_pid: u32,
    /// The cgroup that it is in; 0 = unknown.
    pub cgroup: u64,
}

impl Image {
    /// The image with these facts.
    pub fn new(facts: &ImageFacts<'_>, program: Arc<Program>) -> Self {
        let mut begin = b"{\"exec_id\":".to_vec();
        text::push_string(&mut begin, facts.exec_id.as_bytes());
        begin.extend_from_slice(b",\"pid\":");
        text::push_unsigned(&mut begin, u64::from(facts.pid));
        let mut middle = b",\"flags\":".to_vec();
        text::push_string(&mut middle, facts.flags.as_bytes());
        middle.extend_from_slice(b",\"start_time\":");
        text::push_time(&mut middle, facts.start_epoch_ns);
        let mut parent = b",\"parent_exec_id\":".to_vec();
        text::push_string(&mut parent, facts.parent_exec_id.as_bytes());
        parent.push(b',');
        Self {
            exec_id: facts.exec_id.into(),
            pid: facts.pid,
            program,
            in_init_tree: facts.in_init_tree,
            namespace_pid: facts.namespace_pid,
            cgroup: AtomicU64::new(facts.cgroup),
            begin: begin.into(),
            middle: middle.into(),
            parent: parent.into(),
        }
    }

    /// The cgroup that it was last seen in; 0 = unknown.
    pub fn cgroup(&self) -> u64 {
        self.cgroup.load(Ordering::Relaxed)
    }

    /// It was seen in this cgroup.
    pub fn seen_in(&self, cgroup: u64) {
        self.cgroup.store(cgroup, Ordering::Relaxed);
    }

    /// Appends the process object, as seen from the thread `tid`; `pod` is the pod of its cgroup.
    pub fn push(&self, out: &mut Vec<u8>, tid: u32, pod: Option<&PodText>) {
        out.extend_from_slice(&self.begin);
        out.extend_from_slice(&self.program.identity);
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(&self.program.login);
        if let Some(pod) = pod {
            pod.push(out, self.namespace_pid);
        }
        out.extend_from_slice(&self.parent);
        out.extend_from_slice(&self.program.security);
        out.extend_from_slice(b",\"tid\":");
        text::push_unsigned(out, u64::from(tid));
        out.extend_from_slice(&self.program.credentials);
        out.extend_from_slice(if self.in_init_tree {
            b",\"in_init_tree\":true}"
        } else {
            b",\"in_init_tree\":false}"
        });
    }
}

/// The name of an image: node, time in nanoseconds of the boot clock, process id.
pub fn exec_id(node: &str, boot_ns: u64, pid: u32) -> String {
    STANDARD.encode(format!("{node}:{boot_ns}:{pid}"))
}

/// What stands behind argv[0] in an argv whose elements end with a NUL.
pub fn behind_first(argv: &[u8]) -> &[u8] {
    let first = argv.iter().position(|&byte| byte == 0);
    first.and_then(|end| argv.get(end + 1..)).unwrap_or_default()
}

/// The arguments behind argv[0], each ended by a NUL (the last one perhaps not): joined by spaces, in quotes where an
/// argument is empty or holds white space.
pub fn shown_arguments(arguments: &[u8]) -> Vec<u8> {
    if arguments.is_empty() {
        return Vec::new();
    }
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    let mut shown = Vec::with_capacity(arguments.len());
    for (position, argument) in arguments.split(|&byte| byte == 0).enumerate() {
        if position > 0 {
            shown.push(b' ');
        }
        let quoted = argument.is_empty() || argument.iter().any(u8::is_ascii_whitespace);
        if quoted {
            shown.push(b'"');
        }
        shown.extend_from_slice(argument);
        if quoted {
            shown.push(b'"');
        }
    }
    shown
}

/// The path of the program that an execve of `filename` began.
///
/// A relative name is joined to the working directory. Names that only mean something within the calling process
/// (`/proc/self/exe`, a file descriptor) are replaced by the executable's own path, when that is known.
pub fn shown_binary(filename: &[u8], cwd: &[u8], executable: &[u8]) -> Vec<u8> {
    let own_name = filename.is_empty()
        || [&b"/proc/self/exe"[..], b"/proc/thread-self/exe", b"/proc/self/fd/", b"/dev/fd/"]
            .iter()
            .any(|prefix| filename.starts_with(prefix));
    if own_name && !executable.is_empty() {
        return executable.to_vec();
    }
    if filename.starts_with(b"/") || filename.is_empty() || cwd.is_empty() {
        return filename.to_vec();
    }
    joined(cwd, filename)
}

/// `directory` and `name` with `.` and `..` resolved by their text.
fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in directory.split(|&byte| byte == b'/').chain(name.split(|&byte| byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut path = Vec::with_capacity(directory.len() + name.len() + 1);
    for part in parts {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(argv: &[u8]) -> String {
        String::from_utf8(shown_arguments(behind_first(argv))).unwrap()
    }

    #[test]
    fn arguments_with_spaces_are_quoted() {
        assert_eq!(shown(b"grep\0-q\0Listening for events\0/tmp/a\0"), "-q \"Listening for events\" /tmp/a");
        assert_eq!(shown(b"sh\0-c\0\0x"), "-c \"\" x");
        assert_eq!(shown(b"sh\0"), "");
        assert_eq!(shown(b""), "");
        assert_eq!(shown(b"a\0b\tc\0"), "\"b\tc\"");
        assert_eq!(shown(b"a\0\0"), "\"\"");
    }

    #[test]
    fn the_binary_is_a_path_that_means_something() {
        let binary = |name: &str, cwd: &str, exe: &str| {
            String::from_utf8(shown_binary(name.as_bytes(), cwd.as_bytes(), exe.as_bytes())).unwrap()
        };
        assert_eq!(binary("/bin/sh", "/root", "/usr/bin/dash"), "/bin/sh");
        assert_eq!(binary("./a/../b", "/home/x", "/home/x/b"), "/home/x/b");
        assert_eq!(binary("tool", "/", ""), "/tool");
        assert_eq!(binary("/proc/self/exe", "/", "/usr/bin/busybox"), "/usr/bin/busybox");
        assert_eq!(binary("/dev/fd/5", "/", "/memfd:x (deleted)"), "/memfd:x (deleted)");
        assert_eq!(binary("/proc/self/exe", "/", ""), "/proc/self/exe");
        assert_eq!(binary("tool", "", "/usr/bin/tool"), "tool");
    }

    #[test]
    fn exec_ids_name_node_time_and_process() {
        assert_eq!(exec_id("(none)", 1_080_000_000, 1), "KG5vbmUpOjEwODAwMDAwMDA6MQ==");
    }

    #[test]
    fn equal_security_is_shared() {
        let mut texts = SecurityTexts::new([1; 10]);
        let ids = SecurityIds { permitted: 1 << 21, namespaces: [1; 10], ..Default::default() };
        let first = texts.get(&ids);
        assert!(Arc::ptr_eq(&first, &texts.get(&ids)));
        let text = String::from_utf8(first.to_vec()).unwrap();
        assert!(
            text.starts_with(
                r#""cap":{"permitted":["CAP_SYS_ADMIN"]},"ns":{"uts":{"inum":1,"is_host":true},"#
            )
        );
    }

    #[test]
    fn unknown_security_has_the_members_of_the_kernel_process() {
        let text = SecurityTexts::new([1; 10]).get(&SecurityIds::default());
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            r#""cap":{},"ns":{"uts":{},"ipc":{},"mnt":{},"pid":{},"pid_for_children":{},"net":{},"cgroup":{},"user":{}}"#
        );
    }

    #[test]
    fn raised_privileges_and_unlinked_files_are_shown() {
        let facts = ProgramFacts {
            binary: b"/memfd:x",
            credentials: Some(Credentials { secure_bits: 0b10_0001, ..Default::default() }),
            properties: BinaryProperties { setuid: Some(0), setgid: None, unlinked_inode: Some(77) },
            ..Default::default()
        };
        let mut texts = SecurityTexts::new([0; 10]);
        let program = Arc::new(Program::new(&facts, texts.get(&SecurityIds::default())));
        let facts = ImageFacts {
            exec_id: "i",
            parent_exec_id: "p",
            pid: 5,
            flags: "execve",
            start_epoch_ns: 0,
            in_init_tree: true,
            namespace_pid: 1,
            cgroup: 0,
        };
        let mut out = Vec::new();
        Image::new(&facts, program).push(&mut out, 6, None);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["tid"], 6);
        assert_eq!(value["in_init_tree"], true);
        assert_eq!(
            value["process_credentials"]["securebits"],
            serde_json::json!(["SecBitNoRoot", "SecBitKeepCapsLocked"])
        );
        assert_eq!(
            value["binary_properties"],
            serde_json::json!({
                "setuid": 0,
                "privileges_changed": ["PRIVILEGES_RAISED_EXEC_FILE_SETUID"],
                "file": {"inode": {"number": "77", "links": 0}, "path": "/memfd:x"},
            })
        );
    }
}
