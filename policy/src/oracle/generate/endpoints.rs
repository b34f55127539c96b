//! Made-up endpoints and filters on them: both from the same few addresses and numbers.

use super::Random;
use crate::model::{ArgKind, EndpointsPart, EndpointsTest, EndpointsValues, Network};
use crate::oracle::{Endpoints, Reading};
use lictor_node_worker_ebpf::LICTOR_MAX_UNIX_PATH;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that begin alike, and the ends of both kinds.
const ADDRESSES: [&str; 14] = [
    "0.0.0.0",
    "10.0.0.1",
    "10.1.2.3",
    "10.1.2.4",
    "127.0.0.1",
    "192.168.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:ffff::1",
    "fe80::1",
    "::ffff:10.1.2.3",
];

const PORTS: [u16; 9] = [0, 1, 22, 53, 443, 1023, 1024, 8080, 65_535];
const PROTOCOLS: [u16; 5] = [0, 6, 17, 58, 262];
const FAMILIES: [u16; 5] = [0, 1, 2, 10, 17];
const STATES: [u16; 4] = [1, 2, 7, 10];

const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

fn address(random: &mut Random) -> IpAddr {
    let address = random.pick(&ADDRESSES).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    if random.chance(60) {
        return address;
    }
    // Another one whose first bits are the same.
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() ^ 1 << random.below(32))),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() ^ 1 << random.below(128))),
    }
}

fn network(random: &mut Random) -> Network {
    let address = address(random);
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match random.below(3) {
        0 => bits,
        1 => random.pick(&[0, 8, 12, 16, 24, 32]),
        _ => random.below(bits + 1),
    };
    let whole = Network::new(address, bits as u8);
    Network::new(address, length as u8)
        .or(whole)
        .unwrap_or_else(|| unreachable!("an address has all its bits"))
}

/// Numbers that a part can have.
fn numbers(part: EndpointsPart) -> &'static [u16] {
    match part {
        EndpointsPart::Protocol => &PROTOCOLS,
        EndpointsPart::Family => &FAMILIES,
        EndpointsPart::State => &STATES,
        EndpointsPart::SourceAddress
        | EndpointsPart::DestinationAddress
        | EndpointsPart::SourcePort
        | EndpointsPart::DestinationPort => &PORTS,
    }
}

/// A filter on values of a kind that has endpoints.
pub(super) fn test(random: &mut Random, kind: ArgKind) -> EndpointsTest {
    let part = random.pick(kind.endpoints());
    let count = 1 + random.below(4);
    let values = if matches!(part, EndpointsPart::SourceAddress | EndpointsPart::DestinationAddress) {
        EndpointsValues::Networks((0..count).map(|_| network(random)).collect())
    } else {
        let range = |random: &mut Random| {
            let low = random.pick(numbers(part));
            let high = if random.chance(30) { random.pick(numbers(part)) } else { low };
            (low.min(high), low.max(high))
        };
        EndpointsValues::Numbers((0..count).map(|_| range(random)).collect())
    };
    EndpointsTest { part, values, negated: random.chance(40) }
}

/// The family of an address that may be a Unix socket's.
fn unix(random: &mut Random) -> Endpoints {
    let family = if random.chance(80) { UNIX } else { random.pick(&FAMILIES) };
    Endpoints { family: Some(family), ..Endpoints::default() }
}

/// What an address of that family has for a path: other families have none, and no path is longer than the address.
pub(super) fn unix_path(text: Reading, family: Option<u16>) -> Reading {
    match text {
        Reading::Text(_) if family != Some(UNIX) => Reading::Text(Vec::new()),
        Reading::Text(mut path) => {
            path.truncate(LICTOR_MAX_UNIX_PATH as usize);
            Reading::Text(path)
        }
        Reading::Absent | Reading::Unresolved => text,
    }
}

/// What a pointer to a structure of this name leads to.
pub(super) fn endpoints(random: &mut Random, structure: &str) -> Endpoints {
    let kind = match structure {
        "sock" => ArgKind::Sock,
        "socket" => ArgKind::Socket,
        "sk_buff" => ArgKind::Skb,
        "sockaddr" => ArgKind::Sockaddr,
        "sockaddr_un" => return unix(random),
        _ => return Endpoints::default(),
    };
    let parts = kind.endpoints();
    let has = |part| parts.contains(&part);
    let (one, mut other) = (address(random), address(random));
    if other.is_ipv4() != one.is_ipv4() {
        other = one;
    }
    let (family, inet) = if random.chance(80) {
        (if one.is_ipv4() { INET } else { INET6 }, true)
    } else {
        (random.pick(&[0, 1, 17]), false)
    };
    let number = |random: &mut Random, part| {
        (inet && has(part) && random.chance(90)).then(|| random.pick(numbers(part)))
    };
    // A socket address has its port where it has its address.
    let source_port = if kind == ArgKind::Sockaddr {
        inet.then(|| random.pick(&PORTS))
    } else {
        number(random, EndpointsPart::SourcePort)
    };
    Endpoints {
        source: inet.then_some(one),
        destination: (inet && has(EndpointsPart::DestinationAddress)).then_some(other),
        source_port,
        destination_port: number(random, EndpointsPart::DestinationPort),
        protocol: number(random, EndpointsPart::Protocol),
        family: Some(family),
        state: has(EndpointsPart::State).then(|| random.pick(&STATES)),
    }
}
