//! The policies that users of the established language have written, on each kernel: where they attach, or what refuses
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::baseline::Recorded;
use crate::lab::{CaseResult, KernelName, LabContext, LabTest, Options};

/// The tests.
pub(crate) const TESTS: &[LabTest] =
    &[LabTest { name: "established", kernels: KernelName::ALL, run: established }];

/// Where the policies are, and what the language says of each.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/testdata/established");
/// What each kernel said of each, which docs/established-policies.md shows.
const RECORDED: Recorded = Recorded { file: "established.json", case: "attaches" };
/// A process id, and whether it is one of a namespace, where policies are templates.
const BLANKS: [(&str, &str); 2] = [("{{.MatchedPID}}", "4032"), ("{{.NamespacePID}}", "false")];

/// What `lictor policy explain` says, as far as this test needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    hook_points: Vec<HookPoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HookPoint {
    hook_point: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    policy: String,
}

fn established(context: &LabContext) -> Result<Vec<CaseResult>> {
    let policies = policies()?;
    let mut lab = context.lab_with(Options { memory_mib: 1024, ..context.options.clone() });
    for (place, (_, text)) in policies.iter().enumerate() {
        lab = lab.text(format!("/lab/policies/{}.yaml", name_of(place)), 0o644, text.clone());
    }
    // Policies that this kernel cannot do make it fail; what it says of them is what is asked.
    let script =
        "lictor policy explain -o json /lab/policies >$LAB_OUT/explanation 2>$LAB_OUT/refusals || true";
    let outcome = lab.run(script)?;
    let file = |name: &str| {
        let bytes = outcome.files.get(name).with_context(|| format!("no {name}: {}", outcome.text()))?;
        anyhow::Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    let explanation: Explanation =
        serde_json::from_str(&file("explanation")?).with_context(|| file("refusals").unwrap_or_default())?;
    let found = said(&policies, &explanation, &file("refusals")?);
    RECORDED.compare(context.kernel, &found)
}

/// The policies that load, with names of their own: several documents there have the same.
fn policies() -> Result<Vec<(String, String)>> {
    let outcomes = fs::read_to_string(Path::new(DIRECTORY).join("outcomes.expected"))?;
    let files = outcomes.lines().filter_map(|line| line.strip_suffix(": accepted"));
    let read = |(place, file): (usize, &str)| {
        let text = fs::read_to_string(Path::new(DIRECTORY).join(file)).with_context(|| file.to_owned())?;
        let text = BLANKS.iter().fold(text, |text, (blank, value)| text.replace(blank, value));
        let mut named = false;
        let lines = text.lines().map(|line| {
            if !named && line.starts_with("  name:") {
                named = true;
                return format!("  name: {}", name_of(place));
            }
            line.to_owned()
        });
        Ok((file.to_owned(), lines.collect::<Vec<_>>().join("\n")))
    };
    files.enumerate().map(read).collect()
}

fn name_of(place: usize) -> String {
    format!("p{place:03}")
}

/// Of each policy its hook points, or why the kernel refuses it.
fn said(
    policies: &[(String, String)],
    explanation: &Explanation,
    refusals: &str,
) -> BTreeMap<String, String> {
    let of = |place: usize| {
        let name = name_of(place);
        let points = explanation.hook_points.iter();
        let points = points.filter(|point| point.rules.iter().any(|rule| rule.policy == name));
        let mut points: Vec<&str> = points.map(|point| point.hook_point.as_str()).collect();
        points.sort_unstable();
        if !points.is_empty() {
            return points.join(", ");
        }
        let begin = format!("/lab/policies/{name}.yaml:");
        let of_policy = refusals.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once(": "));
        let reasons: Vec<&str> = of_policy.map(|(_, reason)| reason).collect();
        if reasons.is_empty() {
            "nothing of it is in this kernel".to_owned()
        } else {
            format!("refused: {}", reasons.join("; "))
        }
    };
    policies.iter().enumerate().map(|(place, (file, _))| (file.clone(), of(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_its_hook_points_or_its_refusal() {
        let point = |hook_point: &str, policies: &[&str]| HookPoint {
            hook_point: hook_point.to_owned(),
            rules: policies.iter().map(|policy| Rule { policy: (*policy).to_owned() }).collect(),
        };
        let explanation = Explanation {
            hook_points: vec![
                point("lsm/file_open", &["p001", "p000"]),
                point("fentry/a", &["p000", "p000"]),
            ],
        };
        let policies = ["a", "b", "c", "d"].map(|file| (file.to_owned(), String::new()));
        let refusals = "note: x\n/lab/policies/p002.yaml:7: spec.kprobes[0]: found y\n";
        let found: Vec<String> = said(&policies, &explanation, refusals).into_values().collect();
        assert_eq!(
            found,
            [
                "fentry/a, lsm/file_open",
                "lsm/file_open",
                "refused: spec.kprobes[0]: found y",
                "nothing of it is in this kernel",
            ]
        );
    }

    #[test]
    fn every_policy_that_loads_is_asked_about_by_a_name_of_its_own() {
        let policies = policies().unwrap();
        assert!(policies.len() > 50, "{}", policies.len());
        for (place, (file, text)) in policies.iter().enumerate() {
            let named = text.lines().filter(|line| *line == format!("  name: {}", name_of(place)));
            assert_eq!(named.count(), 1, "{file}");
        }
    }
}
