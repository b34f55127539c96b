//! Filters on the endpoints of sockets, packets and socket addresses.

use super::number::{self, Span};
use super::process::some_values;
use super::report::{Report, quoted};
use crate::model::{
    Arg, ArgKind, EndpointsPart, EndpointsTest, EndpointsValues, FieldPath, Network, ValueTest,
};
use crate::spec::ValueFilter;
use crate::violation::did_you_mean;
use std::net::IpAddr;

/// What an operator asks of endpoints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    part: EndpointsPart,
    negated: bool,
    /// Below [`PRIVILEGED_END`]; there are no values.
    privileged: bool,
}

/// Ports below this one are for processes that may bind them. `net.ipv4.ip_unprivileged_port_start` can move that; the
/// operators mean the usual one.
const PRIVILEGED_END: u16 = 1024;

const PORTS: Span = Span { low: 0, high: u16::MAX as i128 };

impl Question {
    /// Whether the part is one of the values.
    pub(super) fn of(part: EndpointsPart, negated: bool) -> Self {
        Self { part, negated, privileged: false }
    }

    /// Whether the port is a privileged one.
    pub(super) fn privileged(part: EndpointsPart, negated: bool) -> Self {
        Self { part, negated, privileged: true }
    }
}

/// What values of a type are, for messages.
pub(super) fn noun(kind: ArgKind) -> &'static str {
    if kind == ArgKind::Skb {
        "a packet"
    } else if kind == ArgKind::Sockaddr {
        "a socket address"
    } else {
        "a socket"
    }
}

/// The operators for values of a type, for messages.
pub(super) fn operators(kind: ArgKind) -> String {
    let of = |part: &EndpointsPart| match part {
        EndpointsPart::SourceAddress => "SAddr, NotSAddr",
        EndpointsPart::DestinationAddress => "DAddr, NotDAddr",
        EndpointsPart::SourcePort => "SPort, NotSPort, SPortPriv, NotSPortPriv",
        EndpointsPart::DestinationPort => "DPort, NotDPort, DPortPriv, NotDPortPriv",
        EndpointsPart::Protocol => "Protocol",
        EndpointsPart::Family => "Family",
        EndpointsPart::State => "State",
    };
    kind.endpoints().iter().map(of).collect::<Vec<_>>().join(", ")
}

/// Whether values of a type have what is asked for, as far as the type is known.
pub(super) fn fits(question: Question, kind: ArgKind) -> bool {
    kind == ArgKind::Auto || kind.endpoints().contains(&question.part)
}

/// The test that a filter makes; says what is wrong otherwise.
pub(super) fn test(
    question: Question,
    filter: &ValueFilter,
    arg: &Arg,
    at: &FieldPath,
    report: &mut Report,
) -> Option<ValueTest> {
    let Question { part, negated, privileged } = question;
    if privileged {
        if !filter.values.is_empty() {
            let found = format!("values of `{:?}`", filter.operator);
            report.warn(&at.member("values"), found, "they have no effect: it means ports below 1024");
        }
        let values = EndpointsValues::Numbers(vec![(0, PRIVILEGED_END - 1)]);
        return Some(ValueTest::Endpoints(EndpointsTest { part, values, negated }));
    }
    some_values(&filter.values, at, report)?;
    let before = report.refused;
    let each = filter.values.iter().enumerate();
    let each = each.map(|(place, text)| (text.as_str(), at.member("values").index(place)));
    let values = match part {
        EndpointsPart::SourceAddress | EndpointsPart::DestinationAddress => {
            EndpointsValues::Networks(each.filter_map(|(text, at)| network(text, &at, report)).collect())
        }
        EndpointsPart::SourcePort | EndpointsPart::DestinationPort => {
            EndpointsValues::Numbers(each.filter_map(|(text, at)| ports(text, &at, report)).collect())
        }
        EndpointsPart::Protocol | EndpointsPart::Family | EndpointsPart::State => {
            let named = each.filter_map(|(text, at)| named(part, text, &at, report));
            EndpointsValues::Numbers(named.map(|number| (number, number)).collect())
        }
    };
    if report.refused != before {
        return None;
    }
    if let EndpointsValues::Numbers(values) = &values
        && part == EndpointsPart::Family
    {
        pointless_families(values, arg, at, report);
    }
    Some(ValueTest::Endpoints(EndpointsTest { part, values, negated }))
}

/// A packet is of the families that have a header of their own.
fn pointless_families(values: &[(u16, u16)], arg: &Arg, at: &FieldPath, report: &mut Report) {
    let known = ["AF_INET", "AF_INET6"].map(|name| EndpointsPart::Family.number_of(name));
    let odd = values.iter().find(|(family, _)| !known.contains(&Some(*family)));
    if let (ArgKind::Skb, Some((family, _))) = (arg.kind, odd) {
        let name = EndpointsPart::Family.name_of(*family).map_or_else(|| family.to_string(), str::to_owned);
        let hint = "of packets, AF_INET and AF_INET6 are told apart; all others have no family";
        report.warn(&at.member("values"), format!("the family {name} of a packet"), hint);
    }
}

fn network(text: &str, at: &FieldPath, report: &mut Report) -> Option<Network> {
    const ALLOWED: &str = "an address or a network: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32";
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        if text.starts_with("${") {
            report.refuse_with(at, quoted(text), ALLOWED, "it is a placeholder: put your own networks there");
        } else {
            report.refuse(at, quoted(text), ALLOWED);
        }
        return None;
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => Some(bits),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(_) => None,
    };
    let network = length.and_then(|length| Network::new(address, length));
    if network.is_none() {
        report.refuse(at, quoted(text), format!("an address and, behind `/`, 0 to {bits}"));
    }
    network
}

fn ports(text: &str, at: &FieldPath, report: &mut Report) -> Option<(u16, u16)> {
    let (low, high) = if text.contains(':') {
        number::range(text, PORTS, at, report)?
    } else {
        let port = number::within(text, PORTS, at, report)?;
        (port, port)
    };
    Some((u16::try_from(low).ok()?, u16::try_from(high).ok()?))
}

/// A number, or the name of one.
fn named(part: EndpointsPart, text: &str, at: &FieldPath, report: &mut Report) -> Option<u16> {
    if let Some(number) = part.number_of(text) {
        return Some(number);
    }
    if number::parse(text).is_some() {
        return u16::try_from(number::within(text, PORTS, at, report)?).ok();
    }
    let allowed = match part {
        EndpointsPart::Protocol => "a number or a name: IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP and so on",
        EndpointsPart::Family => "a number or a name: AF_INET, AF_INET6, AF_UNIX and so on",
        EndpointsPart::State
        | EndpointsPart::SourceAddress
        | EndpointsPart::DestinationAddress
        | EndpointsPart::SourcePort
        | EndpointsPart::DestinationPort => {
            "a number or a name: TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE and so on"
        }
    };
    match did_you_mean(text, part.names().iter().map(|(_, name)| *name)) {
        Some(hint) => report.refuse_with(at, quoted(text), allowed, hint),
        None => report.refuse(at, quoted(text), allowed),
    }
    None
}
