//! From policies to a plan.

use super::answers::Answers;
use super::asked::ColumnKey;
use super::assemble::{Member, assemble};
use super::fields::Field;
use super::place::{PlacedHook, Placer};
use super::refusal::{Problem, Refusal};
use super::{HookPoint, NodeFacts, Plan, PlanPolicy};
use crate::expression::Code;
use crate::model::{FieldPath, Policy, PolicyKey, Scope};
use crate::violation::Warning;
use lictor_node_worker_ebpf as wire;
use std::collections::{BTreeMap, BTreeSet};

/// What became of a set of policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// All policies that this node can enforce as they are written.
    pub plan: Plan,
    /// Why the others are not in the plan: everything that is wrong with each of them, in the order of their names.
    pub refusals: Vec<Refusal>,
    /// What their authors will want to know, in the same order.
    pub warnings: Vec<Warning>,
    /// What was found out about files of the node and modules of its kernel; when that changes, compiling gives something
    /// else.
    pub answers: Answers,
}

/// Compiles policies for a node. The result does not depend on the order of `policies`.
///
/// A policy that this node cannot do as it is written is refused as a whole and does not stop the others. Limits of
/// hook points are filled in the order of the policies' names.
pub fn compile(policies: &[Policy], facts: &NodeFacts) -> Compiled {
    let mut ordered: Vec<&Policy> = policies.iter().collect();
    ordered.sort_by(|a, b| a.key.cmp(&b.key));
    let mut placer = Placer::new(facts, &ordered);
    let mut budget = Budget::default();
    let mut compiled = Vec::new();
    let mut scopes: BTreeSet<&Scope> = BTreeSet::new();
    let mut points: BTreeMap<HookPoint, Vec<Member>> = BTreeMap::new();
    let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
    for same in ordered.chunk_by(|a, b| a.key == b.key) {
        let policy = same[0];
        if same.len() > 1 {
            let found = format!("{} policies of this name", same.len());
            let problem = Problem::new(found, "one; none of them is enforced");
            refusals.push(problem.at(&policy.key, &FieldPath::new("metadata.name")));
            continue;
        }
        let mut found = placer.policy(policy);
        found.refusals.extend(unknown_pods(policy, facts));
        warnings.append(&mut found.warnings);
        if found.refusals.is_empty() {
            found.refusals = budget.admit(&policy.key, &found.hooks);
        }
        if !found.refusals.is_empty() {
            refusals.append(&mut found.refusals);
            continue;
        }
        let number = compiled.len() as u32;
        for hook in found.hooks {
            points.entry(hook.point.clone()).or_default().push(Member { policy: number, hook });
        }
        scopes.extend(policy.scopes().map(|(_, scope)| scope));
        compiled.push((
            policy,
            PlanPolicy {
                key: policy.key.clone(),
                mode: policy.mode,
                scope: None,
                enforces: policy
                    .hooks
                    .iter()
                    .flat_map(|hook| &hook.rules)
                    .any(|rule| rule.actions.enforces()),
            },
        ));
    }
    let numbers: BTreeMap<&Scope, u32> = scopes.iter().copied().zip(0..).collect();
    let number = |scope: &Option<Scope>| scope.as_ref().and_then(|scope| numbers.get(scope)).copied();
    let compiled = compiled
        .into_iter()
        .map(|(policy, plan)| PlanPolicy { scope: number(&policy.scope), ..plan })
        .collect();
    let scopes = scopes.into_iter().cloned().collect();
    let answers = placer.answers();
    Compiled { plan: assemble(compiled, scopes, &points), refusals, warnings, answers }
}

/// What selects pods, where nobody can tell which process is of which pod.
fn unknown_pods(policy: &Policy, facts: &NodeFacts) -> Vec<Refusal> {
    let Some(reason) = &facts.no_pods else { return Vec::new() };
    let of_pods = policy.scopes().filter(|(_, scope)| scope.pods.is_some());
    let refusal = |(rule_at, scope): (Option<&FieldPath>, &Scope)| {
        let what = if rule_at.is_some() { "selector" } else { "policy" };
        let at = rule_at.cloned().unwrap_or_else(|| {
            FieldPath::new(match scope.pods.as_ref().map(|pods| !pods.containers.is_empty()) {
                _ if policy.key.namespace.is_some() => "metadata.namespace",
                Some(true) => "spec.containerSelector",
                Some(false) | None => "spec.podSelector",
            })
        });
        let allowed = "policies for every process, or with hostSelector alone";
        Problem::new(format!("a {what} for {scope}"), allowed).hint(reason).at(&policy.key, &at)
    };
    of_pods.map(refusal).collect()
}

