//! `lictor policy convert`

use super::{ConvertOptions, input};
use anyhow::{Context as _, bail};
use lictor_policy::convert;
use std::fs::File;
use std::io::Write;

/// Converts policies; `false` = at least one is no policy that can be read.
pub(super) fn run(
    options: &ConvertOptions,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    if options.files.len() > 1 && !options.write {
        bail!("several files can only be converted in place: use --write, or one file at a time");
    }
    let mut good = true;
    for path in &options.files {
        let name = path.display();
        let stdin = path.as_os_str() == "-";
        if stdin && options.write {
            bail!("standard input cannot be changed in place");
        }
        let text =
            if stdin { input::text(std::io::stdin().lock()) } else { File::open(path).and_then(input::text) };
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let converted = match convert(&text) {
            Ok(converted) => converted,
            Err(violations) => {
                for violation in violations {
                    writeln!(err, "{name}: {violation}")?;
                }
                good = false;
                continue;
            }
        };
        for change in &converted.changes {
            writeln!(err, "{name}: {change}")?;
        }
        if !options.write {
            out.write_all(converted.text.as_bytes())?;
        } else if converted.changes.is_empty() {
            writeln!(err, "{name}: nothing to change")?;
        } else {
            std::fs::write(path, converted.text).with_context(|| format!("cannot write {name}"))?;
        }
    }
    Ok(good)
}
