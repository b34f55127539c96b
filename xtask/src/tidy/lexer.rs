//! Just enough of Rust's and C's lexical rules to see code without comments and literals.

/// Which language's rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    C,
}

/// The source with every character of comments, strings and characters replaced by a blank; lines stay where they are.
pub(super) fn blank_out(source: &str, language: Language) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => comment_end(bytes, at, language),
            b'"' => string_end(bytes, at),
            b'\'' => character_end(bytes, at, language),
            b'r' if language == Language::Rust && !follows_word(bytes, at) => raw_string_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Multi-byte characters are blanked as a whole inside literals and left alone elsewhere.
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the byte continues a word; `br"` begins a raw string all the same.
fn follows_word(bytes: &[u8], at: usize) -> bool {
    let word =
        |index: usize| bytes.get(index).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match at {
        0 => false,
        _ if matches!(bytes[at - 1], b'b' | b'c') => at > 1 && word(at - 2),
        _ => word(at - 1),
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// Rust's comments nest, C's do not.
fn comment_end(bytes: &[u8], at: usize, language: Language) -> usize {
    let mut depth = 1;
    let mut index = at + 2;
    while index + 1 < bytes.len() {
        match (bytes[index], bytes[index + 1]) {
            (b'*', b'/') => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            (b'/', b'*') if language == Language::Rust => {
                depth += 1;
                index += 2;
            }
            _ => index += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut index = at + 1;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => index += 2,
            b'"' => return index + 1,
            _ => index += 1,
        }
    }
    bytes.len()
}

/// The end of `'x'`; `at` itself for a lifetime.
fn character_end(bytes: &[u8], at: usize, language: Language) -> usize {
    let escaped = bytes.get(at + 1) == Some(&b'\\');
    let from = if escaped { at + 3 } else { at + 2 };
    // The longest escape is `\u{10FFFF}`, the longest plain character four bytes.
    let reach = if escaped { from + 9 } else { at + 5 };
    let close = (from..=reach.min(bytes.len().saturating_sub(1))).find(|index| bytes[*index] == b'\'');
    match (close, language) {
        // Of the bytes between, only the first one may be ASCII: `'a, 'b` are two lifetimes.
        (Some(close), Language::Rust) if !escaped && bytes[at + 2..close].iter().any(u8::is_ascii) => at,
        (Some(close), _) => close + 1,
        (None, _) => at,
    }
}

/// The end of `r"..."` or `r#"..."#`; `at` itself when it is neither.
fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return at;
    }
    let mut index = open + 1;
    while index < bytes.len() {
        let closing = &bytes[index + 1..(index + 1 + hashes).min(bytes.len())];
        if bytes[index] == b'"' && closing.len() == hashes && closing.iter().all(|byte| *byte == b'#') {
            return index + 1 + hashes;
        }
        index += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn braces(source: &str, language: Language) -> usize {
        blank_out(source, language).matches(['{', '}']).count()
    }

    #[test]
    fn literals_and_comments_hide_braces() {
        let rust = r##"let a = "{"; let b = '{'; /* { /* { */ } */ let c = r#"}" {"#; // }"##;
        assert_eq!(braces(rust, Language::Rust), 0);
        assert_eq!(braces(r#"b"{" br"}" '\'' '\u{7d}' "\"{""#, Language::Rust), 0);
        assert_eq!(braces("char a = '{'; /* /* { */ char *b = \"\\\"}\";", Language::C), 0);
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(braces("fn f<'a>(x: &'a str) { g::<'a, 'b>() }", Language::Rust), 2);
        assert_eq!(braces("let x = 'é'; { }", Language::Rust), 2);
    }

    #[test]
    fn words_that_end_in_r_begin_no_raw_string() {
        assert_eq!(braces("var\"{\" {", Language::Rust), 1);
        assert_eq!(braces("for x in r { }", Language::Rust), 2);
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = "a\n/* b\n c */ d\n\"e\nf\"\n";
        assert_eq!(blank_out(source, Language::Rust).lines().count(), source.lines().count());
        assert_eq!(blank_out(source, Language::Rust).lines().nth(2), Some("      d"));
    }
}
