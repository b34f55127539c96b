//! Scope classes: what a plan's scopes come to for one workload.

use super::{HookPlan, Plan, Vector};
use crate::model::Workload;
use lictor_node_worker_ebpf::{lictor_column_kind, lictor_scope};

/// The scopes of a plan that a workload is in: bit i of word i/64 is scope i. Trailing zero words are cut, so that equal
/// sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScopeSet(Vec<u64>);

impl ScopeSet {
    /// Whether scope `index` is in the set.
    pub fn contains(&self, index: u32) -> bool {
        let index = index as usize;
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

impl Plan {
    /// The scopes that `workload` is in.
    pub fn scopes_of(&self, workload: &Workload) -> ScopeSet {
        let mut words = vec![0; self.scopes.len().div_ceil(64)];
        for (index, scope) in self.scopes.iter().enumerate() {
            if scope.selects(workload) {
                words[index / 64] |= 1 << (index % 64);
            }
        }
        words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
        ScopeSet(words)
    }
}

impl HookPlan {
    /// Whether some rule here, or its policy, selects workloads.
    pub fn is_scoped(&self) -> bool {
        let scope = lictor_column_kind::LICTOR_COLUMN_SCOPE;
        self.shape.columns.iter().any(|column| u32::from(column.kind) == scope)
    }

    /// The rules that apply within `scopes`: those for which neither policy nor rule has a scope that is not in the set.
    pub fn rules_within(&self, plan: &Plan, scopes: &ScopeSet) -> Vector {
        let mut words = vec![0_u64; self.rules.len().div_ceil(64)];
        for (number, rule) in self.rules.iter().enumerate() {
            let group = self.groups.get(rule.group as usize);
            let policy = group.and_then(|group| plan.policies.get(group.policy as usize));
            let within = |scope: Option<u32>| scope.is_none_or(|index| scopes.contains(index));
            if policy.is_some_and(|policy| within(policy.scope)) && within(rule.scope) {
                words[number / 64] |= 1 << (number % 64);
            }
        }
        words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
        Vector(words)
    }
}

/// What the kernel's table holds for one hook point of a plan and the class of workloads that are in `scopes`.
pub fn scope_entry(plan: &Plan, hook: &HookPlan, scopes: &ScopeSet) -> lictor_scope {
    let rules = hook.rules_within(plan, scopes);
    let fallback_verdict = super::layout::fallback_verdict(hook, Some(&rules));
    lictor_scope { rules: super::layout::vector_bytes(&rules), fallback_verdict, ..lictor_scope::default() }
}
