//! What an ELF file says: its functions by their place in it, its build id.
//!
//! The file belongs to whoever runs it, and may be made to hurt: only what is looked for is read, piece by piece, into memory
//! of fixed size, and each number of the file is taken as the claim that it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of symbol tables read for one stack, over all files. The largest programs have some 20 MiB.
pub(super) const FILE_BYTES_MAX: u64 = 32 << 20;

/// Program headers and section headers looked at; linkers write some ten and some forty.
const HEADERS_MAX: u16 = 4096;

/// Bytes read at once: a multiple of a symbol's size.
const PIECE_BYTES: usize = SYMBOL_BYTES * 2048;

/// Bytes kept of a name. Names of generic functions can be longer.
const NAME_BYTES_MAX: usize = 512;

const FILE_HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;

/// Bytes read of a file's notes. A program has a few hundred.
const NOTES_BYTES_MAX: usize = 64 << 10;

/// Longest build id: linkers make 8, 16, 20 or 32 bytes. What is longer is none.
const BUILD_ID_BYTES_MAX: usize = 64;

/// `ELFMAG`, `ELFCLASS64`, `ELFDATA2LSB`: what this node's programs are.
const MAGIC: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// The same with `ELFCLASS32`: programs of 32 bits.
const MAGIC_32: [u8; 6] = [0x7f, b'E', b'L', b'F', 1, 1];
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PROGRAM_HEADER_BYTES_32: usize = 32;
const NOTE_HEADER_BYTES: usize = 12;
const NT_GNU_BUILD_ID: u32 = 3;
const GNU: &[u8] = b"GNU\0";
const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;

