//! The oracle against the engine's tables, and what it says by example.

use super::generate::{self, Place, places, workloads};
use super::*;
use crate::model::ArgSource;
use crate::plan::simulate::{Machine, Outcome};
use crate::plan::testing::{FakeSymbols, facts, symbols};
use crate::plan::{
    Attach, HookPlan, HookPoint, NodeFacts, Plan, Symbols, compile, layout, scope_entry, shape,
};
use lictor_node_worker_ebpf::{LICTOR_SOURCE_TASK, lictor_field_shape};
use std::sync::LazyLock;

static SYMBOLS: LazyLock<FakeSymbols> = LazyLock::new(symbols);

/// Policy sets, and events for each hook point of each set.
const SETS: u64 = 700;
const EVENTS: u64 = 8;

/// How often things happened: a comparison that never sees them proves nothing.
#[derive(Debug, Default)]
struct Seen {
    events: usize,
    quiet: usize,
    fired: usize,
    several: usize,
    denied: usize,
    signalled: usize,
    monitored: usize,
    unresolved: usize,
    second_word: usize,
    expressions: usize,
    /// A notification was carried out, left, or taken away.
    notified: usize,
    refused: usize,
}

#[test]
fn the_tables_judge_as_the_oracle_does() {
    let mut seen = Seen::default();
    for set in 0..SETS {
        let facts = NodeFacts { bpf_lsm: set % 4 != 0, ..facts() };
        compare(set, &facts, &mut seen);
    }
    println!("{seen:?}");
    assert!(seen.events >= 10_000, "{seen:?}");
    let hundredth = seen.events / 100;
    for count in
        [seen.quiet, seen.fired, seen.several, seen.denied, seen.signalled, seen.monitored, seen.unresolved]
    {
        assert!(count > hundredth, "{seen:?}");
    }
    assert!(seen.expressions > hundredth && seen.notified > hundredth, "{seen:?}");
    assert!(seen.second_word > 20 && seen.refused < SETS as usize / 2, "{seen:?}");
}

fn compare(set: u64, facts: &NodeFacts, seen: &mut Seen) {
    let places = places();
    let policies = generate::policies(set, &places);
    let compiled = compile(&policies, facts);
    let kept: Vec<Policy> = policies
        .iter()
        .filter(|policy| compiled.refusals.iter().all(|refusal| refusal.policy != policy.key))
        .cloned()
        .collect();
    for refusal in &compiled.refusals {
        let limit = refusal.allowed.contains("over all policies") || refusal.allowed.starts_with("one;");
        assert!(limit, "set {set}: {refusal}");
    }
    seen.refused += policies.len() - kept.len();
    let plan = &compiled.plan;
    let slots: BTreeMap<HookPoint, u16> = (0..)
        .zip(&plan.hooks)
        .map(|(number, hook)| (hook.point.clone(), (number * 23 + set as u16) % 256))
        .collect();
    let shapes = slots.iter().map(|(point, slot)| (point.clone(), u32::from(*slot) + 1)).collect();
    let counters: Vec<u32> = (0..plan.policies.len() as u32).collect();
    let tables = layout(plan, &slots, &shapes, &counters).unwrap();
    let mut scopes = BTreeMap::new();
    for hook in plan.hooks.iter().filter(|hook| hook.is_scoped()) {
        for workload in workloads() {
            let entry = scope_entry(plan, hook, &plan.scopes_of(&workload));
            scopes.insert((slots[&hook.point], workload), entry);
        }
    }
    let machine = Machine::new(&tables).with_scopes(scopes).with_notifications(&kept);
    for hook in &plan.hooks {
        let constants = shape(hook, slots[&hook.point], shapes[&hook.point]);
        let (place, moment) = place_of(&hook.point, &places);
        for number in 0..EVENTS {
            let of_event = set << 16 | number;
            let mut event = generate::event(of_event, place, moment);
            event.process.notifications = generate::notifications(of_event, &kept);
            let expected = judge(&kept, &event, &facts.host_namespaces);
            let argument = |field: &lictor_field_shape| origin_of(field, &hook.point, place);
            let outcome = machine.judge(&constants, &event, argument);
            check(set, &expected, outcome.as_ref(), hook, plan, &kept, seen);
            let left = machine.numbers_of(&event.process.notifications);
            let then = outcome.map_or_else(|| left.clone(), |outcome| outcome.notifications);
            let wanted = machine.numbers_of(&expected.notifications);
            assert_eq!(then, wanted, "set {set}, {}: what is left for the thread", hook.point);
            seen.notified += usize::from(then != left);
        }
    }
}

