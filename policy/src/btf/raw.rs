//! The bytes of BTF: header, strings, types.

use super::BtfError;
use std::sync::Arc;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
/// Bytes of a type without what stands behind it.
pub(super) const TYPE_BYTES: usize = 12;

/// Kinds of types (`BTF_KIND_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Forward,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSection,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Forward,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSection,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Bytes behind the type itself.
    pub(super) fn tail_bytes(self, members: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::DataSection | Self::Enum64 => members * 12,
            Self::Enum | Self::FuncProto => members * 8,
            Self::Ptr
            | Self::Forward
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => 0,
        }
    }

    /// A name or a qualifier of another type.
    pub(super) fn is_modifier(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }
}

/// A type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) kind: Kind,
    /// Offset of its name.
    pub(super) name: u32,
    /// `kind_flag`
    pub(super) flag: bool,
    /// How many members, parameters or values it has.
    pub(super) members: u32,
    /// The type it refers to, or its size in bytes.
    pub(super) reference: u32,
    /// Where what stands behind it is: for [`Raw::word`].
    pub(super) tail: usize,
}

/// The bytes and where things are in them.
#[derive(Debug, Clone)]
pub(super) struct Raw<B> {
    bytes: B,
    strings: std::ops::Range<usize>,
    /// Offsets of the types, in order of their numbers, which begin at 1 or behind those of `below`.
    offsets: Vec<u32>,
    /// What a module's types build upon: the kernel's. Numbers of types, offsets of strings and places of bytes are those of
    /// `below` first, then the module's own.
    below: Option<Arc<Self>>,
}

impl<B: AsRef<[u8]>> Raw<B> {
    pub(super) fn parse(bytes: B, below: Option<Arc<Self>>) -> Result<Self, BtfError> {
        let data = bytes.as_ref();
        let word = |offset| word(data, offset).ok_or(BtfError::Header);
        if data.len() < HEADER_BYTES || data[..2] != MAGIC.to_ne_bytes() {
            return Err(BtfError::Header);
        }
        let header_bytes = word(4)? as usize;
        let section = |offset: u32, length: u32, name| {
            let begin = header_bytes.checked_add(offset as usize).ok_or(BtfError::Section(name))?;
            let end = begin.checked_add(length as usize).ok_or(BtfError::Section(name))?;
            if end > data.len() { Err(BtfError::Section(name)) } else { Ok(begin..end) }
        };
        let types = section(word(8)?, word(12)?, "type")?;
        let strings = section(word(16)?, word(20)?, "string")?;
        let first = below.as_ref().map_or(0, |below| below.count());
        let offsets = offsets(data, types, first)?;
        Ok(Self { bytes, strings, offsets, below })
    }

    /// How many types there are, those below included.
    fn count(&self) -> usize {
        self.offsets.len() + self.below.as_ref().map_or(0, |below| below.count())
    }

    /// How many bytes there are, those below included.
    fn extent(&self) -> usize {
        self.bytes.as_ref().len() + self.below.as_ref().map_or(0, |below| below.extent())
    }

    /// The numbers of its own types.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + use<B> {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        number(self.count() - self.offsets.len() + 1)..=number(self.count())
    }

    /// The type of that number; there is none for 0, which stands for `void`.
    pub(super) fn get(&self, id: u32) -> Option<Type> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        let (index, start) = match &self.below {
            Some(below) if index < below.count() => return below.get(id),
            Some(below) => (index - below.count(), below.extent()),
            None => (index, 0),
        };
        let found = type_at(self.bytes.as_ref(), *self.offsets.get(index)? as usize).ok()?;
        Some(Type { tail: found.tail + start, ..found })
    }

    /// The word at a place behind a type.
    pub(super) fn word(&self, place: usize) -> Option<u32> {
        match &self.below {
            Some(below) if place < below.extent() => below.word(place),
            Some(below) => word(self.bytes.as_ref(), place - below.extent()),
            None => word(self.bytes.as_ref(), place),
        }
    }

    /// Name of the type of that number; empty when there is none.
    pub(super) fn type_name(&self, id: u32) -> &[u8] {
        self.get(id).map_or(&[], |found| self.string(found.name))
    }

    /// How many bytes the strings have, those below included.
    fn strings_extent(&self) -> usize {
        self.strings.len() + self.below.as_ref().map_or(0, |below| below.strings_extent())
    }

    /// The string at that offset of the string section, without its zero byte; empty outside.
    pub(super) fn string(&self, offset: u32) -> &[u8] {
        let offset = match &self.below {
            Some(below) if (offset as usize) < below.strings_extent() => return below.string(offset),
            Some(below) => offset as usize - below.strings_extent(),
            None => offset as usize,
        };
        let section = &self.bytes.as_ref()[self.strings.clone()];
        let text = section.get(offset..).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        &text[..end]
    }

    /// Name and type of a function's parameter.
    pub(super) fn parameter(&self, prototype: &Type, number: u32) -> Option<(&[u8], u32)> {
        let place = prototype.tail.checked_add(usize::try_from(number).ok()?.checked_mul(8)?)?;
        Some((self.string(self.word(place)?), self.word(place + 4)?))
    }

    /// Whether an integer or an enumeration has a sign.
    pub(super) fn is_signed(&self, found: &Type) -> bool {
        const INT_SIGNED: u32 = 1 << 24;
        match found.kind {
            Kind::Int => self.word(found.tail).is_some_and(|encoding| encoding & INT_SIGNED != 0),
            // Only BTF of Linux 6.0 and later marks enumerations; C takes `int` unless told otherwise, and so did
            // every reader of earlier BTF.
            Kind::Enum | Kind::Enum64 => found.flag,
            Kind::Ptr
            | Kind::Array
            | Kind::Struct
            | Kind::Union
            | Kind::Forward
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::FuncProto
            | Kind::Var
            | Kind::DataSection
            | Kind::Float
            | Kind::DeclTag
            | Kind::TypeTag => false,
        }
    }
}

/// Offsets of the types in that range; `first` others come before them.
fn offsets(data: &[u8], types: std::ops::Range<usize>, first: usize) -> Result<Vec<u32>, BtfError> {
    let mut offsets = Vec::new();
    let mut offset = types.start;
    while offset < types.end {
        let id = u32::try_from(first + offsets.len() + 1).map_err(|_| BtfError::Section("type"))?;
        let found = match type_at(data, offset) {
            Ok(found) => found,
            Err(Some(kind)) => return Err(BtfError::Kind { id, kind }),
            Err(None) => return Err(BtfError::Truncated(id)),
        };
        let end = found.tail + found.kind.tail_bytes(found.members as usize);
        if end > types.end {
            return Err(BtfError::Truncated(id));
        }
        offsets.push(u32::try_from(offset).map_err(|_| BtfError::Section("type"))?);
        offset = end;
    }
    Ok(offsets)
}

/// The type at that offset; else its kind, when that is the problem.
fn type_at(data: &[u8], offset: usize) -> Result<Type, Option<u8>> {
    let name = word(data, offset).ok_or(None)?;
    let info = word(data, offset + 4).ok_or(None)?;
    let reference = word(data, offset + 8).ok_or(None)?;
    let number = ((info >> 24) & 0x1f) as u8;
    let kind = Kind::from_number(number).ok_or(Some(number))?;
    Ok(Type {
        kind,
        name,
        flag: info >> 31 != 0,
        members: info & 0xffff,
        reference,
        tail: offset + TYPE_BYTES,
    })
}

/// The word at that offset of the bytes.
fn word(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = data.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
