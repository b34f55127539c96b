//! Functions of Go programs without symbols.

use super::pclntab::{Function, Table};
use super::{Elf, RELATIVE, offset_of};
use object::read::elf::{ElfSection64, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ReadCache, ReadRef as _, elf};
use std::fs::File;

/// Largest table that is read, bytes: those of the largest programs have some 60 MiB.
const TABLE_BYTES_MAX: u64 = 256 << 20;

/// Where a Go program has the table; its linker gives both names, by what kind of file it makes.
const TABLE_SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];

/// What the program knows of itself (`moduledata`), from Go 1.26 on in a section of its own.
const MODULE_SECTION: &str = ".go.module";

/// Where in it the beginning of the functions is; its first word is where the table is (`runtime/symtab.go`).
const MODULE_TEXT: u64 = 22 * 8;

/// The functions of a Go program; none of what is no Go program, or does not tell where its functions are.
pub(super) fn functions<'a>(elf: &Elf<'a>) -> impl Iterator<Item = Function<'a>> {
    table(elf).into_iter().flat_map(|(table, text)| table.functions(text))
}

/// Whether a Go function is at an address, as far as can be told: anything in a Go program that does not tell where its
/// functions are may be one.
pub(super) fn has_function_at(elf: &Elf<'_>, address: u64) -> bool {
    let Some((table, text)) = table(elf) else { return section(elf).is_some() };
    table.functions(text).any(|one| (one.address..one.address.saturating_add(one.bytes)).contains(&address))
}

fn section<'a, 'b>(elf: &'b Elf<'a>) -> Option<ElfSection64<'a, 'b, Endianness, &'a ReadCache<File>>> {
    TABLE_SECTIONS.iter().find_map(|name| elf.section_by_name(name))
}

/// A program's table, and where its functions begin.
fn table<'a>(elf: &Elf<'a>) -> Option<(Table<'a>, u64)> {
    let section = section(elf)?;
    if section.size() > TABLE_BYTES_MAX {
        return None;
    }
    let table = Table::parse(section.data().ok()?)?;
    let Some((text, at)) = table.text() else { return Some((table, 0)) };
    let text = Some(text)
        .filter(|text| *text != 0)
        .or_else(|| relocated(elf, section.address().checked_add(at)?))
        .or_else(|| module_text(elf, section.address()))?;
    Some((table, text))
}

/// Where the functions begin, by what the program whose table is at this address knows of itself.
fn module_text(elf: &Elf<'_>, table: u64) -> Option<u64> {
    let module = elf.section_by_name(MODULE_SECTION)?.address();
    let word =
        |address: u64| word(elf, address).filter(|word| *word != 0).or_else(|| relocated(elf, address));
    // Another layout has other things there.
    (word(module)? == table).then(|| word(module.checked_add(MODULE_TEXT)?)).flatten()
}

