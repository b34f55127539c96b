use super::*;
use crate::testing::spec;
use serde_json::json;
use std::time::{Duration, Instant};

fn kernel(release: &str, functions: &[&str]) -> (Digest, Arc<KernelNames>) {
    let names = KernelNames {
        release: release.into(),
        syscall_prefix: "__x64_sys_".into(),
        bpf_lsm: true,
        btf: true,
        functions: functions.iter().map(|name| (*name).to_owned()).collect(),
        tracepoints: BTreeSet::new(),
    };
    (Digest::of(release.as_bytes()), Arc::new(names))
}

/// Fourteen nodes: three with an older kernel.
fn view() -> View {
    let (old, new) = (kernel("6.1.0", &["fd_install"]), kernel("6.12.0", &["fd_install", "newer"]));
    let node = |number: usize| (BTreeMap::new(), if number < 3 { old.0 } else { new.0 });
    View {
        policies: BTreeSet::new(),
        nodes: (0..14).map(node).collect(),
        kernels: [old.clone(), new.clone()].into(),
    }
}

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: None, name: name.into() }
}

fn reviewed(spec: &Json, view: &View) -> (Vec<String>, Vec<String>) {
    let (violations, warnings) = review(PolicyKind::Cluster, &key("p"), spec, view);
    (violations.iter().map(ToString::to_string).collect(), warnings)
}

fn call(name: &str) -> Json {
    json!({"kprobes": [{"call": name, "syscall": false}]})
}

#[test]
fn all_mistakes_come_at_once() {
    let wrong = json!({
        "mode": "enforced",
        "nodeSelector": {"matchLabel": {"a": "b"}},
        "kprobes": [{"call": "sys_write", "Selectors": [], "args": [{"index": 99}]}],
    });
    let (violations, warnings) = reviewed(&wrong, &view());
    assert!(warnings.is_empty());
    for field in [
        "spec.mode: found `enforced`",
        "spec.nodeSelector.matchLabel: found the unknown field `matchLabel`",
        "spec.kprobes[0].Selectors: found `Selectors`; allowed: `selectors`",
        "spec.kprobes[0].args[0].index: found `99`",
    ] {
        assert!(
            violations.iter().any(|violation| violation.starts_with(field)),
            "{field} is missing in {violations:#?}"
        );
    }
}

#[test]
fn a_function_that_some_kernels_lack_is_a_warning() {
    let (violations, warnings) = reviewed(&call("newer"), &view());
    assert!(violations.is_empty(), "{violations:?}");
    assert_eq!(
        warnings,
        [
            "spec.kprobes[0].call: unknown function `newer` on 3 of 14 nodes (kernel 6.1.0): they will not enforce this policy"
        ]
    );
}

#[test]
fn a_function_that_all_kernels_lack_is_refused() {
    let (violations, _) = reviewed(&call("fd_instal"), &view());
    assert_eq!(
        violations,
        [
            "spec.kprobes[0].call: found the unknown function `fd_instal`; allowed: what the kernels of the 14 nodes in \
          scope have (6.1.0, 6.12.0); did you mean `fd_install`?"
        ]
    );
    // Without any node nothing is known, and nothing is refused.
    assert_eq!(reviewed(&call("fd_instal"), &View::default()), (Vec::new(), Vec::new()));
}

#[test]
fn a_full_cluster_takes_no_further_policy() {
    let names = (0..POLICIES_MAX).map(|number| key(&format!("p-{number}")));
    let full = View { policies: names.collect(), ..View::default() };
    let (violations, _) = reviewed(&spec("/etc/a"), &full);
    assert_eq!(violations, ["metadata.name: found 8192 other policies; allowed: 8192 policies in a cluster"]);
    let (known, _) = review(PolicyKind::Cluster, &key("p-1"), &spec("/etc/a"), &full);
    assert!(known.is_empty());
}

#[test]
fn ten_thousand_rules_are_answered_in_bounds() {
    let selector = |number: usize| {
        json!({"matchArgs": [{"index": 0, "operator": "Equal", "values": [format!("/etc/{number}")]}],
               "matchActions": [{"action": "Override", "argError": -1}]})
    };
    let mut large = spec("/etc/a");
    large["lsmhooks"][0]["selectors"] = (0..10_000).map(selector).collect();
    let began = Instant::now();
    let (violations, _) = reviewed(&large, &View::default());
    let took = began.elapsed();
    assert!(!violations.is_empty());
    // Well below a second where nothing else runs; the bound is for machines where everything does.
    assert!(took < Duration::from_secs(30), "{took:?}");
    // All of them wrong.
    large["lsmhooks"][0]["selectors"] = (0..10_000).map(|_| json!({"matchArgs": 3, "x": 1})).collect();
    let (violations, _) = reviewed(&large, &View::default());
    let bytes: usize = violations.iter().map(String::len).sum();
    assert!(
        (100..=101).contains(&violations.len()) && bytes < 64 * 1024,
        "{} of {bytes} bytes",
        violations.len()
    );
}

#[test]
fn what_is_no_policy_at_all_is_refused() {
    for spec in [json!(null), json!([]), json!("x"), json!(7), json!({})] {
        assert!(!reviewed(&spec, &view()).0.is_empty(), "{spec}");
    }
}

#[test]
fn a_label_that_no_node_has_is_a_warning() {
    let mut some = call("fd_install");
    some["nodeSelector"] = json!({"matchLabels": {"pool": "x"}});
    assert_eq!(reviewed(&some, &view()).1, ["spec.nodeSelector: no node has the label `pool` now"]);
}

#[test]
fn a_name_that_one_kernel_has_is_suggested() {
    for (first, second) in [(["fd_install"], ["another"]), (["another"], ["fd_install"])] {
        let (first, second) = (kernel("6.1.0", &first), kernel("6.12.0", &second));
        let nodes = [first.0, second.0].map(|kernel| (BTreeMap::new(), kernel));
        let kernels = [first, second].into();
        let view = View { policies: BTreeSet::new(), nodes: nodes.into(), kernels };
        let (violations, _) = reviewed(&call("fd_instal"), &view);
        assert!(violations[0].ends_with("did you mean `fd_install`?"), "{violations:?}");
    }
}
