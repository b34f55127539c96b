//! What a crate's manifest must and must not say.

use super::{Source, Violation};

/// Dependencies that a crate must not have.
struct Ban {
    manifest: &'static str,
    names: &'static [&'static str],
    why: &'static str,
}

/// Runtimes, and access to the operating system.
const IMPURE: &[&str] =
    &["tokio", "aya", "aya-obj", "kube", "k8s-openapi", "libc", "nix", "rustix", "axum", "hyper"];

/// What takes long to compile or needs a C compiler that makes BPF programs.
const HEAVY: &[&str] =
    &["lictor-node-worker", "lictor-operator", "lictor", "bindgen", "tokio", "axum", "kube"];

const BANS: &[Ban] = &[
    Ban {
        manifest: "policy/Cargo.toml",
        names: IMPURE,
        why: "policies are compiled the same way everywhere",
    },
    Ban {
        manifest: "crds/Cargo.toml",
        names: &["tokio", "axum", "hyper", "rustix", "libc"],
        why: "types and manifests need no runtime",
    },
    Ban {
        manifest: "operator-core/Cargo.toml",
        names: &["tokio", "axum", "hyper", "rustix", "libc", "kube-client", "kube-runtime"],
        why: "what is decided does not depend on a runtime",
    },
    Ban {
        manifest: "xtask/Cargo.toml",
        names: HEAVY,
        why: "it is compiled before anything can be installed",
    },
    Ban {
        manifest: "e2e/Cargo.toml",
        names: HEAVY,
        why: "xtask needs it, which is compiled before anything else",
    },
];

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
        let is_dependencies = |name: &str| name == "dependencies" || name.ends_with(".dependencies");
        for ban in BANS.iter().filter(|ban| ban.manifest == source.path) {
            for (number, line) in section(&source.text, is_dependencies) {
                let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
                if ban.names.contains(&name) {
                    found.push(source.violation(number, format!("must not depend on {name}: {}", ban.why)));
                }
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

    #[test]
    fn the_developer_commands_stay_light() {
        let text = "[lints]\nworkspace = true\n[dependencies]\nlictor-policy = \"1\"\nlictor-node-worker.workspace = true\n";
        assert_eq!(violations("xtask/Cargo.toml", text), [5]);
        assert_eq!(violations("e2e/Cargo.toml", text), [5]);
    }
}
