//! The API server is away for ten minutes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::super::chart::{Chart, policy};
use super::super::{Cases, ClusterContext, Component};
use crate::lab::CaseResult;

/// How long.
const OUTAGE: Duration = Duration::from_mins(10);
/// How often the programs are looked at meanwhile.
const LOOK: Duration = Duration::from_secs(20);

pub(super) fn outage(context: &ClusterContext) -> Result<Vec<CaseResult>> {
    let cluster = context.control_plane()?;
    let mut cases = Cases::default();
    let values = ["protection.nodeReports=false", "protection.objects=false"];
    let chart = Chart::install(context, &cluster, &values)?;
    let mut operator = chart.operator("operator")?;
    let mut nodes = chart.nodes(&["--nodes=2", "--check"]);
    let digests = || {
        let output = "jsonpath={.items[*].report.assignment.digest}";
        cluster.admin().kubectl(&["get", "nodereports", "-o", output])
    };
    cases.run("ten-minutes-without-an-api-server", || {
        operator.program.start()?;
        nodes.start()?;
        chart.admit(&policy("write", "/etc/before"))?;
        chart.ready("write", "2/2")?;
        let before = digests()?;
        cluster.stop(Component::ApiServer)?;
        let began = Instant::now();
        while began.elapsed() < OUTAGE {
            thread::sleep(LOOK);
            operator.program.ensure_running()?;
            nodes.ensure_running()?;
        }
        cluster.restart(Component::ApiServer)?;
        chart.ready("write", "2/2")?;
        ensure!(digests()? == before, "the nodes hold something else");
        chart.admit(&policy("write", "/etc/after"))?;
        chart.ready("write", "2/2")?;
        ensure!(!nodes.log().contains("FALSE READY"), "{}", nodes.last_lines());
        Ok(())
    });
    Ok(cases.done())
}
