//! Which program a hook gets on which node.

use super::policy;
use crate::plan::testing::{FakeSymbols, facts, facts_with, symbols};
use crate::plan::*;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::lictor_field_kind as kind;
use std::sync::Arc;

/// A kprobe with one `file` argument, `more` lines and one action.
fn kprobe(call: &str, more: &str, action: &str) -> crate::model::Policy {
    let action = match action {
        "" => String::new(),
        action => format!("\n    selectors:\n    - matchActions:\n      - {action}"),
    };
    policy(
        "p",
        &format!(
            "  kprobes:\n  - call: {call}\n    syscall: false{more}\n    args:\n    - index: 0\n      type: file{action}\n"
        ),
    )
}

fn lsm(hook: &str, action: &str) -> crate::model::Policy {
    policy(
        "p",
        &format!("  lsmhooks:\n  - hook: {hook}\n    selectors:\n    - matchActions:\n      - {action}\n"),
    )
}

const OVERRIDE: &str = "{action: Override, argError: -13}";
const RETURN: &str = "\n    return: true\n    returnArg: {index: 0, type: int}";

fn hook(policy: &crate::model::Policy, facts: &NodeFacts) -> HookPlan {
    let compiled = compile(std::slice::from_ref(policy), facts);
    assert_eq!(compiled.refusals, []);
    let [hook] = compiled.plan.hooks.as_slice() else { panic!("{:?}", compiled.plan) };
    hook.clone()
}

#[track_caller]
fn lands(policy: &crate::model::Policy, facts: &NodeFacts, point: &str, reason: &str) -> HookPlan {
    let hook = hook(policy, facts);
    assert_eq!((hook.point.to_string().as_str(), hook.reason.as_str()), (point, reason));
    hook
}

#[test]
fn what_only_reports_gets_a_trampoline() {
    let function = "security_file_permission";
    lands(
        &kprobe(function, "", ""),
        &facts(),
        "fentry/security_file_permission",
        "fentry on security_file_permission: rules only report",
    );
    let hook = lands(
        &kprobe(function, RETURN, ""),
        &facts(),
        "fexit/security_file_permission",
        "fexit on security_file_permission: rules only report, and the return value is asked for",
    );
    assert_eq!(hook.shape.argument_count, 2);
    let returned = hook.groups[0].return_arg.as_ref().unwrap();
    let field = hook.shape.fields[usize::from(returned.field.unwrap())];
    assert_eq!(u32::from(field.source), wire::LICTOR_SOURCE_RETURN);
    assert_eq!((field.width, u32::from(field.flags)), (4, wire::LICTOR_FIELD_SIGNED));
}

#[test]
fn a_verdict_on_a_security_function_gets_its_lsm_hook() {
    let hook = lands(
        &kprobe("security_file_permission", "", OVERRIDE),
        &facts(),
        "lsm/file_permission",
        "LSM hook file_permission for security_file_permission: a rule denies, and BPF LSM is on",
    );
    assert_eq!(hook.groups[0].function_name, "security_file_permission");
    assert_eq!(hook.groups[0].event, EventKind::Kprobe);
    let hook = lands(
        &kprobe("security_file_permission", "", "{action: Sigkill}"),
        &facts(),
        "lsm/file_permission",
        "LSM hook file_permission for security_file_permission: a rule kills, which also denies, and BPF LSM is on",
    );
    let deny_and_kill = wire::LICTOR_RULE_RECORD | wire::LICTOR_RULE_DENY | wire::LICTOR_RULE_SIGNAL;
    assert_eq!((hook.rules[0].flags, hook.rules[0].verdict, hook.rules[0].signal), (deny_and_kill, -1, 9));
}

#[test]
fn another_signal_denies_nothing() {
    let hook = lands(
        &kprobe("security_file_permission", "", "{action: Signal, argSig: 15}"),
        &facts(),
        "fentry/security_file_permission",
        "fentry on security_file_permission: rules report or signal, and nothing here can be denied",
    );
    assert_eq!((hook.rules[0].flags & wire::LICTOR_RULE_DENY, hook.rules[0].signal), (0, 15));
}

