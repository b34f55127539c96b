//! Operations under sets of policies.

use super::Recorder;
use super::operations::{Operation, Workload};
use super::policies::{Hooks, Last, Set};
use anyhow::{Result, anyhow, bail, ensure};
use lictor_e2e::bench::row::Measure;
use lictor_node_worker::kernel::facts::System;
use lictor_node_worker::kernel::{self, Engine, facts};
use lictor_node_worker::port::{KernelPort, RecordSource, error_chain};
use lictor_node_worker::source::live::bring_live;
use lictor_node_worker::source::set::PolicySet;
use lictor_policy::plan::{Compiled, Plan, compile};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for records that are there already.
const DRAIN: Duration = Duration::from_millis(1);

/// The engine with whatever is live in it, and the reader of its records.
pub(super) struct Bench<R> {
    system: System,
    engine: RefCell<Engine>,
    ring: RefCell<R>,
    records: Cell<usize>,
}

/// Opens the engine.
pub(super) fn open() -> Result<Bench<impl RecordSource>> {
    let system = facts::gather()?;
    let (engine, ring) = kernel::open(kernel::Options::default(), system.symbols.clone())
        .map_err(|error| anyhow!(error_chain(&error)))?;
    let (engine, ring) = (RefCell::new(engine), RefCell::new(ring));
    Ok(Bench { system, engine, ring, records: Cell::new(0) })
}

impl<R: RecordSource> Bench<R> {
    /// Compiles the texts; a policy that is refused is an error.
    pub(super) fn plan(&self, texts: &[String]) -> Result<Arc<Plan>> {
        let mut policies = Vec::with_capacity(texts.len());
        for text in texts {
            match lictor_policy::load(text, None) {
                Ok(loaded) => policies.push(loaded.policy),
                Err(violations) => bail!("{violations}"),
            }
        }
        let Compiled { plan, refusals, .. } = compile(&policies, &self.system.facts);
        if let Some(refusal) = refusals.first() {
            bail!("{refusal}");
        }
        Ok(Arc::new(plan))
    }

    /// Makes the plan live.
    pub(super) fn apply(&self, plan: &Arc<Plan>) -> Result<()> {
        let mut engine = self.engine.borrow_mut();
        engine.apply(plan, &mut |_| ()).map_err(|error| anyhow!(error_chain(&error)))?;
        Ok(())
    }

    /// Makes the files of `set` live, as the node worker does.
    pub(super) fn bring_live(&self, set: &mut PolicySet) -> Result<()> {
        let mut engine = self.engine.borrow_mut();
        bring_live(set, &self.system.facts, &mut *engine, &mut |_| ())
            .map_err(|error| anyhow!(error_chain(&error)))?;
        Ok(())
    }

    pub(super) fn engine(&self) -> std::cell::Ref<'_, Engine> {
        self.engine.borrow()
    }

    /// Takes all records out of the ring.
    fn drain(&self) -> Result<()> {
        let mut ring = self.ring.borrow_mut();
        loop {
            let batch = ring.poll(DRAIN, &mut |_| ())?;
            ring.commit()?;
            self.records.set(self.records.get() + batch.records);
            if batch.records == 0 {
                return Ok(());
            }
        }
    }

    /// Records lost and failures in the kernel so far.
    fn failures(&self) -> Result<u64> {
        let engine = self.engine.borrow();
        let lost: u64 = engine.hook_states()?.iter().map(|state| state.counts.lost).sum();
        let sites: u64 = engine.site_counts()?.iter().map(|count| count.count).sum();
        Ok(lost + sites)
    }

    /// Detaches everything.
    pub(super) fn release(self) -> Result<()> {
        Ok(self.engine.into_inner().release()?)
    }
}

/// Whether the caches are left alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warmth {
    Hot,
    /// Everything is forgotten before each operation.
    Cold,
}

/// Measures `operation` under what is live.
fn measure<R: RecordSource>(
    recorder: &mut Recorder,
    work: &Workload,
    bench: &Bench<R>,
    live: (u32, u32),
    (operation, variant, warmth): (Operation, &str, Warmth),
) -> Result<()> {
    if !recorder.wants(operation, variant) {
        return Ok(());
    }
    let before = bench.failures()?;
    let round = || {
        bench.drain()?;
        // A scan is about files that nothing is known of.
        Ok(bench.engine().forget_paths()?)
    };
    let cost = match warmth {
        Warmth::Hot => work.measure(operation, round, || Ok(()))?,
        Warmth::Cold => work.measure(operation, round, || Ok(bench.engine().forget_paths()?))?,
    };
    bench.drain()?;
    let failures = bench.failures()? - before;
    ensure!(
        failures == 0,
        "{} {variant}: {failures} records lost or failures in the kernel",
        operation.name()
    );
    recorder.put(operation.name(), variant, live, Measure::Instructions(cost))
}

