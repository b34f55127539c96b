//! A small admission webhook, for the test of the control plane itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::pki::{Pki, Subject};

/// Longest request body.
const BODY_MAX_BYTES: usize = 4 << 20;

/// Denies objects with the label `deny`, warns about all.
#[derive(Debug)]
pub(super) struct Webhook {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Webhook {
    /// Serves on a port of 127.0.0.1, until the program ends, with a certificate for these names.
    pub(super) fn serve(pki: &Pki, names: &[&str]) -> Result<Self> {
        let pair = pki.issue(&Subject::server("toy-webhook", names))?;
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").context("listening for a webhook")?;
        let webhook = Self { address: listener.local_addr()?, requests: Arc::default() };
        let requests = Arc::clone(&webhook.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, requests) = (Arc::clone(&config), Arc::clone(&requests));
                // A connection that breaks is the API server's business.
                thread::spawn(move || drop(connection(stream, config, &requests)));
            }
        });
        Ok(webhook)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reviews that were answered so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn connection(stream: TcpStream, config: Arc<ServerConfig>, requests: &AtomicUsize) -> Result<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        anyhow::ensure!(length <= BODY_MAX_BYTES, "the request is too long");
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let answer = review(&serde_json::from_slice(&body)?).to_string();
        requests.fetch_add(1, Ordering::Relaxed);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", answer.len());
        write!(stream.get_mut(), "{head}\r\n\r\n{answer}")?;
        stream.get_mut().flush()?;
    }
}

fn review(review: &Value) -> Value {
    let request = &review["request"];
    let denied = request["object"]["metadata"]["labels"]["deny"].is_string();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": request["uid"], "allowed": !denied,
            "status": { "message": "denied by the toy webhook" },
            "warnings": ["seen by the toy webhook"],
        },
    })
}