#[test]
fn without_bpf_lsm_the_return_value_is_replaced() {
    let facts = NodeFacts { bpf_lsm: false, ..facts() };
    lands(
        &kprobe("security_file_permission", "", OVERRIDE),
        &facts,
        "fmod_ret/security_file_permission",
        "fmod_ret on security_file_permission: a rule denies, and BPF LSM is off (no bpf in /sys/kernel/security/lsm)",
    );
    let hook = lands(
        &lsm("file_open", OVERRIDE),
        &facts,
        "fmod_ret/security_file_open",
        "fmod_ret on security_file_open: BPF LSM is off (no bpf in /sys/kernel/security/lsm)",
    );
    assert_eq!((hook.groups[0].function_name.as_str(), hook.groups[0].event), ("file_open", EventKind::Lsm));
    let post = lands(
        &lsm("bprm_committed_creds", "{action: Post}"),
        &facts,
        "fentry/security_bprm_committed_creds",
        "fentry on security_bprm_committed_creds: rules only report (BPF LSM is off (no bpf in /sys/kernel/security/lsm))",
    );
    assert_eq!(post.groups[0].event, EventKind::Lsm);
}

#[test]
fn hooks_and_functions_of_different_names_find_each_other() {
    let bprm = |action: &str| {
        policy(
            "p",
            &format!(
                "  kprobes:\n  - call: security_bprm_check\n    syscall: false\n    selectors:\n    - matchActions:\n      - {action}\n"
            ),
        )
    };
    assert_eq!(hook(&bprm(OVERRIDE), &facts()).point.to_string(), "lsm/bprm_check_security");
    let off = NodeFacts { bpf_lsm: false, ..facts() };
    assert_eq!(
        hook(&lsm("bprm_check_security", OVERRIDE), &off).point.to_string(),
        "fmod_ret/security_bprm_check"
    );
}

#[test]
fn the_arguments_of_mmap_file_are_those_of_the_function() {
    let mmap = |section: &str, name: &str, index: u8| {
        let text = format!(
            "  {section}: {name}\n    args: [{{index: {index}, type: uint64}}]\n    selectors:\n    - matchActions:\n      - {OVERRIDE}\n"
        );
        policy("p", &text)
    };
    let function = |index| mmap("kprobes:\n  - syscall: false\n    call", "security_mmap_file", index);
    let source = |hook: HookPlan| hook.shape.fields[0].source;
    assert_eq!(source(hook(&function(1), &facts())), 1, "prot as asked is reqprot");
    assert_eq!(source(hook(&function(2), &facts())), 3, "flags come last");
    let off = NodeFacts { bpf_lsm: false, ..facts() };
    let by_hook = |index| mmap("lsmhooks:\n  - hook", "mmap_file", index);
    assert_eq!(source(hook(&function(2), &off)), 2);
    assert_eq!(source(hook(&by_hook(3), &facts())), 3);
    assert_eq!(source(hook(&by_hook(3), &off)), 2);
    let compiled = compile(&[by_hook(2)], &off);
    assert_eq!(
        compiled.refusals[0].to_string(),
        "policy p: spec.lsmhooks[0].args[0]: found index 2 of mmap_file (unsigned long prot); \
         allowed: arguments that the attached function has too"
    );
}

#[test]
fn a_hook_with_other_arguments_than_its_function_is_no_substitute() {
    let rename = policy(
        "p",
        &format!(
            "  kprobes:\n  - call: security_inode_rename\n    syscall: false\n    selectors:\n    - matchActions:\n      - {OVERRIDE}\n"
        ),
    );
    lands(
        &rename,
        &facts(),
        "fmod_ret/security_inode_rename",
        "fmod_ret on security_inode_rename: a rule denies, and the LSM hook inode_rename has other arguments",
    );
}

#[test]
fn hooks_that_take_no_programs_are_reached_by_their_function() {
    lands(
        &lsm("inode_copy_up_xattr", OVERRIDE),
        &facts(),
        "fmod_ret/security_inode_copy_up_xattr",
        "fmod_ret on security_inode_copy_up_xattr: this hook takes no programs",
    );
    let text = "  kprobes:\n  - {call: security_inode_copy_up_xattr, syscall: false, selectors: [{matchActions: [{action: Sigkill}]}]}\n";
    lands(
        &policy("p", text),
        &facts(),
        "fmod_ret/security_inode_copy_up_xattr",
        "fmod_ret on security_inode_copy_up_xattr: a rule kills, which also denies, \
         and the LSM hook inode_copy_up_xattr takes no programs",
    );
}

#[test]
fn a_verdict_is_what_a_return_argument_shows() {
    let hook = hook(&kprobe("security_file_permission", RETURN, OVERRIDE), &facts());
    assert_eq!(hook.point.attach, Attach::Lsm);
    assert_eq!(hook.groups[0].return_arg.as_ref().unwrap().field, None);
    assert_eq!(hook.shape.fields.len(), 1);
}

