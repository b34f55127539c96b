//! Rules that an earlier rule of the same hook leaves nothing for.

use super::super::report::Report;
use super::matches_unresolved;
use crate::model::{
    BinaryOf, BinaryTest, CapabilityTest, EndpointsTest, EndpointsValues, Hook, NamespaceTest, NumberTest,
    PidTest, Policy, Predicate, Rule, TextMatch, TextTest, ValueTest,
};

/// Most comparisons of values for one hook: enough for some hundred rules; beyond it, nothing is said rather than
/// that a policy of a mebibyte keeps the reader waiting.
const STEPS_MAX: usize = 2_000_000;

/// Says which rules can never fire.
pub(super) fn shadowed(policy: &Policy, hook: &Hook, report: &mut Report) {
    let mut steps = STEPS_MAX;
    for (number, rule) in hook.rules.iter().enumerate() {
        let earlier = hook.rules.iter().take(number).find(|earlier| {
            // What the later rule takes for a match, the earlier one has to as well.
            let reached = matches_unresolved(policy, earlier) || !matches_unresolved(policy, rule);
            (reached || !earlier.predicates.iter().any(may_be_unresolved))
                && covers(earlier, rule, &mut steps)
        });
        if let Some(earlier) = earlier {
            report.advise(
                "shadowed",
                &rule.at,
                "a selector that is never reached",
                format!("{} holds whenever this one does, and the first that holds decides", earlier.at),
            );
        }
        if steps == 0 {
            return;
        }
    }
}

fn may_be_unresolved(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Arg { .. }
        | Predicate::Return { .. }
        | Predicate::Expression(_)
        | Predicate::Binary(_)
        | Predicate::NamespaceChange(_)
        | Predicate::CapabilityChange(_) => true,
        Predicate::Workload(_)
        | Predicate::Pid(_)
        | Predicate::Namespace(_)
        | Predicate::Capability(_)
        | Predicate::Notified(_) => false,
    }
}

/// Whether `wide` holds whenever `narrow` does.
fn covers(wide: &Rule, narrow: &Rule, steps: &mut usize) -> bool {
    wide.predicates.iter().all(|wanted| narrow.predicates.iter().any(|given| implies(given, wanted, steps)))
}

/// Takes so many steps, if there are as many left.
fn take(count: usize, steps: &mut usize) -> bool {
    let enough = *steps >= count;
    *steps = if enough { *steps - count } else { 0 };
    enough
}

/// Whether `wanted` holds whenever `given` does. `false` may also mean that it was not found out.
fn implies(given: &Predicate, wanted: &Predicate, steps: &mut usize) -> bool {
    match (given, wanted) {
        (Predicate::Arg { arg: one, test: given, .. }, Predicate::Arg { arg: other, test: wanted, .. }) => {
            one == other && value(given, wanted, steps)
        }
        (Predicate::Return { test: given, .. }, Predicate::Return { test: wanted, .. }) => {
            value(given, wanted, steps)
        }
        (Predicate::Expression(given), Predicate::Expression(wanted)) => {
            take(1, steps) && given.expression == wanted.expression && given.values == wanted.values
        }
        (
            Predicate::Binary(BinaryTest { test: given, of, .. }),
            Predicate::Binary(BinaryTest { test: wanted, of: other, .. }),
        ) => {
            // Of several executables, one may be listed and another one not.
            let comparable = *of != BinaryOf::Lineage || given.negated == wanted.negated;
            of == other && comparable && text(given, wanted, steps)
        }
        (Predicate::Workload(given), Predicate::Workload(wanted)) => given.scope == wanted.scope,
        (Predicate::Pid(given), Predicate::Pid(wanted)) => pid(given, wanted, steps),
        (Predicate::Namespace(given), Predicate::Namespace(wanted)) => namespace(given, wanted, steps),
        (Predicate::Capability(given), Predicate::Capability(wanted)) => capability(given, wanted),
        (Predicate::NamespaceChange(given), Predicate::NamespaceChange(wanted)) => {
            given.any_of.iter().all(|namespace| wanted.any_of.contains(namespace))
        }
        (Predicate::CapabilityChange(given), Predicate::CapabilityChange(wanted)) => {
            capability_change(given, wanted)
        }
        (
            Predicate::Arg { .. }
            | Predicate::Return { .. }
            | Predicate::Expression(_)
            | Predicate::Workload(_)
            | Predicate::Binary(_)
            | Predicate::Pid(_)
            | Predicate::Namespace(_)
            | Predicate::Capability(_)
            | Predicate::NamespaceChange(_)
            | Predicate::CapabilityChange(_)
            | Predicate::Notified(_),
            _,
        ) => false,
    }
}

