//! The way from a structure to one of its members.

use super::raw::{Kind, Type};
use super::{Btf, CHAIN_MAX, NameTable};
use crate::model::{MEMBERS_MAX, Member, MemberPath};
use crate::plan::{NoWay, Parameter, TypeClass, Way};
use crate::violation::nearest;

/// Names to suggest for one that does not exist.
const SUGGESTIONS_MAX: usize = 3;

/// Deepest nesting of structures without a name. The kernel's own are three deep.
const NESTING_MAX: usize = 8;

/// Most members that are looked at for one, those of unnamed structures included. The kernel's largest structures have some
/// hundred; damaged BTF could hold itself many times.
const LOOKED_AT_MAX: usize = 1 << 14;

/// Bytes of a member behind its structure: name, type, offset.
const MEMBER_BYTES: usize = 12;

/// What stands at an address.
struct Place {
    steps: Vec<i32>,
    /// Bytes from what the steps so far give.
    offset: i64,
    /// Number of its type.
    id: u32,
}

/// A member of a structure, or of an unnamed one within it.
struct Found {
    /// Bits from the beginning of the structure.
    bits: u64,
    id: u32,
    /// It is part of a byte, or of several.
    is_bit_field: bool,
}

impl<B: AsRef<[u8]>> Btf<B> {
    /// The way from a pointer to the struct or union `structure` to a member.
    ///
    /// # Errors
    /// See [`NoWay`].
    pub fn member(&self, structure: &str, path: &MemberPath) -> Result<Way, NoWay> {
        let Some(id) = self.structure_id(structure) else {
            return Err(NoWay::NoStructure {
                name: structure.to_owned(),
                nearest: self.nearest_structures(structure),
            });
        };
        if path.members().is_empty() {
            let class = TypeClass::StructPointer(structure.to_owned());
            let value =
                Parameter { name: String::new(), type_name: format!("{} *", self.type_name(id)), class };
            return Ok(Way { steps: Vec::new(), is_address: false, value, text_bytes: None });
        }
        let mut place = Place { steps: Vec::new(), offset: 0, id };
        for (number, member) in path.members().iter().enumerate() {
            if number > 0 {
                self.enter(&mut place, &path.first(number))?;
            }
            self.go(&mut place, member)?;
            self.elements(&mut place, member, &path.first(number + 1))?;
        }
        self.end(place, path)
    }

    /// The number of the struct or union of that name; of several the first one.
    fn structure_id(&self, name: &str) -> Option<u32> {
        let own = self.structures().find(&self.raw, name.as_bytes()).filter(|_| !name.is_empty());
        own.or_else(|| self.below.as_ref()?.structure_id(name))
    }

    /// Those of its own.
    fn structures(&self) -> &NameTable {
        self.structures
            .get_or_init(|| NameTable::new(&self.raw, |kind| matches!(kind, Kind::Struct | Kind::Union)))
    }

    fn nearest_structures(&self, name: &str) -> Vec<String> {
        let names = self.structures().ids().filter_map(|id| std::str::from_utf8(self.raw.type_name(id)).ok());
        let own = nearest(name, names, SUGGESTIONS_MAX).into_iter().map(str::to_owned);
        let below = self.below.as_ref().map_or_else(Vec::new, |below| below.nearest_structures(name));
        own.chain(below).take(SUGGESTIONS_MAX).collect()
    }

    /// Makes the place that of a structure, behind a pointer to it.
    fn enter(&self, place: &mut Place, path: &MemberPath) -> Result<(), NoWay> {
        let found = self.resolve(place.id);
        let kind = found.map(|found| found.kind);
        if matches!(kind, Some(Kind::Struct | Kind::Union)) {
            return Ok(());
        }
        if let Some(pointer) = found.filter(|found| found.kind == Kind::Ptr)
            && let Some(target) = self.structure_behind(&pointer)
        {
            place.follow()?;
            place.id = target;
            return Ok(());
        }
        Err(NoWay::NoMembers {
            path: path.clone(),
            type_name: self.type_name(place.id),
            is_array: kind == Some(Kind::Array),
        })
    }

