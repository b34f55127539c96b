use super::*;
use crate::port::NumbersOfPod;

const ID: &str = "551e161c47d8ff0eb665438a7bcd5b4e3ef5a297282b40a92b7c77d6bd168eb3";

fn uid(number: u32) -> String {
    format!("{number:08}-2222-4333-8444-555555555555")
}

fn pod(number: u32) -> Pod {
    Pod {
        uid: uid(number),
        name: format!("web-{number}"),
        labels: PodLabelsDocument {
            namespace: "shop".into(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
        },
        workload: "web".into(),
        workload_kind: "Deployment".into(),
        containers: vec![Container {
            name: "main".into(),
            image: "shop/web:1".into(),
            ..Container::default()
        }],
    }
}

/// Root 1, kubepods 2, then pods and containers.
fn tree() -> PodIndex {
    let mut index = PodIndex::default();
    assert_eq!(index.cgroup_made(1, 0, ""), LICTOR_POD_HOST);
    assert_eq!(index.cgroup_made(2, 1, "kubepods"), LICTOR_POD_UNKNOWN);
    index
}

fn numbers(pod: u32, number: u32, containers: &[(&str, u32)]) -> PodNumbers {
    let containers = containers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    PodNumbers([(uid(pod), NumbersOfPod { pod: number, containers })].into())
}

fn json(index: &PodIndex, cgroup: u64, pid: u32) -> serde_json::Value {
    let mut out = b"{\"x\":0".to_vec();
    index.text(cgroup).unwrap().push(&mut out, pid);
    out.push(b'}');
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn pods_and_cgroups_may_come_in_any_order() {
    let mut first = tree();
    assert!(first.apply(pod(1)));
    first.set_numbers(numbers(1, 7, &[]));
    assert_eq!(first.cgroup_made(10, 2, &format!("pod{}", uid(1))), 7);
    assert_eq!(first.cgroup_made(11, 10, ID), 7);
    let mut second = tree();
    assert_eq!(second.cgroup_made(10, 2, &format!("pod{}", uid(1))), LICTOR_POD_UNKNOWN);
    second.cgroup_made(11, 10, ID);
    assert_eq!(second.text(11), None);
    assert!(second.cgroup_held(10, LICTOR_POD_UNKNOWN) && !second.any_misplaced());
    assert!(second.apply(pod(1)) && !second.apply(pod(1)));
    second.set_numbers(numbers(1, 7, &[]));
    assert!(second.any_misplaced() && second.cgroup_held(10, 7) && !second.any_misplaced());
    assert_eq!(first.text(11), second.text(11));
    assert!(first.text(11).is_some());
    assert_eq!(first.text(2), None);
    assert_eq!(first.text(77), None);
}

#[test]
fn cgroups_are_of_containers_by_the_ids_that_the_kubelet_tells() {
    let mut index = tree();
    let mut two = pod(1);
    two.containers.push(Container { name: "side".into(), ..Container::default() });
    index.apply(two.clone());
    index.set_numbers(numbers(1, 7, &[("main", 8), ("side", 9)]));
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    assert_eq!(index.cgroup_made(11, 10, ID), 7, "one of two");
    assert!(index.cgroup_held(11, 7));
    two.containers[1].id = format!("containerd://{ID}");
    index.apply(two);
    assert!(index.any_misplaced());
    assert_eq!((index.cgroup_made(11, 10, ID), index.cgroup_made(12, 11, "nested")), (9, 9));
    assert!(index.cgroup_held(11, 9) && !index.cgroup_held(12, 7), "made before the kernel was told");
    // A pod of one container needs no word of the kubelet.
    index.apply(pod(1));
    assert_eq!(index.cgroup_made(11, 10, ID), 8);
    // Containers that there is no number for are judged as their pod.
    index.set_numbers(numbers(1, 7, &[]));
    assert_eq!(index.cgroup_made(11, 10, ID), 7);
}

#[test]
fn events_show_pod_container_and_workload() {
    let mut index = tree();
    let mut known = pod(1);
    known.containers.push(Container {
        name: "side".into(),
        image: "shop/side:2".into(),
        image_id: "shop/side@sha256:1".into(),
        id: format!("containerd://{ID}"),
        started_at: "2026-11-25T10:00:00Z".into(),
    });
    index.apply(known);
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    index.cgroup_made(11, 10, ID);
    index.cgroup_made(12, 11, "nested");
    let wanted = serde_json::json!({
        "x": 0,
        "pod": {
            "namespace": "shop", "name": "web-1", "uid": uid(1),
            "container": {
                "id": format!("containerd://{ID}"), "name": "side",
                "image": {"id": "shop/side@sha256:1", "name": "shop/side:2"},
                "start_time": "2026-11-25T10:00:00Z", "pid": 7,
            },
            "pod_labels": {"app": "web"}, "workload": "web", "workload_kind": "Deployment",
        },
        "docker": &ID[..31],
    });
    assert_eq!(json(&index, 11, 7), wanted);
    assert_eq!(json(&index, 12, 7), wanted);
    let pod_alone = json(&index, 10, 7);
    assert_eq!(pod_alone["pod"].get("container"), None);
    assert_eq!(pod_alone.get("docker"), None);
}

#[test]
fn a_container_that_the_kubelet_has_not_told_of_is_the_only_one_it_can_be() {
    let mut index = tree();
    index.apply(pod(1));
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    index.cgroup_made(11, 10, ID);
    let container = &json(&index, 11, 0)["pod"]["container"];
    assert_eq!(*container, serde_json::json!({"id": ID, "name": "main", "image": {"name": "shop/web:1"}}));
    let mut two = pod(1);
    two.containers.push(two.containers[0].clone());
    index.apply(two);
    assert_eq!(json(&index, 11, 0)["pod"]["container"], serde_json::json!({"id": ID}));
}

#[test]
fn a_pod_that_is_deleted_is_known_until_its_processes_are_gone() {
    let mut index = tree();
    index.apply(pod(1));
    index.apply(pod(2));
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    index.cgroup_made(11, 10, ID);
    assert!(!index.delete(&uid(1)), "it has processes");
    assert!(index.delete(&uid(2)) && !index.delete(&uid(2)));
    assert_eq!(index.facts().keys().cloned().collect::<Vec<_>>(), [uid(1)]);
    assert_eq!(index.counts(), PodCounts { pods: 1, ending: 1, cgroups: 4, cgroups_refused: 0 });
    assert!(!index.cgroup_removed(11, 5));
    assert!(index.cgroup_removed(10, 6));
    assert!(index.facts().is_empty());
    // Deleted and made again with the same uid cannot be; told again while it ends, it is there.
    index.apply(pod(1));
    index.cgroup_made(20, 2, &format!("pod{}", uid(1)));
    index.delete(&uid(1));
    assert!(index.apply(pod(1)));
    assert!(!index.cgroup_removed(20, 7), "the API server has it");
}

#[test]
fn a_list_replaces_what_was_known() {
    let mut index = tree();
    index.apply(pod(1));
    index.apply(pod(2));
    assert!(index.reset(vec![pod(2), pod(3)]));
    assert_eq!(index.facts().keys().cloned().collect::<Vec<_>>(), [uid(2), uid(3)]);
    assert!(!index.reset(vec![pod(3), pod(2)]));
}

#[test]
fn removed_cgroups_are_remembered_for_a_while() {
    let mut index = tree();
    index.apply(pod(1));
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    index.cgroup_removed(10, 1);
    assert!(index.text(10).is_some(), "a record of its last process may still come");
    index.cgroup_removed(2, 1 + REMOVED_KEPT_NS);
    assert!(index.text(10).is_none());
}

#[test]
fn what_was_missed_is_made_up_for() {
    let mut index = tree();
    index.apply(pod(1));
    index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
    index.delete(&uid(1));
    assert_eq!(index.cgroups(), BTreeSet::from([1, 2, 10]));
    assert!(index.cgroups_removed(&BTreeSet::from([10, 77]), 9), "its processes are gone");
    assert_eq!(index.cgroups(), BTreeSet::from([1, 2]));
    assert!(index.facts().is_empty());
}

#[test]
fn more_cgroups_than_there_is_room_for_are_counted() {
    let mut index = tree();
    for id in 0..CGROUPS_MAX as u64 {
        index.cgroup_made(100 + id, 2, "x");
    }
    assert_eq!(index.counts().cgroups_refused, 2);
    assert_eq!(index.cgroup_made(9_999_999, 2, "y"), LICTOR_POD_UNKNOWN);
}

#[test]
fn answers_are_kept_until_something_changes() {
    let shared = Arc::new(SharedPods::default());
    let mut texts = PodTexts::new(Arc::clone(&shared));
    assert_eq!(texts.get(10), None);
    shared.change(|index| {
        *index = tree();
        index.cgroup_made(10, 2, &format!("pod{}", uid(1)));
        index.apply(pod(1))
    });
    let first = texts.get(10).unwrap();
    assert!(Arc::ptr_eq(&first, &texts.get(10).unwrap()));
}
