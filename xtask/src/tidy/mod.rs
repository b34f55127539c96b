//! Rules of this repository, checked by `cargo xtask tidy` and by a test.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

mod lexer;
mod links;
mod manifests;
mod modules;
mod size;
mod text;

/// A text file of the repository.
#[derive(Debug)]
struct Source {
    /// Path from the top of the repository, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Generated files say so in one of their first lines.
    fn is_generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains("@generated"))
    }

    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks every rule on the repository at `root`; the violations are sorted by place.
pub(crate) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources)?;
    let mut found = Vec::new();
    found.extend(size::check(&sources));
    found.extend(modules::check(&sources));
    found.extend(manifests::check(&sources));
    found.extend(links::check(&sources, |path| root.join(path).exists()));
    found.extend(text::check(&sources, &root.to_string_lossy()));
    found.sort();
    Ok(found)
}

/// Reads every text file below `directory`.
fn collect(root: &Path, directory: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let kind = entry.file_type()?;
        // Build output and version control, at the top; editors' own files anywhere.
        let editors = path.extension().is_some_and(|extension| extension == "swp");
        let skipped = editors || (directory == root && matches!(name.as_str(), "target" | ".git"));
        if skipped || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, sources)?;
        } else if let Ok(text) = String::from_utf8(fs::read(&path)?) {
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let found = check(&crate::root()).unwrap();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn every_rule_is_applied() {
        let directory = std::env::temp_dir().join(format!("lictor-tidy-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/Cargo.toml", "[package]\nname = \"a\"\n");
        write("a/src/lib.rs", &format!("//! A. \nfn long() {{\n{}}}\n", "    x();\n".repeat(80)));
        write("a/src/lost.rs", "");
        write("README.md", "[x](missing.md)\n");
        let found = check(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        for expected in ["README.md:1: ", "a/Cargo.toml: ", "lib.rs:1: ", "lib.rs:2: ", "a/src/lost.rs: "] {
            assert!(all.iter().any(|line| line.contains(expected)), "{expected} is not among {all:?}");
        }
        assert_eq!(all.len(), 5, "{all:?}");
    }
}