#[test]
fn killing_after_the_fact_is_no_verdict() {
    let text = "  kprobes:
  - call: security_file_permission
    syscall: false
    return: true
    returnArg: {index: 0, type: int}
    selectors:
    - matchReturnArgs: [{index: 0, operator: Equal, values: [\"0\"]}]
      matchActions: [{action: Sigkill}]
";
    let hook = hook(&policy("p", text), &facts());
    assert_eq!(hook.point.to_string(), "fexit/security_file_permission");
    assert_eq!((hook.rules[0].flags & wire::LICTOR_RULE_DENY, hook.rules[0].verdict), (0, 0));
}

#[test]
fn what_btf_does_not_know_gets_a_kprobe() {
    lands(
        &kprobe("not_in_btf", "", ""),
        &facts(),
        "kprobe/not_in_btf",
        "kprobe on not_in_btf: rules only report, and not_in_btf is not in BTF",
    );
    let seven =
        policy("p", "  kprobes:\n  - {call: do_seven, syscall: false, args: [{index: 5, type: int}]}\n");
    lands(
        &seven,
        &facts(),
        "kprobe/do_seven",
        "kprobe on do_seven: rules only report, and do_seven has more than 6 arguments",
    );
}

#[test]
fn a_void_hook_kills_without_denying() {
    let hook = hook(&lsm("bprm_committed_creds", "{action: Sigkill}"), &facts());
    assert_eq!(hook.point.to_string(), "lsm/bprm_committed_creds");
    assert_eq!(hook.rules[0].flags & wire::LICTOR_RULE_DENY, 0);
}

#[test]
fn a_system_call_reads_the_registers_of_its_caller() {
    let write = "  kprobes:
  - call: sys_write
    syscall: true
    args:
    - {index: 0, type: int}
    - {index: 1, type: char_buf, sizeArgIndex: 3}
    - {index: 2, type: auto}
";
    let hook = hook(&policy("p", write), &facts());
    assert_eq!(hook.point.to_string(), "fentry/__x64_sys_write");
    assert_eq!(u32::from(hook.shape.flags), wire::LICTOR_SHAPE_SYSCALL);
    assert_eq!((hook.shape.argument_count, hook.groups[0].function_name.as_str()), (1, "__x64_sys_write"));
    let [fd, buffer, count] = hook.shape.fields.as_slice() else { panic!("{hook:?}") };
    assert_eq!((fd.source, fd.width, u32::from(fd.flags)), (0, 4, wire::LICTOR_FIELD_SIGNED));
    assert_eq!(
        (u32::from(buffer.kind), buffer.size_source, buffer.width),
        (kind::LICTOR_FIELD_CHAR_BUF, 2, 8)
    );
    assert_eq!((count.source, count.width, count.flags), (2, 8, 0));
    let named = policy("q", "  kprobes:\n  - {call: __x64_sys_write, syscall: false}\n");
    assert_eq!(compile(&[named], &facts()).plan.hooks[0].shape.flags, hook.shape.flags);
}

/// What the length of the address at `index` of `call` is taken from, and its width.
fn length_of_address(facts: &NodeFacts, call: &str, index: u8, more: &str) -> (u32, u8) {
    let text = format!(
        "  kprobes:\n  - call: {call}\n    syscall: false\n    args: [{{index: {index}, type: sockaddr_un{more}}}]\n"
    );
    let hook = hook(&policy("p", &text), facts);
    assert_eq!(u32::from(hook.shape.flags) & wire::LICTOR_SHAPE_UNIX, wire::LICTOR_SHAPE_UNIX);
    let [address] = hook.shape.fields.as_slice() else { panic!("{hook:?}") };
    assert_eq!(u32::from(address.kind), kind::LICTOR_FIELD_SOCKADDR_UN);
    (address.size_source.into(), address.width)
}

#[test]
fn an_address_is_as_long_as_the_argument_behind_it_says() {
    let symbols = FakeSymbols::default()
        .with_function("int unix_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)")
        .with_function("int unix_flags(struct sockaddr_un *addr, int flags, int length)")
        .with_function("int unix_last(struct sockaddr_un *addr)");
    let facts = NodeFacts { symbols: Arc::new(symbols), ..facts() };
    let none = (wire::LICTOR_SOURCE_NONE, 0);
    assert_eq!(length_of_address(&facts, "unix_bind", 1, ""), (2, 4));
    assert_eq!(length_of_address(&facts, "unix_flags", 0, ""), none, "what follows is no length");
    assert_eq!(length_of_address(&facts, "unix_flags", 0, ", sizeArgIndex: 3"), (2, 4));
    assert_eq!(length_of_address(&facts, "unix_last", 0, ""), none);
}

#[test]
fn a_function_of_a_module_gets_a_kprobe_that_knows_its_arguments() {
    let add = |more: &str, args: &str| {
        policy(
            "p",
            &format!("  kprobes:\n  - call: br_add_if\n    syscall: false{more}\n    args: [{args}]\n"),
        )
    };
    let found = lands(
        &add("", "{index: 0, type: auto, resolve: ageing}, {index: 0, type: string, resolve: owner.comm}"),
        &facts(),
        "kprobe/bridge:br_add_if",
        "kprobe on br_add_if of the module bridge: rules only report, and the module stays free to be removed",
    );
    let [one, other] = found.shape.fields.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.source, one.steps[0], one.width), (0, 16, 4));
    assert_eq!((other.step_count, &other.steps[..2]), (2, &[0, 32][..]));
    let refused = |policy: crate::model::Policy| compile(&[policy], &facts()).refusals[0].to_string();
    let text = refused(add("", "{index: 1, type: int}"));
    assert!(text.contains("0: br_add_if(struct net_bridge *br) has 1 argument"), "{text}");
    let text = refused(add("", "{index: 0, type: file}"));
    assert!(text.contains("its type is struct net_bridge *"), "{text}");
}

#[test]
fn the_end_of_a_function_of_a_module_is_a_fexit_that_holds_it() {
    let at_end = |call: &str, more: &str| {
        let hook = format!("  kprobes:\n  - call: {call}\n    syscall: false{RETURN}\n");
        policy("p", &format!("{hook}    args: [{{index: 0, type: auto, resolve: ageing}}]\n{more}"))
    };
    let watch = at_end(
        "br_add_if",
        "    selectors:\n    - matchReturnArgs: [{index: 0, operator: NotEqual, values: [0]}]\n",
    );
    let found = lands(
        &watch,
        &facts(),
        "fexit/bridge:br_add_if",
        "fexit on br_add_if of the module bridge: rules only report, and the return value is asked for; \
         the module cannot be removed as long as this is attached",
    );
    assert_eq!((found.point.symbol.as_str(), found.shape.argument_count), ("bridge:br_add_if@4711", 1));
    assert_eq!(found.groups[0].function_name, "br_add_if");
    let warnings = compile(&[watch], &facts()).warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "policy p: spec.kprobes[0]: found the end of `br_add_if`, a function of the module bridge; the module cannot be \
          removed as long as the policy is live"
        ]
    );
    for (call, why) in [
        ("br_bare", "br_bare is not in the BTF of the module bridge"),
        ("br_seven", "br_seven has more than 6 arguments"),
    ] {
        let text = compile(&[at_end(call, "")], &facts()).refusals[0].to_string();
        let expected =
            format!("found the return value of `{call}`; allowed: functions that fexit can attach to: {why}");
        assert!(text.contains(&expected), "{text}");
        let begin = policy("p", &format!("  kprobes:\n  - {{call: {call}, syscall: false}}\n"));
        assert_eq!(hook(&begin, &facts()).point.to_string(), format!("kprobe/bridge:{call}"));
    }
}

