//! What the tables hold, and that they do not depend on who came first.

use super::policy;
use crate::oracle::generate;
use crate::plan::testing::facts;
use crate::plan::*;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_column_kind as kind, lictor_column_source as from};
use std::time::{Duration, Instant};

fn slots(plan: &Plan) -> (BTreeMap<HookPoint, u16>, BTreeMap<HookPoint, u32>) {
    let points = || (0..).zip(plan.hooks.iter().map(|hook| hook.point.clone()));
    (
        points().map(|(number, point)| (point, number)).collect(),
        points().map(|(_, point)| (point, 1)).collect(),
    )
}

#[test]
fn the_order_of_policies_does_not_matter() {
    for seed in 0..40 {
        let mut policies = generate::policies(seed, &generate::places());
        let compiled = compile(&policies, &facts());
        policies.reverse();
        assert_eq!(compile(&policies, &facts()), compiled);
        policies.pop();
        let fewer = compile(&policies, &facts());
        assert!(fewer.plan.digest != compiled.plan.digest || !compiled.refusals.is_empty());
    }
}

fn memo(spec: &str) -> (bool, Option<u8>, Option<u8>) {
    let compiled = compile(&[policy("p", spec)], &facts());
    assert_eq!(compiled.refusals, []);
    let shape = &compiled.plan.hooks[0].shape;
    (u32::from(shape.flags) & wire::LICTOR_SHAPE_MEMO != 0, shape.path_field, shape.memo_field)
}

fn permission(filters: &str) -> String {
    format!(
        "  kprobes:
  - call: security_file_permission
    syscall: false
    args: [{{index: 0, type: file}}, {{index: 1, type: int}}]
    selectors:
    - {{{filters}}}
"
    )
}

#[test]
fn what_may_be_remembered() {
    let path = "matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}";
    assert_eq!(memo(&permission(&format!("{path}]"))), (true, Some(0), None));
    let number = "{index: 1, operator: Equal, values: [\"4\"]}, {index: 1, operator: Mask, values: [\"4\"]}";
    assert_eq!(memo(&permission(&format!("{path}, {number}]"))), (true, Some(0), Some(1)));
    let binary = "matchBinaries: [{operator: In, values: [/usr/bin/cat]}]";
    assert_eq!(memo(&permission(&format!("{path}], {binary}"))), (true, Some(0), None));
    let pid = "matchPIDs: [{operator: In, values: [7]}]";
    assert_eq!(memo(&permission(&format!("{path}], {pid}"))), (false, Some(0), None));
    assert_eq!(memo(&permission(binary)), (false, None, None), "no path to remember it with");
    assert_eq!(memo(&permission(&format!("matchArgs: [{number}]"))), (false, None, None));
}