fn value(given: &ValueTest, wanted: &ValueTest, steps: &mut usize) -> bool {
    match (given, wanted) {
        (ValueTest::Number(given), ValueTest::Number(wanted)) => number(given, wanted, steps),
        (ValueTest::Text(given), ValueTest::Text(wanted)) => text(given, wanted, steps),
        (given @ ValueTest::Either { .. }, wanted) => given == wanted,
        (ValueTest::FileType(given), ValueTest::FileType(wanted)) => {
            sets((&given.types, given.negated), (&wanted.types, wanted.negated), steps)
        }
        (ValueTest::Endpoints(given), ValueTest::Endpoints(wanted)) => endpoints(given, wanted, steps),
        (ValueTest::Number(_) | ValueTest::Text(_) | ValueTest::FileType(_) | ValueTest::Endpoints(_), _) => {
            false
        }
    }
}

fn endpoints(given: &EndpointsTest, wanted: &EndpointsTest, steps: &mut usize) -> bool {
    if given.part != wanted.part {
        return false;
    }
    // One value within another, as sets of what they name.
    let within = |steps: &mut usize, inner: &EndpointsValues, outer: &EndpointsValues| match (inner, outer) {
        (EndpointsValues::Networks(inner), EndpointsValues::Networks(outer)) => {
            take(inner.len() * outer.len(), steps)
                && inner.iter().all(|inner| outer.iter().any(|outer| outer.covers(*inner)))
        }
        (EndpointsValues::Numbers(inner), EndpointsValues::Numbers(outer)) => {
            let covered = |(low, high): &(u16, u16)| outer.iter().any(|(from, to)| from <= low && high <= to);
            take(inner.len() * outer.len(), steps) && inner.iter().all(covered)
        }
        (EndpointsValues::Networks(_) | EndpointsValues::Numbers(_), _) => false,
    };
    match (given.negated, wanted.negated) {
        (false, false) => within(steps, &given.values, &wanted.values),
        (true, true) => within(steps, &wanted.values, &given.values),
        // What is left out is more than what any list of values names, or it was not found out.
        (false, true) | (true, false) => false,
    }
}

/// Sets of values: a positive test implies one with more values, a negated one with fewer.
fn sets<T: PartialEq>(given: (&[T], bool), wanted: (&[T], bool), steps: &mut usize) -> bool {
    if !take(given.0.len() * wanted.0.len(), steps) {
        return false;
    }
    match (given.1, wanted.1) {
        (false, false) => given.0.iter().all(|value| wanted.0.contains(value)),
        (true, true) => wanted.0.iter().all(|value| given.0.contains(value)),
        (false, true) => given.0.iter().all(|value| !wanted.0.contains(value)),
        (true, false) => false,
    }
}

fn number(given: &NumberTest, wanted: &NumberTest, steps: &mut usize) -> bool {
    match (given, wanted) {
        (
            NumberTest::Equal { values: given, negated: one },
            NumberTest::Equal { values: wanted, negated: other },
        ) => sets((given, *one), (wanted, *other), steps),
        (NumberTest::Equal { values, negated: false }, NumberTest::Range { ranges, negated }) => {
            take(values.len() * ranges.len(), steps)
                && values
                    .iter()
                    .all(|value| ranges.iter().any(|(low, high)| low <= value && value <= high) != *negated)
        }
        (
            NumberTest::Range { ranges: given, negated: false },
            NumberTest::Range { ranges: wanted, negated: false },
        ) => {
            take(given.len() * wanted.len(), steps)
                && given.iter().all(|(low, high)| wanted.iter().any(|(from, to)| from <= low && high <= to))
        }
        (NumberTest::Mask(given), NumberTest::Mask(wanted)) => given & !wanted == 0,
        (
            NumberTest::Equal { values, negated: false },
            NumberTest::Members { values: listed, ranges, negated: false },
        ) => {
            let within = |value: &i128| ranges.iter().any(|(low, high)| low <= value && value <= high);
            take(values.len() * (listed.len() + ranges.len()), steps)
                && values.iter().all(|value| listed.contains(value) || within(value))
        }
        (
            NumberTest::Equal { .. }
            | NumberTest::Range { .. }
            | NumberTest::Members { .. }
            | NumberTest::Mask(_),
            _,
        ) => given == wanted,
    }
}

