//! Runs inside the lab's guest: drives the engine without the node worker around it.
#![allow(clippy::print_stdout, reason = "its output is what tests read")]
#![allow(clippy::cast_precision_loss, reason = "measures are shown, not computed with")]
#![allow(clippy::similar_names, reason = "hooks here are plural more often than not")]

mod bench;
mod drive;
mod judge;
mod tools;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use lictor_node_worker::kernel::{self, facts};
use lictor_node_worker::port::{KernelPort, RecordSource, error_chain};
use lictor_policy::model::Policy;
use lictor_policy::plan::{Compiled, compile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Drives the engine inside the lab's guest")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what the engine costs.
    Bench(bench::Arguments),
    /// Judge made-up events by the kernel's programs and by the oracle, and compare.
    Judge {
        /// Events to compare, at least.
        #[arg(long, default_value_t = 10_000)]
        cases: u64,
        /// Events for each hook point of a set of policies.
        #[arg(long, default_value_t = 100)]
        events: u64,
        /// First set of policies.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Carry out commands that come on stdin.
    Serve(drive::Arguments),
    /// Do one thing that no ordinary program does.
    #[command(subcommand)]
    Tool(tools::Tool),
    /// Connect who asks (HTTP CONNECT) to what is asked for: the way into a node for the API server.
    Relay {
        /// Address to listen on.
        listen: std::net::SocketAddr,
    },
    /// Make the policies live, print what is attached, run a shell command, print counters, release everything.
    Run {
        /// Policy files.
        #[arg(long = "policy")]
        policies: Vec<PathBuf>,
        /// Shell command to run while the policies are live.
        #[arg(long)]
        command: Option<String>,
        /// Count which way the engine takes.
        #[arg(long)]
        stats: bool,
        /// Leave everything attached.
        #[arg(long)]
        keep: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Judge { cases, events, seed } => judge::run(cases, events, seed),
        Command::Serve(arguments) => drive::run(arguments),
        Command::Relay { listen } => lictor_e2e::cluster::relay(listen),
        Command::Tool(tool) => tools::run(tool),
        Command::Run { policies, command, stats, keep } => run(&policies, command.as_deref(), stats, keep),
    }
}

fn load(paths: &[PathBuf]) -> Result<Vec<Policy>> {
    paths.iter().map(|path| load_one(path)).collect()
}

fn load_one(path: &Path) -> Result<Policy> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    match lictor_policy::load(&text, path.to_str()) {
        Ok(loaded) => Ok(loaded.policy),
        Err(violations) => bail!("{violations}"),
    }
}

fn run(paths: &[PathBuf], command: Option<&str>, stats: bool, keep: bool) -> Result<()> {
    let system = facts::gather()?;
    let begin = Instant::now();
    let Compiled { plan, refusals, .. } = compile(&load(paths)?, &system.facts);
    for refusal in &refusals {
        println!("refused: {refusal}");
    }
    println!("compiled in {:?}", begin.elapsed());
    let begin = Instant::now();
    let options = kernel::Options { count_stats: stats, ..kernel::Options::default() };
    let (mut engine, mut ring) = kernel::open(options, system.symbols.clone())
        .map_err(|error| anyhow::anyhow!(error_chain(&error)))?;
    println!("opened in {:?}", begin.elapsed());
    let begin = Instant::now();
    let applied =
        engine.apply(&Arc::new(plan), &mut |_| ()).map_err(|error| anyhow::anyhow!(error_chain(&error)))?;
    println!("revision {} in {:?}, memory {}", applied.revision, begin.elapsed(), engine.memory_bytes());
    for state in engine.hook_states()? {
        println!("hook {} slot {} rules {}: {}", state.point, state.slot, state.rules, state.reason);
    }
    for (point, shape, instructions) in engine.verified_instructions() {
        println!("verified {point} shape {shape}: {instructions}");
    }
    if let Some(command) = command {
        let status = std::process::Command::new("sh").arg("-c").arg(command).status()?;
        println!("command ended: {status}");
    }
    let mut kinds = std::collections::BTreeMap::new();
    ring.poll(Duration::from_millis(50), &mut |record| {
        *kinds.entry(record.first().copied().unwrap_or(0)).or_insert(0) += 1;
    })?;
    ring.commit()?;
    println!("records by kind: {kinds:?}");
    for (policy, counts) in engine.policy_counts()? {
        println!("policy {policy}: {counts:?}");
    }
    for state in engine.hook_states()? {
        println!("counts {}: {:?} missed {}", state.point, state.counts, state.missed_runs);
    }
    for count in
        engine.site_counts()?.into_iter().chain(engine.stat_counts()?).filter(|count| count.count > 0)
    {
        println!("count {}: {}", count.name, count.count);
    }
    if !keep {
        engine.release()?;
    }
    Ok(())
}
