//! What reports say about policies, found in time that does not grow with policies times nodes.
//!
//! A report names the assignment that its node holds, and beside it only the policies that are not enforced as assigned or
//! that did something. So nodes that hold the same assignment in the same way are looked at together.

use super::rollup::{NodeState, pending};
use crate::index::{Accepted, Index, PolicyEntry, ReportEntry};
use crate::reconcile::Desired;
use lictor_policy::bundle::{AssignmentEntry, Digest};
use lictor_policy::model::PolicyKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes of which the same is known about every policy that their reports do not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Common<'a> {
    /// No report.
    Unreported,
    /// The report of a machine that had this name before.
    Earlier,
    /// A report that is too old to be believed.
    Silent,
    /// A report.
    Reported {
        /// Digest of the assignment that the node holds; `None` = none, or no digest.
        held: Option<Digest>,
        /// Whether its kernel holds what that compiles to.
        is_live: bool,
        /// What is wrong beside single policies.
        problem: Option<&'a str>,
    },
}

/// Nodes by what their reports have in common.
#[derive(Debug, Default)]
pub(super) struct Reports<'a> {
    /// Nodes whose reports name a policy.
    named: BTreeMap<&'a PolicyKey, BTreeMap<&'a str, &'a ReportEntry>>,
    /// For each list of nodes, its nodes by what they have in common. Policies share such lists, so each is split once.
    split: BTreeMap<*const BTreeSet<String>, BTreeMap<Common<'a>, Vec<&'a str>>>,
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
        let mut common_of: BTreeMap<&str, Common<'a>> = BTreeMap::new();
        let mut named: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for name in index.nodes().keys() {
            let common = common(index, name, now);
            if let (Common::Reported { .. }, Some(report)) = (common, index.reports().get(name)) {
                for key in report.policies() {
                    named.entry(key).or_default().insert(name.as_str(), report);
                }
            }
            common_of.insert(name, common);
        }
        let mut split = BTreeMap::new();
        for scope in desired.scopes.values() {
            split.entry(std::sync::Arc::as_ptr(scope)).or_insert_with(|| {
                let mut shares: BTreeMap<Common<'a>, Vec<&str>> = BTreeMap::new();
                for node in &**scope {
                    if let Some(common) = common_of.get(node.as_str()) {
                        shares.entry(*common).or_default().push(node);
                    }
                }
                shares
            });
        }
        Self { named, split }
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
            .map(|(common, nodes)| Share {
                state: state(index, *common, key, entry, accepted),
                nodes: nodes.iter().copied().filter(is_other).collect(),
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
        held: report.report.assignment.as_ref().and_then(|held| held.digest.parse().ok()),
        is_live: report.is_live(),
        problem: report.report.problems.first().map(String::as_str),
    }
}

/// Where nodes are with a policy that their reports do not name: it follows from the assignment that they hold.
fn state(
    index: &Index,
    common: Common<'_>,
    key: &PolicyKey,
    entry: &PolicyEntry,
    accepted: &Accepted,
) -> NodeState {
    let (held, is_live, problem) = match common {
        Common::Unreported => return pending("the node has not reported"),
        Common::Earlier => {
            return pending("the node is another one than the one of the same name that has reported");
        }
        Common::Silent => return NodeState::Silent,
        Common::Reported { held, is_live, problem } => (held, is_live, problem),
    };
    let late = |why: &str| pending(problem.unwrap_or(why));
    let Some(held) = held.and_then(|digest| index.assignment(&digest)) else {
        return late("the node holds no assignment that is known");
    };
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
