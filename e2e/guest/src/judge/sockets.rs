//! Sockets that events are about.

use super::held::Thing;
use anyhow::{Context as _, Result};
use lictor_policy::model::FileType;
use lictor_policy::oracle::{Endpoints, Reading};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket, socketpair};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

/// The structure of a socket that has a descriptor.
pub(super) const STRUCTURE: &str = "socket";

// IPPROTO_*, AF_* and the states of TCP sockets, which others have too.
const TCP: u16 = 6;
const UDP: u16 = 17;
const ICMP: u16 = 1;
const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;
const ESTABLISHED: u16 = 1;
const CLOSE: u16 = 7;
const LISTEN: u16 = 10;

/// Between these ends; 0 as port = none yet.
fn between(source: &str, destination: &str, protocol: u16, state: u16) -> Result<Endpoints> {
    let source: SocketAddr = source.parse()?;
    let destination: SocketAddr = destination.parse()?;
    let family = if source.is_ipv4() { INET } else { INET6 };
    Ok(Endpoints {
        source: Some(source.ip()),
        destination: Some(destination.ip()),
        source_port: Some(source.port()),
        destination_port: Some(destination.port()),
        protocol: Some(protocol),
        family: Some(family),
        state: Some(state),
    })
}

/// Opens sockets, with the addresses and ports that made-up filters name.
pub(super) fn open() -> Result<Vec<Thing>> {
    let mut sockets: Vec<(OwnedFd, Endpoints)> = Vec::new();
    let listener = TcpListener::bind("127.0.0.1:8080").context("listen")?;
    let client = TcpStream::connect("127.0.0.1:8080").context("connect")?;
    let (accepted, from) = listener.accept()?;
    let (from, to) = (from.to_string(), "127.0.0.1:8080");
    sockets.push((listener.into(), between(to, "0.0.0.0:0", TCP, LISTEN)?));
    sockets.push((client.into(), between(&from, to, TCP, ESTABLISHED)?));
    sockets.push((accepted.into(), between(to, &from, TCP, ESTABLISHED)?));
    let listener = TcpListener::bind("[::1]:1024").context("listen with IPv6")?;
    let client = TcpStream::connect("[::1]:1024").context("connect with IPv6")?;
    let from = client.local_addr()?.to_string();
    sockets.push((listener.into(), between("[::1]:1024", "[::]:0", TCP, LISTEN)?));
    sockets.push((client.into(), between(&from, "[::1]:1024", TCP, ESTABLISHED)?));
    let unbound = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockets.push((unbound, between("0.0.0.0:0", "0.0.0.0:0", TCP, CLOSE)?));
    let bound = UdpSocket::bind("127.0.0.1:53")?;
    sockets.push((bound.into(), between("127.0.0.1:53", "0.0.0.0:0", UDP, CLOSE)?));
    let connected = UdpSocket::bind("[::1]:22")?;
    connected.connect("[::1]:443")?;
    sockets.push((connected.into(), between("[::1]:22", "[::1]:443", UDP, ESTABLISHED)?));
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    let whole = between("0.0.0.0:0", "0.0.0.0:0", ICMP, CLOSE)?;
    sockets.push((raw, Endpoints { source_port: None, destination_port: None, ..whole }));
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    for descriptor in [one, other] {
        let ends = Endpoints { family: Some(UNIX), state: Some(ESTABLISHED), ..Endpoints::default() };
        sockets.push((descriptor, ends));
    }
    let thing = |(descriptor, endpoints)| {
        let text = Reading::Text(Vec::new());
        Thing { descriptor, text, kind: FileType::Socket, endpoints }
    };
    Ok(sockets.into_iter().map(thing).collect())
}
