//! What policies compile to, by example.

mod attachment;
mod expressions;
mod limits;
mod loader;
mod members;
mod notifications;
mod programs;
mod refusals;
mod scopes;
mod tables;

use super::testing::facts;
use super::*;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::lictor_column_kind as kind;

/// A policy with this `spec`, indented by two.
pub(super) fn policy(name: &str, spec: &str) -> crate::model::Policy {
    let text = format!(
        "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n{spec}"
    );
    crate::load(&text, None).unwrap_or_else(|violations| panic!("{violations}")).policy
}

const FILE_OPEN: &str = r#"
  lsmhooks:
  - hook: file_open
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 0
        operator: Equal
        values: ["/etc/shadow"]
      - index: 0
        operator: NotPrefix
        values: ["/proc/"]
      matchActions:
      - action: Override
        argError: -1
"#;

#[test]
fn a_denied_file_is_one_lsm_hook() {
    let compiled = compile(&[policy("shadow", FILE_OPEN)], &facts());
    assert_eq!(compiled.refusals, []);
    let plan = &compiled.plan;
    let [hook] = plan.hooks.as_slice() else { panic!("{plan:?}") };
    assert_eq!(hook.point, HookPoint { attach: Attach::Lsm, symbol: "file_open".into() });
    assert_eq!(hook.rules[0].flags, wire::LICTOR_RULE_RECORD | wire::LICTOR_RULE_DENY);
    assert_eq!(hook.rules[0].verdict, -1);
    assert_eq!(hook.shape.path_field, Some(0));
    assert_eq!(hook.shape.flags, wire::LICTOR_SHAPE_MEMO as u8);
    assert_eq!(hook.shape.columns.len(), 1);
    assert_eq!(u32::from(hook.shape.columns[0].kind), kind::LICTOR_COLUMN_PATH_PREFIX);
    assert_eq!(hook.columns[0].table, ColumnTable::PathClasses(vec![0, 1, 0]));
    assert_eq!(hook.columns[0].unresolved_vector, 1, "a rule that denies also denies what it cannot read");
    let keys: Vec<(&[u8], u32, bool)> = plan
        .paths
        .prefixes
        .entries
        .iter()
        .map(|((_, key), entry)| (key.as_slice(), entry.class, entry.extended))
        .collect();
    assert_eq!(
        keys,
        [(&b"/"[..], 0, true), (b"/etc/", 0, true), (b"/etc/shadow\0", 1, false), (b"/proc/", 2, false)]
    );
}

#[test]
fn the_tables_of_a_denied_file() {
    let plan = compile(&[policy("shadow", FILE_OPEN)], &facts()).plan;
    let point = plan.hooks[0].point.clone();
    let tables =
        layout(&plan, &BTreeMap::from([(point.clone(), 3)]), &BTreeMap::from([(point, 7)]), &[5]).unwrap();
    assert_eq!(tables.hooks.len(), 4);
    assert_eq!(tables.hooks[0].shape_id, 0);
    let hook = tables.hooks[3];
    assert_eq!((hook.shape_id, hook.rule_count, hook.rule_base), (7, 1, 0));
    assert_eq!(tables.vectors[hook.all_vector as usize].words[0], 1);
    assert_eq!(tables.vectors[hook.all_vector as usize].summary, 1);
    let column = hook.columns[0];
    let classes = &tables.words[column.base as usize..][..column.length as usize];
    assert_eq!(classes, [0, u64::from(hook.all_vector), 0]);
    let empty = &tables.words[tables.revision.prefix_empty_base as usize..][..3];
    assert_eq!(empty, [1 << 3, 0, 1 << 3]);
    assert_eq!(tables.rules[0].policy, 5);
    assert_eq!(tables.revision.digest, plan.digest);
    let (key, value) = tables.lpm[2];
    assert_eq!(&key.bytes[..12], b"/etc/shadow\0");
    assert_eq!((key.prefix_length, key.state), (32 + 8 * 12, wire::LICTOR_STATE_PATH_PREFIX));
    assert_eq!((value.class_id, value.next, value.length, value.extended), (1, 0, 12, 0));
}
