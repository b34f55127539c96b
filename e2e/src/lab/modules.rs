//! Kernel modules for a guest: found by name, with what they need, ready to insert one after the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::process;

/// A module's contents, not compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Name with underscores, as the kernel shows it.
    pub(super) name: String,
    /// The object file.
    pub(super) contents: Vec<u8>,
}

/// The modules with these names and everything they depend on, in the order in which they can be inserted.
///
/// Dependencies are read from the modules themselves: the index files are made at installation, which never happens.
pub(super) fn load_order(modules: &Path, names: &[impl AsRef<str>]) -> Result<Vec<Module>> {
    let mut order = Vec::new();
    if names.is_empty() {
        return Ok(order);
    }
    let mut files = Vec::new();
    list(modules, &mut files)?;
    let builtin = fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
    let builtin: BTreeSet<String> = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
    for name in names {
        resolve(&files, &builtin, &name.as_ref().replace('-', "_"), &mut Vec::new(), &mut order)?;
    }
    Ok(order)
}

fn resolve(
    files: &[PathBuf],
    builtin: &BTreeSet<String>,
    name: &str,
    pending: &mut Vec<String>,
    order: &mut Vec<Module>,
) -> Result<()> {
    if builtin.contains(name) || order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    if pending.iter().any(|other| other == name) {
        bail!("kernel modules depend on each other: {}", pending.join(", "));
    }
    let Some(path) = files.iter().find(|path| module_name(path).as_deref() == Some(name)) else {
        bail!("the kernel has no module {name}, neither built in nor as a file");
    };
    let contents = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => process::capture_bytes(Command::new("xz").arg("-dc").arg(path))?,
        _ => fs::read(path).with_context(|| format!("reading {}", path.display()))?,
    };
    pending.push(name.to_owned());
    for dependency in dependencies(&contents) {
        resolve(files, builtin, &dependency, pending, order)?;
    }
    pending.pop();
    order.push(Module { name: name.to_owned(), contents });
    Ok(())
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), found)?;
        } else if module_name(&entry.path()).is_some() {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))?;
    Some(name.replace('-', "_"))
}

/// The `depends=` entry of a module's information section.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(directory: &Path, name: &str, depends: &str) {
        fs::write(directory.join(format!("{name}.ko")), format!("\0license=GPL\0depends={depends}\0x"))
            .unwrap();
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let directory = tempfile::tempdir().unwrap();
        fake(directory.path(), "top", "left,right-side,inside");
        fake(directory.path(), "left", "base");
        fake(directory.path(), "right-side", "base");
        fake(directory.path(), "base", "");
        fs::write(directory.path().join("modules.builtin"), "kernel/lib/inside.ko\n").unwrap();
        let order = load_order(directory.path(), &["top".to_owned(), "left".to_owned()]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["base", "left", "right_side", "top"]);
    }

    #[test]
    fn an_unknown_module_and_a_circle_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        fake(directory.path(), "a", "b");
        fake(directory.path(), "b", "a");
        let error = |name: &str| load_order(directory.path(), &[name.to_owned()]).unwrap_err().to_string();
        assert!(error("a").contains("depend on each other"));
        assert!(error("none").contains("none"));
    }
}
