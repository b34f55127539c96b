//! Selectors: from filters and actions to a rule.

use super::action::{self, Abilities};
use super::argument::label;
use super::report::Report;
use super::{contradiction, process, value};
use crate::model::{Actions, Arg, FieldPath, Predicate, Rule};
use crate::spec::{SelectorSpec, ValueFilter};
use lictor_node_worker_ebpf::LICTOR_MAX_RULES;

/// What the selectors of a hook can refer to.
pub(super) struct Surroundings<'a> {
    /// The hook's arguments, by their place; `None` = refused.
    pub(super) args: &'a [Option<Arg>],
    /// The hook's returned value.
    pub(super) return_arg: Option<&'a Arg>,
    /// The hook is at the function's end.
    pub(super) on_return: bool,
    /// What actions can do there.
    pub(super) abilities: Abilities,
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

fn rule(spec: &SelectorSpec, around: &Surroundings, at: &FieldPath, report: &mut Report) -> Rule {
    let mut predicates = Vec::new();
    let mut keep = |predicate: Option<Predicate>| predicates.extend(predicate);
    for (filter, at) in numbered(&spec.match_binaries, at, "matchBinaries") {
        keep(process::binary(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_pids, at, "matchPIDs") {
        keep(process::pid(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_namespaces, at, "matchNamespaces") {
        keep(process::namespace(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_capabilities, at, "matchCapabilities") {
        keep(process::capability(filter, &at, report));
    }
    for (filter, at) in numbered(&spec.match_args, at, "matchArgs") {
        keep(argument(filter, around, &at, report));
    }
    for (filter, at) in numbered(&spec.match_return_args, at, "matchReturnArgs") {
        keep(returned(filter, around, &at, report));
    }
    let actions = action::fold(&spec.match_actions, around.abilities, &at.member("matchActions"), report);
    if actions.deny.is_some() && !spec.match_return_args.is_empty() {
        report.refuse_with(
            &at.member("matchActions"),
            "`Override` together with `matchReturnArgs`",
            "one of the two",
            "what a function returns is known only when the operation is done, and then it cannot be denied",
        );
    }
    let kind = |arg: Option<usize>| match arg {
        Some(arg) => around.args.get(arg)?.as_ref().map(|arg| arg.kind),
        None => around.return_arg.map(|arg| arg.kind),
    };
    contradiction::refuse(&predicates, kind, report);
    Rule { at: at.clone(), label: label(spec.label.as_deref(), at, report), predicates, actions }
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
    let arg = match (filter.index, filter.args.as_slice()) {
        (Some(index), []) => by_index(index, around, at, report)?,
        (None, [place]) => {
            let found = usize::try_from(*place).ok().filter(|place| *place < around.args.len());
            if found.is_none() {
                let allowed = match around.args.len() {
                    0 => "a place in the hook's `args`, which are empty".to_owned(),
                    count => format!("a place in the hook's `args`, 0 to {}", count - 1),
                };
                report.refuse(&at.member("args").index(0), format!("`{place}`"), allowed);
            }
            found?
        }
        (None, []) => {
            report.refuse(&at.member("index"), "nothing", "the `index` of one of the hook's `args`");
            return None;
        }
        (Some(_), [_, ..]) => {
            report.refuse(at, "`index` and `args`", "one of the two");
            return None;
        }
        (None, several) => {
            let hint = "filters on several arguments are part of the policy language but not supported by this version";
            report.refuse_with(
                &at.member("args"),
                format!("{} arguments", several.len()),
                "one argument",
                hint,
            );
            return None;
        }
    };
    // The argument itself was refused: nothing can be said about a filter on it.
    let described = around.args.get(arg)?.as_ref()?;
    let test = value::test(filter, described, at, report)?;
    Some(Predicate::Arg { at: at.clone(), arg, test })
}

/// The place of the argument with that `index`.
fn by_index(index: i64, around: &Surroundings, at: &FieldPath, report: &mut Report) -> Option<usize> {
    let known: Vec<Option<i64>> =
        around.args.iter().map(|arg| arg.as_ref().map(|arg| arg.index.into())).collect();
    let place = known.iter().position(|known| *known == Some(index));
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
    let test = value::test(filter, arg, at, report)?;
    Some(Predicate::Return { at: at.clone(), test })
}
