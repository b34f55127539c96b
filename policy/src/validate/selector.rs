//! Selectors: from filters and actions to a rule.

use super::action::{self, Abilities};
use super::argument::label;
use super::expression::{self, Listed};
use super::lists::Shared;
use super::report::{Report, quoted};
use super::{contradiction, process, scope, value};
use crate::expression::Name;
use crate::model::{
    Actions, Arg, ArgKind, FieldPath, Operand, Origin, Predicate, ProgramWrite, Rule, SetAction, SocketAction,
};
use crate::spec::{Operator, SelectorSpec, ValueFilter};
use lictor_node_worker_ebpf::LICTOR_MAX_RULES;

/// What the selectors of a hook can refer to.
pub(super) struct Surroundings<'a> {
    /// The hook's arguments, by their place; `None` = refused.
    pub(super) args: &'a [Option<Arg>],
    /// The same of the hook's data.
    pub(super) data: &'a [Option<Arg>],
    /// The hook's returned value.
    pub(super) return_arg: Option<&'a Arg>,
    /// The hook is at the function's end.
    pub(super) on_return: bool,
    /// Where no argument has the `index` that a filter gives, it may be the argument's place.
    pub(super) by_place: bool,
    /// What actions can do there.
    pub(super) abilities: Abilities,
    /// What the policy says once for all its hooks.
    pub(super) shared: &'a Shared<'a>,
}

/// The rules of a hook.
pub(super) fn rules(
    specs: &[SelectorSpec],
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) -> Vec<Rule> {
    let rules_max = LICTOR_MAX_RULES as usize;
    if specs.len() > rules_max {
        report.refuse(
            &at.member("selectors"),
            format!("{} selectors", specs.len()),
            format!("at most {rules_max}"),
        );
        return Vec::new();
    }
    if specs.is_empty() {
        let actions = Actions { post: true, ..Actions::default() };
        return vec![Rule { at: at.clone(), label: None, predicates: Vec::new(), actions }];
    }
    let each = specs.iter().enumerate();
    each.map(|(place, spec)| rule(spec, around, &at.member("selectors").index(place), report)).collect()
}

/// A selector or a macro that it uses, and where it stands.
struct Part<'a> {
    spec: &'a SelectorSpec,
    at: FieldPath,
}

fn rule(spec: &SelectorSpec, around: &Surroundings, at: &FieldPath, report: &mut Report) -> Rule {
    let parts = parts(spec, around, at, report);
    let mut predicates = Vec::new();
    for Part { spec, at } in &parts {
        if let Some(filter) = &spec.match_workloads {
            let at = at.member("matchWorkloads");
            let shared = around.shared;
            let test = scope::workloads(shared.kind(), filter, shared.scope(), &at, report);
            predicates.extend(test.map(Predicate::Workload));
        }
        process_filters(spec, at, &mut predicates, report);
    }
    for Part { spec, at } in &parts {
        for (filter, at) in numbered(&spec.match_args, at, "matchArgs") {
            predicates.extend(argument(filter, around, &at, report));
        }
    }
    for Part { spec, at } in &parts {
        for (filter, at) in numbered(&spec.match_data, at, "matchData") {
            predicates.extend(data(filter, around, &at, report));
        }
    }
    for Part { spec, at } in &parts {
        if let Some(filter) = &spec.match_cel {
            let listed = all_listed(around);
            predicates.extend(expression::match_cel(filter, &listed, &at.member("matchCEL"), report));
        }
    }
    for Part { spec, at } in &parts {
        for (filter, at) in numbered(&spec.match_return_args, at, "matchReturnArgs") {
            predicates.extend(returned(filter, around, &at, report));
        }
    }
    let acting = parts.iter().find(|part| !part.spec.match_actions.is_empty()).unwrap_or(&parts[0]);
    let actions_at = acting.at.member("matchActions");
    let mut actions = action::fold(&acting.spec.match_actions, around.abilities, &actions_at, report);
    if let Some(Part { spec, at }) = parts.iter().find(|part| !part.spec.match_return_actions.is_empty()) {
        let at = at.member("matchReturnActions");
        if !around.on_return {
            let hint = "what a function returned is known only at its end";
            report.refuse_with(&at, "actions at a function's end", "hooks with `return: true`", hint);
        }
        actions = action::at_the_end(actions, &spec.match_return_actions, around.abilities, &at, report);
    }
    if actions.deny.is_some() && parts.iter().any(|part| !part.spec.match_return_args.is_empty()) {
        report.refuse_with(
            &actions_at,
            "`Override` together with `matchReturnArgs`",
            "one of the two",
            "what a function returns is known only when the operation is done, and then it cannot be denied",
        );
    }
    let kind = |arg: Option<usize>| match arg {
        Some(arg) => around.args.iter().chain(around.data).nth(arg)?.as_ref().map(|arg| arg.kind),
        None => around.return_arg.map(|arg| arg.kind),
    };
    contradiction::refuse(&predicates, kind, report);
    if let Some(socket) = actions.socket {
        is_socket(kind(socket.arg), socket, around, &actions_at, report);
    }
    if let Some(ProgramWrite::Argument(set)) = actions.set {
        is_number(kind(Some(set.arg)), set, around, &actions_at, report);
    }
    let label = parts.iter().find_map(|part| label(part.spec.label.as_deref(), &part.at, report));
    Rule { at: at.clone(), label, predicates, actions }
}