/// The word that the file has at an address.
fn word(elf: &Elf<'_>, address: u64) -> Option<u64> {
    let bytes = elf.data().read_bytes_at(offset_of(elf, address, false)?, 8).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The address that whoever loads the file writes to this one: files that can be loaded anywhere have none there themselves.
fn relocated(elf: &Elf<'_>, address: u64) -> Option<u64> {
    let endian = elf.endian();
    let tables = elf.sections().filter_map(|section| {
        let (table, _) = section.elf_section_header().rela(endian, elf.data()).ok()??;
        Some(table)
    });
    let is_it = |entry: &&elf::Rela64<Endianness>| {
        entry.r_offset.get(endian) == address && entry.r_type(endian, false) == RELATIVE
    };
    tables.flatten().find(is_it).map(|entry| entry.r_addend.get(endian).cast_unsigned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::pclntab::tests::table;
    use super::super::{Binaries, FoundPlace, UserProblem};
    use super::*;
    use lictor_policy::model::{FunctionName, UserPlace};

    /// Where the made-up program's code is.
    const CODE: u64 = 0x40_1000;

    /// A program whose whole file is code at 0x400000, with these sections: name, type, content. The name table is the last.
    pub(crate) fn program(sections: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let mut file = vec![0; 0x1100];
        let mut headers = vec![[0_u64; 8]];
        let mut names = vec![0];
        let last = (".shstrtab", elf::SHT_STRTAB, Vec::new());
        for (name, kind, content) in sections.iter().chain([&last]) {
            let at = file.len() as u64;
            let name_at = names.len() as u64;
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            let content = if *name == last.0 { &names } else { content };
            // Name and type, flags, address, offset, size, link, alignment, size of an entry.
            let kind = u64::from(*kind);
            headers.push([name_at | kind << 32, 2, 0x40_0000 + at, at, content.len() as u64, 0, 8, 24]);
            file.extend_from_slice(content);
            file.resize(file.len().next_multiple_of(8), 0);
        }
        let sections_at = file.len() as u64;
        file.extend(headers.iter().flatten().flat_map(|word| word.to_le_bytes()));
        let bytes = file.len() as u64;
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        put(16, &elf::ET_EXEC.to_le_bytes());
        put(18, &super::super::MACHINE.to_le_bytes());
        put(20, &1_u32.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(40, &sections_at.to_le_bytes());
        // Sizes and numbers of headers, and which section has the names.
        let last = headers.len() as u16;
        for (place, number) in [64, 56, 1, 64, last, last - 1].into_iter().enumerate() {
            put(52 + 2 * place, &u16::to_le_bytes(number));
        }
        put(64, &(u64::from(elf::PT_LOAD) | u64::from(elf::PF_X | elf::PF_R) << 32).to_le_bytes());
        for (place, word) in [0, 0x40_0000, 0x40_0000, bytes, bytes].into_iter().enumerate() {
            put(72 + 8 * place, &u64::to_le_bytes(word));
        }
        file
    }

    fn places(file: Vec<u8>, name: &str) -> Result<Vec<u64>, UserProblem> {
        found(file, &UserPlace::function(name))
    }

    fn found(file: Vec<u8>, place: &UserPlace) -> Result<Vec<u64>, UserProblem> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("program"), file).unwrap();
        let found = Binaries::new(root.path()).places("/program", place)?;
        Ok(found.iter().map(|FoundPlace { site, .. }| site.offset).collect())
    }

    #[test]
    fn nothing_is_hooked_at_the_end_of_a_go_function() {
        let end = |file: &[u8], offset| {
            let name = FunctionName::Offset(offset);
            found(file.to_vec(), &UserPlace::Function { name, ref_counter: 0, at_end: true })
        };
        let file = program(&[(TABLE_SECTIONS[0], elf::SHT_PROGBITS, pclntab(CODE))]);
        assert_eq!(end(&file, 0x1000), Err(UserProblem::MovesStack));
        assert_eq!(end(&file, 0x101f), Err(UserProblem::MovesStack));
        assert_eq!(end(&file, 0x1020), Ok(vec![0x1020]), "a function in C of the same program");
        let untold = program(&[(TABLE_SECTIONS[0], elf::SHT_PROGBITS, pclntab(0))]);
        assert_eq!(end(&untold, 0x1020), Err(UserProblem::MovesStack), "it may be one");
        let other = program(&[]);
        assert_eq!(end(&other, 0x1000), Ok(vec![0x1000]));
    }

    fn pclntab(text: u64) -> Vec<u8> {
        table(0xffff_fff1, 8, text, &[("main.main", 16), ("main.watched", 16)])
    }

    #[test]
    fn a_table_that_tells_where_it_begins_is_enough() {
        for name in TABLE_SECTIONS {
            let file = program(&[(name, elf::SHT_PROGBITS, pclntab(CODE))]);
            assert_eq!(places(file, "main.watched"), Ok(vec![0x1010]));
        }
        let file = program(&[(TABLE_SECTIONS[0], elf::SHT_PROGBITS, pclntab(CODE))]);
        let Err(UserProblem::NoPlace(near)) = places(file, "main.wached") else { panic!("there is none") };
        assert!(near.contains(&"main.watched".to_owned()), "{near:?}");
    }

    #[test]
    fn where_functions_begin_may_be_in_what_the_program_knows_of_itself() {
        // The first section is at the end of the code.
        let at = 0x40_1100_u64;
        let mut module = vec![0; 0x250];
        module[..8].copy_from_slice(&at.to_le_bytes());
        module[176..184].copy_from_slice(&CODE.to_le_bytes());
        let with = |module: &[u8]| {
            let sections = [
                (TABLE_SECTIONS[0], elf::SHT_PROGBITS, pclntab(0)),
                (MODULE_SECTION, elf::SHT_PROGBITS, module.to_vec()),
            ];
            places(program(&sections), "main.watched")
        };
        assert_eq!(with(&module), Ok(vec![0x1010]));
        module[0] ^= 1;
        assert_eq!(with(&module), Err(UserProblem::NoPlace(Vec::new())), "another layout tells nothing");
        assert_eq!(with(&[]), Err(UserProblem::NoPlace(Vec::new())));
    }

    #[test]
    fn where_functions_begin_may_be_written_when_the_file_is_loaded() {
        let relocation = |address: u64, to: u64| {
            [address, u64::from(RELATIVE), to].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()
        };
        let sections = [
            (TABLE_SECTIONS[1], elf::SHT_PROGBITS, pclntab(0)),
            (".rela.dyn", elf::SHT_RELA, [relocation(1, 2), relocation(0x40_1100 + 24, CODE)].concat()),
        ];
        assert_eq!(places(program(&sections), "main.watched"), Ok(vec![0x1010]));
    }
}
