//! BTF: the kernel's own description of its functions and types.
//!
//! A reader over the bytes of `/sys/kernel/btf/vmlinux`, and of modules beside it, that keeps them as they are: beside them it has one table of
//! offsets and one of functions. Every access is checked, so bytes of any content can be read.

#[cfg(any(test, feature = "testing"))]
pub(crate) mod builder;
mod member;
mod name;
mod raw;
mod subset;

use crate::plan::{Parameter, Signature, TypeClass};
use raw::{Kind, Raw, Type};
use std::sync::{Arc, OnceLock};

/// Deepest chain of types that is followed. C declarations end long before; damaged BTF could go in circles.
const CHAIN_MAX: usize = 32;

/// Why bytes are no BTF that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The bytes do not begin with BTF's header in this machine's byte order.
    #[error("no BTF header")]
    Header,
    /// A section of the header lies outside the bytes.
    #[error("the {0} section lies outside the data")]
    Section(&'static str),
    /// The types end within a type.
    #[error("type {0} is cut off")]
    Truncated(u32),
    /// A type of a kind that this version does not know, so that the ones behind it cannot be found.
    #[error("type {id} has the unknown kind {kind}")]
    Kind {
        /// Number of the type.
        id: u32,
        /// Its kind.
        kind: u8,
    },
}

/// BTF of a kernel, or of a module, which has the kernel's below it.
#[derive(Debug, Clone)]
pub struct Btf<B> {
    raw: Arc<Raw<B>>,
    /// The kernel's.
    below: Option<Arc<Self>>,
    functions: NameTable,
    /// Structs and unions, from when the first one is asked for.
    structures: OnceLock<NameTable>,
}

/// Numbers of functions, or of structures, at places that hashes of their names give, 0 = free. A sorted list would compare names a million
/// times.
#[derive(Debug, Clone)]
struct NameTable(Vec<u32>);

impl NameTable {
    fn new<B: AsRef<[u8]>>(raw: &Raw<B>, wanted: impl Fn(Kind) -> bool) -> Self {
        let ids: Vec<u32> =
            raw.ids().filter(|id| raw.get(*id).is_some_and(|found| wanted(found.kind))).collect();
        let mut table = Self(vec![0; (ids.len() * 2).next_power_of_two()]);
        for id in ids {
            // Of several of the same name the first stays.
            let place = table.place(raw, raw.type_name(id));
            let slot = &mut table.0[place];
            if *slot == 0 {
                *slot = id;
            }
        }
        table
    }

    /// Where the number for that name is, or would be.
    fn place<B: AsRef<[u8]>>(&self, raw: &Raw<B>, name: &[u8]) -> usize {
        let mask = self.0.len() - 1;
        // FNV-1a.
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut place = (hash >> 32) as usize & mask;
        // Half of the places are free.
        while self.0[place] != 0 && raw.type_name(self.0[place]) != name {
            place = (place + 1) & mask;
        }
        place
    }

    fn find<B: AsRef<[u8]>>(&self, raw: &Raw<B>, name: &[u8]) -> Option<u32> {
        Some(self.0[self.place(raw, name)]).filter(|id| *id != 0)
    }

    /// All numbers, in no order.
    fn ids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied().filter(|id| *id != 0)
    }
}

impl<B: AsRef<[u8]>> Btf<B> {
    /// Reads the tables of BTF in `bytes`.
    ///
    /// # Errors
    /// See [`BtfError`].
    pub fn parse(bytes: B) -> Result<Self, BtfError> {
        Ok(Self::of(Raw::parse(bytes, None)?, None))
    }

    /// Reads the tables of a module's BTF, whose types build upon those of the kernel that it is made for. Structures that
    /// the kernel has are found too; functions are the module's own.
    ///
    /// # Errors
    /// See [`BtfError`].
    pub fn parse_module(bytes: B, kernel: &Arc<Self>) -> Result<Self, BtfError> {
        Ok(Self::of(Raw::parse(bytes, Some(Arc::clone(&kernel.raw)))?, Some(Arc::clone(kernel))))
    }

    fn of(raw: Raw<B>, below: Option<Arc<Self>>) -> Self {
        let functions = NameTable::new(&raw, |kind| kind == Kind::Func);
        Self { raw: Arc::new(raw), below, functions, structures: OnceLock::new() }
    }

