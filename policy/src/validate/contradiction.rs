//! Filters of one selector that cannot all hold.

use super::number::low_bits;
use super::report::Report;
use crate::model::{
    ArgKind, BinaryOf, BinaryTest, FieldPath, NumberTest, Predicate, TextMatch, TextTest, ValueTest,
};
use std::collections::BTreeMap;

/// Most comparisons for one selector. Beyond it, nothing is said: such a selector is lengthy, not wrong.
const STEPS_MAX: usize = 1_000_000;

/// What filters ask about.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Arg(usize),
    Return,
    Binary,
    ParentBinary,
}

impl Subject {
    /// `None` = one of several executables is meant.
    fn of(binary: &BinaryTest) -> Option<Self> {
        match binary.of {
            BinaryOf::Process => Some(Self::Binary),
            BinaryOf::Parent => Some(Self::ParentBinary),
            BinaryOf::Lineage => None,
        }
    }
}

/// Refuses a selector whose filters leave no value; `kinds` are the types of the hook's arguments and of what it
/// returns, as far as they are known.
pub(super) fn refuse(
    predicates: &[Predicate],
    kind: impl Fn(Option<usize>) -> Option<ArgKind>,
    report: &mut Report,
) {
    let mut texts: BTreeMap<Subject, Vec<(&FieldPath, &TextTest)>> = BTreeMap::new();
    let mut numbers: BTreeMap<Subject, Vec<(&FieldPath, &NumberTest)>> = BTreeMap::new();
    for predicate in predicates {
        let (subject, at, test) = match predicate {
            Predicate::Arg { at, arg, test } => (Subject::Arg(*arg), at, test),
            Predicate::Return { at, test } => (Subject::Return, at, test),
            Predicate::Binary(binary) => {
                if let Some(subject) = Subject::of(binary) {
                    texts.entry(subject).or_default().push((&binary.at, &binary.test));
                }
                continue;
            }
            Predicate::Expression(_)
            | Predicate::Workload(_)
            | Predicate::Pid(_)
            | Predicate::Namespace(_)
            | Predicate::Capability(_)
            | Predicate::NamespaceChange(_)
            | Predicate::CapabilityChange(_)
            | Predicate::Notified(_) => continue,
        };
        let place = if let Subject::Arg(arg) = subject { Some(arg) } else { None };
        match test {
            ValueTest::Text(test) => texts.entry(subject).or_default().push((at, test)),
            // Of a number whose type is not known yet, two spellings may mean the same bits.
            ValueTest::Number(test) if kind(place).is_some_and(|kind| kind != ArgKind::Auto) => {
                numbers.entry(subject).or_default().push((at, test));
            }
            ValueTest::Number(_)
            | ValueTest::Either { .. }
            | ValueTest::FileType(_)
            | ValueTest::Endpoints(_) => {}
        }
    }
    let pair = texts.values().find_map(|tests| text_pair(tests));
    let pair = pair.or_else(|| numbers.values().find_map(|tests| number_pair(tests)));
    let pair = pair.or_else(|| pids(predicates)).or_else(|| capabilities(predicates));
    if let Some((one, other)) = pair {
        report.refuse_with(
            other,
            format!("a filter that no value passes which {} lets pass", one.as_str()),
            "filters that can hold together",
            "filters of one selector must all hold; for `or`, write a selector for each",
        );
    }
}

type Pair<'a> = (&'a FieldPath, &'a FieldPath);

fn accepts_text(test: &TextTest, tried: &str) -> bool {
    let any = test.values.iter().any(|value| test.part.fits(tried.as_bytes(), value.as_bytes()));
    any != test.negated
}

fn accepts_number(test: &NumberTest, number: i128) -> bool {
    match test {
        NumberTest::Equal { values, negated } => values.contains(&number) != *negated,
        NumberTest::Range { ranges, negated } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&number)) != *negated
        }
        NumberTest::Members { values, ranges, negated } => {
            let within = || ranges.iter().any(|(low, high)| (*low..=*high).contains(&number));
            (values.contains(&number) || within()) != *negated
        }
        NumberTest::Mask(bits) => low_bits(number) & bits != 0,
    }
}

