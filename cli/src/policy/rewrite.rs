//! `lictor policy convert` and `lictor policy fmt`: texts that become other texts, printed or in place.

use super::input::{self, Wanted};
use super::{ConvertOptions, FmtOptions};
use anyhow::{Context as _, bail};
use lictor_policy::{Violations, convert, pretty};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What becomes of the new texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Printed.
    Output,
    /// Written in place of the old ones.
    File,
    /// Only compared with the old ones.
    Nowhere,
}

/// Converts policies; `false` = at least one is no policy that can be read.
pub(super) fn convert_files(
    options: &ConvertOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    let target = if options.write { Target::File } else { Target::Output };
    rewrite(&options.files, target, (out, err), |text| {
        convert(text).map(|converted| (converted.text, converted.changes))
    })
}

/// Gives policies their layout; `false` = at least one cannot be laid out, or does not have it (`--check`).
pub(super) fn fmt_files(
    options: &FmtOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    let target = match (options.check, options.write) {
        (true, _) => Target::Nowhere,
        (false, true) => Target::File,
        (false, false) => Target::Output,
    };
    let mut files = Vec::new();
    for path in &options.files {
        if path.as_os_str() == "-" {
            files.push(path.clone());
        } else {
            let found = input::files(path, Wanted::Policies, options.directories.recursive);
            files.extend(found.with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    rewrite(&files, target, (out, err), |text| {
        let laid_out = pretty(text)?;
        let changes = if laid_out == text { Vec::new() } else { vec!["layout".to_owned()] };
        Ok((laid_out, changes))
    })
}

/// Makes the texts of files into others; `change` gives a text and what is new in it.
fn rewrite(
    files: &[PathBuf],
    target: Target,
    (out, err): (&mut dyn Write, &mut dyn Write),
    change: impl Fn(&str) -> Result<(String, Vec<String>), Violations>,
) -> anyhow::Result<bool> {
    if files.len() > 1 && target == Target::Output {
        bail!("several files can only be changed in place: use --write, or one file at a time");
    }
    let mut good = true;
    for path in files {
        let name = path.display();
        if path.as_os_str() == "-" && target == Target::File {
            bail!("standard input cannot be changed in place");
        }
        let text = read(path).with_context(|| format!("cannot read {name}"))?;
        let (new, changes) = match change(&text) {
            Ok(outcome) => outcome,
            Err(violations) => {
                for violation in violations {
                    writeln!(err, "{name}: {violation}")?;
                }
                good = false;
                continue;
            }
        };
        if target == Target::Nowhere {
            if !changes.is_empty() {
                writeln!(err, "{name}: not laid out; `lictor policy fmt --write` does it")?;
                good = false;
            }
            continue;
        }
        for change in &changes {
            writeln!(err, "{name}: {change}")?;
        }
        if target == Target::Output {
            out.write_all(new.as_bytes())?;
        } else if changes.is_empty() {
            writeln!(err, "{name}: nothing to change")?;
        } else {
            std::fs::write(path, new).with_context(|| format!("cannot write {name}"))?;
        }
    }
    Ok(good)
}

fn read(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" {
        input::text(std::io::stdin().lock())
    } else {
        File::open(path).and_then(input::text)
    }
}
