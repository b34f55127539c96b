//! `lictor policy test`, `replay`, `generate`, `convert`, and what `check` says of other kernels, as users run them.

#![allow(clippy::unwrap_used, reason = "a test that fails to set up has to fail")]

use std::path::Path;
use std::process::Command;

/// The two examples of the guide.
fn guide() -> (String, String) {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/testing-policies.md"),
    )
    .unwrap();
    let mut blocks =
        text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    (blocks.next().unwrap(), blocks.next().unwrap())
}

fn lictor(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lictor"))
        .current_dir(directory)
        .arg("policy")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn line(binary: &str, path: &str) -> String {
    format!(
        "{{\"process_lsm\":{{\"process\":{{\"exec_id\":\"a\",\"pid\":7,\"binary\":\"{binary}\"}},\"function_name\":\"file_open\",\
         \"policy_name\":\"keys\",\"args\":[{{\"file_arg\":{{\"path\":\"{path}\"}}}}]}},\"lictor\":{{\"revision\":1}}}}\n"
    )
}

#[test]
fn the_cases_of_the_guide_pass() {
    let (policy, cases) = guide();
    let here = directory(&[("keys.yaml", &policy), ("keys.test.yaml", &cases)]);
    let (code, out, err) = lictor(here.path(), &["test", "."]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("3 cases, 0 failed, 0 files that could not be run\n"), "{out}");
    // The folder is one of policies, too: cases are not taken for one.
    let (code, out, _) = lictor(here.path(), &["check", "--facts", "none", "."]);
    assert_eq!((code, out.as_str()), (Some(0), "./keys.yaml: ok\n"));
}

#[test]
fn failing_and_broken_cases_are_told_and_written_as_junit() {
    let (policy, cases) = guide();
    let failing = cases.replace("verdict: -13", "verdict: allow");
    let here = directory(&[
        ("keys.yaml", &policy),
        ("keys.test.yaml", &failing),
        ("no-such.test.yaml", &cases),
        ("odd.test.yaml", "cases: 5\n"),
    ]);
    let (code, out, err) = lictor(here.path(), &["test", "--junit", "out.xml", "."]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains(
            "./keys.test.yaml: a shell may not: FAILED\n    verdict: expected allow, found deny with -13\n"
        ),
        "{out}"
    );
    assert!(out.ends_with("3 cases, 1 failed, 2 files that could not be run\n"), "{out}");
    assert!(err.contains("./no-such.yaml: found a file that cannot be used"), "{err}");
    assert!(err.contains("./odd.test.yaml:1: cases: found `5`; allowed: a list"), "{err}");
    let xml = std::fs::read_to_string(here.path().join("out.xml")).unwrap();
    assert_eq!(
        (xml.matches("<testcase").count(), xml.matches("<failure").count(), xml.matches("<error").count()),
        (5, 1, 2),
        "{xml}"
    );
    assert_eq!(lictor(here.path(), &["test", "keys.yaml"]).0, Some(1));
    assert_eq!(lictor(here.path(), &["test"]).0, Some(2));
}

#[test]
fn events_are_replayed_and_made_into_a_policy() {
    let (policy, _) = guide();
    let events =
        [line("/bin/sh", "/srv/keys/a"), line("/bin/sh", "/etc/passwd"), "no JSON\n".into()].concat();
    let wide = policy.replace("/srv/keys/", "/");
    let here = directory(&[("keys.yaml", &policy), ("wide.yaml", &wide), ("events.json", &events)]);
    let replay = ["replay", "--events", "events.json", "--recorded-with", "wide.yaml"];
    let (code, out, err) = lictor(here.path(), &[&replay[..], &["keys.yaml"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.contains("1 of 3 lines are no events; the first: line 3: found text that is not JSON"),
        "{err}"
    );
    assert!(
        out.contains("2 events of hooks, 0 at places") && out.contains("1 newly denied, 0 newly allowed"),
        "{out}"
    );
    assert!(out.contains("would be denied: 7 /bin/sh file_open /srv/keys/a"), "{out}");
    let (_, out, _) = lictor(here.path(), &[&replay[..], &["-o", "json", "keys.yaml"]].concat());
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["newlyDenied"], &report["rules"][1]["denied"]), (&1.into(), &1.into()), "{out}");

    let generate = ["generate", "--events", "events.json", "--recorded-with", "wide.yaml", "--binary"];
    let (code, made, err) = lictor(here.path(), &[&generate[..], &["/bin/sh"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(
        made.contains("- /etc/passwd  # once")
            && made.contains("name: allow-sh")
            && made.contains("mode: monitor"),
        "{made}"
    );
    std::fs::write(here.path().join("made.yaml"), made.replace("monitor\n", "enforce\n")).unwrap();
    assert_eq!(lictor(here.path(), &["check", "--facts", "none", "made.yaml"]).0, Some(0));
    let (_, out, _) = lictor(here.path(), &[&replay[..], &["made.yaml"]].concat());
    assert!(out.contains("0 newly denied"), "{out}");
    for (binary, message) in [("/bin/no", "no event of /bin/no"), ("sh", "begins with `/`")] {
        let (code, _, err) = lictor(here.path(), &[&generate[..], &[binary]].concat());
        assert!(code == Some(1) && err.contains(message), "{err}");
    }
    let (code, _, err) = lictor(here.path(), &["replay", "--events", "keys.yaml", "keys.yaml"]);
    assert!(code == Some(1) && err.contains("no event line in keys.yaml"), "{err}");
}

#[test]
fn policies_are_converted_with_their_comments() {
    let old = "# mine\napiVersion: cilium.io/v1alpha1 # old\nkind: TracingPolicy\nmetadata: {name: a}\nspec: {lsmhooks: [{hook: file_open}]}\n";
    let here = directory(&[("old.yaml", old)]);
    let (code, out, err) = lictor(here.path(), &["convert", "old.yaml"]);
    assert_eq!((code, out.as_str()), (Some(0), old.replace("cilium.io", "lictor.io").as_str()));
    assert_eq!(err, "old.yaml: line 2: `cilium.io/v1alpha1` is now `lictor.io/v1alpha1`\n");
    assert_eq!(lictor(here.path(), &["convert", "--write", "old.yaml"]).0, Some(0));
    let (_, _, err) = lictor(here.path(), &["convert", "--write", "old.yaml"]);
    assert_eq!(err, "old.yaml: nothing to change\n");
    let (code, _, err) = lictor(here.path(), &["convert", "old.yaml", "old.yaml"]);
    assert!(code == Some(1) && err.contains("use --write"), "{err}");
}

#[test]
fn sarif_holds_every_finding_with_its_line() {
    let (policy, _) = guide();
    let bad = policy.replace("hook: file_open", "hok: file_open");
    let here = directory(&[("a.yaml", &policy), ("b.yaml", &bad)]);
    let (code, out, _) =
        lictor(here.path(), &["check", "--facts", "none", "-o", "sarif", "a.yaml", "b.yaml"]);
    assert_eq!(code, Some(1));
    let log: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(
        results.iter().any(|result| result["ruleId"] == "refused" && result["level"] == "error"),
        "{out}"
    );
    let advice = results.iter().find(|result| result["ruleId"] == "hard-link").unwrap();
    let place = &advice["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &advice["level"]), (&"a.yaml".into(), &"warning".into()));
    assert!(place["region"]["startLine"].as_u64().unwrap() > 10);
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
    }
}

#[test]
fn files_that_are_no_btf_are_told() {
    let (policy, _) = guide();
    let here = directory(&[("a.yaml", &policy)]);
    let (code, _, err) = lictor(here.path(), &["check", "--btf", "a.yaml", "a.yaml"]);
    assert!(code == Some(1) && err.contains("a.yaml is no BTF"), "{err}");
    let (code, _, err) = lictor(here.path(), &["check", "--btf", "nosuch", "a.yaml"]);
    assert!(code == Some(1) && err.contains("cannot open the BTF file nosuch"), "{err}");
    assert_eq!(lictor(here.path(), &["check", "--btf", "x", "--facts", "none", "a.yaml"]).0, Some(2));
    let (code, _, err) = lictor(here.path(), &["check", "--btf", "x", "--btf-module", "bridge", "a.yaml"]);
    assert!(code == Some(2) && err.contains("the name of a module, `=`, and a file"), "{err}");
    let (code, _, err) = lictor(here.path(), &["check", "--btf-module", "bridge=x", "a.yaml"]);
    assert!(code == Some(2) && err.contains("--btf <FILE>"), "{err}");
}
