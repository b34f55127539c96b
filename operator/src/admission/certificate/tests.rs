use super::*;
use std::os::unix::fs::symlink;

fn pair(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A version of a mounted secret: a directory of its own.
fn version(root: &Path, name: &str, pair: &(String, String)) {
    let directory = root.join(name);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("tls.crt"), &pair.0).unwrap();
    std::fs::write(directory.join("tls.key"), &pair.1).unwrap();
}

/// The kubelet's way: a new link beside, renamed over the old one.
fn swap(root: &Path, name: &str) {
    symlink(name, root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
}

fn served(slot: &CertificateSlot) -> CertificateDer<'static> {
    slot.current.load_full().unwrap().cert[0].clone()
}

#[test]
fn a_swapped_link_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (pair("one.test"), pair("two.test"));
    version(root.path(), "v1", &one);
    version(root.path(), "v2", &two);
    swap(root.path(), "v1");
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), root.path().join(file)).unwrap();
    }
    let (slot, mut files) = (CertificateSlot::default(), CertificateFiles::new(root.path()));
    assert!(!slot.is_set());
    assert!(files.look(&slot).unwrap());
    assert!(!files.look(&slot).unwrap());
    let before = served(&slot);
    swap(root.path(), "v2");
    assert!(files.look(&slot).unwrap());
    assert_ne!(served(&slot), before);
    assert!(slot.ends() > 0);
}

#[test]
fn the_last_good_one_stays() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (pair("one.test"), pair("two.test"));
    std::fs::write(root.path().join("tls.crt"), &one.0).unwrap();
    let (slot, mut files) = (CertificateSlot::default(), CertificateFiles::new(root.path()));
    assert!(matches!(files.look(&slot), Err(CertificateError::Read { .. })));
    std::fs::write(root.path().join("tls.key"), &one.1).unwrap();
    assert!(files.look(&slot).unwrap());
    let good = served(&slot);
    // Half of a change, garbage, nothing.
    for (certificate, key) in [(&*two.0, &*one.1), ("garbage", &*one.1), (&*one.0, "garbage"), ("", "")] {
        std::fs::write(root.path().join("tls.crt"), certificate).unwrap();
        std::fs::write(root.path().join("tls.key"), key).unwrap();
        let error = files.look(&slot).unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
        assert_eq!(served(&slot), good);
    }
    std::fs::write(root.path().join("tls.crt"), &two.0).unwrap();
    std::fs::write(root.path().join("tls.key"), &two.1).unwrap();
    assert!(files.look(&slot).unwrap());
    assert_ne!(served(&slot), good);
}