/// A filter with a list of values, and another one that takes none of them.
fn text_pair<'a>(tests: &[(&'a FieldPath, &'a TextTest)]) -> Option<Pair<'a>> {
    let (at, listed) = tests.iter().find(|(_, test)| test.part == TextMatch::Equal && !test.negated)?;
    let total: usize = tests.iter().map(|(_, test)| test.values.len()).sum();
    if total * listed.values.len() > STEPS_MAX {
        return None;
    }
    let other =
        tests.iter().find(|(_, test)| !listed.values.iter().any(|value| accepts_text(test, value)))?;
    Some((at, other.0))
}

fn number_pair<'a>(tests: &[(&'a FieldPath, &'a NumberTest)]) -> Option<Pair<'a>> {
    let length = |test: &NumberTest| match test {
        NumberTest::Equal { values, .. } => values.len(),
        NumberTest::Range { ranges, .. } => ranges.len(),
        NumberTest::Members { values, ranges, .. } => values.len() + ranges.len(),
        NumberTest::Mask(_) => 1,
    };
    let total: usize = tests.iter().map(|(_, test)| length(test)).sum();
    let longest = tests.iter().map(|(_, test)| length(test)).max()?;
    if total * longest * tests.len() > STEPS_MAX {
        return None;
    }
    for (place, (at, test)) in tests.iter().enumerate() {
        let other = match test {
            NumberTest::Equal { values, negated: false } => {
                tests.iter().find(|(_, test)| !values.iter().any(|value| accepts_number(test, *value)))
            }
            NumberTest::Range { ranges, negated: false } => {
                tests.iter().skip(place + 1).find(|(_, test)| match test {
                    NumberTest::Range { ranges: others, negated: false } => !ranges
                        .iter()
                        .any(|(low, high)| others.iter().any(|(from, to)| low <= to && from <= high)),
                    NumberTest::Equal { .. }
                    | NumberTest::Range { .. }
                    | NumberTest::Members { .. }
                    | NumberTest::Mask(_) => false,
                })
            }
            // Of a list with ranges, the others would have to be tried with whole ranges.
            NumberTest::Members { values, ranges, negated: false } if ranges.is_empty() => {
                tests.iter().find(|(_, test)| !values.iter().any(|value| accepts_number(test, *value)))
            }
            NumberTest::Equal { .. }
            | NumberTest::Range { .. }
            | NumberTest::Members { .. }
            | NumberTest::Mask(_) => None,
        };
        if let Some((other, _)) = other {
            return Some((at, other));
        }
    }
    None
}

/// Process ids without their ancestors, of which there is one.
fn pids(predicates: &[Predicate]) -> Option<Pair<'_>> {
    let tests: Vec<_> = predicates
        .iter()
        .filter_map(|predicate| if let Predicate::Pid(test) = predicate { Some(test) } else { None })
        .filter(|test| !test.follow_forks)
        .collect();
    let first = tests.iter().find(|test| !test.negated)?;
    let total: usize = tests.iter().map(|test| test.values.len()).sum();
    if total * first.values.len() > STEPS_MAX {
        return None;
    }
    let other = tests
        .iter()
        .filter(|test| test.in_namespace == first.in_namespace)
        .find(|test| !first.values.iter().any(|value| test.values.contains(value) != test.negated))?;
    Some((&first.at, &other.at))
}

/// "has one of" and "has none of" the same.
fn capabilities(predicates: &[Predicate]) -> Option<Pair<'_>> {
    let tests: Vec<_> = predicates
        .iter()
        .filter_map(|predicate| if let Predicate::Capability(test) = predicate { Some(test) } else { None })
        .collect();
    // There are three sets; a selector with thousands of filters on them is compared with its first ones.
    let wanted = tests.iter().filter(|test| !test.negated).take(64);
    wanted.into_iter().find_map(|one| {
        let against = |test: &&&crate::model::CapabilityTest| {
            test.negated && test.set == one.set && one.mask & !test.mask == 0
        };
        tests.iter().find(against).map(|other| (&one.at, &other.at))
    })
}
