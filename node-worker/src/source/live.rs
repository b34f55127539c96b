//! Brings the files as they are now into the kernel, as far as that is possible.
//!
//! What cannot be enforced is set aside, one policy after the other, until the rest goes live: the good policies of a
//! folder work, whatever stands beside them. A policy that is set aside keeps the version of it that is live.

use super::set::{Attempt, Cause, PolicySet};
use crate::port::{Applied, ApplyError, KernelError, KernelPort, RevisionDecoder, error_chain};
use lictor_policy::model::PolicyKey;
use lictor_policy::plan::{Answers, Compiled, HookPoint, NodeFacts, Plan, compile};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A revision that went live, with what has to be said about it.
#[derive(Debug, Clone)]
pub struct WentLive {
    /// The revision.
    pub applied: Applied,
    /// What it was made from.
    pub plan: Arc<Plan>,
    /// What was asked about files of the node and modules of its kernel for it.
    pub answers: Answers,
}

/// Takes over what an earlier node worker left live, when it was made from the versions that are restored in `set`.
/// The kernel is not changed.
pub fn adopt(
    set: &PolicySet,
    facts: &NodeFacts,
    port: &mut dyn KernelPort,
) -> Result<Option<WentLive>, KernelError> {
    let compiled = compile(&set.attempt().policies(), facts);
    let plan = Arc::new(compiled.plan);
    Ok(port.adopt(&plan)?.map(|applied| WentLive { applied, plan, answers: compiled.answers }))
}

/// Makes the files of `set` live. On error the kernel keeps what it has, and no policy is to blame.
pub fn bring_live(
    set: &mut PolicySet,
    facts: &NodeFacts,
    port: &mut dyn KernelPort,
    announce: &mut dyn FnMut(RevisionDecoder),
) -> Result<WentLive, ApplyError> {
    let mut attempt = set.attempt();
    // Of all attempts: a policy that is refused for its file or module goes live when that comes.
    let mut answers = Answers::default();
    // When a limit is reached, this many policies are set aside at once; each time twice as many.
    let mut step = 1;
    loop {
        let compiled = compile(&attempt.policies(), facts);
        answers.add(&compiled.answers);
        if refuse_uncompiled(&mut attempt, &compiled) {
            // An older version stands in for a refused one: that makes another plan.
            continue;
        }
        let plan = Arc::new(compiled.plan);
        match port.apply(&plan, announce) {
            Ok(applied) => {
                set.settle(attempt);
                for warning in compiled.warnings {
                    if let Some(key) = warning.0.policy.clone() {
                        set.warn(&key, &warning.to_string());
                    }
                }
                return Ok(WentLive { applied, plan, answers });
            }
            Err(ApplyError::HookPoint { point, reason }) => {
                let culprits = culprits(&attempt, &plan, &point);
                if culprits.is_empty() {
                    return Err(ApplyError::HookPoint { point, reason });
                }
                let reasons = [format!("hook point {point}: {reason}")];
                for key in culprits {
                    attempt.refuse(&key, Cause::Kernel, &reasons);
                }
            }
            Err(error @ ApplyError::Limit { .. }) => {
                let last = last_policies(&attempt, &plan, step);
                if last.is_empty() {
                    return Err(error);
                }
                let reasons = [error_chain(&error)];
                for key in last {
                    attempt.refuse(&key, Cause::Kernel, &reasons);
                }
                step *= 2;
            }
            Err(error @ ApplyError::Kernel(_)) => return Err(error),
        }
    }
}

/// Sets aside what this node refuses; `true` = an older version took a place, so the plan must be made anew.
fn refuse_uncompiled(attempt: &mut Attempt, compiled: &Compiled) -> bool {
    let mut reasons: BTreeMap<&PolicyKey, Vec<String>> = BTreeMap::new();
    for refusal in &compiled.refusals {
        let located = attempt.locate(&refusal.policy, refusal.clone().into());
        reasons.entry(&refusal.policy).or_default().push(located.to_string());
    }
    let mut replaced = false;
    for (key, reasons) in reasons {
        replaced |= attempt.refuse(key, Cause::Unsupported, &reasons);
    }
    replaced
}

/// The policies to blame for a hook point that failed: those on it that are not live in this version, or else all.
fn culprits(attempt: &Attempt, plan: &Plan, point: &HookPoint) -> Vec<PolicyKey> {
    let Some(hook) = plan.hooks.iter().find(|hook| hook.point == *point) else { return Vec::new() };
    let on_it = |group: &lictor_policy::plan::GroupPlan| {
        let policy = plan.policies.get(usize::try_from(group.policy).ok()?)?;
        Some(policy.key.clone())
    };
    let mut all: Vec<PolicyKey> = hook.groups.iter().filter_map(on_it).collect();
    all.sort_unstable();
    all.dedup();
    let new = attempt.new_keys();
    let blamed: Vec<PolicyKey> = all.iter().filter(|key| new.contains(key)).cloned().collect();
    if blamed.is_empty() { all } else { blamed }
}

