//! Which processes a policy applies to.

use std::collections::{BTreeMap, BTreeSet};

/// The label key that stands for the pod's namespace.
pub const NAMESPACE_LABEL: &str = "k8s:io.kubernetes.pod.namespace";

/// The workloads that a policy selects. A policy without a scope applies to every process of the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The pods; `None` = no pod.
    pub pods: Option<PodSelector>,
    /// Processes of the node itself, those outside all pods.
    pub host: bool,
}

/// A set of pods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodSelector {
    /// Pods of this namespace; `None` = of every one.
    pub namespace: Option<String>,
    /// All must hold. Empty = every pod.
    pub requirements: BTreeSet<Requirement>,
}

/// What a pod's labels must be like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Label key, or [`NAMESPACE_LABEL`].
    pub key: String,
    /// What must hold of its value.
    pub test: LabelTest,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelTest {
    /// It is there and is one of the values.
    In(BTreeSet<String>),
    /// It is not there, or is none of the values.
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// What is known about the pod of a process, as far as policies select by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// A process of the node itself: its cgroup is of no pod.
    Host,
    /// A process of a pod that is not known: its cgroup is among those of pods, but nobody has told of the pod yet.
    UnknownPod,
    /// A process of a pod.
    Pod(PodLabels),
}

/// What policies select pods by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PodLabels {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Scope {
    /// Whether the policy applies to `workload`. What is not known of a pod counts against it: an unknown pod is
    /// selected only where every pod is.
    pub fn selects(&self, workload: &Workload) -> bool {
        match workload {
            Workload::Host => self.host,
            Workload::UnknownPod => self
                .pods
                .as_ref()
                .is_some_and(|pods| pods.namespace.is_none() && pods.requirements.is_empty()),
            Workload::Pod(pod) => self.pods.as_ref().is_some_and(|pods| pods.selects(pod)),
        }
    }
}

impl PodSelector {
    /// Whether the pod is one of the set.
    pub fn selects(&self, pod: &PodLabels) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == pod.namespace)
            && self.requirements.iter().all(|requirement| requirement.holds(pod))
    }
}

impl Requirement {
    fn holds(&self, pod: &PodLabels) -> bool {
        self.test.holds(if self.key == NAMESPACE_LABEL {
            Some(&pod.namespace)
        } else {
            pod.labels.get(&self.key)
        })
    }
}

impl LabelTest {
    /// Whether it holds of a label's value; `None` = the label is not there.
    pub fn holds(&self, value: Option<&String>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
        }
    }
}

/// The nodes of a cluster that are to enforce a policy. Without requirements: all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeSelector {
    /// All must hold.
    pub requirements: BTreeSet<Requirement>,
}

impl NodeSelector {
    /// Whether a node with these labels is selected.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.test.holds(labels.get(&requirement.key)))
    }

    /// The labels that matter.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(|requirement| requirement.key.as_str())
    }
}

/// As people read it: `pods of namespace web with app in (a, b); host`.
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(pods) = &self.pods else { return f.write_str("processes outside pods") };
        f.write_str(if pods.namespace.is_none() && pods.requirements.is_empty() {
            "all pods"
        } else {
            "pods"
        })?;
        if let Some(namespace) = &pods.namespace {
            write!(f, " of namespace {namespace}")?;
        }
        for (position, requirement) in pods.requirements.iter().enumerate() {
            write!(f, "{} {requirement}", if position == 0 { " with" } else { " and" })?;
        }
        f.write_str(if self.host { ", and processes outside pods" } else { "" })
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = if self.key == NAMESPACE_LABEL { "namespace" } else { self.key.as_str() };
        let list =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match &self.test {
            LabelTest::In(values) => match values.first().filter(|_| values.len() == 1) {
                Some(value) => write!(f, "{key}={value}"),
                None => write!(f, "{key} in ({})", list(values)),
            },
            LabelTest::NotIn(values) => write!(f, "{key} not in ({})", list(values)),
            LabelTest::Exists => write!(f, "{key}"),
            LabelTest::DoesNotExist => write!(f, "no {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn selector(namespace: Option<&str>, requirements: Vec<(&str, LabelTest)>) -> Scope {
        let requirements =
            requirements.into_iter().map(|(key, test)| Requirement { key: key.to_owned(), test }).collect();
        let pods = PodSelector { namespace: namespace.map(str::to_owned), requirements };
        Scope { pods: Some(pods), host: false }
    }

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> Workload {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Workload::Pod(PodLabels { namespace: namespace.to_owned(), labels })
    }

    #[test]
    fn labels_select_as_kubernetes_does() {
        let web = pod("shop", &[("app", "web"), ("tier", "front")]);
        for (test, holds, without) in [
            (LabelTest::In(set(&["web", "api"])), true, false),
            (LabelTest::In(set(&["api"])), false, false),
            (LabelTest::NotIn(set(&["web"])), false, true),
            (LabelTest::NotIn(set(&["api"])), true, true),
            (LabelTest::Exists, true, false),
            (LabelTest::DoesNotExist, false, true),
        ] {
            let scope = selector(None, vec![("app", test.clone())]);
            assert_eq!(scope.selects(&web), holds, "{test:?}");
            assert_eq!(scope.selects(&pod("shop", &[])), without, "{test:?} without the label");
            assert!(!scope.selects(&Workload::Host) && !scope.selects(&Workload::UnknownPod), "{test:?}");
        }
    }

    #[test]
    fn the_namespace_is_a_label_too() {
        let scope = selector(None, vec![(NAMESPACE_LABEL, LabelTest::In(set(&["shop"])))]);
        assert!(scope.selects(&pod("shop", &[])) && !scope.selects(&pod("bank", &[])));
        let scope = selector(Some("shop"), Vec::new());
        assert!(scope.selects(&pod("shop", &[])) && !scope.selects(&pod("bank", &[])));
        assert!(!scope.selects(&Workload::UnknownPod), "it may be of another namespace");
    }

    #[test]
    fn every_pod_means_unknown_ones_too() {
        let scope = selector(None, Vec::new());
        assert!(scope.selects(&Workload::UnknownPod) && !scope.selects(&Workload::Host));
        let host = Scope { pods: None, host: true };
        assert!(host.selects(&Workload::Host) && !host.selects(&Workload::UnknownPod));
    }

    #[test]
    fn scopes_are_shown_to_people() {
        let scope = selector(
            Some("shop"),
            vec![
                ("app", LabelTest::In(set(&["web"]))),
                ("tier", LabelTest::NotIn(set(&["a", "b"]))),
                ("x", LabelTest::DoesNotExist),
            ],
        );
        assert_eq!(scope.to_string(), "pods of namespace shop with app=web and tier not in (a, b) and no x");
        let everywhere = Scope { host: true, ..selector(None, Vec::new()) };
        assert_eq!(everywhere.to_string(), "all pods, and processes outside pods");
        assert_eq!(Scope { pods: None, host: true }.to_string(), "processes outside pods");
    }
}
