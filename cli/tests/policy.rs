//! `lictor policy check` as its users run it.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GOOD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: good\nspec:\n  lsmhooks:\n  - hook: file_open\n";

fn lictor(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
    command.current_dir(directory).args(arguments);
    command
}

fn check(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        lictor(directory, &["policy", "check", "--facts", "none"]).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn a_good_policy_is_ok() {
    let directory = directory(&[("good.yaml", GOOD)]);
    assert_eq!(check(directory.path(), &["good.yaml"]), (Some(0), "good.yaml: ok\n".into(), String::new()));
}

#[test]
fn every_violation_is_told_with_file_and_line() {
    let bad = GOOD.replace("hook: file_open", "hook: security_file_open\n    argz: []\n    message: x");
    let directory = directory(&[("bad.yaml", &bad), ("good.yaml", GOOD)]);
    let (code, out, err) = check(directory.path(), &["."]);
    assert_eq!(code, Some(1));
    assert_eq!(out, "./good.yaml: ok\n");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(
        lines[0].starts_with("./bad.yaml:7: spec.lsmhooks[0].hook: found \"security_file_open\""),
        "{err}"
    );
    assert!(
        lines[1].starts_with("./bad.yaml:8: spec.lsmhooks[0].argz: found the unknown field `argz`"),
        "{err}"
    );
    assert!(lines[2].starts_with("./bad.yaml:9: spec.lsmhooks[0].message: found \"x\""), "{err}");
}

#[test]
fn two_policies_of_one_name_are_refused() {
    let directory = directory(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let (code, out, err) = check(directory.path(), &["a.yaml", "b.yaml"]);
    assert_eq!((code, out.as_str()), (Some(1), "a.yaml: ok\n"));
    assert_eq!(
        err,
        "b.yaml:4: metadata.name: found `good` a second time; allowed: each name once; a.yaml has the same name\n"
    );
}

#[test]
fn warnings_do_not_refuse() {
    let odd = GOOD.replace("spec:", "  namespace: here\nspec:");
    let directory = directory(&[("odd.yaml", &odd)]);
    let (code, out, err) = check(directory.path(), &["odd.yaml"]);
    assert_eq!((code, out.as_str()), (Some(0), "odd.yaml: ok\n"));
    assert!(err.starts_with("warning: odd.yaml:5: metadata.namespace: found \"here\""), "{err}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let long = "x".repeat(10 << 20);
    let directory = directory(&[("long.yaml", &long)]);
    std::fs::write(directory.path().join("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let (code, out, err) = check(directory.path(), &["long.yaml", "binary.yaml", "nosuch.yaml", "empty"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].contains("longer than the 1048576 bytes"), "{err}");
    assert!(lines[1].contains("not UTF-8"), "{err}");
    assert!(lines[2].starts_with("nosuch.yaml: found a file that cannot be used: No such file"), "{err}");
    assert!(lines[3].contains("no *.yaml, *.yml or *.json file in it"), "{err}");
}

#[test]
fn directories_within_directories_are_read_when_asked_for() {
    let directory = directory(&[]);
    for (place, name) in [("all/one", "one"), ("all/two/deep", "two"), ("all/.git", "three")] {
        let text = GOOD.replace("name: good", &format!("name: {name}"));
        std::fs::create_dir_all(directory.path().join(place)).unwrap();
        std::fs::write(directory.path().join(place).join("policy.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("..", directory.path().join("all/two/back")).unwrap();
    let (code, _, err) = check(directory.path(), &["all"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("file in it; --recursive looks into the directories in it"), "{err}");
    let (code, out, err) = check(directory.path(), &["-R", "all"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, "all/one/policy.yaml: ok\nall/two/deep/policy.yaml: ok\n");
}

#[test]
fn standard_input_and_json() {
    let here = tempfile::tempdir().unwrap();
    let mut child = lictor(here.path(), &["policy", "check", "--facts", "none", "-o", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"kind: Pod\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["accepted"], false);
    let violations = report["policies"][0]["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 2);
    assert_eq!(violations[0]["path"], "apiVersion");
    assert_eq!(violations[0]["file"], "<stdin>");
    assert_eq!(violations[1]["line"], 1);
}

#[test]
fn wrong_use_has_an_exit_code_of_its_own() {
    let here = tempfile::tempdir().unwrap();
    assert_eq!(check(here.path(), &[]).0, Some(2));
    let explain = lictor(here.path(), &["policy", "explain", "--facts", "none", "x"]).output().unwrap();
    assert_eq!(explain.status.code(), Some(1));
}
