//! BTF made for tests.

use super::Btf;
use std::sync::Arc;

/// Builds BTF piece by piece.
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
    /// Bytes of the strings below.
    first_string: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0, first_string: 0 }
    }

    /// For a module, whose types build upon those of a kernel.
    pub(crate) fn over(kernel: &Self) -> Self {
        let first_string = kernel.strings.len() as u32;
        Self { types: Vec::new(), strings: Vec::new(), count: kernel.count, first_string }
    }

    pub(crate) fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.first_string + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        offset
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: u32,
        flag: bool,
        members: u32,
        reference: u32,
        tail: &[u32],
    ) -> u32 {
        let name = self.string(name);
        let info = (u32::from(flag) << 31) | (kind << 24) | members;
        for word in [name, info, reference].iter().chain(tail) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, bytes: u32, signed: bool) -> u32 {
        self.add(name, 1, false, 0, bytes, &[(u32::from(signed) << 24) | (bytes * 8)])
    }

    pub(crate) fn plain(&mut self, name: &str, kind: u32, reference: u32) -> u32 {
        self.add(name, kind, false, 0, reference, &[])
    }

    #[cfg(test)]
    pub(crate) fn structure(&mut self, name: &str) -> u32 {
        self.add(name, 4, false, 1, 8, &[0, 0, 0])
    }

    /// A struct or a union with members at these bits, or, with `flag`, at these bits and of so many.
    pub(crate) fn members(&mut self, head: (&str, u32, bool, u32), members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> =
            members.iter().flat_map(|(name, id, bits)| [self.string(name), *id, *bits]).collect();
        let (name, kind, flag, bytes) = head;
        self.add(name, kind, flag, members.len() as u32, bytes, &words)
    }

    pub(crate) fn function(&mut self, name: &str, returns: u32, parameters: &[(&str, u32)]) -> u32 {
        let words: Vec<u32> = parameters.iter().flat_map(|(name, id)| [self.string(name), *id]).collect();
        let count = parameters.len() as u32;
        let prototype = self.add("", 13, false, count, returns, &words);
        self.add(name, 12, false, 1, prototype, &[])
    }

    pub(crate) fn build(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0]);
        let (types, strings) = (self.types.len(), self.strings.len());
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&(word as u32).to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

