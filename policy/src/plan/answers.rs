//! What compiling has asked about things that change while a node runs.

use super::facts::{Symbols, UserProblem};
use super::module::ModuleSite;
use super::program::AskedTypes;
use super::user::{FoundDigest, FoundPlace};
use crate::model::{DigestKind, UserPlace};
use std::collections::BTreeMap;

/// What was asked about files of the node and about modules of its kernel, and the answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    places: BTreeMap<(String, UserPlace), Result<Vec<FoundPlace>, UserProblem>>,
    digests: BTreeMap<(String, DigestKind), Result<FoundDigest, UserProblem>>,
    types: AskedTypes,
    /// By names of functions that the kernel itself does not describe; `None` = no module that is loaded has it.
    functions: BTreeMap<String, Option<ModuleSite>>,
}

impl Answers {
    pub(super) fn ask<'a>(
        places: impl Iterator<Item = (&'a str, &'a UserPlace)>,
        digests: BTreeMap<(String, DigestKind), Result<FoundDigest, UserProblem>>,
        types: AskedTypes,
        functions: BTreeMap<String, Option<ModuleSite>>,
        symbols: &dyn Symbols,
    ) -> Self {
        let answer = |(path, place): (&str, &UserPlace)| {
            ((path.to_owned(), place.clone()), symbols.user_places(path, place))
        };
        Self { places: places.map(answer).collect(), digests, types, functions }
    }

    /// Adds what was asked elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.places.extend(other.places.clone());
        self.digests.extend(other.digests.clone());
        self.types.extend(other.types.clone());
        self.functions.extend(other.functions.clone());
    }

    /// Whether some answer is another one by now: a file is there, or gone, or replaced, or has another content; a module
    /// was loaded or removed, or both.
    pub fn have_changed(&self, symbols: &dyn Symbols) -> bool {
        self.places.iter().any(|((path, place), answer)| symbols.user_places(path, place) != *answer)
            || self.digests.iter().any(|((path, kind), answer)| symbols.file_digest(path, *kind) != *answer)
            || self.types.iter().any(|(path, answer)| symbols.program_types(path) != *answer)
            || self.functions.iter().any(|(name, answer)| symbols.module_site(name) != *answer)
    }
}
