//! Expressions in plans: one column, types that the kernel tells, what may be remembered, limits.

use super::policy;
use crate::plan::testing::facts;
use crate::plan::*;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_column_kind as kind, lictor_column_source as from};

const MANY: &str = "  kprobes:\n  - call: many\n    syscall: false\n";

fn plan(name: &str, spec: &str) -> Compiled {
    compile(&[policy(name, spec)], &facts())
}

fn refusal(spec: &str) -> String {
    let compiled = plan("p", spec);
    let [refusal] = compiled.refusals.as_slice() else { panic!("{:?}", compiled.refusals) };
    refusal.to_string()
}

/// The expressions of the only hook point, and of how many columns that is.
fn expressions(policies: &[crate::model::Policy]) -> (Vec<ExpressionPlan>, usize) {
    let compiled = compile(policies, &facts());
    assert_eq!(compiled.refusals, []);
    let [hook] = compiled.plan.hooks.as_slice() else { panic!() };
    let found = hook.shape.columns.iter().zip(&hook.columns).filter_map(|(shape, column)| {
        let ColumnTable::Expression(expressions) = &column.table else { return None };
        assert_eq!(u32::from(shape.kind), kind::LICTOR_COLUMN_EXPRESSION);
        assert_eq!(u32::from(shape.source), from::LICTOR_FROM_FIELDS);
        Some(expressions.clone())
    });
    let found: Vec<_> = found.collect();
    (found.concat(), found.len())
}

fn asks(texts: &[&str]) -> String {
    let args = "args: [{index: 1, type: uint8}, {index: 3, type: uint32}, {index: 4, type: int64}]";
    let filters =
        texts.iter().map(|text| format!("{{args: [0, 1, 2], operator: CelExpr, values: ['{text}']}}"));
    let filters = filters.collect::<Vec<_>>().join(", ");
    format!("{MANY}    {args}\n    selectors:\n    - matchArgs: [{filters}]\n")
}

#[test]
fn all_expressions_of_a_hook_point_are_in_one_column_and_each_is_there_once() {
    let one = policy("a", &asks(&["arg0 < arg1 && arg0 == 4", "arg2 > 1"]));
    let other = policy("b", &asks(&["arg2 > 1", "arg2 > 2", "arg2 > 1"]));
    let (found, columns) = expressions(&[one, other]);
    assert_eq!((found.len(), columns), (3, 1));
    assert!(found.iter().all(|one| one.wanted != 0 && one.unread == 0), "{found:?}");
}

#[test]
fn what_only_the_kernel_knows_is_checked_with_its_answer() {
    let auto = |text: &str| {
        format!(
            "{MANY}    args: [{{index: 1}}, {{index: 2}}, {{index: 5}}]\n    selectors:\n    - matchArgs: [{{args: [0, 1], \
             operator: CelExpr, values: ['{text}']}}]\n"
        )
    };
    assert_eq!(expressions(&[policy("p", &auto("uint32(arg1) == arg0"))]).0.len(), 1);
    assert_eq!(
        refusal(&auto("arg0 == arg1")),
        "policy p: spec.kprobes[0].selectors[0].matchArgs[0].values[0]: found `==` between uint32 and int32 (column 6 of the \
         expression); allowed: two integers with a sign, or two without one; convert one of them, as `int(...)` or `uint(...)`"
    );
    let text = auto("arg0 == 1 || arg2 == 1").replace("[0, 1]", "[0, 2]");
    assert_eq!(
        refusal(&text),
        "policy p: spec.kprobes[0].selectors[0].matchArgs[0]: found `arg2`, a value of type path, in an expression; allowed: \
         integers"
    );
}

#[test]
fn a_value_behind_a_pointer_may_be_unread_and_one_in_a_register_not() {
    let spec = "  kprobes:\n  - call: many\n    syscall: false\n    args: [{index: 3, type: uint32}]\n    data:\n    - {index: 0, \
                type: int, source: current_task, resolve: tgid}\n    selectors:\n    - matchData: [{index: 0, operator: CelExpr, \
                values: ['arg0 > 7']}]\n    - matchArgs: [{index: 3, operator: CelExpr, values: ['arg0 > 7']}]\n      \
                matchActions: [{action: Signal, argSig: 15}]\n";
    let compiled = plan("p", spec);
    assert_eq!(compiled.refusals, []);
    let (found, _) = expressions(&[policy("p", spec)]);
    let steps = compiled.plan.hooks[0].shape.fields.iter().position(|field| field.step_count != 0).unwrap();
    let mut unread: Vec<u8> = found.iter().map(|one| one.unread).collect();
    unread.sort_unstable();
    assert_eq!(unread, [0, 1 << steps]);
    // The first rule only reports, so what it cannot read is no match; the second one acts.
    let skips: Vec<bool> = found.iter().map(|one| one.unresolved != 0).collect();
    let of_data: Vec<bool> = found.iter().map(|one| one.unread != 0).collect();
    assert_eq!(skips, of_data);
}

#[test]
fn an_expression_over_the_one_number_may_be_remembered() {
    let spec = |args: &str, filters: &str| {
        format!(
            "  kprobes:\n  - call: security_file_permission\n    syscall: false\n    args: [{{index: 0, type: file}}, {{index: 1, \
             type: int}}{args}]\n    selectors:\n    - matchArgs: [{{index: 0, operator: Prefix, values: [/etc/]}}, {filters}]\n"
        )
    };
    let memo = |spec: &str| {
        let compiled = plan("p", spec);
        assert_eq!(compiled.refusals, []);
        let shape = compiled.plan.hooks[0].shape.clone();
        let remembers = u32::from(shape.flags) & wire::LICTOR_SHAPE_MEMO != 0;
        (remembers, shape.memo_field)
    };
    let one = "{index: 1, operator: CelExpr, values: ['arg1 == 4 || arg1 == 36']}";
    assert_eq!(memo(&spec("", one)), (true, Some(1)));
    assert_eq!(
        memo(&spec("", &format!("{one}, {{index: 1, operator: Equal, values: [4]}}"))),
        (true, Some(1))
    );
    // Of another width it is another value.
    let two =
        "{args: [2], operator: CelExpr, values: ['arg2 == 4']}, {args: [1], operator: Equal, values: [4]}";
    let low = ", {index: 1, type: uint8}";
    assert_eq!(memo(&spec(low, two)), (false, None));
}

#[test]
fn there_are_so_many_expressions_at_a_hook_point() {
    let numbers = |range: std::ops::Range<u32>| -> Vec<String> {
        range.map(|number| format!("arg2 > {number}")).collect()
    };
    let asking = |name: &str, range| {
        let texts = numbers(range);
        policy(name, &asks(&texts.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let full = [asking("a", 0..60), asking("b", 56..64)];
    assert_eq!(expressions(&full).0.len(), 64);
    let compiled = compile(&[asking("c", 64..65), full[0].clone(), full[1].clone()], &facts());
    let [refusal] = compiled.refusals.as_slice() else { panic!("{:?}", compiled.refusals) };
    assert_eq!(
        refusal.to_string(),
        "policy c: spec.kprobes[0]: found 65 different expressions; allowed: 64 at fentry/many over all policies"
    );
    assert_eq!(compiled.plan.policies.len(), 2);
}