/// For each offset of the file the function there, and how far it is from the function's beginning. `left` is how much may
/// be read of symbol tables.
pub(super) fn functions(
    file: &File,
    offsets: &[u64],
    left: &mut u64,
) -> io::Result<Vec<Option<(String, u64)>>> {
    let header: [u8; FILE_HEADER_BYTES] = read(file, 0)?;
    if !header.starts_with(&MAGIC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let addresses = addresses(file, &header, offsets)?;
    let Some((symbols, names)) = tables(file, &header)? else { return Ok(vec![None; offsets.len()]) };
    let mut best: Vec<Option<Symbol>> = vec![None; offsets.len()];
    scan(file, symbols, left, |symbol| {
        for (best, address) in best.iter_mut().zip(&addresses) {
            let holds = address.is_some_and(|address| symbol.holds(address));
            if holds && best.is_none_or(|best| best.begin < symbol.begin) {
                *best = Some(symbol);
            }
        }
    })?;
    let found = best.iter().zip(addresses).map(|(best, address)| {
        let (symbol, address) = (best.as_ref()?, address?);
        Some((name(file, names, symbol.name)?, address - symbol.begin))
    });
    Ok(found.collect())
}

/// The file's build id; `None` = its linker gave it none.
pub(crate) fn build_id(file: &File) -> io::Result<Option<Vec<u8>>> {
    let header: [u8; FILE_HEADER_BYTES] = read(file, 0)?;
    let wide = header.starts_with(&MAGIC);
    if !wide && !header.starts_with(&MAGIC_32) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let count = u16_at(&header, if wide { 56 } else { 44 }).min(HEADERS_MAX);
    let mut left = NOTES_BYTES_MAX;
    for number in 0..count {
        let (kind, range, alignment) = if wide {
            let program: [u8; PROGRAM_HEADER_BYTES] =
                read(file, element(u64_at(&header, 32), number, PROGRAM_HEADER_BYTES))?;
            let range = Range { begin: u64_at(&program, 8), bytes: u64_at(&program, 32) };
            (u32_at(&program, 0), range, u64_at(&program, 48))
        } else {
            let begin = u64::from(u32_at(&header, 28));
            let program: [u8; PROGRAM_HEADER_BYTES_32] =
                read(file, element(begin, number, PROGRAM_HEADER_BYTES_32))?;
            let word = |at| u64::from(u32_at(&program, at));
            (u32_at(&program, 0), Range { begin: word(4), bytes: word(16) }, word(28))
        };
        if kind == PT_NOTE {
            let mut notes = vec![0; usize::try_from(range.bytes).unwrap_or(left).min(left)];
            left -= notes.len();
            file.read_exact_at(&mut notes, range.begin)?;
            if let Some(found) = build_id_of(&notes, if alignment == 8 { 8 } else { 4 }) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The build id among notes, whose parts begin at multiples of `alignment`.
fn build_id_of(notes: &[u8], alignment: usize) -> Option<Vec<u8>> {
    let length = |at| usize::try_from(u32_at(notes, at)).ok();
    let mut at = 0_usize;
    loop {
        let name = at.checked_add(NOTE_HEADER_BYTES).filter(|name| *name <= notes.len())?;
        let name_end = name.checked_add(length(at)?)?;
        let value = name_end.checked_next_multiple_of(alignment)?;
        let value_end = value.checked_add(length(at + 4)?)?;
        if u32_at(notes, at + 8) == NT_GNU_BUILD_ID && notes.get(name..name_end) == Some(GNU) {
            let value = notes.get(value..value_end)?;
            return (1..=BUILD_ID_BYTES_MAX).contains(&value.len()).then(|| value.to_vec());
        }
        at = value_end.checked_next_multiple_of(alignment)?;
    }
}

/// A part of the file.
#[derive(Debug, Clone, Copy)]
struct Range {
    begin: u64,
    bytes: u64,
}

/// A function.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    name: u32,
    begin: u64,
    bytes: u64,
}

impl Symbol {
    fn parse(bytes: &[u8; SYMBOL_BYTES]) -> Option<Self> {
        let kind = bytes[4] & 0xf;
        let section = u16_at(bytes, 6);
        let symbol = Self { name: u32_at(bytes, 0), begin: u64_at(bytes, 8), bytes: u64_at(bytes, 16) };
        let is_function = matches!(kind, STT_FUNC | STT_GNU_IFUNC) && section != 0;
        is_function.then_some(symbol)
    }

    fn holds(self, address: u64) -> bool {
        // Assembly does not always say how long it is.
        address.checked_sub(self.begin).is_some_and(|offset| offset < self.bytes.max(1))
    }
}

/// Where the offsets are when the file is loaded.
fn addresses(file: &File, header: &[u8; FILE_HEADER_BYTES], offsets: &[u64]) -> io::Result<Vec<Option<u64>>> {
    let mut addresses = vec![None; offsets.len()];
    for number in 0..u16_at(header, 56).min(HEADERS_MAX) {
        let program: [u8; PROGRAM_HEADER_BYTES] =
            read(file, element(u64_at(header, 32), number, PROGRAM_HEADER_BYTES))?;
        if u32_at(&program, 0) != PT_LOAD {
            continue;
        }
        let (begin, address, bytes) = (u64_at(&program, 8), u64_at(&program, 16), u64_at(&program, 32));
        for (found, offset) in addresses.iter_mut().zip(offsets) {
            if let Some(within) = offset.checked_sub(begin).filter(|within| *within < bytes) {
                *found = found.or(address.checked_add(within));
            }
        }
    }
    Ok(addresses)
}

/// The table of all symbols, or else of those that other files can use, and the names of it.
fn tables(file: &File, header: &[u8; FILE_HEADER_BYTES]) -> io::Result<Option<(Range, Range)>> {
    let (begin, count) = (u64_at(header, 40), u16_at(header, 60).min(HEADERS_MAX));
    let section = |number| -> io::Result<[u8; SECTION_HEADER_BYTES]> {
        read(file, element(begin, number, SECTION_HEADER_BYTES))
    };
    let range = |section: &[u8]| Range { begin: u64_at(section, 24), bytes: u64_at(section, 32) };
    let mut found = None;
    for number in 0..count {
        let table = section(number)?;
        let kind = u32_at(&table, 4);
        if kind == SHT_SYMTAB || kind == SHT_DYNSYM && found.is_none() {
            let Ok(names) = u16::try_from(u32_at(&table, 40)) else { continue };
            if names < count {
                found = Some((range(&table), range(&section(names)?)));
            }
        }
        if kind == SHT_SYMTAB {
            break;
        }
    }
    Ok(found)
}

fn scan(file: &File, table: Range, left: &mut u64, mut each: impl FnMut(Symbol)) -> io::Result<()> {
    if table.bytes > *left {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    *left -= table.bytes;
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    while done < table.bytes {
        let length = usize::try_from(table.bytes - done).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let piece = &mut piece[..length];
        file.read_exact_at(piece, table.begin.saturating_add(done))?;
        piece.as_chunks().0.iter().filter_map(Symbol::parse).for_each(&mut each);
        done += length as u64;
    }
    Ok(())
}

fn name(file: &File, names: Range, at: u32) -> Option<String> {
    let left = names.bytes.checked_sub(u64::from(at))?;
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(NAME_BYTES_MAX).min(NAME_BYTES_MAX)];
    file.read_exact_at(&mut bytes, names.begin.checked_add(u64::from(at))?).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
    (!name.is_empty()).then_some(name)
}

fn read<const LENGTH: usize>(file: &File, at: u64) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Where element `number` of a list is. Sums beyond any file are where nothing can be read.
fn element(begin: u64, number: u16, bytes: usize) -> u64 {
    begin.saturating_add(u64::from(number) * bytes as u64)
}

fn number<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; LENGTH])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    const NAMES: &[u8] = b"\0first\0second\0\0";

    fn symbol(name: u32, kind: u8, section: u16, begin: u64, bytes: u64) -> Vec<u8> {
        let mut symbol = name.to_le_bytes().to_vec();
        symbol.extend_from_slice(&[kind, 0]);
        symbol.extend_from_slice(&section.to_le_bytes());
        symbol.extend_from_slice(&begin.to_le_bytes());
        symbol.extend_from_slice(&bytes.to_le_bytes());
        symbol
    }

    fn section(kind: u32, begin: u64, bytes: u64, link: u32) -> Vec<u8> {
        let mut section = vec![0; SECTION_HEADER_BYTES];
        section[4..8].copy_from_slice(&kind.to_le_bytes());
        section[24..32].copy_from_slice(&begin.to_le_bytes());
        section[32..40].copy_from_slice(&bytes.to_le_bytes());
        section[40..44].copy_from_slice(&link.to_le_bytes());
        section
    }

    /// A file whose code is at 0x1000 and is loaded at 0x401000, with the symbols in a table of this kind.
    fn elf(kind: u32) -> Vec<u8> {
        let symbols: Vec<u8> = [
            symbol(1, STT_FUNC, 1, 0x40_1000, 16),
            symbol(7, STT_FUNC, 1, 0x40_1010, 0),
            // An object, a function that is elsewhere, one whose name is beyond all names.
            symbol(7, 1, 1, 0x40_1020, 16),
            symbol(7, STT_FUNC, 0, 0x40_1020, 16),
            symbol(900, STT_FUNC, 1, 0x40_1040, 16),
        ]
        .concat();
        let mut file = vec![0; FILE_HEADER_BYTES];
        file[..6].copy_from_slice(&MAGIC);
        let mut program = vec![0; PROGRAM_HEADER_BYTES];
        program[..4].copy_from_slice(&PT_LOAD.to_le_bytes());
        program[8..16].copy_from_slice(&0x1000_u64.to_le_bytes());
        program[16..24].copy_from_slice(&0x40_1000_u64.to_le_bytes());
        program[32..40].copy_from_slice(&0x100_u64.to_le_bytes());
        file[32..40].copy_from_slice(&(FILE_HEADER_BYTES as u64).to_le_bytes());
        file[56] = 1;
        file.extend(program);
        let at = file.len() as u64;
        file.extend(&symbols);
        file.extend(NAMES);
        let sections = [
            section(kind, at, symbols.len() as u64, 1),
            section(3, at + symbols.len() as u64, NAMES.len() as u64, 0),
        ];
        let begin = (file.len() as u64).to_le_bytes();
        file[40..48].copy_from_slice(&begin);
        file[60] = 2;
        file.extend(sections.concat());
        file
    }

    fn found(bytes: &[u8], offsets: &[u64]) -> io::Result<Vec<Option<(String, u64)>>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        functions(&file, offsets, &mut FILE_BYTES_MAX.clone())
    }

    #[test]
    fn functions_are_found_where_they_are_loaded() {
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            let offsets = [0x1004, 0x1010, 0x1018, 0x1024, 0x1044, 0x10, 0x2000, u64::MAX];
            let found = found(&elf(kind), &offsets).unwrap();
            assert_eq!(found[0], Some(("first".to_owned(), 4)));
            assert_eq!(found[1], Some(("second".to_owned(), 0)));
            assert_eq!(found[2..], [None, None, None, None, None, None]);
        }
        assert_eq!(found(&elf(1), &[0x1004]).unwrap(), [None], "no table");
    }

    #[test]
    fn more_than_may_be_read_is_not_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&elf(SHT_SYMTAB)).unwrap();
        let table = 5 * SYMBOL_BYTES as u64;
        let mut left = table + 10;
        assert!(functions(&file, &[0x1004], &mut left).is_ok());
        assert_eq!(left, 10);
        assert!(functions(&file, &[0x1004], &mut left).is_err());
    }

    #[test]
    fn files_that_claim_nonsense_give_errors() {
        assert!(found(b"", &[1]).is_err());
        assert!(found(b"#!/bin/sh", &[1]).is_err());
        let mut huge = elf(SHT_SYMTAB);
        let sections = usize::try_from(u64_at(&huge, 40)).unwrap();
        huge[sections + 32..sections + 40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(found(&huge, &[0x1004]).is_err());
    }

    /// A note, with its parts at multiples of `alignment`.
    fn note(name: &[u8], kind: u32, value: &[u8], alignment: usize) -> Vec<u8> {
        let mut note = Vec::new();
        for number in [name.len(), value.len(), kind as usize] {
            note.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        for part in [name, value] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(alignment), 0);
        }
        note
    }

    /// A file with these notes, each in a segment of its own with its alignment.
    fn with_notes(wide: bool, notes: &[(Vec<u8>, usize)]) -> Vec<u8> {
        let mut file = vec![0; FILE_HEADER_BYTES];
        file[..6].copy_from_slice(if wide { &MAGIC } else { &MAGIC_32 });
        file[if wide { 32 } else { 28 }] = FILE_HEADER_BYTES as u8;
        file[if wide { 56 } else { 44 }] = notes.len() as u8;
        let header = if wide { PROGRAM_HEADER_BYTES } else { PROGRAM_HEADER_BYTES_32 };
        let mut begin = FILE_HEADER_BYTES + header * notes.len();
        for (bytes, alignment) in notes {
            let mut program = vec![0; header];
            program[0] = PT_NOTE as u8;
            let places = if wide { [8, 32, 48] } else { [4, 16, 28] };
            for (place, number) in places.into_iter().zip([begin, bytes.len(), *alignment]) {
                program[place..place + 4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            }
            file.extend(program);
            begin += bytes.len();
        }
        file.extend(notes.iter().flat_map(|(bytes, _)| bytes));
        file
    }

    /// A file with this build id and nothing else.
    pub(crate) fn with_build_id(id: &[u8]) -> Vec<u8> {
        with_notes(true, &[(note(GNU, NT_GNU_BUILD_ID, id, 4), 4)])
    }

    fn build_id_in(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        build_id(&file)
    }

    const ID: [u8; 20] = *b"0123456789abcdefghij";

    #[test]
    fn a_build_id_is_found_among_other_notes() {
        let property = note(GNU, 5, b"property of the program.", 8);
        let abi = note(GNU, 1, &[0; 16], 4);
        let foreign = note(b"Go\0\0", NT_GNU_BUILD_ID, b"not this one", 4);
        let id = note(GNU, NT_GNU_BUILD_ID, &ID, 4);
        for wide in [true, false] {
            let file = with_notes(
                wide,
                &[(property.clone(), 8), ([abi.clone(), foreign.clone(), id.clone()].concat(), 4)],
            );
            assert_eq!(build_id_in(&file).unwrap(), Some(ID.to_vec()));
            assert_eq!(build_id_in(&with_notes(wide, &[(abi.clone(), 4)])).unwrap(), None);
            assert_eq!(build_id_in(&with_notes(wide, &[])).unwrap(), None);
        }
        let odd = [note(b"name\0", 7, b"1", 8), note(GNU, NT_GNU_BUILD_ID, b"7", 8)].concat();
        assert_eq!(build_id_in(&with_notes(true, &[(odd, 8)])).unwrap(), Some(b"7".to_vec()));
    }

    #[test]
    fn the_build_id_of_a_real_program_is_read() {
        let file = File::open("/proc/self/exe").unwrap();
        // Whether there is one is the linker's choice; that the notes can be read is not.
        assert!(build_id(&file).unwrap().is_none_or(|id| (8..=32).contains(&id.len())));
    }

    #[test]
    fn notes_that_claim_nonsense_have_no_build_id() {
        for bytes in [&b""[..], b"#!/bin/sh", &MAGIC] {
            assert!(build_id_in(bytes).is_err());
        }
        let file = |id: Vec<u8>| with_notes(true, &[(id, 4)]);
        let long = file(note(GNU, NT_GNU_BUILD_ID, &[1; BUILD_ID_BYTES_MAX + 1], 4));
        assert_eq!(build_id_in(&long).unwrap(), None, "longer than any");
        assert_eq!(build_id_in(&file(note(GNU, NT_GNU_BUILD_ID, &[], 4))).unwrap(), None, "empty");
        for at in [0, 4] {
            let mut huge = note(GNU, NT_GNU_BUILD_ID, &ID, 4);
            huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(build_id_in(&file(huge)).unwrap(), None, "beyond its segment");
        }
        let mut beyond = file(note(GNU, NT_GNU_BUILD_ID, &ID, 4));
        beyond[FILE_HEADER_BYTES + 32..FILE_HEADER_BYTES + 40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(build_id_in(&beyond).is_err(), "a segment that is longer than the file");
        // Many empty notes before it: only so much is read.
        let padding = note(b"", 0, b"", 4).repeat(NOTES_BYTES_MAX / NOTE_HEADER_BYTES + 1);
        let hidden = [padding, note(GNU, NT_GNU_BUILD_ID, &ID, 4)].concat();
        assert_eq!(build_id_in(&file(hidden)).unwrap(), None);
        let mut headers = file(note(GNU, NT_GNU_BUILD_ID, &ID, 4));
        headers[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(build_id_in(&headers).is_err());
    }

    proptest! {
        #[test]
        fn any_change_gives_a_build_id_or_an_error(
            wide in any::<bool>(),
            changes in prop::collection::vec((0_usize..512, any::<u8>()), 1..8),
        ) {
            let notes = [note(GNU, 1, &[0; 16], 4), note(GNU, NT_GNU_BUILD_ID, &ID, 4)].concat();
            let mut bytes = with_notes(wide, &[(notes, 4)]);
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let _ = build_id_in(&bytes);
        }

        #[test]
        fn any_change_gives_an_answer_or_an_error(changes in prop::collection::vec((0_usize..512, any::<u8>()), 1..8)) {
            let mut bytes = elf(SHT_SYMTAB);
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let _ = found(&bytes, &[0x1004, 0x1010]);
        }
    }
}
