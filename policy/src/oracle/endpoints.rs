//! What a socket, a packet or a socket address has of addresses, ports, protocol, family and state.

use super::Answer;
use crate::model::{EndpointsPart, EndpointsTest, EndpointsValues};
use std::net::IpAddr;

/// Endpoints, as far as there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Endpoints {
    /// Source address; of a socket its own, of a socket address the one that it names.
    pub source: Option<IpAddr>,
    /// Destination address; of a socket that of the other end.
    pub destination: Option<IpAddr>,
    /// Port of the source.
    pub source_port: Option<u16>,
    /// Port of the destination.
    pub destination_port: Option<u16>,
    /// `IPPROTO_*`
    pub protocol: Option<u16>,
    /// `AF_*`
    pub family: Option<u16>,
    /// `TCP_*`
    pub state: Option<u16>,
}

impl Endpoints {
    /// A part that is an address.
    pub(crate) fn address(&self, part: EndpointsPart) -> Option<IpAddr> {
        match part {
            EndpointsPart::SourceAddress => self.source,
            EndpointsPart::DestinationAddress => self.destination,
            EndpointsPart::SourcePort
            | EndpointsPart::DestinationPort
            | EndpointsPart::Protocol
            | EndpointsPart::Family
            | EndpointsPart::State => None,
        }
    }

    /// A part that is a number.
    pub(crate) fn number(&self, part: EndpointsPart) -> Option<u16> {
        match part {
            EndpointsPart::SourcePort => self.source_port,
            EndpointsPart::DestinationPort => self.destination_port,
            EndpointsPart::Protocol => self.protocol,
            EndpointsPart::Family => self.family,
            EndpointsPart::State => self.state,
            EndpointsPart::SourceAddress | EndpointsPart::DestinationAddress => None,
        }
    }

    /// Whether a test holds: what is not there is none of the values.
    pub(super) fn meet(&self, test: &EndpointsTest) -> Answer {
        let any = match &test.values {
            EndpointsValues::Networks(networks) => {
                let address = self.address(test.part);
                address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            EndpointsValues::Numbers(ranges) => {
                let number = self.number(test.part);
                number.is_some_and(|number| ranges.iter().any(|(low, high)| (low..=high).contains(&&number)))
            }
        };
        (any != test.negated).into()
    }
}