#[test]
fn a_module_that_comes_or_goes_is_another_answer() {
    let with = |load| facts_with(symbols().with_bridge(load));
    let bare = policy("p", "  kprobes:\n  - {call: br_add_if, syscall: false}\n");
    let compiled = |load| compile(std::slice::from_ref(&bare), &with(load));
    let absent = compiled(None);
    assert_eq!(
        absent.refusals[0].to_string(),
        "policy p: spec.kprobes[0]: found function `br_add_if`; allowed: functions of this kernel, and of its modules that \
         are loaded"
    );
    let (one, other) = (compiled(Some(1)), compiled(Some(2)));
    assert_ne!(one.plan.hooks[0].point, other.plan.hooks[0].point);
    assert_ne!(one.plan.digest, other.plan.digest);
    for (answers, load) in [(&absent.answers, None), (&one.answers, Some(1))] {
        for now in [None, Some(1), Some(2)] {
            assert_eq!(answers.have_changed(&*with(now).symbols), now != load, "{load:?} {now:?}");
        }
    }
    let own = compile(&[policy("p", "  kprobes:\n  - {call: fd_install, syscall: false}\n")], &with(None));
    assert!(!own.answers.have_changed(&*with(Some(1)).symbols));
}

#[test]
fn a_buffer_that_the_call_fills_is_read_at_its_end() {
    let read = "  kprobes:
  - call: sys_read
    syscall: true
    return: true
    returnArg: {index: 0, type: int64}
    args:
    - {index: 1, type: char_buf, sizeArgIndex: 3, returnCopy: true}
";
    let hook = hook(&policy("p", read), &facts());
    assert_eq!(hook.point.to_string(), "fexit/__x64_sys_read");
    assert_eq!(u32::from(hook.shape.fields[0].flags), wire::LICTOR_FIELD_RETURN_COPY);
}

