//! A made-up node for tests: a few functions and tracepoints, written as C.

use super::facts::{
    ModuleProblem, NoWay, NodeFacts, Parameter, Signature, Symbols, TracepointField, TypeClass, UserProblem,
    Way,
};
use super::fields::c_class;
use super::module::{ModuleFunction, ModuleSite};
use super::program::ProgramTypes;
use super::user::{FileIdentity, FoundDigest, FoundPlace, UserSite};
use crate::btf::Btf;
use crate::btf::builder::{self, MadeUp};
use crate::model::{DigestKind, FileDigest, FunctionName, FunctionPattern, MemberPath, Namespace, UserPlace};
use crate::violation::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Symbols of a kernel that does not exist.
#[derive(Debug, Clone, Default)]
pub struct FakeSymbols {
    functions: BTreeMap<String, Signature>,
    probeable: BTreeSet<String>,
    tracepoints: BTreeMap<(String, String), Vec<TracepointField>>,
    raw_tracepoints: BTreeMap<String, Signature>,
    structures: Structures,
    /// Which time the module `bridge` is loaded.
    bridge: Option<u64>,
    program: Option<ProgramTypes>,
}

/// Where the made-up node's structures come from.
#[derive(Debug, Clone, Default)]
enum Structures {
    /// It has none.
    #[default]
    None,
    /// Made up as well.
    MadeUp(MadeUp),
    /// Those of a kernel.
    Of(Arc<dyn Symbols>),
}

impl FakeSymbols {
    /// Adds a function with BTF, declared as `int name(struct file *file, int mask)`. A declaration that cannot be read
    /// as one adds nothing.
    #[must_use]
    pub fn with_function(mut self, declaration: &str) -> Self {
        self.functions.extend(declared(declaration));
        self
    }

    /// Adds what a tracepoint is called with, declared as `void sched_process_exec(struct task_struct *p, pid_t old_pid)`.
    #[must_use]
    pub fn with_raw_tracepoint(mut self, declaration: &str) -> Self {
        self.raw_tracepoints.extend(declared(declaration));
        self
    }

    /// Adds a function that BTF does not know.
    #[must_use]
    pub fn with_probeable(mut self, name: &str) -> Self {
        self.probeable.insert(name.to_owned());
        self
    }

    /// Takes the structures from a kernel that exists.
    #[must_use]
    pub fn with_structures_of(mut self, symbols: &Arc<dyn Symbols>) -> Self {
        self.structures = Structures::Of(Arc::clone(symbols));
        self
    }

    /// The module `bridge` is loaded for this time; `None` = it is not.
    #[must_use]
    pub fn with_bridge(mut self, load: Option<u64>) -> Self {
        self.bridge = load;
        self
    }

    /// Removes a function.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.functions.remove(name);
        self.probeable.remove(name);
        self
    }

    /// Adds a tracepoint with the common fields and `fields`, declared as `int ret`, each at its natural alignment.
    #[must_use]
    pub fn with_tracepoint(mut self, subsystem: &str, event: &str, fields: &[&str]) -> Self {
        let common = [
            "unsigned short common_type",
            "unsigned char common_flags",
            "unsigned char common_preempt_count",
        ];
        let mut offset = 0;
        let mut listed = Vec::new();
        for declaration in common.iter().chain(&["int common_pid"]).chain(fields) {
            let Parameter { name, type_name, class } = parameter(declaration);
            let (size, signed) = match class {
                TypeClass::Integer { width, signed } => (u16::from(width), signed),
                TypeClass::CharPointer
                | TypeClass::StructPointer(_)
                | TypeClass::Pointer
                | TypeClass::Other => (8, false),
            };
            // Records of system calls give each argument a whole register.
            let wide = subsystem == "syscalls" && offset >= 12;
            let size = if wide { 8 } else { size };
            offset = u16::next_multiple_of(offset, size);
            listed.push(TracepointField { name, type_name, offset, size, signed: signed && !wide });
            offset += size;
        }
        self.tracepoints.insert((subsystem.to_owned(), event.to_owned()), listed);
        self
    }
}

