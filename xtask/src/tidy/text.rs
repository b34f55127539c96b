//! Text that does not belong into the repository.

use super::{Source, Violation};

/// Words that stand for work left undone, and tests that are not run. In pieces, because this file is checked too.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("un", "implemented!("),
    concat!("#[", "ignore"),
    concat!("keep in ", "sync"),
];

/// Directories that only exist on one person's machine, below a home directory.
const PRIVATE: &[&str] = &[".cargo", ".rustup", ".cache", ".local", ".config"];

/// File types in which blanks at the end of a line mean nothing.
const STRICT: &[&str] = &["rs", "c", "h", "md", "toml", "yaml", "yml", "sh", "py"];

/// `root` is where the repository is on this machine.
pub(super) fn check(sources: &[Source], root: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        let generated = source.is_generated() || is_data(source) || source.path == "Cargo.lock";
        for (index, line) in source.text.lines().enumerate() {
            let number = index + 1;
            for word in UNFINISHED.iter().filter(|word| !generated && line.contains(**word)) {
                found.push(source.violation(number, format!("`{word}`: finish it, or say what is so")));
            }
            if names_a_machine(line, root) {
                found.push(source.violation(number, "a path of one machine"));
            }
            if is_strict(source) && !generated && line.ends_with([' ', '\t', '\r']) {
                found.push(source.violation(number, "blanks at the end of the line"));
            }
        }
        let strict = is_strict(source) && !source.text.is_empty();
        if strict && (!source.text.ends_with('\n') || source.text.ends_with("\n\n")) {
            found.push(source.violation(source.text.lines().count(), "must end with exactly one line feed"));
        }
    }
    found
}

/// Whether blanks mean nothing in the file.
fn is_strict(source: &Source) -> bool {
    STRICT.contains(&source.extension()) && !is_data(source)
}

/// What tests feed to the code may be odd on purpose, or written by somebody else.
fn is_data(source: &Source) -> bool {
    let in_tests = source.path.contains("testdata/") || source.path.contains("tests/");
    in_tests && !matches!(source.extension(), "rs" | "c" | "h" | "md")
}

/// Whether a line names this checkout, or something that tools keep in a home directory.
fn names_a_machine(line: &str, root: &str) -> bool {
    // A checkout right below the root directory has a path too short to be told from others.
    let telling = root.matches('/').count() > 1;
    let checkout = telling
        && line.match_indices(root).any(|(at, _)| {
            let word = |character: char| character.is_alphanumeric() || "_-./".contains(character);
            !line[..at].ends_with(word) && !line[at + root.len()..].starts_with(|c: char| word(c) && c != '/')
        });
    let home = |at: usize| {
        let rest = &line[at + 1..];
        let after = rest.strip_prefix("root/").or_else(|| {
            let (user, after) = rest.strip_prefix("home/")?.split_once('/')?;
            user.chars()
                .all(|character| character.is_alphanumeric() || "_-.".contains(character))
                .then_some(after)
        });
        after.is_some_and(|after| PRIVATE.iter().any(|name| after.starts_with(name)))
    };
    checkout || line.match_indices('/').any(|(at, _)| home(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&[source], "/build/lictor").into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(lines("a.rs", concat!("a\n// TO", "DO: b\n")), [2]);
        assert_eq!(lines("a.c", concat!("/* FIX", "ME */\n")), [1]);
        assert_eq!(lines("a.rs", concat!("#[", "ignore]\nfn x() { to", "do!() }\n")), [1, 2]);
        assert_eq!(lines("a.rs", "ignored, mastodon\n"), NONE);
    }

    #[test]
    fn machine_paths_are_found() {
        assert_eq!(lines("a.md", "see /build/lictor/README.md\n"), [1]);
        assert_eq!(lines("a.md", "see /build/lictor\n"), [1]);
        assert_eq!(lines("a.md", "x/build/lictor /build/lictor-node\n"), NONE);
        assert_eq!(lines("a.md", concat!("/home/", "someone/.cargo/bin\n")), [1]);
        assert_eq!(lines("a.yaml", "values: [\"/root/.ssh/\", \"/home/app/data\"]\n"), NONE);
    }

    #[test]
    fn line_ends_are_checked() {
        assert_eq!(lines("a.md", "a \nb\t\nc\n"), [1, 2]);
        assert_eq!(lines("a.md", "a"), [1]);
        assert_eq!(lines("a.md", "a\n\n"), [2]);
        assert_eq!(lines("policy/tests/reject/odd.yaml", "a \n\n"), NONE);
        assert_eq!(lines("LICENSE", "a \n\n"), NONE);
    }
}
