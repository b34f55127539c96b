//! `lictor policy test`, `replay` and `generate`: policies tried without a kernel.

use super::input::{self, Input, Wanted};
use super::junit::{Case, Suite};
use super::{GenerateOptions, Output, ReplayOptions, TestOptions, junit};
use anyhow::{Context as _, bail};
use lictor_policy::model::{FieldPath, Policy};
use lictor_policy::trial::allow_list::{AllowList, Wish};
use lictor_policy::trial::cases;
use lictor_policy::trial::line::{LINE_BYTES_MAX, Line, parse};
use lictor_policy::trial::replay::Replayer;
use lictor_policy::{Violation, Violations, load};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

/// Runs test cases; `false` = one failed, or could not be run.
pub(super) fn test(options: &TestOptions, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<bool> {
    let mut suites = Vec::new();
    for path in &options.files {
        match input::files(path, Wanted::Tests, options.directories.recursive) {
            Ok(files) => suites.extend(files.iter().map(|file| run(file))),
            Err(error) => suites.push(broken(path, &unusable(path, &error))),
        }
    }
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let (failed, errors) = (
        all().filter(|case| !case.failures.is_empty()).count(),
        all().filter(|case| case.error.is_some()).count(),
    );
    for suite in &suites {
        for case in &suite.cases {
            if let Some(error) = &case.error {
                writeln!(err, "{error}")?;
                continue;
            }
            let word = if case.failures.is_empty() { "ok" } else { "FAILED" };
            writeln!(out, "{}: {}: {word}", suite.name, case.name)?;
            for failure in &case.failures {
                writeln!(out, "    {failure}")?;
            }
        }
    }
    let run = all().filter(|case| case.error.is_none()).count();
    writeln!(out, "{run} cases, {failed} failed, {errors} files that could not be run")?;
    if let Some(path) = &options.junit {
        std::fs::write(path, junit::document(&suites))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(failed == 0 && errors == 0)
}

fn unusable(path: &Path, error: &std::io::Error) -> Violations {
    let found = format!("a file that cannot be used: {error}");
    let mut violation = Violation::new(&FieldPath::default(), found, "a readable file of test cases");
    violation.file = Some(path.display().to_string());
    violation.into()
}

fn broken(path: &Path, violations: &Violations) -> Suite {
    let case = Case { name: "the file".into(), failures: Vec::new(), error: Some(violations.to_string()) };
    Suite { name: path.display().to_string(), cases: vec![case] }
}

fn run(path: &Path) -> Suite {
    match outcomes(path) {
        Ok(outcomes) => {
            let cases = outcomes.into_iter().map(|case| Case {
                name: case.name,
                failures: case.failures,
                error: None,
            });
            Suite { name: path.display().to_string(), cases: cases.collect() }
        }
        Err(violations) => broken(path, &violations),
    }
}

fn outcomes(path: &Path) -> Result<Vec<cases::CaseOutcome>, Violations> {
    let name = path.display().to_string();
    let text = File::open(path).and_then(input::text).map_err(|error| unusable(path, &error))?;
    let suite = cases::read(&text, Some(&name))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let files: Vec<PathBuf> = if suite.file.policies.is_empty() {
        let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let tested = own.replacen(".test.", ".", 1);
        if tested == own {
            let found = "no policies, and a file name without `.test`";
            let mut violation =
                Violation::new(&FieldPath::new("policies"), found, "the files that are tested");
            violation.file = Some(name);
            return Err(violation.into());
        }
        vec![directory.join(tested)]
    } else {
        suite.file.policies.iter().map(|file| directory.join(file)).collect()
    };
    suite.run(&policies(&files)?)
}

/// Policies from files, or everything that is wrong with them.
fn policies(files: &[PathBuf]) -> Result<Vec<Policy>, Violations> {
    let mut violations = Violations::default();
    let mut policies = Vec::new();
    for Input { outcome, .. } in input::read(files, false) {
        match outcome {
            Ok(loaded) => policies.push(loaded.policy),
            Err(found) => violations.extend(found),
        }
    }
    violations.into_result().map(|()| policies)
}

/// Replays recorded events; `false` = a policy is refused.
pub(super) fn replay(
    options: &ReplayOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    let (tested, recorded) = match (policies(&options.files), policies(&options.recorded_with)) {
        (Ok(tested), Ok(recorded)) => (tested, recorded),
        (tested, recorded) => {
            for violations in [tested.err(), recorded.err()].into_iter().flatten() {
                writeln!(err, "{violations}")?;
            }
            return Ok(false);
        }
    };
    let mut replayer = Replayer::new(&tested, &recorded);
    each_line(&options.events, err, |line| replayer.take(line))?;
    let found = replayer.finish();
    if options.output == Output::Json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        writeln!(out)?;
        return Ok(true);
    }
    writeln!(
        out,
        "{} events of hooks, {} at places that these policies do not hook",
        found.events, found.elsewhere
    )?;
    for (lack, count) in &found.undecided {
        writeln!(out, "{count} not judged: {}", lack.words())?;
    }
    writeln!(out, "{} on which no selector holds", found.quiet)?;
    for ((policy, selector), count) in &found.rules {
        write!(out, "{policy} {selector}: fires {}, reports {}", count.fired, count.reported)?;
        for (word, number) in
            [("denies", count.denied), ("signals", count.signalled), ("unresolved", count.unresolved)]
        {
            if number > 0 {
                write!(out, ", {word} {number}")?;
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "{} newly denied, {} newly allowed", found.newly_denied, found.newly_allowed)?;
    for example in &found.examples {
        writeln!(out, "    would be denied: {example}")?;
    }
    Ok(true)
}

/// Makes an allow list from recorded events; `false` = a policy that reported them is refused.
pub(super) fn generate(
    options: &GenerateOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    let recorded = match policies(&options.recorded_with) {
        Ok(recorded) => recorded,
        Err(violations) => {
            writeln!(err, "{violations}")?;
            return Ok(false);
        }
    };
    if !options.binary.starts_with('/') {
        bail!("--binary {:?}: the path of a program begins with `/`, as events show it", options.binary);
    }
    let file_name = options.binary.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let own: String =
        file_name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let name = options.name.clone().unwrap_or_else(|| format!("allow-{}", own.trim_matches('-')));
    let wish = Wish { name, binary: options.binary.clone(), fold: options.fold };
    let mut list = AllowList::new(wish, &recorded);
    each_line(&options.events, err, |line| list.take(line))?;
    for place in list.unknown() {
        writeln!(
            err,
            "note: events of {place:?} are not used: no policy of --recorded-with tells what their values are"
        )?;
    }
    let text = list.policy()?;
    // What is printed has to load, whatever the events hold.
    if let Err(violations) = load(&text, Some("the generated policy")) {
        bail!("no policy can be made of these events: {violations}");
    }
    out.write_all(text.as_bytes())?;
    Ok(true)
}

/// Reads event lines from a file or `-`. Lines that are none are counted, and the first of them is told.
fn each_line(path: &Path, err: &mut dyn Write, mut take: impl FnMut(&Line)) -> anyhow::Result<()> {
    let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?))
    };
    let (mut number, mut good, mut bad) = (0_u64, 0_u64, 0_u64);
    let mut first = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than is allowed, so that too long a line is seen to be one.
        let read = reader.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        if line.last() != Some(&b'\n') && line.len() > LINE_BYTES_MAX {
            skip_line(&mut reader)?;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match parse(text.trim_end()) {
            Ok(line) => {
                good += 1;
                take(&line);
            }
            Err(found) => {
                bad += 1;
                first.get_or_insert_with(|| format!("line {number}: found {found}"));
            }
        }
    }
    if let Some(first) = first {
        writeln!(
            err,
            "warning: {}: {bad} of {number} lines are no events; the first: {first}",
            path.display()
        )?;
    }
    if good == 0 {
        bail!("no event line in {}; `lictor events -o json` writes such lines", path.display());
    }
    Ok(())
}

/// Reads up to the end of a line without keeping it.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let (used, found) = match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (available.len(), false),
        };
        reader.consume(used);
        if found {
            return Ok(());
        }
    }
}
