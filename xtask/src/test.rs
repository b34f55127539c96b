//! `cargo xtask test`: every test there is, and one line with the totals.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use lictor_e2e::cluster::{ClusterContext, ClusterTest, Lane};
use lictor_e2e::lab::{CaseResult, KernelName, LabContext, LabTest, Options};

use crate::{cluster, codegen, lab, progress, setup, tidy};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only what needs no guest and no cluster
    #[arg(long, conflicts_with_all = ["lab", "cluster"])]
    quick: bool,
    /// Only what runs in the lab's guests
    #[arg(long)]
    lab: bool,
    /// Only what needs a cluster
    #[arg(long)]
    cluster: bool,
    /// Only the cluster tests that pass in any cluster, in that of this kubeconfig, which must not have Lictor installed
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
    /// Only this kernel; may be given several times
    #[arg(long = "kernel", short = 'k', value_name = "KERNEL")]
    kernels: Vec<KernelName>,
    /// Only lab and cluster tests whose name has this in it
    filter: Option<String>,
}

impl Arguments {
    /// Whether a lab or cluster test with this name is asked for.
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }

    fn wants_of_cluster(&self, test: &ClusterTest) -> bool {
        self.wants(test.name) && (self.kubeconfig.is_none() || test.anywhere)
    }
}

/// Counts of cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Tests that were not run; they count as neither.
    ignored: usize,
    /// Names of those that failed, as far as they have one.
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.failures.extend(other.failures);
    }

    /// Counts and prints one case.
    fn case(&mut self, name: &str, failure: Option<&str>) {
        match failure {
            None => {
                self.passed += 1;
                println!("test {name} ... ok");
            }
            Some(detail) => {
                self.failed += 1;
                self.failures.push(name.to_owned());
                println!("test {name} ... FAILED");
                for line in detail.trim_end().lines() {
                    println!("    {line}");
                }
            }
        }
    }
}

/// Runs the tests; the exit code is 0 when none failed.
pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    arguments.kubeconfig.as_deref().map_or(Ok(()), cluster::check)?;
    setup::run()?;
    let mut tally = Tally::default();
    let all = !(arguments.quick || arguments.lab || arguments.cluster);
    if all || arguments.quick {
        checks(&mut tally);
    }
    thread::scope(|scope| {
        let aside = all.then(|| scope.spawn(clippy_aside));
        if arguments.quick {
            check("clippy", progress::step("checking: clippy", clippy), &mut tally);
        }
        run_tests(arguments, all, &mut tally);
        if let Some(aside) = aside {
            let result = progress::step("waiting for clippy", || aside.join());
            let result = result.unwrap_or_else(|_| Err(anyhow!("the thread that ran clippy panicked")));
            check("clippy", result, &mut tally);
        }
    });
    if tally.ignored > 0 {
        println!("{} tests were not run; they count neither as passed nor as failed", tally.ignored);
    }
    progress::line("finished");
    // Whoever has only the end of the output knows where to look.
    for name in &tally.failures {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(i32::from(tally.failed > 0 || tally.passed == 0))
}

/// Runs the tests themselves.
fn run_tests(arguments: &Arguments, all: bool, tally: &mut Tally) {
    if all || arguments.quick {
        let fuzz_seconds = if arguments.quick { 3 } else { 60 };
        let run = || cargo_test(fuzz_seconds);
        tally.add(progress::step("compiling and running the tests of the crates", run));
    }
    if arguments.quick {
        return;
    }
    let Some(programs) = programs(tally) else { return };
    if all || arguments.lab {
        lab_tests(arguments, &programs, tally);
    }
    if all || arguments.cluster {
        cluster_tests(arguments, programs, tally);
    }
}

/// Counts a check.
fn check(name: &str, result: Result<()>, tally: &mut Tally) {
    let failure = result.err().map(|error| format!("{error:#}"));
    tally.case(&format!("check {name}"), failure.as_deref());
}

type Check = fn() -> Result<()>;

/// Checks of the sources themselves, those that take seconds.
fn checks(tally: &mut Tally) {
    let checks: [(&str, Check); 4] = [
        ("tidy", tidy_check),
        ("rustfmt", || quiet(cargo().args(["fmt", "--all", "--check"]))),
        ("clang-format", clang_format),
        ("codegen", || codegen::run(true)),
    ];
    for (name, of_sources) in checks {
        check(name, progress::step(&format!("checking: {name}"), of_sources), tally);
    }
}

/// Cargo, at the top of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    at_the_top(&mut command);
    command
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Has a program that builds run as if by hand, at the top of the repository.
fn at_the_top(command: &mut Command) {
    command.current_dir(crate::root());
    // Cargo told these to xtask, about xtask. Build scripts look at them: with them, a build by `cargo xtask` and one by
    // hand would each undo what the other has built.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
}

const CLIPPY: [&str; 7] = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];

