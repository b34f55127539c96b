//! What the kernels of a cluster have, by name: so that a policy can be checked before any node sees it.

use super::blob::{compress, plain, read};
use super::{BundleError, Digest, FORMAT};
use crate::model::{ABI_32, CALLS_32, HookTarget, MAPPING_HOOK, Policy};
use crate::violation::{Violation, nearest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const WHAT: &str = "the names of a kernel";

/// Names that are suggested for one that does not exist.
const SUGGESTIONS_MAX: usize = 3;

/// The names that hooks can attach to on one kernel. Nodes with the same kernel write the same names, so the cluster
/// keeps them once (`lictor-kernel-<digest>`), whatever the number of nodes: some 60,000 names, 300 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelNames {
    /// `uname -r`.
    pub release: String,
    /// Prefix of system call functions, `__x64_sys_` or `__arm64_sys_`.
    pub syscall_prefix: String,
    /// Programs can be LSM hooks.
    pub bpf_lsm: bool,
    /// The kernel describes its types.
    pub btf: bool,
    /// Functions that can be attached to: those in BTF and in `/proc/kallsyms`, without compilers' parts of functions
    /// (a `.` in the name) and padding (`__pfx_`, `__cfi_`).
    pub functions: BTreeSet<String>,
    /// Tracepoints, as `subsystem/event`. Empty when they could not be listed; none is then missing.
    pub tracepoints: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    format: u32,
    release: String,
    syscall_prefix: String,
    bpf_lsm: bool,
    btf: bool,
    functions: Vec<String>,
    tracepoints: Vec<String>,
}

impl KernelNames {
    /// Its digest and its bytes for the key [`super::KERNEL_KEY`].
    ///
    /// # Errors
    /// [`BundleError::TooLarge`]: a kernel with several times the functions of a distribution's.
    pub fn encode(&self) -> Result<(Digest, Vec<u8>), BundleError> {
        let plainly = Plain {
            format: FORMAT,
            release: self.release.clone(),
            syscall_prefix: self.syscall_prefix.clone(),
            bpf_lsm: self.bpf_lsm,
            btf: self.btf,
            functions: self.functions.iter().cloned().collect(),
            tracepoints: self.tracepoints.iter().cloned().collect(),
        };
        let (bytes, digest) = plain(&plainly, WHAT)?;
        Ok((digest, compress(&bytes, || format!("the names of kernel {}", self.release))?))
    }

    /// Reads what was found under the digest `wanted`.
    ///
    /// # Errors
    /// Everything that is not a kernel's names with that digest.
    pub fn decode(bytes: &[u8], wanted: &Digest) -> Result<Self, BundleError> {
        let plain: Plain = read(bytes, wanted, WHAT)?;
        Ok(Self {
            release: plain.release,
            syscall_prefix: plain.syscall_prefix,
            bpf_lsm: plain.bpf_lsm,
            btf: plain.btf,
            functions: plain.functions.into_iter().collect(),
            tracepoints: plain.tracepoints.into_iter().collect(),
        })
    }

    /// The hooks of a policy that this kernel does not have, those left out that the policy lets be missing. Types of
    /// arguments are for the node to check, which has the kernel's BTF.
    pub fn missing(&self, policy: &Policy) -> Vec<Violation> {
        let hooks = policy.hooks().iter().filter(|hook| !hook.ignore_missing);
        hooks
            .filter_map(|hook| {
                let (field, found, near) = self.lacks(&hook.target)?;
                let allowed = format!("what kernel {} has", self.release);
                // Nothing in the document names the place that `loader` stands for.
                let at = if hook.target == HookTarget::Mapping { &hook.at } else { &hook.at.member(field) };
                let mut violation = Violation::new(at, found, allowed);
                if !near.is_empty() {
                    violation = violation.hint(format!("did you mean {}?", near.join(" or ")));
                }
                Some(violation.of(policy.key()))
            })
            .collect()
    }

