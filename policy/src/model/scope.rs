//! Which processes a policy applies to.

use std::collections::{BTreeMap, BTreeSet};

/// The label key that stands for the pod's namespace.
pub const NAMESPACE_LABEL: &str = "k8s:io.kubernetes.pod.namespace";
/// The key that stands for a container's name in its pod.
pub const CONTAINER_NAME: &str = "name";
/// The key that stands for a container's image without tag and digest.
pub const CONTAINER_REPO: &str = "repo";

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
    /// All must hold of the container. Empty = every process of the pod.
    pub containers: BTreeSet<Requirement>,
}

/// What a label must be like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Label key, or [`NAMESPACE_LABEL`]; of a container [`CONTAINER_NAME`] or [`CONTAINER_REPO`].
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Workload {
    /// A process of the node itself: its cgroup is of no pod.
    #[default]
    Host,
    /// A process of a pod that is not known: its cgroup is among those of pods, but nobody has told of the pod yet.
    UnknownPod,
    /// A process of a pod, outside its containers or of one that nobody has told of yet.
    Pod(PodLabels),
    /// A process of a container.
    Container(PodLabels, ContainerLabels),
}

impl Workload {
    /// A process of a pod and, where it is known, of that container.
    #[must_use]
    pub fn of_pod(pod: PodLabels, container: Option<ContainerLabels>) -> Self {
        match container {
            Some(container) => Self::Container(pod, container),
            None => Self::Pod(pod),
        }
    }
}

/// What policies select pods by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PodLabels {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What policies select containers by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContainerLabels {
    /// Name within the pod.
    pub name: String,
    /// Where the image is from, see [`image_repository`].
    pub repo: String,
}

/// The repository of an image: its name in full, without tag and digest. `nginx:1.27` is of `docker.io/library/nginx`, as
/// container runtimes complete names (github.com/distribution/reference, `normalize.go`).
pub fn image_repository(image: &str) -> String {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is that of a port.
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

impl Scope {
    /// Whether `workload` is one of those. What is not known of a pod counts against it: an unknown pod is selected only
    /// where every pod is, an unknown container only where every one of its pod is.
    pub fn selects(&self, workload: &Workload) -> bool {
        let Some(pods) = &self.pods else { return self.host && *workload == Workload::Host };
        match workload {
            Workload::Host => self.host,
            Workload::UnknownPod => {
                pods.namespace.is_none() && pods.requirements.is_empty() && pods.containers.is_empty()
            }
            Workload::Pod(pod) => pods.selects(pod) && pods.containers.is_empty(),
            Workload::Container(pod, container) => {
                pods.selects(pod) && pods.containers.iter().all(|wanted| wanted.holds_of_container(container))
            }
        }
    }
}

impl PodSelector {
    /// Every pod.
    pub(crate) fn all() -> Self {
        Self { namespace: None, requirements: BTreeSet::new(), containers: BTreeSet::new() }
    }

    /// Whether the pod is one of the set, whatever its containers.
    fn selects(&self, pod: &PodLabels) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == pod.namespace)
            && self.requirements.iter().all(|requirement| requirement.holds_of_pod(pod))
    }
}

impl Requirement {
    fn holds_of_pod(&self, pod: &PodLabels) -> bool {
        self.test.holds(if self.key == NAMESPACE_LABEL {
            Some(&pod.namespace)
        } else {
            pod.labels.get(&self.key)
        })
    }

    fn holds_of_container(&self, container: &ContainerLabels) -> bool {
        self.test.holds(match self.key.as_str() {
            CONTAINER_NAME => Some(&container.name),
            CONTAINER_REPO => Some(&container.repo),
            // Validation refuses other keys.
            _ => None,
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

/// As people read it: `containers with name=app of pods of namespace web with app in (a, b), and processes outside pods`.
impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(pods) = &self.pods else { return f.write_str("processes outside pods") };
        if !pods.containers.is_empty() {
            f.write_str("containers")?;
            write_all(f, &pods.containers)?;
            f.write_str(" of ")?;
        }
        f.write_str(if pods.namespace.is_none() && pods.requirements.is_empty() {
            "all pods"
        } else {
            "pods"
        })?;
        if let Some(namespace) = &pods.namespace {
            write!(f, " of namespace {namespace}")?;
        }
        write_all(f, &pods.requirements)?;
        f.write_str(if self.host { ", and processes outside pods" } else { "" })
    }
}

fn write_all(f: &mut std::fmt::Formatter<'_>, requirements: &BTreeSet<Requirement>) -> std::fmt::Result {
    for (position, requirement) in requirements.iter().enumerate() {
        write!(f, "{} {requirement}", if position == 0 { " with" } else { " and" })?;
    }
    Ok(())
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
        let containers = BTreeSet::new();
        let pods = PodSelector { namespace: namespace.map(str::to_owned), requirements, containers };
        Scope { pods: Some(pods), host: false }
    }

    fn containers(mut scope: Scope, requirements: &[(&str, LabelTest)]) -> Scope {
        let wanted =
            requirements.iter().map(|(key, test)| Requirement { key: (*key).to_owned(), test: test.clone() });
        scope.pods.as_mut().unwrap().containers.extend(wanted);
        scope
    }

    fn container(name: &str, image: &str) -> Workload {
        let Workload::Pod(pod) = pod("shop", &[("app", "web")]) else { panic!("a pod") };
        let container = ContainerLabels { name: name.to_owned(), repo: image_repository(image) };
        Workload::of_pod(pod, Some(container))
    }

    #[test]
    fn containers_are_selected_by_name_and_repository() {
        let web = selector(None, vec![("app", LabelTest::In(set(&["web"])))]);
        let main = containers(web.clone(), &[("name", LabelTest::In(set(&["main"])))]);
        assert!(web.selects(&container("main", "nginx")) && main.selects(&container("main", "nginx:1")));
        assert!(!main.selects(&container("side", "nginx")));
        let other = containers(web.clone(), &[("repo", LabelTest::NotIn(set(&["docker.io/library/nginx"])))]);
        assert!(other.selects(&container("main", "ghcr.io/shop/web:2")));
        assert!(!other.selects(&container("main", "nginx@sha256:00")));
        let db = selector(None, vec![("app", LabelTest::In(set(&["db"])))]);
        assert!(!containers(db, &[("name", LabelTest::Exists)]).selects(&container("main", "nginx")));
    }

    #[test]
    fn a_container_that_nobody_has_told_of_is_selected_where_all_are() {
        let unknown = pod("shop", &[("app", "web")]);
        let all = selector(None, Vec::new());
        let but_side = containers(all.clone(), &[("name", LabelTest::NotIn(set(&["side"])))]);
        assert!(all.selects(&unknown) && !but_side.selects(&unknown));
        assert!(!but_side.selects(&Workload::UnknownPod) && !but_side.selects(&Workload::Host));
    }

    #[test]
    fn images_are_of_a_repository() {
        for (image, repository) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("shop/web:1", "docker.io/shop/web"),
            ("docker.io/library/nginx@sha256:00", "docker.io/library/nginx"),
            ("ghcr.io/shop/web:1@sha256:00", "ghcr.io/shop/web"),
            ("localhost/web", "localhost/web"),
            ("registry:5000/web", "registry:5000/web"),
            ("registry:5000/web:1", "registry:5000/web"),
            ("", "docker.io/library/"),
        ] {
            assert_eq!(image_repository(image), repository, "{image}");
        }
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
        let main = containers(selector(None, Vec::new()), &[("name", LabelTest::In(set(&["main"])))]);
        assert_eq!(main.to_string(), "containers with name=main of all pods");
    }
}
