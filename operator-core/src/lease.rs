//! Who leads: one operator decides and writes, the others stand by. A pure state machine over the `Lease` object; the
//! driver in `runtime` reads and writes it.
//!
//! Clocks of other machines are not trusted: a lease is over when it has not changed for its duration, by our own clock
//! (as long as we have watched it), whatever times are written in it.

use std::time::Duration;

/// How long a lease holds without being renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How often it is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(4);

/// A leader that could not renew for so long stops, well before others may begin.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// A lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseRecord {
    /// Who holds it; empty = nobody.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: i32,
    /// `metadata.resourceVersion`: changes with every renewal.
    pub version: String,
}

/// What to do about the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseStep {
    /// Nothing; somebody else holds it.
    Wait,
    /// Create it.
    Create,
    /// Write ourselves into it, if it still is this version.
    Take {
        /// Version that is replaced.
        version: String,
        /// How often it will have changed hands.
        transitions: i32,
    },
}

/// One candidate.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    /// Version that was seen last, and when first.
    seen: Option<(String, Duration)>,
    /// When we last wrote ourselves in.
    renewed: Option<Duration>,
}

impl Candidate {
    /// A candidate with a name that no other has.
    pub fn new(identity: String) -> Self {
        Self { identity, seen: None, renewed: None }
    }

    /// Our name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The lease was read at `now`; `None` = there is none.
    pub fn step(&mut self, lease: Option<&LeaseRecord>, now: Duration) -> LeaseStep {
        let Some(lease) = lease else {
            self.seen = None;
            return LeaseStep::Create;
        };
        let since = match &self.seen {
            Some((version, since)) if *version == lease.version => *since,
            _ => {
                self.seen = Some((lease.version.clone(), now));
                now
            }
        };
        let ours = lease.holder == self.identity;
        if !ours {
            self.renewed = None;
        }
        if ours {
            return LeaseStep::Take { version: lease.version.clone(), transitions: lease.transitions };
        }
        if lease.holder.is_empty() || now.saturating_sub(since) >= LEASE_DURATION {
            let transitions = lease.transitions.saturating_add(1);
            return LeaseStep::Take { version: lease.version.clone(), transitions };
        }
        LeaseStep::Wait
    }

    /// The lease was written at `began` (when the request was sent).
    pub fn written(&mut self, began: Duration) {
        self.renewed = Some(began);
    }

    /// The lease was given back.
    pub fn released(&mut self) {
        self.renewed = None;
    }

    /// Until when we lead, if nothing is heard; `None` = we do not.
    pub fn leads_until(&self) -> Option<Duration> {
        self.renewed.map(|renewed| renewed + RENEW_DEADLINE)
    }

    /// Whether we lead at `now`.
    pub fn leads(&self, now: Duration) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease(holder: &str, version: &str) -> LeaseRecord {
        LeaseRecord { holder: holder.into(), transitions: 3, version: version.into() }
    }

    #[test]
    fn the_first_one_leads_and_renews() {
        let mut one = Candidate::new("a".into());
        assert_eq!(one.step(None, at(0)), LeaseStep::Create);
        assert!(!one.leads(at(0)));
        one.written(at(0));
        assert!(one.leads(at(5)));
        let step = LeaseStep::Take { version: "2".into(), transitions: 3 };
        assert_eq!(one.step(Some(&lease("a", "2")), at(5)), step);
        // It could not renew: it stops before another may begin.
        assert!(!one.leads(at(10)));
    }

    #[test]
    fn another_begins_only_when_nothing_changed_for_the_whole_duration() {
        let mut two = Candidate::new("b".into());
        assert_eq!(two.step(Some(&lease("a", "1")), at(100)), LeaseStep::Wait);
        assert_eq!(two.step(Some(&lease("a", "1")), at(114)), LeaseStep::Wait);
        assert_eq!(two.step(Some(&lease("a", "2")), at(114)), LeaseStep::Wait);
        assert_eq!(two.step(Some(&lease("a", "2")), at(128)), LeaseStep::Wait);
        let take = LeaseStep::Take { version: "2".into(), transitions: 4 };
        assert_eq!(two.step(Some(&lease("a", "2")), at(129)), take);
        // Given back: at once.
        let take = LeaseStep::Take { version: "9".into(), transitions: 4 };
        assert_eq!(two.step(Some(&lease("", "9")), at(130)), take);
    }

    #[test]
    fn two_never_lead_at_the_same_time() {
        // One renews every four seconds until it is cut off; the other one watches.
        let (mut one, mut two) = (Candidate::new("a".into()), Candidate::new("b".into()));
        let mut record = lease("a", "0");
        for second in 0..200 {
            let now = at(second);
            if second % 4 == 0 && second < 50 {
                one.step(Some(&record), now);
                record = lease("a", &format!("a{second}"));
                one.written(now);
            }
            if second % 3 == 0
                && let LeaseStep::Take { .. } = two.step(Some(&record), now)
            {
                record = lease("b", &format!("b{second}"));
                two.written(now);
            }
            assert!(!(one.leads(now) && two.leads(now)), "both at {second}");
        }
        assert!(two.leads(at(199)));
    }

    #[test]
    fn who_lost_the_lease_does_not_lead() {
        let mut one = Candidate::new("a".into());
        one.written(at(0));
        assert_eq!(one.step(Some(&lease("b", "7")), at(1)), LeaseStep::Wait);
        assert!(!one.leads(at(1)));
        one.written(at(2));
        one.released();
        assert!(!one.leads(at(2)));
    }
}
