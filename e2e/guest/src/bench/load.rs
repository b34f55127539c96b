//! What starting, loading and changing cost, and what memory is held.

use super::Recorder;
use super::clock::{guest_ns, process_instructions};
use super::policies::{Hooks, Last, Set};
use super::sets::{Bench, open};
use anyhow::{Context, Result};
use lictor_e2e::bench::row::Measure;
use lictor_node_worker::port::{KernelPort, RecordSource};

/// Records instructions of this process and guest time of `work`.
fn measured<T>(
    recorder: &mut Recorder,
    (operation, variant): (&str, &str),
    live: (u32, u32),
    work: impl FnOnce(&mut Recorder) -> Result<T>,
) -> Result<T> {
    let (instructions, time) = (process_instructions(), guest_ns());
    let result = work(recorder)?;
    let (instructions, time) = (process_instructions() - instructions, guest_ns() - time);
    recorder.put(operation, variant, live, Measure::Instructions(instructions))?;
    recorder.put(&format!("{operation}, time"), variant, live, Measure::GuestNs(time))?;
    Ok(result)
}

/// Brings the texts into the kernel and records the whole and its halves.
fn load<R: RecordSource>(
    recorder: &mut Recorder,
    bench: &Bench<R>,
    variant: &str,
    live: (u32, u32),
    texts: &[String],
) -> Result<()> {
    measured(recorder, ("load", variant), live, |recorder| {
        let plan = measured(recorder, ("load: compile", variant), live, |_| bench.plan(texts))?;
        measured(recorder, ("load: apply", variant), live, |_| bench.apply(&plan))
    })
}

fn memory<R: RecordSource>(
    recorder: &mut Recorder,
    bench: &Bench<R>,
    variant: &str,
    live: (u32, u32),
) -> Result<f64> {
    let kernel = bench.engine().memory_bytes() as f64;
    recorder.put("kernel memory", variant, live, Measure::Bytes(kernel))?;
    recorder.put("agent memory (lictor-lab)", variant, live, Measure::Bytes(resident_bytes()?))?;
    Ok(kernel)
}

/// Resident memory of this process, bytes.
fn resident_bytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// Measures and records.
pub(super) fn run(recorder: &mut Recorder) -> Result<()> {
    let bench = measured(recorder, ("start", "open the engine"), (0, 0), |_| open())?;
    let base = memory(recorder, &bench, "base", (0, 0))?;
    let one = Set::new(Hooks::Lsm, Last::Same, 1).texts();
    load(recorder, &bench, "first policy", (1, 3), &one)?;
    memory(recorder, &bench, "policies", (1, 3))?;
    for (point, _, instructions) in bench.engine().verified_instructions() {
        let measure = Measure::Count(f64::from(instructions));
        recorder.put("verified instructions", &point.to_string(), (1, 3), measure)?;
    }

    let mut thousand = Set::new(Hooks::Lsm, Last::Same, 1000).texts();
    load(recorder, &bench, "all policies", (1000, 3), &thousand)?;
    let full = memory(recorder, &bench, "policies", (1000, 3))?;
    // The tables of the revision before are kept in the other slot until the next switch.
    thousand[500] = Set::new(Hooks::Lsm, Last::Named, 501).text(500);
    load(recorder, &bench, "one policy changed", (1000, 3), &thousand)?;
    let twice = memory(recorder, &bench, "policies, both slots", (1000, 3))?;
    recorder.put(
        "kernel memory per policy",
        "policies",
        (1000, 3),
        Measure::Bytes((full - base) / 1000.0),
    )?;
    let both = Measure::Bytes((twice - base) / 1000.0);
    recorder.put("kernel memory per policy", "policies, both slots", (1000, 3), both)?;
    bench.release()
}
