//! `cargo xtask bench`: what the engine costs, counted in instructions; what a cluster with many nodes costs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use lictor_e2e::bench::{self, budget, row::Row, table};
use lictor_e2e::cluster::{self as kubernetes, ClusterContext, scale};
use lictor_e2e::lab::{KernelName, Options};

use crate::{cluster, lab, progress, setup, test};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Kernel to measure on; may be given several times
    #[arg(long = "kernel", short = 'k', value_name = "KERNEL", default_value = "6.12")]
    kernels: Vec<KernelName>,
    /// Write the rows to this file, one line of JSON each
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer rounds, operations and numbers of policies
    #[arg(long)]
    quick: bool,
    /// Exit code 1 when a row misses its budget
    #[arg(long)]
    check: bool,
    /// Measure only these parts: base, lsm, observe, load, agent
    #[arg(long, value_name = "PART,...")]
    parts: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure an operator with many nodes, which are simulated, and a real API server
    Cluster {
        /// How many nodes
        #[arg(long, value_name = "N", default_value_t = 1000)]
        nodes: usize,
        /// How many policies
        #[arg(long, value_name = "N", default_value_t = 1000)]
        policies: usize,
        /// How many policies are changed, one after the other
        #[arg(long, value_name = "N", default_value_t = 100)]
        changes: usize,
    },
}

/// Measures an operator with so many nodes and policies.
fn run_cluster(size: scale::Size) -> Result<i32> {
    cluster::fetch()?;
    let options = kubernetes::Options { report: progress::line, ..kubernetes::Options::default() };
    let context = ClusterContext::new(cluster_programs()?, options);
    let what = format!("measuring with {} nodes and {} policies", size.nodes, size.policies);
    let rows = progress::step(&what, || scale::run(&context, size))?;
    for row in rows {
        let verdict = match row.limit {
            None => String::new(),
            Some(limit) if row.value <= limit => format!("  ok (<= {limit})"),
            Some(limit) => format!("  MISSED (<= {limit})"),
        };
        println!("{:36} {:10.1} {}{verdict}", row.name, row.value, row.unit);
    }
    Ok(0)
}

/// Measures on each kernel and prints a table for each.
pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    setup::run()?;
    if let Some(What::Cluster { nodes, policies, changes }) = arguments.what {
        return run_cluster(scale::Size { nodes, policies, changes });
    }
    let programs = programs()?;
    let budgets = budget::budgets()?;
    let mut passed_on = String::new();
    if arguments.quick {
        passed_on.push_str(" --quick");
    }
    if let Some(parts) = &arguments.parts {
        write!(passed_on, " --parts {parts}")?;
    }
    let mut all: Vec<Row> = Vec::new();
    let mut missed = 0;
    for kernel in &arguments.kernels {
        lab::fetch(*kernel)?;
        let options = Options { report: progress::line, ..Options::default() };
        let rows = progress::step(&format!("measuring on kernel {kernel}"), || {
            bench::run(*kernel, &programs, &passed_on, options)
        })?;
        let (text, over) = table::table(&rows, &budgets);
        let release = rows.first().map(|row| row.kernel.clone()).unwrap_or_default();
        println!("kernel {release}: instructions per operation, and over nothing attached");
        print!("{text}");
        missed += over;
        all.extend(rows);
    }
    if let Some(file) = &arguments.json {
        let mut lines = String::new();
        for row in &all {
            writeln!(lines, "{}", serde_json::to_string(row)?)?;
        }
        std::fs::write(file, lines).with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{} rows, {missed} over budget", all.len());
    Ok(i32::from(arguments.check && missed > 0))
}

/// Builds the programs that run beside a cluster as they are shipped, and returns their directory.
fn cluster_programs() -> Result<PathBuf> {
    progress::step("building lictor-operator and lictor-sim-nodes for release", || {
        let packages = ["-p", "lictor-operator", "-p", "lictor-e2e-nodes"];
        test::quiet(test::cargo().args(["build", "--quiet", "--release", "--bins"]).args(packages))
    })?;
    Ok(crate::target_directory().join("release"))
}

/// Builds the programs that guests run as they are shipped, and returns their directory.
fn programs() -> Result<PathBuf> {
    progress::step("building lictor-lab and lictor-node for release", || {
        let packages = ["-p", "lictor-e2e-guest", "-p", "lictor-node-worker"];
        test::quiet(test::cargo().args(["build", "--quiet", "--release", "--bins"]).args(packages))
    })?;
    let built = crate::target_directory().join("release");
    let directory = crate::target_directory().join("bench");
    std::fs::create_dir_all(&directory)?;
    for program in ["lictor-lab", "lictor-node"] {
        test::quiet(Command::new("strip").arg("-o").arg(directory.join(program)).arg(built.join(program)))?;
    }
    Ok(directory)
}
