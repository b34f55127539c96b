//! Places in programs and libraries.

use std::fmt;

/// A place in a program or library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserPlace {
    /// A function.
    Function {
        /// How the place is named.
        name: FunctionName,
        /// Where in the file the program counts who watches it, bytes from the beginning; 0 = nowhere.
        ref_counter: u32,
        /// The event is the function's end, not its beginning.
        at_end: bool,
    },
    /// A probe that the file tells of (USDT). It may be at several places.
    Probe {
        /// Who it belongs to.
        provider: String,
        /// Its name.
        name: String,
    },
}

/// How a place is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionName {
    /// By a symbol of the file.
    Symbol {
        /// The symbol.
        name: String,
        /// Bytes behind it.
        plus: u64,
    },
    /// By its distance from the beginning of the file, bytes.
    Offset(u64),
    /// By the address that the file gives it.
    Address(u64),
}

impl UserPlace {
    /// The beginning of a function, by the symbol that an event shows of it.
    pub fn function(symbol: &str) -> Self {
        let name = FunctionName::Symbol { name: symbol.to_owned(), plus: 0 };
        Self::Function { name, ref_counter: 0, at_end: false }
    }
}

/// As events and messages show it: `main`, `main+0x10`, `0x4c0`; a probe as `provider:name`.
impl fmt::Display for UserPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { name: FunctionName::Symbol { name, plus: 0 }, .. } => f.write_str(name),
            Self::Function { name: FunctionName::Symbol { name, plus }, .. } => write!(f, "{name}+{plus:#x}"),
            Self::Function { name: FunctionName::Offset(number) | FunctionName::Address(number), .. } => {
                write!(f, "{number:#x}")
            }
            Self::Probe { provider, name } => write!(f, "{provider}:{name}"),
        }
    }
}
