//! The tour: ten steps that show what the product does on a real kernel, as a test and as something to watch.
//!
//! A script in the guest does what a person would do, and prints it together with the events of each step; the
//! [`Player`] reads that as it comes and judges each step when it has ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::lab::{CASE_FUNCTIONS, CaseResult, KernelName, Lab, LabContext, LabTest, Options, Outcome};

mod checks;
mod events;
mod player;

pub use player::{Player, Step};

/// Functions for scripts that run the node worker.
pub(crate) const FUNCTIONS: &str = include_str!("tour.sh");
const STEPS: &str = include_str!("steps.sh");

/// The tests.
pub(crate) const TESTS: &[LabTest] = &[LabTest { name: "tour", kernels: KernelName::ALL, run: test }];

/// Steps of the tour.
pub const STEPS_COUNT: usize = 10;

/// Directory of the policies that the tour uses.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tour")
}

/// How the tour's guest is run.
fn options(options: &Options) -> Options {
    Options { timeout: Duration::from_mins(15), ..options.clone() }
}

/// Plays the tour in a guest; whoever wants to watch gives [`Options::live`] and feeds a [`Player`].
///
/// # Errors
/// As [`Lab::run`].
pub fn play(context: &LabContext) -> Result<Outcome> {
    run(context, "play tour")
}

/// Plays the tour on this machine's own kernel, in folders of its own. The policies of the tour hold for the whole
/// machine while it is played.
///
/// # Errors
/// As [`Lab::run_native`], and when a node worker runs on this machine already.
pub fn play_native(context: &LabContext) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let (own, programs) = (folder.path().display(), context.programs.display());
    let pins = "/sys/fs/bpf/lictor-tour";
    ensure!(
        !Path::new("/run/lictor/lictor.sock").exists() && !Path::new("/sys/fs/bpf/lictor").exists(),
        "a node worker runs on this machine, or what one left is still enforced: `lictor node release` ends it"
    );
    let settings = format!(
        "export PATH='{programs}':$PATH POLICIES='{own}/policies' EXAMPLES='{}' WORK='{own}/work' PINS={pins}
        export HTTP=127.0.0.1:21120 LICTOR_HTTP_ADDRESS=127.0.0.1:21120 LICTOR_SOCKET='{own}/lictor.sock'
        export LICTOR_STATE_DIR='{own}/state' LICTOR_PIN_DIR={pins}
        trap 'kill $(jobs -p); lictor node release' EXIT\n",
        examples().display()
    );
    Lab::run_native(&options(&context.options), &script(&settings, "play tour"))
}

fn script(settings: &str, play: &str) -> String {
    format!("{CASE_FUNCTIONS}\n{settings}{FUNCTIONS}\n{STEPS}\n{play}")
}

fn run(context: &LabContext, play: &str) -> Result<Outcome> {
    let lab = context
        .lab_with(options(&context.options))
        .file(context.programs.join("lictor-lab"), "/usr/bin/lictor-lab")
        .file(examples(), "/lab/examples");
    lab.run(&script("", play))
}

fn test(context: &LabContext) -> Result<Vec<CaseResult>> {
    let outcome = run(context, "play whole")?;
    let mut player = Player::default();
    let mut cases = Vec::new();
    let mut count = 0;
    for step in player.feed(&outcome.output) {
        count += 1;
        for case in step.cases() {
            cases.push(CaseResult { name: format!("{}-{}", step.title(), case.name), failure: case.failure });
        }
    }
    cases.push(CaseResult::new("all-steps-are-played", count == STEPS_COUNT + 2, || {
        format!(
            "{count} steps were played; exit code {}; other output:\n{}",
            outcome.exit_code,
            player.other_output()
        )
    }));
    cases.push(CaseResult::new("kernel-is-quiet", !outcome.console.contains("Call Trace"), || {
        outcome.console.clone()
    }));
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_policies_with_a_comment_on_top() {
        let mut count = 0;
        for entry in std::fs::read_dir(examples()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let loaded = lictor_policy::load(&text, path.to_str()).unwrap_or_else(|wrong| panic!("{wrong}"));
            // They show one thing each, among it a kill that comes late and a path that a link evades.
            let told = [Some("hard-link"), Some("kill-without-verdict")];
            let other = loaded.warnings.iter().find(|warning| !told.contains(&warning.0.code));
            assert_eq!(other, None, "{}", path.display());
            assert!(text.starts_with("# "), "{}", path.display());
            count += 1;
        }
        assert!(count >= 11, "{count}");
    }
}
