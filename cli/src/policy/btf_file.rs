//! A kernel that is not this machine's: what its BTF and that of its modules alone tell.

use anyhow::{Context as _, bail};
use lictor_policy::btf::Btf;
use lictor_policy::model::{FunctionPattern, MemberPath, Namespace};
use lictor_policy::plan::{
    ModuleFunction, ModuleProblem, ModuleSite, NoWay, NodeFacts, Signature, Symbols, TracepointField, Way,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest BTF that is read, bytes: kernels with every driver built in have 30 MiB.
const BTF_BYTES_MAX: u64 = 128 << 20;

/// Functions of a BTF file, and types of that of modules.
#[derive(Debug)]
struct FileSymbols {
    kernel: Arc<Btf<Vec<u8>>>,
    modules: BTreeMap<String, Btf<Vec<u8>>>,
}

/// `MODULE=FILE`, the module as the kernel spells it.
pub(super) fn module(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.replace('-', "_"), PathBuf::from(file)))
        }
        Some(_) | None => Err("allowed: the name of a module, `=`, and a file".to_owned()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open the BTF file {name}"))?;
    file.take(BTF_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > BTF_BYTES_MAX {
        bail!("{name} has more than the {BTF_BYTES_MAX} bytes of any kernel's BTF");
    }
    Ok(bytes)
}

/// What a kernel with this BTF and these modules can do, as far as BTF tells. Tracepoints are not in it.
pub(super) fn facts(path: &Path, modules: &[(String, PathBuf)]) -> anyhow::Result<NodeFacts> {
    let name = path.display();
    let btf = Btf::parse(read(path)?).with_context(|| {
        format!("{name} is no BTF; give a copy of /sys/kernel/btf/vmlinux of the kernel that is meant")
    })?;
    let prefix = ["__x64_sys_", "__arm64_sys_"]
        .into_iter()
        .find(|prefix| btf.functions().any(|function| function.starts_with(prefix)));
    let Some(prefix) = prefix else {
        bail!("{name} has no system calls: it is a module's BTF, or that of another architecture");
    };
    let prefix = prefix.to_owned();
    let kernel = Arc::new(btf);
    let mut known = BTreeMap::new();
    for (module, path) in modules {
        let btf = Btf::parse_module(read(path)?, &kernel).with_context(|| {
            let from = format!("give a copy of /sys/kernel/btf/{module} of the kernel that {name} is of");
            format!("{} is no BTF; {from}", path.display())
        })?;
        known.insert(module.clone(), btf);
    }
    Ok(NodeFacts {
        kernel_release: format!("of {name}"),
        syscall_prefix: prefix,
        // Whether BPF LSM is switched on is a matter of the command line; whether it is built in is not.
        bpf_lsm: kernel.function_id("bpf_lsm_file_open").is_some(),
        btf: true,
        no_pods: None,
        // `host_ns` is a number on every machine; which one does not matter here.
        host_namespaces: Namespace::ALL.into_iter().zip(1..).collect(),
        symbols: Arc::new(FileSymbols { kernel, modules: known }),
    })
}

impl Symbols for FileSymbols {
    fn function(&self, name: &str) -> Option<Signature> {
        self.kernel.signature(name)
    }

    fn module_site(&self, name: &str) -> Option<ModuleSite> {
        Some(self.module_function(name)?.site)
    }

    fn module_function(&self, name: &str) -> Option<ModuleFunction> {
        self.modules.iter().find_map(|(module, btf)| {
            let signature = Some(btf.signature(name)?);
            // Nobody loads it.
            let site = ModuleSite { module: module.clone(), function: name.to_owned(), load: 0 };
            Some(ModuleFunction { site, signature })
        })
    }

    fn probeable(&self, _name: &str) -> bool {
        false
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        let fits = pattern.matcher();
        let fitting: BTreeSet<&str> = self.kernel.functions().filter(|name| fits(name)).collect();
        fitting.into_iter().map(str::to_owned).collect()
    }

    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        self.kernel.nearest_functions(name, limit)
    }

    fn tracepoint(&self, _subsystem: &str, _event: &str) -> Option<Vec<TracepointField>> {
        None
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Signature> {
        self.kernel.tracepoint_signature(event)
    }

    fn nearest_tracepoints(&self, _subsystem: &str, _event: &str, _limit: usize) -> Vec<String> {
        Vec::new()
    }

    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        self.kernel.member(structure, path)
    }

    fn module_member(&self, module: &str, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        match self.modules.get(module) {
            Some(btf) => btf.member(structure, path),
            None => Err(NoWay::NoModule { module: module.to_owned(), problem: ModuleProblem::Untold }),
        }
    }
}
