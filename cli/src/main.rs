//! `lictor`: checks and explains policies, and talks to the node worker of this machine.
//!
//! Exit codes: 0 = done, 1 = something was refused or failed, 2 = wrong use.

mod events;
mod node;
mod policy;
mod shell;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// Runtime security by policies that the kernel itself judges by.
#[derive(Debug, Parser)]
#[command(name = "lictor", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check and explain policies before they are loaded.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look at this machine's node worker, or end what it enforces.
    #[command(subcommand)]
    Node(node::Command),
    /// Show events of this machine as they happen.
    Events(events::Options),
    /// Print what makes a shell complete this program's arguments.
    Completions(shell::CompletionsOptions),
    /// Print or write manual pages.
    Man(shell::ManOptions),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Policy(command) => policy::run(&command),
        Command::Node(command) => node::run(&command),
        Command::Events(options) => events::run(&options),
        Command::Completions(options) => shell::completions(&options, Cli::command()),
        Command::Man(options) => shell::man(&options, Cli::command()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has seen enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "lictor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
