//! BTF of a few types, cut out of the whole.
//!
//! Relocating programs looks through all types for each type that they name. The kernel has 150,000; the programs name a
//! few dozen, which hold a few hundred by value.

use super::Btf;
use super::raw::{Kind, Type};
use std::collections::{BTreeMap, BTreeSet};

/// Magic number, version, flags: what every header begins with.
const HEADER_START: [u8; 4] = {
    let [low, high] = 0xeb9f_u16.to_ne_bytes();
    [low, high, 1, 0]
};
const HEADER_BYTES: u32 = 24;

impl<B: AsRef<[u8]>> Btf<B> {
    /// The names of structs, unions, enumerations and typedefs.
    pub fn type_names(&self) -> BTreeSet<&[u8]> {
        self.raw
            .ids()
            .filter_map(|id| self.raw.get(id))
            .filter_map(|found| self.name_of_type(&found))
            .collect()
    }

    /// BTF of the structs, unions, enumerations and typedefs with one of these names, and of all that they hold by
    /// value. Pointers are kept without what they point to. Type numbers are not those of the whole.
    pub fn subset(&self, names: &BTreeSet<Vec<u8>>) -> Vec<u8> {
        // Most names are none of these, which one look at their beginnings tells.
        let mut starts = [false; 1 << 12];
        for name in names {
            starts[start(name)] = true;
        }
        let is_wanted = |found: Type| {
            let name = self.name_of_type(&found);
            name.is_some_and(|name| starts[start(name)] && names.contains(name))
        };
        let mut open: Vec<u32> =
            self.raw.ids().filter(|id| self.raw.get(*id).is_some_and(is_wanted)).collect();
        let mut chosen = BTreeSet::new();
        while let Some(id) = open.pop() {
            let Some(found) = self.raw.get(id) else { continue };
            if chosen.insert(id) {
                open.extend(self.held(&found));
            }
        }
        let mut writer =
            Writer { btf: self, numbers: BTreeMap::new(), strings: vec![0], known: BTreeMap::new() };
        writer.numbers = (1..).zip(&chosen).map(|(number, id)| (*id, number)).collect();
        writer.write(&chosen)
    }

    fn name_of_type(&self, found: &Type) -> Option<&[u8]> {
        let has_name =
            matches!(found.kind, Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Typedef);
        (has_name && found.name != 0).then(|| self.raw.string(found.name))
    }

    /// The types that this one holds by value, or names.
    fn held(&self, found: &Type) -> Vec<u32> {
        let tail = |offset| self.raw.word(found.tail + offset);
        if matches!(found.kind, Kind::Struct | Kind::Union) {
            (0..found.members as usize).filter_map(|member| tail(member * 12 + 4)).collect()
        } else if found.kind == Kind::Array {
            [tail(0), tail(4)].into_iter().flatten().collect()
        } else if found.kind.is_modifier() {
            vec![found.reference]
        } else {
            Vec::new()
        }
    }
}

/// A number for the beginning of a name.
fn start(name: &[u8]) -> usize {
    let letter = |at: usize| usize::from(name.get(at).copied().unwrap_or(0));
    (letter(0) ^ letter(1) << 3 ^ letter(2) << 6 ^ name.len()) & 0xfff
}

/// Types on their way into bytes of their own.
struct Writer<'a, B> {
    btf: &'a Btf<B>,
    /// New numbers of the types.
    numbers: BTreeMap<u32, u32>,
    strings: Vec<u8>,
    /// Where strings went, by where they were.
    known: BTreeMap<u32, u32>,
}

