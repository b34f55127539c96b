//! The policy language, by example: each document of `testdata` beside what it has to become.
//!
//! `UPDATE_EXPECT=1 cargo test -p lictor-policy --test policies` writes the expectations anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use lictor_policy::{Loaded, Violations, load};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The documents below a directory, in order.
fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if [".yaml", ".yml", ".yaml.tmpl"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

/// What came of a document: the policy as it was understood and its warnings, or everything that is wrong with it.
fn outcome(loaded: &Result<Loaded, Violations>) -> String {
    let mut text = String::new();
    match loaded {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(text, "warning: {warning}").unwrap();
            }
            writeln!(text, "{:#?}", loaded.policy).unwrap();
        }
        Err(violations) => writeln!(text, "{violations}").unwrap(),
    }
    text
}

/// Compares with the file of the expectation, or writes it.
fn check(document: &Path, expectation: &Path, text: &str, failures: &mut Vec<String>) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(expectation, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(expectation).unwrap_or_default();
    if expected != text {
        failures.push(format!("{}\n--- expected\n{expected}\n--- found\n{text}", document.display()));
    }
}

/// Every document of a directory, with whether it has to be accepted.
fn check_all(directory: &str, accepted: bool, at_least: usize) {
    let documents = documents(&testdata().join(directory));
    assert!(documents.len() >= at_least, "{} documents in {directory}", documents.len());
    let mut failures = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let loaded = load(&text, None);
        if loaded.is_ok() != accepted {
            failures.push(format!("{}: {}", document.display(), outcome(&loaded)));
            continue;
        }
        check(&document, &document.with_extension("expected"), &outcome(&loaded), &mut failures);
    }
    assert!(failures.is_empty(), "{} of {directory}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn good_documents_are_understood() {
    check_all("accept", true, 35);
}

#[test]
fn bad_documents_are_refused_with_everything_that_is_wrong() {
    check_all("reject", false, 200);
}

