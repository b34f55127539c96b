//! Simulated nodes for tests and measurements: `Node` objects, and for each of them a node worker's cluster half. It reads
//! its assignment, fetches and verifies what that names, and reports what a kernel would hold. There is no kernel.
#![expect(clippy::print_stdout, reason = "this is a program for the terminal")]

mod simulation;

use anyhow::{Context as _, Result};
use clap::Parser;
use kube::Client;
use std::time::Duration;

/// Simulates nodes in the cluster of KUBECONFIG.
#[derive(Debug, Parser)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Namespace of the operator's objects
    #[arg(long, default_value = "lictor")]
    namespace: String,
    /// Functions of the kernels of these nodes: NODE=FUNCTION; other nodes have all of them
    #[arg(long = "function", value_parser = pair)]
    functions: Vec<(String, String)>,
    /// What a node cannot enforce: NODE=POLICY
    #[arg(long = "unsupported", value_parser = pair)]
    unsupported: Vec<(String, String)>,
    /// Longest time until a node takes what it is told, milliseconds; each time another one
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Time until a machine that took the name of another one begins to report, milliseconds
    #[arg(long, default_value_t = 0)]
    boot_ms: u64,
    /// Hold each status of a policy against what the nodes enforce; what is claimed and not so is told in a line with
    /// the words FALSE READY
    #[arg(long)]
    check: bool,
}

impl Args {
    fn boot(&self) -> Duration {
        Duration::from_millis(self.boot_ms)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (left, right) = text.split_once('=').ok_or_else(|| format!("found `{text}`; allowed: NODE=NAME"))?;
    Ok((left.to_owned(), right.to_owned()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.context("finding the cluster")?;
    let nodes = args.nodes;
    let simulation = simulation::Simulation::create(client, args).await?;
    println!("{nodes} nodes");
    simulation.run().await
}
