//! A kernel that is not this machine's: what its BTF alone tells.

use anyhow::{Context as _, bail};
use lictor_policy::btf::Btf;
use lictor_policy::model::{FunctionPattern, MemberPath, Namespace};
use lictor_policy::plan::{NoWay, NodeFacts, Signature, Symbols, TracepointField, Way};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Longest BTF that is read, bytes: kernels with every driver built in have 30 MiB.
const BTF_BYTES_MAX: u64 = 128 << 20;

/// Functions of a BTF file.
#[derive(Debug)]
struct FileSymbols(Btf<Vec<u8>>);

/// What a kernel with this BTF can do, as far as BTF tells. Tracepoints are not in it.
pub(super) fn facts(path: &Path) -> anyhow::Result<NodeFacts> {
    let name = path.display();
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open the BTF file {name}"))?;
    file.take(BTF_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > BTF_BYTES_MAX {
        bail!("{name} has more than the {BTF_BYTES_MAX} bytes of any kernel's BTF");
    }
    let btf = Btf::parse(bytes).with_context(|| {
        format!("{name} is no BTF; give a copy of /sys/kernel/btf/vmlinux of the kernel that is meant")
    })?;
    let prefix = ["__x64_sys_", "__arm64_sys_"]
        .into_iter()
        .find(|prefix| btf.functions().any(|function| function.starts_with(prefix)));
    let Some(prefix) = prefix else {
        bail!("{name} has no system calls: it is a module's BTF, or that of another architecture");
    };
    Ok(NodeFacts {
        kernel_release: format!("of {name}"),
        syscall_prefix: prefix.to_owned(),
        // Whether BPF LSM is switched on is a matter of the command line; whether it is built in is not.
        bpf_lsm: btf.function_id("bpf_lsm_file_open").is_some(),
        btf: true,
        no_pods: None,
        // `host_ns` is a number on every machine; which one does not matter here.
        host_namespaces: Namespace::ALL.into_iter().zip(1..).collect(),
        symbols: Arc::new(FileSymbols(btf)),
    })
}

impl Symbols for FileSymbols {
    fn function(&self, name: &str) -> Option<Signature> {
        self.0.signature(name)
    }

    fn probeable(&self, _name: &str) -> bool {
        false
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        let fits = pattern.matcher();
        let fitting: BTreeSet<&str> = self.0.functions().filter(|name| fits(name)).collect();
        fitting.into_iter().map(str::to_owned).collect()
    }

    fn nearest_functions(&self, name: &str, limit: usize) -> Vec<String> {
        self.0.nearest_functions(name, limit)
    }

    fn tracepoint(&self, _subsystem: &str, _event: &str) -> Option<Vec<TracepointField>> {
        None
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Signature> {
        self.0.tracepoint_signature(event)
    }

    fn nearest_tracepoints(&self, _subsystem: &str, _event: &str, _limit: usize) -> Vec<String> {
        Vec::new()
    }

    fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        self.0.member(structure, path)
    }
}
