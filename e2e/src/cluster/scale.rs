//! An operator with many nodes and many policies: how fast it decides, what it writes, what it costs. The API server is a
//! real one; the nodes are simulated, and take as long as node workers to report, a second or two.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::chart::{Chart, Operator, is_ready, policy};
use super::{Client, Cluster, ClusterContext, Component, eventually, resident_bytes};

/// Objects that one kubectl creates: more make it slower to start, fewer waste its start.
const BATCH: usize = 100;
/// Programs that create at the same time.
const WRITERS: usize = 4;
/// How long all nodes may take to follow.
const SETTLE: Duration = Duration::from_mins(30);
/// Longest time until a node has taken and reported a change, milliseconds: that of the node workers' spread.
const DELAY_MS: u64 = 1500;
/// Between two looks at a policy that was changed.
const LOOK: Duration = Duration::from_millis(100);
/// Rules of the policy whose admission is measured.
const RULES: usize = 1000;
/// Times that it is asked for.
const REVIEWS: usize = 5;
/// Budget: until a change is Ready on every one of so many nodes, 99 of 100 times.
const READY_SECONDS_MAX: f64 = 10.0;
/// See [`READY_SECONDS_MAX`].
const BUDGET_NODES: usize = 1000;
/// Budget: until the webhook has answered about a policy with [`RULES`] rules.
const ADMISSION_MS_MAX: f64 = 100.0;
/// Clock ticks of a second, in which the kernel tells processor time.
const TICKS: f64 = 100.0;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// What.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In which unit.
    pub unit: &'static str,
    /// The budget, where there is one.
    pub limit: Option<f64>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Policies.
    pub policies: usize,
    /// Policies that are changed, one after the other; with a hundred, one of them is the hundredth part.
    pub changes: usize,
}

/// Measures an operator with so many nodes and policies.
///
/// # Errors
/// When the control plane does not come up, or something never becomes ready.
pub fn run(context: &ClusterContext, size: Size) -> Result<Vec<Row>> {
    let Size { nodes, policies, .. } = size;
    ensure!(
        nodes > 0 && policies > 0 && size.changes > 0,
        "found a number of none; allowed: at least one of each"
    );
    let report = context.options.report;
    let cluster = context.control_plane()?;
    // Objects for pods of simulated nodes would only be in the way.
    let values =
        ["protection.nodeReports=false", "protection.objects=false", "nodeWorker.nodeSelector.none=here"];
    let chart = Chart::install(context, &cluster, &values)?;
    let mut operator = chart.operator("operator")?;
    let mut simulation =
        chart.nodes(&[&format!("--nodes={nodes}"), &format!("--delay-ms={DELAY_MS}"), "--check"]);
    let mut rows = vec![row("nodes", count(nodes), ""), row("policies", count(policies), "")];
    let started = Instant::now();
    operator.program.start()?;
    simulation.start()?;
    reaches(&operator, "lictor_operator_nodes{state=\"live\"}", count(nodes))?;
    rows.push(row("nodes live after", started.elapsed().as_secs_f64(), "s"));
    report("nodes are live");

    let started = Instant::now();
    create_policies(cluster.admin(), policies)?;
    rows.push(row("creating the policies", started.elapsed().as_secs_f64(), "s"));
    reaches(&operator, "lictor_operator_policies{state=\"ready\"}", count(policies))?;
    rows.push(row("all policies Ready after", started.elapsed().as_secs_f64(), "s"));
    report("policies are ready");

    changes(&chart, &mut operator, size, &mut rows)?;
    admission(&chart, &operator, &mut rows)?;
    rows.push(row("ConfigMap of a node", node_bytes(cluster.admin())?, "B"));
    rows.push(row("operator, resident", mebibytes(resident_bytes(operator.program.pid()?)?), "MiB"));
    control_plane(&cluster, &mut rows)?;
    simulation.ensure_running()?;
    ensure!(!simulation.log().contains("FALSE READY"), "a claim was false: {}", simulation.last_lines());
    Ok(rows)
}

/// Waits until a metric of the operator has this value.
fn reaches(operator: &Operator, name: &str, wanted: f64) -> Result<()> {
    eventually(name, SETTLE, || {
        let found = operator.metric(name)?;
        ensure!((found - wanted).abs() < 0.5, "it is {found}, not {wanted}");
        Ok(())
    })
}

fn name_of(number: usize) -> String {
    format!("policy-{number:05}")
}

