//! What a node refuses, and with which words.

use super::policy;
use crate::plan::testing::{facts, facts_with, symbols};
use crate::plan::*;

#[track_caller]
fn refused(spec: &str, facts: &NodeFacts, wanted: &[&str]) {
    let compiled = compile(&[policy("p", spec)], facts);
    let lines: Vec<String> = compiled.refusals.iter().map(ToString::to_string).collect();
    let wanted: Vec<String> = wanted.iter().map(|line| format!("policy p: {line}")).collect();
    assert_eq!(lines, wanted);
    assert!(compiled.plan.policies.is_empty() && compiled.plan.hooks.is_empty());
}

fn kprobe(call: &str, rest: &str) -> String {
    format!("  kprobes:\n  - call: {call}\n    syscall: false\n{rest}")
}

const OVERRIDE: &str = "    selectors: [{matchActions: [{action: Override, argError: -1}]}]\n";

#[test]
fn names_that_the_kernel_lacks() {
    refused(
        &kprobe("security_file_permision", ""),
        &facts(),
        &[
            "spec.kprobes[0]: found function `security_file_permision`; allowed: functions of this kernel, and of its \
           modules that are loaded; \
           did you mean `security_file_permission` or `security_file_open`?",
        ],
    );
    refused(
        "  kprobes:\n  - {call: sys_wrote, syscall: true}\n",
        &facts(),
        &[
            "spec.kprobes[0]: found system call `wrote`; allowed: system calls of this kernel; did you mean `sys_write`?",
        ],
    );
    refused(
        "  fentries:\n  - {call: security_file_open}\n",
        &facts(),
        &["spec.fentries[0]: found system call `security_file_open`; allowed: system calls of this kernel; \
           `syscall: false` stands for the function `security_file_open`"],
    );
    refused(
        "  lsmhooks:\n  - hook: file_opne\n",
        &facts(),
        &[
            "spec.lsmhooks[0]: found LSM hook `file_opne`; allowed: LSM hooks of this kernel; did you mean `file_open`?",
        ],
    );
    refused(
        "  tracepoints:\n  - {subsystem: sched, event: sched_process_exit2}\n",
        &facts(),
        &[
            "spec.tracepoints[0]: found tracepoint `sched/sched_process_exit2`; allowed: tracepoints of this kernel; \
           did you mean `sched/sched_process_exit`?",
        ],
    );
}

