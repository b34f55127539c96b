//! Functions of an ELF file by their place in it.
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

/// `ELFMAG`, `ELFCLASS64`, `ELFDATA2LSB`: what this node's programs are.
const MAGIC: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
const PT_LOAD: u32 = 1;
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
mod tests {
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

    proptest! {
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
