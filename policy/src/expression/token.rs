//! Words of an expression.

use super::Mistake;
use crate::parse::shorten;

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A number; with `u` behind it, one without a sign.
    Number { value: u64, unsigned: bool },
    /// A name.
    Name(&'a str),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// There is nothing more.
    End,
}

/// What stands between names and numbers; those that others begin with come later.
const SIGNS: [&str; 18] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "!", "(", ")", "[", "]", ",", "?", ":"];

/// What other languages write, and what is written here instead.
const INSTEAD: [(&str, &str); 9] = [
    ("*", "there is no multiplication"),
    ("/", "there is no division"),
    ("%", "there is no division"),
    ("=", "`==` compares"),
    ("&", "`&&` joins conditions, `and(a, b)` bits"),
    ("|", "`||` joins conditions, `or(a, b)` bits"),
    ("^", "`xor(a, b)` joins bits"),
    ("~", "`not(a)` turns bits round"),
    ("\"", "texts are compared by the other operators: Equal, Prefix, SubString and the like"),
];

const ALLOWED: &str = "arguments (`arg0`), integers, `true`, `false`, `+ - && || !`, `== != < <= > >=`, `? :`, `in [...]`, \
                       parentheses, `int`, `uint`, `int32`, `uint32`, `and`, `or`, `xor`, `not`";

/// Reads word by word.
#[derive(Debug)]
pub(super) struct Words<'a> {
    text: &'a str,
    /// Byte where the next word is looked for.
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word, and the column where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), Mistake> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\r', '\n']);
        let begin = self.text.len() - rest.len();
        let column = self.text[..begin].chars().count() + 1;
        let Some(first) = rest.chars().next() else {
            self.at = begin;
            return Ok((Token::End, column));
        };
        let word_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        if first.is_ascii_alphanumeric() || first == '_' {
            let length = rest.find(|letter| !word_letter(letter)).unwrap_or(rest.len());
            self.at = begin + length;
            let word = &rest[..length];
            let token = if first.is_ascii_digit() { number(word, column)? } else { Token::Name(word) };
            return Ok((token, column));
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.at = begin + sign.len();
            return Ok((Token::Sign(sign), column));
        }
        let shown = if first == '\'' { first.to_string() } else { shorten(&first.to_string()) };
        let mistake = Mistake::new(column, format!("`{shown}`"), ALLOWED);
        let quote = if first == '\'' { '"' } else { first };
        let known = INSTEAD.iter().find(|(sign, _)| sign.chars().eq([quote]));
        Err(match known {
            Some((_, instead)) => mistake.hint(*instead),
            None => mistake,
        })
    }
}

/// A number as the language writes it: decimal or `0x`, either with `u` behind it.
fn number<'a>(word: &str, column: usize) -> Result<Token<'a>, Mistake> {
    const ALLOWED: &str = "an integer, decimal or with 0x, with `u` behind it where it has no sign";
    let (digits, unsigned) = match word.strip_suffix(['u', 'U']) {
        Some(digits) => (digits, true),
        None => (word, false),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((digits, 10), |digits| (digits, 16));
    let shown = format!("`{}`", shorten(word));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Mistake::new(column, format!("{shown}, which is no integer"), ALLOWED));
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        let mistake = Mistake::new(column, format!("{shown}, which begins with 0"), ALLOWED);
        return Err(mistake.hint("other operators would take it for an octal number, CEL for a decimal one"));
    }
    let Ok(value) = u64::from_str_radix(digits, radix) else {
        let found = format!("{shown}, which does not fit into 64 bits");
        return Err(Mistake::new(column, found, format!("an integer up to {}", u64::MAX)));
    };
    Ok(Token::Number { value, unsigned })
}
