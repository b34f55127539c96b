//! The queries of the chart's dashboards, asked of a real Prometheus.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::chart::{Chart, Operator, SETTLE};
use super::super::{Cases, ClusterContext, Prometheus, eventually};

/// What Grafana puts in the place of its variable.
const RATE_INTERVAL: &str = "1m";
/// Metrics of the operator begin like this; the others are of node workers, which are simulated here.
const OURS: &str = "lictor_operator_";
/// Metrics of node workers, as `lictor-node` documents them.
const DOCUMENTED: &str = include_str!("../../../../docs/metrics.md");

pub(super) fn dashboard(cases: &mut Cases, chart: &Chart<'_>, context: &ClusterContext, operator: &Operator) {
    cases.run("dashboards-show-what-there-is", || {
        let directory = chart.cluster.directory();
        let targets = [("operator", operator.http())];
        let prometheus = Prometheus::start(directory, &targets, context.options.report)?;
        let expressions = expressions()?;
        ensure!(expressions.len() > 10, "{expressions:?}");
        let mut answered = 0;
        for expression in &expressions {
            let query = expression.replace("$__rate_interval", RATE_INTERVAL);
            // What is no query, or names a metric in a way that makes none of it, is refused.
            eventually("an answer", SETTLE, || prometheus.query(&query))?;
            if expression.contains(OURS) {
                let found = prometheus.eventually(&query, SETTLE)?;
                ensure!(found.as_array().is_some_and(|all| !all.is_empty()), "{query}: {found}");
                answered += 1;
            } else {
                let metric = metric(expression).with_context(|| format!("no metric in {expression}"))?;
                ensure!(DOCUMENTED.contains(&format!("`{metric}`")), "{metric} is not in docs/metrics.md");
            }
        }
        ensure!(answered > 5, "{answered} queries are about the operator");
        Ok(())
    });
}

/// All queries of the chart's dashboard.
fn expressions() -> Result<Vec<String>> {
    let text = include_str!("../../../../charts/lictor/dashboards/lictor.json");
    let dashboard: Value = serde_json::from_str(text)?;
    let panels = dashboard["panels"].as_array().context("a dashboard without panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    Ok(targets.filter_map(|target| target["expr"].as_str()).map(str::to_owned).collect())
}

/// The metric that a query is about.
fn metric(expression: &str) -> Option<&str> {
    let begin = expression.find("lictor_")?;
    let rest = &expression[begin..];
    let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    Some(&rest[..end.unwrap_or(rest.len())])
}
