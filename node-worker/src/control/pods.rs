//! Pods and cgroups on their way into the kernel.

use super::Control;
use crate::enrich::clock::boot_now_ns;
use crate::enrich::pods::{Pod, SharedPods};
use crate::port::{KernelError, KernelPort, PodFacts, error_chain};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the control thread knows of pods.
#[derive(Debug)]
pub struct Pods {
    shared: Arc<SharedPods>,
    /// The default cgroup hierarchy.
    root: PathBuf,
    /// The node worker is part of a cluster.
    pub(super) cluster: bool,
    /// What the kernel was told last; `None` = nothing by this node worker.
    told: Option<BTreeMap<String, PodFacts>>,
    /// What was kept last for a start without the API server.
    kept: Option<Vec<Pod>>,
    version: Option<u64>,
    /// Records of cgroups that were lost when the tree was read last.
    lost: u64,
    pub(super) problem: Option<String>,
}

impl Pods {
    /// Pods of `shared`, cgroups of the tree at `root`.
    pub fn new(shared: Arc<SharedPods>, root: PathBuf, cluster: bool) -> Self {
        Self { shared, root, cluster, told: None, kept: None, version: None, lost: 0, problem: None }
    }

    /// Pods that end.
    pub(super) fn ending(&self) -> u64 {
        self.shared.read().counts().ending
    }
}

/// Why the tree was not read.
enum WalkError {
    Tree(io::Error),
    Kernel(KernelError),
}

impl<K: KernelPort> Control<K> {
    /// The pods that an earlier node worker knew, for as long as the API server says nothing.
    pub(super) fn restore_pods(&mut self) {
        if !self.parts.pods.cluster {
            return;
        }
        match self.parts.state.load_pods() {
            Ok(Some(pods)) => {
                tracing::info!(pods = pods.len(), "pods as they were kept");
                self.parts.pods.shared.change(|index| index.reset(pods));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the kept pods cannot be read"),
        }
    }

    /// Brings pods that have changed into the kernel.
    pub(super) fn update_pods(&mut self) {
        let version = self.parts.pods.shared.version();
        if self.parts.pods.version == Some(version) {
            return;
        }
        self.parts.pods.version = Some(version);
        let (facts, kept) = {
            let index = self.parts.pods.shared.read();
            if !index.is_told() {
                return;
            }
            (index.facts(), index.pods().cloned().collect::<Vec<Pod>>())
        };
        if self.parts.pods.told.as_ref() != Some(&facts) {
            match self.parts.port.set_pods(&facts) {
                Ok(numbers) => self.parts.pods.shared.change(|index| index.set_numbers(numbers)),
                Err(error) => {
                    self.pods_failed(&error_chain(&error));
                    // Tried again with the next tick.
                    self.parts.pods.version = None;
                    return;
                }
            }
            self.parts.pods.told = Some(facts);
            self.parts.pods.problem = None;
        }
        // Made before anybody told of their pod, or of their container.
        if self.parts.pods.shared.read().any_misplaced() {
            self.read_cgroups();
        }
        self.keep_pods(kept);
    }

    /// Keeps the pods for a start without the API server.
    fn keep_pods(&mut self, pods: Vec<Pod>) {
        if !self.parts.pods.cluster || self.parts.pods.kept.as_ref() == Some(&pods) {
            return;
        }
        if let Err(error) = self.parts.state.save_pods(&pods) {
            tracing::warn!(%error, "the pods cannot be kept; a start without the API server would not know them");
        }
        self.parts.pods.kept = Some(pods);
    }

    fn pods_failed(&mut self, error: &str) {
        let problem = format!("the kernel was not told of all pods and cgroups: {error}");
        if self.parts.pods.problem.as_ref() != Some(&problem) {
            tracing::error!("{problem}");
            self.parts.pods.problem = Some(problem);
        }
    }

    /// Reads the whole tree of cgroups: places each, then looks below it.
    pub(super) fn read_cgroups(&mut self) {
        let before = self.parts.pods.shared.read().cgroups();
        let mut there = BTreeSet::new();
        let root = self.parts.pods.root.clone();
        match self.walk(&root, &mut there) {
            Ok(()) => {
                let gone = before.difference(&there).copied().collect();
                self.parts.pods.shared.change(|index| index.cgroups_removed(&gone, boot_now_ns()));
                self.parts.pods.problem = None;
            }
            Err(WalkError::Tree(error)) => {
                self.pods_failed(&format!("cgroups at {} cannot be read: {error}", root.display()));
            }
            Err(WalkError::Kernel(error)) => self.pods_failed(&error_chain(&error)),
        }
    }

    fn walk(&mut self, root: &Path, there: &mut BTreeSet<u64>) -> Result<(), WalkError> {
        let id = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.ino());
        let mut open = vec![(root.to_owned(), 0, String::new())];
        while let Some((path, parent, name)) = open.pop() {
            let id = match id(&path) {
                Ok(id) => id,
                Err(error) if parent == 0 => return Err(WalkError::Tree(error)),
                // Removed meanwhile.
                Err(_) => continue,
            };
            there.insert(id);
            let number = self.parts.pods.shared.change(|index| index.cgroup_made(id, parent, &name));
            // Before what is below is listed: what is made there later belongs to this one's owner.
            self.parts.port.place_cgroup(id, number).map_err(WalkError::Kernel)?;
            self.parts.pods.shared.change(|index| index.cgroup_held(id, number));
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if parent == 0 => return Err(WalkError::Tree(error)),
                Err(_) => continue,
            };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                open.push((entry.path(), id, entry.file_name().to_string_lossy().into_owned()));
            }
        }
        Ok(())
    }

    /// Reads the tree again when records of cgroups were lost.
    pub(super) fn watch_cgroups(&mut self, lost: u64) {
        if lost != self.parts.pods.lost {
            self.parts.pods.lost = lost;
            self.read_cgroups();
        }
    }
}
