//! The certificate that the webhook serves with: exchanged without a restart, the last good one kept.

use arc_swap::ArcSwapOption;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Longest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("a certificate cannot be made")]
    Making(#[source] rcgen::Error),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no certificate, or no key, or the two do not belong together.
    #[error("found a certificate that cannot be used: {0}")]
    Unusable(String),
}

impl CertificateError {
    pub(super) fn making(error: rcgen::Error) -> Self {
        Self::Making(error)
    }
}

/// Holds the certificate that is served with.
#[derive(Debug, Default)]
pub struct CertificateSlot {
    current: ArcSwapOption<CertifiedKey>,
    /// When it ends, seconds since 1970; 0 = there is none.
    ends: AtomicI64,
}

impl CertificateSlot {
    /// Serves with this certificate (a chain) and key from now on, both PEM; whether it is another one. On error the one
    /// before stays.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`].
    pub fn set(&self, chain: &[u8], key: &[u8]) -> Result<bool, CertificateError> {
        let unusable = |what: &str, error: &dyn std::fmt::Display| {
            CertificateError::Unusable(format!("{what}: {error}"))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable("the certificate", &error))?;
        let Some(first) = chain.first() else {
            return Err(CertificateError::Unusable("there is no certificate".into()));
        };
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| unusable("the certificate", &error))?;
        let ends = parsed.validity().not_after.timestamp();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("the key", &error))?;
        let key = any_supported_type(&key).map_err(|error| unusable("the key", &error))?;
        let certified = Arc::new(CertifiedKey::new(chain, key));
        certified.keys_match().map_err(|error| unusable("certificate and key", &error))?;
        let before = self.current.swap(Some(Arc::clone(&certified)));
        self.ends.store(ends, Ordering::Relaxed);
        Ok(before.is_none_or(|before| before.cert != certified.cert))
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.current.load().is_some()
    }

    /// When it ends, seconds since 1970; 0 = there is none.
    pub fn ends(&self) -> i64 {
        self.ends.load(Ordering::Relaxed)
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

/// `tls.crt` and `tls.key` in a directory, as the kubelet mounts a `Secret`: it swaps a symbolic link, so files are opened
/// by name each time and compared by what they hold.
#[derive(Debug)]
pub struct CertificateFiles {
    directory: PathBuf,
    last: Option<(Vec<u8>, Vec<u8>)>,
}

impl CertificateFiles {
    /// The files of `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), last: None }
    }

    /// Reads them and hands them to `slot` when they changed; whether they did.
    ///
    /// # Errors
    /// They cannot be read, or not used. Half of a change is that, too: certificate and key of different versions do not
    /// belong together, and the next look finds both.
    pub fn look(&mut self, slot: &CertificateSlot) -> Result<bool, CertificateError> {
        let pair = (read(&self.directory.join("tls.crt"))?, read(&self.directory.join("tls.key"))?);
        if self.last.as_ref() == Some(&pair) {
            return Ok(false);
        }
        let changed = slot.set(&pair.0, &pair.1)?;
        self.last = Some(pair);
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    use std::io::Read as _;
    let failed = |source| CertificateError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
