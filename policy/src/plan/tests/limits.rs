//! Limits of a hook point and of a node.

use super::policy;
use crate::model::{Policy, PolicyKey, Rule};
use crate::plan::testing::{FakeSymbols, facts, facts_with};
use crate::plan::*;
use std::fmt::Write as _;

fn with_rules(name: &str, count: usize) -> Policy {
    let mut policy = policy(name, "  lsmhooks:\n  - hook: file_open\n");
    let rule: Rule = policy.hooks[0].rules[0].clone();
    policy.hooks[0].rules = vec![rule; count];
    policy
}

#[track_caller]
fn refusal(policies: &[Policy], facts: &NodeFacts) -> String {
    let compiled = compile(policies, facts);
    let [refusal] = compiled.refusals.as_slice() else { panic!("{:?}", compiled.refusals) };
    assert_eq!(compiled.plan.policies.len(), policies.len() - 1);
    refusal.to_string()
}

#[test]
fn rules_of_a_hook_point() {
    let full = [with_rules("a", 4000), with_rules("b", 96)];
    let compiled = compile(&full, &facts());
    assert_eq!(compiled.refusals, []);
    assert_eq!(compiled.plan.hooks[0].vectors[1].0.len(), 64);
    let wanted = "policy c: spec.lsmhooks[0]: found 4097 rules (selectors); \
                  allowed: 4096 at lsm/file_open over all policies";
    assert_eq!(refusal(&[with_rules("c", 1), full[1].clone(), full[0].clone()], &facts()), wanted);
    let text = refusal(&[with_rules("a", 4097), with_rules("b", 4096)], &facts());
    assert!(text.starts_with("policy a: "), "{text}: what is refused takes nothing");
}

#[test]
fn fields_of_a_hook_point() {
    let kinds = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"];
    let read = |name: &str, kind: &str, index: usize| {
        let args = format!("args: [{{index: {index}, type: {kind}}}]");
        policy(name, &format!("  kprobes:\n  - {{call: many, syscall: false, {args}}}\n"))
    };
    // An argument of 8 bytes can be read as each of them.
    let mut policies: Vec<Policy> = kinds.iter().map(|kind| read(&format!("p-{kind}"), kind, 4)).collect();
    policies.push(read("q-same", "int32", 4));
    assert_eq!(compile(&policies, &facts()).refusals, []);
    policies.push(read("z", "path", 5));
    assert_eq!(
        refusal(&policies, &facts()),
        "policy z: spec.kprobes[0]: found 9 different arguments; allowed: 8 at fentry/many over all policies"
    );
}

#[test]
fn columns_of_a_hook_point() {
    let filters = |count: u64| {
        let one = "{operator: In, values: [\"CAP_SYS_ADMIN\"]}, ";
        let list = one.repeat(count as usize);
        format!("  lsmhooks:\n  - {{hook: file_open, selectors: [{{matchCapabilities: [{list}]}}]}}\n")
    };
    let compiled = compile(&[policy("a", &filters(16))], &facts());
    assert_eq!(compiled.refusals, []);
    assert_eq!(compiled.plan.hooks[0].columns.len(), 16);
    assert_eq!(
        refusal(&[policy("a", &filters(17))], &facts()),
        "policy a: spec.lsmhooks[0]: found 17 different filters; allowed: 16 at lsm/file_open over all policies"
    );
}

#[test]
fn intervals_of_a_column() {
    let ranges = |name: &str, count: u64| {
        let mut list = String::new();
        for number in 0..count {
            write!(list, "\"{}:{}\", ", number * 10, number * 10 + 5).unwrap();
        }
        let test = format!("{{index: 4, operator: InRange, values: [{list}]}}");
        let args = "args: [{index: 4, type: uint64}]";
        policy(
            name,
            &format!(
                "  kprobes:\n  - {{call: many, syscall: false, {args}, selectors: [{{matchArgs: [{test}]}}]}}\n"
            ),
        )
    };
    let policies = [ranges("a", 8191), ranges("b", 1)];
    assert_eq!(
        refusal(&policies, &facts()),
        "policy b: spec.kprobes[0]: found 16385 intervals of one value; allowed: 16384 at fentry/many over all policies"
    );
    let plan = compile(&policies[..1], &facts()).plan;
    let ColumnTable::Number { intervals, .. } = &plan.hooks[0].columns[0].table else { panic!() };
    assert_eq!(intervals.len(), 2 * 8191);
}

#[test]
fn hook_points_of_a_node() {
    let mut symbols = FakeSymbols::default();
    let mut policies = Vec::new();
    for number in 0..257 {
        symbols = symbols.with_function(&format!("int f{number:03}(int a)"));
        let text = format!("  kprobes:\n  - {{call: \"f{number:03}\", syscall: false}}\n");
        policies.push(policy(&format!("p{number:03}"), &text));
    }
    let facts = facts_with(symbols);
    assert_eq!(
        refusal(&policies, &facts),
        "policy p256: spec: found 257 hook points; allowed: 256 on a node"
    );
    policies.truncate(256);
    assert_eq!(compile(&policies, &facts).plan.hooks.len(), 256);
}

#[test]
fn policies_of_a_node() {
    let one = policy("p", "  tracepoints:\n  - {subsystem: sched, event: sched_process_exit}\n");
    let many: Vec<Policy> = (0..8193)
        .map(|number| {
            let mut policy = one.clone();
            policy.key = PolicyKey { namespace: None, name: format!("p{number:04}") };
            // Rules are not what runs out here.
            policy.hooks[0].rules.truncate(usize::from(number % 3 == 0));
            policy
        })
        .collect();
    assert_eq!(
        refusal(&many, &facts()),
        "policy p8192: metadata.name: found 8193 policies; allowed: 8192 on a node"
    );
}

#[test]
fn texts_that_no_table_holds() {
    let mut long = policy(
        "p",
        "  lsmhooks:\n  - {hook: file_open, args: [{index: 0, type: file}], selectors: [{matchArgs: [{index: 0, operator: Postfix, values: [x]}]}]}\n",
    );
    let crate::model::Predicate::Arg { test: crate::model::ValueTest::Text(test), .. } =
        &mut long.hooks[0].rules[0].predicates[0]
    else {
        panic!()
    };
    test.values[0] = "x".repeat(129);
    assert_eq!(
        refusal(&[long], &facts()),
        "policy p: spec.lsmhooks[0].selectors[0].matchArgs[0]: found a text of 129 bytes; \
         allowed: texts of 1 to 128 bytes without NUL"
    );
}
