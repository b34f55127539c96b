//! Nodes, what selects them, and what they report.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::PartialObjectMeta;
use lictor_crds::{NodeReport, PolicyReport, Report};
use lictor_policy::model::PolicyKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// Label that tells a node's operating system.
const OS_LABEL: &str = "kubernetes.io/os";

/// Heartbeats that may fail to come before a node counts as silent.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// A heartbeat for reports that name none.
const HEARTBEAT_DEFAULT: Duration = Duration::from_mins(10);

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeEntry {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Highest serial that this operator has used for it.
    pub serial: Option<u64>,
    /// `metadata.creationTimestamp`: a node that was deleted and created again is another machine.
    pub created: Option<Time>,
}

impl NodeEntry {
    pub(super) fn read(node: &PartialObjectMeta<Node>) -> Self {
        Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            serial: None,
            created: node.metadata.creation_timestamp.clone(),
        }
    }

    /// A node that does not say what it runs counts as Linux.
    pub(super) fn is_linux(&self) -> bool {
        self.labels.get(OS_LABEL).is_none_or(|os| os == "linux")
    }
}

/// What a node reported.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportEntry {
    /// The report itself.
    pub report: Report,
    /// `metadata.uid`.
    pub uid: String,
    /// Where each policy is in the report.
    places: BTreeMap<PolicyKey, usize>,
    /// When it was heard, since the operator began. The node's own clock is not asked.
    heard: Duration,
    /// `metadata.creationTimestamp`.
    created: Option<Time>,
    resource_version: Option<String>,
}

impl ReportEntry {
    pub(super) fn read(report: &NodeReport, old: Option<&Self>, now: Duration) -> Self {
        let resource_version = report.metadata.resource_version.clone();
        // The same version again, by a new watch, is no sign of life.
        let known = old.filter(|old| old.resource_version == resource_version && resource_version.is_some());
        let places = report.report.policies.iter().enumerate().map(|(place, policy)| {
            (PolicyKey { namespace: policy.namespace.clone(), name: policy.name.clone() }, place)
        });
        Self {
            places: places.collect(),
            report: report.report.clone(),
            uid: report.metadata.uid.clone().unwrap_or_default(),
            created: report.metadata.creation_timestamp.clone(),
            heard: known.map_or(now, |old| old.heard),
            resource_version,
        }
    }

    /// What is said about a policy.
    pub fn policy(&self, key: &PolicyKey) -> Option<&PolicyReport> {
        self.places.get(key).and_then(|place| self.report.policies.get(*place))
    }

    /// The policies that it names.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyKey> {
        self.places.keys()
    }

    /// Whether it was there before the node was: an earlier node of the same name wrote it.
    pub(super) fn is_older_than(&self, node: &NodeEntry) -> bool {
        match (&self.created, &node.created) {
            (Some(report), Some(node)) => report.0 < node.0,
            _ => false,
        }
    }

    /// Whether nothing was heard of the node for several heartbeats.
    pub fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) > self.patience()
    }

    /// When the node will count as silent, since the operator began.
    pub fn silent_at(&self) -> Duration {
        self.heard + self.patience()
    }

    fn patience(&self) -> Duration {
        let heartbeat = match self.report.heartbeat_seconds {
            0 => HEARTBEAT_DEFAULT,
            seconds => Duration::from_secs(u64::from(seconds)),
        };
        heartbeat * HEARTBEATS_MISSED_MAX
    }

    /// Whether the kernel holds what the node's assignment compiled to.
    pub fn is_live(&self) -> bool {
        let (assignment, revision) = (&self.report.assignment, &self.report.revision);
        match (assignment, revision) {
            (Some(assignment), Some(revision)) => {
                !revision.digest.is_empty() && revision.digest == assignment.plan
            }
            _ => false,
        }
    }
}
