//! `loader: true`.

use super::*;
use crate::model::{FileType, HookTarget, Origin, Workload};
use crate::oracle::{
    Endpoints, Event, Lineage, Moment, Privileges, Process, ProcessId, Reading, Value, judge,
};
use crate::plan::simulate::Machine;
use crate::plan::testing::{facts_with, symbols};
use wire::{lictor_column_source as from, lictor_field_kind as field};

fn loader() -> crate::model::Policy {
    policy("loads", "  loader: true\n")
}

/// The one hook point of a policy, and which arguments of it are read.
fn landed(facts: &NodeFacts) -> (HookPlan, Vec<u8>) {
    let compiled = compile(&[loader()], facts);
    assert_eq!(compiled.refusals, []);
    let [hook] = <[HookPlan; 1]>::try_from(compiled.plan.hooks).unwrap();
    let sources = hook.shape.fields.iter().map(|field| field.source).collect();
    (hook, sources)
}

#[test]
fn a_file_that_is_mapped_as_code_is_told_by_its_own_event() {
    let (hook, _) = landed(&facts());
    assert_eq!(hook.point.to_string(), "lsm/mmap_file");
    assert_eq!(hook.reason, "LSM hook mmap_file, which files pass that are mapped: BPF LSM is on");
    let [group] = hook.groups.as_slice() else { panic!("{hook:?}") };
    assert_eq!(group.event, EventKind::Loader);
    let first = group.args[0].field.unwrap();
    assert_eq!(u32::from(hook.shape.fields[usize::from(first)].kind), field::LICTOR_FIELD_FILE);
    let columns: Vec<(u32, u32)> =
        hook.shape.columns.iter().map(|shape| (u32::from(shape.kind), u32::from(shape.source))).collect();
    assert_eq!(
        columns,
        [
            (kind::LICTOR_COLUMN_MASK, from::LICTOR_FROM_FIELD),
            (kind::LICTOR_COLUMN_NUMBER, from::LICTOR_FROM_FILE_TYPE)
        ]
    );
    let [rule] = hook.rules.as_slice() else { panic!("{hook:?}") };
    assert_eq!((rule.flags, rule.verdict, rule.post), (wire::LICTOR_RULE_RECORD, 0, true));
}

/// `prot` is what the mapping gets; the function is only called with what was asked for.
#[test]
fn the_protection_is_read_where_it_is() {
    let sources = |facts: &NodeFacts| {
        let (hook, mut sources) = landed(facts);
        sources.sort_unstable();
        (hook.point.to_string(), sources)
    };
    assert_eq!(sources(&facts()), ("lsm/mmap_file".to_owned(), vec![0, 2]));
    let function = "fmod_ret/security_mmap_file".to_owned();
    let off = NodeFacts { bpf_lsm: false, ..facts() };
    assert_eq!(sources(&off), (function.clone(), vec![0, 1]));
    // A kernel that was built without BPF LSM tells of the function alone.
    let without = NodeFacts { bpf_lsm: false, ..facts_with(symbols().without("bpf_lsm_mmap_file")) };
    assert_eq!(sources(&without), (function, vec![0, 1]));
}

/// A mapping of `file` (its kind; `None` = memory alone) with this protection.
fn mapping(file: Option<FileType>, prot: u64) -> Event {
    let class = TypeClass::StructPointer("file".into());
    let text = file.map_or(Reading::Absent, |_| Reading::Text(b"/lib/a.so".to_vec()));
    let endpoints = Endpoints::default();
    let value = Value { class, number: 0, text, file_type: file, endpoints };
    let class = TypeClass::Integer { width: 8, signed: false };
    let prot = Value { class, number: prot, text: Reading::Absent, file_type: None, endpoints };
    Event {
        target: HookTarget::Lsm("mmap_file".to_owned()),
        moment: Moment::Asked,
        denies: true,
        args: BTreeMap::from([(Origin::from(0), value), (Origin::from(2), prot)]),
        returned: None,
        process: Process {
            binary: Reading::Text(b"/bin/a".to_vec()),
            parent_binary: Reading::Text(b"/bin/b".to_vec()),
            id: ProcessId { global: 7, own: 7 },
            ancestors: Vec::new(),
            lineage: Lineage::default(),
            now: Privileges::default(),
            beginning: None,
            workload: Workload::Host,
            notifications: crate::oracle::Notifications::new(),
        },
    }
}

/// The oracle and the tables, with BPF LSM and without, agree on what is told.
#[test]
fn code_in_regular_files_is_told_and_nothing_else() {
    let policies = [loader()];
    for facts in [facts(), NodeFacts { bpf_lsm: false, ..facts() }] {
        let plan = compile(&policies, &facts).plan;
        let hook = &plan.hooks[0];
        let point = hook.point.clone();
        let slots = BTreeMap::from([(point.clone(), 3)]);
        let tables = layout(&plan, &slots, &BTreeMap::from([(point, 7)]), &[0]).unwrap();
        let constants = shape(hook, 3, 7);
        let machine = Machine::new(&tables);
        for file in [None, Some(FileType::Regular), Some(FileType::CharacterDevice), Some(FileType::Fifo)] {
            for prot in 0..8 {
                let event = mapping(file, prot);
                let told = file == Some(FileType::Regular) && prot & 4 != 0;
                let expected = judge(&policies, &event, &facts.host_namespaces);
                assert_eq!(expected.fired.len(), usize::from(told), "{file:?} {prot}");
                let argument =
                    |field: &lictor_field_shape| Some(Origin::from(if field.source == 0 { 0 } else { 2 }));
                let outcome = machine.judge(&constants, &event, argument).unwrap_or_default();
                assert_eq!(outcome.fired, if told { vec![0] } else { Vec::new() }, "{file:?} {prot}");
                assert_eq!((outcome.verdict, outcome.signal), (0, 0));
            }
        }
    }
}

#[test]
fn a_hook_at_the_same_place_shares_the_program_and_keeps_its_events() {
    let hooked = policy("hooked", "  lsmhooks:\n  - hook: mmap_file\n    args: [{index: 0, type: file}]\n");
    let compiled = compile(&[hooked, loader()], &facts());
    assert_eq!(compiled.refusals, []);
    let [hook] = compiled.plan.hooks.as_slice() else { panic!("{compiled:?}") };
    let events: Vec<EventKind> = hook.groups.iter().map(|group| group.event).collect();
    assert_eq!(events, [EventKind::Lsm, EventKind::Loader]);
}

#[test]
fn a_kernel_without_the_hook_refuses() {
    let none = symbols().without("bpf_lsm_mmap_file").without("security_mmap_file");
    let compiled = compile(&[loader()], &facts_with(none));
    let text = compiled.refusals[0].to_string();
    assert!(
        text.starts_with("policy loads: spec.loader: found the unknown LSM hook `mmap_file`")
            || text.starts_with("policy loads: spec.loader: found LSM hook `mmap_file`"),
        "{text}"
    );
}
