//! Automata for texts: which values stand anywhere in a text, answered by reading it once, however many values there are
//! (Aho and Corasick, "Efficient String Matching: An Aid to Bibliographic Search", 1975).

use std::collections::{BTreeMap, VecDeque};

/// Finds values within a text. States are numbered from 0 (nothing of any value has been read) within this automaton.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Automaton {
    /// State and next byte to the state that reads on.
    pub edges: BTreeMap<(u32, u8), u32>,
    /// By number.
    pub states: Vec<AutomatonState>,
}

/// A state of an [`Automaton`]: the longest ending of what was read that some value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AutomatonState {
    /// The state of the next shorter such ending: where the same byte is tried when no edge reads it.
    pub otherwise: u32,
    /// (positive, negative) vector of the rules that ask for a value which ends here; 0 = none.
    pub found: (u32, u32),
}

impl Automaton {
    /// The automaton of these values and their (positive, negative) vectors. `union` joins two vectors.
    pub(super) fn new(
        values: &BTreeMap<Vec<u8>, (u32, u32)>,
        mut union: impl FnMut(u32, u32) -> u32,
    ) -> Self {
        let mut automaton = Self { edges: BTreeMap::new(), states: vec![AutomatonState::default()] };
        for (value, found) in values {
            let mut state = 0;
            for byte in value {
                state = *automaton.edges.entry((state, *byte)).or_insert_with(|| {
                    automaton.states.push(AutomatonState::default());
                    automaton.states.len() as u32 - 1
                });
            }
            automaton.states[state as usize].found = *found;
        }
        // Shorter ones first: what a state falls back to is shorter, and complete by then.
        let mut waiting = VecDeque::from([0]);
        while let Some(state) = waiting.pop_front() {
            for ((_, byte), next) in automaton.edges.range((state, 0)..=(state, u8::MAX)) {
                waiting.push_back(*next);
                if state == 0 {
                    continue;
                }
                let otherwise = automaton.next(automaton.states[state as usize].otherwise, *byte);
                let shorter = automaton.states[otherwise as usize].found;
                let next = &mut automaton.states[*next as usize];
                next.otherwise = otherwise;
                next.found = (union(next.found.0, shorter.0), union(next.found.1, shorter.1));
            }
        }
        automaton
    }

    /// The state after one more byte.
    fn next(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            match self.edges.get(&(state, byte)) {
                Some(next) => return *next,
                None if state == 0 => return 0,
                None => state = self.states[state as usize].otherwise,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit `n` of a vector stands for value `n`.
    fn automaton(values: &[&str]) -> Automaton {
        let values =
            values.iter().enumerate().map(|(number, value)| (value.as_bytes().to_vec(), (1 << number, 0)));
        Automaton::new(&values.collect(), |one, other| one | other)
    }

    fn found(automaton: &Automaton, text: &str) -> u32 {
        let mut state = 0;
        text.bytes().fold(0, |found, byte| {
            state = automaton.next(state, byte);
            found | automaton.states[state as usize].found.0
        })
    }

    #[test]
    fn values_within_and_beside_each_other_are_all_found() {
        let values = ["he", "she", "his", "hers", "aab", "b"];
        let automaton = automaton(&values);
        for text in ["ushers", "aaab", "hishe", "", "x", "sh", "hehehe", "aabhers"] {
            let wanted = (0..)
                .zip(values)
                .filter(|(_, value)| text.contains(value))
                .fold(0, |all, (bit, _)| all | 1 << bit);
            assert_eq!(found(&automaton, text), wanted, "{text}");
        }
    }

    #[test]
    fn there_are_no_more_states_than_bytes_and_one() {
        let values = ["aaaa", "aaab", "ba"];
        assert_eq!(automaton(&values).states.len(), 1 + 4 + 1 + 2);
        assert_eq!(automaton(&[]).states.len(), 1);
    }
}