/// Where and when the events of a hook point happen, in the words of policies.
fn place_of<'a>(point: &HookPoint, places: &'a [Place]) -> (&'a Place, Moment) {
    let named = |name: &str| {
        let security = format!("security_{name}");
        let matching = move |place: &&Place| match &place.target {
            HookTarget::Function(function) => *function == name || *function == security,
            HookTarget::Functions(pattern) => pattern.fits(name),
            HookTarget::Lsm(hook) => hook == name || name.strip_prefix("security_") == Some(hook),
            HookTarget::Syscalls => name == "raw_syscalls/sys_enter",
            HookTarget::Syscall(call) => name.strip_prefix("__x64_sys_") == Some(call),
            HookTarget::Syscall32(call) => name.strip_prefix("__ia32_sys_") == Some(call),
            HookTarget::Tracepoint { subsystem, event, .. } => format!("{subsystem}/{event}") == name,
            HookTarget::User { path, .. } => name.starts_with(path),
            HookTarget::Mapping => name == MAPPING_HOOK,
        };
        places.iter().find(matching).unwrap_or_else(|| panic!("{point}"))
    };
    match point.attach {
        Attach::Lsm | Attach::LsmHash if point.symbol == "bprm_check_security" => {
            (named("security_bprm_check"), Moment::Asked)
        }
        Attach::Lsm | Attach::LsmHash | Attach::FmodRet => (named(&point.symbol), Moment::Asked),
        Attach::Fexit => (exactly(point, places, &named), Moment::End),
        Attach::Fentry if point.symbol == "security_bprm_committed_creds" => {
            (named("bprm_committed_creds"), Moment::Asked)
        }
        Attach::Fentry | Attach::Kprobe => (exactly(point, places, &named), Moment::Begin),
        Attach::Tracepoint | Attach::RawTracepoint | Attach::Uprobe | Attach::UprobeRegisters => {
            (named(&point.symbol), Moment::Begin)
        }
        Attach::Uretprobe | Attach::UretprobeArguments => (named(&point.symbol), Moment::End),
    }
}

/// The function itself, where an LSM hook has the same name.
fn exactly<'a>(point: &HookPoint, places: &'a [Place], named: &impl Fn(&str) -> &'a Place) -> &'a Place {
    let function = HookTarget::Function(point.symbol.clone());
    places.iter().find(|place| place.target == function).unwrap_or_else(|| named(&point.symbol))
}

/// Which value of a place a field stands for.
fn origin_of(field: &lictor_field_shape, point: &HookPoint, place: &Place) -> Option<Origin> {
    if field.step_count == 0 {
        return argument_of(field, point).map(Origin::from);
    }
    let leads_there = |(origin, _): &&(Origin, TypeClass)| {
        let structure = match (origin.source, place.arguments.get(usize::from(origin.index))) {
            (ArgSource::CurrentTask, _) => "task_struct",
            (ArgSource::Argument, Some(TypeClass::StructPointer(name))) => name,
            other => panic!("{origin}: {other:?}"),
        };
        let way = SYMBOLS.member(structure, &origin.path).unwrap();
        let source = match origin.source {
            ArgSource::CurrentTask => LICTOR_SOURCE_TASK as u8,
            ArgSource::Argument | ArgSource::Registers => origin.index,
        };
        source == field.source && way.steps == field.steps[..usize::from(field.step_count)]
    };
    place.members.iter().find(leads_there).map(|(origin, _)| origin.clone())
}

fn argument_of(field: &lictor_field_shape, point: &HookPoint) -> Option<u8> {
    if point.attach != Attach::Tracepoint {
        return Some(field.source);
    }
    let (subsystem, event) = point.symbol.split_once('/')?;
    let fields = SYMBOLS.tracepoint(subsystem, event)?;
    fields.iter().position(|one| one.offset == field.offset).map(|index| index as u8)
}

fn check(
    set: u64,
    expected: &Judgement,
    outcome: Option<&Outcome>,
    hook: &HookPlan,
    plan: &Plan,
    policies: &[Policy],
    seen: &mut Seen,
) {
    let found = outcome.cloned().unwrap_or_default();
    let fired: Vec<(PolicyKey, usize, usize)> = found
        .fired
        .iter()
        .map(|number| {
            let rule = &hook.rules[*number as usize];
            let group = &hook.groups[rule.group as usize];
            let key = &plan.policies[group.policy as usize].key;
            let policy = policies.iter().find(|policy| policy.key == *key).unwrap();
            let place = policy.hooks.iter().position(|hook| hook.at == group.at).unwrap();
            (key.clone(), place, rule.selector as usize)
        })
        .collect();
    let wanted: Vec<(PolicyKey, usize, usize)> =
        expected.fired.iter().map(|fired| (fired.policy.clone(), fired.hook, fired.rule)).collect();
    assert_eq!(fired, wanted, "set {set}, {}: rules that fire", hook.point);
    assert_eq!(found.verdict, i32::from(expected.verdict), "set {set}, {}: verdict", hook.point);
    assert_eq!(found.signal, expected.signal.map_or(0, u16::from), "set {set}, {}: signal", hook.point);
    let unresolved = expected.fired.iter().any(|fired| fired.unresolved);
    assert!(!unresolved || found.unresolved != 0, "set {set}, {}: unresolved", hook.point);
    seen.events += 1;
    seen.quiet += usize::from(fired.is_empty());
    seen.fired += usize::from(!fired.is_empty());
    seen.several += usize::from(fired.len() > 1);
    seen.denied += usize::from(found.verdict != 0);
    seen.signalled += usize::from(found.signal != 0);
    seen.monitored += usize::from(expected.fired.iter().any(|fired| fired.monitored));
    seen.unresolved += usize::from(unresolved);
    let by_expression = |fired: &Fired| {
        let policy = policies.iter().find(|policy| policy.key == fired.policy).unwrap();
        let predicates = &policy.hooks[fired.hook].rules[fired.rule].predicates;
        predicates.iter().any(|predicate| matches!(predicate, Predicate::Expression(_)))
    };
    seen.expressions += usize::from(expected.fired.iter().any(by_expression));
    seen.second_word += usize::from(found.fired.iter().any(|rule| *rule >= 64));
}
