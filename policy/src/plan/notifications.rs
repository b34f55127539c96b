//! What rules leave for their policy's enforcer, as numbers, and where it is carried out.

use super::asked::{Source, Tests};
use super::attach::Site;
use super::columns::Test;
use super::digest::notifier_digest;
use super::{Attach, HookPoint, RulePlan};
use crate::model::{Enforcement, Hook, HookTarget, NotifyAction, Policy, Rule};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_column_kind as column, lictor_column_source as from};
use std::collections::BTreeSet;

/// The enforcer of one policy on this node.
#[derive(Debug)]
pub(super) struct Enforcer {
    /// Where its calls are attached to.
    points: BTreeSet<HookPoint>,
    /// All system calls are among them.
    every_syscall: bool,
    /// What all its notifications have in common.
    base: u64,
    enforcements: Vec<Enforcement>,
}

impl Enforcer {
    /// The enforcer of `policy`, whose calls are attached to at `points`.
    pub(super) fn new(policy: &Policy, points: BTreeSet<HookPoint>) -> Self {
        let mut calls = policy.hooks.iter().filter(|hook| hook.is_enforcer());
        let every_syscall = calls.any(|hook| hook.target == HookTarget::Syscalls);
        let enforcements: Vec<Enforcement> = policy.enforcements().into_iter().collect();
        let digest = notifier_digest(&policy.key, policy.mode, &enforcements);
        let head = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // Never 0, which stands for no notification.
        let base = (head | 1 << 63) & !((1 << wire::LICTOR_NOTIFICATION_BITS) - 1);
        Self { points, every_syscall, base, enforcements }
    }

    /// The number of a notification.
    pub(super) fn number(&self, enforcement: Enforcement) -> u64 {
        let place = self.enforcements.iter().position(|known| *known == enforcement);
        self.base | place.unwrap_or(0) as u64
    }

    /// The question whether a notification is left for the thread.
    pub(super) fn notified(&self, enforcement: Enforcement, tests: &mut Tests) {
        let source = Source::Process(from::LICTOR_FROM_NOTIFICATIONS);
        tests.add(column::LICTOR_COLUMN_NOTIFICATIONS, source, Test::Notified(self.number(enforcement)));
    }

    /// What a rule leaves where it is carried out at once: it is at the call itself, or on the way into a system call when all
    /// are calls of the enforcer.
    pub(super) fn at_once(&self, hook: &Hook, site: &Site, rule: &Rule) -> Option<Enforcement> {
        let enters = self.every_syscall && hook.target.enters_syscall() && site.point.attach != Attach::Fexit;
        rule.actions.enforcement().filter(|_| enters || self.points.contains(&site.point))
    }

    /// Adds to `plan` what the rule does with notifications; `at_once` as [`Enforcer::at_once`] says.
    pub(super) fn plan(&self, rule: &Rule, at_once: bool, plan: &mut RulePlan) {
        let carried_out = rule.carries_out();
        let (flag, number) = match (carried_out, rule.actions.notify) {
            (Some(enforcement), _) => (wire::LICTOR_RULE_CONSUME, self.number(enforcement)),
            (None, Some(NotifyAction::Leave(_))) if at_once => return,
            (None, Some(NotifyAction::Leave(enforcement))) => {
                (wire::LICTOR_RULE_NOTIFY, self.number(enforcement))
            }
            (None, Some(NotifyAction::Cleanup)) => (wire::LICTOR_RULE_CLEANUP, self.base),
            (None, None) => return,
        };
        plan.flags |= flag;
        plan.notification = number;
    }
}

/// The numbers of all notifications of a policy.
#[cfg(any(test, feature = "testing"))]
pub fn notification_numbers(policy: &Policy) -> std::collections::BTreeMap<Enforcement, u64> {
    let enforcer = Enforcer::new(policy, BTreeSet::new());
    policy.enforcements().into_iter().map(|one| (one, enforcer.number(one))).collect()
}
