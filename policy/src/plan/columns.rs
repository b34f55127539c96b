//! The tables of one column: which rules hold for which value.
//!
//! A rule takes part in a column with its tests on that column's value. For a value, the column's vector has the rules
//! whose tests all hold there and the rules that do not ask. All tables are made by walking the values in order and
//! switching tests on and off on the way, so the work grows with the number of values, not with values times rules.

use super::automaton::Automaton;
use super::fields::Field;
use super::numbers::merged;
use super::trie::Keys;
use super::vectors::{Bits, VectorSet};
use super::{ColumnPlan, ColumnTable};
use crate::expression::Code;
use crate::model::{Network, TextMatch};
use lictor_node_worker_ebpf::{LICTOR_DIGIT_IPV4, LICTOR_DIGIT_IPV6};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

/// What a rule asks of a column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// NUMBER: one of these values, or within one of these inclusive ranges, which are sorted and neither overlap nor
    /// touch.
    Numbers { values: Vec<u64>, ranges: Vec<(u64, u64)>, negated: bool },
    /// MASK: one of these bits is set.
    Mask { bits: u64, negated: bool },
    /// ANCESTORS: one of these processes is among them.
    Ancestors { pids: Vec<u64>, negated: bool },
    /// NOTIFICATIONS: this one is left for the thread.
    Notified(u64),
    /// LINEAGE: one of these executables is among those of its line.
    Lineage { paths: Vec<String>, negated: bool },
    /// SUBSTRING: one of these values is in the text.
    Substring { values: Vec<Vec<u8>>, negated: bool },
    /// EXPRESSION: it holds.
    Expression(Rc<Code<Field>>),
    /// SCOPE: the process is of a workload that the rule's policy selects.
    Scope,
    /// PATH and TEXT: begins with one of these keys (see [`text_key`]).
    Text { keys: Vec<Vec<u8>>, negated: bool },
}

impl Test {
    /// NUMBER: one of these values.
    pub(super) fn numbers(values: Vec<u64>, negated: bool) -> Self {
        Self::Numbers { values, ranges: Vec::new(), negated }
    }

    /// NUMBER: within one of these inclusive ranges, in any order.
    pub(super) fn ranges(ranges: Vec<(u64, u64)>, negated: bool) -> Self {
        let (single, wide): (Vec<_>, Vec<_>) =
            merged(ranges).into_iter().partition(|(low, high)| low == high);
        Self::Numbers { values: single.into_iter().map(|(value, _)| value).collect(), ranges: wide, negated }
    }

    /// EXPRESSION: how it is found out.
    pub(super) fn expression(&self) -> Option<&Code<Field>> {
        if let Self::Expression(code) = self { Some(code) } else { None }
    }

    /// How many more intervals a NUMBER column can have for this test.
    pub(super) fn interval_ends(&self) -> usize {
        match self {
            Self::Numbers { ranges, .. } => 2 * ranges.len(),
            Self::Mask { .. }
            | Self::Ancestors { .. }
            | Self::Lineage { .. }
            | Self::Substring { .. }
            | Self::Expression(_)
            | Self::Scope
            | Self::Notified(_)
            | Self::Text { .. } => 0,
        }
    }

    /// Whether no other test of the same rule on the same value that does so can share its column. "None of these" twice
    /// is one list; "one of these" twice is two questions. Of an incomplete lineage, "none of these" may be unresolved
    /// while "one of these" holds.
    pub(super) fn stands_alone(&self) -> bool {
        match self {
            Self::Mask { negated, .. }
            | Self::Ancestors { negated, .. }
            | Self::Substring { negated, .. } => !negated,
            Self::Lineage { .. } => true,
            Self::Numbers { .. }
            | Self::Expression(_)
            | Self::Scope
            | Self::Notified(_)
            | Self::Text { .. } => false,
        }
    }

    fn negated(&self) -> bool {
        match self {
            Self::Numbers { negated, .. }
            | Self::Mask { negated, .. }
            | Self::Ancestors { negated, .. }
            | Self::Lineage { negated, .. }
            | Self::Substring { negated, .. }
            | Self::Text { negated, .. } => *negated,
            Self::Expression(_) | Self::Scope | Self::Notified(_) => false,
        }
    }
}

