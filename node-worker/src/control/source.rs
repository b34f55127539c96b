//! Where policies come from.

use crate::cluster::assignment::{Accepted, AssignmentSource};
use crate::source::directory::{Change, Directory};
use std::io;
use std::sync::Arc;

/// A folder of this machine, or the assignment of a cluster.
#[derive(Debug)]
pub enum Source {
    /// A folder.
    Directory(Directory),
    /// The cluster.
    Cluster(AssignmentSource),
}

impl Source {
    /// What changed since the last scan.
    ///
    /// # Errors
    /// Nothing is known of what there is to be: that is not the same as nothing.
    pub(super) fn scan(&mut self) -> io::Result<Vec<Change>> {
        match self {
            Self::Directory(directory) => directory.scan(),
            Self::Cluster(source) => {
                source.scan().ok_or_else(|| io::Error::other("no assignment has come from the cluster yet"))
            }
        }
    }

    /// The next scan tells everything.
    pub(super) fn forget(&mut self) {
        match self {
            Self::Directory(directory) => directory.forget(),
            Self::Cluster(source) => source.forget(),
        }
    }

    /// Whether there is a policy of this name, as of the last scan.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(directory) => directory.has(name),
            Self::Cluster(source) => source.has(name),
        }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Directory(directory) => directory.path().display().to_string(),
            Self::Cluster(_) => "the cluster".to_owned(),
        }
    }

    /// The assignment that the last scan was about.
    pub(super) fn assignment(&self) -> Option<&Arc<Accepted>> {
        match self {
            Self::Directory(_) => None,
            Self::Cluster(source) => source.current(),
        }
    }

    /// What is wrong with it, besides what a scan tells.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Cluster(source) => source.problem(),
        }
    }
}