    /// What of a target is missing: the field that names it, what it is, names that are near.
    fn lacks(&self, target: &HookTarget) -> Option<(&'static str, String, Vec<String>)> {
        let function = |name: &str| self.functions.contains(name);
        let quoted = |names: Vec<&str>, prefix: &str| -> Vec<String> {
            names.iter().map(|name| format!("`{}`", name.strip_prefix(prefix).unwrap_or(name))).collect()
        };
        match target {
            HookTarget::Function(name) => {
                let near = || nearest(name, self.functions.iter().map(String::as_str), SUGGESTIONS_MAX);
                (!function(name))
                    .then(|| ("call", format!("the unknown function `{name}`"), quoted(near(), "")))
            }
            HookTarget::Functions(pattern) => {
                let fits = pattern.matcher();
                let none = !self.functions.iter().any(|name| fits(name));
                let found = || format!("the pattern `{}`, which no function fits", pattern.as_str());
                none.then(|| ("call", found(), Vec::new()))
            }
            HookTarget::Syscall(name) => {
                let prefix = self.syscall_prefix.as_str();
                let near = || {
                    let calls = self.functions.range(prefix.to_owned()..);
                    let calls = calls.map_while(|function| function.strip_prefix(prefix));
                    nearest(name, calls, SUGGESTIONS_MAX).into_iter().map(|name| format!("`sys_{name}`"))
                };
                (!function(&format!("{prefix}{name}")))
                    .then(|| ("call", format!("the unknown system call `sys_{name}`"), near().collect()))
            }
            HookTarget::Syscall32(name) => {
                let missing = !CALLS_32.iter().any(|prefix| function(&format!("{prefix}{name}")));
                missing
                    .then(|| ("call", format!("the unknown system call `{ABI_32}/sys_{name}`"), Vec::new()))
            }
            // Not every tracepoint has a record, and only those that have are listed; files are not.
            HookTarget::Tracepoint { raw: true, .. } | HookTarget::User { .. } | HookTarget::Syscalls => None,
            HookTarget::Tracepoint { subsystem, event, raw: false } => {
                let wanted = format!("{subsystem}/{event}");
                if self.tracepoints.is_empty() || self.tracepoints.contains(&wanted) {
                    return None;
                }
                let near = nearest(&wanted, self.tracepoints.iter().map(String::as_str), SUGGESTIONS_MAX);
                Some(("event", format!("the unknown tracepoint `{wanted}`"), quoted(near, "")))
            }
            HookTarget::Mapping => self.lacks(&HookTarget::Lsm(MAPPING_HOOK.to_owned())),
            HookTarget::Lsm(name) => {
                const PREFIX: &str = "bpf_lsm_";
                if function(&format!("{PREFIX}{name}")) || function(&format!("security_{name}")) {
                    return None;
                }
                let hooks = self.functions.range(PREFIX.to_owned()..);
                let hooks = hooks.map_while(|function| function.strip_prefix(PREFIX));
                let near = nearest(name, hooks, SUGGESTIONS_MAX);
                Some(("hook", format!("the unknown LSM hook `{name}`"), quoted(near, PREFIX)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> KernelNames {
        let functions = ["fd_install", "bpf_lsm_file_open", "security_file_open", "__x64_sys_write"];
        KernelNames {
            release: "6.12.0".into(),
            syscall_prefix: "__x64_sys_".into(),
            bpf_lsm: true,
            btf: true,
            functions: functions.map(str::to_owned).into(),
            tracepoints: ["syscalls/sys_enter_openat".to_owned()].into(),
        }
    }

    fn missing(hooks: &str) -> Vec<String> {
        let text = format!(
            "{{apiVersion: lictor.io/v1alpha1, kind: TracingPolicy, metadata: {{name: p}}, spec: {{{hooks}}}}}"
        );
        let policy = crate::load(&text, None).unwrap().policy;
        kernel().missing(&policy).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        let (digest, bytes) = kernel().encode().unwrap();
        assert_eq!(KernelNames::decode(&bytes, &digest), Ok(kernel()));
    }

    #[test]
    fn what_a_kernel_has_is_not_missing() {
        let hooks = "kprobes: [{call: sys_write}, {call: fd_install, syscall: false}], \
                     tracepoints: [{subsystem: syscalls, event: sys_enter_openat}], lsmhooks: [{hook: file_open}]";
        assert!(missing(hooks).is_empty(), "{:?}", missing(hooks));
        assert!(
            missing("kprobes: [{call: new_one, syscall: false, ignore: {callNotFound: true}}]").is_empty()
        );
    }

    #[test]
    fn what_it_lacks_is_named_with_what_is_near() {
        let found = missing(
            "kprobes: [{call: sys_wirte}, {call: fd_instal, syscall: false}], \
             tracepoints: [{subsystem: syscalls, event: sys_enter_opena}], lsmhooks: [{hook: file_opn}]",
        );
        assert_eq!(
            found,
            [
                "policy p: spec.kprobes[0].call: found the unknown system call `sys_wirte`; allowed: what kernel 6.12.0 has; did you mean `sys_write`?",
                "policy p: spec.kprobes[1].call: found the unknown function `fd_instal`; allowed: what kernel 6.12.0 has; did you mean `fd_install`?",
                "policy p: spec.tracepoints[0].event: found the unknown tracepoint `syscalls/sys_enter_opena`; allowed: what kernel 6.12.0 has; did you mean `syscalls/sys_enter_openat`?",
                "policy p: spec.lsmhooks[0].hook: found the unknown LSM hook `file_opn`; allowed: what kernel 6.12.0 has; did you mean `file_open`?",
            ]
        );
    }
}
