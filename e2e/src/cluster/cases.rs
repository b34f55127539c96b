//! Tests that run against a cluster.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Error, Result};

use super::{Cluster, Node, NodeOptions, Options, images};
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
    /// Nothing: most of its time it waits.
    Waiting,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Node, Self::ControlPlane, Self::Waiting];
}

/// What a test gets to work with.
#[derive(Debug)]
pub struct ClusterContext {
    /// Directory of the built programs of this repository, without debug information.
    pub programs: PathBuf,
    /// How clusters are run, unless the test changes it.
    pub options: Options,
    /// The node that the tests share; why there is none when it did not come up.
    node: OnceLock<Result<Arc<NodeCluster>, String>>,
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
        Self { programs, options, node: OnceLock::new() }
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
        let node = self.node.get_or_init(|| self.start_node().map_err(|error| format!("{error:#}")));
        node.clone().map_err(Error::msg)
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
pub struct Cases(Vec<CaseResult>);

impl Cases {
    /// Runs one case: it passes when `case` returns no error. The others run whatever becomes of it.
    pub fn run(&mut self, name: impl Into<String>, case: impl FnOnce() -> Result<()>) {
        let failure = case().err().map(|error| format!("{error:#}"));
        self.0.push(CaseResult { name: name.into(), failure });
    }

    /// All cases so far.
    pub fn done(self) -> Vec<CaseResult> {
        self.0
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
