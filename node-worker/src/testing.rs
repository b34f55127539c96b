//! A node and policies for tests.

use crate::actions::calls::{Attempt, Transport};
use lictor_policy::model::{FunctionPattern, MemberPath};
use lictor_policy::plan::{NoWay, NodeFacts, Parameter, Signature, Symbols, TracepointField, TypeClass, Way};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes every call as made.
pub(crate) struct NoTransport;

impl Transport for NoTransport {
    fn attempt(&self, _: &str) -> Attempt {
        Attempt::Done
    }
}

/// A policy that reports what `call` does.
pub(crate) fn policy(name: &str, call: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n  kprobes:\n  - call: \
         \"{call}\"\n    syscall: false\n"
    )
}

/// Some functions, without a kernel.
#[derive(Debug)]
struct FakeSymbols;

impl Symbols for FakeSymbols {
    fn function(&self, name: &str) -> Option<Signature> {
        let known = ["fd_install", "vfs_read", "vfs_write"];
        let file = Parameter {
            name: "file".into(),
            type_name: "struct file *".into(),
            class: TypeClass::StructPointer("file".into()),
        };
        known.contains(&name).then(|| Signature { parameters: vec![file], returns: None })
    }

    fn probeable(&self, _: &str) -> bool {
        false
    }

    fn fitting_functions(&self, pattern: &FunctionPattern) -> Vec<String> {
        let known = ["fd_install", "vfs_read", "vfs_write"];
        known.into_iter().filter(|name| pattern.fits(name)).map(str::to_owned).collect()
    }

    fn nearest_functions(&self, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }

    fn tracepoint(&self, _: &str, _: &str) -> Option<Vec<TracepointField>> {
        None
    }

    fn raw_tracepoint(&self, _: &str) -> Option<Signature> {
        None
    }

    fn nearest_tracepoints(&self, _: &str, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }

    fn member(&self, structure: &str, _: &MemberPath) -> Result<Way, NoWay> {
        Err(NoWay::NoStructure { name: structure.to_owned(), nearest: Vec::new() })
    }
}

/// A node with BTF and BPF LSM.
pub(crate) fn facts() -> NodeFacts {
    NodeFacts {
        kernel_release: "6.12.0-test".into(),
        syscall_prefix: "__x64_sys_".into(),
        bpf_lsm: true,
        btf: true,
        host_namespaces: BTreeMap::new(),
        no_pods: None,
        symbols: Arc::new(FakeSymbols),
    }
}
