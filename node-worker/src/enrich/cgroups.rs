//! What the names of cgroups tell: where pods are, which pod, which container.
//!
//! The kubelet names a pod's cgroup by its uid: `kubepods/burstable/podUID` (driver `cgroupfs`) or
//! `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice` with `_` for `-` (driver `systemd`). Runtimes
//! name a container's cgroup by its id: `ID`, `cri-containerd-ID.scope`, `crio-ID.scope`, `docker-ID.scope`.

/// Digits of a container's id.
const CONTAINER_ID_LENGTH: usize = 64;

/// Lengths of a pod's uid: with dashes, and of a pod that the kubelet was given by a file.
const UID_LENGTHS: [usize; 2] = [36, 32];

/// What a cgroup is, by its place and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupKind {
    /// The node's own.
    Host,
    /// Made by the kubelet to have pods below it; or what nobody can tell the pod of.
    Kubepods,
    /// A pod's, or below that.
    Pod {
        /// The pod's uid, with dashes.
        uid: String,
        /// The container's id, when it is one's or below it.
        container: Option<String>,
    },
}

impl CgroupKind {
    /// What the cgroup `name` within one of this kind is. The kernel's programs decide the same by the same names.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match self {
            Self::Host if is_kubepods(name) => Self::Kubepods,
            Self::Host => Self::Host,
            Self::Kubepods => match pod_uid(name) {
                Some(uid) => Self::Pod { uid, container: None },
                None => Self::Kubepods,
            },
            Self::Pod { uid, container } => Self::Pod {
                uid: uid.clone(),
                // What a container makes within itself is the container.
                container: container.clone().or_else(|| container_id(name)),
            },
        }
    }
}

/// The root of all pods: `kubepods`, `kubepods.slice`, or behind a prefix as in `kubelet-kubepods.slice`.
fn is_kubepods(name: &str) -> bool {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    name == "kubepods" || name.ends_with("-kubepods")
}

fn pod_uid(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    UID_LENGTHS.iter().find_map(|length| {
        let begin = name.len().checked_sub(*length)?;
        let (before, uid) = (name.get(..begin)?, name.get(begin..)?);
        before.ends_with("pod").then(|| uid.replace('_', "-"))
    })
}

/// The id of the container that a cgroup is named by. Programs that only serve a container (`crio-conmon-ID.scope`) are
/// none.
fn container_id(name: &str) -> Option<String> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    if name.contains("conmon") {
        return None;
    }
    let id = name.rsplit(['-', ':']).next()?;
    let is_id = id.len() == CONTAINER_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "11111111-2222-4333-8444-555555555555";
    const ID: &str = "551e161c47d8ff0eb665438a7bcd5b4e3ef5a297282b40a92b7c77d6bd168eb3";

    fn kind(path: &str) -> CgroupKind {
        path.split('/').filter(|name| !name.is_empty()).fold(CgroupKind::Host, |kind, name| kind.child(name))
    }

    fn pod(uid: &str, container: Option<&str>) -> CgroupKind {
        CgroupKind::Pod { uid: uid.to_owned(), container: container.map(str::to_owned) }
    }

    #[test]
    fn names_of_both_drivers_tell_pod_and_container() {
        let under = UID.replace('-', "_");
        for (path, wanted) in [
            (String::new(), CgroupKind::Host),
            ("/system.slice/containerd.service".into(), CgroupKind::Host),
            ("/kubepods/burstable".into(), CgroupKind::Kubepods),
            (format!("/kubepods/pod{UID}"), pod(UID, None)),
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), pod(UID, Some(ID))),
            (format!("/kubepods/besteffort/pod{UID}/{ID}/init.scope/x"), pod(UID, Some(ID))),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{ID}.scope"
                ),
                pod(UID, Some(ID)),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{under}.slice/crio-{ID}.scope/container"),
                pod(UID, Some(ID)),
            ),
            (format!("/kubepods.slice/kubepods-pod{under}.slice/crio-conmon-{ID}.scope"), pod(UID, None)),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{under}.slice/docker-{ID}.scope"
                ),
                pod(UID, Some(ID)),
            ),
            (format!("/kubepods/pod{}", "0".repeat(32)), pod(&"0".repeat(32), None)),
        ] {
            assert_eq!(kind(&path), wanted, "{path}");
        }
    }

    #[test]
    fn names_mean_something_only_in_their_place() {
        let other = "99999999-2222-4333-8444-555555555555";
        assert_eq!(kind(&format!("/system.slice/pod{UID}")), CgroupKind::Host);
        assert_eq!(kind(&format!("/kubepods/pod{UID}/{ID}/pod{other}")), pod(UID, Some(ID)));
        assert_eq!(kind(&format!("/kubepods/pod{UID}/{ID}/kubepods/pod{other}")), pod(UID, Some(ID)));
        assert_eq!(kind(&format!("/kubepods/xpo{UID}")), CgroupKind::Kubepods);
        assert_eq!(kind(&format!("/kubepods/pod{UID}0")), CgroupKind::Kubepods);
        assert_eq!(kind("/kubepods/pöd-ä"), CgroupKind::Kubepods);
    }
}
