//! Names made from contents.

use sha2::{Digest as _, Sha256};

/// SHA-256 of the bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A short name for a list of texts: another list has another name.
pub(crate) fn short_name(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        // A separator, so that ["a", "b"] and ["ab"] differ.
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_names() {
        assert!(sha256(b"").starts_with("e3b0c44298fc1c14"));
        assert_eq!(short_name(&["a", "b"]).len(), 16);
        assert_ne!(short_name(&["a", "b"]), short_name(&["ab"]));
    }
}