fn clippy() -> Result<()> {
    quiet(cargo().args(CLIPPY))
}

/// Clippy while other things run: with what they leave of the processors, and where it does not wait for other builds, nor
/// they for it.
fn clippy_aside() -> Result<()> {
    let mut command = Command::new("nice");
    at_the_top(&mut command);
    command.args(["-n", "19"]).arg(cargo_program()).args(CLIPPY);
    quiet(command.env("CARGO_TARGET_DIR", crate::target_directory().join("clippy")))
}

/// Runs a program; its output is only seen when it fails, as the error.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    let text = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    Ok(())
}

fn tidy_check() -> Result<()> {
    let found = tidy::check(&crate::root())?;
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    ensure!(lines.is_empty(), "{}", lines.join("\n"));
    Ok(())
}

/// The C sources are formatted as `.clang-format` says.
fn clang_format() -> Result<()> {
    let mut files = Vec::new();
    for directory in ["node-worker-ebpf/bpf", "node-worker-ebpf/abi"] {
        c_files(&crate::root().join(directory), &mut files)?;
    }
    ensure!(!files.is_empty(), "there are no C sources where they are looked for");
    quiet(Command::new("clang-format").args(["--dry-run", "-Werror", "--style=file"]).args(files))
}

fn c_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            c_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "c" || extension == "h") {
            files.push(path);
        }
    }
    Ok(())
}

/// Runs the tests of all crates, passing on everything but the lines of tests that passed. Made-up texts go through
/// `check` for so many seconds.
fn cargo_test(fuzz_seconds: u32) -> Tally {
    let mut tally = Tally::default();
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("LICTOR_FUZZ_SECONDS", fuzz_seconds.to_string());
    let succeeded = stream(&mut command, |line| match summary(line) {
        Some(counts) => tally.add(counts),
        None if line.starts_with("test ") && line.ends_with(" ... ok") => {}
        None if line.is_empty() || line.starts_with("running ") => {}
        None => {
            tally.failures.extend(failed_test(line));
            println!("{line}");
        }
    });
    // A crate that does not compile has no tests that could fail.
    let failure = match succeeded {
        Ok(false) if tally.failed == 0 => {
            Some("a crate could not be compiled, or its tests ended early".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("{error:#}")),
    };
    println!("crates: {} passed, {} failed", tally.passed, tally.failed + usize::from(failure.is_some()));
    if let Some(failure) = failure {
        tally.case("cargo test", Some(&failure));
    }
    tally
}

/// Runs a program, handing each line of its stdout to `each`; whether it succeeded.
fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    for line in BufReader::new(stdout).split(b'\n') {
        each(&String::from_utf8_lossy(&line.context("reading cargo's output")?));
    }
    Ok(child.wait().context("waiting for cargo")?.success())
}

/// The name in libtest's line of a test that failed.
fn failed_test(line: &str) -> Option<String> {
    Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
}

/// The counts of libtest's summary line.
fn summary(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut tally = Tally::default();
    for part in counts.split("; ") {
        let Some((count, what)) = part.split_once(' ') else { continue };
        let target = match what {
            "passed" => &mut tally.passed,
            "failed" => &mut tally.failed,
            "ignored" => &mut tally.ignored,
            _ => continue,
        };
        *target = count.parse().ok()?;
    }
    Some(tally)
}

/// Guests at a time. Most of a test is one process that waits now and then, so two fill two processors.
const GUESTS: usize = 2;

/// A lab test on one kernel.
struct LabRun<'a> {
    name: String,
    test: &'a LabTest,
    context: LabContext,
    /// Why the kernel cannot be had.
    unavailable: Option<String>,
}

impl LabRun<'_> {
    fn run(&self) -> Result<Vec<CaseResult>> {
        match &self.unavailable {
            Some(why) => Err(anyhow!("{why}")),
            None => progress::step(&format!("running: {}", self.name), || (self.test.run)(&self.context)),
        }
    }
}

/// Runs the tests that need a guest, [`GUESTS`] at a time, in the order of the suite.
fn lab_tests(arguments: &Arguments, programs: &Path, tally: &mut Tally) {
    let kernels = if arguments.kernels.is_empty() { KernelName::ALL } else { &arguments.kernels };
    let tests = lictor_e2e::suite();
    let mut runs = Vec::new();
    for kernel in kernels {
        let unavailable = lab::fetch(*kernel).err().map(|error| format!("{error:#}"));
        for test in tests.iter().filter(|test| arguments.wants(test.name) && test.kernels.contains(kernel)) {
            let context = LabContext {
                kernel: *kernel,
                programs: programs.to_path_buf(),
                options: Options { report: progress::line, ..Options::default() },
            };
            let name = format!("lab {kernel} {}", test.name);
            runs.push(LabRun { name, test, context, unavailable: unavailable.clone() });
        }
    }
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(tally));
    thread::scope(|scope| {
        for _ in 0..GUESTS {
            scope.spawn(|| {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run.run();
                    // The lines of one test stay together.
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    record(&run.name, result, &mut tally);
                }
            });
        }
    });
}

