use super::*;
use crate::admission::CertificateSlot;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

const BEGIN: u64 = 1_800_000_000;

fn names() -> Vec<String> {
    vec!["lictor-operator.lictor.svc".into()]
}

fn stepped(authority: &Authority, now: u64) -> Authority {
    match authority.step(&names(), now).unwrap() {
        AuthorityStep::None => authority.clone(),
        AuthorityStep::Keep(next) => *next,
    }
}

/// Whether a client that trusts `bundle` takes the certificate of `serving` at `now`.
fn trusted(bundle: &str, serving: &Authority, now: u64) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    // Who trusts nobody cannot even begin.
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let leaf = CertificateDer::from_pem_slice(serving.leaf.as_ref().unwrap().certificate.as_bytes()).unwrap();
    let name = ServerName::try_from("lictor-operator.lictor.svc").unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier.verify_server_cert(&leaf, &[], &name, &[], now).is_ok()
}

#[test]
fn the_first_step_serves_at_once() {
    let authority = stepped(&Authority::default(), BEGIN);
    assert_eq!(authority.authorities.len(), 1);
    assert!(trusted(&authority.bundle(), &authority, BEGIN));
    assert!(!trusted("", &authority, BEGIN));
    assert_eq!(authority.step(&names(), BEGIN + 5).unwrap(), AuthorityStep::None);
    let leaf = authority.leaf.as_ref().unwrap();
    let slot = CertificateSlot::default();
    slot.set(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
    assert!(slot.ends() > i64::try_from(BEGIN).unwrap());
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}

#[test]
fn three_years_without_a_moment_of_distrust() {
    // A step each half an hour. The API server knows the bundle of one step ago, the other replicas serve with the
    // certificate of one step ago.
    let mut authority = stepped(&Authority::default(), BEGIN);
    let mut before = authority.clone();
    let (mut rotations, mut renewals, mut most) = (0, 0, 0);
    for step in 1..(3 * 365 * 48) {
        let now = BEGIN + step * 1800;
        let next =
            if step % 12 == 0 || authority != before { stepped(&authority, now) } else { authority.clone() };
        rotations += usize::from(next.authorities.last() != authority.authorities.last());
        renewals += usize::from(next.leaf != authority.leaf);
        most = most.max(next.authorities.len());
        if next != authority {
            assert!(trusted(&authority.bundle(), &next, now), "old bundle, new certificate at step {step}");
            assert!(trusted(&next.bundle(), &authority, now), "new bundle, old certificate at step {step}");
        }
        (before, authority) = (authority, next);
    }
    assert!((4..=5).contains(&rotations), "{rotations} rotations");
    assert!((18..=26).contains(&renewals), "{renewals} renewals");
    assert_eq!(most, 2);
}

#[test]
fn everything_expired_is_made_anew() {
    let authority = stepped(&Authority::default(), BEGIN);
    let late = BEGIN + 3 * CA_SECONDS;
    let next = stepped(&authority, late);
    assert!(trusted(&next.bundle(), &next, late));
    // A clock that went back by years.
    let next = stepped(&next, BEGIN);
    let next = stepped(&next, BEGIN + OVERLAP.as_secs());
    assert!(trusted(&next.bundle(), &next, BEGIN + OVERLAP.as_secs()));
}

#[test]
fn other_names_need_another_certificate() {
    let authority = stepped(&Authority::default(), BEGIN);
    let step = authority.step(&["other.svc".to_owned()], BEGIN + 1).unwrap();
    let AuthorityStep::Keep(next) = step else { panic!("nothing was done") };
    assert_ne!(next.leaf, authority.leaf);
    assert_eq!(next.authorities, authority.authorities);
}
