//! `lictor policy`: what can be said about policies without loading them.

mod check;
mod explain;
mod input;
mod machine;
mod sizes;
mod words;

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies: prints everything that is wrong with them, and ends with exit code 1 if anything is.
    Check(Options),
    /// Explain policies: where each hook attaches and why, what it reads, its rules, and what it costs.
    Explain(Options),
}

/// What both commands take.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Policy files, directories of them (*.yaml, *.yml, *.json), or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Whether policies are also tried against the kernel of this machine.
    #[arg(long, value_enum, default_value_t = FactsFrom::Auto)]
    facts: FactsFrom,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Whose kernel policies are tried against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FactsFrom {
    /// This machine's, when all of its facts can be read (for which one has to be root).
    Auto,
    /// None: only what holds on every kernel is checked.
    None,
    /// This machine's; what cannot be read counts as not there.
    System,
}

/// Runs a command; `false` = something was refused.
pub(crate) fn run(command: &Command) -> anyhow::Result<bool> {
    match command {
        Command::Check(options) => {
            check::run(options, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
        Command::Explain(options) => {
            explain::run(options, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
        }
    }
}
