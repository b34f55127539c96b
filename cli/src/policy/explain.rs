//! `lictor policy explain`

use super::check::try_on;
use super::input::{self, Input};
use super::sizes::{Sizes, sizes};
use super::{FactsFrom, Options, Output, machine, words};
use anyhow::{Context as _, bail};
use lictor_policy::Loaded;
use lictor_policy::model::{Hook, Mode, Policy};
use lictor_policy::plan::{HookPlan, NodeFacts, Plan, PlanPolicy, compile};
use serde::Serialize;
use std::io::Write;

/// Explains policies; `false` = at least one is refused.
pub(super) fn run(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<bool> {
    if options.facts == FactsFrom::None {
        bail!("where a policy attaches depends on a kernel: --facts none leaves nothing to explain");
    }
    let mut inputs = input::read(&options.files, options.directories.recursive);
    // What is explained is what this kernel would do, known only in part or not.
    let facts = machine::facts(FactsFrom::System, err)?.context("no kernel to explain for")?;
    for warning in try_on(&mut inputs, &facts, |_| false) {
        writeln!(err, "warning: {warning}")?;
    }
    let mut accepted = true;
    for violations in inputs.iter().filter_map(|input| input.outcome.as_ref().err()) {
        accepted = false;
        writeln!(err, "{violations}")?;
    }
    let explanation = explanation(&inputs, &facts)?;
    match options.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &explanation)?;
            writeln!(out)?;
        }
        Output::Text => text(&explanation, out)?,
    }
    Ok(accepted)
}

