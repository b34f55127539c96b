//! The way from the API server into the cluster: kubelets, webhooks behind a Service.
//!
//! The API server runs on this machine, nodes run in guests. What it would reach at a node or pod it asks a proxy for
//! (HTTP CONNECT on a UNIX socket), which knows where that is. So no name has to be resolved, no address routed, and
//! nothing needs root. Inside a node runs a proxy of the same kind, on TCP.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Longest request head; real ones have some hundred bytes.
const HEAD_MAX_BYTES: usize = 8192;
/// Most that is read of a client that has been refused.
const UNREAD_MAX_BYTES: u64 = 1 << 20;
/// How long the other end may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Routes {
    /// `HOST:PORT` as the API server asks for it, and where that is on this machine.
    direct: BTreeMap<String, SocketAddr>,
    /// The proxy inside a node, asked for everything else.
    relay: Option<SocketAddr>,
}

/// The proxy beside the API server. It runs until the program ends; each connection has two threads.
#[derive(Clone, Debug)]
pub(super) struct Egress {
    routes: Arc<Mutex<Routes>>,
    socket: PathBuf,
}

impl Egress {
    /// Listens on a new socket.
    pub(super) fn listen(socket: PathBuf) -> Result<Self> {
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
        let egress = Self { routes: Arc::default(), socket };
        let routes = Arc::clone(&egress.routes);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let routes = Arc::clone(&routes);
                // The API server sees a closed connection, which it reports to whoever asked.
                thread::spawn(move || drop(serve(stream, |target| find(target, &routes))));
            }
        });
        Ok(egress)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends what is asked for as `HOST:PORT` to an address of this machine. A Service is asked for by the addresses of
    /// its endpoints.
    pub(super) fn route(&self, target: impl Into<String>, to: SocketAddr) {
        self.lock().direct.insert(target.into(), to);
    }

    /// Sends everything else to a proxy inside a node; none refuses it.
    pub(super) fn relay(&self, to: Option<SocketAddr>) {
        self.lock().relay = to;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a request goes.
enum Way {
    /// To this address, which is the target itself.
    Target(SocketAddr),
    /// To another proxy, which answers the request.
    Proxy(SocketAddr),
}

fn find(target: &str, routes: &Mutex<Routes>) -> io::Result<Way> {
    let routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
    let direct = routes.direct.get(target).map(|address| Way::Target(*address));
    direct
        .or_else(|| routes.relay.map(Way::Proxy))
        .ok_or_else(|| io::Error::other("no node is there and no route is known"))
}

/// The proxy inside a node: connects to what is asked for, until the program ends.
///
/// # Errors
/// When it cannot listen.
pub fn relay(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            drop(stream.set_nodelay(true));
            drop(serve(stream, |target| {
                let mut addresses = target.to_socket_addrs()?;
                addresses.next().map(Way::Target).ok_or_else(|| io::Error::other("it has no address"))
            }));
        });
    }
    Ok(())
}

/// A connection that can be read and written by two threads.
trait Stream: Read + Write + Send + Sized + 'static {
    fn another(&self) -> io::Result<Self>;
    fn close(&self, how: Shutdown) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl Stream for UnixStream {
    fn another(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

fn serve<S: Stream>(mut client: S, find: impl FnOnce(&str) -> io::Result<Way>) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let target = connect_target(&head).unwrap_or_default().to_owned();
    let way = match find(&target) {
        Ok(way) => way,
        Err(error) => return refuse(&mut client, &format!("{target}: {error}")),
    };
    let (Way::Target(address) | Way::Proxy(address)) = way;
    let mut server = match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
        Ok(server) => server,
        Err(error) => return refuse(&mut client, &format!("{target} at {address}: {error}")),
    };
    server.set_nodelay(true)?;
    match way {
        Way::Target(_) => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
        Way::Proxy(_) => server.write_all(head.as_bytes())?,
    }
    let (mut from_client, mut to_server) = (client.another()?, server.try_clone()?);
    let up = thread::spawn(move || {
        let copied = io::copy(&mut from_client, &mut to_server);
        drop(to_server.shutdown(Shutdown::Write));
        copied
    });
    let copied = io::copy(&mut server, &mut client);
    // The other direction must not wait for a client that keeps its end open.
    drop(client.close(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
    drop(up.join());
    copied.map(drop)
}

/// Answers with the reason. What the client has said already is read first: a connection that is closed with something
/// unread is reset, and the reset may overtake the answer.
fn refuse(client: &mut impl Stream, why: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n{why}", why.len())?;
    client.close(Shutdown::Write)?;
    io::copy(&mut client.take(UNREAD_MAX_BYTES), &mut io::sink()).map(drop)
}

/// Reads a request up to its empty line, byte by byte: what follows is not for us.
fn read_head(client: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX_BYTES {
            return Err(io::Error::other("the request is too long"));
        }
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn connect_target(head: &str) -> Option<&str> {
    head.strip_prefix("CONNECT ")?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(egress: &Egress, target: &str, say: &[u8]) -> String {
        let mut stream = UnixStream::connect(egress.socket()).unwrap();
        write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
        stream.write_all(say).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A server that answers one connection with what it heard.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
        });
        address
    }

    const GRANTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

    #[test]
    fn known_targets_are_reached_and_others_refused() {
        let directory = tempfile::tempdir().unwrap();
        let egress = Egress::listen(directory.path().join("s")).unwrap();
        egress.route("node1:10250", echo());
        assert_eq!(ask(&egress, "node1:10250", b"hello"), format!("{GRANTED}hello"));
        assert!(ask(&egress, "node2:10250", b"").contains("502 Bad Gateway"));
    }

    #[test]
    fn who_is_refused_in_the_middle_of_a_request_hears_why() {
        let directory = tempfile::tempdir().unwrap();
        let egress = Egress::listen(directory.path().join("s")).unwrap();
        for _ in 0..200 {
            assert!(ask(&egress, "node2:10250", &[b'x'; 4096]).contains("502 Bad Gateway"));
        }
    }

    #[test]
    fn other_targets_are_reached_through_the_relay() {
        let directory = tempfile::tempdir().unwrap();
        let egress = Egress::listen(directory.path().join("s")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        thread::spawn(move || relay(free));
        egress.relay(Some(free));
        let target = echo().to_string();
        let answer = super::super::eventually("the relay", Duration::from_secs(20), || {
            let answer = ask(&egress, &target, b"hello");
            anyhow::ensure!(!answer.contains("502"), "{answer}");
            Ok(answer)
        });
        assert_eq!(answer.unwrap(), format!("{GRANTED}hello"));
        assert!(ask(&egress, "no-such-host.invalid:1", b"").contains("502 Bad Gateway"));
        egress.relay(None);
        assert!(ask(&egress, &target, b"").contains("no node is there"));
    }
}