fn create_policies(admin: &Client, policies: usize) -> Result<()> {
    let numbers: Vec<usize> = (0..policies).collect();
    let batches: Vec<&[usize]> = numbers.chunks(BATCH).collect();
    let create = |batch: &[usize]| -> Result<()> {
        let mut documents = String::new();
        for number in batch {
            writeln!(documents, "{}\n---", policy(&name_of(*number), &format!("/etc/{number}")))?;
        }
        // The webhook may not be known yet.
        eventually("the policies to be taken", SETTLE, || {
            let ran = admin.try_with_input(&["apply", "--server-side", "-f", "-"], &documents)?;
            ensure!(ran.code == 0, "creating policies: {}", ran.text());
            Ok(())
        })
    };
    thread::scope(|scope| {
        let share = batches.len().div_ceil(WRITERS).max(1);
        let writers: Vec<_> = batches
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().try_for_each(|batch| create(batch))))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a thread ended early"))?)
    })
}

/// Changes one policy after the other, and waits for each until every node has it.
fn changes(chart: &Chart<'_>, operator: &mut Operator, size: Size, rows: &mut Vec<Row>) -> Result<()> {
    let Size { policies, changes, .. } = size;
    let admin = chart.admin();
    let pid = operator.program.pid()?;
    let (written, used) = (operator.sum("lictor_operator_writes_total{")?, processor_seconds(pid)?);
    let mut seconds = Vec::new();
    for change in 0..changes {
        let name = name_of(change * 37 % policies);
        let spec = policy(&name, &format!("/srv/{change}"))["spec"].clone();
        let patch = json!({"spec": spec}).to_string();
        let started = Instant::now();
        admin.kubectl(&["patch", "tracingpolicy", &name, "--type=merge", "-p", &patch])?;
        // Looked at without growing pauses: it is the time that is measured.
        while !is_ready(&admin.json(&["get", "tracingpolicy", &name])?) {
            ensure!(started.elapsed() < SETTLE, "{name} does not become ready");
            thread::sleep(LOOK);
        }
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let writes = operator.sum("lictor_operator_writes_total{")? - written;
    rows.push(row("a change Ready everywhere, p50", seconds[changes / 2], "s"));
    let p99 = row("a change Ready everywhere, p99", seconds[(changes * 99).div_ceil(100) - 1], "s");
    let limit = (size.nodes <= BUDGET_NODES).then_some(READY_SECONDS_MAX);
    rows.push(Row { limit, ..p99 });
    rows.push(row("a change Ready everywhere, worst", seconds[changes - 1], "s"));
    rows.push(row("operator's writes per change", writes / count(changes), ""));
    let used = (processor_seconds(pid)? - used) / count(changes);
    rows.push(row("operator's processor time, a change", used, "s"));
    Ok(())
}

/// The webhook's time for a policy with many rules.
fn admission(chart: &Chart<'_>, operator: &Operator, rows: &mut Vec<Row>) -> Result<()> {
    let mut large = policy("large", "/etc");
    let rule = |number: usize| {
        let path = format!("/etc/rule/{number}");
        json!({"matchArgs": [{"index": 1, "operator": "Equal", "values": [path]}]})
    };
    large["spec"]["kprobes"][0]["selectors"] = (0..RULES).map(rule).collect();
    let before = operator.metric("lictor_operator_admission_review_seconds_sum")?;
    for _ in 0..REVIEWS {
        let ran = chart.dry_run(&large)?;
        ensure!(ran.code == 0, "{}", ran.text());
    }
    let spent = operator.metric("lictor_operator_admission_review_seconds_sum")? - before;
    let admission = row("admission of 1,000 rules", spent * 1000.0 / count(REVIEWS), "ms");
    rows.push(Row { limit: Some(ADMISSION_MS_MAX), ..admission });
    Ok(())
}

fn node_bytes(admin: &Client) -> Result<f64> {
    let output = "jsonpath={.data.node\\.json}";
    let text = admin.kubectl(&["-n", "lictor", "get", "configmap", "lictor-node-sim-0000", "-o", output])?;
    Ok(count(text.len()))
}

/// Processor time of a process so far, user and system.
fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the program's name, which may have blanks in it, the third word is the state.
    let (_, words) = stat.rsplit_once(") ").context("a line of another shape")?;
    let words: Vec<&str> = words.split(' ').collect();
    let ticks = |position: usize| -> Result<f64> {
        words.get(position).context("a short line")?.parse().context("no number")
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

fn control_plane(cluster: &Cluster, rows: &mut Vec<Row>) -> Result<()> {
    for (name, component) in [
        ("etcd, resident", Component::Etcd),
        ("API server, resident", Component::ApiServer),
        ("controller manager, resident", Component::ControllerManager),
    ] {
        rows.push(row(name, mebibytes(cluster.resident_bytes(component)?), "MiB"));
    }
    let database =
        std::fs::metadata(cluster.directory().join("etcd/member/snap/db")).context("etcd has no file")?;
    rows.push(row("etcd, file", mebibytes(database.len()), "MiB"));
    Ok(())
}

fn row(name: &str, value: f64, unit: &'static str) -> Row {
    Row { name: name.to_owned(), value, unit, limit: None }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of objects")]
fn count(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
