//! The certificates of a throw-away cluster: one authority, and a key pair for each of those who talk.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// Who a certificate is for.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Common name: for a client, the user's name.
    pub name: String,
    /// Organisations: for a client, the groups it is in.
    pub groups: Vec<String>,
    /// DNS names and IP addresses that it serves.
    pub serves: Vec<String>,
}

impl Subject {
    /// A client with the given name, in the given groups.
    pub fn client(name: impl Into<String>, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { name: name.into(), groups, serves: Vec::new() }
    }

    /// A server (and client) under these names and addresses.
    pub fn server(name: impl Into<String>, serves: &[&str]) -> Self {
        let serves = serves.iter().map(|name| (*name).to_owned()).collect();
        Self { name: name.into(), groups: Vec::new(), serves }
    }
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// The authority of a cluster and the directory that its files are in.
pub struct Pki {
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Pki {
    /// A new authority, whose certificate is written to `ca.crt` and its key to `ca.key`.
    pub(super) fn create(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(&Subject::client("lictor-test-ca", &[]));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pki = Self { directory, issuer };
        pki.write("ca.crt", &pki.issuer.pem())?;
        pki.write("ca.key", &pki.issuer.key().serialize_pem())?;
        Ok(pki)
    }

    /// The authority's certificate, PEM.
    pub fn ca(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate as a `caBundle` holds it.
    pub fn ca_base64(&self) -> String {
        STANDARD.encode(self.ca())
    }

    /// A key pair for a subject; not written anywhere.
    ///
    /// # Errors
    /// When a name that is served is neither a DNS name nor an address.
    pub fn issue(&self, subject: &Subject) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !subject.serves.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        for name in &subject.serves {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.as_str().try_into().with_context(|| format!("`{name}` is no DNS name"))?,
                ),
            });
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Issues a key pair and writes it to `FILE.crt` and `FILE.key`.
    pub(super) fn issue_files(&self, file: &str, subject: &Subject) -> Result<()> {
        let pair = self.issue(subject)?;
        self.write(&format!("{file}.crt"), &pair.certificate)?;
        self.write(&format!("{file}.key"), &pair.key)
    }

    /// Makes a key for signing tokens, `FILE.key`, and its public half, `FILE.pub`.
    pub(super) fn signing_key(&self, file: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        self.write(&format!("{file}.key"), &key.serialize_pem())?;
        self.write(&format!("{file}.pub"), &key.public_key_pem())
    }

    /// A kubeconfig for a client of the API server at `url`.
    ///
    /// # Errors
    /// As [`Pki::issue`].
    pub fn kubeconfig(&self, url: &str, subject: &Subject) -> Result<String> {
        let pair = self.issue(subject)?;
        let user = serde_json::json!({
            "client-certificate-data": STANDARD.encode(pair.certificate),
            "client-key-data": STANDARD.encode(pair.key),
        });
        Ok(kubeconfig(url, &self.ca_base64(), &user))
    }

    /// A kubeconfig for a bearer token.
    pub fn kubeconfig_with_token(&self, url: &str, token: &str) -> String {
        kubeconfig(url, &self.ca_base64(), &serde_json::json!({ "token": token }))
    }

    /// A file of the directory.
    pub(super) fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }

    /// Writes a file that only this user can read.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        write_private(&self.directory.join(file), text.as_bytes())
    }
}

/// Writes a file that only this user can read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("writing {}", path.display()))
}

fn kubeconfig(url: &str, ca_base64: &str, user: &serde_json::Value) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "lictor",
            "cluster": { "server": url, "certificate-authority-data": ca_base64 },
        }],
        "users": [{ "name": "lictor", "user": user }],
        "contexts": [{ "name": "lictor", "context": { "cluster": "lictor", "user": "lictor" } }],
        "current-context": "lictor",
    })
    .to_string()
}

fn distinguished(subject: &Subject) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, &subject.name);
    for group in &subject.groups {
        name.push(DnType::OrganizationName, group);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_private_and_names_are_checked() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::create(directory.path().to_path_buf()).unwrap();
        pki.issue_files("server", &Subject::server("server", &["localhost", "127.0.0.1"])).unwrap();
        let mode = fs::metadata(directory.path().join("server.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(pki.issue(&Subject::server("x", &["no\u{e9}"])).is_err());
    }

    #[test]
    fn a_kubeconfig_holds_the_authority() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::create(directory.path().to_path_buf()).unwrap();
        let text = pki.kubeconfig("https://127.0.0.1:1", &Subject::client("a", &["g"])).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ca = value["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
        assert_eq!(STANDARD.decode(ca).unwrap(), pki.ca().into_bytes());
        assert_eq!(value["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1");
    }
}
