//! Texts in the values of filters.

use super::letters;
use super::report::{Report, quoted};
use crate::model::{FieldPath, TextMatch, TextTest};
use lictor_node_worker_ebpf::LICTOR_MAX_UNIX_PATH;

/// Longest address of a Unix socket, bytes.
const UNIX_ADDRESS_MAX: usize = LICTOR_MAX_UNIX_PATH as usize;

/// What a text is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The path of a file, as the kernel sees it: begins with `/`, or is empty.
    Path,
    /// The address of a Unix socket: a path as programs write it, or `@` and an abstract name.
    UnixAddress,
    /// Any text.
    Text,
}

/// The test that the values make, if all of them are fit.
pub(crate) fn test(
    subject: Subject,
    part: TextMatch,
    negated: bool,
    values: &[String],
    at: &FieldPath,
    report: &mut Report,
) -> Option<TextTest> {
    let at = at.member("values");
    let before = report.refused;
    let values: Vec<String> = values
        .iter()
        .enumerate()
        .filter_map(|(number, text)| value(text, part, &at.index(number), report))
        .collect();
    if subject != Subject::Text {
        for (number, text) in values.iter().enumerate() {
            as_it_looks(text, &at.index(number), report);
        }
    }
    if subject == Subject::Path && matches!(part, TextMatch::Equal | TextMatch::Prefix) {
        for (number, text) in values.iter().enumerate().filter(|(_, text)| !text.starts_with('/')) {
            let hint = "paths begin with `/`, so this can never be there";
            report.warn(&at.index(number), quoted(text), hint);
        }
    }
    if subject == Subject::UnixAddress {
        for (number, text) in values.iter().enumerate().filter(|(_, text)| text.len() > UNIX_ADDRESS_MAX) {
            let found = format!("{}, which has {} bytes", quoted(text), text.len());
            let hint = format!(
                "addresses of Unix sockets have at most {UNIX_ADDRESS_MAX}, so this can never be there"
            );
            report.warn(&at.index(number), found, hint);
        }
    }
    (report.refused == before && !values.is_empty()).then_some(TextTest { part, values, negated })
}

/// Refuses a path that is not what it looks like: a rule for it would protect another file than its reader thinks.
fn as_it_looks(text: &str, at: &FieldPath, report: &mut Report) {
    if let Some(letter) = letters::invisible(text) {
        let found = format!("{}, with the invisible character U+{:04X}", quoted(text), u32::from(letter));
        report.refuse_with(
            at,
            found,
            "a path that can be read",
            "write it anew; a Prefix or Postfix can leave it out",
        );
    } else if let Some(letter) = letters::look_alike(text) {
        let found = format!(
            "{}, whose `{letter}` (U+{:04X}) is no Latin letter, among Latin ones",
            quoted(text),
            u32::from(letter)
        );
        let hint =
            "write the word anew; a Prefix or Postfix can leave it out, if the file is really called so";
        report.refuse_with(at, found, "words of one alphabet", hint);
    }
}

fn value(text: &str, part: TextMatch, at: &FieldPath, report: &mut Report) -> Option<String> {
    let ended = text.strip_suffix('\0');
    if ended.is_some() {
        report.warn(at, quoted(text), "the zero byte at the end is not needed and left out");
    }
    let text = ended.unwrap_or(text);
    let longest_bytes = part.longest_value();
    let what = match part {
        TextMatch::Postfix => "an ending",
        TextMatch::Equal | TextMatch::Prefix => "a text",
        TextMatch::Substring | TextMatch::SubstringAnyCase => "a part of a text",
    };
    if text.is_empty() {
        report.refuse(at, "an empty text", format!("{what} of 1 to {longest_bytes} bytes"));
        return None;
    }
    if text.len() > longest_bytes {
        let found = format!("{}, which has {} bytes", quoted(text), text.len());
        report.refuse(at, found, format!("{what} of 1 to {longest_bytes} bytes"));
        return None;
    }
    if text.contains('\0') {
        report.refuse(at, quoted(text), format!("{what} without a zero byte: the kernel's texts end there"));
        return None;
    }
    Some(text.to_owned())
}
