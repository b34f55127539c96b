//! What YAML takes a scalar without quotes for.
//!
//! The rules are those of YAML 1.1 as `kubectl` reads it (sigs.k8s.io/yaml): the API server gets the number or boolean that
//! it makes of a scalar, and never sees how it was spelled.

/// What a scalar without quotes is, unless it is a text: `a number`, `a boolean`.
pub(super) fn taken_for(text: &str) -> Option<&'static str> {
    if boolean(text).is_some() || matches!(text, "y" | "Y" | "n" | "N") {
        return Some("a boolean");
    }
    (is_integer(text) || is_decimal(text)).then_some("a number")
}

/// A YAML boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A YAML integer: decimal, `0x` or `0o`. A decimal with a leading 0 is octal to some readers, so it is none here.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix("0o")) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) => (octal, 8),
        (None, None) if has_leading_zero(digits) => return None,
        (None, None) => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A number that is octal to some readers.
pub(super) fn has_leading_zero(text: &str) -> bool {
    let digits = unsigned(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// A whole number in any of the spellings: with a sign, with `_` between digits, in base 2, 8 or 16 by its prefix.
fn is_integer(text: &str) -> bool {
    let digits = unsigned(text).replace('_', "").to_ascii_lowercase();
    let (digits, radix) = match digits.get(..2) {
        Some("0x") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        _ => (digits.as_str(), 10),
    };
    unsigned(text).starts_with(|first: char| first.is_ascii_digit())
        && !digits.is_empty()
        && digits.chars().all(|digit| digit.is_digit(radix))
}

/// A number with a point or an exponent, infinity, or none at all (`.nan`).
fn is_decimal(text: &str) -> bool {
    let digits = unsigned(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(unsigned(exponent))),
        None => (digits, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    all_digits(whole)
        && all_digits(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_known() {
        for text in ["yes", "Y", "off", "True"] {
            assert_eq!(taken_for(text), Some("a boolean"), "{text}");
        }
        for text in [
            "0", "-1", "+5", "010", "0x1F", "0o17", "0b101", "1_000", "1.10", "1e3", ".5", "1.", "-.inf",
            ".nan",
        ] {
            assert_eq!(taken_for(text), Some("a number"), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "e",
            "1:30",
            "10.0.0.1",
            "0x",
            "1.2.3",
            "/etc",
            "tRUE",
            "1e",
            "2001-01-01",
            "_1",
            "+",
        ] {
            assert_eq!(taken_for(text), None, "{text}");
        }
    }

    #[test]
    fn integers_are_read_where_all_readers_agree() {
        assert_eq!(["7", "-0x10", "0o17", "+3"].map(integer), [Some(7), Some(-16), Some(15), Some(3)]);
        assert_eq!(["010", "1_000", "0b1", "9223372036854775808", ""].map(integer), [None; 5]);
    }
}
