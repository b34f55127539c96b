//! Two hundred faults in a row, with a fixed seed: at no moment does a policy claim to be Ready and is not, and afterwards
//! everything is as it should be.
//!
//! The claims are checked by the simulated nodes, which know what they enforce: see the option `--check` of their program.
//! A test of its own: the API server stays away for ten minutes.

mod clock;
mod faults;
mod outage;

use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use self::clock::Clock;
use self::faults::Fault;
use super::chart::{Chart, Operator, SETTLE, is_ready, policy};
use super::{Cases, ClusterContext, ClusterTest, Daemon, Lane, eventually};
use crate::lab::CaseResult;

/// The tests of this module.
pub(crate) const TESTS: &[ClusterTest] = &[
    ClusterTest { name: "chaos", lane: Lane::Long, anywhere: false, run: chaos },
    ClusterTest { name: "outage", lane: Lane::Waiting, anywhere: false, run: outage::outage },
];

/// What decides which faults come, and when.
const SEED: u64 = 20_261_125;
/// How many.
const FAULTS: usize = 200;
/// After so many, everything must come right.
const BATCH: usize = 20;
/// Nodes, all in the scope of each policy.
const NODES: usize = 4;
/// Policies that are always there.
const POLICIES: usize = 5;
/// Longest pause between two faults, milliseconds: some strike before the last one is over.
const PAUSE_MS: u64 = 600;

fn chaos(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.control_plane()?;
    let mut cases = Cases::default();
    // The simulated nodes write with one user, and faults are made by hand.
    let values = ["protection.nodeReports=false", "protection.objects=false"];
    let chart = Chart::install(context, &cluster, &values)?;
    let clock = Clock::new(cluster.directory(), context.options.report)?;
    let operators = [
        chart.operator_with("operator-a", &clock.environment())?,
        chart.operator_with("operator-b", &clock.environment())?,
    ];
    let nodes = chart.nodes(&[&format!("--nodes={NODES}"), "--delay-ms=700", "--boot-ms=3000", "--check"]);
    let mut world =
        World { chart: &chart, operators, nodes, clock, random: fastrand::Rng::with_seed(SEED), changes: 0 };
    cases.run("everything-comes-right-at-first", || world.start());
    for first in (1..=FAULTS).step_by(BATCH) {
        let last = (first + BATCH - 1).min(FAULTS);
        cases.run(format!("faults-{first:03}-to-{last:03}"), || world.batch(first..=last));
    }
    cases.run("no-claim-was-false", || world.truth());
    cases.run("the-programs-run-to-the-end", || {
        world.operators.iter_mut().try_for_each(|operator| operator.program.ensure_running())?;
        world.nodes.ensure_running()
    });
    Ok(cases.done())
}

/// Everything that faults happen to.
struct World<'a> {
    chart: &'a Chart<'a>,
    operators: [Operator; 2],
    nodes: Daemon,
    clock: Clock,
    random: fastrand::Rng,
    /// Changes of policies so far: each is another one.
    changes: usize,
}

