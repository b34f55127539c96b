//! A real Prometheus, Debian's, for the queries of dashboards and alerts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::daemon::{Daemon, eventually};
use super::ports::Port;
use crate::lab::{Packages, Report, process};

const PACKAGES: Packages = Packages {
    name: "prometheus",
    suite: "bookworm",
    packages: &["prometheus"],
    // It is linked with nothing but the C library.
    with_dependencies: false,
};
/// How long it may take to answer.
const READY: Duration = Duration::from_mins(2);

/// A running Prometheus, ended when dropped.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
    port: Port,
    programs: PathBuf,
}

impl Prometheus {
    /// Starts it with its data in `directory`; it reads `/metrics` of each target every second, under the name of a job.
    ///
    /// # Errors
    /// When it cannot be fetched or does not answer.
    pub fn start(directory: &Path, targets: &[(&str, SocketAddr)], report: Report) -> Result<Self> {
        let programs = PACKAGES.obtain(report)?.join("usr/bin");
        let port = Port::reserve()?;
        let job = |(name, address): &(&str, SocketAddr)| json!({ "job_name": name, "static_configs": [{ "targets": [address.to_string()] }] });
        let jobs: Vec<Value> = targets.iter().map(job).collect();
        let timing = json!({ "scrape_interval": "1s", "evaluation_interval": "1s" });
        let config = json!({ "global": timing, "scrape_configs": jobs });
        let file = directory.join("prometheus.yml");
        fs::write(&file, config.to_string()).with_context(|| format!("writing {}", file.display()))?;
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.join("prometheus").display()),
            format!("--web.listen-address=127.0.0.1:{}", port.number()),
        ];
        let program = programs.join("prometheus");
        let daemon = Daemon::new("prometheus", program, directory).arguments(arguments);
        let mut prometheus = Self { daemon, port, programs };
        prometheus.daemon.start()?;
        eventually("Prometheus", READY, || {
            prometheus.daemon.ensure_running()?;
            prometheus.query("vector(1)")
        })?;
        Ok(prometheus)
    }

    /// The result of a query now: the array of samples, each with `metric` and `value`.
    ///
    /// # Errors
    /// When it is no query, or nobody answers.
    pub fn query(&self, expression: &str) -> Result<Value> {
        let server = format!("http://127.0.0.1:{}", self.port.number());
        let mut command = Command::new(self.programs.join("promtool"));
        command.args(["query", "instant", "--format=json", &server, expression]);
        let text = process::capture(&mut command).with_context(|| format!("query `{expression}`"))?;
        serde_json::from_str(&text).context("the result of a query is not JSON")
    }

    /// Checks a file of recording and alerting rules.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_rules(&self, file: &Path) -> Result<()> {
        process::capture(Command::new(self.programs.join("promtool")).args(["check", "rules"]).arg(file))
            .map(drop)
    }

    /// Waits until a query has a result that is not empty.
    ///
    /// # Errors
    /// When the time is up.
    pub fn eventually(&self, expression: &str, limit: Duration) -> Result<Value> {
        eventually(&format!("a result of `{expression}`"), limit, || {
            let result = self.query(expression)?;
            ensure!(result.as_array().is_some_and(|samples| !samples.is_empty()), "the result is {result}");
            Ok(result)
        })
    }
}
