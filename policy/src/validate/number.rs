//! Numbers in the values of filters.

use super::report::{Report, quoted};
use crate::model::{FieldPath, IntKind};

/// The values that a number of a type can have, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: i128,
    pub(crate) high: i128,
}

impl Span {
    /// The values of an integer type.
    pub(crate) fn of(kind: IntKind) -> Self {
        let bits = u32::from(kind.width) * 8;
        if kind.signed {
            Self { low: -(1 << (bits - 1)), high: (1 << (bits - 1)) - 1 }
        } else {
            Self { low: 0, high: (1 << bits) - 1 }
        }
    }

    /// The values of a type that only the kernel knows: anything that fits 64 bits, signed or not.
    pub(crate) const UNKNOWN: Self = Self { low: i64::MIN as i128, high: u64::MAX as i128 };

    /// The numbers that a set of 64 can have: capabilities.
    pub(crate) const CAPABILITIES: Self = Self { low: 0, high: 63 };

    /// Sets of 64 capabilities, a bit for each.
    pub(crate) const CAPABILITY_SETS: Self = Self { low: 0, high: u64::MAX as i128 };

    /// Commands of `bpf()`.
    pub(crate) const COMMANDS: Self = Self { low: i32::MIN as i128, high: i32::MAX as i128 };

    /// The numbers that system calls can have, those of 32-bit programs with bit 31 set.
    pub(crate) const SYSCALLS: Self = Self { low: 0, high: u32::MAX as i128 };

    /// The bit patterns of the type, as numbers without sign.
    pub(crate) fn bits(self) -> Self {
        let high = if self.low < 0 && self.high < u64::MAX.into() { self.high * 2 + 1 } else { self.high };
        Self { low: 0, high }
    }

    pub(crate) fn contains(self, number: i128) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a number from {} to {}", self.low, self.high)
    }
}

/// A number as the language writes it: decimal, `0x` hexadecimal, `0b` binary, `0o` or a leading `0` octal, each with an
/// optional sign. Numbers beyond 127 bits become the greatest or least of those.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // Digits alone can only be too many.
    Some(sign * i128::from_str_radix(digits, radix).unwrap_or(i128::MAX))
}

/// The low 64 bits of a number in two's complement.
pub(crate) fn low_bits(number: i128) -> u64 {
    u64::try_from(number.rem_euclid(1_i128 << 64)).unwrap_or_default()
}

/// A number within `span`; says what is wrong otherwise.
pub(crate) fn within(text: &str, span: Span, at: &FieldPath, report: &mut Report) -> Option<i128> {
    match parse(text) {
        Some(number) if span.contains(number) => Some(number),
        Some(_) => {
            report.refuse(at, format!("{}, which is out of range", quoted(text)), span.to_string());
            None
        }
        None => {
            report.refuse(at, format!("{}, which is not a number", quoted(text)), span.to_string());
            None
        }
    }
}

/// A range `low:high` within `span`; says what is wrong otherwise.
pub(crate) fn range(text: &str, span: Span, at: &FieldPath, report: &mut Report) -> Option<(i128, i128)> {
    let Some((low, high)) = text.split_once(':') else {
        report.refuse(at, quoted(text), "a range `low:high`, both ends included");
        return None;
    };
    let low = within(low.trim(), span, at, report);
    let high = within(high.trim(), span, at, report);
    let (low, high) = (low?, high?);
    if low > high {
        report.refuse(
            at,
            format!("{}, whose beginning lies after its end", quoted(text)),
            "a range `low:high`",
        );
        return None;
    }
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IntField;

    #[test]
    fn numbers_are_read_in_every_base() {
        for (text, number) in [
            ("0", 0),
            ("10", 10),
            ("-10", -10),
            ("0x1F", 31),
            ("0b101", 5),
            ("017", 15),
            ("0o17", 15),
            ("18446744073709551616", i128::from(u64::MAX) + 1),
            ("-99999999999999999999999999999999999999999999", -i128::MAX),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "-", "x", "0x", "08", "--1", "1 ", "1.5", "0x-1", "0b2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn spans_are_those_of_the_types() {
        let span = |width, signed| Span::of(IntKind { width, signed, shown_as: IntField::Int });
        assert_eq!(span(1, true), Span { low: -128, high: 127 });
        assert_eq!(span(1, true).bits(), Span { low: 0, high: 255 });
        assert_eq!(span(4, false), Span { low: 0, high: u32::MAX.into() });
        assert_eq!(span(4, false).bits(), span(4, false));
        assert_eq!(span(8, true).bits().high, i128::from(u64::MAX));
        assert_eq!(Span::UNKNOWN.bits().high, i128::from(u64::MAX));
    }
}