/// What is looked for when `value` is the given part of a text. Whole texts end with a NUL, endings are reversed, what
/// may be written in capitals is not.
pub(super) fn text_key(part: TextMatch, value: &str) -> Vec<u8> {
    match part {
        TextMatch::Prefix | TextMatch::Substring => value.as_bytes().to_vec(),
        TextMatch::Equal => [value.as_bytes(), &[0]].concat(),
        TextMatch::Postfix => value.bytes().rev().collect(),
        TextMatch::SubstringAnyCase => value.as_bytes().to_ascii_lowercase(),
    }
}

/// The texts that the addresses of a network begin with: whole digits of four bits, so up to 16 of them.
pub(super) fn network_keys(network: Network) -> impl Iterator<Item = Vec<u8>> {
    let length = usize::from(network.length());
    let digits = length.div_ceil(4).max(1);
    let text = address_text(network.address());
    // What the last digit's bits behind the network's can be.
    let free = digits * 4 - length;
    (0..1_u8 << free).map(move |rest| {
        let mut key = text[..digits].to_vec();
        key[digits - 1] |= rest;
        key
    })
}

/// An address as programs spell it.
pub(super) fn address_text(address: IpAddr) -> Vec<u8> {
    let spell = |bytes: &[u8], digit: u32| {
        let digit = digit as u8;
        bytes.iter().flat_map(|byte| [digit | byte >> 4, digit | byte & 0xf]).collect()
    };
    match address.to_canonical() {
        IpAddr::V4(address) => spell(&address.octets(), LICTOR_DIGIT_IPV4),
        IpAddr::V6(address) => spell(&address.octets(), LICTOR_DIGIT_IPV6),
    }
}

/// A rule's part in a column.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) rule: usize,
    /// All must hold; not empty.
    pub(super) tests: Vec<&'a Test>,
    /// Whether they hold for a value that could not be read.
    pub(super) match_unresolved: bool,
}

/// The rules that a value satisfies, while tests are switched on and off.
///
/// A rule with one test has one bit. A rule with more has its own bit and one for each test behind those of the rules.
#[derive(Debug)]
struct Switchboard {
    rule_count: usize,
    /// Bit of each test, in the order of the rules and their tests.
    switches: Vec<usize>,
    /// For the bits behind the rules: the rule, and the bits of all its tests.
    several: Vec<(usize, std::ops::Range<usize>)>,
    start: Bits,
}

