//! Trying policies without a kernel: events that somebody makes up or that were recorded, judged by the
//! [oracle](crate::oracle).

pub mod allow_list;
pub mod cases;
mod endpoints;
pub mod line;
mod outcome;
mod process;
pub mod replay;
mod target;
#[cfg(test)]
mod tests;

pub use endpoints::GivenEndpoints;
pub use process::{BeginningSpec, PodSpec, ProcessSpec};

use crate::model::{Namespace, Policy};
use crate::oracle::{Event, Judgement, Moment, judge};
use std::collections::BTreeMap;

/// Judges an operation as a whole: its beginning, the question whether it may be done, its end. Hooks of one place look
/// at different moments of it. `event.moment` is not looked at.
pub fn judge_operation(policies: &[Policy], event: &Event, host: &BTreeMap<Namespace, u32>) -> Judgement {
    let mut whole = Judgement { notifications: event.process.notifications.clone(), ..Judgement::default() };
    for moment in [Moment::Begin, Moment::Asked, Moment::End] {
        let mut event = Event { moment, ..event.clone() };
        event.process.notifications = whole.notifications;
        let part = judge(policies, &event, host);
        whole.notifications = part.notifications;
        if whole.verdict == 0 {
            whole.verdict = part.verdict;
        }
        // SIGKILL outdoes the others, of which the first counts.
        if whole.signal.is_none() || part.signal == Some(9) {
            whole.signal = part.signal.or(whole.signal);
        }
        whole.fired.extend(part.fired);
    }
    whole
}
