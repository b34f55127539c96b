//! What the engine costs, measured from inside the guest: one row of JSON per measure.

mod agent;
mod clock;
mod load;
mod operations;
mod policies;
mod sets;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use clock::Effort;
use lictor_e2e::bench::row::{Measure, Row, names};
use lictor_node_worker::kernel::{facts, measure::attach_empty};
use lictor_policy::plan::{Attach, HookPoint};
use operations::{Operation, Workload};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// Nothing attached, and programs that do nothing.
    Base,
    /// LSM hooks with 1 to 1,000 policies, and 4,096 rules.
    Lsm,
    /// Functions observed by trampoline, with 1 to 1,000 policies.
    Observe,
    /// Start, load, change, memory.
    Load,
    /// The node worker as a process: memory, cost of an event, losses.
    Agent,
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File for the rows, one line each
    #[arg(long)]
    rows: PathBuf,
    /// Fewer rounds, operations and numbers of policies
    #[arg(long)]
    quick: bool,
    /// Measure only these parts (nothing attached is always measured)
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Measure only these operations
    #[arg(long, value_enum, value_delimiter = ',')]
    operations: Vec<Operation>,
    /// Measure only variants with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    variant: String,
    /// Numbers of policies
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    policies: Vec<u32>,
}

/// Where rows go: to the file, and to the terminal as they come.
struct Recorder {
    file: File,
    /// None = all.
    operations: Vec<Operation>,
    variant: String,
}

impl Recorder {
    /// Whether somebody asked for this row.
    fn wants(&self, operation: Operation, variant: &str) -> bool {
        (self.operations.is_empty() || self.operations.contains(&operation))
            && variant.contains(&self.variant)
    }

    fn put(&mut self, operation: &str, variant: &str, live: (u32, u32), measure: Measure) -> Result<()> {
        let row = Row {
            kernel: String::new(),
            operation: operation.to_owned(),
            variant: variant.to_owned(),
            policies: live.0,
            hooks: live.1,
            measure,
            added: None,
        };
        let line = serde_json::to_string(&row)?;
        println!("{line}");
        writeln!(self.file, "{line}").context("writing a row")
    }
}

/// Measures and records.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let file = File::create(&arguments.rows).with_context(|| arguments.rows.display().to_string())?;
    let mut recorder =
        Recorder { file, operations: arguments.operations.clone(), variant: arguments.variant.clone() };
    let effort = if arguments.quick {
        Effort { rounds: 2, operations: 500 }
    } else {
        Effort { rounds: 3, operations: 2000 }
    };
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let work = Workload::new(effort)?;
    let nothing = || Ok(());
    for operation in Operation::ALL {
        // What others are compared with.
        if !recorder.wants(operation, &arguments.variant) {
            continue;
        }
        let cost = work.measure(operation, nothing, nothing)?;
        recorder.put(operation.name(), names::NOTHING, (0, 0), Measure::Instructions(cost))?;
    }
    if wanted(Part::Base) {
        empty(&mut recorder, &work)?;
    }
    let counts: &[u32] = match (&arguments.policies[..], arguments.quick) {
        ([], true) => &[1, 1000],
        ([], false) => &[1, 10, 100, 1000],
        (asked, _) => asked,
    };
    sets::run(&mut recorder, &work, counts, wanted(Part::Lsm), wanted(Part::Observe))?;
    if wanted(Part::Load) {
        load::run(&mut recorder)?;
    }
    if wanted(Part::Agent) {
        agent::run(&mut recorder, &work)?;
    }
    Ok(())
}

/// Programs that do nothing, at the places that the engine attaches to.
fn empty(recorder: &mut Recorder, work: &Workload) -> Result<()> {
    let system = facts::gather()?;
    let places = [
        (Attach::Lsm, "file_open", Operation::Open),
        (Attach::Lsm, "file_permission", Operation::Read),
        (Attach::Lsm, "file_permission", Operation::Write),
        (Attach::Fentry, "security_file_permission", Operation::Read),
        (Attach::Fentry, "security_file_permission", Operation::Write),
        (Attach::Kprobe, "security_file_permission", Operation::Read),
        (Attach::Kprobe, "security_file_permission", Operation::Write),
    ];
    for (attach, symbol, operation) in places {
        let point = HookPoint { attach, symbol: symbol.to_owned() };
        let link = attach_empty(system.symbols.as_ref(), &point)?;
        let cost = work.measure(operation, || Ok(()), || Ok(()))?;
        drop(link);
        let variant = format!("{}, {point}", names::EMPTY);
        recorder.put(operation.name(), &variant, (0, 1), Measure::Instructions(cost))?;
    }
    Ok(())
}
