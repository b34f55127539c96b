//! What the API server says about pods, in the words of [`crate::enrich::pods`].

use crate::enrich::pods::{Container, Pod, PodLabelsDocument};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as ApiPod};
use std::collections::BTreeMap;

/// The kubelet names the cgroups of a pod that it was given by a file by this, not by the uid that the API server gave to
/// the pod's image there.
const FILE_POD_UID: &str = "kubernetes.io/config.mirror";

/// Label that a `ReplicaSet` of a Deployment puts on its pods; the `ReplicaSet`'s name ends with its value.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Label or annotation of pods of an `OpenShift` `DeploymentConfig`: its name.
const DEPLOYMENT_CONFIG: &str = "openshift.io/deployment-config.name";

/// What is needed of a pod; `None` = it has no name or uid, which no API server sends.
pub fn pod(pod: &ApiPod) -> Option<Pod> {
    let metadata = &pod.metadata;
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
    let name = metadata.name.clone()?;
    let (workload, workload_kind) = workload(pod, &name);
    Some(Pod {
        uid: annotation(FILE_POD_UID).or_else(|| metadata.uid.clone())?,
        labels: PodLabelsDocument {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
        },
        containers: containers(pod),
        name,
        workload,
        workload_kind,
    })
}

/// Name and kind of what the pod belongs to.
fn workload(pod: &ApiPod, name: &str) -> (String, String) {
    let metadata = &pod.metadata;
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
        return (name.to_owned(), "Pod".to_owned());
    };
    let label = |key: &str| {
        let of = |map: &Option<BTreeMap<String, String>>| map.as_ref().and_then(|map| map.get(key)).cloned();
        of(&metadata.labels).or_else(|| of(&metadata.annotations))
    };
    let above = match owner.kind.as_str() {
        "ReplicaSet" => label(TEMPLATE_HASH)
            .and_then(|hash| owner.name.strip_suffix(&hash)?.strip_suffix('-').map(str::to_owned))
            .map(|name| (name, "Deployment")),
        "ReplicationController" => label(DEPLOYMENT_CONFIG).map(|name| (name, "DeploymentConfig")),
        "Job" => cron_job(&owner.name).map(|name| (name.to_owned(), "CronJob")),
        _ => None,
    };
    match above {
        Some((name, kind)) => (name, kind.to_owned()),
        None => (owner.name.clone(), owner.kind.clone()),
    }
}

/// The name of the `CronJob` that made a Job: what stands before the eight to ten digits of the time.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

fn containers(pod: &ApiPod) -> Vec<Container> {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let mut named: Vec<(String, String)> = Vec::new();
    let mut told: Vec<&ContainerStatus> = Vec::new();
    if let Some(spec) = spec {
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        named.extend(all.map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())));
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        named.extend(ephemeral.map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())));
    }
    if let Some(status) = status {
        let all = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        told.extend(all.into_iter().flatten().flatten());
    }
    let container = |(name, image): (String, String)| {
        let status = told.iter().find(|status| status.name == name);
        let running = status.and_then(|status| status.state.as_ref()?.running.as_ref());
        let started = running.and_then(|running| running.started_at.as_ref());
        Container {
            image,
            image_id: status.map(|status| status.image_id.clone()).unwrap_or_default(),
            id: status.and_then(|status| status.container_id.clone()).unwrap_or_default(),
            started_at: started.map(|time| time.0.to_string()).unwrap_or_default(),
            name,
        }
    };
    named.into_iter().map(container).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(json: serde_json::Value) -> Pod {
        pod(&serde_json::from_value(json).unwrap()).unwrap()
    }

    fn owned(kind: &str, owner: &str, labels: &serde_json::Value) -> (String, String) {
        let pod = converted(serde_json::json!({"metadata": {
            "name": "p", "uid": "u", "namespace": "n", "labels": labels,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "y"},
                {"apiVersion": "v1", "kind": kind, "name": owner, "uid": "z", "controller": true},
            ],
        }}));
        (pod.workload, pod.workload_kind)
    }

    #[test]
    fn the_workload_is_what_somebody_wrote() {
        let wanted = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
        let none = serde_json::json!({});
        let hash = serde_json::json!({"pod-template-hash": "5d7c9"});
        assert_eq!(owned("ReplicaSet", "web-5d7c9", &hash), wanted("web", "Deployment"));
        assert_eq!(owned("ReplicaSet", "web-other", &hash), wanted("web-other", "ReplicaSet"));
        assert_eq!(owned("ReplicaSet", "web-5d7c9", &none), wanted("web-5d7c9", "ReplicaSet"));
        assert_eq!(owned("Job", "backup-29123456", &none), wanted("backup", "CronJob"));
        assert_eq!(owned("Job", "backup-2912345", &none), wanted("backup-2912345", "Job"));
        assert_eq!(owned("Job", "-29123456", &none), wanted("-29123456", "Job"));
        assert_eq!(owned("DaemonSet", "agent", &none), wanted("agent", "DaemonSet"));
        let config = serde_json::json!({"openshift.io/deployment-config.name": "front"});
        assert_eq!(owned("ReplicationController", "front-3", &config), wanted("front", "DeploymentConfig"));
        let alone = converted(serde_json::json!({"metadata": {"name": "p", "uid": "u"}}));
        assert_eq!((alone.workload, alone.workload_kind), wanted("p", "Pod"));
    }

    #[test]
    fn a_pod_from_a_file_has_the_uid_of_its_cgroups() {
        let pod = converted(serde_json::json!({"metadata": {
            "name": "p", "uid": "u", "annotations": {"kubernetes.io/config.mirror": "0123"},
        }}));
        assert_eq!(pod.uid, "0123");
    }

    #[test]
    fn containers_of_every_kind_are_known() {
        let pod = converted(serde_json::json!({
            "metadata": {"name": "p", "uid": "u", "namespace": "n", "labels": {"a": "b"}},
            "spec": {
                "initContainers": [{"name": "setup", "image": "i"}],
                "containers": [{"name": "main", "image": "m:1"}],
                "ephemeralContainers": [{"name": "debug", "image": "d"}],
            },
            "status": {"containerStatuses": [{
                "name": "main", "image": "reg/m:1", "imageID": "reg/m@sha256:1", "ready": true, "restartCount": 0,
                "containerID": "containerd://abc", "state": {"running": {"startedAt": "2026-11-25T10:00:00Z"}},
            }]},
        }));
        assert_eq!(pod.labels.labels["a"], "b");
        let names: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["setup", "main", "debug"]);
        let main = &pod.containers[1];
        assert_eq!((main.id.as_str(), main.image.as_str()), ("containerd://abc", "m:1"));
        assert_eq!(
            (main.image_id.as_str(), main.started_at.as_str()),
            ("reg/m@sha256:1", "2026-11-25T10:00:00Z")
        );
    }
}
