//! No file and no function is too long to be read at once.

use super::lexer::{Language, blank_out};
use super::{Source, Violation};

const MAX_FILE_LINES: usize = 700;
const MAX_FUNCTION_LINES: usize = 70;

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        let language = match source.extension() {
            "rs" => Language::Rust,
            "c" | "h" => Language::C,
            _ => continue,
        };
        if source.is_generated() {
            continue;
        }
        let lines = source.text.lines().count();
        if lines > MAX_FILE_LINES {
            found.push(source.violation(0, format!("{lines} lines, more than {MAX_FILE_LINES}")));
        }
        for (first, last) in functions(&source.text, language) {
            let lines = last - first + 1;
            if lines > MAX_FUNCTION_LINES {
                let what = format!("a function of {lines} lines, more than {MAX_FUNCTION_LINES}");
                found.push(source.violation(first, what));
            }
        }
    }
    found
}

/// First and last line of every function that has a body.
fn functions(source: &str, language: Language) -> Vec<(usize, usize)> {
    let code = blank_out(source, language);
    match language {
        Language::Rust => rust_functions(&code),
        Language::C => c_functions(&code),
    }
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The index of the brace that closes the one at `open`.
fn closing_brace(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn rust_functions(code: &str) -> Vec<(usize, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let type_of_pointer = !bytes.get(at + 3).is_some_and(|byte| word(*byte));
        if type_of_pointer || (at > 0 && word(bytes[at - 1])) {
            continue;
        }
        if let Some(end) = body(bytes, at).and_then(|open| closing_brace(bytes, open)) {
            found.push((line_at(code, at), line_at(code, end)));
        }
    }
    found
}

/// Where the body of the function declared at `at` begins; none for a declaration without one.
fn body(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(index),
            _ => {}
        }
    }
    None
}

/// In C, a function body is an outermost brace that follows a closing parenthesis.
fn c_functions(code: &str) -> Vec<(usize, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    let mut declaration = 0;
    while at < bytes.len() {
        match bytes[at] {
            b';' | b'}' => declaration = at + 1,
            b'#' => {
                at = directive_end(bytes, at);
                declaration = at;
                continue;
            }
            b'{' => {
                let Some(end) = closing_brace(bytes, at) else { return found };
                if code[declaration..at].trim_end().ends_with(')') {
                    let blanks = code[declaration..].len() - code[declaration..].trim_start().len();
                    found.push((line_at(code, declaration + blanks), line_at(code, end)));
                }
                at = end;
                declaration = end + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// A preprocessor directive goes on over lines that end with a backslash.
fn directive_end(bytes: &[u8], at: usize) -> usize {
    let mut index = at;
    while index < bytes.len() {
        if bytes[index] == b'\n' && bytes[index - 1] != b'\\' {
            return index;
        }
        index += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: String) -> Source {
        Source { path: path.to_owned(), text }
    }

    #[test]
    fn rust_functions_are_found() {
        let text = "fn a() {\n}\nstruct S { f: fn (u8) }\nimpl S {\n    fn b(\n        x: [u8; 4],\n    ) -> u8 {\n        \
                    1\n    }\n}\ntrait T {\n    fn c(&self);\n}\n";
        assert_eq!(functions(text, Language::Rust), [(1, 2), (5, 9)]);
    }

    #[test]
    fn c_functions_are_found() {
        let text = "#define F(x) do { x; } \\\n\twhile (0)\nstruct s {\n\tint a;\n};\nSEC(\"lsm\")\nint BPF_PROG(f, \
                    int a)\n{\n\tif (a) {\n\t}\n\treturn 0;\n}\nint g(void);\nstatic int h(void)\n{\n}\n";
        assert_eq!(functions(text, Language::C), [(6, 12), (14, 16)]);
    }

    #[test]
    fn the_limits_hold() {
        let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        assert_eq!(check(&[source("a.rs", body(MAX_FUNCTION_LINES))]), []);
        assert_eq!(check(&[source("a.rs", body(MAX_FUNCTION_LINES + 1))]).len(), 1);
        assert_eq!(check(&[source("a.h", "\n".repeat(MAX_FILE_LINES))]), []);
        assert_eq!(check(&[source("a.h", "\n".repeat(MAX_FILE_LINES + 1))]).len(), 1);
        assert_eq!(check(&[source("a.md", "\n".repeat(MAX_FILE_LINES + 1))]), []);
    }

    #[test]
    fn generated_files_may_be_long() {
        let text = format!("// @generated by x\n{}", "\n".repeat(MAX_FILE_LINES));
        assert_eq!(check(&[source("a.rs", text)]), []);
    }
}