#[test]
fn raw_tracepoints() {
    let raw = |name: &str, rest: &str| {
        format!("  tracepoints:\n  - {{subsystem: sched, event: {name}, raw: true, {rest}}}\n")
    };
    refused(
        &raw("sched_process_exec2", ""),
        &facts(),
        &[
            "spec.tracepoints[0]: found tracepoint `sched/sched_process_exec2`; allowed: tracepoints of this kernel; \
           did you mean `sched/sched_process_exit`?",
        ],
    );
    refused(
        &raw("sched_process_exit", ""),
        &facts(),
        &[
            "spec.tracepoints[0]: found raw tracepoint `sched/sched_process_exit`; allowed: tracepoints in the kernel's \
           BTF; leave out `raw` and count the fields of the tracepoint's `format` file",
        ],
    );
    refused(
        &raw("sched_process_exec", "args: [{index: 3, type: int}, {index: 2, type: file}]"),
        &facts(),
        &[
            "spec.tracepoints[0].args[0]: found index 3; allowed: 0 to 2: sched/sched_process_exec(struct task_struct \
             *p, pid_t old_pid, struct linux_binprm *bprm) has 3 arguments",
            "spec.tracepoints[0].args[1]: found type file for struct linux_binprm *bprm; allowed: linux_binprm, nop: its \
             type is struct linux_binprm *",
        ],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    refused(
        "  kprobes:
  - call: vfs_llseek
    syscall: false
    args: [{index: 4, type: int}, {index: 0, type: string}]
  - call: nothing_like_it
    syscall: false
",
        &facts(),
        &[
            "spec.kprobes[0].args[0]: found index 4; \
             allowed: 0 to 2: vfs_llseek(struct file *file, loff_t offset, int whence) has 3 arguments",
            "spec.kprobes[0].args[1]: found type string for struct file *file; \
             allowed: file, nop: its type is struct file *",
            "spec.kprobes[1]: found function `nothing_like_it`; allowed: functions of this kernel, and of its \
             modules that are loaded",
        ],
    );
}

#[test]
fn arguments_of_other_types() {
    let args = |args: &str| kprobe("many", &format!("    args: [{args}]\n"));
    refused(
        &args("{index: 0, type: int}"),
        &facts(),
        &["spec.kprobes[0].args[0]: found type int32 for char *text; \
           allowed: string, char_buf, nop: its type is char *"],
    );
    refused(
        &args("{index: 3, type: path}"),
        &facts(),
        &["spec.kprobes[0].args[0]: found type path for unsigned int flags; \
           allowed: integer types, fd, capability, bpf_cmd, nop: its type is unsigned int"],
    );
    refused(
        &kprobe("cap_of", "    args: [{index: 2, type: auto}]\n"),
        &facts(),
        &["spec.kprobes[0].args[0]: found type auto for struct rcu_work *work; \
           allowed: a type: struct rcu_work * cannot be shown by itself"],
    );
    refused(
        &kprobe("not_in_btf", "    args: [{index: 0, type: auto}]\n"),
        &facts(),
        &["spec.kprobes[0].args[0]: found type auto for index 0; \
           allowed: a type: this kernel does not tell the types of this function"],
    );
    refused(
        &args("{index: 0, type: char_buf, sizeArgIndex: 6}"),
        &facts(),
        &["spec.kprobes[0].args[0]: found index 5 as the length of index 0; \
           allowed: an integer; it is struct path *path"],
    );
    refused(
        &kprobe("fd_install", "    return: true\n    returnArg: {index: 0, type: int}\n"),
        &facts(),
        &["spec.kprobes[0].returnArg: found a return value of fd_install; \
           allowed: none: BTF says that fd_install returns void"],
    );
}

#[test]
fn arguments_that_are_objects() {
    refused(
        &kprobe("cap_of", "    args: [{index: 0, type: cred}, {index: 1, type: user_namespace}]\n"),
        &facts(),
        &[
            "spec.kprobes[0].args[0]: found type cred for struct user_namespace *ns; \
             allowed: user_namespace, nop: its type is struct user_namespace *",
            "spec.kprobes[0].args[1]: found type user_namespace for int cap; \
             allowed: integer types, fd, capability, bpf_cmd, nop: its type is int",
        ],
    );
    refused(
        &kprobe(
            "init_of",
            "    args: [{index: 0, type: net_device}, {index: 1, type: module}, {index: 2, type: bpf_attr}]\n",
        ),
        &facts(),
        &[
            "spec.kprobes[0].args[0]: found type net_device for struct module *mod; \
             allowed: module, nop: its type is struct module *",
            "spec.kprobes[0].args[1]: found type module for struct net_device *dev; \
             allowed: net_device, nop: its type is struct net_device *",
            "spec.kprobes[0].args[2]: found type bpf_attr for struct bpf_map *map; \
             allowed: bpf_map, nop: its type is struct bpf_map *",
        ],
    );
    // What only the kernel's types tell is refused for a filter as what the policy tells.
    refused(
        &kprobe(
            "cap_of",
            "    args: [{index: 0, type: auto}]\n    selectors:\n    - matchArgs: \
             [{index: 0, operator: Equal, values: ['1']}]\n",
        ),
        &facts(),
        &["spec.kprobes[0].selectors[0].matchArgs[0]: found a filter on a value of type user_namespace; \
           allowed: values that are compared; this type is only shown"],
    );
}

#[test]
fn arguments_of_system_calls() {
    let write = |args: &str| format!("  kprobes:\n  - {{call: sys_write, syscall: true, args: [{args}]}}\n");
    refused(
        &write("{index: 3, type: int}"),
        &facts(),
        &["spec.kprobes[0].args[0]: found index 3; \
           allowed: 0 to 2: sys_write(unsigned int fd, const char *buf, size_t count) has 3 arguments"],
    );
    refused(
        "  kprobes:\n  - {call: sys_unshare, syscall: true, args: [{index: 0, type: auto}]}\n",
        &facts(),
        &["spec.kprobes[0].args[0]: found type auto for index 0; \
             allowed: a type: this kernel does not tell the types of this function"],
    );
    refused(
        "  kprobes:\n  - {call: sys_unshare, syscall: true, args: [{index: 0, type: file}]}\n",
        &facts(),
        &["spec.kprobes[0].args[0]: found type file for index 0 of sys_unshare; allowed: \
           integers, fd, string, char_buf, char_iovec, sockaddr, sockaddr_un, nop: a system call gets no kernel structures"],
    );
}

#[test]
fn fields_of_tracepoints() {
    refused(
        "  tracepoints:\n  - {subsystem: sched, event: sched_process_exit, args: [{index: 7, type: int}, {index: 4, type: data_loc}]}\n",
        &facts(),
        &[
            "spec.tracepoints[0].args[0]: found index 7; allowed: 0 to 6: sched/sched_process_exit has the fields \
             unsigned short common_type, unsigned char common_flags, unsigned char common_preempt_count, \
             int common_pid, char[16] comm, pid_t pid, int prio",
            "spec.tracepoints[0].args[1]: found type data_loc for char[16] comm; \
             allowed: const_buf, string, nop: its type is char[16]",
        ],
    );
}

#[test]
fn verdicts_where_nothing_is_asked() {
    let hint = "security_* functions and lsmhooks: only these are asked before the operation is done; \
                hook the security_* function that the operation passes, or use Sigkill";
    refused(
        "  kprobes:\n  - {call: sys_write, syscall: true, selectors: [{matchActions: [{action: Override, argError: -1}]}]}\n",
        &facts(),
        &[&format!("spec.kprobes[0]: found Override on system call `write`; allowed: {hint}")],
    );
    refused(
        &kprobe("security_bprm_committed_creds", OVERRIDE),
        &facts(),
        &["spec.kprobes[0]: found Override on function `security_bprm_committed_creds`; \
           allowed: functions whose return value decides: the LSM hook bprm_committed_creds returns nothing"],
    );
    refused(
        &format!("  lsmhooks:\n  - hook: bprm_committed_creds\n{OVERRIDE}"),
        &facts(),
        &["spec.lsmhooks[0]: found Override on LSM hook `bprm_committed_creds`; \
           allowed: LSM hooks that return an errno: what this one returns decides nothing"],
    );
    let without = symbols().without("security_file_open").without("bpf_lsm_file_open");
    refused(
        &kprobe("security_file_open", OVERRIDE),
        &facts_with(without.with_probeable("security_file_open")),
        &["spec.kprobes[0]: found Override on function `security_file_open`; \
           allowed: functions in BTF: this kernel has no LSM hook file_open"],
    );
}

#[test]
fn denying_by_what_comes_out() {
    let text = "    return: true
    returnArg: {index: 0, type: int}
    selectors:
    - matchReturnArgs: [{index: 0, operator: Equal, values: [\"0\"]}]
    - matchActions: [{action: Override, argError: -1}]
";
    let at = compile(&[policy("p", &kprobe("security_file_open", text))], &facts()).refusals;
    assert_eq!(at[0].at.as_str(), "spec.kprobes[0].selectors[0].matchReturnArgs[0]");
    assert_eq!(at[0].found, "Override in a hook that asks for what the function returns");
    assert_eq!(at[0].hint.as_deref(), Some("give the rule that denies a hook of its own"));
}

#[test]
fn return_values_that_only_a_kprobe_could_tell() {
    refused(
        &kprobe("not_in_btf", "    return: true\n    returnArg: {index: 0, type: int}\n"),
        &facts(),
        &["spec.kprobes[0]: found the return value of `not_in_btf`; \
           allowed: functions that fexit can attach to: not_in_btf is not in BTF"],
    );
}

#[test]
fn a_kernel_without_btf() {
    let bare = NodeFacts { btf: false, ..facts() };
    refused(
        "  kprobes:\n  - {call: fd_install, syscall: false}\n  tracepoints:\n  - {subsystem: sched, event: sched_process_exit}\n",
        &bare,
        &["spec.kprobes[0]", "spec.tracepoints[0]"].map(|at| match at {
            "spec.kprobes[0]" => {
                "spec.kprobes[0]: found kernel 6.12.95-test without BTF (/sys/kernel/btf/vmlinux); \
                 allowed: kernels built with CONFIG_DEBUG_INFO_BTF: by it the programs find what they read"
            }
            _ => {
                "spec.tracepoints[0]: found kernel 6.12.95-test without BTF (/sys/kernel/btf/vmlinux); \
                 allowed: kernels built with CONFIG_DEBUG_INFO_BTF: by it the programs find what they read"
            }
        }),
    );
}

#[test]
fn lsm_hooks_without_a_function_to_replace() {
    let off = NodeFacts { bpf_lsm: false, ..facts_with(symbols().without("security_file_open")) };
    refused(
        "  lsmhooks:\n  - hook: file_open\n",
        &off,
        &[
            "spec.lsmhooks[0]: found LSM hook `file_open`, and BPF LSM is off (no bpf in /sys/kernel/security/lsm); \
           allowed: hooks whose function is in BTF: security_file_open is not",
        ],
    );
}

#[test]
fn operators_of_the_other_kind() {
    let by_auto = |index: u8, operator: &str, value: &str| {
        kprobe(
            "many",
            &format!(
                "    args: [{{index: {index}, type: auto}}]\n    selectors:\n    - matchArgs: [{{index: {index}, operator: {operator}, values: [\"{value}\"]}}]\n"
            ),
        )
    };
    let at = "spec.kprobes[0].selectors[0].matchArgs[0]";
    refused(
        &by_auto(0, "GreaterThan", "1"),
        &facts(),
        &[&format!(
            "{at}: found an operator for integers on a value of type string; allowed: operators for texts"
        )],
    );
    refused(
        &by_auto(3, "Prefix", "x"),
        &facts(),
        &[&format!("{at}: found a text operator on a value of type uint32; allowed: operators for integers")],
    );
    refused(&by_auto(1, "Equal", "300"), &facts(), &[&format!("{at}: found 300; allowed: 0 to 255")]);
    refused(
        &by_auto(2, "InRange", "1:70000"),
        &facts(),
        &[&format!("{at}: found 70000; allowed: -32768 to 32767")],
    );
}

#[test]
fn namespaces_that_the_node_does_not_tell() {
    let mut facts = facts();
    facts.host_namespaces.clear();
    refused(
        &kprobe(
            "fd_install",
            "    selectors: [{matchNamespaces: [{namespace: Pid, operator: NotIn, values: [\"host_ns\"]}]}]\n",
        ),
        &facts,
        &["spec.kprobes[0].selectors[0].matchNamespaces[0]: found the host's Pid namespace; \
           allowed: namespaces of process 1, which this node does not tell"],
    );
}

#[test]
fn one_bad_policy_does_not_stop_the_others() {
    let bad = policy("a", &kprobe("nothing", ""));
    let good = policy("b", &kprobe("fd_install", ""));
    let compiled = compile(&[bad.clone(), good.clone()], &facts());
    assert_eq!(compiled.refusals.len(), 1);
    assert_eq!(compiled.plan, compile(&[good], &facts()).plan);
}

#[test]
fn two_policies_of_one_name_are_both_refused() {
    let one = policy("a", &kprobe("fd_install", ""));
    let other = policy("a", &kprobe("vfs_read", ""));
    let compiled = compile(&[one, other], &facts());
    let lines: Vec<String> = compiled.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["policy a: metadata.name: found 2 policies of this name; allowed: one; none of them is enforced"]
    );
    assert!(compiled.plan.hooks.is_empty());
}

/// The first place of the probe has argument 0 in a register, the second one has it in memory; 1 is wider, 2 a constant.
#[test]
fn arguments_that_cannot_be_set() {
    let set = |arg: &str| {
        format!(
            "  usdts:\n  - {{path: /bin/program, provider: app, name: step, args: [{arg}], \
             selectors: [{{matchActions: [{{action: Set, argValue: 1}}]}}]}}\n"
        )
    };
    let allowed = "arguments that the program's note has as 4 bytes in memory, as `-4@-20(%rbp)`";
    let no_memory = "Set on an argument that is no memory, but a register or a constant";
    let line = |found| format!("spec.usdts[0].selectors[0]: found {found}; allowed: {allowed}");
    refused(&set("{index: 0, type: int32}"), &facts(), &[&line(no_memory)]);
    let other = line("Set on an argument that is no integer of 4 bytes");
    refused(&set("{index: 1, type: int64}"), &facts(), &[&other, &other]);
    refused(&set("{index: 2, type: auto}"), &facts(), &[&line(no_memory), &line(no_memory)]);
}