impl World<'_> {
    fn start(&mut self) -> Result<()> {
        for operator in &mut self.operators {
            operator.program.start()?;
        }
        self.nodes.start()?;
        self.create_policies()?;
        self.comes_right()
    }

    /// Some faults, with a policy changed before each; then everything comes right.
    fn batch(&mut self, numbers: RangeInclusive<usize>) -> Result<()> {
        let mut struck = Vec::new();
        for number in numbers {
            let fault = Fault::any(&mut self.random);
            struck.push(format!("{number} {fault:?}"));
            let known = || format!("after the faults {}", struck.join(", "));
            self.change_a_policy().with_context(known)?;
            fault.strike(self).with_context(known)?;
            self.pause(0..=PAUSE_MS);
        }
        let came_right = self.comes_right();
        came_right.with_context(|| format!("after the faults {}", struck.join(", ")))
    }

    fn pause(&mut self, milliseconds: RangeInclusive<u64>) {
        thread::sleep(Duration::from_millis(self.random.u64(milliseconds)));
    }

    /// Whichever operator leads, this is one of them.
    fn any_operator(&mut self) -> &mut Operator {
        let place = self.random.usize(0..self.operators.len());
        &mut self.operators[place]
    }

    fn create_policies(&mut self) -> Result<()> {
        (0..POLICIES).try_for_each(|number| self.chart.admit(&self.next_version(number)))
    }

    fn next_version(&self, number: usize) -> Value {
        policy(&name_of(number), &format!("/etc/{number}/{}", self.changes))
    }

    /// Whether or not that succeeds: what it is about may be away just now.
    fn change_a_policy(&mut self) -> Result<()> {
        self.changes += 1;
        let number = self.random.usize(0..POLICIES);
        let version = self.next_version(number).to_string();
        self.chart.admin().try_with_input(&["apply", "-f", "-"], &version).map(drop)
    }

    /// Waits until every policy is enforced on every node, in the version that is in the API, and nothing else is.
    fn comes_right(&mut self) -> Result<()> {
        let right = eventually("everything to come right", SETTLE, || {
            self.policies_are_ready()?;
            self.nodes_hold_what_they_are_told()
        });
        right.with_context(|| {
            let logs: Vec<String> =
                self.operators.iter().map(|operator| operator.program.last_lines()).collect();
            format!("the ends of the operators' logs:\n{}", logs.join("\n--\n"))
        })
    }

    fn policies_are_ready(&self) -> Result<()> {
        let policies = self.chart.admin().json(&["get", "tracingpolicies"])?;
        let policies = items(&policies)?;
        let mut names: Vec<&str> =
            policies.iter().filter_map(|policy| policy["metadata"]["name"].as_str()).collect();
        names.sort_unstable();
        let wanted: Vec<String> = (0..POLICIES).map(name_of).collect();
        ensure!(names == wanted, "the policies are {names:?}");
        for policy in policies {
            let summary = format!("{NODES}/{NODES}");
            ensure!(is_ready(policy) && policy["status"]["nodes"]["summary"] == *summary, "{policy}");
        }
        Ok(())
    }

    fn nodes_hold_what_they_are_told(&self) -> Result<()> {
        let reports = self.chart.admin().json(&["get", "nodereports"])?;
        let reports = items(&reports)?;
        ensure!(reports.len() == NODES, "{} reports", reports.len());
        for report in reports {
            let name = report["metadata"]["name"].as_str().context("a report without a name")?;
            let map = self.told(name)?;
            let held = &report["report"]["assignment"];
            ensure!(map["assignment"] == held["digest"] && held["digest"].is_string(), "{name}: {report}");
            ensure!(report["report"]["revision"]["digest"] == held["plan"], "{name}: {report}");
            ensure!(report["report"]["problems"].as_array().is_none_or(Vec::is_empty), "{name}: {report}");
        }
        Ok(())
    }

    /// What a node's own `ConfigMap` says.
    fn told(&self, node: &str) -> Result<Value> {
        let name = format!("lictor-node-{node}");
        let map = self.chart.admin().json(&["-n", "lictor", "get", "configmap", &name])?;
        let text = map["data"]["node.json"].as_str().context("an assignment without text")?;
        serde_json::from_str(text).context("an assignment that is not JSON")
    }

    /// What the nodes found of the claims.
    fn truth(&mut self) -> Result<()> {
        let log = self.nodes.log();
        let lies: Vec<&str> = log.lines().filter(|line| line.starts_with("FALSE READY")).collect();
        if let Some(first) = lies.first() {
            bail!("{} claims were false, among them {first}", lies.len());
        }
        let told = log.lines().rev().find_map(|line| line.strip_prefix("checked "));
        let ready =
            told.and_then(|line| line.split(' ').nth(2)).and_then(|number| number.parse::<usize>().ok());
        // Changes that come fast are Ready together; where so few claims were seen, the nodes did not look.
        ensure!(ready.is_some_and(|ready| ready >= FAULTS / 2), "the nodes checked too little: {told:?}");
        Ok(())
    }
}

fn name_of(number: usize) -> String {
    format!("steady-{number}")
}

fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().context("kubectl did not list anything")
}
