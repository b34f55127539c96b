//! What files are recognised by.

use super::{UserProblem, Version, unreadable};
use crate::symbols::build_id;
use lictor_policy::model::{DigestKind, FileDigest};
use lictor_policy::plan::FoundDigest;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fs::File;
use std::io::{self, Read as _};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Largest file that is hashed, bytes: the largest libraries have some 2 GiB, and take seconds.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// What an open file, which is of this version, is recognised by.
pub(super) fn found(file: &File, version: Version, kind: DigestKind) -> Result<FoundDigest, UserProblem> {
    let is_content = kind != DigestKind::BuildId;
    if is_content && version.bytes > FILE_BYTES_MAX {
        let why = format!("is larger than the {} GiB that digests are computed of", FILE_BYTES_MAX >> 30);
        return Err(UserProblem::Unreadable(why));
    }
    let bytes = match kind {
        DigestKind::Sha1 => hashed::<Sha1>(file).map(Some),
        DigestKind::Sha256 => hashed::<Sha256>(file).map(Some),
        DigestKind::Sha384 => hashed::<Sha384>(file).map(Some),
        DigestKind::Sha512 => hashed::<Sha512>(file).map(Some),
        DigestKind::BuildId => match build_id(file) {
            // What is no ELF file, or a damaged one, has no notes.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Ok(None)
            }
            found => found,
        },
    };
    let bytes = bytes.map_err(|error| unreadable(&error))?;
    if Version::of(file).map_err(|error| unreadable(&error))? != version {
        return Err(UserProblem::Unreadable("was written to while it was read".to_owned()));
    }
    let digest = bytes.map(|bytes| FileDigest { kind, bytes });
    Ok(FoundDigest { file: version.identity, digest })
}

/// The digest of at most [`FILE_BYTES_MAX`] bytes: the file may grow.
fn hashed<D: Digest>(file: &File) -> io::Result<Vec<u8>> {
    let mut hash = D::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut file = file.take(FILE_BYTES_MAX);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hash.finalize().to_vec()),
            Ok(length) => hash.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Binaries;
    use super::*;
    use std::fs;

    #[test]
    fn content_is_recognised_by_each_algorithm() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("abc"), "abc").unwrap();
        let binaries = Binaries::new(root.path());
        // FIPS 180-4, as its examples have it.
        for text in [
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let digest = FileDigest::parse(text).unwrap();
            let found = binaries.digest("/abc", digest.kind).unwrap();
            assert_eq!(found.digest, Some(digest));
        }
        assert_eq!(binaries.digest("/abc", DigestKind::BuildId).unwrap().digest, None);
        assert_eq!(binaries.digest("/none", DigestKind::Sha1), Err(UserProblem::NoFile));
        let large = File::create(root.path().join("large")).unwrap();
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(binaries.digest("/large", DigestKind::Sha1), Err(UserProblem::Unreadable(_))));
    }

    #[test]
    fn a_file_of_several_pieces_is_read_whole_and_again_when_it_changes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("long");
        let mut content = vec![7; 3 * PIECE_BYTES + 1];
        let binaries = Binaries::new(root.path());
        for last in [7, 8] {
            *content.last_mut().unwrap() = last;
            let copy = root.path().join("copy");
            fs::write(&copy, &content).unwrap();
            fs::rename(copy, &path).unwrap();
            let found = binaries.digest("/long", DigestKind::Sha256).unwrap();
            assert_eq!(found.digest.unwrap().bytes, Sha256::digest(&content).to_vec());
        }
    }

    #[test]
    fn a_program_has_the_build_id_of_its_notes() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("program"), crate::symbols::tests_with_build_id(b"12345678")).unwrap();
        let found = Binaries::new(root.path()).digest("/program", DigestKind::BuildId).unwrap();
        assert_eq!(found.digest.map(|digest| digest.bytes), Some(b"12345678".to_vec()));
    }
}