/// Intervals of one NUMBER column: what the programs' binary search reaches with 14 steps.
const INTERVALS_MAX: u32 = 1 << 14;

/// What is taken of each limit.
#[derive(Debug, Default)]
struct Budget {
    policies: usize,
    points: BTreeMap<HookPoint, Taken>,
}

/// What is taken at one hook point.
#[derive(Debug, Default)]
struct Taken {
    rules: usize,
    fields: BTreeSet<Field>,
    /// With the intervals that the ranges asked for can make.
    columns: BTreeMap<ColumnKey, usize>,
    expressions: BTreeSet<Code<Field>>,
}

impl Budget {
    /// Takes what `hooks` need; nothing when that is more than there is, which the result tells.
    fn admit(&mut self, policy: &PolicyKey, hooks: &[PlacedHook]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.policies == wire::LICTOR_MAX_POLICIES as usize {
            let problem = over("policies", self.policies + 1, wire::LICTOR_MAX_POLICIES, "on a node");
            refusals.push(problem.at(policy, &FieldPath::new("metadata.name")));
        }
        let mut wanted: BTreeMap<&HookPoint, Vec<&PlacedHook>> = BTreeMap::new();
        for hook in hooks {
            wanted.entry(&hook.point).or_default().push(hook);
        }
        let new = wanted.keys().filter(|point| !self.points.contains_key(**point)).count();
        let points = self.points.len() + new;
        if points > wire::LICTOR_MAX_HOOKS as usize {
            let problem = over("hook points", points, wire::LICTOR_MAX_HOOKS, "on a node");
            refusals.push(problem.at(policy, &FieldPath::new("spec")));
        }
        for (point, hooks) in &wanted {
            refusals.extend(self.points.get(*point).map_or_else(
                || Taken::default().check(policy, point, hooks),
                |taken| taken.check(policy, point, hooks),
            ));
        }
        if refusals.is_empty() {
            self.policies += 1;
            for (point, hooks) in wanted {
                let taken = self.points.entry(point.clone()).or_default();
                for hook in hooks {
                    taken.rules += hook.rules.len();
                    taken.fields.extend(&hook.fields);
                    for (column, test) in hook.rules.iter().flat_map(|rule| &rule.tests) {
                        taken.expressions.extend(test.expression().cloned());
                        *taken.columns.entry(*column).or_default() += test.interval_ends();
                    }
                }
            }
        }
        refusals
    }
}

impl Taken {
    /// Whether `hooks` of one policy fit on top.
    fn check(&self, policy: &PolicyKey, point: &HookPoint, hooks: &[&PlacedHook]) -> Vec<Refusal> {
        let mut rules = self.rules;
        let mut fields: BTreeSet<Field> = BTreeSet::new();
        let mut columns: BTreeMap<ColumnKey, usize> = BTreeMap::new();
        let mut expressions: BTreeSet<&Code<Field>> = BTreeSet::new();
        let mut refusals = Vec::new();
        let wherein = format!("at {point} over all policies");
        for hook in hooks {
            rules += hook.rules.len();
            fields.extend(hook.fields.difference(&self.fields));
            for (column, test) in hook.rules.iter().flat_map(|rule| &rule.tests) {
                let taken = || self.columns.get(column).copied().unwrap_or(0);
                *columns.entry(*column).or_insert_with(taken) += test.interval_ends();
                expressions.extend(test.expression().filter(|code| !self.expressions.contains(*code)));
            }
            let new_columns = columns.keys().filter(|column| !self.columns.contains_key(column)).count();
            let intervals = columns.values().max().map_or(0, |ends| ends + 1);
            let counts = [
                ("rules (selectors)", rules, wire::LICTOR_MAX_RULES),
                ("different arguments", self.fields.len() + fields.len(), wire::LICTOR_MAX_FIELDS),
                ("different filters", self.columns.len() + new_columns, wire::LICTOR_MAX_COLUMNS),
                ("intervals of one value", intervals, INTERVALS_MAX),
                (
                    "different expressions",
                    self.expressions.len() + expressions.len(),
                    wire::LICTOR_MAX_EXPRESSIONS,
                ),
            ];
            for (what, count, limit) in counts {
                if count > limit as usize {
                    refusals.push(over(what, count, limit, &wherein).at(policy, &hook.group.at));
                }
            }
        }
        refusals
    }
}

fn over(what: &str, count: usize, limit: u32, wherein: &str) -> Problem {
    Problem::new(format!("{count} {what}"), format!("{limit} {wherein}"))
}