/// The last `count` policies of those that are not live in this version, or else of all.
fn last_policies(attempt: &Attempt, plan: &Plan, count: usize) -> Vec<PolicyKey> {
    let mut keys = attempt.new_keys();
    if keys.is_empty() {
        keys = plan.policies.iter().map(|policy| policy.key.clone()).collect();
    }
    keys.split_off(keys.len().saturating_sub(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeKernel;
    use crate::source::set::{FileRead, FileState};
    use crate::testing::{facts, policy};

    fn read(set: &mut PolicySet, file: &str, name: &str, call: &str) {
        set.apply(file, FileRead::Text(policy(name, call)));
    }

    fn go(set: &mut PolicySet, kernel: &FakeKernel) -> Result<WentLive, ApplyError> {
        bring_live(set, &facts(), &mut kernel.clone(), &mut |_| ())
    }

    fn states(set: &PolicySet) -> Vec<FileState> {
        set.status().iter().map(|status| status.state).collect()
    }

    #[test]
    fn an_unknown_function_does_not_stop_the_others() {
        let (mut set, kernel) = (PolicySet::default(), FakeKernel::default());
        read(&mut set, "a.yaml", "a", "no_such_function");
        read(&mut set, "b.yaml", "b", "fd_install");
        let live = go(&mut set, &kernel).unwrap();
        assert_eq!(live.applied.revision, 1);
        assert_eq!(kernel.live_policies(), ["b"]);
        assert_eq!(states(&set), [FileState::Rejected, FileState::Live]);
        let reasons = &set.status()[0].reasons;
        assert!(reasons[0].starts_with("a.yaml:7: spec.kprobes[0]"), "{reasons:?}");
    }

    #[test]
    fn a_version_that_does_not_compile_leaves_the_live_one() {
        let (mut set, kernel) = (PolicySet::default(), FakeKernel::default());
        read(&mut set, "a.yaml", "a", "fd_install");
        go(&mut set, &kernel).unwrap();
        let digest = kernel.inner().live.as_ref().map(|(_, plan)| plan.digest);
        read(&mut set, "a.yaml", "a", "no_such_function");
        go(&mut set, &kernel).unwrap();
        assert_eq!(kernel.inner().live.as_ref().map(|(_, plan)| plan.digest), digest);
        assert_eq!(states(&set), [FileState::Stale]);
    }

    #[test]
    fn a_hook_point_that_fails_costs_only_the_policies_that_are_new_there() {
        let (mut set, kernel) = (PolicySet::default(), FakeKernel::default());
        read(&mut set, "a.yaml", "a", "fd_install");
        read(&mut set, "b.yaml", "b", "vfs_read");
        go(&mut set, &kernel).unwrap();
        kernel.inner().broken_points = vec!["fentry/vfs_write".into()];
        read(&mut set, "a.yaml", "a", "vfs_write");
        read(&mut set, "c.yaml", "c", "vfs_write");
        go(&mut set, &kernel).unwrap();
        assert_eq!(kernel.live_policies(), ["a", "b"]);
        assert_eq!(states(&set), [FileState::Stale, FileState::Live, FileState::Rejected]);
        assert!(set.status()[2].reasons[0].contains("hook point fentry/vfs_write: told to fail"));
    }

    #[test]
    fn a_failing_kernel_changes_nothing_and_blames_nobody() {
        let (mut set, kernel) = (PolicySet::default(), FakeKernel::default());
        read(&mut set, "a.yaml", "a", "fd_install");
        kernel.inner().failing_applies = 1;
        assert!(matches!(go(&mut set, &kernel), Err(ApplyError::Kernel(_))));
        assert_eq!(states(&set), [FileState::Pending]);
        go(&mut set, &kernel).unwrap();
        assert_eq!(states(&set), [FileState::Live]);
    }

    #[test]
    fn what_an_earlier_node_worker_left_is_taken_over() {
        let (mut set, kernel) = (PolicySet::default(), FakeKernel::default());
        read(&mut set, "a.yaml", "a", "fd_install");
        go(&mut set, &kernel).unwrap();
        let mut restored = PolicySet::default();
        restored.restore("a.yaml", policy("a", "fd_install"));
        let adopted = adopt(&restored, &facts(), &mut kernel.clone()).unwrap().unwrap();
        assert_eq!((adopted.applied.revision, adopted.applied.unchanged), (1, true));
        let mut other = PolicySet::default();
        other.restore("a.yaml", policy("a", "vfs_read"));
        assert!(adopt(&other, &facts(), &mut kernel.clone()).unwrap().is_none());
    }
}
