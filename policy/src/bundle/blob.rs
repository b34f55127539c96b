//! Bytes that are found by what they hold.

use super::{BundleError, FORMAT};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Most bytes of one compressed blob. The API server takes 1 MiB in one `ConfigMap`, names and labels included; half of
/// it keeps a request, which carries the bytes in base64, well below every limit on the way to etcd.
pub const BLOB_BYTES_MAX: usize = 512 * 1024;

/// Most bytes of one blob before compression; a reader stops there, so that a small blob cannot fill its memory. Of a
/// policy that is 1 MiB itself, escaping for JSON makes at most six bytes of one.
const PLAIN_BYTES_MAX: usize = 8 << 20;

/// Compression level of zstd: higher ones gain a few percent and take several times as long.
const LEVEL: i32 = 9;

/// SHA-256 of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("found `{text}`; allowed: 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The only member that all versions of a blob have.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// The canonical bytes of a value and their digest.
pub(super) fn plain<T: Serialize>(value: &T, what: &'static str) -> Result<(Vec<u8>, Digest), BundleError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| BundleError::Malformed { what, found: error.to_string() })?;
    let digest = Digest::of(&bytes);
    Ok((bytes, digest))
}

/// Compresses; what does not fit is named `what`.
pub(super) fn compress(plain: &[u8], what: impl FnOnce() -> String) -> Result<Vec<u8>, BundleError> {
    let compressed = zstd::bulk::compress(plain, LEVEL).map_err(|error| BundleError::Malformed {
        what: "a blob",
        found: format!("bytes that cannot be compressed: {error}"),
    })?;
    let bytes = compressed.len();
    if bytes > BLOB_BYTES_MAX || plain.len() > PLAIN_BYTES_MAX {
        return Err(BundleError::TooLarge { what: what(), bytes });
    }
    Ok(compressed)
}

/// Decompresses, verifies and reads.
pub(super) fn read<T: DeserializeOwned>(
    compressed: &[u8],
    wanted: &Digest,
    what: &'static str,
) -> Result<T, BundleError> {
    let malformed = |found: String| BundleError::Malformed { what, found };
    if compressed.len() > BLOB_BYTES_MAX {
        return Err(malformed(format!("{} bytes, more than {BLOB_BYTES_MAX}", compressed.len())));
    }
    let plain = zstd::bulk::decompress(compressed, PLAIN_BYTES_MAX)
        .map_err(|error| malformed(format!("bytes that cannot be decompressed: {error}")))?;
    let found = Digest::of(&plain);
    if found != *wanted {
        return Err(BundleError::Digest { what, found, wanted: *wanted });
    }
    parse(&plain, what)
}

/// Reads JSON, the version first.
pub(super) fn parse<T: DeserializeOwned>(plain: &[u8], what: &'static str) -> Result<T, BundleError> {
    let malformed = |error: serde_json::Error| BundleError::Malformed { what, found: error.to_string() };
    let Head { format } = serde_json::from_slice(plain).map_err(malformed)?;
    if format != FORMAT {
        return Err(BundleError::Format { what, found: format });
    }
    serde_json::from_slice(plain).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!("ab".parse::<Digest>().unwrap_err().contains("64 hexadecimal digits"));
        assert!("é".repeat(32).parse::<Digest>().is_err());
        assert!(format!("+{}", "0".repeat(63)).parse::<Digest>().is_err());
    }

    #[test]
    fn a_blob_that_grows_beyond_all_bounds_is_not_read() {
        let bomb = zstd::bulk::compress(&vec![0; PLAIN_BYTES_MAX + 1], 1).unwrap();
        assert!(bomb.len() < BLOB_BYTES_MAX);
        let error = read::<serde_json::Value>(&bomb, &Digest::default(), "a shard").unwrap_err();
        assert!(matches!(&error, BundleError::Malformed { .. }), "{error}");
    }

    #[test]
    fn other_versions_are_named() {
        let error = parse::<serde_json::Value>(br#"{"format":7,"new":1}"#, "a shard").unwrap_err();
        assert_eq!(error, BundleError::Format { what: "a shard", found: 7 });
        assert!(parse::<serde_json::Value>(b"{}", "a shard").is_err());
    }
}
