//! Endpoints in event lines and in test cases, which name them alike.

use crate::model::{ArgKind, EndpointsPart};
use crate::oracle::Endpoints;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::net::IpAddr;

/// Endpoints of a socket, a packet or a socket address. What is left out is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenEndpoints {
    /// Source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saddr: Option<String>,
    /// Destination address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daddr: Option<String>,
    /// Source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sport: Option<u32>,
    /// Destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dport: Option<u32>,
    /// Protocol, by name or number: `IPPROTO_TCP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Address family, by name or number: `AF_INET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// State, by name or number: `TCP_ESTABLISHED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl GivenEndpoints {
    /// The endpoints.
    ///
    /// # Errors
    /// The member that is wrong, what it holds, and what may stand there.
    pub(super) fn read(&self) -> Result<Endpoints, (&'static str, String, &'static str)> {
        let address = |name, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match text.parse::<IpAddr>() {
                Ok(address) => Ok(Some(address)),
                Err(_) => Err((name, format!("\"{}\"", text.escape_debug()), "an IPv4 or IPv6 address")),
            },
        };
        let port = |name, number: Option<u32>| match number.map(u16::try_from) {
            None => Ok(None),
            Some(Ok(port)) => Ok(Some(port)),
            Some(Err(_)) => Err((name, format!("`{}`", number.unwrap_or(0)), "0 to 65535")),
        };
        let named = |name, part, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match number(part, text) {
                Some(number) => Ok(Some(number)),
                None => Err((
                    name,
                    format!("\"{}\"", text.escape_debug()),
                    "a number or a name that filters know",
                )),
            },
        };
        Ok(Endpoints {
            source: address("saddr", &self.saddr)?,
            destination: address("daddr", &self.daddr)?,
            source_port: port("sport", self.sport)?,
            destination_port: port("dport", self.dport)?,
            protocol: named("protocol", EndpointsPart::Protocol, &self.protocol)?,
            family: named("family", EndpointsPart::Family, &self.family)?,
            state: named("state", EndpointsPart::State, &self.state)?,
        })
    }
}

/// A number, by its name or its digits.
fn number(part: EndpointsPart, text: &str) -> Option<u16> {
    part.number_of(text).or_else(|| text.parse().ok())
}

/// The structure that a value of a kind points to, and the member of event lines that shows it.
const STRUCTURES: [(ArgKind, &str, &str); 4] = [
    (ArgKind::Sock, "sock", "sock_arg"),
    (ArgKind::Socket, "socket", "sock_arg"),
    (ArgKind::Skb, "sk_buff", "skb_arg"),
    (ArgKind::Sockaddr, "sockaddr", "sockaddr_arg"),
];

/// The structure that a value of a kind points to.
pub(super) fn structure(kind: ArgKind) -> Option<&'static str> {
    STRUCTURES.iter().find(|(known, ..)| *known == kind).map(|(_, structure, _)| *structure)
}

/// The kind of value that a member of event lines shows.
pub(super) fn kind_of_member(name: &str) -> Option<ArgKind> {
    STRUCTURES.iter().find(|(.., member)| *member == name).map(|(kind, ..)| *kind)
}

/// The endpoints that an event line shows of a value of that kind. Lines leave out what is 0.
pub(super) fn of_line(kind: ArgKind, json: &Json) -> Endpoints {
    let text = |member: &str| json.get(member).and_then(Json::as_str).filter(|text| !text.is_empty());
    let address = |member| text(member).and_then(|text| text.parse().ok());
    let port =
        |member: &str| json.get(member).and_then(Json::as_u64).and_then(|port| u16::try_from(port).ok());
    let named = |member, part| text(member).and_then(|text| number(part, text));
    let family = named("family", EndpointsPart::Family);
    if kind == ArgKind::Sockaddr {
        let source = address("addr");
        let source_port = source.map(|_| port("port").unwrap_or(0));
        return Endpoints { source, source_port, family, ..Endpoints::default() };
    }
    if kind == ArgKind::SockaddrUn {
        return Endpoints { family, ..Endpoints::default() };
    }
    let (source, destination) = (address("saddr"), address("daddr"));
    let (one, other) = (port("sport"), port("dport"));
    // Of two ports, one can be 0; sockets that are not raw have ports in any case.
    let socket = kind != ArgKind::Skb && source.is_some() && text("type") != Some("SOCK_RAW");
    let ports = socket || one.is_some() || other.is_some();
    Endpoints {
        source,
        destination,
        source_port: ports.then(|| one.unwrap_or(0)),
        destination_port: ports.then(|| other.unwrap_or(0)),
        protocol: named("protocol", EndpointsPart::Protocol),
        family,
        state: named("state", EndpointsPart::State),
    }
}

/// Endpoints in words: `10.0.0.1:40000 > 10.0.0.2:443`.
pub(super) fn words(endpoints: &Endpoints) -> String {
    let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
        (None, _) => "?".to_owned(),
        (Some(address), None) => address.to_string(),
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
    };
    match (endpoints.source, endpoints.destination) {
        (None, None) => "(no address)".to_owned(),
        (source, None) => end(source, endpoints.source_port),
        (source, destination) => {
            format!(
                "{} > {}",
                end(source, endpoints.source_port),
                end(destination, endpoints.destination_port)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_tells_the_endpoints_of_a_socket() {
        let line = json!({
            "family": "AF_INET", "type": "SOCK_STREAM", "protocol": "IPPROTO_TCP", "saddr": "10.0.0.1",
            "daddr": "10.0.0.2", "dport": 443, "state": "TCP_SYN_SENT", "cookie": "7",
        });
        let found = of_line(ArgKind::Sock, &line);
        assert_eq!((found.source_port, found.destination_port), (Some(0), Some(443)));
        assert_eq!((found.family, found.protocol, found.state), (Some(2), Some(6), Some(2)));
        assert_eq!(words(&found), "10.0.0.1:0 > 10.0.0.2:443");
    }

    #[test]
    fn a_packet_without_ports_has_none() {
        let line =
            json!({"family": "AF_INET6", "protocol": "IPPROTO_ICMPV6", "saddr": "::1", "daddr": "::1"});
        let found = of_line(ArgKind::Skb, &line);
        assert_eq!((found.source_port, found.destination_port, found.protocol), (None, None, Some(58)));
    }

    #[test]
    fn a_socket_address_is_a_source() {
        let found = of_line(ArgKind::Sockaddr, &json!({"family": "AF_INET", "addr": "1.1.1.1", "port": 53}));
        assert_eq!((found.source, found.source_port), (Some("1.1.1.1".parse().unwrap()), Some(53)));
        let found = of_line(ArgKind::Sockaddr, &json!({"family": "AF_UNIX"}));
        assert_eq!((found.source, found.source_port, found.family), (None, None, Some(1)));
    }
}