/// `int name(struct file *file, int mask)` as name and signature.
fn declared(declaration: &str) -> Option<(String, Signature)> {
    let (head, parameters) = declaration.split_once('(')?;
    let returned = parameter(head);
    let parameters = parameters.trim_end_matches([')', ';']);
    let parameters = match parameters {
        "" | "void" => Vec::new(),
        list => list.split(',').map(parameter).collect(),
    };
    let name = returned.name.clone();
    let returns = (returned.type_name != "void").then(|| Parameter { name: String::new(), ..returned });
    Some((name, Signature { parameters, returns }))
}

/// `int mask` as name and type.
fn parameter(declaration: &str) -> Parameter {
    let declaration = declaration.trim();
    let name_from = declaration
        .rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .map_or(0, |before| before + 1);
    let type_name = declaration[..name_from].trim().to_owned();
    Parameter {
        name: declaration[name_from..].to_owned(),
        class: c_class(&type_name).unwrap_or(TypeClass::Other),
        type_name,
    }
}

impl Symbols for FakeSymbols {
    fn function(&self, name: &str) -> Option<Signature> {
        self.functions.get(name).cloned()
    }

    fn probeable(&self, name: &str) -> bool {
        self.functions.contains_key(name) || self.probeable.contains(name)
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        let fits = pattern.matcher();
        self.functions.keys().filter(|name| fits(name)).cloned().collect()
    }

    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        let names = self.functions.keys().chain(&self.probeable).map(String::as_str);
        nearest(name, names, limit).into_iter().map(str::to_owned).collect()
    }

    fn tracepoint(&self, subsystem: &str, event: &str) -> Option<Vec<TracepointField>> {
        self.tracepoints.get(&(subsystem.to_owned(), event.to_owned())).cloned()
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Signature> {
        self.raw_tracepoints.get(event).cloned()
    }

    /// One program with one function, `run`, and one probe, `app:step`, at two places.
    fn user_places(&self, path: &str, place: &UserPlace) -> Result<Vec<FoundPlace>, UserProblem> {
        if path != "/bin/program" {
            return Err(UserProblem::NoFile);
        }
        let file = PROGRAM;
        let found = |offset, ref_counter, arguments: &str| FoundPlace {
            address: 0x40_0000 + offset,
            site: UserSite { path: path.to_owned(), offset, ref_counter, file },
            arguments: arguments.to_owned(),
        };
        match place {
            UserPlace::Function { name: FunctionName::Symbol { name, plus }, ref_counter, .. }
                if name == "run" =>
            {
                Ok(vec![found(0x1000 + plus, *ref_counter, "")])
            }
            UserPlace::Function { name: FunctionName::Symbol { .. }, .. } => {
                Err(UserProblem::NoPlace(vec!["run".to_owned()]))
            }
            UserPlace::Function {
                name: FunctionName::Offset(at) | FunctionName::Address(at),
                ref_counter,
                ..
            } => Ok(vec![found(*at, *ref_counter, "")]),
            UserPlace::Probe { provider, name } if provider == "app" && name == "step" => Ok(vec![
                found(0x2000, 0x40, "-4@%edi 8@-16(%rbp) 4@$7"),
                found(0x2100, 0x40, "-4@8(%rsp,%rax,4) 8@%r12 4@$7"),
            ]),
            UserPlace::Probe { .. } => Err(UserProblem::NoPlace(vec!["app:step".to_owned()])),
        }
    }

    /// Of `/bin/program` each digest is as long as it can be, and of the number 7 in each byte; it has no build id.
    fn file_digest(&self, path: &str, kind: DigestKind) -> Result<FoundDigest, UserProblem> {
        if path != "/bin/program" {
            return Err(UserProblem::NoFile);
        }
        let digest = FileDigest { kind, bytes: vec![7; *kind.bytes().end()] };
        Ok(FoundDigest { file: PROGRAM, digest: (kind != DigestKind::BuildId).then_some(digest) })
    }

    fn program_types(&self, path: &str) -> Result<ProgramTypes, UserProblem> {
        match path {
            "/lib/program.btf" => self.program.clone().ok_or(UserProblem::NoFile),
            "/lib/text" => Err(UserProblem::Unreadable("is no BTF: no BTF header".to_owned())),
            _ => Err(UserProblem::NoFile),
        }
    }

    fn nearest_tracepoints(&self, subsystem: &str, event: &str, limit: usize) -> Vec<String> {
        let names: Vec<String> = self.tracepoints.keys().map(|(one, two)| format!("{one}/{two}")).collect();
        let wanted = format!("{subsystem}/{event}");
        nearest(&wanted, names.iter().map(String::as_str), limit).into_iter().map(str::to_owned).collect()
    }

    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        match &self.structures {
            Structures::MadeUp(made_up) => made_up.kernel.member(structure, path),
            Structures::Of(symbols) => symbols.member(structure, path),
            Structures::None => Err(NoWay::NoStructure { name: structure.to_owned(), nearest: Vec::new() }),
        }
    }

    fn module_site(&self, name: &str) -> Option<ModuleSite> {
        Some(self.module_function(name)?.site)
    }

    fn module_function(&self, name: &str) -> Option<ModuleFunction> {
        let Structures::MadeUp(made_up) = &self.structures else { return None };
        let load = self.bridge?;
        let signature = made_up.bridge.signature(name);
        // One function of the module is in no BTF.
        if signature.is_none() && name != "br_bare" {
            return None;
        }
        let site = ModuleSite { module: "bridge".to_owned(), function: name.to_owned(), load };
        Some(ModuleFunction { site, signature })
    }

    /// Of the module `bridge`.
    fn module_member(&self, module: &str, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        let problem = match &self.structures {
            Structures::MadeUp(made_up) if module == "bridge" => {
                return made_up.bridge.member(structure, path);
            }
            Structures::Of(symbols) => return symbols.module_member(module, structure, path),
            Structures::MadeUp(_) => ModuleProblem::NotLoaded(vec!["bridge".to_owned()]),
            Structures::None => ModuleProblem::Untold,
        };
        Err(NoWay::NoModule { module: module.to_owned(), problem })
    }
}

