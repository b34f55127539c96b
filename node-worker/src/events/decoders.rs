//! The decoders of the latest revisions. Records of an old revision are still in the ring when a new one goes live.

use crate::port::RevisionDecoder;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Revisions whose decoders are kept. A record waits in the ring for milliseconds, a revision goes live at most a few
/// times in a second; eight leave room for a node worker that was stalled. Older records are still reported, with
/// what can be read without the plan.
pub const KEPT_REVISIONS: usize = 8;

/// The decoders of the latest revisions, shared between the thread that applies plans and the one that reads records.
#[derive(Debug, Default)]
pub struct Decoders {
    kept: Mutex<VecDeque<Arc<RevisionDecoder>>>,
}

impl Decoders {
    /// Adds a revision. A number that is there already is replaced: the switch to the earlier one failed.
    pub fn announce(&self, decoder: RevisionDecoder) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.revision() != decoder.revision());
        if kept.len() >= KEPT_REVISIONS {
            kept.pop_front();
        }
        kept.push_back(Arc::new(decoder));
    }

    /// The decoder of `revision`.
    pub fn get(&self, revision: u32) -> Option<Arc<RevisionDecoder>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|decoder| decoder.revision() == revision).cloned()
    }

    /// The decoder of the newest revision. Hook slots keep their meaning, so it names the hook points of older ones.
    pub fn newest(&self) -> Option<Arc<RevisionDecoder>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_policy::plan::{PathDictionary, Plan};

    fn decoder(revision: u32) -> RevisionDecoder {
        let plan = Plan {
            scopes: Vec::new(),
            policies: Vec::new(),
            hooks: Vec::new(),
            paths: PathDictionary::default(),
            digest: [0; 32],
        };
        RevisionDecoder::new(revision, &plan, &[])
    }

    #[test]
    fn the_latest_eight_are_kept() {
        let decoders = Decoders::default();
        for revision in 1..=9 {
            decoders.announce(decoder(revision));
        }
        assert!(decoders.get(1).is_none());
        assert!((2..=9).all(|revision| decoders.get(revision).is_some()));
        assert_eq!(decoders.newest().map(|newest| newest.revision()), Some(9));
    }

    #[test]
    fn a_number_used_again_is_replaced() {
        let decoders = Decoders::default();
        (1..=8).for_each(|revision| decoders.announce(decoder(revision)));
        decoders.announce(decoder(8));
        assert!(decoders.get(1).is_some());
        assert!(decoders.get(8).is_some());
    }
}
