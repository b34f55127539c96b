//! What the established implementation's own tests check of its language, line by line, and how it is here.
//!
//! Each line is a case of `testdata/semantics`, judged by the oracle, a test elsewhere, or a difference with its reason;
//! `docs/semantics.md` is made from that. `UPDATE_EXPECT=1 cargo test -p lictor-policy --test semantics` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use lictor_policy::trial::cases;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "semantics/lines.rs"]
mod lines;

use lines::Answer::{Cases, Otherwise, Test};
use lines::LINES;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/semantics")
}

/// Names of the cases of each file.
fn suites() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".test.yaml") else {
            continue;
        };
        let suite = cases::read(&std::fs::read_to_string(&path).unwrap(), None).unwrap();
        let names: BTreeSet<String> = suite.file.cases.iter().map(|case| case.name.clone()).collect();
        assert_eq!(names.len(), suite.file.cases.len(), "{name} has two cases of one name");
        found.insert(name.to_owned(), names);
    }
    found
}

#[test]
fn every_case_comes_out_as_it_says() {
    let mut count = 0;
    for name in suites().keys() {
        let text = |end: &str| std::fs::read_to_string(directory().join(format!("{name}{end}"))).unwrap();
        let policy =
            lictor_policy::load(&text(".yaml"), None).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let suite = cases::read(&text(".test.yaml"), None).unwrap();
        for case in suite.run(&[policy.policy]).unwrap_or_else(|wrong| panic!("{name}: {wrong}")) {
            assert_eq!(case.failures, Vec::<String>::new(), "{name}: {}", case.name);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_line_names_what_there_is() {
    let suites = suites();
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, line, answer) in &LINES {
        match answer {
            Cases(file, cases) => {
                for case in *cases {
                    assert!(suites[*file].contains(*case), "{line}: {file} has no case {case}");
                }
                named.entry(file).or_default().extend(*cases);
            }
            Test(file, inside) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(text.contains(inside), "{line}: {file} has no {inside}");
            }
            Otherwise(reason) => assert!(reason.len() > 20, "{line}: {reason}"),
        }
    }
    assert_eq!(named.len(), suites.len(), "every file is named");
}

#[test]
fn the_page_says_so() {
    let mut text = String::from(
        "# What the language means\n\nWhat Tetragon's own tests check of the language, and how it is here. Made by a test: a line says \"yes\" \
         when the cases\nbeside it, in `policy/testdata/semantics`, are judged so, and otherwise why it is not so.\n\n\
         | about | what is checked | here | shown by |\n|---|---|---|---|\n",
    );
    for (about, line, answer) in &LINES {
        let (here, shown) = match answer {
            Cases(file, cases) => ("yes".to_owned(), format!("`{file}.test.yaml`: {}", cases.join("; "))),
            Test(file, _) => ("yes".to_owned(), format!("`{file}`")),
            Otherwise(reason) => ((*reason).to_owned(), String::new()),
        };
        writeln!(text, "| {about} | {line} | {here} | {shown} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/semantics.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/semantics.md is old: UPDATE_EXPECT=1 writes it anew");
}
