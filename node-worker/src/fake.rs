//! A kernel for tests: keeps what it is given, and hands out the records that a test puts into it.

use crate::port::{
    Applied, ApplyError, BATCH_RECORDS, Batch, HookState, KernelError, KernelPort, LiveRevision, NamedCount,
    NumbersOfPod, PodFacts, PodNumbers, RecordSource, RevisionDecoder, ScopeFacts,
};
use crate::sinks::note::Records;
use lictor_node_worker_ebpf::{LICTOR_POD_FIRST, lictor_hook_counts, lictor_policy_counts};
use lictor_policy::model::PolicyKey;
use lictor_policy::plan::{HookPoint, Plan};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shape of all programs of the fake kernel.
pub(crate) const SHAPE: u32 = 11;

/// What the fake kernel holds; shared by port, ring and test.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeKernel(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) live: Option<(u32, Arc<Plan>)>,
    pub(crate) slots: BTreeMap<HookPoint, u16>,
    pub(crate) records: VecDeque<Vec<u8>>,
    pub(crate) handed_out: usize,
    pub(crate) lost: u64,
    /// Hook points that no program can be attached to.
    pub(crate) broken_points: Vec<String>,
    /// The next applies fail in a way that no policy is to blame for.
    pub(crate) failing_applies: u32,
    pub(crate) pods: BTreeMap<String, PodFacts>,
    pub(crate) cgroups: BTreeMap<u64, u32>,
    pub(crate) released: bool,
    pub(crate) reads_fail: bool,
    pub(crate) commits_fail: bool,
    /// Records given back so far.
    pub(crate) given_back: u64,
}

impl FakeKernel {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, record: Vec<u8>) {
        self.inner().records.push_back(record);
    }

    pub(crate) fn live_policies(&self) -> Vec<String> {
        let inner = self.inner();
        let plan = inner.live.as_ref().map(|(_, plan)| Arc::clone(plan));
        plan.map(|plan| plan.policies.iter().map(|policy| policy.key.to_string()).collect())
            .unwrap_or_default()
    }
}

impl Inner {
    fn decoder(&mut self, revision: u32, plan: &Arc<Plan>) -> RevisionDecoder {
        let slots: Vec<(u16, u32)> = plan
            .hooks
            .iter()
            .map(|hook| {
                let next = self.slots.len() as u16 + 1;
                (*self.slots.entry(hook.point.clone()).or_insert(next), SHAPE)
            })
            .collect();
        RevisionDecoder::new(revision, plan, &slots)
    }
}

fn failure(operation: &'static str) -> KernelError {
    KernelError::new(operation, "fake kernel", io::Error::other("told to fail"))
}

impl KernelPort for FakeKernel {
    fn adopt(&mut self, plan: &Arc<Plan>) -> Result<Option<Applied>, KernelError> {
        let mut inner = self.inner();
        let Some((revision, live)) = inner.live.clone() else { return Ok(None) };
        if live.digest != plan.digest {
            return Ok(None);
        }
        let decoder = inner.decoder(revision, plan);
        Ok(Some(Applied { revision, decoder, unchanged: true }))
    }

    fn apply(
        &mut self,
        plan: &Arc<Plan>,
        announce: &mut dyn FnMut(RevisionDecoder),
    ) -> Result<Applied, ApplyError> {
        let mut inner = self.inner();
        if inner.failing_applies > 0 {
            inner.failing_applies -= 1;
            return Err(failure("write").into());
        }
        for hook in &plan.hooks {
            if inner.broken_points.contains(&hook.point.to_string()) {
                return Err(ApplyError::HookPoint {
                    point: hook.point.clone(),
                    reason: "told to fail".into(),
                });
            }
        }
        let revision = inner.live.as_ref().map_or(1, |(number, _)| number + 1);
        let decoder = inner.decoder(revision, plan);
        announce(decoder.clone());
        inner.live = Some((revision, Arc::clone(plan)));
        Ok(Applied { revision, decoder, unchanged: false })
    }

