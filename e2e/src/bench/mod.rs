//! What the engine costs: measured in a guest in which one instruction takes one nanosecond.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{Acceleration, KernelName, Lab, Options, Outcome};

pub mod budget;
pub(crate) mod gate;
pub mod row;
pub mod table;

use row::Row;

/// The file that the program in the guest leaves: one row per line.
const ROWS_FILE: &str = "rows.jsonl";
/// Guest memory, MiB: 1,000 policies, and their tables twice.
const MEMORY_MIB: u32 = 2048;
/// Longest run of one guest, wall-clock.
const TIMEOUT: Duration = Duration::from_hours(1);
/// Guest seconds until the kernel has nothing left to do from its boot; they cost nothing, an idle guest skips them.
const SETTLE_SECONDS: u32 = 8;

/// Runs `lictor-lab bench` in a guest of `kernel`. `programs` is the directory with the guest's programs, built for
/// release; `arguments` are passed on.
///
/// # Errors
/// When the guest does not come to its end, or the program in it fails.
pub fn run(kernel: KernelName, programs: &Path, arguments: &str, options: Options) -> Result<Vec<Row>> {
    let options = Options {
        cpus: 1,
        memory_mib: MEMORY_MIB,
        timeout: TIMEOUT,
        acceleration: Acceleration::Deterministic,
        ..options
    };
    let mut lab = Lab::new(kernel, options);
    for program in ["lictor-lab", "lictor-node"] {
        let built = programs.join(program);
        if built.exists() {
            lab = lab.file(built, format!("/usr/bin/{program}"));
        }
    }
    let script =
        format!("sleep {SETTLE_SECONDS}; exec lictor-lab bench {arguments} --rows $LAB_OUT/{ROWS_FILE}");
    let outcome = lab.run(&script)?;
    let mut rows = rows_of(&outcome)?;
    row::complete(&mut rows, &outcome.release);
    Ok(rows)
}

fn rows_of(outcome: &Outcome) -> Result<Vec<Row>> {
    ensure!(
        outcome.exit_code == 0,
        "lictor-lab bench ended with {}; its output:\n{}",
        outcome.exit_code,
        outcome.text()
    );
    let bytes = outcome.files.get(ROWS_FILE).context("lictor-lab bench left no rows")?;
    String::from_utf8_lossy(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a row: {line}")))
        .collect()
}
