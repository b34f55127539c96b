//! What Argo CD and Flux make of the statuses that the operator writes.
//!
//! Argo CD's script is run by Lua 5.1, whose language Argo CD's interpreter has. Flux's expressions are CEL, which the API
//! server evaluates too: as the message of an admission policy that refuses everything.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::super::chart::{Chart, SETTLE};
use super::super::{Cases, ClusterContext, eventually};
use crate::lab::{Packages, process};

/// Debian's Lua, and what it needs beside the C library.
const LUA: Packages = Packages {
    name: "lua",
    suite: "bookworm",
    packages: &["lua5.1", "libreadline8", "libtinfo6"],
    with_dependencies: false,
};
/// Where the libraries of Debian packages are.
const LIBRARIES: [&str; 2] = ["lib", "usr/lib"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lictor/gitops/argocd-health.lua");
const EXPRESSIONS: &str = include_str!("../../../../charts/lictor/gitops/flux-health-checks.yaml");
/// Name of the admission policy.
const POLICY: &str = "flux-health";

/// An object, what Argo CD is to say of it, and which of Flux's expressions hold.
struct Sample {
    object: Value,
    argo: &'static str,
    flux: &'static str,
}

/// `write` is Ready everywhere, `partial` is Stalled.
pub(super) fn health(cases: &mut Cases, chart: &Chart<'_>, context: &ClusterContext) {
    cases.run("argo-cd-health", || {
        let root = LUA.obtain(context.options.report)?;
        for Sample { object, argo, .. } in samples(chart)? {
            let said = lua(&root, &object)?;
            ensure!(said == argo, "`{said}`, not `{argo}`, of {object}");
        }
        let nothing = json!({"metadata": {"generation": 1}});
        let said = lua(&root, &nothing)?;
        ensure!(said == "Progressing", "`{said}` of an object without status");
        Ok(())
    });
    cases.run("flux-health", || {
        chart.admin().apply(&admission_policy()?.to_string())?;
        for Sample { object, flux, .. } in samples(chart)? {
            let name = object["metadata"]["name"].as_str().context("no name")?;
            let status = json!({"status": object["status"]}).to_string();
            let what = ["patch", "tracingpolicy", name, "--subresource=status", "--dry-run=server"];
            let patch = [&what[..], &["--type=merge", "-p", &status]].concat();
            // The policy is not in force at once.
            eventually("the expressions' values", SETTLE, || {
                chart.admin().try_kubectl(&patch)?.refused(&format!("flux says: {flux}"))
            })?;
        }
        chart
            .admin()
            .kubectl(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", POLICY])
            .map(drop)
    });
}

fn samples(chart: &Chart<'_>) -> Result<Vec<Sample>> {
    let get = |name: &str| chart.admin().json(&["get", "tracingpolicy", name]);
    let sample = |object, argo, flux| Sample { object, argo, flux };
    let ready = get("write")?;
    // The operator has looked at an earlier version.
    let mut newer = ready.clone();
    let seen = ready["status"]["observedGeneration"].as_i64().context("no observedGeneration")?;
    newer["status"]["observedGeneration"] = json!(seen - 1);
    for condition in newer["status"]["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = json!(seen - 1);
    }
    Ok(vec![
        sample(ready, "Healthy", "inProgress=false failed=false current=true"),
        sample(get("partial")?, "Degraded", "inProgress=false failed=true current=false"),
        sample(newer, "Progressing", "inProgress=true failed=false current=false"),
    ])
}

/// What Argo CD's script says of an object.
fn lua(root: &Path, object: &Value) -> Result<String> {
    let script = format!("obj = {}\nio.write(dofile([[{SCRIPT}]]).status)", literal(object));
    let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = LIBRARIES.map(|directory| root.join(directory).join(&architecture).display().to_string());
    let mut command = Command::new(root.join("usr/bin/lua5.1"));
    command.env("LD_LIBRARY_PATH", libraries.join(":")).args(["-e", &script]);
    process::capture(&mut command)
}

/// JSON in Lua's notation.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let escaped: Vec<String> = text.bytes().map(|byte| format!("\\{byte:03}")).collect();
            format!("\"{}\"", escaped.concat())
        }
        Value::Array(all) => format!("{{{}}}", all.iter().map(literal).collect::<Vec<_>>().join(",")),
        Value::Object(all) => {
            let member = |(name, value): (&String, &Value)| {
                format!("[{}]={}", literal(&Value::String(name.clone())), literal(value))
            };
            format!("{{{}}}", all.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

/// Refuses each status, with the values of Flux's expressions about it.
fn admission_policy() -> Result<Value> {
    let value = |name: &str| -> Result<String> {
        let expression = expression(name)?.replace("status.", "object.status.");
        let expression = expression.replace("metadata.", "object.metadata.");
        Ok(format!("'{name}=' + (({expression}) ? 'true' : 'false')"))
    };
    let values = [value("inProgress")?, value("failed")?, value("current")?].join(" + ' ' + ");
    let rule = json!({
        "apiGroups": ["lictor.io"], "apiVersions": ["v1alpha1"], "operations": ["UPDATE"],
        "resources": ["tracingpolicies/status"],
    });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            // The operator itself goes on.
            "matchConditions": [{"name": "ours", "expression": "request.dryRun"}],
            "validations": [{"expression": "false", "messageExpression": format!("'flux says: ' + {values}")}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY}, "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
    });
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}))
}

/// The first expression of this name, on one line.
fn expression(name: &str) -> Result<String> {
    let begin = format!("  {name}:");
    let mut lines = EXPRESSIONS.lines().skip_while(|line| !line.starts_with(&begin));
    let first = lines.next().with_context(|| format!("no {name}"))?;
    let first = first.trim_start_matches(&begin).trim();
    if first != ">-" {
        return Ok(first.to_owned());
    }
    let more: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).map(str::trim).collect();
    Ok(more.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_whole() {
        assert!(expression("current").unwrap().ends_with("== metadata.generation)"));
        let progress = expression("inProgress").unwrap();
        assert!(
            progress.starts_with("!has(status.observedGeneration) ||") && progress.ends_with("'True')"),
            "{progress}"
        );
    }

    #[test]
    fn literals_are_lua() {
        let value = json!({"a": [1, true, null], "b": "x\"\n"});
        assert_eq!(literal(&value), "{[\"\\097\"]={1,true,nil},[\"\\098\"]=\"\\120\\034\\010\"}");
    }
}
