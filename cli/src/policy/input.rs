//! Policies from files, directories and standard input.

use lictor_policy::model::FieldPath;
use lictor_policy::{
    DOCUMENT_BYTES_MAX, Loaded, Violation, Violations, check_unique, is_policy_file, is_test_file, load,
};
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

/// Which files of a directory are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Policies.
    Policies,
    /// Test cases.
    Tests,
}

impl Wanted {
    fn is(self, name: &str) -> bool {
        match self {
            Self::Policies => is_policy_file(name),
            Self::Tests => is_test_file(name),
        }
    }

    fn names(self) -> &'static str {
        match self {
            Self::Policies => "*.yaml, *.yml or *.json",
            Self::Tests => "*.test.yaml, *.test.yml or *.test.json",
        }
    }
}

/// Reads all policies that are named by `paths`. What cannot be read is an outcome like any other.
pub(super) fn read(paths: &[PathBuf], recursive: bool) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(input("<stdin>".to_owned(), text(io::stdin().lock())));
            continue;
        }
        match files(path, Wanted::Policies, recursive) {
            Ok(files) => inputs.extend(files.iter().map(|file| from_file(file))),
            Err(error) => inputs.push(input(path.display().to_string(), Err(error))),
        }
    }
    refuse_same_names(&mut inputs);
    inputs
}

/// The file itself, or what is wanted of a directory, in order.
pub(super) fn files(path: &Path, wanted: Wanted, recursive: bool) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut others) = (Vec::new(), false);
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let file = entry.path();
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            // Not through links, which may lead back, and not into what belongs to other programs, such as .git.
            if entry.file_type()?.is_dir() && !name.starts_with('.') {
                others = true;
                directories.extend(recursive.then_some(file));
            } else if wanted.is(name) && file.is_file() {
                files.push(file);
            }
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        let hint = if others && !recursive { "; --recursive looks into the directories in it" } else { "" };
        let message = format!("no {} file in it{hint}", wanted.names());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
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