/// BTF of a kernel that does not exist, and of its module `bridge`, with two functions.
pub fn kernel_and_module() -> (Vec<u8>, Vec<u8>) {
    builder::kernel_and_module()
}

/// The time that the module `bridge` is loaded.
const BRIDGE_LOAD: u64 = 4711;

/// BTF of a program that does not exist, as `/lib/program.btf` has it.
pub fn program_btf() -> Vec<u8> {
    builder::program()
}

/// The file `/bin/program`.
const PROGRAM: FileIdentity = FileIdentity { device: 0xfe00, inode: 12 };

/// The functions and tracepoints that tests hook.
pub fn symbols() -> FakeSymbols {
    let structures = builder::structures().map_or(Structures::None, Structures::MadeUp);
    let program = Btf::parse(program_btf()).ok().map(|types| ProgramTypes::new(Arc::new(types)));
    let mut symbols =
        FakeSymbols { structures, program, bridge: Some(BRIDGE_LOAD), ..FakeSymbols::default() };
    for declaration in [
        "int security_file_permission(struct file *file, int mask)",
        "int bpf_lsm_file_permission(struct file *file, int mask)",
        "int security_file_open(struct file *file)",
        "int bpf_lsm_file_open(struct file *file)",
        "int security_mmap_file(struct file *file, unsigned long prot, unsigned long flags)",
        "int bpf_lsm_mmap_file(struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)",
        "int security_bprm_check(struct linux_binprm *bprm)",
        "int bpf_lsm_bprm_check_security(struct linux_binprm *bprm)",
        "int security_path_truncate(const struct path *path)",
        "int bpf_lsm_path_truncate(const struct path *path)",
        "int security_file_truncate(struct file *file)",
        "int security_inode_rename(struct inode *a, struct dentry *b, struct inode *c, struct dentry *d, unsigned int flags)",
        "int bpf_lsm_inode_rename(struct inode *a, struct dentry *b, struct inode *c, struct dentry *d)",
        "void security_bprm_committed_creds(const struct linux_binprm *bprm)",
        "void bpf_lsm_bprm_committed_creds(const struct linux_binprm *bprm)",
        "int security_inode_copy_up_xattr(struct dentry *src, const char *name)",
        "int bpf_lsm_inode_copy_up_xattr(struct dentry *src, const char *name)",
        "int security_path_chown(const struct path *path, kuid_t uid, kgid_t gid)",
        "int bpf_lsm_path_chown(const struct path *path, kuid_t uid, kgid_t gid)",
        "void fd_install(unsigned int fd, struct file *file)",
        "int create_user_ns(struct cred *new)",
        "int cap_of(struct user_namespace *ns, int cap, struct rcu_work *work)",
        "int init_of(struct module *mod, struct net_device *dev, struct bpf_map *map)",
        "loff_t vfs_llseek(struct file *file, loff_t offset, int whence)",
        "ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos)",
        "int do_seven(int a, int b, int c, int d, int e, int f, int g)",
        "int many(char *text, unsigned char byte, short number, unsigned int flags, long offset, struct path *path)",
        "struct file *do_filp_open(int dfd, struct filename *pathname, const struct open_flags *op)",
        "int sendmsg_of(struct sock *sk, struct sk_buff *skb, struct sockaddr *addr, struct socket *sock, struct sockaddr_un *un)",
        "long __x64_sys_write(const struct pt_regs *regs)",
        "long __x64_sys_read(const struct pt_regs *regs)",
        "long __x64_sys_lseek(const struct pt_regs *regs)",
        "long __x64_sys_unshare(const struct pt_regs *regs)",
    ] {
        symbols = symbols.with_function(declaration);
    }
    symbols
        .with_probeable("not_in_btf")
        .with_tracepoint(
            "syscalls",
            "sys_enter_write",
            &["int __syscall_nr", "unsigned int fd", "const char * buf", "size_t count"],
        )
        .with_tracepoint(
            "syscalls",
            "sys_enter_read",
            &["int __syscall_nr", "unsigned int fd", "char * buf", "size_t count"],
        )
        .with_tracepoint(
            "syscalls",
            "sys_enter_lseek",
            &["int __syscall_nr", "unsigned int fd", "off_t offset", "unsigned int whence"],
        )
        .with_raw_tracepoint(
            "void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)",
        )
        .with_tracepoint("sched", "sched_process_exit", &["char[16] comm", "pid_t pid", "int prio"])
}

/// A node with [`symbols`], BTF and BPF LSM.
pub fn facts() -> NodeFacts {
    facts_with(symbols())
}

/// A node with these symbols, BTF and BPF LSM.
pub fn facts_with(symbols: FakeSymbols) -> NodeFacts {
    NodeFacts {
        kernel_release: "6.12.95-test".to_owned(),
        syscall_prefix: "__x64_sys_".to_owned(),
        bpf_lsm: true,
        btf: true,
        host_namespaces: (0..)
            .zip(Namespace::ALL)
            .map(|(number, one)| (one, HOST_NAMESPACE + number))
            .collect(),
        no_pods: None,
        symbols: Arc::new(symbols),
    }
}

/// Inode number of the made-up host's first namespace; the others follow in the order of [`Namespace`].
pub const HOST_NAMESPACE: u32 = 0xf000_0000;