/// What the accepted policies become on a kernel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    kernel: String,
    policies: Vec<ExplainedPolicy>,
    hook_points: Vec<ExplainedPoint>,
    tables: Sizes,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplainedPolicy {
    name: String,
    file: String,
    mode: &'static str,
    enforces: bool,
    applies_to: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplainedPoint {
    hook_point: String,
    attached_as: &'static str,
    why: String,
    reads: Vec<String>,
    looks_up: Vec<String>,
    remembers_misses: bool,
    rule_sets: usize,
    rules: Vec<ExplainedRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplainedRule {
    policy: String,
    selector: String,
    when: Vec<String>,
    then: String,
}

fn explanation(inputs: &[Input], facts: &NodeFacts) -> anyhow::Result<Explanation> {
    let loaded: Vec<&Loaded> = inputs.iter().filter_map(|input| input.outcome.as_ref().ok()).collect();
    let policies: Vec<Policy> = loaded.iter().map(|loaded| loaded.policy.clone()).collect();
    let plan = compile(&policies, facts).plan;
    let find = |key| loaded.iter().find(|loaded| loaded.policy.key() == key);
    Ok(Explanation {
        kernel: facts.kernel_release.clone(),
        policies: plan
            .policies
            .iter()
            .map(|policy| ExplainedPolicy {
                name: policy.key.to_string(),
                file: find(&policy.key).and_then(|loaded| loaded.file.clone()).unwrap_or_default(),
                mode: match policy.mode {
                    Mode::Enforce => "enforce",
                    Mode::Monitor => "monitor",
                },
                enforces: policy.enforces,
                applies_to: applies_to(policy, &plan),
            })
            .collect(),
        hook_points: plan.hooks.iter().map(|hook| point(hook, &plan, &policies)).collect(),
        tables: sizes(&plan)?,
    })
}

fn applies_to(policy: &PlanPolicy, plan: &Plan) -> String {
    let scope = policy.scope.and_then(|index| plan.scopes.get(index as usize));
    scope.map_or_else(|| "every process".to_owned(), ToString::to_string)
}

fn point(hook: &HookPlan, plan: &Plan, policies: &[Policy]) -> ExplainedPoint {
    let columns = hook.shape.columns.iter().zip(&hook.columns);
    ExplainedPoint {
        hook_point: hook.point.to_string(),
        attached_as: words::attachment(hook.point.attach),
        why: hook.reason.clone(),
        reads: hook.shape.fields.iter().map(words::value).collect(),
        looks_up: columns
            .map(|(shape, column)| format!("{}: {}", words::lookup(*shape), words::entries(&column.table)))
            .collect(),
        remembers_misses: words::memo(hook),
        rule_sets: hook.vectors.len(),
        rules: rules(hook, plan, policies),
    }
}

fn rules(hook: &HookPlan, plan: &Plan, policies: &[Policy]) -> Vec<ExplainedRule> {
    let mut explained = Vec::new();
    for rule in &hook.rules {
        let Some(group) = hook.groups.get(rule.group as usize) else { continue };
        let Some(owner) = plan.policies.get(group.policy as usize) else { continue };
        let written = policies.iter().find(|policy| *policy.key() == owner.key);
        let hooks: &[Hook] = written.map_or(&[], Policy::hooks);
        let Some(written) = hooks.iter().find(|hook| hook.at == group.at) else { continue };
        let Some(rule) = written.rules.get(rule.selector as usize) else { continue };
        explained.push(ExplainedRule {
            policy: owner.key.to_string(),
            selector: rule.at.to_string(),
            when: rule.predicates.iter().map(|predicate| words::predicate(predicate, written)).collect(),
            then: words::actions(&rule.actions, written),
        });
    }
    explained
}

fn text(explanation: &Explanation, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "on Linux {}", explanation.kernel)?;
    for policy in &explanation.policies {
        let what = match (policy.enforces, policy.mode) {
            (false, _) => "only reports",
            (true, "enforce") => "denies or kills",
            (true, _) => "would deny or kill; in monitor mode it only reports",
        };
        writeln!(out, "policy {} ({}): {what}", policy.name, policy.file)?;
        writeln!(out, "  applies to: {}", policy.applies_to)?;
    }
    for point in &explanation.hook_points {
        writeln!(out, "\n{}: {}", point.hook_point, point.attached_as)?;
        writeln!(out, "  why:      {}", point.why)?;
        for (number, value) in point.reads.iter().enumerate() {
            writeln!(out, "  value {number}:  {value}")?;
        }
        for lookup in &point.looks_up {
            writeln!(out, "  looks up: {lookup}")?;
        }
        if point.remembers_misses {
            writeln!(out, "  remembers for each process and path that no rule matched")?;
        }
        for (number, rule) in point.rules.iter().enumerate() {
            writeln!(out, "  rule {number}:   {} {}", rule.policy, rule.selector)?;
            for (place, when) in rule.when.iter().enumerate() {
                writeln!(out, "    {}    {when}", if place == 0 { "when" } else { "and " })?;
            }
            writeln!(out, "    then    {}", rule.then)?;
        }
    }
    let tables = &explanation.tables;
    writeln!(
        out,
        "\ntables: {} rules, {} rule sets, {} words, {} pieces of text, {} numbers; about {} KiB of kernel memory",
        tables.rules,
        tables.vectors,
        tables.words,
        tables.texts,
        tables.numbers,
        tables.memory_bytes.div_ceil(1024)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_policy::load;
    use lictor_policy::plan::testing;

    const POLICY: &str = r"
apiVersion: lictor.io/v1alpha1
kind: TracingPolicy
metadata:
  name: secrets
spec:
  lsmhooks:
  - hook: file_open
    args:
    - index: 0
      type: file
    selectors:
    - matchBinaries:
      - operator: NotIn
        values: [/usr/bin/passwd, /usr/bin/login]
      matchArgs:
      - index: 0
        operator: Equal
        values: [/etc/shadow]
      matchActions:
      - action: Override
        argError: -1
      - action: Post
        rateLimit: 5m
        rateLimitScope: process
  kprobes:
  - call: fd_install
    syscall: false
    args:
    - index: 0
      type: uint32
    selectors:
    - matchPIDs:
      - operator: In
        followForks: true
        values: [1]
      matchCapabilities:
      - operator: NotIn
        values: [CAP_SYS_ADMIN]
      matchArgs:
      - index: 0
        operator: GreaterThan
        values: [100]
      matchActions:
      - action: Sigkill
      - action: NoPost
";

    fn input() -> Input {
        Input { name: "secrets.yaml".into(), outcome: load(POLICY, Some("secrets.yaml")) }
    }

    #[test]
    fn everything_is_explained() {
        let mut inputs = [input()];
        assert!(try_on(&mut inputs, &testing::facts(), |_| false).is_empty());
        let mut out = Vec::new();
        text(&explanation(&inputs, &testing::facts()).unwrap(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let (explained, tables) = out.rsplit_once("tables: ").unwrap();
        assert_eq!(explained, EXPLAINED);
        assert!(tables.starts_with("2 rules, ") && tables.ends_with(" KiB of kernel memory\n"), "{tables}");
    }

    const EXPLAINED: &str = r#"on Linux 6.12.95-test
policy secrets (secrets.yaml): denies or kills
  applies to: every process

lsm/file_open: BPF LSM program
  why:      LSM hook file_open, as the policy names it: BPF LSM is on
  value 0:  argument 0: path of a file
  looks up: value 0, by beginning: 3 kinds of path
  looks up: path of the process's program, by beginning: 3 kinds of path
  remembers for each process and path that no rule matched
  rule 0:   secrets spec.lsmhooks[0].selectors[0]
    when    the program is not "/usr/bin/passwd" or "/usr/bin/login"
    and     argument 0 is "/etc/shadow"
    then    deny with -1, report at most once in 300 s per process

fentry/fd_install: fentry program
  why:      fentry on fd_install: rules report or signal, and nothing here can be denied
  value 0:  argument 0: unsigned number of 4 bytes
  looks up: value 0, by number: 0 numbers, 3 intervals
  looks up: effective capabilities, by bit: 1 bit
  looks up: process id, with its ancestors: 1 process id
  rule 0:   secrets spec.kprobes[0].selectors[0]
    when    the process or an ancestor is 1
    and     the effective capabilities have no CAP_SYS_ADMIN
    and     argument 0 is at least 101
    then    kill

"#;

    #[test]
    fn loaded_files_are_explained() {
        let policy = "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: loads}\nspec: {loader: true}\n";
        let inputs = [Input { name: "loads.yaml".into(), outcome: load(policy, Some("loads.yaml")) }];
        let mut out = Vec::new();
        text(&explanation(&inputs, &testing::facts()).unwrap(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let rule = "  rule 0:   loads spec.loader\n    when    argument 0 is a regular file\n    \
                    and     argument 2 has a bit of 0x4\n    then    report the file and its build id\n";
        assert!(out.contains("\nlsm/mmap_file: BPF LSM program\n") && out.contains(rule), "{out}");
    }

    #[test]
    fn what_the_kernel_lacks_is_refused_at_its_line() {
        let mut inputs = [input()];
        let facts = testing::facts_with(testing::symbols().without("fd_install"));
        try_on(&mut inputs, &facts, |_| false);
        let violations = inputs[0].outcome.as_ref().unwrap_err();
        assert_eq!(violations.len(), 1);
        assert!(
            violations
                .to_string()
                .starts_with("secrets.yaml:27: spec.kprobes[0]: found function `fd_install`"),
            "{violations}"
        );
    }
}
