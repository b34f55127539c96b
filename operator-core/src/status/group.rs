//! What reports say about policies, found in time that does not grow with policies times nodes.
//!
//! A report names the assignment that its node holds, and beside it only the policies that are not enforced as assigned or
//! that did something. So nodes that hold the same assignment in the same way are looked at together.

use super::rollup::{NodeState, pending};
use crate::index::{Accepted, Index, PolicyEntry, ReportEntry};
use crate::reconcile::Desired;
use lictor_policy::bundle::{Assignment, AssignmentEntry};
use lictor_policy::model::PolicyKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes of which the same is known about every policy that their reports do not name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Common<'a> {
    /// No report.
    Unreported,
    /// The report of a machine that had this name before.
    Earlier,
    /// A report that is too old to be believed.
    Silent,
    /// A report.
    Reported {
        /// Digest of the assignment that the node holds; empty for none.
        held: &'a str,
        /// Whether its kernel holds what that compiles to.
        is_live: bool,
        /// What is wrong beside single policies.
        problem: Option<&'a str>,
    },
}

/// Nodes by what their reports have in common.
#[derive(Debug, Default)]
pub(super) struct Reports<'a> {
    groups: Vec<(Common<'a>, Option<&'a Assignment>)>,
    /// Nodes whose reports name a policy.
    named: BTreeMap<&'a PolicyKey, BTreeMap<&'a str, &'a ReportEntry>>,
    /// For each list of nodes, its nodes in each of the groups. Policies share such lists, so each is split once.
    split: BTreeMap<*const BTreeSet<String>, Vec<(usize, Vec<&'a str>)>>,
}

/// Where some nodes are with a policy.
pub(super) struct Share<'a> {
    /// Where they are.
    pub(super) state: NodeState,
    /// The nodes, by name.
    pub(super) nodes: Vec<&'a str>,
}

impl<'a> Reports<'a> {
    pub(super) fn read(index: &'a Index, desired: &'a Desired, now: Duration) -> Self {
        let mut groups: BTreeMap<Common<'a>, usize> = BTreeMap::new();
        let mut group_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut named: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for name in index.nodes().keys() {
            let common = common(index, name, now);
            if let (Common::Reported { .. }, Some(report)) = (&common, index.reports().get(name)) {
                for key in report.policies() {
                    named.entry(key).or_default().insert(name.as_str(), report);
                }
            }
            let next = groups.len();
            group_of.insert(name, *groups.entry(common).or_insert(next));
        }
        let mut by_place: Vec<_> = groups.into_iter().collect();
        by_place.sort_by_key(|(_, place)| *place);
        let held = |common: &Common<'_>| match common {
            Common::Reported { held, .. } => index.assignment(held),
            Common::Unreported | Common::Earlier | Common::Silent => None,
        };
        let groups = by_place.into_iter().map(|(common, _)| {
            let held = held(&common);
            (common, held)
        });
        let mut split = BTreeMap::new();
        for scope in desired.scopes.values() {
            split.entry(std::sync::Arc::as_ptr(scope)).or_insert_with(|| {
                let mut shares: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
                for node in &**scope {
                    if let Some(group) = group_of.get(node.as_str()) {
                        shares.entry(*group).or_default().push(node);
                    }
                }
                shares.into_iter().collect()
            });
        }
        Self { groups: groups.collect(), named, split }
    }

    /// Nodes in `scope` whose reports name the policy.
    pub(super) fn named<'b>(
        &'b self,
        scope: &'b BTreeSet<String>,
        key: &PolicyKey,
    ) -> impl Iterator<Item = (&'a str, &'a ReportEntry)> + 'b {
        let all = self.named.get(key).into_iter().flatten();
        all.map(|(node, report)| (*node, *report)).filter(|(node, _)| scope.contains(*node))
    }

    /// Where the other nodes in `scope` are with it.
    pub(super) fn others(
        &self,
        index: &Index,
        scope: &BTreeSet<String>,
        key: &PolicyKey,
        entry: &PolicyEntry,
        accepted: &Accepted,
    ) -> Vec<Share<'a>> {
        let named = self.named.get(key);
        let is_other = |node: &&str| named.is_none_or(|named| !named.contains_key(*node));
        let shares = self.split.get(&std::ptr::from_ref(scope)).into_iter().flatten();
        shares
            .filter_map(|(group, nodes)| {
                let nodes: Vec<&str> = nodes.iter().copied().filter(is_other).collect();
                let (common, held) = self.groups.get(*group).filter(|_| !nodes.is_empty())?;
                Some(Share { state: state(index, common, *held, key, entry, accepted), nodes })
            })
            .collect()
    }
}

fn common<'a>(index: &'a Index, node: &str, now: Duration) -> Common<'a> {
    let Some(report) = index.reports().get(node) else { return Common::Unreported };
    if index.is_of_earlier_node(node, report) {
        return Common::Earlier;
    }
    if report.is_silent(now) {
        return Common::Silent;
    }
    Common::Reported {
        held: report.report.assignment.as_ref().map(|held| held.digest.as_str()).unwrap_or_default(),
        is_live: report.is_live(),
        problem: report.report.problems.first().map(String::as_str),
    }
}

/// Where nodes are with a policy that their reports do not name: it follows from the assignment that they hold.
fn state(
    index: &Index,
    common: &Common<'_>,
    held: Option<&Assignment>,
    key: &PolicyKey,
    entry: &PolicyEntry,
    accepted: &Accepted,
) -> NodeState {
    let (is_live, problem) = match common {
        Common::Unreported => return pending("the node has not reported"),
        Common::Earlier => {
            return pending("the node is another one than the one of the same name that has reported");
        }
        Common::Silent => return NodeState::Silent,
        Common::Reported { is_live, problem, .. } => (*is_live, *problem),
    };
    let late = |why: &str| pending(problem.unwrap_or(why));
    let Some(held) = held else { return late("the node holds no assignment that is known") };
    let Some(given) = held.entry(key).filter(|given| given.uid == entry.uid) else {
        return late("the node has not been given this policy yet");
    };
    if given.generation != entry.generation {
        return late(&format!("the node is at generation {} of {}", given.generation, entry.generation));
    }
    if let Some(why) = differs(index, key, given, accepted) {
        return late(&why);
    }
    if is_live { NodeState::Enforced } else { late("the node's kernel does not hold what the node wants") }
}

/// Why what a node was given of this generation is not what it is to have.
fn differs(index: &Index, key: &PolicyKey, given: &AssignmentEntry, accepted: &Accepted) -> Option<String> {
    if index.text_digest(&given.shard, key) != Some(&accepted.digest) {
        return Some("the node holds another text of this generation".to_owned());
    }
    (given.mode != accepted.mode).then(|| format!("the node is in mode `{}`", given.mode.name()))
}
