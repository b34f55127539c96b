//! Clusters for tests that pass in any, and leave nothing behind.

use std::path::Path;

use anyhow::{Result, ensure};

use super::scratch::Scratch;
use super::{Client, Cluster, binaries};
use crate::lab::Report;

/// A cluster for tests that pass in any.
#[derive(Debug)]
pub enum AnyCluster {
    /// A control plane of the test's own.
    Own(Box<Cluster>),
    /// The user's: what a test makes in it, the test removes.
    Given {
        /// Its administrator.
        admin: Client,
        /// For files.
        directory: Scratch,
    },
}

impl AnyCluster {
    /// The cluster of a kubeconfig.
    ///
    /// # Errors
    /// When it does not answer, or has Lictor in it: a test would change its types.
    pub(super) fn given(kubeconfig: &Path, report: Report) -> Result<Self> {
        let file = kubeconfig.display();
        let directory = Scratch::create()?;
        let admin =
            Client::new(binaries::obtain(report)?, kubeconfig.to_path_buf(), directory.path().to_path_buf());
        let types = admin.kubectl(&["get", "customresourcedefinitions", "-o", "name"])?;
        ensure!(
            !types.contains(".lictor.io"),
            "the cluster of {file} has Lictor installed, and the tests would change its types; name one without"
        );
        Ok(Self::Given { admin, directory })
    }

    /// The administrator.
    pub fn admin(&self) -> &Client {
        match self {
            Self::Own(cluster) => cluster.admin(),
            Self::Given { admin, .. } => admin,
        }
    }

    /// A directory for files of the test, gone with this.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Own(cluster) => cluster.directory(),
            Self::Given { directory, .. } => directory.path(),
        }
    }

    /// Creates what the manifests hold, and removes it when the test is over.
    ///
    /// # Errors
    /// When it cannot be created, because it is there already for instance.
    pub fn create<'a>(&'a self, manifests: &'a str) -> Result<Created<'a>> {
        let ran = self.admin().try_with_input(&["create", "-f", "-"], manifests)?;
        ensure!(ran.code == 0, "{}", ran.text());
        Ok(Created { admin: self.admin(), manifests })
    }
}

/// Objects in a cluster, removed when this is dropped.
#[derive(Debug)]
pub struct Created<'a> {
    admin: &'a Client,
    manifests: &'a str,
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        // A cluster that is gone has none of them.
        drop(self.admin.try_with_input(&["delete", "--ignore-not-found", "-f", "-"], self.manifests));
    }
}