#[test]
fn two_numbers_are_too_many_to_remember() {
    let text = "  kprobes:
  - call: vfs_llseek
    syscall: false
    args: [{index: 0, type: file}, {index: 1, type: int64}, {index: 2, type: int}]
    selectors:
    - matchArgs:
      - {index: 0, operator: Prefix, values: [/etc/]}
      - {index: 1, operator: Equal, values: [\"1\"]}
      - {index: 2, operator: Equal, values: [\"1\"]}
";
    assert_eq!(memo(text), (false, Some(0), None));
}

#[test]
fn only_open_files_in_arguments_have_cached_paths() {
    let text = "  kprobes:
  - call: many
    syscall: false
    args: [{index: 5, type: path}]
    selectors: [{matchArgs: [{index: 5, operator: Prefix, values: [/etc/]}]}]
";
    assert_eq!(memo(text), (false, None, None));
}

#[test]
fn cheap_columns_come_first() {
    let filters = "matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}, {index: 0, operator: NotPostfix, values: [.so]}, \
         {index: 1, operator: Mask, values: [\"4\"]}, {index: 1, operator: GreaterThan, values: [\"4\"]}], \
         matchBinaries: [{operator: In, values: [/usr/bin/cat]}], \
         matchPIDs: [{operator: In, values: [7], followForks: true}]";
    let plan = compile(&[policy("p", &permission(filters))], &facts()).plan;
    let order: Vec<(u32, u32)> = plan.hooks[0]
        .shape
        .columns
        .iter()
        .map(|column| (u32::from(column.kind), u32::from(column.source)))
        .collect();
    assert_eq!(
        order,
        [
            (kind::LICTOR_COLUMN_NUMBER, from::LICTOR_FROM_FIELD),
            (kind::LICTOR_COLUMN_MASK, from::LICTOR_FROM_FIELD),
            (kind::LICTOR_COLUMN_ANCESTORS, from::LICTOR_FROM_PID),
            (kind::LICTOR_COLUMN_PATH_PREFIX, from::LICTOR_FROM_FIELD),
            (kind::LICTOR_COLUMN_PATH_SUFFIX, from::LICTOR_FROM_FIELD),
            (kind::LICTOR_COLUMN_PATH_PREFIX, from::LICTOR_FROM_BINARY),
        ]
    );
}

#[test]
fn intervals_are_as_few_as_can_be() {
    let test =
        |operator: &str, values: &str| format!("{{index: 1, operator: {operator}, values: [{values}]}}");
    let table = |tests: &[String]| {
        let spec = permission(&format!("matchArgs: [{}]", tests.join(", ")));
        let plan = compile(&[policy("p", &spec)], &facts()).plan;
        let ColumnTable::Number { exact, intervals } = plan.hooks[0].columns[0].table.clone() else {
            panic!()
        };
        (exact, intervals, plan.hooks[0].columns[0].default_vector)
    };
    let at = |value: i64| value.cast_unsigned() ^ 1 << 63;
    let (exact, intervals, _) = table(&[test("InRange", "\"-5:3\", \"4:9\", \"2:6\"")]);
    assert!(exact.is_empty());
    assert_eq!(intervals, [(0, 0), (at(-5), 1), (at(10), 0)]);
    let both = [test("InRange", "\"0:9\""), test("NotEqual", "\"5\", \"50\"")];
    let (exact, intervals, _) = table(&both);
    assert_eq!(exact.into_iter().collect::<Vec<_>>(), [(at(5), 0)], "50 is not in the range anyway");
    assert_eq!(intervals, [(0, 0), (at(0), 1), (at(10), 0)]);
    let (exact, intervals, default) = table(&[test("Equal", "\"1\", \"2\", \"1\"")]);
    assert_eq!(exact.into_iter().collect::<Vec<_>>(), [(at(1), 1), (at(2), 1)]);
    assert!(intervals.is_empty() && default == 0);
}

#[test]
fn long_texts_are_chained() {
    let long = format!("/{}", "x".repeat(600));
    let longer = format!("{long}/y");
    let spec =
        permission(&format!("matchArgs: [{{index: 0, operator: Prefix, values: [{long}, {longer}]}}]"));
    let plan = compile(&[policy("p", &spec)], &facts()).plan;
    let trie = &plan.paths.prefixes;
    assert_eq!(trie.states, 3);
    let entry =
        |state: u32, range: std::ops::Range<usize>| trie.entries[&(state, longer.as_bytes()[range].to_vec())];
    assert_eq!(entry(0, 0..248), TrieEntry { class: 0, next: 1, extended: true });
    assert_eq!(entry(1, 248..496), TrieEntry { class: 0, next: 2, extended: true });
    assert_eq!(entry(2, 496..601), TrieEntry { class: 1, next: 0, extended: true });
    assert_eq!(entry(2, 496..603), TrieEntry { class: 2, next: 0, extended: false });
}

#[test]
fn with_nothing_readable_the_denying_rules_decide() {
    let fallback = |mode: &str, unresolved: &str| {
        let spec = format!(
            "  options: [{{name: policy-mode, value: {mode}}}]
{unresolved}  lsmhooks:
  - hook: file_open
    args: [{{index: 0, type: file}}]
    selectors:
    - matchArgs: [{{index: 0, operator: Equal, values: [/etc/shadow]}}]
      matchActions: [{{action: Override, argError: -13}}]
"
        );
        let plan = compile(&[policy("p", &spec)], &facts()).plan;
        let (slots, shapes) = slots(&plan);
        layout(&plan, &slots, &shapes, &[0]).unwrap().hooks[0].fallback_verdict
    };
    assert_eq!(fallback("enforce", ""), -13);
    assert_eq!(fallback("monitor", ""), 0);
    assert_eq!(fallback("enforce", "  onUnresolved: skip\n"), 0);
}

#[test]
fn shapes_differ_only_where_programs_do() {
    let shape_of =
        |filters: &str| compile(&[policy("p", &permission(filters))], &facts()).plan.hooks[0].shape_digest();
    let one = shape_of("matchArgs: [{index: 0, operator: Prefix, values: [/etc/]}]");
    assert_eq!(one, shape_of("matchArgs: [{index: 0, operator: NotEqual, values: [/x, /y]}]"));
    assert_ne!(one, shape_of("matchArgs: [{index: 0, operator: Postfix, values: [/etc/]}]"));
}

#[test]
fn hook_points_need_slots_of_their_own() {
    let text = "  kprobes:\n  - {call: fd_install, syscall: false}\n  - {call: vfs_read, syscall: false}\n";
    let plan = compile(&[policy("p", text)], &facts()).plan;
    let (mut slots, shapes) = slots(&plan);
    let point = plan.hooks[1].point.clone();
    assert!(layout(&plan, &slots, &shapes, &[0]).is_ok());
    assert_eq!(layout(&plan, &slots, &shapes, &[]), Err(LayoutError::Counters { given: 0, policies: 1 }));
    slots.insert(point.clone(), 0);
    assert_eq!(
        layout(&plan, &slots, &shapes, &[0]),
        Err(LayoutError::Slot { point: point.clone(), slot: 0 })
    );
    slots.insert(point.clone(), 256);
    assert_eq!(
        layout(&plan, &slots, &shapes, &[0]),
        Err(LayoutError::Slot { point: point.clone(), slot: 256 })
    );
    slots.remove(&point);
    assert_eq!(layout(&plan, &slots, &shapes, &[0]), Err(LayoutError::Unassigned(point)));
}

/// A thousand policies of three hooks each, every one with paths of its own.
fn thousand() -> Vec<crate::model::Policy> {
    (0..1000)
        .map(|number| {
            let spec = format!(
                "  lsmhooks:
  - hook: file_open
    args: [{{index: 0, type: file}}]
    selectors:
    - matchArgs: [{{index: 0, operator: Prefix, values: [/srv/tenant-{number:04}/data/]}}]
      matchBinaries: [{{operator: NotIn, values: [/usr/bin/tool-{}]}}]
      matchActions: [{{action: Override, argError: -1}}]
  kprobes:
  - call: security_file_permission
    syscall: false
    args: [{{index: 0, type: file}}, {{index: 1, type: int}}]
    selectors:
    - matchArgs:
      - {{index: 0, operator: Equal, values: [/srv/tenant-{number:04}/key, /srv/tenant-{number:04}/cert]}}
      - {{index: 1, operator: Equal, values: [\"4\"]}}
  - call: sys_write
    syscall: true
    args: [{{index: 0, type: int}}, {{index: 1, type: char_buf, sizeArgIndex: 3}}, {{index: 2, type: size_t}}]
    selectors:
    - matchArgs: [{{index: 0, operator: Equal, values: [\"{number}\"]}}]
",
                number % 64
            );
            policy(&format!("policy-{number:04}"), &spec)
        })
        .collect()
}

#[test]
fn a_thousand_policies_are_compiled_quickly_and_stay_small() {
    let policies = thousand();
    let facts = facts();
    let begin = Instant::now();
    let compiled = compile(&policies, &facts);
    let compile_time = begin.elapsed();
    assert_eq!(compiled.refusals, []);
    let (slots, shapes) = slots(&compiled.plan);
    let counters: Vec<u32> = (0..1000).collect();
    let begin = Instant::now();
    let tables = layout(&compiled.plan, &slots, &shapes, &counters).unwrap();
    let layout_time = begin.elapsed();
    println!(
        "compile {compile_time:?}, layout {layout_time:?}, {} bytes: {} vectors, {} strings, {} words, {} numbers",
        memory_estimate(&tables),
        tables.vectors.len(),
        tables.lpm.len(),
        tables.words.len(),
        tables.numbers.len()
    );
    // Ten times what an unoptimised build takes; something quadratic takes longer.
    assert!(compile_time + layout_time < Duration::from_secs(8), "{compile_time:?} {layout_time:?}");
    assert!(memory_estimate(&tables) < 1000 * 4096 + (1 << 20), "{}", memory_estimate(&tables));
}
