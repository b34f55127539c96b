//! Expressions of `matchCEL` and of the operator `CelExpr`: conditions over several integers, in a part of the Common Expression Language.
//!
//! ```text
//!  text ─parse─▶ tree ─check(types of the arguments)─▶ condition ─compile─▶ instructions of a machine with a stack
//! ```
//!
//! **Types.** An argument of up to 32 bits is an `int32` or a `uint32`, a wider one an `int` or a `uint` (64 bits). Integers
//! of one sign may meet: the narrower one is widened, which keeps its value. A number that is written takes the type of what
//! it meets. Whatever mixes integers with and without a sign has to convert one of them.
//!
//! **Arithmetic** is that of the machine: a result too great for its type wraps, and so does a conversion. Nothing
//! fails, so both sides of `&&`, `||` and `? :` may always be computed.
//!
//! **Bounds.** The text, how deep it nests, its parts, the instructions and the stack are all limited, so any text takes
//! little time, memory and stack, and so does what becomes of it in the kernel.

mod check;
mod code;
mod parse;
#[cfg(test)]
mod tests;
mod token;

pub use check::{Condition, IntegerType};
pub(crate) use code::Code;
use std::collections::BTreeSet;
use std::fmt;

/// Longest expression, bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1024;

/// What an expression can name: a value by its place in a list of the hook, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `arg0`: a place in `args`, or in the one list that a filter is about.
    Arg(u32),
    /// `data0`: a place in `data`.
    Data(u32),
}

impl Name {
    /// The name that a word is, if it is one: numbers have no zeros before them.
    fn read(word: &str) -> Option<Self> {
        let number = |digits: &str| {
            let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
            let plain = plain && (digits == "0" || !digits.starts_with('0'));
            digits.parse().ok().filter(|_| plain)
        };
        let arg = word.strip_prefix("arg").and_then(number).map(Self::Arg);
        arg.or_else(|| word.strip_prefix("data").and_then(number).map(Self::Data))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arg(number) => write!(f, "arg{number}"),
            Self::Data(number) => write!(f, "data{number}"),
        }
    }
}

/// An expression that could be read. It is kept as it is written: its tree weighs many times as much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(String);

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it first.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        parse::parse(text)?;
        Ok(Self(text.to_owned()))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What it names, and the column of the first place that does so.
    pub fn names(&self) -> Vec<(Name, usize)> {
        let mut found = Vec::new();
        if let Ok(root) = parse::parse(&self.0) {
            root.walk(&mut |node| found.extend(node.name().map(|name| (name, node.column))));
        }
        let mut seen = BTreeSet::new();
        found.retain(|(name, _)| seen.insert(*name));
        found
    }

    /// The condition that it is for values of these types, width in bytes and sign.
    ///
    /// # Errors
    ///
    /// What does not fit together first.
    pub fn check(&self, argument: &dyn Fn(Name) -> Option<(u8, bool)>) -> Result<Condition, Mistake> {
        check::check(&parse::parse(&self.0)?, argument)
    }
}

/// A place in an expression, for messages.
pub(crate) fn place(column: usize) -> String {
    format!("(column {column} of the expression)")
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in characters from 1; 0 = the expression as a whole is meant.
    pub column: usize,
    /// What was found, as it continues the sentence "found ...".
    pub found: String,
    /// What is allowed there, as it continues the sentence "allowed: ...".
    pub allowed: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Mistake {
    /// What was found, and where.
    pub(crate) fn in_place(&self) -> String {
        match self.column {
            0 => self.found.clone(),
            column => format!("{} {}", self.found, place(column)),
        }
    }

    fn new(column: usize, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { column, found: found.into(), allowed: allowed.into(), hint: None }
    }

    #[must_use]
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
