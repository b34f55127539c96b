//! The table in which Go programs keep the names of their functions, for their own stack traces: it stays when symbols are
//! stripped.
//!
//! Its layout is Go's own business and has changed four times (`debug/gosym` and `runtime/symtab.go` of Go). The table belongs
//! to whoever runs the program: each number of it is taken as the claim that it is.

/// `_func`: begins with where the function is, then its name.
const NAME_BEHIND_ENTRY_BYTES: usize = 4;

/// Longest name that is read, bytes: policies name none that is longer.
const NAME_BYTES_MAX: usize = 512;

/// How a table is laid out, by the versions of Go that write it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// 1.2 to 1.15.
    Go2,
    /// 1.16 and 1.17.
    Go16,
    /// 1.18 and later; with another number from 1.20 on.
    Go18,
}

/// A table of functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    layout: Layout,
    /// Bytes of an address.
    word: usize,
    /// How many functions there are.
    count: usize,
    /// Where the names begin.
    names: usize,
    /// Where the list of functions begins, and what its entries count from.
    functions: usize,
}

/// A function of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function<'a> {
    /// As Go writes it: `main.(*Server).Serve`.
    pub(super) name: &'a [u8],
    /// Where it begins.
    pub(super) address: u64,
    /// How long it is.
    pub(super) bytes: u64,
}