/// Runs the tests that need a cluster, those of one lane one after the other.
fn cluster_tests(arguments: &Arguments, programs: PathBuf, tally: &mut Tally) {
    if let Err(error) = cluster::fetch() {
        return tally.case("cluster: get the programs", Some(&format!("{error:#}")));
    }
    if let Err(error) = build_cluster_programs(&programs) {
        return tally.case("cluster: build the programs", Some(&format!("{error:#}")));
    }
    let options = lictor_e2e::cluster::Options { report: progress::line, ..Default::default() };
    let mut context = ClusterContext::new(programs, options);
    context.kubeconfig.clone_from(&arguments.kubeconfig);
    let (tests, tally) = (lictor_e2e::cluster_suite(), Mutex::new(tally));
    let wanted =
        |lane: Lane| tests.iter().filter(move |test| test.lane == lane && arguments.wants_of_cluster(test));
    thread::scope(|scope| {
        for lane in Lane::ALL {
            let (wanted, context, tally) = (&wanted, &context, &tally);
            scope.spawn(move || {
                for test in wanted(lane) {
                    let name = format!("cluster {}", test.name);
                    let result = progress::step(&format!("running: {name}"), || (test.run)(context));
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    record(&name, result, &mut tally);
                }
            });
        }
    });
}

/// Counts the cases of a test.
fn record(name: &str, result: Result<Vec<CaseResult>>, tally: &mut Tally) {
    match result {
        Ok(cases) if cases.is_empty() => tally.case(name, Some("the test has no cases")),
        Ok(cases) => {
            for CaseResult { name: case, failure } in cases {
                tally.case(&format!("{name}::{case}"), failure.as_deref());
            }
        }
        Err(error) => tally.case(name, Some(&format!("{error:#}"))),
    }
}

/// The programs; a failure to build them is a failed case.
fn programs(tally: &mut Tally) -> Option<PathBuf> {
    match build_programs() {
        Ok(programs) => Some(programs),
        Err(error) => {
            tally.case("build the programs", Some(&format!("{error:#}")));
            None
        }
    }
}

/// Builds the programs that guests and clusters run, and returns their directory.
pub(crate) fn build_programs() -> Result<PathBuf> {
    let target = crate::target_directory();
    progress::step("building lictor-node, lictor and lictor-lab", || {
        quiet(cargo().args(["build", "--quiet", "-p", "lictor-node-worker", "-p", "lictor", "--bins"]))?;
        // By itself: what it needs of the node worker is not to be in the node worker that is tested.
        quiet(cargo().args(["build", "--quiet", "-p", "lictor-e2e-guest", "--bins"]))
    })?;
    let directory = target.join("lab");
    std::fs::create_dir_all(&directory)?;
    strip(&["lictor-node", "lictor", "lictor-lab"], &directory)?;
    Ok(directory)
}

/// Builds the programs that run beside a cluster only: guests do not wait for them.
fn build_cluster_programs(directory: &Path) -> Result<()> {
    progress::step("building lictor-operator and lictor-sim-nodes", || {
        quiet(cargo().args(["build", "--quiet", "-p", "lictor-operator", "-p", "lictor-e2e-nodes", "--bins"]))
    })?;
    strip(&["lictor-operator", "lictor-sim-nodes"], directory)
}

/// Copies built programs without debug information, which is most of their size: a guest keeps its files in memory.
fn strip(programs: &[&str], directory: &Path) -> Result<()> {
    for program in programs {
        let built = crate::target_directory().join("debug").join(program);
        quiet(Command::new("strip").arg("-o").arg(directory.join(program)).arg(built))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(summary(line), Some(Tally { passed: 12, failed: 3, ignored: 1, failures: Vec::new() }));
        assert_eq!(summary("test a::b ... ok"), None);
        assert_eq!(summary("test result: ok. x passed"), None);
    }

    #[test]
    fn a_failed_program_is_seen() {
        let mut lines = Vec::new();
        let script = "echo one; echo two; exit 1";
        let succeeded =
            stream(Command::new("sh").args(["-c", script]), |line| lines.push(line.to_owned())).unwrap();
        assert!(!succeeded);
        assert_eq!(lines, ["one", "two"]);
        assert!(
            quiet(Command::new("sh").args(["-c", "echo why; exit 1"]))
                .unwrap_err()
                .to_string()
                .contains("why")
        );
    }

    #[test]
    fn failures_are_counted() {
        let mut tally = Tally::default();
        tally.case("a", None);
        tally.case("b", Some("detail"));
        assert_eq!(tally, Tally { passed: 1, failed: 1, ignored: 0, failures: vec!["b".to_owned()] });
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b".to_owned()));
        assert_eq!(failed_test("test a::b ... ok"), None);
    }
}