/// Says what is wrong with what `TrackSock` and `UntrackSock` are about.
fn is_socket(
    kind: Option<ArgKind>,
    socket: SocketAction,
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) {
    let Some(arg) = socket.arg else { return };
    // A refused argument has been reported.
    if around.args.get(arg).is_some_and(Option::is_none) || kind == Some(ArgKind::Sock) {
        return;
    }
    let found = kind
        .map_or_else(|| "no argument there".to_owned(), |kind| format!("a value of type {}", kind.name()));
    let hint = "`argSock` is the place in `args`, from 0";
    report.refuse_with(
        at,
        format!("{found} for TrackSock or UntrackSock (place {arg})"),
        "an argument of type sock",
        hint,
    );
}

/// Says what is wrong with what `Set` is about.
fn is_number(
    kind: Option<ArgKind>,
    set: SetAction,
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) {
    // A refused argument has been reported; what `auto` is, the program's note tells.
    let integer = kind.is_some_and(|kind| kind == ArgKind::Auto || kind.integer().is_some());
    if around.args.get(set.arg).is_some_and(Option::is_none) || integer {
        return;
    }
    let found = kind
        .map_or_else(|| "no argument there".to_owned(), |kind| format!("a value of type {}", kind.name()));
    let hint = "`argIndex` is the place in `args`, from 0";
    report.refuse_with(
        at,
        format!("{found} for Set (place {})", set.arg),
        "an argument that is an integer of 4 bytes",
        hint,
    );
}

/// The selector itself, then its macros. What two of them have is refused.
fn parts<'a>(
    spec: &'a SelectorSpec,
    around: &Surroundings<'a>,
    at: &FieldPath,
    report: &mut Report,
) -> Vec<Part<'a>> {
    let mut parts = vec![Part { spec, at: at.clone() }];
    for (name, at) in numbered(&spec.macros, at, "macros") {
        let Some((found, found_at)) = around.shared.selector(name, &at, report) else { continue };
        for (field, has) in FIELDS {
            if has(found)
                && let Some(other) = parts.iter().find(|part| has(part.spec))
            {
                let text = format!("{}, whose `{field}` {} has, too", quoted(name), other.at);
                report.refuse_with(
                    &at,
                    text,
                    "each filter, and the actions, from one place",
                    "leave one out",
                );
            }
        }
        parts.push(Part { spec: found, at: found_at });
    }
    parts
}

/// Whether a selector has a field.
type Has = fn(&SelectorSpec) -> bool;

/// The fields that a selector can have from a macro, and whether one has them.
const FIELDS: [(&str, Has); 15] = [
    ("label", |spec| spec.label.is_some()),
    ("matchArgs", |spec| !spec.match_args.is_empty()),
    ("matchData", |spec| !spec.match_data.is_empty()),
    ("matchCEL", |spec| spec.match_cel.is_some()),
    ("matchReturnArgs", |spec| !spec.match_return_args.is_empty()),
    ("matchWorkloads", |spec| spec.match_workloads.is_some()),
    ("matchBinaries", |spec| !spec.match_binaries.is_empty()),
    ("matchParentBinaries", |spec| !spec.match_parent_binaries.is_empty()),
    ("matchPIDs", |spec| !spec.match_pids.is_empty()),
    ("matchNamespaces", |spec| !spec.match_namespaces.is_empty()),
    ("matchCapabilities", |spec| !spec.match_capabilities.is_empty()),
    ("matchNamespaceChanges", |spec| !spec.match_namespace_changes.is_empty()),
    ("matchCapabilityChanges", |spec| !spec.match_capability_changes.is_empty()),
    ("matchActions", |spec| !spec.match_actions.is_empty()),
    ("matchReturnActions", |spec| !spec.match_return_actions.is_empty()),
];

