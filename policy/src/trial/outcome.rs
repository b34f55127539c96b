//! What came of a case, beside what was expected.

use super::cases::{Expected, ReportSpec};
use crate::model::Policy;
use crate::oracle::Judgement;

/// What was expected and did not come.
pub(super) fn failures(expected: &Expected<'_>, judgement: &Judgement, policies: &[Policy]) -> Vec<String> {
    let mut failures = Vec::new();
    let verdict = match judgement.verdict {
        0 => "allow".to_owned(),
        errno => format!("deny with {errno}"),
    };
    match expected.verdict {
        Some(Ok(0)) if judgement.verdict != 0 => {
            failures.push(format!("verdict: expected allow, found {verdict}"));
        }
        Some(Ok(errno)) if judgement.verdict != errno => {
            failures.push(format!("verdict: expected deny with {errno}, found {verdict}"));
        }
        Some(Err(())) if judgement.verdict == 0 => {
            failures.push("verdict: expected deny, found allow".to_owned());
        }
        Some(_) | None => {}
    }
    let signal = judgement.signal.unwrap_or(0);
    if let Some(wanted) = expected.signal.filter(|wanted| *wanted != signal) {
        let shown = |signal: u8| if signal == 0 { "none".to_owned() } else { signal.to_string() };
        failures.push(format!("signal: expected {}, found {}", shown(wanted), shown(signal)));
    }
    let Some(wanted) = expected.reports else { return failures };
    let mut found: Vec<Found> =
        judgement.fired.iter().filter_map(|fired| Found::of(fired, policies)).collect();
    for report in wanted {
        match found.iter().position(|found| found.is(report)) {
            Some(place) => drop(found.remove(place)),
            None => failures.push(format!("report: expected {}, which did not come", described(report))),
        }
    }
    failures.extend(
        found
            .iter()
            .map(|found| format!("report: found {} {}, which is not expected", found.policy, found.at)),
    );
    failures
}

/// A report that came.
struct Found {
    policy: String,
    at: String,
    label: Option<String>,
    unresolved: bool,
}

impl Found {
    /// `None` = the rule fires and reports nothing.
    fn of(fired: &crate::oracle::Fired, policies: &[Policy]) -> Option<Self> {
        let policy = policies.iter().find(|policy| *policy.key() == fired.policy)?;
        let rule = policy.hooks().get(fired.hook)?.rules.get(fired.rule)?;
        rule.actions.post.then(|| Self {
            policy: policy.key().to_string(),
            at: rule.at.to_string(),
            label: rule.label.clone(),
            unresolved: fired.unresolved,
        })
    }

    fn is(&self, wanted: &ReportSpec) -> bool {
        let selector = |name: &String| *name == self.at || Some(name) == self.label.as_ref();
        wanted.policy.as_ref().is_none_or(|name| *name == self.policy)
            && wanted.selector.as_ref().is_none_or(selector)
            && wanted.unresolved.is_none_or(|unresolved| unresolved == self.unresolved)
    }
}

fn described(report: &ReportSpec) -> String {
    let mut words = vec!["a report".to_owned()];
    words.extend(report.policy.as_ref().map(|name| format!("of {name}")));
    words.extend(report.selector.as_ref().map(|name| format!("by {name}")));
    words.extend(report.unresolved.map(|unresolved| format!("with unresolved: {unresolved}")));
    words.join(" ")
}
