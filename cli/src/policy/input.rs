//! Policies from files, directories and standard input.

use lictor_policy::model::FieldPath;
use lictor_policy::{DOCUMENT_BYTES_MAX, Loaded, Violation, Violations, check_unique, is_policy_file, load};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One file and what came of it.
#[derive(Debug)]
pub(super) struct Input {
    /// Its name, as messages show it.
    pub(super) name: String,
    /// The policy, or everything that is wrong with it.
    pub(super) outcome: Result<Loaded, Violations>,
}

/// Reads all that is named by `paths`. What cannot be read is an outcome like any other.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(input("<stdin>".to_owned(), text(io::stdin().lock())));
            continue;
        }
        match files(path) {
            Ok(files) => inputs.extend(files.iter().map(|file| from_file(file))),
            Err(error) => inputs.push(input(path.display().to_string(), Err(error))),
        }
    }
    refuse_same_names(&mut inputs);
    inputs
}

/// The file itself, or the policies in a directory, in order.
pub(super) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_policy_file(name) && file.is_file() {
            files.push(file);
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no *.yaml, *.yml or *.json file in it"));
    }
    Ok(files)
}

fn from_file(path: &Path) -> Input {
    input(path.display().to_string(), File::open(path).and_then(text))
}

/// The text of a policy, at most one byte more than is allowed: enough to be refused.
pub(super) fn text(reader: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        let message = format!("it is longer than the {DOCUMENT_BYTES_MAX} bytes that a policy may have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn input(name: String, text: io::Result<String>) -> Input {
    let outcome = match text {
        Ok(text) => load(&text, Some(&name)),
        Err(error) => {
            let found = format!("a file that cannot be used: {error}");
            let mut violation = Violation::new(&FieldPath::default(), found, "a readable policy");
            violation.file = Some(name.clone());
            Err(violation.into())
        }
    };
    Input { name, outcome }
}

/// Two policies of one name cannot both be loaded: the later ones are refused.
fn refuse_same_names(inputs: &mut [Input]) {
    let Err(violations) = check_unique(inputs.iter().filter_map(|input| input.outcome.as_ref().ok())) else {
        return;
    };
    for violation in violations {
        let input = inputs.iter_mut().find(|input| Some(&input.name) == violation.file.as_ref());
        if let Some(input) = input {
            input.outcome = Err(violation.into());
        }
    }
}
