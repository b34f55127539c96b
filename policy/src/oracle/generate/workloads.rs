//! Workloads, and what policies select them by.

use super::Maker;
use crate::model::{
    CONTAINER_NAME, CONTAINER_REPO, ContainerLabels, LabelTest, PodLabels, PodSelector, Requirement, Scope,
    Workload,
};
use std::collections::BTreeSet;

/// Workloads that the scopes of made-up policies tell apart; the host first, then pods and containers of the first of
/// them, the last one an unknown pod.
pub fn workloads() -> Vec<Workload> {
    let labels = |namespace: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PodLabels { namespace: namespace.to_owned(), labels }
    };
    let pod = |namespace: &str, own: &[(&str, &str)]| Workload::Pod(labels(namespace, own));
    let container = |name: &str, repo: &str| {
        let container = ContainerLabels { name: name.to_owned(), repo: repo.to_owned() };
        Workload::Container(labels("team", &[("app", "web")]), container)
    };
    vec![
        Workload::Host,
        pod("team", &[("app", "web")]),
        container("web", "db"),
        container("db", "web"),
        pod("team", &[("app", "db"), ("tier", "web")]),
        pod("team", &[]),
        pod("other", &[("app", "web"), ("tier", "db")]),
        Workload::UnknownPod,
    ]
}

impl Maker {
    /// A scope: always one for a policy in a namespace, now and then one for others.
    pub(super) fn scope(&mut self, namespace: Option<&str>) -> Option<Scope> {
        let random = &mut self.random;
        if namespace.is_none() && !random.chance(30) {
            return None;
        }
        let namespaced = namespace.is_some();
        let scope = self.workloads(!namespaced);
        let pods = scope.pods.map(|pods| PodSelector { namespace: namespace.map(str::to_owned), ..pods });
        Some(Scope { pods, ..scope })
    }

    /// Some workloads, of every namespace; `may_be_host`: the node's own among them.
    pub(super) fn workloads(&mut self, may_be_host: bool) -> Scope {
        let requirements = self.requirements(["app", "tier"], 3);
        let containers = self.requirements([CONTAINER_NAME, CONTAINER_REPO], 2);
        let random = &mut self.random;
        let host = may_be_host && random.chance(40);
        let pods = PodSelector { namespace: None, requirements, containers };
        Scope { pods: (!host || random.chance(70)).then_some(pods), host }
    }

    fn requirements(&mut self, keys: [&str; 2], fewer_than: usize) -> BTreeSet<Requirement> {
        let random = &mut self.random;
        let mut requirements = BTreeSet::new();
        for _ in 0..random.below(fewer_than) {
            let values = (0..=random.below(2)).map(|_| random.pick(&["web", "db"]).to_owned()).collect();
            let test = match random.below(4) {
                0 => LabelTest::In(values),
                1 => LabelTest::NotIn(values),
                2 => LabelTest::Exists,
                _ => LabelTest::DoesNotExist,
            };
            requirements.insert(Requirement { key: random.pick(&keys).to_owned(), test });
        }
        requirements
    }
}