impl<'a> Table<'a> {
    /// Reads the head of a table; `None` = it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let layout = match u32::from_le_bytes(*bytes.first_chunk()?) {
            0xffff_fffb => Layout::Go2,
            0xffff_fffa => Layout::Go16,
            0xffff_fff0 | 0xffff_fff1 => Layout::Go18,
            _ => return None,
        };
        let &[0, 0, 1 | 2 | 4, word @ (4 | 8)] = bytes.get(4..8)? else { return None };
        let mut table = Self { bytes, layout, word: word.into(), count: 0, names: 0, functions: 0 };
        table.count = table.head(0)?;
        (table.names, table.functions) = match layout {
            Layout::Go2 => (0, 8 + table.word),
            Layout::Go16 => (table.head(2)?, table.head(6)?),
            Layout::Go18 => (table.head(3)?, table.head(7)?),
        };
        // What comes behind the last function is where it ends.
        let list = table.count.checked_mul(2)?.checked_add(1)?.checked_mul(table.entry_bytes())?;
        let end = table.functions.checked_add(list)?;
        (end <= bytes.len() && table.names < bytes.len()).then_some(table)
    }

    /// Where the functions begin, for a table that says where they are by their distance from there; `Some(0)` = it leaves that
    /// to others. With how far behind the table's beginning this stands.
    pub(super) fn text(&self) -> Option<(u64, u64)> {
        let at = 8 + 2 * self.word;
        let text = (self.layout == Layout::Go18).then(|| self.number(at, self.word)).flatten()?;
        Some((text, at as u64))
    }

    /// The functions, those left out that make no sense. `text` is where they begin, for a table with distances.
    pub(super) fn functions(self, text: u64) -> impl Iterator<Item = Function<'a>> {
        (0..self.count).filter_map(move |number| self.function(number, text))
    }

    fn function(&self, number: usize, text: u64) -> Option<Function<'a>> {
        let width = self.entry_bytes();
        let at = self.functions + 2 * width * number;
        let (begin, end) = (self.number(at, width)?, self.number(at + 2 * width, width)?);
        let details = usize::try_from(self.number(at + width, width)?).ok()?;
        let (base, text) = match self.layout {
            Layout::Go2 => (0, 0),
            Layout::Go16 => (self.functions, 0),
            Layout::Go18 => (self.functions, text),
        };
        let entry = if self.layout == Layout::Go18 { NAME_BEHIND_ENTRY_BYTES } else { self.word };
        let name = base.checked_add(details)?.checked_add(entry)?;
        let name = usize::try_from(self.number(name, 4)?).ok()?;
        let name = self.bytes.get(self.names.checked_add(name)?..)?;
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        let name = &name[..name.iter().position(|byte| *byte == 0)?];
        let bytes = end.checked_sub(begin)?;
        (!name.is_empty()).then_some(Function { name, address: text.checked_add(begin)?, bytes })
    }

    /// Bytes of each number in the list of functions.
    fn entry_bytes(&self) -> usize {
        if self.layout == Layout::Go18 { 4 } else { self.word }
    }

    /// Number `place` of those behind the first eight bytes.
    fn head(&self, place: usize) -> Option<usize> {
        usize::try_from(self.number(8 + place * self.word, self.word)?).ok()
    }

    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        match width {
            4 => Some(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            _ => Some(u64::from_le_bytes(bytes.try_into().ok()?)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The numbers that a table begins with, and what is where in it.
    const KINDS: [(u32, usize); 7] = [
        (0xffff_fffb, 4),
        (0xffff_fffb, 8),
        (0xffff_fffa, 4),
        (0xffff_fffa, 8),
        (0xffff_fff0, 8),
        (0xffff_fff1, 4),
        (0xffff_fff1, 8),
    ];

    fn put(bytes: &mut Vec<u8>, number: u64, width: usize) {
        bytes.extend_from_slice(&number.to_le_bytes()[..width]);
    }

    /// A table of these functions, which stand behind each other from `text` on: names and lengths.
    pub(in super::super) fn table(magic: u32, word: usize, text: u64, functions: &[(&str, u64)]) -> Vec<u8> {
        let newest = magic & 0xf < 8;
        let entry = if newest { 4 } else { word };
        let head_words = match magic {
            0xffff_fffb => 1,
            0xffff_fffa => 7,
            _ => 8,
        };
        let mut names = Vec::new();
        let offsets: Vec<u64> = functions
            .iter()
            .map(|(name, _)| {
                let at = names.len() as u64;
                names.extend_from_slice(name.as_bytes());
                names.push(0);
                at
            })
            .collect();
        // Head, list, details, names.
        let head = 8 + head_words * word;
        let list = (2 * functions.len() + 1) * entry;
        let detail = if newest { 4 } else { word } + 4;
        let names_at = (head + list + functions.len() * detail) as u64;
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 1, word as u8]);
        put(&mut bytes, functions.len() as u64, word);
        match head_words {
            1 => {}
            7 => [1, names_at, 0, 0, 0, head as u64].iter().for_each(|number| put(&mut bytes, *number, word)),
            _ => [1, text, names_at, 0, 0, 0, head as u64]
                .iter()
                .for_each(|number| put(&mut bytes, *number, word)),
        }
        let from_table = if head_words == 1 { head as u64 } else { 0 };
        let mut at = if newest { 0 } else { text };
        let mut begins = Vec::new();
        for (number, (_, length)) in functions.iter().enumerate() {
            begins.push(at);
            put(&mut bytes, at, entry);
            put(&mut bytes, from_table + (list + number * detail) as u64, entry);
            at += length;
        }
        put(&mut bytes, at, entry);
        for (begin, name) in begins.iter().zip(offsets) {
            put(&mut bytes, *begin, if newest { 4 } else { word });
            put(&mut bytes, if head_words == 1 { names_at + name } else { name }, 4);
        }
        bytes.extend(names);
        bytes
    }

    #[test]
    fn functions_of_each_layout_are_found() {
        for (magic, word) in KINDS {
            let bytes = table(magic, word, 0x40_1000, &[("main.main", 16), ("main.(*T).Method", 32)]);
            let table = Table::parse(&bytes).unwrap();
            let found: Vec<Function<'_>> =
                table.functions(table.text().map_or(0, |(text, _)| text)).collect();
            let wanted = [
                Function { name: b"main.main", address: 0x40_1000, bytes: 16 },
                Function { name: b"main.(*T).Method", address: 0x40_1010, bytes: 32 },
            ];
            assert_eq!(found, wanted, "{magic:x} {word}");
        }
    }

    #[test]
    fn what_claims_too_much_is_no_table() {
        for (magic, word) in KINDS {
            let good = table(magic, word, 0, &[("main.main", 16)]);
            let mut many = good.clone();
            many[8..8 + word].fill(0xff);
            assert!(Table::parse(&many).is_none(), "{magic:x} {word}");
            for (at, value) in [(0, 0), (4, 1), (6, 3), (7, 5)] {
                let mut other = good.clone();
                other[at] = value;
                assert!(Table::parse(&other).is_none(), "{magic:x} {word}: byte {at}");
            }
            let mut long = table(magic, word, 0, &[(&"n".repeat(600), 16), ("main.main", 16)]);
            let names: Vec<&[u8]> =
                Table::parse(&long).unwrap().functions(0).map(|found| found.name).collect();
            assert_eq!(names, [b"main.main"], "a name that is too long is left out");
            long.truncate(long.len() - 1);
            assert_eq!(Table::parse(&long).unwrap().functions(0).count(), 0, "no end");
        }
        assert!(Table::parse(b"").is_none() && Table::parse(&0xffff_fff1_u32.to_le_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table_or_none(
            kind in 0..KINDS.len(),
            rest in prop::collection::vec(any::<u8>(), 0..256),
            text in any::<u64>(),
        ) {
            let (magic, word) = KINDS[kind];
            let mut bytes = magic.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[0, 0, 1, word as u8]);
            bytes.extend(rest);
            if let Some(table) = Table::parse(&bytes) {
                prop_assert!(table.functions(text).count() <= bytes.len());
            }
        }

        #[test]
        fn any_change_of_a_table_is_a_table_or_none(
            kind in 0..KINDS.len(),
            changes in prop::collection::vec((0_usize..512, any::<u8>()), 1..8),
            text in any::<u64>(),
        ) {
            let (magic, word) = KINDS[kind];
            let mut bytes = table(magic, word, 0x1000, &[("main.main", 16), ("a", 1), ("b", 0)]);
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            if let Some(table) = Table::parse(&bytes) {
                prop_assert!(table.functions(text).count() <= bytes.len());
            }
        }
    }
}
