//! What this machine's kernel can do, read from the files it offers.

use super::binaries::Binaries;
use super::kallsyms::Kallsyms;
use super::modules::Modules;
use lictor_policy::btf::{Btf, BtfError};
use lictor_policy::format::parse_format;
use lictor_policy::model::{DigestKind, FunctionPattern, MemberPath, Namespace, UserPlace};
use lictor_policy::plan::{
    FoundDigest, FoundPlace, ModuleFunction, ModuleSite, NoWay, NodeFacts, ProgramTypes, Signature, Symbols,
    TracepointField, UserProblem, Way,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest BTF that is read, bytes: distributions ship 5 to 10 MiB, kernels with every driver built in 30.
const BTF_BYTES_MAX: u64 = 128 << 20;

/// Why the facts could not be gathered. Facts that are merely absent (no BTF, no LSM list) are no error: they are
/// notes of [`System`], and it is the compiler who knows whether a policy needs them.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A file that every Linux has could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Names of system call functions are known for `x86_64` and `aarch64` only.
    #[error("processor architecture {0} is not supported (x86_64 and aarch64 are)")]
    Architecture(&'static str),
    /// The kernel's BTF is there and makes no sense.
    #[error("cannot read the kernel's BTF in {path}")]
    Btf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BtfError,
    },
}

/// This machine.
#[derive(Debug, Clone)]
pub struct System {
    /// What compiling policies depends on.
    pub facts: NodeFacts,
    /// The same symbols as in `facts`, with what attaching needs beside it.
    pub symbols: Arc<SystemSymbols>,
    /// What could not be found out, one sentence each, for the status and for `--facts system`.
    pub notes: Vec<String>,
}

/// Gathers the facts of this machine.
///
/// # Errors
/// See [`FactsError`].
pub fn gather() -> Result<System, FactsError> {
    gather_from(Path::new("/"))
}

/// The same for a machine whose file system is at `root`.
fn gather_from(root: &Path) -> Result<System, FactsError> {
    let mut notes = Vec::new();
    let syscall_prefix = match std::env::consts::ARCH {
        "x86_64" => "__x64_sys_",
        "aarch64" => "__arm64_sys_",
        other => return Err(FactsError::Architecture(other)),
    };
    let release = root.join("proc/sys/kernel/osrelease");
    let kernel_release = fs::read_to_string(&release)
        .map_err(|source| FactsError::Read { path: release, source })?
        .trim()
        .to_owned();
    let symbols = Arc::new(SystemSymbols::open(root, &mut notes)?);
    let facts = NodeFacts {
        kernel_release,
        syscall_prefix: syscall_prefix.to_owned(),
        bpf_lsm: bpf_lsm(root, &mut notes),
        btf: symbols.btf.is_some(),
        host_namespaces: host_namespaces(root, &mut notes),
        no_pods: None,
        symbols: symbols.clone(),
    };
    Ok(System { facts, symbols, notes })
}

/// Whether `bpf` is among the active security modules. Whether programs of that kind load is for the prober to find.
fn bpf_lsm(root: &Path, notes: &mut Vec<String>) -> bool {
    let path = root.join("sys/kernel/security/lsm");
    match fs::read_to_string(&path) {
        Ok(modules) => {
            let is_on = modules.trim().split(',').any(|module| module == "bpf");
            if !is_on {
                notes.push(format!(
                    "BPF LSM is off: found {} in {}; denials take fmod_ret instead where they can; the kernel argument \
                     lsm={},bpf switches it on",
                    modules.trim(),
                    path.display(),
                    modules.trim()
                ));
            }
            is_on
        }
        Err(error) => {
            notes.push(format!(
                "{} cannot be read ({error}): taken as a kernel without BPF LSM",
                path.display()
            ));
            false
        }
    }
}

