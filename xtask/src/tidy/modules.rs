//! Every Rust file is part of a crate: one that no module declares is never compiled, and its tests never run.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Language, blank_out};
use super::{Source, Violation};

/// Directories of a crate whose files are crates of their own.
const ROOT_DIRECTORIES: &[&str] = &["src/bin/", "tests/", "benches/", "examples/", "fuzz_targets/"];

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let files: BTreeMap<&str, &Source> = sources
        .iter()
        .filter(|source| source.extension() == "rs")
        .map(|source| (source.path.as_str(), source))
        .collect();
    let mut reached = BTreeSet::new();
    for path in files.keys().filter(|path| is_root(path, sources)) {
        visit(path, true, &files, &mut reached);
    }
    let lost = files.values().filter(|source| !reached.contains(source.path.as_str()));
    lost.map(|source| source.violation(0, "no module declares this file")).collect()
}

/// Whether cargo compiles the file as the root of a crate.
fn is_root(path: &str, sources: &[Source]) -> bool {
    let manifests = sources.iter().filter_map(|source| source.path.strip_suffix("Cargo.toml"));
    manifests.filter_map(|directory| path.strip_prefix(directory)).any(|inside| {
        matches!(inside, "src/lib.rs" | "src/main.rs" | "build.rs")
            || ROOT_DIRECTORIES.iter().any(|directory| {
                inside.strip_prefix(directory).is_some_and(|name| {
                    !name.contains('/') || name.matches('/').count() == 1 && name.ends_with("/main.rs")
                })
            })
    })
}

/// Marks a file and every file that it declares.
fn visit<'a>(path: &str, root: bool, files: &BTreeMap<&'a str, &'a Source>, reached: &mut BTreeSet<&'a str>) {
    let Some((path, source)) = files.get_key_value(path) else { return };
    if !reached.insert(path) {
        return;
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let base = match name {
        _ if root => directory.to_owned(),
        "mod.rs" => directory.to_owned(),
        _ => format!("{directory}/{}", name.trim_end_matches(".rs")),
    };
    for declared in declarations(&source.text) {
        match declared {
            Declaration::Module(name) => {
                visit(&format!("{base}/{name}.rs"), false, files, reached);
                visit(&format!("{base}/{name}/mod.rs"), false, files, reached);
            }
            // A path is relative to the directory of the file, whatever the module is called.
            Declaration::Path(name) => visit(&format!("{directory}/{name}"), true, files, reached),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Declaration {
    Module(String),
    Path(String),
}

/// The files that a file declares or includes.
fn declarations(text: &str) -> Vec<Declaration> {
    let code = blank_out(text, Language::Rust);
    let mut found = Vec::new();
    for (line, original) in code.lines().zip(text.lines()) {
        let line = line.trim();
        if (line.starts_with("#[path") || line.contains("include!("))
            && let Some(path) = original.split('"').nth(1)
        {
            found.push(Declaration::Path(path.to_owned()));
        }
        let mut words = line.trim_end_matches(';').split_whitespace().peekable();
        while words.next_if(|word| word.starts_with("pub") || word.starts_with("#[")).is_some() {}
        if line.ends_with(';')
            && words.next() == Some("mod")
            && let Some(name) = words.next()
        {
            found.push(Declaration::Module(name.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = Source { path: "a/Cargo.toml".to_owned(), text: String::new() };
        let sources =
            files.iter().map(|(path, text)| Source { path: format!("a/{path}"), text: (*text).to_owned() });
        let sources: Vec<Source> = sources.chain([manifest]).collect();
        check(&sources).into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn declared_files_are_reached() {
        let files = [
            ("src/lib.rs", "pub mod one;\n#[cfg(test)]\nmod two;\n#[path = \"odd.rs\"]\nmod strange;\n"),
            ("src/one.rs", "pub(crate) mod deep;\n"),
            ("src/one/deep.rs", ""),
            ("src/two/mod.rs", "mod deep;\n"),
            ("src/two/deep.rs", ""),
            ("src/odd.rs", ""),
            ("src/bin/tool.rs", ""),
            ("tests/end.rs", "mod common;\n"),
            ("tests/common/mod.rs", ""),
            ("build.rs", ""),
        ];
        assert_eq!(lost(&files), Vec::<String>::new());
    }

    #[test]
    fn others_are_lost() {
        let files = [
            ("src/main.rs", "// mod lost;\nmod lost_too {}\n"),
            ("src/lost.rs", ""),
            ("src/lost_too.rs", ""),
        ];
        assert_eq!(lost(&files), ["a/src/lost.rs", "a/src/lost_too.rs"]);
    }
}