    /// The type number of a function: what a program that attaches to it is loaded with. When several functions have
    /// the name, the one with the lowest number.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.functions.find(&self.raw, name.as_bytes())
    }

    /// The type number of a typedef. Raw tracepoints are known by theirs, `btf_trace_NAME`. Looks at every type.
    pub fn typedef_id(&self, name: &str) -> Option<u32> {
        let mut typedefs = self.raw.ids().filter(|id| self.raw.type_name(*id) == name.as_bytes());
        typedefs.find(|id| self.raw.get(*id).is_some_and(|found| found.kind == Kind::Typedef))
    }

    /// The signature of a function.
    pub fn signature(&self, name: &str) -> Option<Signature> {
        let function = self.raw.get(self.function_id(name)?)?;
        self.prototype(function.reference)
    }

    /// What a tracepoint is called with, by the event's name. The type of its probes tells, `btf_trace_NAME`, whose first
    /// parameter is the probe's own.
    pub fn tracepoint_signature(&self, event: &str) -> Option<Signature> {
        let typedef = self.raw.get(self.typedef_id(&format!("btf_trace_{event}"))?)?;
        let pointer = self.raw.get(typedef.reference).filter(|found| found.kind == Kind::Ptr)?;
        let mut signature = self.prototype(pointer.reference)?;
        if signature.parameters.is_empty() {
            return None;
        }
        signature.parameters.remove(0);
        Some(Signature { returns: None, ..signature })
    }

    fn prototype(&self, id: u32) -> Option<Signature> {
        let prototype = self.raw.get(id).filter(|found| found.kind == Kind::FuncProto)?;
        let parameters = (0..prototype.members)
            .filter_map(|number| self.raw.parameter(&prototype, number))
            // The last one of a variadic function has neither name nor type.
            .filter(|(name, id)| *id != 0 || !name.is_empty())
            .map(|(name, id)| self.described(String::from_utf8_lossy(name).into_owned(), id))
            .collect();
        let returns = (prototype.reference != 0).then(|| self.described(String::new(), prototype.reference));
        Some(Signature { parameters, returns })
    }

    /// The names of all functions, in no order; a name that several functions have comes once.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.ids().filter_map(|id| std::str::from_utf8(self.raw.type_name(id)).ok())
    }

    /// The function names nearest to `wanted`, best first, at most `limit`.
    pub fn nearest_functions(&self, wanted: &str, limit: usize) -> Vec<String> {
        name::nearest_symbols(wanted, self.functions(), limit)
    }

    fn described(&self, name: String, id: u32) -> Parameter {
        Parameter { name, type_name: self.type_name(id), class: self.class(id) }
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..CHAIN_MAX {
            let found = self.raw.get(id)?;
            if !found.kind.is_modifier() {
                return Some(found);
            }
            id = found.reference;
        }
        None
    }

    fn class(&self, id: u32) -> TypeClass {
        let Some(found) = self.resolve(id) else { return TypeClass::Other };
        match found.kind {
            Kind::Int | Kind::Enum | Kind::Enum64 => match u8::try_from(found.reference) {
                Ok(width @ (1 | 2 | 4 | 8)) => {
                    TypeClass::Integer { width, signed: self.raw.is_signed(&found) }
                }
                Ok(_) | Err(_) => TypeClass::Other,
            },
            Kind::Ptr => self.pointer(found.reference),
            Kind::Array
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
            | Kind::TypeTag => TypeClass::Other,
        }
    }

    fn pointer(&self, target: u32) -> TypeClass {
        let Some(found) = self.resolve(target) else { return TypeClass::Pointer };
        let name = self.raw.string(found.name);
        match found.kind {
            Kind::Int if name == b"char" => TypeClass::CharPointer,
            Kind::Struct | Kind::Union | Kind::Forward if !name.is_empty() => {
                TypeClass::StructPointer(String::from_utf8_lossy(name).into_owned())
            }
            Kind::Int
            | Kind::Ptr
            | Kind::Array
            | Kind::Struct
            | Kind::Union
            | Kind::Enum
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
            | Kind::TypeTag
            | Kind::Enum64 => TypeClass::Pointer,
        }
    }

    /// The type as C writes it, near enough for a message.
    fn type_name(&self, mut id: u32) -> String {
        let (mut before, mut after) = (String::new(), String::new());
        for _ in 0..CHAIN_MAX {
            let Some(found) = self.raw.get(id) else { break };
            let name = String::from_utf8_lossy(self.raw.string(found.name)).into_owned();
            let tagged = |tag: &str| {
                if name.is_empty() { format!("{tag} (unnamed)") } else { format!("{tag} {name}") }
            };
            let word = match found.kind {
                Kind::Ptr => {
                    after = format!(" *{}", after.trim_start());
                    id = found.reference;
                    continue;
                }
                Kind::Const | Kind::Volatile if after.is_empty() || after.starts_with(" *") => {
                    let word = if found.kind == Kind::Const { "const " } else { "volatile " };
                    before.push_str(word);
                    id = found.reference;
                    continue;
                }
                Kind::Restrict | Kind::TypeTag | Kind::Const | Kind::Volatile => {
                    id = found.reference;
                    continue;
                }
                Kind::Struct => tagged("struct"),
                Kind::Union => tagged("union"),
                Kind::Forward => tagged(if found.flag { "union" } else { "struct" }),
                Kind::Enum | Kind::Enum64 => tagged("enum"),
                Kind::Int | Kind::Typedef | Kind::Float => name,
                Kind::FuncProto => "function".into(),
                Kind::Array => "array".into(),
                Kind::Func | Kind::Var | Kind::DataSection | Kind::DeclTag => "(unknown)".into(),
            };
            return format!("{before}{word}{after}");
        }
        format!("{before}void{after}")
    }
}

#[cfg(test)]
mod tests;