fn host_namespaces(root: &Path, notes: &mut Vec<String>) -> BTreeMap<Namespace, u32> {
    const FILES: [(Namespace, &str); 10] = [
        (Namespace::Uts, "uts"),
        (Namespace::Ipc, "ipc"),
        (Namespace::Mnt, "mnt"),
        (Namespace::Pid, "pid"),
        (Namespace::PidForChildren, "pid_for_children"),
        (Namespace::Net, "net"),
        (Namespace::Time, "time"),
        (Namespace::TimeForChildren, "time_for_children"),
        (Namespace::Cgroup, "cgroup"),
        (Namespace::User, "user"),
    ];
    let mut found = BTreeMap::new();
    let mut unknown = Vec::new();
    for (namespace, file) in FILES {
        match fs::read_link(root.join("proc/1/ns").join(file)).map(|target| inode_of(&target)) {
            Ok(Some(inode)) => drop(found.insert(namespace, inode)),
            Ok(None) => unknown.push(format!("{file} (not a namespace)")),
            Err(error) => unknown.push(format!("{file} ({})", error.kind())),
        }
    }
    if !unknown.is_empty() {
        notes.push(format!("/proc/1/ns does not tell `host_ns` for {}", unknown.join(", ")));
    }
    found
}

/// The number in `mnt:[4026531841]`.
fn inode_of(target: &Path) -> Option<u32> {
    target.to_str()?.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// Whose a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// The kernel's own.
    Kernel,
    /// Of a module, which is loaded and ready.
    Module(ModuleSite),
}

/// The names that this machine's kernel knows.
#[derive(Debug)]
pub struct SystemSymbols {
    btf: Option<Arc<Btf<Vec<u8>>>>,
    modules: Modules,
    kallsyms: Kallsyms,
    /// Where tracefs may be mounted.
    tracing: [PathBuf; 2],
    /// Where the machine's files are.
    binaries: Binaries,
}

impl SystemSymbols {
    fn open(root: &Path, notes: &mut Vec<String>) -> Result<Self, FactsError> {
        let path = root.join("sys/kernel/btf/vmlinux");
        let btf = match read_bounded(&path) {
            Ok(bytes) => {
                Some(Arc::new(Btf::parse(bytes).map_err(|source| FactsError::Btf { path, source })?))
            }
            Err(error) => {
                notes.push(format!("{} cannot be read ({error}): the kernel has no BTF", path.display()));
                None
            }
        };
        let tracing = [root.join("sys/kernel/tracing/events"), root.join("sys/kernel/debug/tracing/events")];
        if !tracing.iter().any(|directory| directory.is_dir()) {
            notes.push("tracefs is not mounted on /sys/kernel/tracing: no tracepoint is known".to_owned());
        }
        Ok(Self {
            btf,
            modules: Modules::new(root),
            kallsyms: Kallsyms::new(root),
            tracing,
            binaries: Binaries::new(root),
        })
    }

    /// The type number in the kernel's BTF of the function `name`: what programs that attach to it are loaded with.
    pub fn btf_function_id(&self, name: &str) -> Option<u32> {
        self.btf.as_ref()?.function_id(name)
    }

    /// The type number in the kernel's BTF of the raw tracepoint `name` (`sched_process_exec`).
    pub fn btf_tracepoint_id(&self, name: &str) -> Option<u32> {
        self.btf.as_ref()?.typedef_id(&format!("btf_trace_{name}"))
    }