/// A kernel that does not exist, and its module `bridge`.
#[derive(Debug, Clone)]
pub(crate) struct MadeUp {
    pub(crate) kernel: Arc<Btf<Vec<u8>>>,
    pub(crate) bridge: Btf<Vec<u8>>,
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;

fn bits(bytes: u32) -> u32 {
    bytes * 8
}

/// Structures of a program that does not exist, and its function `run`.
pub(crate) fn program() -> Vec<u8> {
    let mut b = Builder::new();
    let int = b.int("int", 4, true);
    let long = b.int("long int", 8, true);
    let short = b.int("unsigned short", 2, false);
    let char = b.int("char", 1, true);
    let text = b.plain("", 2, char);
    let name = b.add("", 3, false, 0, 0, &[char, int, 16]);
    let sizes = b.add("", 3, false, 0, 0, &[long, int, 2]);
    // Only the name of the request: they hold each other.
    let request = b.plain("request", 7, 0);
    let request = b.plain("", 2, request);
    let peer = [("port", short, 0), ("host", text, bits(8)), ("last", request, bits(16))];
    let peer = b.members(("peer", STRUCT, false, 24), &peer);
    let peer = b.plain("", 2, peer);
    let members =
        [("code", int, 0), ("name", name, bits(4)), ("peer", peer, bits(24)), ("sizes", sizes, bits(32))];
    let request = b.members(("request", STRUCT, false, 48), &members);
    let request = b.plain("", 2, request);
    b.function("run", peer, &[("request", request), ("flags", int)]);
    b.build()
}

/// Structures of a kernel that does not exist, and of its module `bridge`.
pub(crate) fn structures() -> Option<MadeUp> {
    let (kernel, module) = kernel_and_module();
    let kernel = Arc::new(Btf::parse(kernel).ok()?);
    let bridge = Btf::parse_module(module, &kernel).ok()?;
    Some(MadeUp { kernel, bridge })
}

/// The same, as bytes.
pub(crate) fn kernel_and_module() -> (Vec<u8>, Vec<u8>) {
    let mut b = Builder::new();
    let int = b.int("int", 4, true);
    let unsigned = b.int("unsigned int", 4, false);
    let long = b.int("long int", 8, true);
    let word = b.int("long unsigned int", 8, false);
    let short = b.int("short int", 2, true);
    let void = b.plain("", 2, 0);
    let id = b.members(("", STRUCT, false, 4), &[("val", unsigned, 0)]);
    let user = b.plain("kuid_t", 8, id);
    let group = b.plain("kgid_t", 8, id);
    let namespace = b.members(("user_namespace", STRUCT, false, 8), &[("level", int, 0)]);
    let namespace = b.plain("", 2, namespace);
    let cred = [("uid", user, 0), ("gid", group, bits(4)), ("user_ns", namespace, bits(8))];
    let cred = b.members(("cred", STRUCT, false, 16), &cred);
    let const_cred = b.plain("", 10, cred);
    let cred = b.plain("", 2, const_cred);
    let inode = [("i_mode", short, 0), ("i_size", long, bits(8))];
    let inode = b.members(("inode", STRUCT, false, 16), &inode);
    let inode = b.plain("", 2, inode);
    let dentry = b.members(("dentry", STRUCT, false, 8), &[("d_inode", inode, 0)]);
    let dentry = b.plain("", 2, dentry);
    let path = b.members(("path", STRUCT, false, 16), &[("mnt", void, 0), ("dentry", dentry, bits(8))]);
    let file = [("f_path", path, bits(16)), ("f_inode", inode, bits(32)), ("f_mode", unsigned, bits(40))];
    let file = b.members(("file", STRUCT, false, 48), &file);
    let file = b.plain("", 2, file);
    // Only the name of the task: they hold each other.
    let task = b.plain("task_struct", 7, 0);
    let task = b.plain("", 2, task);
    let inner = [("owner", task, 0), ("exe_file", file, bits(8)), ("root", path, bits(16))];
    let inner = b.members(("", STRUCT, false, 32), &inner);
    let mm = b.members(("mm_struct", STRUCT, false, 40), &[("count", long, 0), ("", inner, bits(8))]);
    let mm = b.plain("", 2, mm);
    let binprm = [("mm", mm, 0), ("file", file, bits(8)), ("argc", int, bits(16))];
    b.members(("linux_binprm", STRUCT, false, 24), &binprm);
    let registers = [("r8", word, bits(72)), ("ax", word, bits(80)), ("di", word, bits(112))];
    b.members(("pt_regs", STRUCT, false, 168), &registers);
    let flag = b.int("bool", 1, false);
    b.members(("bpf_prog_aux", STRUCT, false, 1), &[("kprobe_write_ctx", flag, 0)]);
    add_task(&mut b, [int, unsigned, long, short], [task, mm, cred, file]);
    let module = bridge(&b, [int, task, file]);
    (b.build(), module)
}

/// Structures of a module: what leads to the kernel's own, and one of a name that the kernel has, too.
fn bridge(kernel: &Builder, [int, task, file]: [u32; 3]) -> Vec<u8> {
    let mut b = Builder::over(kernel);
    let members = [("owner", task, 0), ("file", file, bits(8)), ("ageing", int, bits(16))];
    let bridge = b.members(("net_bridge", STRUCT, false, 24), &members);
    let bridge = b.plain("", 2, bridge);
    b.members(("net_bridge_port", STRUCT, false, 16), &[("br", bridge, 0), ("port_no", int, bits(8))]);
    b.members(("inode", STRUCT, false, 4), &[("i_of_bridge", int, 0)]);
    b.function("br_add_if", int, &[("br", bridge)]);
    b.function("br_seven", int, &[("", int); 7]);
    b.build()
}

/// Every form that a member can have.
fn add_task(b: &mut Builder, numbers: [u32; 4], pointers: [u32; 4]) {
    let [int, unsigned, long, short] = numbers;
    let [task, mm, cred, file] = pointers;
    let char = b.int("char", 1, true);
    let byte = b.int("unsigned char", 1, false);
    let array = |b: &mut Builder, of, count| b.add("", 3, false, 0, 0, &[of, int, count]);
    let comm = array(b, char, 16);
    let numbers = array(b, long, 4);
    let tag = array(b, byte, 4);
    let row = array(b, int, 3);
    let table = array(b, row, 2);
    let open = array(b, int, 0);
    let exit = [("exit_code", int, 0), ("exit_state", unsigned, 0)];
    let exit = b.members(("", UNION, false, 4), &exit);
    let members = [
        ("pid", int, 0),
        ("tgid", int, bits(4)),
        ("real_parent", task, bits(8)),
        ("mm", mm, bits(16)),
        ("cred", cred, bits(24)),
        ("comm", comm, bits(32)),
        ("", exit, bits(48)),
        // With the flag, three bits and one more.
        ("mode", unsigned, 3 << 24 | bits(52)),
        ("in_execve", unsigned, 1 << 24 | (bits(52) + 3)),
        ("numbers", numbers, bits(56)),
        ("tag", tag, bits(88)),
        ("nice", short, bits(92)),
        ("table", table, bits(96)),
        ("files", file, bits(120)),
        ("open", open, bits(128)),
    ];
    b.members(("task_struct", STRUCT, true, 128), &members);
}
