//! Filters on the endpoints of sockets, packets and socket addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One test on endpoints. A value without the part (another family, no port) is none of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointsTest {
    /// What is compared.
    pub part: EndpointsPart,
    /// With what.
    pub values: EndpointsValues,
    /// The `Not` form of the operator.
    pub negated: bool,
}

/// What of endpoints is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the usual name of the part")]
pub enum EndpointsPart {
    SourceAddress,
    DestinationAddress,
    SourcePort,
    DestinationPort,
    Protocol,
    Family,
    State,
}

/// What a part is compared with: any of these. Not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointsValues {
    /// For addresses.
    Networks(Vec<Network>),
    /// For everything else: inclusive ranges, each with low <= high.
    Numbers(Vec<(u16, u16)>),
}

/// All addresses that begin with the same bits: `10.0.0.0/8`.
///
/// IPv4 addresses within IPv6 (`::ffff:0:0/96`) are IPv4 addresses, in networks and in what is compared with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Bits of `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

impl Network {
    /// The network of `length` bits around an address; `None` = more bits than the address has. What stands behind the
    /// bits in the address does not matter.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (address, length) = match address.to_canonical() {
            IpAddr::V4(canonical) if address.is_ipv6() => match length.checked_sub(MAPPED_BITS) {
                Some(length) => (IpAddr::V4(canonical), length),
                None => (address, length),
            },
            canonical @ (IpAddr::V4(_) | IpAddr::V6(_)) => (canonical, length),
        };
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(length.into())?).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(length.into())?).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Some(Self { address, length })
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses share.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether an address belongs to it.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::new(address, self.length) == Some(self)
    }

    /// Whether all addresses of `other` belong to it.
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