    /// The struct or union that a pointer leads to. Where BTF has only its name at this place, by its name.
    fn structure_behind(&self, pointer: &Type) -> Option<u32> {
        let mut id = pointer.reference;
        for _ in 0..CHAIN_MAX {
            let found = self.raw.get(id)?;
            if matches!(found.kind, Kind::Struct | Kind::Union) {
                return Some(id);
            }
            if found.kind == Kind::Forward {
                return self.structure_id(std::str::from_utf8(self.raw.string(found.name)).ok()?);
            }
            if !found.kind.is_modifier() {
                return None;
            }
            id = found.reference;
        }
        None
    }

    /// Goes to a member of the structure at the place.
    fn go(&self, place: &mut Place, member: &Member) -> Result<(), NoWay> {
        let none = || NoWay::NoMember {
            structure: self.type_name(place.id),
            member: member.name.clone(),
            nearest: Vec::new(),
        };
        let structure = self.resolve(place.id).ok_or_else(none)?;
        let mut names = Vec::new();
        let Some(found) = self.find(&structure, member.name.as_bytes(), 0, &mut names) else {
            let names = names.iter().filter(|name| !name.is_empty());
            let names = names.filter_map(|name| std::str::from_utf8(name).ok());
            let nearest = nearest(&member.name, names, SUGGESTIONS_MAX);
            return Err(NoWay::NoMember {
                structure: self.type_name(place.id),
                member: member.name.clone(),
                nearest: nearest.into_iter().map(str::to_owned).collect(),
            });
        };
        if found.is_bit_field {
            return Err(NoWay::BitField { structure: self.type_name(place.id), member: member.name.clone() });
        }
        // Bits of a 32-bit number.
        place.offset += (found.bits / 8).cast_signed();
        place.id = found.id;
        Ok(())
    }