impl Switchboard {
    /// All tests answered as for a value that none of them names.
    fn new(rule_count: usize, asking: &[Asking<'_>]) -> Self {
        let mut switches = Vec::new();
        let mut several = Vec::new();
        let mut next = rule_count;
        for one in asking {
            if one.tests.len() == 1 {
                switches.push(one.rule);
                continue;
            }
            let range = next..next + one.tests.len();
            switches.extend(range.clone());
            several.extend(range.clone().map(|_| (one.rule, range.clone())));
            next = range.end;
        }
        let mut start = Bits::none(next);
        for rule in 0..rule_count {
            start.put(rule, true);
        }
        let mut board = Self { rule_count, switches, several, start };
        let mut state = board.start.clone();
        let tests = asking.iter().flat_map(|one| &one.tests);
        let answers: Vec<(usize, bool)> =
            tests.zip(&board.switches).map(|(test, switch)| (*switch, test.negated())).collect();
        board.apply(&mut state, &answers);
        board.start = state;
        board
    }

    /// Sets the answers of some tests.
    fn apply(&self, state: &mut Bits, answers: &[(usize, bool)]) {
        for (switch, holds) in answers {
            state.put(*switch, *holds);
            if *switch >= self.rule_count {
                let (rule, tests) = &self.several[switch - self.rule_count];
                let all = tests.clone().all(|test| state.get(test));
                state.put(*rule, all);
            }
        }
    }
}

/// Answers that change where a value begins, by value.
type Changes<K> = BTreeMap<K, Vec<(usize, bool)>>;

/// Vector for a value that could not be read.
pub(super) fn unresolved(asking: &[Asking<'_>], vectors: &mut VectorSet) -> u32 {
    let mut bits = Bits::all(vectors.rule_count());
    for one in asking.iter().filter(|one| !one.match_unresolved) {
        bits.put(one.rule, false);
    }
    vectors.number(&bits)
}

/// A NUMBER column.
pub(super) fn number(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let board = Switchboard::new(vectors.rule_count(), asking);
    let (edges, values) = number_changes(asking, &board);
    let mut state = board.start.clone();
    let mut intervals: Vec<(u64, u32)> = Vec::new();
    let mut exact = BTreeMap::new();
    let mut values = values.into_iter().peekable();
    let mut edges = edges.into_iter().peekable();
    let mut begin = 0;
    loop {
        if let Some((_, answers)) = edges.next_if(|(at, _)| *at == begin) {
            board.apply(&mut state, &answers);
        }
        let vector = vectors.number(&state);
        if intervals.last().is_none_or(|(_, last)| *last != vector) {
            intervals.push((begin, vector));
        }
        let end = edges.peek().map(|(at, _)| *at);
        let mut last: Option<(Vec<(usize, bool)>, u32)> = None;
        while let Some((value, answers)) = values.next_if(|(value, _)| end.is_none_or(|end| *value < end)) {
            let found = match last {
                // A long list of values mostly belongs to the same rule.
                Some((same, found)) if same == answers => found,
                Some(_) | None => {
                    let mut here = state.clone();
                    board.apply(&mut here, &answers);
                    vectors.number(&here)
                }
            };
            if found != vector {
                exact.insert(value, found);
            }
            last = Some((answers, found));
        }
        match end {
            Some(at) => begin = at,
            None => break,
        }
    }
    let default_vector = intervals.first().map_or(0, |(_, vector)| *vector);
    if intervals.len() == 1 {
        intervals.clear();
    }
    ColumnPlan {
        default_vector,
        unresolved_vector: unresolved(asking, vectors),
        table: ColumnTable::Number { exact, intervals },
    }
}

/// Where ranges begin and end, and what changes for single values.
fn number_changes(asking: &[Asking<'_>], board: &Switchboard) -> (Changes<u64>, Changes<u64>) {
    let mut edges = Changes::new();
    let mut values = Changes::new();
    let tests = asking.iter().flat_map(|one| &one.tests);
    for (test, switch) in tests.zip(&board.switches) {
        match test {
            Test::Numbers { values: named, ranges, negated } => {
                for (low, high) in ranges {
                    edges.entry(*low).or_default().push((*switch, !negated));
                    if let Some(after) = high.checked_add(1) {
                        edges.entry(after).or_default().push((*switch, *negated));
                    }
                }
                for value in named.iter().collect::<BTreeSet<_>>() {
                    values.entry(*value).or_default().push((*switch, !negated));
                }
            }
            Test::Mask { .. }
            | Test::Ancestors { .. }
            | Test::Lineage { .. }
            | Test::Substring { .. }
            | Test::Expression(_)
            | Test::Scope
            | Test::Notified(_)
            | Test::Text { .. } => {}
        }
    }
    (edges, values)
}

/// A column whose value is a set: vectors of the rules that want an element and of those that refuse it, by element. The
/// default vector has the rules that want none.
fn set<K: Ord + Clone>(
    asking: &[Asking<'_>],
    vectors: &mut VectorSet,
    named: impl Fn(&Test) -> Vec<K>,
    table: impl FnOnce(BTreeMap<K, (u32, u32)>, &mut VectorSet) -> ColumnTable,
) -> ColumnPlan {
    let mut default = Bits::all(vectors.rule_count());
    let mut rules: BTreeMap<K, [BTreeSet<usize>; 2]> = BTreeMap::new();
    for one in asking {
        for test in &one.tests {
            if !test.negated() {
                default.put(one.rule, false);
            }
            for element in named(test) {
                rules.entry(element).or_default()[usize::from(test.negated())].insert(one.rule);
            }
        }
    }
    let default_vector = vectors.number(&default);
    let mut vector_of = |rules: &BTreeSet<usize>| {
        let mut bits = Bits::none(vectors.rule_count());
        for rule in rules {
            bits.put(*rule, true);
        }
        vectors.number(&bits)
    };
    let elements =
        rules.iter().map(|(element, [want, refuse])| (element.clone(), (vector_of(want), vector_of(refuse))));
    let elements = elements.collect();
    let table = table(elements, vectors);
    ColumnPlan { default_vector, unresolved_vector: unresolved(asking, vectors), table }
}

/// A MASK column.
pub(super) fn mask(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let named = |test: &Test| {
        let Test::Mask { bits, .. } = test else { return Vec::new() };
        (0..64).filter(|bit| bits >> bit & 1 == 1).collect()
    };
    set(asking, vectors, named, |bits, _| ColumnTable::Mask(bits))
}

/// An ANCESTORS column.
pub(super) fn ancestors(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let named = |test: &Test| {
        let Test::Ancestors { pids, .. } = test else { return Vec::new() };
        pids.clone()
    };
    set(asking, vectors, named, |pids, _| ColumnTable::Ancestors(pids))
}

/// A NOTIFICATIONS column.
pub(super) fn notifications(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let named = |test: &Test| if let Test::Notified(number) = test { vec![*number] } else { Vec::new() };
    set(asking, vectors, named, |numbers, _| ColumnTable::Notifications(numbers))
}

/// A LINEAGE column.
pub(super) fn lineage(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let named = |test: &Test| {
        let Test::Lineage { paths, .. } = test else { return Vec::new() };
        paths.clone()
    };
    set(asking, vectors, named, |paths, _| ColumnTable::Lineage(paths))
}

/// A SUBSTRING column, in whatever case the values are to be compared.
pub(super) fn substring(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let named = |test: &Test| {
        let Test::Substring { values, .. } = test else { return Vec::new() };
        values.clone()
    };
    set(asking, vectors, named, |values, vectors| {
        ColumnTable::Substring(Automaton::new(&values, |one, other| vectors.union(one, other)))
    })
}

/// A SCOPE column: where a workload's class is not known, the rules that do not ask.
pub(super) fn scope(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let mut rest = Bits::all(vectors.rule_count());
    for one in asking {
        rest.put(one.rule, false);
    }
    let rest = vectors.number(&rest);
    ColumnPlan { default_vector: rest, unresolved_vector: rest, table: ColumnTable::Scope }
}

/// A `PATH_PREFIX` or `PATH_SUFFIX` column over the dictionary `keys` of all paths.
pub(super) fn path(asking: &[Asking<'_>], vectors: &mut VectorSet, keys: &Keys<'_>) -> ColumnPlan {
    let classes = text_vectors(asking, vectors, keys);
    ColumnPlan {
        default_vector: classes[0],
        unresolved_vector: unresolved(asking, vectors),
        table: ColumnTable::PathClasses(classes),
    }
}

/// A `TEXT_PREFIX` or `TEXT_SUFFIX` column.
pub(super) fn text(asking: &[Asking<'_>], vectors: &mut VectorSet) -> ColumnPlan {
    let keys = Keys::new(asking.iter().flat_map(|one| &one.tests).flat_map(|test| test_keys(test)).collect());
    let classes = text_vectors(asking, vectors, &keys);
    let trie = keys.trie(|key| classes[key.map_or(0, |key| key + 1)], false);
    ColumnPlan {
        default_vector: classes[0],
        unresolved_vector: unresolved(asking, vectors),
        table: ColumnTable::Text(trie),
    }
}

/// The keys that a test names.
pub(super) fn test_keys(test: &Test) -> impl Iterator<Item = &[u8]> {
    let keys = match test {
        Test::Text { keys, .. } => keys.as_slice(),
        Test::Numbers { .. }
        | Test::Mask { .. }
        | Test::Ancestors { .. }
        | Test::Lineage { .. }
        | Test::Substring { .. }
        | Test::Expression(_)
        | Test::Notified(_)
        | Test::Scope => &[],
    };
    keys.iter().map(Vec::as_slice)
}

/// Vectors by class: class 0 is "no key matches", class i + 1 is "key i is the longest that matches".
fn text_vectors(asking: &[Asking<'_>], vectors: &mut VectorSet, keys: &Keys<'_>) -> Vec<u32> {
    let board = Switchboard::new(vectors.rule_count(), asking);
    let mut changes: Changes<usize> = Changes::new();
    let tests = asking.iter().flat_map(|one| &one.tests);
    for (test, switch) in tests.zip(&board.switches) {
        for index in test_keys(test).filter_map(|key| keys.index(key)) {
            changes.entry(index).or_default().push((*switch, !test.negated()));
        }
    }
    let mut classes = vec![vectors.number(&board.start); keys.len() + 1];
    // Keys that cover the current one and change something, with what holds there.
    let mut open: Vec<(usize, Bits)> = Vec::new();
    for (index, answers) in changes {
        while open.last().is_some_and(|(end, _)| *end <= index) {
            open.pop();
        }
        let mut state = open.last().map_or_else(|| board.start.clone(), |(_, state)| state.clone());
        board.apply(&mut state, &answers);
        let covered = keys.covered(index);
        classes[covered.start + 1..=covered.end].fill(vectors.number(&state));
        open.push((covered.end, state));
    }
    classes
}
