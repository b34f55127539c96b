//! Tests that run against a cluster.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Error, Result};

use super::{AnyCluster, Cluster, Node, NodeOptions, Options, images};
use crate::lab::{self, CaseResult};

/// Memory of a node's guest, MiB: its root file system is in it.
const NODE_MEMORY_MIB: u32 = 3072;

/// A test that needs a cluster. One test runs many cases: a control plane takes some ten seconds to start.
#[derive(Clone, Copy)]
pub struct ClusterTest {
    /// Name, the first part of its cases' names.
    pub name: &'static str,
    /// What it is busy with.
    pub lane: Lane,
    /// Whether any cluster will do: it asks for nothing but [`ClusterContext::any_cluster`].
    pub anywhere: bool,
    /// Runs it. An error counts as one failed case.
    pub run: fn(&ClusterContext) -> Result<Vec<CaseResult>>,
}

/// Tests of different lanes run beside each other, those of one lane one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The node that tests share.
    Node,
    /// A control plane of the test's own.
    ControlPlane,
    /// The same, for what takes as long as all those together.
    Long,
    /// Nothing: most of its time it waits.
    Waiting,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Node, Self::ControlPlane, Self::Long, Self::Waiting];
}

/// What a test gets to work with.
#[derive(Debug)]
pub struct ClusterContext {
    /// Directory of the built programs of this repository, without debug information.
    pub programs: PathBuf,
    /// How clusters are run, unless the test changes it.
    pub options: Options,
    /// The cluster for the tests that pass in any; a control plane of their own when absent.
    pub kubeconfig: Option<PathBuf>,
    /// The node that the tests share; why there is none when it did not come up. `None` before the first test asks.
    node: Mutex<Option<Result<Arc<NodeCluster>, String>>>,
}

/// A control plane with one node.
#[derive(Debug)]
pub struct NodeCluster {
    // In this order, the node goes before the control plane.
    /// The node.
    pub node: Node,
    /// The control plane.
    pub cluster: Cluster,
}

impl ClusterContext {
    /// Without a node; one is started when the first test asks for it.
    pub fn new(programs: PathBuf, options: Options) -> Self {
        Self { programs, options, kubeconfig: None, node: Mutex::default() }
    }

    /// The cluster that the user named, or a control plane of the test's own.
    ///
    /// # Errors
    /// When the control plane does not come up, or the cluster has Lictor in it: a test would change its types.
    pub fn any_cluster(&self) -> Result<AnyCluster> {
        let Some(kubeconfig) = &self.kubeconfig else {
            return Ok(AnyCluster::Own(self.control_plane()?.into()));
        };
        AnyCluster::given(kubeconfig, self.options.report)
    }

    /// A control plane of the test's own, without nodes.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn control_plane(&self) -> Result<Cluster> {
        Cluster::start(&self.options)
    }

    /// The control plane with a real node that the tests share: its start takes a minute or two. A test leaves nothing
    /// behind in it.
    ///
    /// # Errors
    /// When it did not come up, for the first test that asked or for another one.
    pub fn node(&self) -> Result<Arc<NodeCluster>> {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let node = node.get_or_insert_with(|| self.start_node().map_err(|error| format!("{error:#}")));
        node.clone().map_err(Error::msg)
    }

    /// Runs a test on the node that the tests share; once more, on a new one, when the guest goes down meanwhile.
    ///
    /// The kernel of an emulated machine may panic for no fault of what runs on it: the emulator's processor is not a real
    /// one. What the guest said at its end is reported and kept in the cache, under `guests-gone-down`; a guest that
    /// goes down twice in one test fails it.
    ///
    /// # Errors
    /// When no node comes up, or the test fails.
    pub fn on_node(
        &self,
        test: impl Fn(&Arc<NodeCluster>) -> Result<Vec<CaseResult>>,
    ) -> Result<Vec<CaseResult>> {
        let shared = self.node()?;
        let outcome = test(&shared);
        let Err(down) = shared.node.ensure_up() else { return outcome };
        let kept = shared.node.keep_last_words()?;
        (self.options.report)(&format!(
            "{down:#}; {} has what it said\n{}",
            kept.display(),
            shared.node.last_lines()
        ));
        self.node.lock().unwrap_or_else(PoisonError::into_inner).take();
        test(&self.node()?)
    }

    fn start_node(&self) -> Result<Arc<NodeCluster>> {
        let cluster = self.control_plane()?;
        let node = Node::start(&cluster, &self.node_options("node1")?)?;
        node.wait_ready(&cluster)?;
        Ok(Arc::new(NodeCluster { node, cluster }))
    }

    /// How a node is run, unless the test changes it.
    ///
    /// # Errors
    /// When this machine lacks a program of the images.
    pub fn node_options(&self, name: &str) -> Result<NodeOptions> {
        let guest = lab::Options {
            memory_mib: NODE_MEMORY_MIB,
            kernel_arguments: vec!["random.trust_cpu=on".to_owned()],
            report: self.options.report,
            ..lab::Options::default()
        };
        Ok(NodeOptions {
            name: name.to_owned(),
            labels: "lictor.test/node=true".to_owned(),
            images: images::all(&self.programs)?,
            guest,
            programs: self.programs.clone(),
        })
    }
}

/// Collects the cases of a test.
#[derive(Debug, Default)]
pub struct Cases {
    results: Vec<CaseResult>,
    /// The node that the cases are about.
    node: Option<Arc<NodeCluster>>,
}

impl Cases {
    /// Of a test about a node: the first case that fails has the guest's last lines, and when the guest goes down the cases
    /// after it do not wait for what cannot come.
    pub fn of_node(node: &Arc<NodeCluster>) -> Self {
        Self { results: Vec::new(), node: Some(Arc::clone(node)) }
    }

    /// Runs one case: it passes when `case` returns no error. The others run whatever becomes of it.
    pub fn run(&mut self, name: impl Into<String>, case: impl FnOnce() -> Result<()>) {
        let ran = self.node.as_ref().map_or(Ok(()), |shared| shared.node.ensure_up()).and_then(|()| case());
        let failure = ran.err().map(|error| format!("{error:#}{}", self.last_lines_of_node()));
        self.results.push(CaseResult { name: name.into(), failure });
    }

    fn last_lines_of_node(&self) -> String {
        let first = self.results.iter().all(|case| case.failure.is_none());
        let node = self.node.as_ref().filter(|_| first);
        node.map(|shared| format!("\n{}", shared.node.last_lines())).unwrap_or_default()
    }

    /// All cases so far.
    pub fn done(self) -> Vec<CaseResult> {
        self.results
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn an_error_fails_its_own_case_only() {
        let mut cases = Cases::default();
        cases.run("bad", || bail!("why"));
        cases.run("good", || Ok(()));
        let cases = cases.done();
        assert_eq!(cases[0].failure.as_deref(), Some("why"));
        assert_eq!(cases[1].failure, None);
    }
}
