//! `cargo xtask demo`: plays the tour on a real kernel, for a person to watch.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::Args;
use lictor_e2e::lab::{KernelName, LabContext, Options};
use lictor_e2e::tour::{self, Player, STEPS_COUNT, Step};

use crate::{lab, progress, setup, test};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kernel to boot: 6.1, 6.12 or sid
    #[arg(long, short = 'k', value_name = "KERNEL", default_value = "6.12")]
    kernel: KernelName,
    /// Play it on this machine's own kernel; its policies then hold for the whole machine while it lasts
    #[arg(long, conflicts_with = "kernel")]
    native: bool,
    /// Only the line of each step
    #[arg(long)]
    brief: bool,
}

/// What came so far. The lab calls a plain function with output, so this cannot be a local variable.
static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Stage {
    player: Player,
    brief: bool,
    passed: usize,
    failed: usize,
}

impl Stage {
    fn show(&mut self, step: &Step) {
        let cases = step.cases();
        let failures: Vec<_> = cases.iter().filter(|case| case.failure.is_some()).collect();
        if !self.brief {
            print!("{}", step.transcript());
        }
        let outcome = if failures.is_empty() { "ok" } else { "FAILED" };
        println!("tour {} {} ... {outcome}", step.number, step.name);
        for case in &failures {
            println!("    {}: {}", case.name, case.failure.as_deref().unwrap_or_default().trim_end());
        }
        *if failures.is_empty() { &mut self.passed } else { &mut self.failed } += 1;
    }
}

fn with_stage<T>(work: impl FnOnce(&mut Stage) -> T) -> T {
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    work(stage.get_or_insert_default())
}

fn watch(bytes: &[u8]) {
    with_stage(|stage| {
        for step in stage.player.feed(bytes) {
            stage.show(&step);
        }
    });
}

/// Plays the tour; the exit code is 0 when every step was played and passed.
pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    setup::run()?;
    let programs = test::build_programs()?;
    let options = Options { live: Some(watch), report: progress::line, ..Options::default() };
    let context = LabContext { kernel: arguments.kernel, programs, options };
    with_stage(|stage| stage.brief = arguments.brief);
    let outcome = if arguments.native {
        progress::step("playing the tour on this machine's kernel", || tour::play_native(&context))
    } else {
        lab::fetch(arguments.kernel).context("getting the kernel")?;
        let what = format!("booting kernel {} in a virtual machine and playing the tour", arguments.kernel);
        progress::step(&what, || tour::play(&context))
    }?;
    Ok(with_stage(|stage| {
        let missing = STEPS_COUNT.saturating_sub(stage.passed + stage.failed);
        if missing > 0 {
            println!("{missing} steps were not played; what else was printed:");
            println!("{}", stage.player.other_output());
        }
        println!(
            "tour on kernel {}: {} passed, {} failed",
            outcome.release,
            stage.passed,
            stage.failed + missing
        );
        i32::from(stage.failed + missing > 0)
    }))
}
