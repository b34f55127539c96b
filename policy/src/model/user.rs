//! Places in programs and libraries.

use super::HookTarget;
use std::fmt;
use std::ops::RangeInclusive;

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
    /// This place in any version of the file at `path`.
    pub fn of(self, path: &str) -> HookTarget {
        let versions = FileVersions::default();
        HookTarget::User { path: path.to_owned(), place: self, versions, types: None }
    }

    /// The beginning of a function, by the symbol that an event shows of it.
    pub fn function(symbol: &str) -> Self {
        let name = FunctionName::Symbol { name: symbol.to_owned(), plus: 0 };
        Self::Function { name, ref_counter: 0, at_end: false }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol { name, plus: 0 } => f.write_str(name),
            Self::Symbol { name, plus } => write!(f, "{name}+{plus:#x}"),
            Self::Offset(number) | Self::Address(number) => write!(f, "{number:#x}"),
        }
    }
}

/// As events and messages show it: `main`, `main+0x10`, `0x4c0`; a probe as `provider:name`.
impl fmt::Display for UserPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { name, .. } => name.fmt(f),
            Self::Probe { provider, name } => write!(f, "{provider}:{name}"),
        }
    }
}

/// What a file is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestKind {
    /// The file's content, by SHA-1.
    Sha1,
    /// The same, by SHA-256.
    Sha256,
    /// The same, by SHA-384.
    Sha384,
    /// The same, by SHA-512.
    Sha512,
    /// What the linker wrote into the file's notes.
    BuildId,
}

impl DigestKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512, Self::BuildId];

    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::BuildId => "build-id",
        }
    }

    /// How long one may be, bytes. Linkers make build ids of 8, 16, 20 or 32 bytes; what is longer than 64 nobody reads.
    pub fn bytes(self) -> RangeInclusive<usize> {
        match self {
            Self::Sha1 => 20..=20,
            Self::Sha256 => 32..=32,
            Self::Sha384 => 48..=48,
            Self::Sha512 => 64..=64,
            Self::BuildId => 1..=64,
        }
    }
}

/// The versions of a file that a hook is meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileVersions {
    /// The file has to be one of these; empty = it may be any.
    pub digests: Vec<FileDigest>,
    /// A file that is none of them is passed over instead of failing the policy.
    pub ignore_others: bool,
}

/// A file, by its content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest {
    /// What was computed.
    pub kind: DigestKind,
    /// What came of it.
    pub bytes: Vec<u8>,
}

impl FileDigest {
    /// Reads `sha256:HEX`; `None` = it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digits) = text.split_once(':')?;
        let kind = DigestKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
        let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
        (rest.is_empty() && kind.bytes().contains(&bytes.len())).then_some(Self { kind, bytes })
    }
}

/// As policies write it, in small letters.
impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.name())?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written() {
        for (text, kind, bytes) in [
            (format!("sha1:{}", "0F".repeat(20)), DigestKind::Sha1, vec![15; 20]),
            (format!("sha256:{}", "a1".repeat(32)), DigestKind::Sha256, vec![0xa1; 32]),
            (format!("sha384:{}", "00".repeat(48)), DigestKind::Sha384, vec![0; 48]),
            (format!("sha512:{}", "ff".repeat(64)), DigestKind::Sha512, vec![255; 64]),
            ("build-id:0102".to_owned(), DigestKind::BuildId, vec![1, 2]),
        ] {
            let digest = FileDigest::parse(&text).unwrap();
            assert_eq!((digest.kind, &digest.bytes), (kind, &bytes));
            assert_eq!(digest.to_string(), text.to_ascii_lowercase());
        }
        let long = format!("build-id:{}", "00".repeat(65));
        for text in
            ["", "sha256", "sha256:", "sha256:00", "md5:00", "build-id:", "build-id:0", "build-id:+1", &long]
        {
            assert_eq!(FileDigest::parse(text), None, "{text}");
        }
    }
}
