//! What a crate's manifest must and must not say.

use super::{Source, Violation};

/// The policy language is pure: the command line, the node and anything else compile policies the same way.
const PURE_CRATES: &[&str] = &["policy/Cargo.toml"];

/// Runtimes, and access to the operating system.
const IMPURE: &[&str] =
    &["tokio", "aya", "aya-obj", "kube", "k8s-openapi", "libc", "nix", "rustix", "axum", "hyper"];

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with("Cargo.toml")) {
        let package = section(&source.text, |name| name == "package").next().is_some();
        let inherits = section(&source.text, |name| name == "lints")
            .any(|(_, line)| line.replace(' ', "") == "workspace=true");
        if package && !inherits {
            found
                .push(source.violation(0, "does not take the workspace's lints: `[lints] workspace = true`"));
        }
        if !PURE_CRATES.contains(&source.path.as_str()) {
            continue;
        }
        let is_dependencies = |name: &str| name == "dependencies" || name.ends_with(".dependencies");
        for (number, line) in section(&source.text, is_dependencies) {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if IMPURE.contains(&name) {
                found.push(source.violation(number, format!("a pure crate must not depend on {name}")));
            }
        }
    }
    found
}

/// The lines, with their numbers, of the tables whose name is wanted.
fn section(text: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            inside = wanted(name.trim_end_matches(']'));
            return None;
        }
        (inside && !line.is_empty() && !line.starts_with('#')).then_some((index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn violations(path: &str, text: &str) -> Vec<usize> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&[source]).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn lints_must_be_inherited() {
        assert_eq!(violations("a/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"), NONE);
        assert_eq!(violations("a/Cargo.toml", "[package]\nname = \"a\"\n"), [0]);
        assert_eq!(violations("Cargo.toml", "[workspace]\nmembers = []\n"), NONE);
    }

    #[test]
    fn the_policy_crate_stays_pure() {
        let text = "[lints]\nworkspace = true\n[dependencies]\nserde = \"1\"\ntokio.workspace = true\n\
                    [dev-dependencies]\nlibc = \"1\"\n[target.x.dependencies]\nlibc = \"1\"\n";
        assert_eq!(violations("policy/Cargo.toml", text), [5, 9]);
        assert_eq!(violations("node-worker/Cargo.toml", text), NONE);
    }
}