impl<B: AsRef<[u8]>> Writer<'_, B> {
    fn write(mut self, chosen: &BTreeSet<u32>) -> Vec<u8> {
        let mut types = Vec::new();
        for found in chosen.iter().filter_map(|id| self.btf.raw.get(*id)) {
            self.write_type(&found, &mut types);
        }
        let (length, strings) = (types.len() as u32, self.strings.len() as u32);
        let mut bytes = HEADER_START.to_vec();
        for number in [HEADER_BYTES, 0, length, length, strings] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.append(&mut types);
        bytes.append(&mut self.strings);
        bytes
    }

    /// A type that was left out is `void`.
    fn number(&self, id: u32) -> u32 {
        self.numbers.get(&id).copied().unwrap_or(0)
    }

    fn string(&mut self, offset: u32) -> u32 {
        if offset == 0 {
            return 0;
        }
        let (btf, strings) = (self.btf, &mut self.strings);
        *self.known.entry(offset).or_insert_with(|| {
            let place = strings.len() as u32;
            strings.extend_from_slice(btf.raw.string(offset));
            strings.push(0);
            place
        })
    }

    fn write_type(&mut self, found: &Type, to: &mut Vec<u8>) {
        let raw = &self.btf.raw;
        let head = found.tail - super::raw::TYPE_BYTES;
        let length = found.kind.tail_bytes(found.members as usize);
        let words = |from: usize, length: usize| -> Vec<u32> {
            (from..from + length).step_by(4).filter_map(|at| raw.word(at)).collect()
        };
        let info = raw.word(head + 4).unwrap_or(0);
        let mut tail = words(found.tail, length);
        let reference = if found.kind == Kind::Ptr {
            0
        } else if found.kind.is_modifier() {
            self.number(found.reference)
        } else {
            found.reference
        };
        if matches!(found.kind, Kind::Struct | Kind::Union) {
            for member in tail.chunks_exact_mut(3) {
                member[0] = self.string(member[0]);
                member[1] = self.number(member[1]);
            }
        } else if found.kind == Kind::Enum {
            tail.chunks_exact_mut(2).for_each(|value| value[0] = self.string(value[0]));
        } else if found.kind == Kind::Enum64 {
            tail.chunks_exact_mut(3).for_each(|value| value[0] = self.string(value[0]));
        } else if found.kind == Kind::Array {
            tail.iter_mut().take(2).for_each(|id| *id = self.number(*id));
        }
        for number in [self.string(found.name), info, reference].into_iter().chain(tail) {
            to.extend_from_slice(&number.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Builder, kernel};
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    #[test]
    fn what_is_held_by_value_comes_along() {
        let mut b = Builder::new();
        let int = b.int("int", 4, true);
        let far = b.structure("far");
        let pointer = b.plain("", 2, far);
        let array = b.add("", 3, false, 0, 0, &[int, int, 16]);
        let name = b.string("inner_value");
        let inner = b.add("inner", 4, false, 1, 4, &[name, int, 0]);
        let alias = b.plain("inner_t", 8, inner);
        let members: Vec<u32> = [("a", alias), ("b", pointer), ("c", array)]
            .iter()
            .flat_map(|(name, id)| [b.string(name), *id, 0])
            .collect();
        b.add("outer", 4, false, 3, 80, &members);
        b.add("other", 4, false, 0, 0, &[]);
        let whole = b.build();
        let whole = Btf::parse(whole.as_slice()).unwrap();

        let bytes = whole.subset(&names(&["outer", "nosuch"]));
        let subset = Btf::parse(bytes.as_slice()).unwrap();
        let found: Vec<&str> =
            subset.type_names().into_iter().map(|it| str::from_utf8(it).unwrap()).collect();
        assert_eq!(found, ["inner", "inner_t", "outer"]);
        let outer = subset.raw.ids().find(|id| subset.raw.type_name(*id) == b"outer").unwrap();
        let outer = subset.raw.get(outer).unwrap();
        let kinds = subset.held(&outer).into_iter().map(|id| subset.raw.get(id).unwrap().kind);
        assert_eq!(kinds.collect::<Vec<_>>(), [Kind::Typedef, Kind::Ptr, Kind::Array]);
        assert_eq!(outer.reference, 80);
        // A subset of all names but what only pointers lead to is the same again.
        let again: BTreeSet<Vec<u8>> = subset.type_names().into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(subset.subset(&again), bytes);
    }

    #[test]
    fn nothing_wanted_gives_no_types() {
        let whole = kernel();
        let bytes = Btf::parse(whole.as_slice()).unwrap().subset(&BTreeSet::new());
        assert_eq!(bytes.len(), HEADER_BYTES as usize + 1);
        assert!(Btf::parse(bytes).unwrap().type_names().is_empty());
    }
}
