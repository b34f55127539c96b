//! Our own certificate authority for the webhook. What to do next is a pure function of what there is and the time; the
//! runtime keeps the result in a `Secret` and puts the certificates of the authorities into the webhook's configuration.
//!
//! Overlap: a new authority is made known a while before anything is signed with it, and an old one stays known a while
//! after, so that at no moment the API server meets a certificate that it does not know.

use super::certificate::CertificateError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// How long an authority is valid.
const CA_SECONDS: u64 = 365 * DAY;

/// How long a certificate of the webhook is valid.
const LEAF_SECONDS: u64 = 90 * DAY;

/// Between making something known and relying on it: API servers read configurations within seconds, replicas of the
/// operator their `Secret` within a minute.
pub(super) const OVERLAP: Duration = Duration::from_hours(1);

/// Certificates are valid from a little before now, since clocks differ.
const BACKDATE_SECONDS: u64 = 10 * 60;

/// A certificate and its key, in PEM, with what is decided by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificatePair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// When it was made, seconds since 1970.
    pub made: u64,
    /// When it ends, seconds since 1970.
    pub ends: u64,
}

impl std::fmt::Debug for CertificatePair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key does not belong into a log.
        write!(f, "CertificatePair {{ made: {}, ends: {} }}", self.made, self.ends)
    }
}

impl CertificatePair {
    /// Two thirds of its time are over, or it is not valid at all.
    fn is_due(&self, now: u64) -> bool {
        let life = self.ends.saturating_sub(self.made);
        now.saturating_add(life / 3) >= self.ends || now.saturating_add(DAY) < self.made
    }

    fn is_over(&self, now: u64) -> bool {
        now >= self.ends
    }
}

/// Everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authority {
    /// Authorities, the oldest first.
    pub authorities: Vec<CertificatePair>,
    /// Certificate of the webhook.
    pub leaf: Option<CertificatePair>,
    /// When the authority that signed it was made.
    pub signed_by: u64,
    /// Names that it is for.
    pub names: Vec<String>,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityStep {
    /// Nothing.
    None,
    /// Keep this, then make the authorities known.
    Keep(Box<Authority>),
}

impl Authority {
    /// The certificates of all authorities, for whoever has to trust them.
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|pair| pair.certificate.as_str()).collect()
    }

    /// The next step for a webhook with these names. Called again after each step, and every now and then.
    ///
    /// # Errors
    /// A key cannot be made, or what was kept cannot be read.
    pub fn step(&self, names: &[String], now: u64) -> Result<AuthorityStep, CertificateError> {
        let mut next = self.clone();
        next.authorities.retain(|authority| !authority.is_over(now));
        if next.authorities.last().is_none_or(|newest| newest.is_due(now)) {
            next.authorities.push(new_authority(now)?);
        }
        // The newest one that has been known for a while; at the very beginning, the only one.
        let known =
            next.authorities.iter().rev().find(|pair| now.saturating_sub(pair.made) >= OVERLAP.as_secs());
        let valid = || next.authorities.iter().find(|pair| pair.made <= now.saturating_add(DAY));
        let signer = known.or_else(valid).cloned();
        if let Some(signer) = signer {
            let leaf_is_good =
                next.leaf.as_ref().is_some_and(|leaf| !leaf.is_due(now) && leaf.ends <= signer.ends)
                    && next.signed_by == signer.made
                    && next.names == names;
            if !leaf_is_good {
                next.leaf = Some(new_leaf(&signer, names, now)?);
                next.signed_by = signer.made;
                names.clone_into(&mut next.names);
            }
            // An older one is not needed once the certificate of the newer one has been there for a while.
            let leaf_age = next.leaf.as_ref().map_or(0, |leaf| now.saturating_sub(leaf.made));
            if leaf_age >= OVERLAP.as_secs() {
                next.authorities.retain(|pair| pair.made >= next.signed_by);
            }
        }
        Ok(if next == *self { AuthorityStep::None } else { AuthorityStep::Keep(Box::new(next)) })
    }
}

fn params(now: u64, seconds: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    // A time that is no time cannot be made of seconds since 1970 within these bounds.
    let time = |seconds: u64| {
        let date = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let date = date.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        (date.year(), date.month(), date.day())
    };
    let (year, month, day) = time(now.saturating_sub(BACKDATE_SECONDS));
    params.not_before = rcgen::date_time_ymd(i32::from(year), month.unsigned_abs(), day.unsigned_abs());
    let (year, month, day) = time(now.saturating_add(seconds));
    params.not_after = rcgen::date_time_ymd(i32::from(year), month.unsigned_abs(), day.unsigned_abs());
    params
}

fn new_authority(now: u64) -> Result<CertificatePair, CertificateError> {
    let key = KeyPair::generate().map_err(CertificateError::making)?;
    let mut params = params(now, CA_SECONDS);
    // Two authorities must not have the same name: whoever checks a chain looks for the signer by name.
    params.distinguished_name.push(DnType::CommonName, format!("lictor webhook authority {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(CertificateError::making)?;
    Ok(CertificatePair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        made: now,
        ends: now.saturating_add(CA_SECONDS),
    })
}

fn new_leaf(
    signer: &CertificatePair,
    names: &[String],
    now: u64,
) -> Result<CertificatePair, CertificateError> {
    let signer_key = KeyPair::from_pem(&signer.key).map_err(CertificateError::making)?;
    let issuer =
        Issuer::from_ca_cert_pem(&signer.certificate, signer_key).map_err(CertificateError::making)?;
    let key = KeyPair::generate().map_err(CertificateError::making)?;
    // It ends with its signer at the latest.
    let seconds = LEAF_SECONDS.min(signer.ends.saturating_sub(now));
    let mut params = params(now, seconds);
    for name in names {
        let name: rcgen::string::Ia5String = name.clone().try_into().map_err(CertificateError::making)?;
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    }
    params.distinguished_name.push(DnType::CommonName, "lictor webhook");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(CertificateError::making)?;
    Ok(CertificatePair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        made: now,
        ends: now.saturating_add(seconds),
    })
}

#[cfg(test)]
mod tests;