#[test]
fn a_tracepoint_reads_at_the_offsets_of_its_record() {
    let exit = "  tracepoints:
  - subsystem: syscalls
    event: sys_enter_write
    args:
    - {index: 5, type: uint64}
    - {index: 6, type: char_buf, sizeArgIndex: 8}
";
    let hook = hook(&policy("p", exit), &facts());
    assert_eq!(hook.point.to_string(), "tracepoint/syscalls/sys_enter_write");
    let [fd, buffer] = hook.shape.fields.as_slice() else { panic!("{hook:?}") };
    assert_eq!((fd.offset, fd.width, fd.flags), (16, 4, 0), "an unsigned int in eight bytes");
    assert_eq!((buffer.offset, buffer.size_offset, buffer.width), (24, 32, 8));
    assert_ne!(u32::from(buffer.size_source), wire::LICTOR_SOURCE_NONE);
}

#[test]
fn a_raw_tracepoint_reads_its_arguments() {
    let exec = "  tracepoints:
  - subsystem: sched
    event: sched_process_exec
    raw: true
    args: [{index: 2, type: auto}, {index: 1, type: int}]
";
    let hook = hook(&policy("p", exec), &facts());
    assert_eq!(hook.point.to_string(), "raw_tracepoint/sched/sched_process_exec");
    let mut sources: Vec<u8> = hook.shape.fields.iter().map(|field| field.source).collect();
    sources.sort_unstable();
    assert_eq!(sources, [1, 2]);
}

#[test]
fn arguments_that_are_not_read_have_no_field() {
    let text = "  kprobes:\n  - {call: create_user_ns, syscall: false, args: [{index: 0, type: nop}]}\n";
    let hook = hook(&policy("p", text), &facts());
    assert!(hook.shape.fields.is_empty() && hook.groups[0].args.is_empty());
}

#[test]
fn ids_are_integers_although_c_wraps_them() {
    let text = "  kprobes:\n  - {call: security_path_chown, syscall: false, args: [{index: 1, type: auto}, {index: 2, type: uint64}]}\n";
    let hook = hook(&policy("p", text), &facts());
    assert_eq!(hook.shape.fields.iter().map(|field| field.width).collect::<Vec<_>>(), [4, 4]);
}

/// A policy about all functions that a pattern fits.
fn fitting(pattern: &str, more: &str) -> crate::model::Policy {
    let lists = format!("  lists: [{{name: l, type: generated_ftrace, pattern: '{pattern}'}}]\n");
    policy("p", &format!("{lists}  kprobes:\n  - call: list:l\n{more}"))
}

#[test]
fn a_pattern_is_a_hook_for_each_function_that_it_fits() {
    let compiled = compile(&[fitting("^security_file_(permission|open)$", "")], &facts());
    assert_eq!(compiled.refusals, []);
    let points: Vec<String> = compiled.plan.hooks.iter().map(|hook| hook.point.to_string()).collect();
    assert_eq!(points, ["fentry/security_file_open", "fentry/security_file_permission"]);
    let refused = |policy| {
        let refusals = compile(&[policy], &facts()).refusals;
        refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(refused(fitting("^nothing_", "")).contains("the pattern `^nothing_`, which no function fits"));
    let passed_over = compile(&[fitting("^nothing_", "    ignore: {callNotFound: true}\n")], &facts());
    assert_eq!((passed_over.refusals.len(), passed_over.warnings.len()), (0, 1));
}

#[test]
fn missing_functions_may_be_passed_over() {
    let text = "  kprobes:
  - {call: no_such_function, syscall: false, ignore: {callNotFound: true}}
  - {call: fd_install, syscall: false}
";
    let compiled = compile(&[policy("p", text)], &facts());
    assert_eq!(compiled.refusals, []);
    assert_eq!(compiled.plan.hooks.len(), 1);
    assert_eq!(
        compiled.warnings[0].to_string(),
        "policy p: spec.kprobes[0]: found function `no_such_function`, which this kernel lacks; the hook is passed over"
    );
}
