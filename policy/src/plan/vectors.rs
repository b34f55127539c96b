//! Sets of rules as bits.

use super::Vector;
use std::collections::HashMap;

impl Vector {
    /// Whether rule `rule` is in the set.
    pub fn contains(&self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    /// Whether no rule is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A set of rules while it is being built. Its length is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// `length` bits, none set.
    pub(super) fn none(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    /// `length` bits, all set.
    pub(super) fn all(length: usize) -> Self {
        let mut bits = Self(vec![u64::MAX; length.div_ceil(64)]);
        if !length.is_multiple_of(64)
            && let Some(last) = bits.0.last_mut()
        {
            *last = (1 << (length % 64)) - 1;
        }
        bits
    }

    pub(super) fn get(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    pub(super) fn put(&mut self, index: usize, on: bool) {
        let bit = 1 << (index % 64);
        if on {
            self.0[index / 64] |= bit;
        } else {
            self.0[index / 64] &= !bit;
        }
    }
}

/// The distinct vectors of one hook point.
#[derive(Debug)]
pub(super) struct VectorSet {
    rule_count: usize,
    vectors: Vec<Vector>,
    numbers: HashMap<Vec<u64>, u32>,
}

impl VectorSet {
    /// Vector 0 (no rule) and vector 1 (all `rule_count` rules).
    pub(super) fn new(rule_count: usize) -> Self {
        let mut set = Self { rule_count, vectors: Vec::new(), numbers: HashMap::new() };
        set.number(&Bits::none(rule_count));
        set.number(&Bits::all(rule_count));
        set
    }

    pub(super) fn rule_count(&self) -> usize {
        self.rule_count
    }

    /// The number of the vector with the first `rule_count` of `bits`.
    pub(super) fn number(&mut self, bits: &Bits) -> u32 {
        let mut words = bits.0[..self.rule_count.div_ceil(64)].to_vec();
        if !self.rule_count.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last &= (1 << (self.rule_count % 64)) - 1;
        }
        let length = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        words.truncate(length);
        if let Some(number) = self.numbers.get(&words) {
            return *number;
        }
        let number = self.vectors.len() as u32;
        self.vectors.push(Vector(words.clone()));
        self.numbers.insert(words, number);
        number
    }

    /// The number of the vector with the rules of both.
    pub(super) fn union(&mut self, one: u32, other: u32) -> u32 {
        // Mostly there is nothing to join: vector 0 has no rule.
        if one == 0 || one == other {
            return other;
        }
        if other == 0 {
            return one;
        }
        let mut bits = Bits::none(self.rule_count);
        for number in [one, other] {
            for (to, word) in bits.0.iter_mut().zip(&self.vectors[number as usize].0) {
                *to |= word;
            }
        }
        self.number(&bits)
    }

    pub(super) fn into_vectors(self) -> Vec<Vector> {
        self.vectors
    }
}