/// Policies that exist, most of them written for another implementation: each is accepted, or refused for something of
/// the language that is named as not supported yet, or for a mistake that is meant to be one.
#[test]
fn established_policies_are_accepted_or_refused_for_a_named_field() {
    let directory = testdata().join("established");
    let blanks = fs::read_to_string(directory.join("blanks.txt")).unwrap();
    let documents = documents(&directory);
    assert_eq!(documents.len(), 74);
    let mut summary = String::new();
    for document in documents {
        let name = document.strip_prefix(&directory).unwrap().display().to_string();
        // Some of the test policies are templates.
        let text = blanks
            .lines()
            .filter_map(|line| line.split_once(' '))
            .fold(fs::read_to_string(&document).unwrap(), |text, (blank, value)| text.replace(blank, value));
        match load(&text, None) {
            Ok(loaded) => {
                writeln!(summary, "{name}: accepted").unwrap();
                for warning in &loaded.warnings {
                    writeln!(summary, "    warning: {warning}").unwrap();
                }
            }
            Err(violations) => {
                writeln!(summary, "{name}: refused").unwrap();
                for violation in &violations {
                    assert!(!violation.path.as_str().is_empty(), "{name}: {violation} names no field");
                    assert!(violation.line.is_some(), "{name}: {violation} names no line");
                    writeln!(summary, "    {violation}").unwrap();
                }
            }
        }
    }
    let mut failures = Vec::new();
    check(&directory, &directory.join("outcomes.expected"), &summary, &mut failures);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/established-policies.md");
    check(&directory, &page, &support_table(&summary), &mut failures);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The outcomes as a page for users: which policies load, and for which fields the others do not.
fn support_table(summary: &str) -> String {
    let mut rows: Vec<(&str, bool, BTreeSet<String>)> = Vec::new();
    for line in summary.lines() {
        match (line.strip_suffix(": accepted"), line.strip_suffix(": refused"), rows.last_mut()) {
            (Some(name), None, _) => rows.push((name, true, BTreeSet::new())),
            (None, Some(name), _) => rows.push((name, false, BTreeSet::new())),
            (None, None, Some((_, false, reasons))) => {
                let found = line.split_once("found ").map_or(line, |(_, rest)| rest);
                let later = "; it is part of the policy language but not supported by this version";
                let reason = match found.split_once(later) {
                    Some((name, _)) => name.to_owned(),
                    None => found.split(';').next().unwrap_or(found).replace('"', "`"),
                };
                reasons.insert(reason);
            }
            _ => {}
        }
    }
    let accepted = rows.iter().filter(|row| row.1).count();
    let mut text = format!(
        "# Established policies\n\nThe policies that Tetragon's repository shows and tests with, and what `lictor policy check` says of \
         them. Made by a test\nfrom `policy/testdata/established`: {accepted} of {} load. What refuses a policy is named as the \
         check names it; the whole\nmessages, with lines and remedies, are in `policy/testdata/established/outcomes.expected`.\n\n\
         | policy | loads | refused for |\n|---|---|---|\n",
        rows.len()
    );
    for (name, accepted, reasons) in &rows {
        let reasons: Vec<String> = reasons.iter().cloned().collect();
        let word = if *accepted { "yes" } else { "no" };
        writeln!(text, "| {name} | {word} | {} |", reasons.join(", ")).unwrap();
    }
    text += &attachments();
    text
}

/// What the lab has recorded in a file of `e2e/`, by kernel and policy.
fn recorded<T: serde::de::DeserializeOwned>(file: &str) -> BTreeMap<String, BTreeMap<String, T>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Where those that load attach on each kernel of the lab, and what triggered them, as a test there has found it.
fn attachments() -> String {
    let attached = recorded::<String>("established.json");
    let triggered = recorded::<Value>("triggered.json");
    let mut by_policy: BTreeMap<&str, BTreeMap<(&str, String), Vec<&str>>> = BTreeMap::new();
    let mut counts = Vec::new();
    for (kernel, policies) in &attached {
        let trials = &triggered[kernel];
        let came = trials.values().filter(|trial| trial.is_array()).count();
        counts.push(format!("{came} on {kernel}"));
        for (policy, outcome) in policies {
            let trial = trials.get(policy).map(trial).unwrap_or_default();
            by_policy.entry(policy).or_default().entry((outcome, trial)).or_default().push(kernel);
        }
    }
    let mut text = format!(
        "\n## Where they attach, and what triggers them\n\nWhat the kernels of the lab make of those that load, found by the \
         lab's test `established`: the hook points, each with\nthe kind of program, or what the kernel refuses the policy for; \
         then what a program did while the policy was live, with the\nevents and actions that came of it. sid is Debian's newest \
         kernel.\nOf {} policies that load, events came of {}. The events' arguments are in\n`e2e/triggered.json`, what was done in \
         `e2e/src/established/triggers.txt`.\n\n| policy | kernels | hook points | triggered |\n|---|---|---|---|\n",
        by_policy.len(),
        counts.join(", "),
    );
    for (policy, outcomes) in &by_policy {
        for ((outcome, trial), kernels) in outcomes {
            let kernels = if kernels.len() == attached.len() { "all".to_owned() } else { kernels.join(", ") };
            let cells = [outcome, trial.as_str()].map(|cell| cell.replace('|', "\\|"));
            writeln!(text, "| {policy} | {kernels} | {} | {} |", cells[0], cells[1]).unwrap();
        }
    }
    text
}

/// Each program with the events that came of it, or why none came.
fn trial(trial: &Value) -> String {
    let Some(events) = trial.as_array() else { return format!("no: {}", trial.as_str().unwrap()) };
    let mut programs: Vec<(&str, Vec<String>)> = Vec::new();
    for event in events {
        let member = |name: &str| event[name].as_str();
        let mut told = format!("{} {}", member("place").unwrap(), member("action").unwrap());
        if let Some(signal) = member("ended_by") {
            write!(told, " (ended by {signal})").unwrap();
        }
        let by = member("by").unwrap();
        match programs.iter_mut().find(|(program, _)| *program == by) {
            Some((_, events)) => events.push(told),
            None => programs.push((by, vec![told])),
        }
    }
    let programs = programs.iter().map(|(by, events)| format!("`{by}`: {}", events.join(", ")));
    programs.collect::<Vec<_>>().join("; ")
}

/// No expectation without its document.
#[test]
fn no_expectation_is_left_over() {
    for directory in ["accept", "reject"] {
        for entry in fs::read_dir(testdata().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "expected") {
                assert!(path.with_extension("yaml").exists(), "{} has no document", path.display());
            }
        }
    }
}

/// A text of YAML's own characters and the language's own words, in no order.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ \n:,{}\\[\\]&*!|>'\"%@`#?-]{1,4}",
        prop::sample::select(vec![
            "apiVersion",
            "cilium.io/v1alpha1",
            "kind",
            "TracingPolicy",
            "metadata",
            "name",
            "spec",
            "kprobes",
            "call",
            "args",
            "index",
            "type",
            "selectors",
            "matchArgs",
            "operator",
            "Equal",
            "values",
            "<<",
            "&a",
            "*a",
            "---",
            "0x10",
            "-1",
            "null",
            "~",
            "true",
            "!!str",
            "\t",
            "\0",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// A good document with characters changed, lines lost and lines doubled.
fn damaged() -> impl Strategy<Value = String> {
    let documents: Vec<String> = documents(&testdata().join("accept"))
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<char>()), 1..6);
    (prop::sample::select(documents), changes).prop_map(|(text, changes)| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (place, change, letter) in changes {
            let place = place.index(lines.len());
            match change {
                0 => lines[place].clear(),
                1 => lines.insert(place, lines[place].clone()),
                2 => lines[place].push(letter),
                _ => lines[place] = lines[place].replace("  ", " "),
            }
        }
        lines.join("\n")
    })
}