fn text(given: &TextTest, wanted: &TextTest, steps: &mut usize) -> bool {
    if given.part == wanted.part && (given.negated || wanted.negated || given.part == TextMatch::Equal) {
        return if given.part == TextMatch::Equal || given.negated == wanted.negated {
            sets((&given.values, given.negated), (&wanted.values, wanted.negated), steps)
        } else {
            false
        };
    }
    let positive = !given.negated && !wanted.negated;
    // A text that begins with /etc/ssh/ begins with /etc/, too; so does one that is /etc/passwd. Both have "etc" in them.
    let comparable = match wanted.part {
        TextMatch::Equal => false,
        TextMatch::Prefix | TextMatch::Postfix => given.part == TextMatch::Equal || given.part == wanted.part,
        TextMatch::Substring => given.part != TextMatch::SubstringAnyCase,
        TextMatch::SubstringAnyCase => true,
    };
    let within = |value: &String| {
        let fits = |wanted_value: &String| wanted.part.fits(value.as_bytes(), wanted_value.as_bytes());
        comparable && wanted.values.iter().any(fits)
    };
    positive && take(given.values.len() * wanted.values.len(), steps) && given.values.iter().all(within)
}

fn pid(given: &PidTest, wanted: &PidTest, steps: &mut usize) -> bool {
    let same = given.in_namespace == wanted.in_namespace && given.follow_forks == wanted.follow_forks;
    // With ancestors, several ids can be met at once.
    let comparable = !given.follow_forks || given.negated == wanted.negated;
    same && comparable && sets((&given.values, given.negated), (&wanted.values, wanted.negated), steps)
}

fn namespace(given: &NamespaceTest, wanted: &NamespaceTest, steps: &mut usize) -> bool {
    // `host_ns` is a number, too: whether values differ is known only when both are of one kind.
    given.namespace == wanted.namespace
        && given.negated == wanted.negated
        && sets((&given.values, given.negated), (&wanted.values, wanted.negated), steps)
}

fn capability(given: &CapabilityTest, wanted: &CapabilityTest) -> bool {
    let same = given.set == wanted.set && given.negated == wanted.negated;
    let narrower = if given.negated { wanted.mask & !given.mask } else { given.mask & !wanted.mask };
    same && narrower == 0 && (given.in_namespace || !wanted.in_namespace)
}

fn capability_change(given: &CapabilityTest, wanted: &CapabilityTest) -> bool {
    // "Another one" is among fewer, the more are named.
    let narrower = if given.negated { wanted.mask ^ given.mask } else { given.mask & !wanted.mask };
    given.set == wanted.set
        && given.negated == wanted.negated
        && narrower == 0
        && (given.in_namespace || !wanted.in_namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::generate::{self, places};
    use crate::oracle::{Moment, judge};
    use crate::plan::testing::facts;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    /// What is said never to fire does not fire, whatever happens.
    #[test]
    fn what_is_never_reached_never_fires() {
        let places = places();
        let host = facts().host_namespaces;
        let (mut hidden, mut fired) = (0, 0);
        for set in 0..1500 {
            let policies = generate::policies(set, &places);
            for policy in &policies {
                let mut report = Report::default();
                for hook in &policy.hooks {
                    shadowed(policy, hook, &mut report);
                }
                let named: BTreeSet<_> =
                    report.warnings.iter().map(|warning| warning.0.path.clone()).collect();
                hidden += named.len();
                for number in 0..90 {
                    let place = &places[(number % places.len() as u64) as usize];
                    let moment = [Moment::Begin, Moment::Asked, Moment::End][(number / 30) as usize];
                    let seed = set << 16 | number;
                    let mut event = generate::event(seed, place, moment);
                    event.process.notifications = generate::notifications(seed, std::slice::from_ref(policy));
                    for one in judge(std::slice::from_ref(policy), &event, &host).fired {
                        fired += 1;
                        let rule = &policy.hooks[one.hook].rules[one.rule];
                        assert!(!named.contains(&rule.at), "set {set}, event {number}: {} fires", rule.at);
                    }
                }
            }
        }
        assert!(hidden > 50 && fired > 5000, "{hidden} {fired}");
    }

    #[test]
    fn thousands_of_selectors_are_looked_at_in_bounded_time() {
        let text = |count: usize| {
            let mut selectors = String::new();
            for number in 0..count {
                let other = number + 9000;
                writeln!(selectors, "    - matchPIDs: [{{operator: In, values: [{number}, {other}]}}]")
                    .unwrap();
            }
            format!(
                "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: x}}\nspec:\n  lsmhooks:\n  \
                 - hook: file_open\n    selectors:\n{selectors}"
            )
        };
        let begin = std::time::Instant::now();
        assert_eq!(crate::load(&text(4096), None).unwrap().warnings, []);
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    }
}