/// Address families by number, as `<sys/socket.h>` names them.
const FAMILIES: [(u16, &str); 46] = [
    (0, "AF_UNSPEC"),
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (3, "AF_AX25"),
    (4, "AF_IPX"),
    (5, "AF_APPLETALK"),
    (6, "AF_NETROM"),
    (7, "AF_BRIDGE"),
    (8, "AF_ATMPVC"),
    (9, "AF_X25"),
    (10, "AF_INET6"),
    (11, "AF_ROSE"),
    (12, "AF_DECnet"),
    (13, "AF_NETBEUI"),
    (14, "AF_SECURITY"),
    (15, "AF_KEY"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (18, "AF_ASH"),
    (19, "AF_ECONET"),
    (20, "AF_ATMSVC"),
    (21, "AF_RDS"),
    (22, "AF_SNA"),
    (23, "AF_IRDA"),
    (24, "AF_PPPOX"),
    (25, "AF_WANPIPE"),
    (26, "AF_LLC"),
    (27, "AF_IB"),
    (28, "AF_MPLS"),
    (29, "AF_CAN"),
    (30, "AF_TIPC"),
    (31, "AF_BLUETOOTH"),
    (32, "AF_IUCV"),
    (33, "AF_RXRPC"),
    (34, "AF_ISDN"),
    (35, "AF_PHONET"),
    (36, "AF_IEEE802154"),
    (37, "AF_CAIF"),
    (38, "AF_ALG"),
    (39, "AF_NFC"),
    (40, "AF_VSOCK"),
    (41, "AF_KCM"),
    (42, "AF_QIPCRTR"),
    (43, "AF_SMC"),
    (44, "AF_XDP"),
    (45, "AF_MCTP"),
];

/// Protocols by number, as `<netinet/in.h>` and `<linux/in.h>` name them.
const PROTOCOLS: [(u16, &str); 35] = [
    (0, "IPPROTO_IP"),
    (1, "IPPROTO_ICMP"),
    (2, "IPPROTO_IGMP"),
    (4, "IPPROTO_IPIP"),
    (6, "IPPROTO_TCP"),
    (8, "IPPROTO_EGP"),
    (12, "IPPROTO_PUP"),
    (17, "IPPROTO_UDP"),
    (22, "IPPROTO_IDP"),
    (29, "IPPROTO_TP"),
    (33, "IPPROTO_DCCP"),
    (41, "IPPROTO_IPV6"),
    (43, "IPPROTO_ROUTING"),
    (44, "IPPROTO_FRAGMENT"),
    (46, "IPPROTO_RSVP"),
    (47, "IPPROTO_GRE"),
    (50, "IPPROTO_ESP"),
    (51, "IPPROTO_AH"),
    (58, "IPPROTO_ICMPV6"),
    (59, "IPPROTO_NONE"),
    (60, "IPPROTO_DSTOPTS"),
    (92, "IPPROTO_MTP"),
    (94, "IPPROTO_BEETPH"),
    (98, "IPPROTO_ENCAP"),
    (103, "IPPROTO_PIM"),
    (108, "IPPROTO_COMP"),
    (115, "IPPROTO_L2TP"),
    (132, "IPPROTO_SCTP"),
    (135, "IPPROTO_MH"),
    (136, "IPPROTO_UDPLITE"),
    (137, "IPPROTO_MPLS"),
    (143, "IPPROTO_ETHERNET"),
    (144, "IPPROTO_AGGFRAG"),
    (255, "IPPROTO_RAW"),
    (262, "IPPROTO_MPTCP"),
];

/// States of sockets by number, as `<netinet/tcp.h>` and the kernel's `tcp_states.h` name them.
const STATES: [(u16, &str); 13] = [
    (1, "TCP_ESTABLISHED"),
    (2, "TCP_SYN_SENT"),
    (3, "TCP_SYN_RECV"),
    (4, "TCP_FIN_WAIT1"),
    (5, "TCP_FIN_WAIT2"),
    (6, "TCP_TIME_WAIT"),
    (7, "TCP_CLOSE"),
    (8, "TCP_CLOSE_WAIT"),
    (9, "TCP_LAST_ACK"),
    (10, "TCP_LISTEN"),
    (11, "TCP_CLOSING"),
    (12, "TCP_NEW_SYN_RECV"),
    (13, "TCP_BOUND_INACTIVE"),
];

impl EndpointsPart {
    /// The names of its numbers; empty where numbers are just numbers.
    pub fn names(self) -> &'static [(u16, &'static str)] {
        match self {
            Self::Protocol => &PROTOCOLS,
            Self::Family => &FAMILIES,
            Self::State => &STATES,
            Self::SourceAddress | Self::DestinationAddress | Self::SourcePort | Self::DestinationPort => &[],
        }
    }

    /// The name of one of its numbers, if it has one.
    pub fn name_of(self, number: u16) -> Option<&'static str> {
        let names = self.names();
        names.binary_search_by_key(&number, |(number, _)| *number).ok().map(|place| names[place].1)
    }

    /// The number of that name. Large and small letters are the same.
    pub fn number_of(self, name: &str) -> Option<u16> {
        self.names().iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(number, _)| *number)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, length: u8) -> Network {
        Network::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn bits_behind_the_length_do_not_matter() {
        assert_eq!(network("127.0.0.1", 8), network("127.0.0.0", 8));
        assert_eq!(network("127.0.0.1", 8).to_string(), "127.0.0.0/8");
        assert_eq!(network("2001:db8::1", 32).to_string(), "2001:db8::/32");
        assert_eq!(network("9.9.9.9", 0).to_string(), "0.0.0.0/0");
    }

    #[test]
    fn numbers_and_names_belong_together() {
        for part in [EndpointsPart::Protocol, EndpointsPart::Family, EndpointsPart::State] {
            assert!(part.names().windows(2).all(|pair| pair[0].0 < pair[1].0), "{part:?} is in order");
            for (number, name) in part.names() {
                assert_eq!((part.name_of(*number), part.number_of(name)), (Some(*name), Some(*number)));
            }
        }
        assert_eq!(EndpointsPart::Family.number_of("af_inet6"), Some(10));
        assert_eq!(EndpointsPart::SourcePort.name_of(22), None);
    }

    #[test]
    fn an_address_has_no_more_bits_than_it_has() {
        assert_eq!(Network::new("10.0.0.0".parse().unwrap(), 33), None);
        assert_eq!(Network::new("::".parse().unwrap(), 129), None);
        assert!(Network::new("::".parse().unwrap(), 128).is_some());
    }

    #[test]
    fn an_address_is_in_the_networks_of_its_own_kind() {
        let contains = |network: Network, address: &str| network.contains(address.parse().unwrap());
        assert!(
            contains(network("10.0.0.0", 8), "10.1.2.3") && !contains(network("10.0.0.0", 8), "11.0.0.0")
        );
        assert!(contains(network("0.0.0.0", 0), "255.255.255.255") && !contains(network("0.0.0.0", 0), "::"));
        assert!(contains(network("::", 0), "::1") && !contains(network("::", 0), "1.2.3.4"));
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_an_ipv4_address() {
        let contains = |network: Network, address: &str| network.contains(address.parse().unwrap());
        assert_eq!(network("::ffff:10.0.0.0", 104), network("10.0.0.0", 8));
        assert!(contains(network("10.0.0.0", 8), "::ffff:10.1.2.3"));
        assert!(!contains(network("::", 0), "::ffff:10.1.2.3"));
        assert!(network("10.0.0.0", 8).covers(network("10.3.0.0", 16)));
        assert!(!network("10.3.0.0", 16).covers(network("10.0.0.0", 8)));
    }
}
