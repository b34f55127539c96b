//! Developer commands of this repository: `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, reason = "this is a program for the terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod cluster;
mod codegen;
mod demo;
mod lab;
mod progress;
mod setup;
mod test;
mod tidy;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer commands of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the Debian packages that the other commands need
    Setup,
    /// Play the tour: what the product does, on a real kernel, in ten steps
    Demo(demo::Arguments),
    /// Run a command on lab kernels and return its output and exit code
    Lab(lab::Arguments),
    /// Run a command, or a shell, against a real Kubernetes: a fresh control plane, or the cluster of `KUBECONFIG`
    Cluster(cluster::Arguments),
    /// Run the tests
    Test(test::Arguments),
    /// Measure what the engine costs and compare it with the budgets
    Bench(bench::Arguments),
    /// Write the generated sources
    Codegen {
        /// Only check that the committed ones are fresh
        #[arg(long)]
        check: bool,
    },
    /// Check the rules of this repository
    Tidy,
}

fn main() -> ExitCode {
    progress::start();
    match run(&Cli::parse().command) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn run(command: &Command) -> Result<i32> {
    match command {
        Command::Setup => setup::run().map(|()| 0),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Cluster(arguments) => cluster::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Codegen { check } => setup::run().and_then(|()| codegen::run(*check)).map(|()| 0),
        Command::Tidy => {
            let found = tidy::check(&root())?;
            for violation in &found {
                println!("{violation}");
            }
            Ok(i32::from(!found.is_empty()))
        }
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |directory| root().join(directory))
}