    fn set_pods(&mut self, pods: &BTreeMap<String, PodFacts>) -> Result<PodNumbers, KernelError> {
        self.inner().pods.clone_from(pods);
        let mut free = LICTOR_POD_FIRST..;
        let mut next = || free.next().unwrap_or(u32::MAX);
        let numbers = pods.iter().map(|(uid, facts)| {
            let pod = next();
            let containers = facts.containers.keys().map(|name| (name.clone(), next())).collect();
            (uid.clone(), NumbersOfPod { pod, containers })
        });
        Ok(PodNumbers(numbers.collect()))
    }

    fn place_cgroup(&mut self, id: u64, pod: u32) -> Result<(), KernelError> {
        self.inner().cgroups.insert(id, pod);
        Ok(())
    }

    fn scope_facts(&self) -> Result<ScopeFacts, KernelError> {
        let inner = self.inner();
        Ok(ScopeFacts {
            pods: inner.pods.len() as u64,
            cgroups: inner.cgroups.len() as u64,
            ..ScopeFacts::default()
        })
    }

    fn live(&self) -> Result<Option<LiveRevision>, KernelError> {
        let inner = self.inner();
        Ok(inner.live.as_ref().map(|(number, plan)| LiveRevision {
            number: *number,
            digest: plan.digest,
            policy_count: plan.policies.len() as u32,
            applied_boot_ns: 5,
        }))
    }

    fn hook_states(&self) -> Result<Vec<HookState>, KernelError> {
        let inner = self.inner();
        if inner.reads_fail {
            return Err(failure("read"));
        }
        let state = |(point, slot): (&HookPoint, &u16)| HookState {
            point: point.clone(),
            slot: *slot,
            attached: true,
            reason: "chosen by a test".into(),
            rules: 1,
            missed_runs: 2,
            counts: lictor_hook_counts { matched: 9, emitted: 8, lost: inner.lost, unresolved: 1 },
        };
        Ok(inner.slots.iter().map(state).collect())
    }

    fn policy_counts(&self) -> Result<BTreeMap<PolicyKey, lictor_policy_counts>, KernelError> {
        let inner = self.inner();
        let policies = inner.live.as_ref().map(|(_, plan)| plan.policies.clone()).unwrap_or_default();
        let counts = lictor_policy_counts { matched: 9, posted: 8, denied: 7, ..Default::default() };
        Ok(policies.into_iter().map(|policy| (policy.key, counts)).collect())
    }

    fn site_counts(&self) -> Result<Vec<NamedCount>, KernelError> {
        Ok(vec![NamedCount { name: "path_walk", count: 3 }, NamedCount { name: "exit_lost", count: 0 }])
    }

    fn stat_counts(&self) -> Result<Vec<NamedCount>, KernelError> {
        Ok(vec![NamedCount { name: "path_hot", count: 4 }])
    }

    fn memory_bytes(&self) -> u64 {
        4096
    }

    fn release(&mut self) -> Result<(), KernelError> {
        let mut inner = self.inner();
        inner.released = true;
        inner.live = None;
        inner.slots.clear();
        Ok(())
    }
}

impl RecordSource for FakeKernel {
    fn poll(&mut self, timeout: Duration, take: &mut dyn FnMut(&[u8])) -> Result<Batch, KernelError> {
        let batch: Vec<Vec<u8>> = {
            let mut inner = self.inner();
            if inner.reads_fail {
                return Err(failure("poll"));
            }
            let begin = inner.handed_out;
            let batch: Vec<_> = inner.records.iter().skip(begin).take(BATCH_RECORDS).cloned().collect();
            inner.handed_out += batch.len();
            batch
        };
        if batch.is_empty() {
            std::thread::sleep(timeout.min(Duration::from_millis(5)));
        }
        for record in &batch {
            take(record);
        }
        Ok(Batch { records: batch.len(), waiting_bytes: 0 })
    }

    fn records(&self) -> Option<Records> {
        Some(Records { ring: 1, position: self.inner().given_back, count: 0 })
    }

    fn commit(&mut self) -> Result<(), KernelError> {
        let mut inner = self.inner();
        if inner.commits_fail {
            return Err(failure("commit"));
        }
        inner.given_back += inner.handed_out as u64;
        let handed_out = std::mem::take(&mut inner.handed_out);
        inner.records.drain(..handed_out);
        Ok(())
    }
}