    fn format_file(&self, subsystem: &str, event: &str) -> io::Result<String> {
        if !is_name(subsystem) || !is_name(event) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut last = io::ErrorKind::NotFound.into();
        for directory in &self.tracing {
            match fs::read_to_string(directory.join(subsystem).join(event).join("format")) {
                Ok(text) => return Ok(text),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The functions that can be traced and whose names fit. Parts of functions that the compiler made (`name.isra.0`) are
    /// none of them.
    fn traceable(&self, pattern: &FunctionPattern) -> io::Result<BTreeSet<String>> {
        let mut last = io::ErrorKind::NotFound.into();
        for events in &self.tracing {
            let file = events.with_file_name("available_filter_functions");
            match File::open(file) {
                Ok(file) => {
                    let lines = BufReader::with_capacity(1 << 16, file).lines();
                    return fitting(lines, pattern);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whose a function is; `None` = there is none of that name, or its module is not ready.
    fn owner(&self, name: &str) -> Option<Owner> {
        let listed = self.kallsyms.function(name, self.modules.loads())?;
        let Some(module) = listed.module else { return Some(Owner::Kernel) };
        let load = self.modules.load(&module)?;
        Some(Owner::Module(ModuleSite { module, function: name.to_owned(), load }))
    }
}

/// The names that fit, of lines `name` and `name [module]`.
fn fitting(
    lines: impl Iterator<Item = io::Result<String>>,
    pattern: &FunctionPattern,
) -> io::Result<BTreeSet<String>> {
    let fits = pattern.matcher();
    let mut names = BTreeSet::new();
    for line in lines {
        let line = line?;
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        if !name.is_empty() && !name.contains('.') && fits(name) {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::metadata(path)?.len();
    if bytes > BTF_BYTES_MAX {
        let message = format!("{bytes} bytes are more than the {BTF_BYTES_MAX} that are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    fs::read(path)
}

/// Whether a name of the user is a single directory name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

impl super::Types for SystemSymbols {
    fn function_id(&self, name: &str) -> Option<u32> {
        self.btf_function_id(name)
    }

    fn module_function_id(&self, site: &ModuleSite) -> Option<u32> {
        let btf = self.modules.btf(&site.module, self.btf.as_ref()?).ok()?;
        btf.function_id(&site.function)
    }

    fn tracepoint_id(&self, name: &str) -> Option<u32> {
        self.btf_tracepoint_id(name)
    }

    fn subset(&self, names: &BTreeSet<Vec<u8>>) -> Option<Vec<u8>> {
        Some(self.btf.as_ref()?.subset(names))
    }
}

impl Symbols for SystemSymbols {
    fn function(&self, name: &str) -> Option<Signature> {
        self.btf.as_ref()?.signature(name)
    }

    fn probeable(&self, name: &str) -> bool {
        self.owner(name).is_some()
    }

    fn module_site(&self, name: &str) -> Option<ModuleSite> {
        match self.owner(name)? {
            Owner::Module(site) => Some(site),
            Owner::Kernel => None,
        }
    }

    fn module_function(&self, name: &str) -> Option<ModuleFunction> {
        let site = self.module_site(name)?;
        let btf = self.btf.as_ref().and_then(|kernel| self.modules.btf(&site.module, kernel).ok());
        Some(ModuleFunction { signature: btf.and_then(|btf| btf.signature(name)), site })
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        match self.traceable(pattern) {
            Ok(names) => names.into_iter().collect(),
            Err(error) => {
                tracing::warn!(
                    %error, pattern = pattern.as_str(),
                    "cannot read which functions can be traced (available_filter_functions): no function fits the pattern"
                );
                Vec::new()
            }
        }
    }

    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        self.btf.as_ref().map_or_else(Vec::new, |btf| btf.nearest_functions(name, limit))
    }

    fn tracepoint(&self, subsystem: &str, event: &str) -> Option<Vec<TracepointField>> {
        self.format_file(subsystem, event).ok().map(|text| parse_format(&text))
    }

    fn user_places(&self, path: &str, place: &UserPlace) -> Result<Vec<FoundPlace>, UserProblem> {
        self.binaries.places(path, place)
    }

    fn file_digest(&self, path: &str, kind: DigestKind) -> Result<FoundDigest, UserProblem> {
        self.binaries.digest(path, kind)
    }

    fn program_types(&self, path: &str) -> Result<ProgramTypes, UserProblem> {
        self.binaries.types(path)
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Signature> {
        self.btf.as_ref()?.tracepoint_signature(event)
    }

    fn nearest_tracepoints(&self, subsystem: &str, event: &str, limit: usize) -> Vec<String> {
        let mut names = Vec::new();
        for directory in &self.tracing {
            for group in directories(directory) {
                names.extend(
                    directories(&directory.join(&group)).into_iter().map(|event| format!("{group}/{event}")),
                );
            }
            if !names.is_empty() {
                break;
            }
        }
        // The name of the event says more than its group: an event of that name elsewhere comes first.
        let wanted = format!("{subsystem}/{event}");
        let same = names.iter().filter(|name| name.rsplit('/').next() == Some(event)).map(String::as_str);
        let near = lictor_policy::nearest(&wanted, names.iter().map(String::as_str), limit);
        let mut found: Vec<String> = Vec::new();
        for name in same.chain(near) {
            if !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
        found.truncate(limit);
        found
    }

    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        match &self.btf {
            Some(btf) => btf.member(structure, path),
            None => Err(NoWay::NoStructure { name: structure.to_owned(), nearest: Vec::new() }),
        }
    }

    fn module_member(&self, module: &str, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        let Some(kernel) = &self.btf else { return self.member(structure, path) };
        let btf = self.modules.btf(module, kernel);
        btf.map_err(|problem| NoWay::NoModule { module: module.to_owned(), problem })?.member(structure, path)
    }
}

/// Names of the directories within a directory, in order; none when it cannot be read.
fn directories(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> =
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Types as _;
    use lictor_policy::plan::ModuleProblem;
    use std::os::unix::fs::symlink;

    /// A root directory with what the kernel would show.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const RELEASE: (&str, &str) = ("proc/sys/kernel/osrelease", "6.12.1-test\n");

    #[test]
    fn what_is_missing_is_noted_and_no_error() {
        let root = machine(&[RELEASE]);
        let system = gather_from(root.path()).unwrap();
        assert_eq!(system.facts.kernel_release, "6.12.1-test");
        assert!(!system.facts.btf && !system.facts.bpf_lsm && system.facts.host_namespaces.is_empty());
        // BTF, LSM list, tracefs and namespaces.
        assert_eq!(system.notes.len(), 4, "{:?}", system.notes);
        assert!(!system.facts.symbols.probeable("vfs_read"));
    }

    #[test]
    fn a_machine_without_proc_is_an_error() {
        let error = gather_from(machine(&[]).path()).unwrap_err();
        assert!(matches!(error, FactsError::Read { .. }), "{error}");
    }

    #[test]
    fn damaged_btf_is_an_error() {
        let root = machine(&[RELEASE, ("sys/kernel/btf/vmlinux", "not BTF")]);
        assert!(matches!(gather_from(root.path()), Err(FactsError::Btf { source: BtfError::Header, .. })));
    }

    #[test]
    fn modules_and_namespaces_are_read() {
        let root = machine(&[RELEASE, ("sys/kernel/security/lsm", "lockdown,capability,bpf\n")]);
        let directory = root.path().join("proc/1/ns");
        fs::create_dir_all(&directory).unwrap();
        symlink("mnt:[4026531841]", directory.join("mnt")).unwrap();
        symlink("nonsense", directory.join("pid")).unwrap();
        let facts = gather_from(root.path()).unwrap().facts;
        assert!(facts.bpf_lsm);
        assert_eq!(facts.host_namespaces, BTreeMap::from([(Namespace::Mnt, 4_026_531_841)]));
    }

    #[test]
    fn a_kernel_without_bpf_lsm_is_noted() {
        let root = machine(&[RELEASE, ("sys/kernel/security/lsm", "lockdown,yama\n")]);
        let system = gather_from(root.path()).unwrap();
        assert!(!system.facts.bpf_lsm);
        let note = system.notes.iter().find(|note| note.contains("BPF LSM")).unwrap();
        assert!(note.contains("lsm=lockdown,yama,bpf"), "{note}");
    }

    #[test]
    fn functions_are_found_in_kallsyms() {
        let lines = "0000 T vfs_read\n0000 t helper\t[module]\n0000 t early\t[coming]\n0000 D some_data\n";
        let root = machine(&[
            RELEASE,
            ("proc/kallsyms", lines),
            ("sys/module/module/initstate", "live\n"),
            ("sys/module/coming/initstate", "coming\n"),
        ]);
        let symbols = gather_from(root.path()).unwrap().symbols;
        for (name, expected) in
            [("vfs_read", true), ("helper", true), ("early", false), ("some_data", false), ("vfs_rea", false)]
        {
            assert_eq!(symbols.probeable(name), expected, "{name}");
            assert_eq!(symbols.probeable(name), expected, "{name}, asked again");
        }
    }

    #[test]
    fn functions_of_modules_are_told_by_their_btf() {
        let lines =
            "0000 t br_add_if\t[bridge]\n0000 t br_init\t[bridge]\n0000 t vfs_read\n0000 t bare\t[other]\n";
        let root = machine(&[
            RELEASE,
            ("proc/kallsyms", lines),
            ("sys/module/bridge/initstate", "live\n"),
            ("sys/module/other/initstate", "live\n"),
        ]);
        let (kernel, module) = lictor_policy::plan::testing::kernel_and_module();
        fs::create_dir_all(root.path().join("sys/kernel/btf")).unwrap();
        fs::write(root.path().join("sys/kernel/btf/vmlinux"), kernel).unwrap();
        fs::write(root.path().join("sys/kernel/btf/bridge"), module).unwrap();
        let symbols = gather_from(root.path()).unwrap().symbols;
        let found = symbols.module_function("br_add_if").unwrap();
        assert_eq!(found.signature.unwrap().parameters[0].type_name, "struct net_bridge *");
        assert_eq!(symbols.module_site("br_add_if"), Some(found.site.clone()));
        assert_eq!((found.site.module.as_str(), found.site.function.as_str()), ("bridge", "br_add_if"));
        for (untyped, module) in [("br_init", "bridge"), ("bare", "other")] {
            let found = symbols.module_function(untyped).unwrap();
            assert_eq!((found.site.module.as_str(), found.signature), (module, None), "{untyped}");
        }
        for untold in ["vfs_read", "nosuch"] {
            assert_eq!(symbols.module_function(untold), None, "{untold}");
        }
        let ids = |function: &str| {
            symbols.module_function_id(&ModuleSite { function: function.to_owned(), ..found.site.clone() })
        };
        assert!(ids("br_add_if").is_some() && ids("br_init").is_none());
        // Loaded anew, it has another directory, and what is asked is answered anew.
        let directory = root.path().join("sys/module/bridge");
        fs::rename(&directory, root.path().join("gone")).unwrap();
        assert_eq!(symbols.module_site("br_add_if"), None);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("initstate"), "live\n").unwrap();
        let again = symbols.module_site("br_add_if").unwrap();
        assert_ne!(again.load, found.site.load);
        let path = MemberPath::parse("br.owner.comm").unwrap();
        assert!(symbols.module_member("bridge", "net_bridge_port", &path).is_ok());
        let no = symbols.module_member("other", "net_bridge_port", &path);
        assert!(matches!(no, Err(NoWay::NoModule { problem: ModuleProblem::NoBtf, .. })), "{no:?}");
    }

    #[test]
    fn functions_that_can_be_traced_are_found_by_a_pattern() {
        let lines = "ksys_write\nksys_read [module]\nksys_read\nksys_mount.isra.0\ndo_ksys\n";
        let root = machine(&[RELEASE, ("sys/kernel/debug/tracing/available_filter_functions", lines)]);
        let symbols = gather_from(root.path()).unwrap().symbols;
        let pattern = FunctionPattern::new("^ksys_").unwrap();
        assert_eq!(symbols.fitting_functions(&pattern), ["ksys_read", "ksys_write"]);
        let nothing = gather_from(machine(&[RELEASE]).path()).unwrap().symbols;
        assert!(nothing.fitting_functions(&pattern).is_empty());
    }

    #[test]
    fn tracepoints_are_found_and_suggested() {
        let format = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n";
        let root = machine(&[
            RELEASE,
            ("sys/kernel/debug/tracing/events/sched/sched_process_exec/format", format),
            ("sys/kernel/debug/tracing/events/task/task_rename/format", format),
        ]);
        let symbols = gather_from(root.path()).unwrap().symbols;
        assert_eq!(symbols.tracepoint("sched", "sched_process_exec").unwrap()[0].name, "common_pid");
        assert!(symbols.tracepoint("sched", "../task/task_rename").is_none());
        assert_eq!(
            symbols.nearest_tracepoints("sched", "sched_proces_exec", 3),
            ["sched/sched_process_exec"]
        );
        assert_eq!(symbols.nearest_tracepoints("sched", "task_rename", 3), ["task/task_rename"]);
    }
}