fn survives(text: &str) {
    match load(text, Some("x.yaml")) {
        Ok(loaded) => assert!(!loaded.policy.hooks().is_empty()),
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason: {text:?}");
            for violation in &violations {
                assert!(!violation.to_string().contains('\n'), "{violation}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}") {
        survives(&text);
    }

    #[test]
    fn any_words_are_survived(text in words()) {
        survives(&text);
    }

    #[test]
    fn any_damage_is_survived(text in damaged()) {
        survives(&text);
    }
}

fn lsm(values: &str) -> String {
    format!(
        "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: example\nspec:\n  lsmhooks:\n  \
         - hook: file_open\n    args: [{{index: 0, type: file}}]\n    selectors:\n    - matchArgs:\n      \
         - {{index: 0, operator: Equal, values: {values}}}\n"
    )
}

#[test]
fn limits_of_size_are_exact() {
    assert!(load(&lsm(&format!("[/{}]", "x".repeat(4094))), None).is_ok());
    let refused = load(&lsm(&format!("[/{}]", "x".repeat(4095))), None).unwrap_err().to_string();
    assert!(refused.contains("which has 4096 bytes; allowed: a text of 1 to 4095 bytes"), "{refused}");

    let many = |count: usize| lsm(&format!("[{}]", "/a, ".repeat(count)));
    let padding = lictor_policy::DOCUMENT_BYTES_MAX - many(1).len();
    let full = format!("{}#{}", many(1), "x".repeat(padding - 1));
    assert!(load(&full, None).is_ok());
    let refused = load(&format!("{full}x"), None).unwrap_err().to_string();
    assert!(
        refused.starts_with("found a document of 1048577 bytes; allowed: at most 1048576 bytes"),
        "{refused}"
    );
    let refused = load(&"x".repeat(10 << 20), None).unwrap_err().to_string();
    assert!(refused.starts_with("found a document of 10485760 bytes"), "{refused}");

    let selectors = |count: usize| format!("{}{}", lsm("[/a]"), "    - label: x\n".repeat(count - 1));
    assert_eq!(load(&selectors(4096), None).unwrap().policy.hooks()[0].rules.len(), 4096);
    let refused = load(&selectors(4097), None).unwrap_err().to_string();
    assert!(refused.contains("found 4097 selectors; allowed: at most 4096"), "{refused}");
}

/// Nobody reads thousands of mistakes, and they would fill the memory of whoever reads such a policy.
#[test]
fn mistakes_are_told_up_to_a_limit() {
    let begin = std::time::Instant::now();
    let unknown: Vec<String> = (0..40_000).map(|number| format!("    argz{number}: 1\n")).collect();
    let doubled = "    hook: x\n".repeat(40_000);
    let values: Vec<String> = (0..40_000).map(|number| format!("CAP_{number}")).collect();
    let capabilities =
        format!("      matchCapabilities: [{{operator: In, values: [{}]}}]\n", values.join(", "));
    for text in [unknown.concat(), doubled, capabilities] {
        let violations = load(&format!("{}{text}", lsm("[/a]")), None).unwrap_err();
        assert_eq!(violations.len(), 101);
        assert_eq!(violations.0[100].to_string(), "found more than 100 mistakes; allowed: none");
    }
    let relative = "a, ".repeat(40_000);
    assert_eq!(load(&lsm(&format!("[{relative}]")), None).unwrap().warnings.len(), 100);
    // A second without optimization; without the limit it would be minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
}

/// Values are not limited in number: as many as fit into a document.
#[test]
fn a_full_document_is_read_in_time() {
    let begin = std::time::Instant::now();
    let values: Vec<String> = (0..50_000).map(|number| format!("/usr/lib/{number}")).collect();
    let loaded = load(&lsm(&format!("[{}]", values.join(", "))), None).unwrap();
    assert_eq!(loaded.policy.hooks()[0].rules[0].predicates.len(), 1);
    // A tenth of a second without optimization; a quadratic step would take minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn names_are_unique_over_all_files() {
    let policies: Vec<Loaded> =
        ["a.yaml", "b.yaml", "c.yaml"].iter().map(|file| load(&lsm("[/a]"), Some(file)).unwrap()).collect();
    assert_eq!(lictor_policy::check_unique(&policies[..1]), Ok(()));
    let violations = lictor_policy::check_unique(&policies).unwrap_err();
    assert_eq!(
        violations.to_string(),
        "b.yaml:4: metadata.name: found `example` a second time; allowed: each name once; a.yaml has the same name\n\
         c.yaml:4: metadata.name: found `example` a second time; allowed: each name once; a.yaml has the same name"
    );
}

/// What the kernel lacks is said later, at the same place.
#[test]
fn a_violation_found_later_gets_its_line() {
    let loaded = load(&lsm("[/a]"), Some("a.yaml")).unwrap();
    let at = &loaded.policy.hooks()[0].args[0].at;
    let violation = loaded.locate(lictor_policy::Violation::new(at, "something", ""));
    assert_eq!(violation.to_string(), "a.yaml:8: spec.lsmhooks[0].args[0]: found something");
}
