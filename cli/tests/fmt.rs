//! `lictor policy fmt`, `lictor completions`, `lictor man` as their users run them.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const UGLY: &str = "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n    name: good # so\nspec:\n    lsmhooks:\n        - hook: file_open\n";
const PRETTY: &str = "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: good # so\nspec:\n  lsmhooks:\n  - hook: file_open\n";

fn lictor(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
    let Output { status, stdout, stderr } = command.current_dir(directory).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ugly.yaml"), UGLY).unwrap();
    directory
}

#[test]
fn a_policy_is_laid_out() {
    let directory = directory();
    let here = directory.path();
    assert_eq!(
        lictor(here, &["policy", "fmt", "ugly.yaml"]),
        (Some(0), PRETTY.into(), "ugly.yaml: layout\n".into())
    );
    let (code, out, err) = lictor(here, &["policy", "fmt", "--check", "."]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "./ugly.yaml: not laid out; `lictor policy fmt --write` does it\n");
    assert_eq!(lictor(here, &["policy", "fmt", "--write", "."]).0, Some(0));
    assert_eq!(std::fs::read_to_string(here.join("ugly.yaml")).unwrap(), PRETTY);
    assert_eq!(lictor(here, &["policy", "fmt", "--check", "."]), (Some(0), String::new(), String::new()));
}

#[test]
fn standard_input_is_laid_out() {
    let directory = directory();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lictor"))
        .current_dir(directory.path())
        .args(["policy", "fmt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(UGLY.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), PRETTY);
}

#[test]
fn what_cannot_be_laid_out_is_told_and_stays() {
    let directory = directory();
    let here = directory.path();
    std::fs::write(here.join("bad.yaml"), "a: [\n").unwrap();
    let (code, _, err) = lictor(here, &["policy", "fmt", "--write", "bad.yaml", "ugly.yaml"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("bad.yaml: line "), "{err}");
    assert_eq!(std::fs::read_to_string(here.join("bad.yaml")).unwrap(), "a: [\n");
    assert_eq!(std::fs::read_to_string(here.join("ugly.yaml")).unwrap(), PRETTY);
    let (code, _, err) = lictor(here, &["policy", "fmt", "nosuch.yaml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot read nosuch.yaml"), "{err}");
    let (code, _, err) = lictor(here, &["policy", "fmt", "bad.yaml", "ugly.yaml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("several files can only be changed in place"), "{err}");
}

#[test]
fn every_shell_gets_its_completions() {
    let directory = directory();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, out, err) = lictor(directory.path(), &["completions", shell]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{shell}");
        assert!(out.contains("lictor") && out.contains("explain"), "{shell}: {out}");
    }
    assert_eq!(lictor(directory.path(), &["completions", "dos"]).0, Some(2));
}

/// The script is one that bash can read, and it completes.
#[test]
fn bash_completes() {
    let directory = directory();
    let (_, script, _) = lictor(directory.path(), &["completions", "bash"]);
    let asked =
        "COMP_WORDS=(lictor policy con); COMP_CWORD=2; _lictor lictor con policy; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").arg("-c").arg(format!("{script}\n{asked}")).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        "convert",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_command_has_its_page() {
    let directory = directory();
    let here = directory.path();
    std::fs::create_dir(here.join("man1")).unwrap();
    assert_eq!(lictor(here, &["man", "man1"]), (Some(0), String::new(), String::new()));
    for (page, word) in
        [("lictor.1", "lictor"), ("lictor-policy-check.1", "sarif"), ("lictor-node-status.1", "socket")]
    {
        let text = std::fs::read_to_string(here.join("man1").join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(word), "{page}: {text}");
    }
    let (code, out, _) = lictor(here, &["man"]);
    assert!(code == Some(0) && out.contains(".SH NAME"), "{out}");
    let (code, _, err) = lictor(here, &["man", "nosuch"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot write nosuch/lictor.1"), "{err}");
}
