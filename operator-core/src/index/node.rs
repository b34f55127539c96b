//! Nodes, what selects them, and what they report.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::PartialObjectMeta;
use lictor_crds::{NodeReport, PolicyReport, Report};
use lictor_policy::model::{FieldPath, PolicyKey};
use lictor_policy::{Violation, Violations, did_you_mean};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
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

/// Which nodes are to enforce a policy. Empty = all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeSelector {
    /// All must hold.
    pub requirements: BTreeSet<LabelRequirement>,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelRequirement {
    /// The node has the label, with one of the values.
    In(String, BTreeSet<String>),
    /// The node does not have the label, or with none of the values.
    NotIn(String, BTreeSet<String>),
    /// The node has the label.
    Exists(String),
    /// The node does not have the label.
    DoesNotExist(String),
}

impl LabelRequirement {
    fn key(&self) -> &str {
        match self {
            Self::In(key, _) | Self::NotIn(key, _) | Self::Exists(key) | Self::DoesNotExist(key) => key,
        }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(self.key());
        match self {
            Self::In(_, values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(_, values) => value.is_none_or(|value| !values.contains(value)),
            Self::Exists(_) => value.is_some(),
            Self::DoesNotExist(_) => value.is_none(),
        }
    }
}

impl NodeSelector {
    /// Whether a node with these labels is selected.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// The labels that matter.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(LabelRequirement::key)
    }

    /// Reads `spec.nodeSelector`, a label selector.
    ///
    /// # Errors
    /// All that is wrong with it. A selector that cannot be read selects no node, rather than every one.
    pub(super) fn read(json: Option<&Json>) -> Result<Self, Violations> {
        let mut reader = SelectorReader::default();
        if let Some(json) = json.filter(|json| !json.is_null()) {
            reader.selector(json, &FieldPath::new("spec.nodeSelector"));
        }
        reader.violations.into_result().map(|()| Self { requirements: reader.requirements })
    }
}

const MEMBERS: [&str; 2] = ["matchLabels", "matchExpressions"];
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

#[derive(Default)]
struct SelectorReader {
    requirements: BTreeSet<LabelRequirement>,
    violations: Violations,
}

impl SelectorReader {
    fn refuse(&mut self, at: &FieldPath, found: impl Into<String>, allowed: impl Into<String>) {
        self.violations.push(Violation::new(at, found, allowed));
    }

    fn selector(&mut self, json: &Json, at: &FieldPath) {
        let Json::Object(members) = json else {
            return self.refuse(at, shown(json), "a mapping with matchLabels, matchExpressions");
        };
        for (name, value) in members {
            let at = at.member(name);
            match name.as_str() {
                "matchLabels" => self.labels(value, &at),
                "matchExpressions" => self.expressions(value, &at),
                _ => {
                    let mut violation =
                        Violation::new(&at, format!("the unknown field `{name}`"), MEMBERS.join(", "));
                    violation.hint = did_you_mean(name, MEMBERS);
                    self.violations.push(violation);
                }
            }
        }
    }

    fn labels(&mut self, json: &Json, at: &FieldPath) {
        let Json::Object(labels) = json else { return self.refuse(at, shown(json), "a mapping") };
        for (key, value) in labels {
            match value.as_str() {
                Some(value) => {
                    let values = BTreeSet::from([value.to_owned()]);
                    self.requirements.insert(LabelRequirement::In(key.clone(), values));
                }
                None => self.refuse(&at.member(key), shown(value), "a text"),
            }
        }
    }

    fn expressions(&mut self, json: &Json, at: &FieldPath) {
        let Json::Array(items) = json else { return self.refuse(at, shown(json), "a list") };
        for (place, item) in items.iter().enumerate() {
            self.expression(item, &at.index(place));
        }
    }

    fn expression(&mut self, json: &Json, at: &FieldPath) {
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        let Some(key) = text("key").filter(|key| !key.is_empty()) else {
            return self.refuse(
                &at.member("key"),
                shown(json.get("key").unwrap_or(&Json::Null)),
                "a label's key",
            );
        };
        let none = Vec::new();
        let list = json.get("values").and_then(Json::as_array).unwrap_or(&none);
        let values: BTreeSet<String> = list.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        if values.len() != list.len() {
            self.refuse(&at.member("values"), "a list with something else than texts", "texts, each once");
        }
        let key = key.to_owned();
        let operator = text("operator").unwrap_or_default();
        let takes_values = matches!(operator, "In" | "NotIn");
        if OPERATORS.contains(&operator) && takes_values == values.is_empty() {
            let allowed = if takes_values { "at least one value" } else { "no values" };
            return self.refuse(&at.member("values"), format!("{} values", values.len()), allowed);
        }
        let requirement = match operator {
            "In" => LabelRequirement::In(key, values),
            "NotIn" => LabelRequirement::NotIn(key, values),
            "Exists" => LabelRequirement::Exists(key),
            "DoesNotExist" => LabelRequirement::DoesNotExist(key),
            other => {
                let mut violation =
                    Violation::new(&at.member("operator"), format!("`{other}`"), OPERATORS.join(", "));
                violation.hint = did_you_mean(other, OPERATORS);
                return self.violations.push(violation);
            }
        };
        self.requirements.insert(requirement);
    }
}

fn shown(json: &Json) -> String {
    match json {
        Json::Null => "nothing".into(),
        Json::Object(_) => "a mapping".into(),
        Json::Array(_) => "a list".into(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => format!("`{json}`"),
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