/// The base programs alone, then the sets asked for.
pub(super) fn run(
    recorder: &mut Recorder,
    work: &Workload,
    counts: &[u32],
    lsm: bool,
    observe: bool,
) -> Result<()> {
    let bench = open()?;
    for operation in Operation::ALL {
        measure(recorder, work, &bench, (0, 0), (operation, "base programs", Warmth::Hot))?;
    }
    for count in counts {
        if lsm {
            lsm_sets(recorder, work, &bench, *count)?;
        }
        if observe {
            observe_sets(recorder, work, &bench, *count)?;
        }
    }
    if lsm && counts.contains(&1000) {
        many_rules(recorder, work, &bench)?;
    }
    bench.release()
}

/// Makes the set live; policies and hook points.
fn live<R: RecordSource>(bench: &Bench<R>, set: Set) -> Result<(u32, u32)> {
    let plan = bench.plan(&set.texts())?;
    bench.apply(&plan)?;
    Ok((set.policies, plan.hooks.len() as u32))
}

const OPEN_AND_READ: [Operation; 2] = [Operation::Open, Operation::Read];

fn lsm_sets<R: RecordSource>(
    recorder: &mut Recorder,
    work: &Workload,
    bench: &Bench<R>,
    count: u32,
) -> Result<()> {
    let at = live(bench, Set::new(Hooks::Lsm, Last::Same, count))?;
    for operation in Operation::ALL {
        measure(recorder, work, bench, at, (operation, "no match", Warmth::Hot))?;
    }
    for operation in OPEN_AND_READ {
        measure(recorder, work, bench, at, (operation, "no match, cold", Warmth::Cold))?;
    }
    // What follows does not depend on the number of policies but through what these two show.
    if count != 1 && count != 1000 {
        return Ok(());
    }
    let variants = [
        (Last::Named, "path named, no match"),
        (Last::Silent, "match without record"),
        (Last::ReportPath, "match, record with path"),
    ];
    for (last, variant) in variants {
        let at = live(bench, Set::new(Hooks::Lsm, last, count))?;
        // The last of 1,000 policies has all three hooks, like the first.
        for operation in OPEN_AND_READ {
            measure(recorder, work, bench, at, (operation, variant, Warmth::Hot))?;
        }
        if last == Last::Named {
            for operation in OPEN_AND_READ {
                let variant = format!("{variant}, cold");
                measure(recorder, work, bench, at, (operation, &variant, Warmth::Cold))?;
            }
        }
    }
    if count == 1 {
        // With other policies on the hook, their values would be in the record too.
        let at = live(bench, Set::new(Hooks::Lsm, Last::ReportBare, count))?;
        for operation in OPEN_AND_READ {
            measure(recorder, work, bench, at, (operation, "match, record without path", Warmth::Hot))?;
        }
    }
    Ok(())
}

fn observe_sets<R: RecordSource>(
    recorder: &mut Recorder,
    work: &Workload,
    bench: &Bench<R>,
    count: u32,
) -> Result<()> {
    let at = live(bench, Set::new(Hooks::Observe, Last::Same, count))?;
    for operation in [Operation::Read, Operation::Write] {
        measure(recorder, work, bench, at, (operation, "observed, no match", Warmth::Hot))?;
    }
    measure(recorder, work, bench, at, (Operation::Read, "observed, no match, cold", Warmth::Cold))?;
    let at = live(bench, Set::new(Hooks::Descriptor, Last::Same, count))?;
    measure(recorder, work, bench, at, (Operation::Write, "write by descriptor, no match", Warmth::Hot))?;
    if count != 1 && count != 1000 {
        return Ok(());
    }
    let variants = [
        (Last::Named, "observed, path named, no match"),
        (Last::Silent, "observed, match without record"),
        (Last::ReportPath, "observed, match, record with path"),
    ];
    for (last, variant) in variants {
        let at = live(bench, Set::new(Hooks::Observe, last, count))?;
        measure(recorder, work, bench, at, (Operation::Read, variant, Warmth::Hot))?;
    }
    Ok(())
}

/// As many rules on one hook point as there can be.
fn many_rules<R: RecordSource>(recorder: &mut Recorder, work: &Workload, bench: &Bench<R>) -> Result<()> {
    let set = Set { rules: 4, ..Set::new(Hooks::Lsm, Last::Same, 1024) };
    let at = live(bench, set)?;
    measure(recorder, work, bench, at, (Operation::Open, "no match, 4,096 rules", Warmth::Hot))?;
    measure(recorder, work, bench, at, (Operation::Open, "no match, 4,096 rules, cold", Warmth::Cold))?;
    let at = live(bench, Set { last: Last::AllNamed, ..set })?;
    measure(
        recorder,
        work,
        bench,
        at,
        (Operation::Open, "path named by 4,096 rules, no match", Warmth::Hot),
    )?;
    measure(
        recorder,
        work,
        bench,
        at,
        (Operation::Open, "path named by 4,096 rules, no match, cold", Warmth::Cold),
    )
}
