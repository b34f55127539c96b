//! What rules leave for their policy's enforcer.

use super::policy;
use crate::model::{Enforcement, Policy};
use crate::plan::testing::{facts, facts_with, symbols};
use crate::plan::*;
use lictor_node_worker_ebpf as wire;

const ALL: u32 = wire::LICTOR_RULE_NOTIFY | wire::LICTOR_RULE_CONSUME | wire::LICTOR_RULE_CLEANUP;

/// A policy that denies at `security_file_open` after a system call.
fn denying(name: &str, error: i16, more: &str) -> Policy {
    policy(
        name,
        &format!(
            "  enforcers: [{{calls: [security_file_open]}}]\n{more}  kprobes:\n  - call: sys_write\n    selectors:\n    \
             - matchActions: [{{action: NotifyEnforcer, argError: {error}}}]\n"
        ),
    )
}

/// Each rule of a policy: hook point, what it does with notifications, the notification, and what else it does.
fn rules(policies: &[Policy]) -> Vec<(String, u32, u64, u32)> {
    let symbols = symbols()
        .with_tracepoint("raw_syscalls", "sys_enter", &["long id", "unsigned long[6] args"])
        .with_raw_tracepoint("void sys_enter(struct pt_regs *regs, long id)");
    let compiled = compile(policies, &facts_with(symbols));
    assert_eq!(compiled.refusals, []);
    let hooks = compiled.plan.hooks;
    let rules = hooks.iter().flat_map(|hook| hook.rules.iter().map(|rule| (hook.point.to_string(), rule)));
    rules
        .map(|(point, rule)| {
            let other = rule.flags & !ALL & !wire::LICTOR_RULE_RECORD;
            (point, rule.flags & ALL, rule.notification, other)
        })
        .collect()
}

#[test]
fn a_call_asks_for_what_is_left_elsewhere() {
    let found = rules(&[denying("one", -13, "")]);
    let [(call, consumes, number, denies), (_, notifies, left, nothing)] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(call, "lsm/file_open");
    assert_eq!((*consumes, *denies), (wire::LICTOR_RULE_CONSUME, wire::LICTOR_RULE_DENY));
    assert_eq!((*notifies, *nothing), (wire::LICTOR_RULE_NOTIFY, 0));
    assert_eq!(number, left);
    let plan = compile(&[denying("one", -13, "")], &facts()).plan;
    for hook in &plan.hooks {
        assert_ne!(u32::from(hook.shape.flags) & wire::LICTOR_SHAPE_NOTIFICATIONS, 0, "{}", hook.point);
    }
    let [column] = &plan.hooks[0].columns[..] else { panic!("{plan:?}") };
    assert_eq!(column.table, ColumnTable::Notifications([(*number, (1, 0))].into()));
    assert_eq!(
        (column.default_vector, column.unresolved_vector),
        (0, 0),
        "nothing is denied for lack of memory"
    );
}

#[test]
fn numbers_are_of_one_policy_as_it_is_written() {
    let number = |policy: &Policy| {
        let numbers = notification_numbers(policy);
        numbers[&Enforcement { deny: Some(-13), signal: None }]
    };
    let one = number(&denying("one", -13, ""));
    let others = [
        denying("two", -13, ""),
        denying("one", -13, "  mode: monitor\n"),
        policy(
            "one",
            "  enforcers: [{calls: [security_file_open]}]\n  kprobes:\n  - call: sys_write\n    selectors:\n    \
             - matchActions: [{action: NotifyEnforcer, argError: -13}]\n    \
             - matchActions: [{action: NotifyEnforcer, argSig: 9}]\n",
        ),
    ];
    for other in &others {
        assert_ne!(one >> wire::LICTOR_NOTIFICATION_BITS, number(other) >> wire::LICTOR_NOTIFICATION_BITS);
    }
    let both = notification_numbers(&others[2]);
    let mut heads: Vec<u64> = both.values().map(|number| number >> wire::LICTOR_NOTIFICATION_BITS).collect();
    heads.dedup();
    assert_eq!((both.len(), heads.len()), (2, 1));
    // Beside others and with another call it is the same.
    let beside = rules(&[denying("one", -13, ""), denying("two", -13, "")]);
    assert!(beside.iter().any(|(_, _, number, _)| *number == one));
}

#[test]
fn at_the_call_itself_a_rule_acts_at_once() {
    let signal = "[{action: NotifyEnforcer, argSig: 10}]";
    let calls = |calls: &str, hook: &str| {
        policy(
            "here",
            &format!(
                "  lists: [{{name: all, type: generated_syscalls}}]\n  enforcers: [{{calls: [{calls}]}}]\n{hook}    \
                 selectors: [{{matchActions: {signal}}}]\n"
            ),
        )
    };
    let at_write = "  kprobes:\n  - call: sys_write\n";
    let at_end = "  kprobes:\n  - call: sys_write\n    return: true\n    returnArg: {index: 0, type: long}\n";
    let before = "  tracepoints:\n  - subsystem: raw_syscalls\n    event: sys_enter\n";
    for (calls_of, hook, at_once) in [
        ("sys_write", at_write, true),
        ("'list:all'", at_write, true),
        ("'list:all'", at_end, false),
        ("sys_read", at_write, false),
        ("'list:all'", before, true),
        ("sys_write", before, false),
    ] {
        let found = rules(&[calls(calls_of, hook)]);
        let own: Vec<_> =
            found.iter().filter(|(_, flags, ..)| flags & wire::LICTOR_RULE_CONSUME == 0).collect();
        let [(_, flags, number, other)] = &own[..] else { panic!("{found:?}") };
        let wanted =
            if at_once { (0, 0, wire::LICTOR_RULE_SIGNAL) } else { (wire::LICTOR_RULE_NOTIFY, *number, 0) };
        assert_eq!((*flags, *number, *other), wanted, "{calls_of} {hook}");
    }
}

#[test]
fn system_calls_cannot_be_made_to_fail() {
    let spec = "  lists: [{name: all, type: generated_syscalls}]\n  enforcers: [{calls: [sys_write, 'list:all']}]\n  \
                kprobes:\n  - call: sys_read\n    selectors:\n    - matchActions: [{action: NotifyEnforcer, argError: -1, argSig: 9}]\n";
    let lines: Vec<String> =
        compile(&[policy("p", spec)], &facts()).refusals.iter().map(ToString::to_string).collect();
    let rest = "allowed: security_* functions: only these are asked before the operation is done; name the security_* \
                functions that the operation passes in `calls`, or leave out `argError`: `argSig` alone signals at any call";
    let at = "policy p: spec.enforcers[0].calls";
    assert_eq!(
        lines,
        [
            format!("{at}[0]: found argError at system call `write`; {rest}"),
            format!("{at}[1]: found argError at every system call; {rest}"),
        ]
    );
}
