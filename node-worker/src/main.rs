//! `lictor-node`: the node worker.

use anyhow::Context as _;
use clap::Parser as _;
use lictor_node_worker::args::{Args, LogFormat};
use lictor_node_worker::kernel;
use lictor_node_worker::runtime::{SystemSignals, prepare, run};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = start_log(&args) {
        // There is no log to say it in.
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "lictor-node: {error:#}");
        return ExitCode::from(2);
    }
    match begin(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(args: &Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log {}", args.log))?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match args.log_format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            log.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn begin(args: Args) -> anyhow::Result<()> {
    let options = kernel::Options {
        pin_root: args.pin_dir.clone(),
        ring_bytes: args.ring_bytes,
        ..kernel::Options::default()
    };
    let prepared = prepare(args)?;
    let system = kernel::facts::gather()?;
    for note in &system.notes {
        tracing::warn!("{note}");
    }
    let (port, source) = kernel::open(options, system.symbols)?;
    run(prepared, system.facts, system.notes, port, source, SystemSignals::default())?;
    Ok(())
}
