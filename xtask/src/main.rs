//! Developer commands of this repository: `cargo xtask COMMAND`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod lab;
mod progress;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer commands of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command on lab kernels and return its output and exit code
    Lab(lab::Arguments),
}

fn main() -> ExitCode {
    progress::start();
    let result = match Cli::parse().command {
        Command::Lab(arguments) => lab::run(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(125)
        }
    }
}
