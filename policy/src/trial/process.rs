//! The process of a made-up event.

use super::line;
use crate::model::{
    BinaryOf, CapabilitySet, ContainerLabels, FieldPath, Namespace, PodLabels, Predicate, Workload,
    image_repository,
};
use crate::oracle::{Lineage, Notifications, Privileges, Process, ProcessId, Reading};
use crate::validate::CAPABILITIES;
use crate::violation::{Violation, Violations, did_you_mean};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who does it. What is left out must not be asked for by the policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSpec {
    /// Path of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// Path of the program that its parent runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_binary: Option<String>,
    /// Paths of the programs that it has run before, and that those it descends from have run. With `binary` and
    /// `parentBinary` they are what `followChildren` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_before: Option<Vec<String>>,
    /// Process id on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Process id within its PID namespace; the same as `pid` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_pid: Option<u32>,
    /// Ids of its ancestors on the node, the parent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<u32>,
    /// Its capabilities, in all sets: `CAP_SYS_ADMIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// The pod that it is of; without it, it is a process of the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,
    /// Kinds of namespaces of its own, with any number for each: `{Mnt: 5}`. In the others it shares the node's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, u32>,
    /// What it had when it began what it runs. Without it, the policy must not ask for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<BeginningSpec>,
}

/// What a process had when it began what it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BeginningSpec {
    /// Its capabilities, in all sets; those that it has now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Kinds of namespaces of its own; those that it has now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<BTreeMap<String, u32>>,
}

/// A pod, as far as policies select by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The container that the process is of; without it, none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
}

/// A container, as far as policies select by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// Its name in the pod.
    pub name: String,
    /// Its image, with or without tag and digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

impl ContainerSpec {
    fn labels(&self) -> ContainerLabels {
        ContainerLabels { name: self.name.clone(), repo: image_repository(&self.image) }
    }
}

impl ProcessSpec {
    /// What a filter asks for and this leaves open.
    pub(super) fn lacks(&self, predicate: &Predicate) -> Option<&'static str> {
        match predicate {
            Predicate::Binary(test) => match test.of {
                BinaryOf::Process => self.binary.is_none().then_some("binary"),
                BinaryOf::Parent => self.parent_binary.is_none().then_some("parentBinary"),
                BinaryOf::Lineage if self.binary.is_none() => Some("binary"),
                BinaryOf::Lineage => self.ran_before.is_none().then_some("ranBefore"),
            },
            Predicate::Pid(_) => self.pid.is_none().then_some("pid"),
            Predicate::Capability(_) => self.capabilities.is_none().then_some("capabilities"),
            Predicate::CapabilityChange(_) if self.capabilities.is_none() => Some("capabilities"),
            Predicate::NamespaceChange(_) | Predicate::CapabilityChange(_) => {
                self.began.is_none().then_some("began")
            }
            Predicate::Namespace(_)
            | Predicate::Workload(_)
            | Predicate::Notified(_)
            | Predicate::Arg { .. }
            | Predicate::Return { .. }
            | Predicate::Expression(_) => None,
        }
    }
}

/// The process that a case tells of.
pub(super) fn read(spec: &ProcessSpec, at: &FieldPath, violations: &mut Violations) -> Process {
    let path = |path: &Option<String>| {
        path.as_ref().map_or(Reading::Absent, |path| Reading::Text(path.clone().into_bytes()))
    };
    let now = Privileges {
        capabilities: capabilities(spec.capabilities.as_deref().unwrap_or_default(), at, violations),
        namespaces: namespaces(&spec.namespaces, at, violations),
    };
    let beginning = spec.began.as_ref().map(|began| {
        let at = at.member("began");
        let (capabilities_then, namespaces_then) = (&began.capabilities, &began.namespaces);
        Privileges {
            capabilities: capabilities_then
                .as_ref()
                .map_or_else(|| now.capabilities.clone(), |names| capabilities(names, &at, violations)),
            namespaces: namespaces_then
                .as_ref()
                .map_or_else(|| now.namespaces.clone(), |kinds| namespaces(kinds, &at, violations)),
        }
    });
    let line = [&spec.binary, &spec.parent_binary].into_iter().flatten();
    let line = line.chain(spec.ran_before.iter().flatten()).map(|path| path.clone().into_bytes());
    let global = spec.pid.unwrap_or(0);
    Process {
        binary: path(&spec.binary),
        parent_binary: path(&spec.parent_binary),
        lineage: Lineage { binaries: line.collect(), complete: true },
        id: ProcessId { global, own: spec.namespace_pid.unwrap_or(global) },
        ancestors: spec.ancestors.iter().map(|id| ProcessId { global: *id, own: *id }).collect(),
        now,
        beginning,
        notifications: Notifications::new(),
        workload: spec.pod.as_ref().map_or(Workload::Host, |pod| {
            let labels = PodLabels { namespace: pod.namespace.clone(), labels: pod.labels.clone() };
            Workload::of_pod(labels, pod.container.as_ref().map(ContainerSpec::labels))
        }),
    }
}

/// The capability sets of a process that has these in all of them.
fn capabilities(
    names: &[String],
    at: &FieldPath,
    violations: &mut Violations,
) -> BTreeMap<CapabilitySet, u64> {
    let mut mask = 0;
    for (place, name) in names.iter().enumerate() {
        if let Some(bit) = CAPABILITIES.iter().position(|known| known == name) {
            mask |= 1_u64 << bit;
        } else {
            let at = at.member("capabilities").index(place);
            let mut violation = Violation::new(&at, format!("`{name}`"), "the name of a capability");
            violation.hint = did_you_mean(name, CAPABILITIES);
            violations.push_bounded(violation);
        }
    }
    let sets = [CapabilitySet::Effective, CapabilitySet::Permitted, CapabilitySet::Inheritable];
    sets.into_iter().map(|set| (set, mask)).collect()
}

/// The namespaces of a process that shares the node's but for these.
fn namespaces(
    own: &BTreeMap<String, u32>,
    at: &FieldPath,
    violations: &mut Violations,
) -> BTreeMap<Namespace, u32> {
    let mut namespaces = host();
    for (name, inode) in own {
        if let Some((_, namespace)) = line::NAMESPACES.iter().find(|(_, known)| format!("{known:?}") == *name)
        {
            namespaces.insert(*namespace, inode.saturating_add(1000));
        } else {
            let names: Vec<String> = line::NAMESPACES.iter().map(|(_, known)| format!("{known:?}")).collect();
            let found = format!("`{name}`");
            violations.push_bounded(Violation::new(&at.member("namespaces"), found, names.join(", ")));
        }
    }
    namespaces
}

/// Namespaces of the node that cases run on.
pub(super) fn host() -> BTreeMap<Namespace, u32> {
    (1..).zip(line::NAMESPACES).map(|(number, (_, namespace))| (namespace, number)).collect()
}
