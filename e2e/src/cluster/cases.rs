//! Tests that run against a cluster.

use std::path::PathBuf;

use anyhow::Result;

use super::{Cluster, Options};
use crate::lab::CaseResult;

/// A test that needs a cluster. One test runs many cases: a control plane takes some ten seconds to start.
#[derive(Clone, Copy)]
pub struct ClusterTest {
    /// Name, the first part of its cases' names.
    pub name: &'static str,
    /// Runs it. An error counts as one failed case.
    pub run: fn(&ClusterContext) -> Result<Vec<CaseResult>>,
}

/// What a test gets to work with.
#[derive(Debug)]
pub struct ClusterContext {
    /// Directory of the built programs of this repository, without debug information.
    pub programs: PathBuf,
    /// How clusters are run, unless the test changes it.
    pub options: Options,
}

impl ClusterContext {
    /// A control plane of the test's own, without nodes.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn control_plane(&self) -> Result<Cluster> {
        Cluster::start(&self.options)
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
