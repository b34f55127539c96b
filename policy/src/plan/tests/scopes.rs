//! Policies that select workloads.

use super::policy;
use crate::model::{PodLabels, Policy, Workload};
use crate::plan::testing::facts;
use crate::plan::{NodeFacts, Plan, Vector, compile, scope_entry};
use lictor_node_worker_ebpf::{lictor_column_kind, lictor_column_source};

const DENY: &str = "lsmhooks:
- hook: file_open
  selectors:
  - matchActions: [{action: Override, argError: -13}]
";

fn scoped(name: &str, selectors: &str) -> Policy {
    // One line each, indented.
    let spec: Vec<String> = selectors.lines().chain(DENY.lines()).map(|line| format!("  {line}")).collect();
    policy(name, &spec.join("\n"))
}

fn plan(policies: &[Policy]) -> Plan {
    let compiled = compile(policies, &facts());
    assert!(compiled.refusals.is_empty(), "{:?}", compiled.refusals);
    compiled.plan
}

fn pod(namespace: &str, app: &str) -> Workload {
    let labels = [("app".to_owned(), app.to_owned())].into();
    Workload::Pod(PodLabels { namespace: namespace.to_owned(), labels })
}

#[test]
fn only_hook_points_of_policies_that_select_have_the_column() {
    let everyone = plan(&[scoped("a", "")]);
    assert!(everyone.scopes.is_empty() && !everyone.hooks[0].is_scoped());
    assert!(everyone.hooks[0].columns.is_empty());
    let both = plan(&[scoped("a", ""), scoped("b", "podSelector: {}")]);
    assert!(both.hooks[0].is_scoped());
    let column = both.hooks[0].shape.columns[0];
    assert_eq!(u32::from(column.kind), lictor_column_kind::LICTOR_COLUMN_SCOPE);
    assert_eq!(u32::from(column.source), lictor_column_source::LICTOR_FROM_CGROUP);
    let rest = &both.hooks[0].vectors[both.hooks[0].columns[0].default_vector as usize];
    assert_eq!(*rest, Vector(vec![0b01]), "where nothing is known, the policy for everyone holds");
}

#[test]
fn equal_selectors_are_one_scope_and_the_order_does_not_matter() {
    let policies = [
        scoped("a", "podSelector: {matchLabels: {app: web}}"),
        scoped("b", "podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}"),
        scoped("c", "podSelector: {matchLabels: {app: db}}"),
        scoped("d", ""),
    ];
    let one = plan(&policies);
    assert_eq!(one.scopes.len(), 2);
    assert_eq!(
        one.policies.iter().map(|policy| policy.scope).collect::<Vec<_>>(),
        [Some(1), Some(1), Some(0), None]
    );
    let mut reversed = policies;
    reversed.reverse();
    assert_eq!(plan(&reversed), one);
}

#[test]
fn a_workload_is_judged_by_the_policies_that_select_it() {
    let plan = plan(&[
        scoped("all", ""),
        scoped("host", "hostSelector: {}"),
        scoped("pods", "podSelector: {}"),
        scoped("web", "podSelector: {matchLabels: {app: web}}"),
        scoped("web-or-host", "podSelector: {matchLabels: {app: web}}\nhostSelector: {}"),
    ]);
    for (workload, rules) in [
        (Workload::Host, 0b1_0011),
        (Workload::UnknownPod, 0b0_0101),
        (pod("shop", "web"), 0b1_1101),
        (pod("shop", "db"), 0b0_0101),
    ] {
        let scopes = plan.scopes_of(&workload);
        assert_eq!(plan.hooks[0].rules_within(&plan, &scopes), Vector(vec![rules]), "{workload:?}");
        let entry = scope_entry(&plan, &plan.hooks[0], &scopes);
        assert_eq!((entry.rules.words[0], entry.rules.summary, entry.fallback_verdict), (rules, 1, -13));
    }
}

#[test]
fn with_nothing_readable_a_workload_is_denied_by_its_own_policies_only() {
    let plan = plan(&[scoped("web", "podSelector: {matchLabels: {app: web}}")]);
    let verdict =
        |workload: &Workload| scope_entry(&plan, &plan.hooks[0], &plan.scopes_of(workload)).fallback_verdict;
    assert_eq!(verdict(&pod("shop", "web")), -13);
    assert_eq!(verdict(&pod("shop", "db")), 0);
    assert_eq!(verdict(&Workload::Host), 0);
}

#[test]
fn many_scopes_have_sets_of_their_own() {
    let policies: Vec<Policy> = (0..130)
        .map(|number| {
            scoped(&format!("p{number:03}"), &format!("podSelector: {{matchLabels: {{app: a{number:03}}}}}"))
        })
        .collect();
    let plan = plan(&policies);
    let set = plan.scopes_of(&pod("shop", "a129"));
    assert_eq!((0..130).filter(|index| set.contains(*index)).collect::<Vec<_>>(), [129]);
    assert_eq!(plan.hooks[0].rules_within(&plan, &set), Vector(vec![0, 0, 0b10]));
    assert_eq!(plan.scopes_of(&pod("shop", "none")), plan.scopes_of(&Workload::Host));
}

#[test]
fn where_pods_are_not_known_policies_that_select_them_are_refused() {
    let facts = NodeFacts { no_pods: Some("it runs alone".to_owned()), ..facts() };
    let policies = [
        scoped("a", "podSelector: {matchLabels: {app: web}}\nhostSelector: {}"),
        scoped("b", "hostSelector: {}"),
        scoped("c", ""),
    ];
    let compiled = compile(&policies, &facts);
    assert_eq!(compiled.plan.policies.len(), 2);
    assert_eq!(
        compiled.refusals[0].to_string(),
        "policy a: spec.podSelector: found a policy for pods with app=web, and processes outside pods; allowed: policies for every process, or with hostSelector alone; it runs alone"
    );
}