fn process_filters(
    spec: &SelectorSpec,
    at: &FieldPath,
    predicates: &mut Vec<Predicate>,
    report: &mut Report,
) {
    for (filter, at) in numbered(&spec.match_binaries, at, "matchBinaries") {
        predicates.extend(process::binary(filter, false, &at, report));
    }
    for (filter, at) in numbered(&spec.match_parent_binaries, at, "matchParentBinaries") {
        predicates.extend(process::binary(filter, true, &at, report));
    }
    for (filter, at) in numbered(&spec.match_pids, at, "matchPIDs") {
        predicates.extend(process::pid(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_namespaces, at, "matchNamespaces") {
        predicates.extend(process::namespace(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_capabilities, at, "matchCapabilities") {
        predicates.extend(process::capability(filter, &at, report).map(Predicate::Capability));
    }
    for (filter, at) in numbered(&spec.match_namespace_changes, at, "matchNamespaceChanges") {
        predicates.extend(process::namespace_change(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_capability_changes, at, "matchCapabilityChanges") {
        predicates.extend(process::capability(filter, &at, report).map(Predicate::CapabilityChange));
    }
}

/// The members of a list with their paths.
fn numbered<'a, T>(list: &'a [T], at: &FieldPath, name: &str) -> impl Iterator<Item = (&'a T, FieldPath)> {
    let at = at.member(name);
    list.iter().enumerate().map(move |(place, item)| (item, at.index(place)))
}

fn argument(
    filter: &ValueFilter,
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let places = match filter.index {
        _ if asks_all(filter) => (0..around.args.len()).collect(),
        Some(index) if filter.args.is_empty() => vec![by_index(index, around, at, report)?],
        _ => {
            let needed = "the `index` of one of the hook's `args`";
            places(filter, "args", around.args.len(), needed, at, report)?
        }
    };
    if compares_several(filter.operator) {
        return expression::filter(filter, &listed(&places, Name::Arg, around.args, 0), at, report);
    }
    let arg = *places.first()?;
    // The argument itself was refused: nothing can be said about a filter on it.
    let described = around.args.get(arg)?.as_ref()?;
    let test = value::test(filter, described, around.shared, at, report)?;
    Some(Predicate::Arg { at: at.clone(), arg, test })
}

/// Whether a filter is about all values that there are.
fn asks_all(filter: &ValueFilter) -> bool {
    filter.operator == Operator::CelExpr && filter.index.is_none() && filter.args.is_empty()
}

/// Whether a filter may be about several values.
fn compares_several(operator: Operator) -> bool {
    matches!(operator, Operator::CelExpr | Operator::CapabilitiesGained)
}

/// What an expression may name: values at these places of `args`, before which a hook has `before` others.
fn listed<'a>(
    places: &[usize],
    name: fn(u32) -> Name,
    args: &'a [Option<Arg>],
    before: usize,
) -> Vec<Listed<'a>> {
    let listed = |place: &usize| Listed {
        name: name(u32::try_from(*place).unwrap_or(u32::MAX)),
        operand: Operand::Arg(before + place),
        arg: args.get(*place).and_then(Option::as_ref),
    };
    places.iter().map(listed).collect()
}

/// What `matchCEL` may name: all values of the hook.
fn all_listed<'a>(around: &Surroundings<'a>) -> Vec<Listed<'a>> {
    let (args, data) = (around.args, around.data);
    let all = |list: &[Option<Arg>]| (0..list.len()).collect::<Vec<usize>>();
    let mut named = listed(&all(args), Name::Arg, args, 0);
    named.extend(listed(&all(data), Name::Data, data, args.len()));
    named
}

/// The places that a filter lists in `args`, of which there are `count` in the hook's list of that name; says what is wrong
/// otherwise. `needed` is what to write where nothing is.
fn places(
    filter: &ValueFilter,
    name: &str,
    count: usize,
    needed: &str,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Vec<usize>> {
    if filter.args.is_empty() {
        report.refuse(&at.member("index"), "nothing", needed);
        return None;
    }
    if filter.index.is_some() {
        report.refuse(at, "`index` and `args`", "one of the two");
        return None;
    }
    if filter.args.len() > 1 && !compares_several(filter.operator) {
        let found = format!("{} arguments", filter.args.len());
        report.refuse_with(
            &at.member("args"),
            found,
            "one argument",
            "`CelExpr` and `CapabilitiesGained` compare several",
        );
        return None;
    }
    let mut places = Vec::with_capacity(filter.args.len());
    for (number, given) in filter.args.iter().enumerate() {
        let found = usize::try_from(*given).ok().filter(|place| *place < count);
        if let Some(place) = found.filter(|place| !places.contains(place)) {
            places.push(place);
            continue;
        }
        let allowed = match (found, count) {
            (Some(_), _) => "each place once".to_owned(),
            (None, 0) => format!("a place in the hook's `{name}`, which are empty"),
            (None, count) => format!("a place in the hook's `{name}`, 0 to {}", count - 1),
        };
        report.refuse(&at.member("args").index(number), format!("`{given}`"), allowed);
    }
    (places.len() == filter.args.len()).then_some(places)
}

/// A filter on data. These follow the arguments among a hook's values.
fn data(
    filter: &ValueFilter,
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let count = around.data.len();
    let places = match filter.index {
        _ if asks_all(filter) => (0..count).collect(),
        Some(given) if filter.args.is_empty() => {
            let found = usize::try_from(given).ok().filter(|place| *place < count);
            let Some(place) = found else {
                let allowed = match count {
                    0 => "a place in the hook's `data`, which are empty".to_owned(),
                    count => format!("a place in the hook's `data`, 0 to {}", count - 1),
                };
                let hint = "add an entry to the hook's `data`: only what is read can be compared";
                report.refuse_with(&at.member("index"), format!("`{given}`"), allowed, hint);
                return None;
            };
            vec![place]
        }
        _ => places(filter, "data", count, "a place in the hook's `data`, from 0", at, report)?,
    };
    let in_hook = |place: usize| around.args.len() + place;
    if compares_several(filter.operator) {
        return expression::filter(
            filter,
            &listed(&places, Name::Arg, around.data, around.args.len()),
            at,
            report,
        );
    }
    let place = *places.first()?;
    let test = value::test(filter, around.data[place].as_ref()?, around.shared, at, report)?;
    Some(Predicate::Arg { at: at.clone(), arg: in_hook(place), test })
}

/// The place of the argument with that `index`.
fn by_index(index: i64, around: &Surroundings, at: &FieldPath, report: &mut Report) -> Option<usize> {
    let known: Vec<Option<i64>> =
        around.args.iter().map(|arg| arg.as_ref().map(|arg| arg.index.into())).collect();
    let place = known.iter().position(|known| *known == Some(index));
    // Through structures, one argument leads to several values.
    let origins = around.args.iter().flatten().filter(|arg| i64::from(arg.index) == index);
    let mut origins: Vec<Origin> = origins.map(Arg::origin).collect();
    origins.dedup();
    if origins.len() > 1 {
        let hint = "name the value by its place in the hook's `args`, from 0, as `args: [0]`";
        let found = format!("`{index}`, which {} of the hook's `args` have", origins.len());
        report.refuse_with(&at.member("index"), found, "an `index` that means one value", hint);
        return None;
    }
    if place.is_none()
        && around.by_place
        && let Some(place) = usize::try_from(index).ok().filter(|place| *place < around.args.len())
    {
        let hint = "no argument has that index, so the place in `args` is meant, as in the established implementation";
        report.warn(&at.member("index"), format!("`{index}`"), hint);
        return Some(place);
    }
    // While an argument is refused, its index is not known.
    if place.is_none() && !known.contains(&None) {
        let names: Vec<String> = known.iter().flatten().map(ToString::to_string).collect();
        let allowed = match names.as_slice() {
            [] => "the `index` of one of the hook's `args`, which are empty".to_owned(),
            names => format!("the `index` of one of the hook's `args`: {}", names.join(", ")),
        };
        let hint = "add the argument to the hook's `args`: only what is read can be compared";
        report.refuse_with(&at.member("index"), format!("`{index}`"), allowed, hint);
    }
    place
}

fn returned(
    filter: &ValueFilter,
    around: &Surroundings,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let Some(arg) = around.return_arg.filter(|_| around.on_return) else {
        // With `return: true`, the missing or refused `returnArg` has been reported.
        if !around.on_return {
            let hint = "a returned value exists only at the end of a function";
            report.refuse_with(at, "a filter on the returned value", "hooks with `return: true`", hint);
        }
        return None;
    };
    if let Some(index) = filter.index.or(filter.args.first().copied()).filter(|index| *index != 0) {
        report.refuse(&at.member("index"), format!("`{index}`"), "0: a function returns one value");
        return None;
    }
    if compares_several(filter.operator) {
        let listed = [Listed { name: Name::Arg(0), operand: Operand::Return, arg: Some(arg) }];
        return expression::filter(filter, &listed, at, report);
    }
    let test = value::test(filter, arg, around.shared, at, report)?;
    Some(Predicate::Return { at: at.clone(), test })
}
