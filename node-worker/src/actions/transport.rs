//! How calls are made over the network.

use std::time::Duration;

use dns_lookup::{LookupErrorKind, getaddrinfo};

/// One attempt of a URL, from name resolution to the end of the answer. A resolver has time-outs of its own
/// (resolv.conf(5): five seconds, twice, for each server).
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read so that its connection can be used again.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was answered, and well.
    Done,
    /// No answer, or one that says to come back later.
    TryAgain(String),
    /// An answer that will not change.
    Refused(String),
}

/// Makes one attempt.
pub trait Transport: Send + Sync + 'static {
    /// Calls `target` and waits for the answer.
    fn attempt(&self, target: &str) -> Attempt;
}

/// `GetUrl`: GET.
#[derive(Debug)]
pub struct HttpTransport {
    agent: ureq::Agent,
}

impl HttpTransport {
    /// A client that names itself `lictor-node` and follows at most three redirects.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(3)
            .user_agent(concat!("lictor-node/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }
}

impl Default for HttpTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for HttpTransport {
    fn attempt(&self, url: &str) -> Attempt {
        match self.agent.get(url).call() {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // The answer itself is of no interest, and a server that stalls in it has got the call.
                let _ = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
                match status {
                    200..=399 => Attempt::Done,
                    408 | 425 | 429 | 500..=599 => Attempt::TryAgain(format!("status {status}")),
                    _ => Attempt::Refused(format!("status {status}")),
                }
            }
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::Http(_))) => {
                Attempt::Refused(error.to_string())
            }
            Err(error) => Attempt::TryAgain(error.to_string()),
        }
    }
}

/// `DnsLookup`: the addresses of a name, from whom /etc/nsswitch.conf and /etc/resolv.conf of the node worker say.
#[derive(Debug)]
pub struct DnsTransport;

impl Transport for DnsTransport {
    fn attempt(&self, name: &str) -> Attempt {
        let Err(error) = getaddrinfo(Some(name), None, None) else { return Attempt::Done };
        match error.kind() {
            // Whoever serves the domain was asked, which is what counts: nobody uses the addresses.
            LookupErrorKind::NoName | LookupErrorKind::NoData => Attempt::Done,
            LookupErrorKind::Again | LookupErrorKind::System | LookupErrorKind::Memory => {
                Attempt::TryAgain(std::io::Error::from(error).to_string())
            }
            LookupErrorKind::Badflags
            | LookupErrorKind::Fail
            | LookupErrorKind::Family
            | LookupErrorKind::Socktype
            | LookupErrorKind::Service
            | LookupErrorKind::Unknown
            | LookupErrorKind::IO => Attempt::Refused(std::io::Error::from(error).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    #[test]
    fn a_name_of_this_machine_is_found_without_asking_anybody() {
        assert_eq!(DnsTransport.attempt("localhost"), Attempt::Done);
        assert!(matches!(DnsTransport.attempt("a name\0"), Attempt::Refused(_)));
    }

    /// A server that gives each connection the next answer, and tells the first line of each request.
    fn server(answers: Vec<&'static str>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/path?x=1", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                tell.send(text.lines().next().unwrap_or_default().to_owned()).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, told)
    }

    #[test]
    fn the_network_transport_tells_answers_apart() {
        let (url, requests) = server(vec![
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        ]);
        let transport = HttpTransport::new();
        assert_eq!(transport.attempt(&url), Attempt::Done);
        assert_eq!(transport.attempt(&url), Attempt::TryAgain("status 503".into()));
        assert_eq!(transport.attempt(&url), Attempt::Refused("status 404".into()));
        assert!(requests.iter().take(3).all(|line| line == "GET /path?x=1 HTTP/1.1"));
        assert!(matches!(transport.attempt("http://127.0.0.1:1/"), Attempt::TryAgain(_)));
        assert!(matches!(transport.attempt("not a url"), Attempt::Refused(_)));
    }

    #[test]
    fn https_speaks_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut hello = [0; 3];
            listener.accept().unwrap().0.read_exact(&mut hello).unwrap();
            hello
        });
        assert!(matches!(HttpTransport::new().attempt(&url), Attempt::TryAgain(_)));
        // A TLS record: handshake, version 3.x.
        assert_eq!(server.join().unwrap()[..2], [22, 3]);
    }
}
