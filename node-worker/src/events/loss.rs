//! Records that the kernel made and could not hand over: a gap in the stream is a record in the stream.

use crate::port::{HookState, NamedCount};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sites of the kernel that count process records which did not fit into the ring, and what users call them.
const PROCESS_SITES: [(&str, &str); 3] =
    [("exec_lost", "process/exec"), ("exit_lost", "process/exit"), ("fork_lost", "process/fork")];

/// What has been reported as lost so far. Kept on disk, so that a restarted node worker reports what was lost while
/// it was away, once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LossLedger {
    /// Losses reported, by hook point (`lsm/file_open`) or kind of process record (`process/exec`).
    reported: BTreeMap<String, u64>,
}

/// Losses since the last gap record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gap {
    /// New losses by name; no zeros.
    pub lost: BTreeMap<String, u64>,
}

impl Gap {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.lost.values().fold(0, |sum, &lost| sum.saturating_add(lost))
    }
}

impl LossLedger {
    /// Compares the kernel's counters with what was reported; `None` = nothing new. What is returned counts as
    /// reported.
    pub fn observe(&mut self, hooks: &[HookState], sites: &[NamedCount]) -> Option<Gap> {
        let of_hooks = hooks.iter().map(|hook| (hook.point.to_string(), hook.counts.lost));
        let of_processes = sites.iter().filter_map(|site| {
            let (_, shown) = PROCESS_SITES.iter().find(|(name, _)| *name == site.name)?;
            Some(((*shown).to_owned(), site.count))
        });
        let mut gap = Gap::default();
        for (name, lost) in of_hooks.chain(of_processes) {
            let reported = self.reported.get(&name).copied().unwrap_or(0);
            // A counter that went back was made anew (a reboot, a hook point that got another slot).
            let new = if lost >= reported { lost - reported } else { lost };
            if new != 0 {
                *gap.lost.entry(name.clone()).or_insert(0) += new;
            }
            if lost == 0 {
                self.reported.remove(&name);
            } else {
                self.reported.insert(name, lost);
            }
        }
        if gap.lost.is_empty() { None } else { Some(gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_node_worker_ebpf::lictor_hook_counts;
    use lictor_policy::plan::{Attach, HookPoint};

    fn hook(symbol: &str, lost: u64) -> HookState {
        HookState {
            point: HookPoint { attach: Attach::Lsm, symbol: symbol.to_owned() },
            slot: 1,
            attached: true,
            reason: String::new(),
            rules: 1,
            missed_runs: 0,
            counts: lictor_hook_counts { lost, ..Default::default() },
        }
    }

    #[test]
    fn each_loss_is_reported_once() {
        let mut ledger = LossLedger::default();
        assert_eq!(ledger.observe(&[hook("file_open", 0)], &[]), None);
        let gap =
            ledger.observe(&[hook("file_open", 5)], &[NamedCount { name: "exec_lost", count: 2 }]).unwrap();
        assert_eq!(
            gap.lost,
            BTreeMap::from([("lsm/file_open".to_owned(), 5), ("process/exec".to_owned(), 2)])
        );
        assert_eq!(gap.total(), 7);
        assert_eq!(
            ledger.observe(&[hook("file_open", 5)], &[NamedCount { name: "exec_lost", count: 2 }]),
            None
        );
        let gap = ledger.observe(&[hook("file_open", 6)], &[]).unwrap();
        assert_eq!(gap.total(), 1);
    }

    #[test]
    fn a_counter_made_anew_counts_from_zero() {
        let mut ledger = LossLedger::default();
        ledger.observe(&[hook("file_open", 50)], &[]);
        assert_eq!(ledger.observe(&[hook("file_open", 3)], &[]).unwrap().total(), 3);
    }

    #[test]
    fn failures_that_are_no_losses_make_no_gap() {
        let mut ledger = LossLedger::default();
        assert_eq!(ledger.observe(&[], &[NamedCount { name: "path_walk", count: 9 }]), None);
    }

    #[test]
    fn a_ledger_survives_its_file() {
        let mut ledger = LossLedger::default();
        ledger.observe(&[hook("file_open", 5)], &[]);
        let text = serde_json::to_string(&ledger).unwrap();
        let mut ledger: LossLedger = serde_json::from_str(&text).unwrap();
        assert_eq!(ledger.observe(&[hook("file_open", 5)], &[]), None);
    }
}
