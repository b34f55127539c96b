//! JSON text, appended to a byte buffer without intermediate allocations.
//!
//! One event line is written by some forty calls of these functions; a general serializer would build the same bytes
//! through an order of magnitude more instructions. Text from the kernel is bytes: what is not valid UTF-8 becomes
//! U+FFFD (the replacement character), control characters become escapes, so a line is always one line of valid JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        push_escaped_utf8(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// ASCII that stands for itself within a JSON string.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

fn push_escaped_utf8(out: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f | 0x7f => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 0xf)]);
            }
            _ => out.push(byte),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` as a JSON string in base64 (standard alphabet, padded).
pub fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let begin = out.len();
    // Four letters for each three bytes begun.
    out.resize(begin + bytes.len().div_ceil(3) * 4, b'=');
    // The room is exact, so this cannot fail; were it to, padding alone would stand there.
    let _ = STANDARD.encode_slice(bytes, &mut out[begin..]);
    out.push(b'"');
}

/// Appends a decimal number.
pub fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a decimal number.
pub fn push_signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(out, value.unsigned_abs());
}

/// Appends a number in quotes: how JSON shows 64-bit integers.
pub fn push_quoted_unsigned(out: &mut Vec<u8>, value: u64) {
    out.push(b'"');
    push_unsigned(out, value);
    out.push(b'"');
}

/// Appends a number in quotes: how JSON shows 64-bit integers.
pub fn push_quoted_signed(out: &mut Vec<u8>, value: i64) {
    out.push(b'"');
    push_signed(out, value);
    out.push(b'"');
}

/// Appends `epoch_ns` (nanoseconds since 1970, UTC) as an RFC 3339 string with 0, 3, 6 or 9 digits of a second.
pub fn push_time(out: &mut Vec<u8>, epoch_ns: u64) {
    let seconds = epoch_ns / NANOSECONDS_PER_SECOND;
    let nanoseconds = (epoch_ns % NANOSECONDS_PER_SECOND) as u32;
    let (year, month, day) = civil_date(seconds / SECONDS_PER_DAY);
    let of_day = seconds % SECONDS_PER_DAY;
    out.push(b'"');
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
    out.push(b'T');
    push_padded(out, of_day / 3600, 2);
    out.push(b':');
    push_padded(out, of_day / 60 % 60, 2);
    out.push(b':');
    push_padded(out, of_day % 60, 2);
    if nanoseconds != 0 {
        out.push(b'.');
        if nanoseconds.is_multiple_of(1_000_000) {
            push_padded(out, u64::from(nanoseconds / 1_000_000), 3);
        } else if nanoseconds.is_multiple_of(1_000) {
            push_padded(out, u64::from(nanoseconds / 1_000), 6);
        } else {
            push_padded(out, u64::from(nanoseconds), 9);
        }
    }
    out.extend_from_slice(b"Z\"");
}

/// Nanoseconds of a second.
pub const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// Appends `value` with leading zeros up to `width` digits; higher digits are cut.
fn push_padded(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let begin = out.len();
    out.resize(begin + width, b'0');
    for digit in out[begin..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01. Eras of 400 years begin on March 1st, so that the leap day is last.
fn civil_date(day_since_1970: u64) -> (u64, u64, u64) {
    let day_since_era = day_since_1970 + 719_468;
    let era = day_since_era / 146_097;
    let day_of_era = day_since_era % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(written(|out| push_string(out, b"/etc/passwd")), r#""/etc/passwd""#);
        assert_eq!(written(|out| push_string(out, b"a\"b\\c\n\x01\x7f")), r#""a\"b\\c\n\u0001\u007f""#);
        assert_eq!(written(|out| push_string(out, "stra\u{df}e".as_bytes())), "\"stra\u{df}e\"");
        assert_eq!(written(|out| push_string(out, b"a\xffb\xc3")), "\"a\u{fffd}b\u{fffd}\"");
    }

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        let time = |ns| written(|out| push_time(out, ns));
        assert_eq!(time(0), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(time(1_795_461_484_522_178_046), "\"2026-11-23T19:18:04.522178046Z\"");
        assert_eq!(time(951_782_400_100_000_000), "\"2000-02-29T00:00:00.100Z\"");
        assert_eq!(time(951_868_799_000_001_000), "\"2000-02-29T23:59:59.000001Z\"");
        assert_eq!(time(951_868_800_000_000_000), "\"2000-03-01T00:00:00Z\"");
        assert_eq!(time(4_107_542_400_000_000_000), "\"2100-03-01T00:00:00Z\"");
    }

    #[test]
    fn numbers_have_their_extremes() {
        assert_eq!(written(|out| push_unsigned(out, 0)), "0");
        assert_eq!(written(|out| push_quoted_unsigned(out, u64::MAX)), "\"18446744073709551615\"");
        assert_eq!(written(|out| push_quoted_signed(out, i64::MIN)), "\"-9223372036854775808\"");
        assert_eq!(written(|out| push_signed(out, -1)), "-1");
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(written(|out| push_base64(out, b"(none):1:0")), "\"KG5vbmUpOjE6MA==\"");
        assert_eq!(written(|out| push_base64(out, b"")), "\"\"");
        assert_eq!(written(|out| push_base64(out, b"abc")), "\"YWJj\"");
    }

    proptest! {
        #[test]
        fn every_string_survives_a_json_parser(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = written(|out| push_string(out, &bytes));
            let parsed: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&bytes).into_owned());
            prop_assert!(!text.contains('\n'));
        }
    }
}
