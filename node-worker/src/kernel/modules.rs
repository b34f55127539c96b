//! Types of the kernel's modules, from the files that the kernel shows of those that are loaded.

use super::facts::{is_name, read_bounded};
use lictor_policy::btf::Btf;
use lictor_policy::nearest;
use lictor_policy::plan::ModuleProblem;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file of a module's directory that tells how far it has come: `coming`, `live` or `going`.
const STATE: &str = "initstate";

/// Names to suggest for a module that is not loaded.
const SUGGESTIONS_MAX: usize = 3;

/// Which modules are there, and which time it is that each is loaded: the number of the inode of its directory, which the kernel
/// gives to no other as long as it runs. What is built in and has parameters is among them.
pub(super) type Loads = BTreeMap<String, u64>;

/// Where the kernel shows its modules. Nothing of them is kept: modules come and go, and a policy that names one is
/// compiled once.
#[derive(Debug)]
pub(super) struct Modules {
    /// One file for each module with BTF, and the kernel's own, `vmlinux`.
    btf: PathBuf,
    /// One directory for each module.
    modules: PathBuf,
}

impl Modules {
    pub(super) fn new(root: &Path) -> Self {
        Self { btf: root.join("sys/kernel/btf"), modules: root.join("sys/module") }
    }

    /// What is there now; nothing when it cannot be read.
    pub(super) fn loads(&self) -> Loads {
        let entries = fs::read_dir(&self.modules).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.ino()))).collect()
    }

    /// Which time it is that a module is loaded; `None` = it is not, or is not ready yet, or about to go.
    pub(super) fn load(&self, module: &str) -> Option<u64> {
        let directory = self.modules.join(module);
        let metadata = fs::metadata(&directory).ok().filter(|_| is_name(module))?;
        let state = fs::read_to_string(directory.join(STATE)).ok()?;
        (state.trim_end() == "live").then(|| metadata.ino())
    }

    /// The types of a module that is loaded, over the kernel's.
    pub(super) fn btf(
        &self,
        module: &str,
        kernel: &Arc<Btf<Vec<u8>>>,
    ) -> Result<Btf<Vec<u8>>, ModuleProblem> {
        let directory = self.modules.join(module);
        if !is_name(module) || !directory.is_dir() {
            return Err(ModuleProblem::NotLoaded(self.nearest(module)));
        }
        // What is built in has parameters, and no state.
        if !directory.join(STATE).exists() {
            return Err(ModuleProblem::BuiltIn);
        }
        let bytes = match read_bounded(&self.btf.join(module)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ModuleProblem::NoBtf),
            Err(error) => return Err(ModuleProblem::Unreadable(error.to_string())),
        };
        Btf::parse_module(bytes, kernel).map_err(|error| ModuleProblem::Unreadable(error.to_string()))
    }

    /// The nearest names of modules with BTF.
    fn nearest(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.btf).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name != "vmlinux");
        names.sort_unstable();
        nearest(name, names.iter().map(String::as_str), SUGGESTIONS_MAX)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_policy::plan::testing::kernel_and_module;

    fn machine(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    #[test]
    fn what_is_known_of_a_module() {
        let (kernel, module) = kernel_and_module();
        let kernel = Arc::new(Btf::parse(kernel).unwrap());
        let root = machine(&[
            ("sys/kernel/btf/vmlinux", &[]),
            ("sys/kernel/btf/bridge", &module),
            ("sys/kernel/btf/damaged", b"none"),
            ("sys/module/bridge/initstate", b"live"),
            ("sys/module/damaged/initstate", b"live"),
            ("sys/module/bare/initstate", b"live"),
            ("sys/module/printk/parameters/time", b"Y"),
        ]);
        let modules = Modules::new(root.path());
        let of = |name| modules.btf(name, &kernel).map(|btf| btf.functions().count());
        assert_eq!(of("bridge"), Ok(2));
        assert_eq!(of("brigde"), Err(ModuleProblem::NotLoaded(vec!["bridge".to_owned()])));
        assert_eq!(of("../btf"), Err(ModuleProblem::NotLoaded(Vec::new())));
        assert_eq!(of("bare"), Err(ModuleProblem::NoBtf));
        assert_eq!(of("printk"), Err(ModuleProblem::BuiltIn));
        assert!(matches!(of("damaged"), Err(ModuleProblem::Unreadable(_))));
    }

    #[test]
    fn which_time_a_module_is_loaded() {
        let root = machine(&[
            ("sys/module/bridge/initstate", b"live\n"),
            ("sys/module/late/initstate", b"coming\n"),
            ("sys/module/early/initstate", b"going\n"),
            ("sys/module/printk/parameters/time", b"Y"),
        ]);
        let modules = Modules::new(root.path());
        let loads = modules.loads();
        assert_eq!(loads.keys().collect::<Vec<_>>(), ["bridge", "early", "late", "printk"]);
        assert_eq!(modules.load("bridge"), Some(loads["bridge"]));
        for not_ready in ["late", "early", "printk", "none", "../module/bridge", ""] {
            assert_eq!(modules.load(not_ready), None, "{not_ready}");
        }
    }
}
