//! `spec.enforcers`: hooks that nobody has to write, which carry out what selectors leave for them.

use super::hook::name;
use super::lists::Shared;
use super::report::{Report, quoted};
use crate::model::{
    Actions, ENFORCEMENTS_MAX, Enforcement, FieldPath, Hook, HookTarget, Predicate, Rule, ShownAction,
    enforcements,
};
use crate::spec::{CALLS_MAX, ListKind, PolicySpec};
use std::collections::BTreeSet;

const SIGKILL: u8 = 9;

/// What may be written.
const ALLOWED: &str =
    "functions whose names begin with security_, system calls, and lists of them (list:NAME)";

/// A call of the enforcer, and where it is written.
pub(super) type Call = (HookTarget, FieldPath);

/// The calls of the policy's enforcer; says what is wrong with them.
pub(super) fn calls(spec: &PolicySpec, shared: &Shared, at: &FieldPath, report: &mut Report) -> Vec<Call> {
    let at = at.member("enforcers");
    if spec.enforcers.len() > 1 {
        let hint = "write all calls into the first one, or make several policies of it";
        report.refuse_with(&at.index(1), format!("{} enforcers", spec.enforcers.len()), "one", hint);
    }
    let Some(enforcer) = spec.enforcers.first() else { return Vec::new() };
    let at = at.index(0).member("calls");
    if enforcer.calls.is_empty() {
        report.refuse(&at, "no call", ALLOWED);
    }
    let mut calls: Vec<Call> = Vec::new();
    let mut known: BTreeSet<HookTarget> = BTreeSet::new();
    for (place, call) in enforcer.calls.iter().enumerate() {
        let at = at.index(place);
        for target in targets(call, shared, &at, report) {
            if !known.insert(target.clone()) {
                report.refuse(&at, format!("{} a second time", shown(&target)), "each call once");
            } else if calls.len() < CALLS_MAX {
                calls.push((target, at.clone()));
            } else {
                report.refuse(&at, format!("more than {CALLS_MAX} calls"), format!("at most {CALLS_MAX}"));
                return calls;
            }
        }
    }
    calls
}

/// What one of `calls` stands for.
fn targets(call: &str, shared: &Shared, at: &FieldPath, report: &mut Report) -> Vec<HookTarget> {
    let Some(list) = call.strip_prefix("list:") else {
        return target(call, false, at, report).into_iter().collect();
    };
    let Some((list, _)) = shared.list(list, at, report) else { return Vec::new() };
    let only_calls = match list.kind {
        Some(ListKind::GeneratedSyscalls) => return vec![HookTarget::Syscalls],
        Some(ListKind::GeneratedFtrace) => {
            let hint = "give the list the names that are meant, without a type";
            report.refuse_with(at, format!("{}, a pattern of functions", quoted(call)), ALLOWED, hint);
            return Vec::new();
        }
        Some(ListKind::Syscalls) => true,
        None => false,
    };
    // Refused where the list is written.
    let values = list.values.iter().filter(|value| !value.starts_with("list:")).take(CALLS_MAX + 1);
    values.filter_map(|value| target(value, only_calls, at, report)).collect()
}

fn target(call: &str, is_syscall: bool, at: &FieldPath, report: &mut Report) -> Option<HookTarget> {
    if call.starts_with("security_") && !is_syscall {
        return name(call, "a kernel function", at, report).map(HookTarget::Function);
    }
    let (bare, target) = HookTarget::bare_syscall(call);
    name(bare, "a system call", at, report).map(target)
}

fn shown(target: &HookTarget) -> String {
    match target {
        HookTarget::Function(name) => quoted(name),
        HookTarget::Syscall(name) => quoted(&format!("sys_{name}")),
        HookTarget::Syscall32(name) => quoted(&format!("i386/sys_{name}")),
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Tracepoint { .. }
        | HookTarget::Lsm(_)
        | HookTarget::User { .. }
        | HookTarget::Mapping => "every system call".to_owned(),
    }
}

/// The hooks of the enforcer: one for each call, with a rule for each different notification of `notifying`.
pub(super) fn hooks(calls: Vec<Call>, notifying: &[Hook], at: &FieldPath, report: &mut Report) -> Vec<Hook> {
    if calls.is_empty() {
        return Vec::new();
    }
    let enforcements = enforcements(notifying);
    let at = at.member("enforcers").index(0);
    if enforcements.is_empty() {
        report.warn(
            &at,
            "an enforcer that no selector notifies",
            "without `NotifyEnforcer` it has no effect",
        );
    }
    if enforcements.len() > ENFORCEMENTS_MAX {
        let found = format!("{} different pairs of argError and argSig to carry out", enforcements.len());
        report.refuse_with(&at, found, format!("{ENFORCEMENTS_MAX}"), "make several policies of it");
        return Vec::new();
    }
    call_hooks(calls, &enforcements, notifying)
}

/// One hook for each call, which carries out the `enforcements` that the rules of `notifying` leave.
pub(crate) fn call_hooks(
    calls: Vec<Call>,
    enforcements: &BTreeSet<Enforcement>,
    notifying: &[Hook],
) -> Vec<Hook> {
    // Who wants to hear nothing of the cause wants to hear nothing of what comes of it.
    let mut all = notifying.iter().flat_map(|hook| &hook.rules).map(|rule| &rule.actions);
    let post = all.any(|actions| actions.post && actions.enforcement().is_some());
    let hook = |(target, at): Call| {
        let rules = enforcements.iter().map(|enforcement| rule(*enforcement, post, &at));
        let rules: Vec<Rule> = rules.collect();
        (!rules.is_empty()).then(|| Hook {
            at,
            target,
            args: Vec::new(),
            return_arg: None,
            on_return: false,
            rules,
            message: None,
            tags: Vec::new(),
            ignore_missing: false,
        })
    };
    calls.into_iter().filter_map(hook).collect()
}

/// The rule that carries out a notification.
fn rule(enforcement: Enforcement, post: bool, at: &FieldPath) -> Rule {
    let Enforcement { deny, signal } = enforcement;
    let shown = match (deny, signal) {
        (Some(_), _) => ShownAction::Override,
        (None, Some(SIGKILL)) => ShownAction::Sigkill,
        (None, _) => ShownAction::Signal,
    };
    let actions = Actions { post, signal, deny, shown, ..Actions::default() };
    Rule { at: at.clone(), label: None, predicates: vec![Predicate::Notified(enforcement)], actions }
}
