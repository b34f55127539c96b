//! What starting, loading and changing cost, and what memory is held.

use super::Recorder;
use super::clock::{guest_ns, process_instructions};
use super::policies::{Hooks, Last, Set};
use super::sets::{Bench, open};
use anyhow::{Context, Result, ensure};
use lictor_e2e::bench::row::Measure;
use lictor_node_worker::port::{KernelPort, RecordSource};
use lictor_node_worker::source::set::{FileRead, FileState, PolicySet};

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

/// Reads the files and brings the set into the kernel, as the node worker does; records the whole and its parts.
fn load<R: RecordSource>(
    recorder: &mut Recorder,
    bench: &Bench<R>,
    variant: &str,
    live: (u32, u32),
    (set, files): (&mut PolicySet, &[(u32, String)]),
) -> Result<()> {
    measured(recorder, ("load", variant), live, |recorder| {
        measured(recorder, ("load: read", variant), live, |_| {
            for (number, text) in files {
                set.apply(&format!("bench-{number:05}.yaml"), FileRead::Text(text.clone()));
            }
            Ok(())
        })?;
        measured(recorder, ("load: compile and apply", variant), live, |_| bench.bring_live(set))
    })?;
    let states = set.status();
    let not_live = states.iter().find(|file| file.state != FileState::Live);
    ensure!(not_live.is_none() && states.len() == live.0 as usize, "not all policies are live: {not_live:?}");
    Ok(())
}

fn memory<R: RecordSource>(
    recorder: &mut Recorder,
    bench: &Bench<R>,
    variant: &str,
    live: (u32, u32),
) -> Result<f64> {
    let kernel = bench.engine().memory_bytes() as f64;
    recorder.put("kernel memory", variant, live, Measure::Bytes(kernel))?;
    recorder.put("bench memory", variant, live, Measure::Bytes(resident_bytes()?))?;
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
    for (name, bytes) in bench.engine().map_memory() {
        recorder.put("kernel memory, map", name, (0, 0), Measure::Bytes(bytes as f64))?;
    }
    let mut files = PolicySet::default();
    let numbered = |set: Set| -> Vec<(u32, String)> { (0..).zip(set.texts()).collect() };
    let one = numbered(Set::new(Hooks::Lsm, Last::Same, 1));
    load(recorder, &bench, "first policy", (1, 3), (&mut files, &one))?;
    memory(recorder, &bench, "policies", (1, 3))?;
    for (point, _, instructions) in bench.engine().verified_instructions() {
        let measure = Measure::Count(f64::from(instructions));
        recorder.put("verified instructions", &point.to_string(), (1, 3), measure)?;
    }

    let thousand = numbered(Set::new(Hooks::Lsm, Last::Same, 1000));
    load(recorder, &bench, "all policies", (1000, 3), (&mut files, &thousand))?;
    let full = memory(recorder, &bench, "policies", (1000, 3))?;
    // The tables of the revision before are kept in the other slot until the next switch.
    let changed = [(500, Set::new(Hooks::Lsm, Last::Named, 501).text(500))];
    load(recorder, &bench, "one policy changed", (1000, 3), (&mut files, &changed))?;
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
