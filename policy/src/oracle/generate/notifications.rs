//! What made-up policies leave for their enforcers.

use super::{Place, Random, SIGNALS};
use crate::model::{Enforcement, FieldPath, HookTarget, NotifyAction, Policy};
use crate::oracle::{Notifications, same_place};
use crate::validate::call_hooks;

/// Gives a policy an enforcer with a call or two among `places`: some of its rules leave something for it, others take it away.
pub(super) fn add(policy: &mut Policy, places: &[&Place], random: &mut Random) {
    let mut calls: Vec<&Place> = Vec::new();
    for place in places.iter().filter(|place| can_be_call(&place.target)) {
        let known = calls.iter().any(|call| same_place(&call.target, &place.target));
        if !known && (calls.is_empty() || random.chance(50)) {
            calls.push(place);
        }
    }
    let denies = calls.iter().all(|place| place.denies);
    let stock: Vec<Enforcement> = (0..=random.below(3)).map(|_| enforcement(random, denies)).collect();
    for rule in policy.hooks.iter_mut().flat_map(|hook| &mut hook.rules) {
        rule.actions.notify = match random.below(10) {
            0..4 => Some(NotifyAction::Leave(random.pick(&stock))),
            4 => Some(NotifyAction::Cleanup),
            _ => None,
        };
    }
    let at = FieldPath::new("spec.enforcers").index(0).member("calls");
    let calls = calls.iter().enumerate().map(|(number, place)| (place.target.clone(), at.index(number)));
    policy.hooks.extend(call_hooks(calls.collect(), &policy.enforcements(), &policy.hooks));
}

/// Places where something happens on its own account; the rest of what documents can name is one of these.
fn can_be_call(target: &HookTarget) -> bool {
    match target {
        HookTarget::Function(_) | HookTarget::Lsm(_) | HookTarget::Syscall(_) => true,
        HookTarget::Functions(_)
        | HookTarget::Syscalls
        | HookTarget::Syscall32(_)
        | HookTarget::Tracepoint { .. }
        | HookTarget::User { .. }
        | HookTarget::Mapping => false,
    }
}

fn enforcement(random: &mut Random, denies: bool) -> Enforcement {
    let deny = (denies && random.chance(70)).then(|| random.pick(&[-1, -13, -4095]));
    let signal = (deny.is_none() || random.chance(30)).then(|| random.pick(&SIGNALS));
    Enforcement { deny, signal }
}

/// What these policies may have left for a thread before.
pub fn notifications(seed: u64, policies: &[Policy]) -> Notifications {
    // Another sequence than that of the event with this seed.
    let mut random = Random::new(!seed);
    let mut left = Notifications::new();
    for policy in policies {
        let all: Vec<Enforcement> = policy.enforcements().into_iter().collect();
        if !all.is_empty() && random.chance(60) {
            left.insert(policy.key.clone(), random.pick(&all));
        }
    }
    left
}