    /// The member of that name; those of unnamed structures count as the structure's own. `names` gets all that were
    /// looked at.
    fn find<'a>(
        &'a self,
        structure: &Type,
        wanted: &[u8],
        depth: usize,
        names: &mut Vec<&'a [u8]>,
    ) -> Option<Found> {
        if depth > NESTING_MAX || !matches!(structure.kind, Kind::Struct | Kind::Union) {
            return None;
        }
        for number in 0..structure.members as usize {
            let at = structure.tail + number * MEMBER_BYTES;
            let (name, id, offset) = (self.raw.word(at)?, self.raw.word(at + 4)?, self.raw.word(at + 8)?);
            let name = self.raw.string(name);
            names.push(name);
            if names.len() > LOOKED_AT_MAX {
                return None;
            }
            // With the flag, the highest byte tells the bits of a bit field.
            let (bits, field) = if structure.flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            if name.is_empty() {
                let inner = self.resolve(id).and_then(|inner| self.find(&inner, wanted, depth + 1, names));
                if let Some(found) = inner {
                    return Some(Found { bits: found.bits + u64::from(bits), ..found });
                }
            } else if name == wanted {
                let is_bit_field = field != 0 || bits % 8 != 0 || self.is_narrow(id);
                return Some(Found { bits: bits.into(), id, is_bit_field });
            }
        }
        None
    }

    /// Whether an integer has fewer bits than its bytes: how old BTF tells of bit fields.
    fn is_narrow(&self, id: u32) -> bool {
        self.resolve(id).filter(|found| found.kind == Kind::Int).is_some_and(|found| {
            let bits = self.raw.word(found.tail).unwrap_or(0) & 0xff;
            u64::from(bits) != u64::from(found.reference) * 8
        })
    }

    /// Goes to the elements that a member is asked for.
    fn elements(&self, place: &mut Place, member: &Member, path: &MemberPath) -> Result<(), NoWay> {
        for element in &member.elements {
            let found = self.resolve(place.id);
            let id = place.id;
            let none = || NoWay::NoElements { path: path.clone(), type_name: self.type_name(id) };
            let (of, count) = match found {
                Some(array) if array.kind == Kind::Array => self.array(&array).ok_or_else(none)?,
                // As in C: elements behind the one that it points to.
                Some(pointer) if pointer.kind == Kind::Ptr => {
                    let target = self.structure_behind(&pointer).unwrap_or(pointer.reference);
                    if self.size(target).is_none() {
                        return Err(none());
                    }
                    place.follow()?;
                    (target, 0)
                }
                Some(_) | None => return Err(none()),
            };
            // Arrays without a length are as long as the kernel made them.
            if count != 0 && *element >= count {
                return Err(NoWay::NoElement { path: path.clone(), element: *element, count });
            }
            let size = self.size(of).ok_or_else(none)?;
            place.offset += size.checked_mul(i64::from(*element)).ok_or(NoWay::TooLong)?;
            place.id = of;
        }
        Ok(())
    }

    /// Type and number of an array's elements.
    fn array(&self, array: &Type) -> Option<(u32, u32)> {
        Some((self.raw.word(array.tail)?, self.raw.word(array.tail + 8)?))
    }

    /// Bytes of a type, below 2^32.
    fn size(&self, mut id: u32) -> Option<i64> {
        const POINTER_BYTES: i64 = 8;
        let mut count = 1_i64;
        for _ in 0..CHAIN_MAX {
            let found = self.resolve(id)?;
            if found.kind == Kind::Array {
                let (of, length) = self.array(&found)?;
                count = count.checked_mul(i64::from(length))?;
                id = of;
                continue;
            }
            let has_size = matches!(
                found.kind,
                Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union | Kind::Float
            );
            let size = match has_size {
                true => i64::from(found.reference),
                false if found.kind == Kind::Ptr => POINTER_BYTES,
                false => return None,
            };
            return size.checked_mul(count).filter(|size| *size <= i64::from(u32::MAX));
        }
        None
    }

    /// The way to the place, and what the value there is.
    fn end(&self, mut place: Place, path: &MemberPath) -> Result<Way, NoWay> {
        place.follow()?;
        let mut value = self.described(String::new(), place.id);
        let (mut is_address, mut text_bytes) = (false, None);
        let found = self.resolve(place.id);
        match found {
            // Ids are structures in C and integers to everybody.
            _ if value.type_name == "kuid_t" || value.type_name == "kgid_t" => {}
            Some(found) if matches!(found.kind, Kind::Struct | Kind::Union) => {
                is_address = true;
                let name = self.raw.string(found.name);
                if !name.is_empty() {
                    value.class = TypeClass::StructPointer(String::from_utf8_lossy(name).into_owned());
                }
            }
            Some(found) if found.kind == Kind::Array => {
                let (of, count) = self.array(&found).unwrap_or((0, 0));
                let element = self.described(String::new(), of);
                value.type_name = format!("{}[{count}]", element.type_name);
                let name = self.resolve(of).map_or(&[][..], |of| self.raw.string(of.name));
                value.class = match element.class {
                    TypeClass::Integer { width: 1, .. } if name == b"char" => TypeClass::CharPointer,
                    TypeClass::Integer { width: 1, .. } => TypeClass::Pointer,
                    TypeClass::Integer { .. }
                    | TypeClass::CharPointer
                    | TypeClass::StructPointer(_)
                    | TypeClass::Pointer
                    | TypeClass::Other => {
                        return Err(NoWay::NoMembers {
                            path: path.clone(),
                            type_name: value.type_name,
                            is_array: true,
                        });
                    }
                };
                is_address = true;
                text_bytes = Some(count).filter(|count| *count != 0);
            }
            Some(_) | None => {}
        }
        Ok(Way { steps: place.steps, is_address, value, text_bytes })
    }
}

impl Place {
    /// Adds a step: what is behind it begins anew.
    fn follow(&mut self) -> Result<(), NoWay> {
        if self.steps.len() == MEMBERS_MAX {
            return Err(NoWay::TooLong);
        }
        self.steps.push(i32::try_from(self.offset).map_err(|_| NoWay::TooLong)?);
        self.offset = 0;
        Ok(())
    }
}
