//! Types of programs, from files that describe them.

use super::{UserProblem, Version};
use lictor_policy::btf::Btf;
use lictor_policy::plan::ProgramTypes;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ReadCache, elf};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Most BTF that is read of a file, bytes: the kernel with all its drivers has 30 MiB, a program some hundred KiB.
const TYPES_BYTES_MAX: u64 = 16 << 20;

/// The section of an ELF file with its types, by the name that the tools agree on.
const SECTION: &str = ".BTF";

/// What was read, by path, as long as somebody has it and the file is the same.
#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<HashMap<String, Reading>>);

/// Of which version of a file it is, and what was read.
type Reading = (Version, Weak<Btf<Vec<u8>>>);

impl Readings {
    /// The types in a file, read once as long as it stays as it is.
    pub(super) fn get(&self, path: &str, version: Version, file: File) -> Result<ProgramTypes, UserProblem> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            known().get(path).filter(|(read, _)| *read == version).and_then(|(_, types)| types.upgrade());
        if let Some(types) = same {
            return Ok(ProgramTypes::new(types));
        }
        let types = Arc::new(read(file).map_err(UserProblem::Unreadable)?);
        let mut readings = known();
        readings.retain(|_, (_, types)| types.strong_count() > 0);
        readings.insert(path.to_owned(), (version, Arc::downgrade(&types)));
        Ok(ProgramTypes::new(types))
    }
}

/// Reads the types in a file: BTF alone, or a section of it. `Err` continues "the file, which ...".
fn read(mut file: File) -> Result<Btf<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let mut magic = Vec::new();
    (&file).take(elf::ELFMAG.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let bytes = if magic == elf::ELFMAG { section(file)? } else { whole(file).map_err(failed)? };
    if bytes.len() as u64 > TYPES_BYTES_MAX {
        return Err(format!("has more than {TYPES_BYTES_MAX} bytes of BTF"));
    }
    Btf::parse(bytes).map_err(|error| format!("is no BTF: {error}"))
}

/// One byte more than is allowed, at most.
fn whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(TYPES_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whatever processor the file is for: compilers make BTF for that of the kernel's programs.
fn section(file: File) -> Result<Vec<u8>, String> {
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<Endianness, _>::parse(&cache)
        .map_err(|error| format!("is no file in the format ELF for 64 bits: {error}"))?;
    let section = elf.section_by_name(SECTION).ok_or_else(|| format!("has no section {SECTION}"))?;
    if section.size() > TYPES_BYTES_MAX {
        return Err(format!("has more than {TYPES_BYTES_MAX} bytes of BTF"));
    }
    Ok(section.data().map_err(|error| format!("cannot be read: {error}"))?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::Binaries;
    use super::super::go::tests::program;
    use super::*;
    use lictor_policy::plan::testing::program_btf;
    use std::fs;

    fn types(content: &[u8]) -> Result<(), String> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("types"), content).unwrap();
        match Binaries::new(root.path()).types("/types") {
            Ok(types) => {
                assert!(types.share().signature("run").is_some());
                Ok(())
            }
            Err(UserProblem::Unreadable(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn types_are_in_a_file_of_their_own_or_in_a_section() {
        assert_eq!(types(&program_btf()), Ok(()));
        assert_eq!(types(&program(&[(SECTION, elf::SHT_PROGBITS, program_btf())])), Ok(()));
    }

    #[test]
    fn what_has_none_is_told_why() {
        let is = |content: &[u8], why: &str| {
            let found = types(content);
            assert!(found.as_ref().is_err_and(|text| text.contains(why)), "{found:?}");
        };
        is(b"", "no BTF header");
        is(b"some text", "no BTF header");
        is(&program_btf()[..40], "lies outside the data");
        is(&program(&[]), "has no section .BTF");
        is(&program(&[(SECTION, elf::SHT_PROGBITS, b"text".to_vec())]), "no BTF header");
        is(b"\x7fELF and nothing else", "no file in the format ELF");
        let mut large = program_btf();
        large.resize((TYPES_BYTES_MAX + 1) as usize, 0);
        is(&large, "has more than 16777216 bytes of BTF");
    }

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("types");
        fs::write(&path, program_btf()).unwrap();
        let binaries = Binaries::new(root.path());
        let first = binaries.types("/types");
        assert_eq!(first, binaries.types("/types"), "nothing has changed");
        fs::write(root.path().join("new"), program_btf()).unwrap();
        fs::rename(root.path().join("new"), &path).unwrap();
        assert_ne!(first, binaries.types("/types"));
        assert_eq!(binaries.types("/none"), Err(UserProblem::NoFile));
        assert!(matches!(binaries.types("/"), Err(UserProblem::Unreadable(_))));
    }
}
