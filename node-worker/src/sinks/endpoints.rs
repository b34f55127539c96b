//! Sockets, packets and socket addresses in event lines.

use super::object::Object;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_endpoints, lictor_unix_address};
use lictor_policy::model::EndpointsPart;
use std::net::{IpAddr, Ipv4Addr};

/// Types of sockets by number, as `<sys/socket.h>` names them.
const SOCKET_TYPES: [(u16, &str); 7] = [
    (1, "SOCK_STREAM"),
    (2, "SOCK_DGRAM"),
    (3, "SOCK_RAW"),
    (4, "SOCK_RDM"),
    (5, "SOCK_SEQPACKET"),
    (6, "SOCK_DCCP"),
    (10, "SOCK_PACKET"),
];

/// `AF_INET`
const INET: u16 = 2;

/// Appends the member of an argument that shows a socket.
pub(super) fn push_sock(out: &mut Vec<u8>, ends: &lictor_endpoints) {
    let mut object = Object::begin(out, "sock_arg");
    object.family(ends);
    let kind = SOCKET_TYPES.iter().find(|(number, _)| *number == ends.type_);
    object.text("type", kind.map_or("", |(_, name)| name));
    object.protocol(ends);
    object.number("mark", ends.mark);
    object.number("priority", ends.priority);
    object.addresses(ends);
    object.ports(ends);
    object.wide("cookie", ends.cookie);
    let state = u16::try_from(ends.state).unwrap_or(u16::MAX);
    if has(ends, wire::LICTOR_ENDPOINTS_STATE) && state != 0 {
        object.named("state", EndpointsPart::State, state);
    }
    object.end();
}

/// Appends the member of an argument that shows a packet.
pub(super) fn push_skb(out: &mut Vec<u8>, ends: &lictor_endpoints) {
    let mut object = Object::begin(out, "skb_arg");
    object.number("hash", ends.hash);
    object.number("len", ends.length);
    object.number("priority", ends.priority);
    object.number("mark", ends.mark);
    object.addresses(ends);
    object.ports(ends);
    object.number("proto", ends.protocol.into());
    object.protocol(ends);
    object.family(ends);
    object.end();
}

/// Appends the member of an argument that shows a socket address.
pub(super) fn push_sockaddr(out: &mut Vec<u8>, ends: &lictor_endpoints) {
    let mut object = Object::begin(out, "sockaddr_arg");
    object.family(ends);
    if has(ends, wire::LICTOR_ENDPOINTS_ADDRESSES) {
        object.text("addr", &address(ends, &ends.source));
    }
    object.number("port", ends.source_port.into());
    object.end();
}

/// Appends the member of an argument that shows the address of a Unix socket.
pub(super) fn push_unix_address(out: &mut Vec<u8>, found: lictor_unix_address, path: &[u8]) {
    let mut object = Object::begin(out, "sockaddrun_arg");
    // Families have 16 bits.
    object.named("family", EndpointsPart::Family, found.family as u16);
    object.bytes("path", path);
    object.end();
}

fn has(ends: &lictor_endpoints, what: u32) -> bool {
    u32::from(ends.flags) & what != 0
}

fn address(ends: &lictor_endpoints, bytes: &[u8; 16]) -> String {
    let [a, b, c, d, ..] = *bytes;
    let address =
        if ends.family == INET { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) } else { IpAddr::from(*bytes) };
    address.to_string()
}

/// What only endpoints have.
impl Object<'_> {
    /// A number by its name, where it has one.
    fn named(&mut self, name: &str, part: EndpointsPart, number: u16) {
        match part.name_of(number) {
            Some(known) => self.text(name, known),
            None => self.text(name, &number.to_string()),
        }
    }

    fn family(&mut self, ends: &lictor_endpoints) {
        if has(ends, wire::LICTOR_ENDPOINTS_FAMILY) {
            self.named("family", EndpointsPart::Family, ends.family);
        }
    }

    fn protocol(&mut self, ends: &lictor_endpoints) {
        if has(ends, wire::LICTOR_ENDPOINTS_PROTOCOL) {
            self.named("protocol", EndpointsPart::Protocol, ends.protocol);
        }
    }

    fn addresses(&mut self, ends: &lictor_endpoints) {
        if has(ends, wire::LICTOR_ENDPOINTS_ADDRESSES) {
            self.text("saddr", &address(ends, &ends.source));
            self.text("daddr", &address(ends, &ends.destination));
        }
    }

    fn ports(&mut self, ends: &lictor_endpoints) {
        self.number("sport", ends.source_port.into());
        self.number("dport", ends.destination_port.into());
    }
}
