//! What the kernel lists of its functions, and of those of its modules.
//!
//! The file has 200,000 lines, and the kernel makes each of them anew for every reader. So answers are kept, as long as the same
//! modules are loaded.

use super::modules::Loads;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A function that the kernel lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The module that it is of; `None` = the kernel itself.
    pub(super) module: Option<String>,
}

/// `/proc/kallsyms`
#[derive(Debug)]
pub(super) struct Kallsyms {
    file: PathBuf,
    known: Mutex<Known>,
}

/// What was found out, each from the first time on that somebody asks.
#[derive(Debug, Default)]
struct Known {
    /// While these are loaded.
    loads: Loads,
    functions: BTreeMap<String, Option<Listed>>,
}

impl Kallsyms {
    /// That of the machine whose file system is at `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { file: root.join("proc/kallsyms"), known: Mutex::default() }
    }

    /// What is listed of a function of that name, with the modules that are loaded now.
    pub(super) fn function(&self, name: &str, loads: Loads) -> Option<Listed> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.loads == loads;
        if same && let Some(answer) = known.functions.get(name) {
            return answer.clone();
        }
        // With other modules, everything that was ever asked is asked again at once.
        let asked = known.functions.keys().filter(|_| !same).cloned();
        let wanted = asked.chain([name.to_owned()]).map(|name| (name, None)).collect();
        match self.read(wanted) {
            Ok(mut found) => {
                let answer = found.get(name).cloned().flatten();
                if same {
                    known.functions.append(&mut found);
                } else {
                    *known = Known { loads, functions: found };
                }
                answer
            }
            Err(error) => {
                tracing::warn!(%error, file = %self.file.display(), name, "cannot look for a function");
                None
            }
        }
    }

    /// Finds the functions of these names; of several with the same name the first one counts.
    fn read(
        &self,
        mut wanted: BTreeMap<String, Option<Listed>>,
    ) -> io::Result<BTreeMap<String, Option<Listed>>> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&self.file)?);
        let mut line = Vec::new();
        let mut missing = wanted.len();
        while missing > 0 {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some((name, listed)) = function(&line) else { continue };
            if let Some(found) = wanted.get_mut(name).filter(|found| found.is_none()) {
                *found = Some(listed);
                missing -= 1;
            }
        }
        Ok(wanted)
    }
}

/// The function of a line `ffffffff81000000 T name`, with `\t[module]` behind it when it is of one.
fn function(line: &[u8]) -> Option<(&str, Listed)> {
    let mut words = line.split(u8::is_ascii_whitespace).skip(1);
    if !matches!(words.next(), Some(b"t" | b"T" | b"w" | b"W")) {
        return None;
    }
    let name = std::str::from_utf8(words.next()?).ok()?;
    let module = words.next().and_then(|word| word.strip_prefix(b"[")?.strip_suffix(b"]"));
    Some((name, Listed { module: module.and_then(|name| String::from_utf8(name.to_vec()).ok()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[allow(clippy::unnecessary_wraps, reason = "as answers are")]
    fn listed(module: Option<&str>) -> Option<Listed> {
        Some(Listed { module: module.map(str::to_owned) })
    }

    #[test]
    fn answers_are_kept_as_long_as_the_same_modules_are_loaded() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let write = |text: &str| fs::write(root.path().join("proc/kallsyms"), text).unwrap();
        let kallsyms = Kallsyms::new(root.path());
        let ask = |name: &str, load: u64| {
            let loads = Loads::from([("bridge".to_owned(), load)]);
            kallsyms.function(name, loads)
        };
        write("0 T vfs_read\n0 D data\n0 t twice\n0 t twice\t[late]\n0 t br_add_if\t[bridge]\n");
        assert_eq!(ask("vfs_read", 1), listed(None));
        assert_eq!(ask("twice", 1), listed(None));
        assert_eq!(ask("br_add_if", 1), listed(Some("bridge")));
        assert_eq!((ask("data", 1), ask("none", 1)), (None, None));
        write("0 T vfs_read\n0 t none\t[more]\n");
        assert_eq!((ask("br_add_if", 1), ask("none", 1)), (listed(Some("bridge")), None));
        assert_eq!((ask("none", 2), ask("br_add_if", 2)), (listed(Some("more")), None));
        assert_eq!(ask("vfs_read", 2), listed(None));
        fs::remove_file(root.path().join("proc/kallsyms")).unwrap();
        assert_eq!((ask("vfs_read", 2), ask("vfs_read", 3)), (listed(None), None));
    }
}
