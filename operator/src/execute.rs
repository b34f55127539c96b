//! Performs effects. Writes to the cluster go through here, those of the lease and of certificates excepted.

use futures::StreamExt as _;
use lictor_operator_core::reconcile::{Done, Gate, Op, OpError, Outcome, Phase};
use std::collections::BTreeMap;
use std::future::Future;

/// Writes under way at the same time. A write takes some milliseconds, so this is a thousand a second at most, and small
/// beside what an API server lets one client do.
pub const WRITES_MAX: usize = 16;

/// Performs single effects. The cluster, or a stand-in in tests.
pub trait Cluster: Sync {
    /// Does one thing.
    fn perform(&self, op: &Op) -> impl Future<Output = Result<Done, OpError>> + Send;
}

/// Performs effects phase by phase, some at the same time.
pub async fn execute<C: Cluster>(cluster: &C, ops: BTreeMap<Phase, Vec<Op>>) -> Outcome {
    let (mut outcome, mut gate) = (Outcome::default(), Gate::default());
    for (phase, ops) in ops {
        if !gate.admits(phase) {
            outcome.skipped += ops.len();
            continue;
        }
        let mut results = futures::stream::iter(ops)
            .map(|op| async move {
                let result = cluster.perform(&op).await;
                (op, result)
            })
            .buffer_unordered(WRITES_MAX);
        while let Some((op, result)) = results.next().await {
            match result {
                Ok(done) => outcome.done.push((op, done)),
                Err(error) => {
                    gate.failed(phase);
                    outcome.failed.push((op, error));
                }
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Remembers what was tried; fails what it is told to.
    struct Tried(Mutex<Vec<String>>, &'static str);

    impl Cluster for Tried {
        async fn perform(&self, op: &Op) -> Result<Done, OpError> {
            let Op::Delete { name, .. } = op else { return Ok(Done::Gone) };
            self.0.lock().unwrap().push(name.clone());
            if name == self.1 { Err(OpError::Unavailable("x".into())) } else { Ok(Done::Gone) }
        }
    }

    #[tokio::test]
    async fn later_phases_wait_for_earlier_ones() {
        let op = |name: &str| Op::Delete { name: name.into(), uid: String::new() };
        let ops = BTreeMap::from([
            (Phase::Shards, vec![op("a"), op("b")]),
            (Phase::Nodes, vec![op("c")]),
            (Phase::Statuses, vec![op("d")]),
        ]);
        let cluster = Tried(Mutex::default(), "a");
        let outcome = execute(&cluster, ops).await;
        assert_eq!((outcome.done.len(), outcome.failed.len(), outcome.skipped), (2, 1, 1));
        assert_eq!(*cluster.0.lock().unwrap(), ["a", "b", "d"]);
    }
}
