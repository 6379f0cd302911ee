//! Client addresses: which one a request comes from, and lists of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies name whom they forward for; each appends what it saw.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A list of addresses and networks: `*`, `192.0.2.0/24`, `2001:db8::1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList {
    anything: bool,
    networks: Vec<IpNet>,
}

/// An entry of an address list that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an address (192.0.2.7), a network (192.0.2.0/24) or `*`")]
pub struct InvalidAddress {
    /// What was given, cut to 80 characters.
    pub given: String,
}

impl AddressList {
    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.anything && self.networks.is_empty()
    }

    /// Whether the address is listed. An unknown address is only in `*`.
    #[must_use]
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        let listed = |address: IpAddr| {
            let address = address.to_canonical();
            self.networks.iter().any(|net| net.contains(&address))
        };
        self.anything || address.is_some_and(listed)
    }

    fn add(&mut self, entry: &str) -> Result<(), InvalidAddress> {
        if entry == "*" {
            self.anything = true;
            return Ok(());
        }
        let net = entry
            .parse::<IpNet>()
            .or_else(|_| entry.parse::<IpAddr>().map(|ip| ip.to_canonical().into()))
            .map_err(|_| InvalidAddress {
                given: entry.chars().take(80).collect(),
            })?;
        self.networks.push(net);
        Ok(())
    }
}

/// The comma list of `CHATOPS_IP_ALLOWLIST`.
impl FromStr for AddressList {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            list.add(entry)?;
        }
        Ok(list)
    }
}

/// The address a request comes from, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

impl ClientAddress {
    /// The peer, or the nearest address before it that is not one of our proxies. What a client
    /// writes into the header itself stands further left and never counts.
    pub(crate) fn of(peer: Option<IpAddr>, headers: &HeaderMap, proxies: &AddressList) -> Self {
        let mut nearest = peer.map(|peer| peer.to_canonical());
        if !proxies.contains(nearest) || nearest.is_none() {
            return Self(nearest);
        }
        let forwarded: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for entry in forwarded.into_iter().rev() {
            let Some(address) = forwarded_address(entry.trim()) else {
                break;
            };
            nearest = Some(address);
            if !proxies.contains(nearest) {
                break;
            }
        }
        Self(nearest)
    }
}

/// Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let address = entry
        .parse::<IpAddr>()
        .or_else(|_| {
            entry
                .parse::<std::net::SocketAddr>()
                .map(|socket| socket.ip())
        })
        .or_else(|_| entry.trim_matches(['[', ']']).parse())
        .ok()?;
    Some(address.to_canonical())
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AddressList {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn lists_hold_addresses_networks_and_everything() {
        for (entries, address, listed) in [
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("10.0.0.0/8, 192.0.2.0/24", "192.0.2.8", true),
            ("192.0.2.0/24", "::ffff:192.0.2.8", true),
            ("::ffff:192.0.2.8", "192.0.2.8", true),
            ("2001:db8::/32", "2001:db8::1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("*", "2001:db8::1", true),
            ("", "192.0.2.7", false),
        ] {
            assert_eq!(
                list(entries).contains(ip(address)),
                listed,
                "{entries} {address}"
            );
        }
        assert!(list(" , ").is_empty());
        assert!(list("*").contains(None));
        assert!(!list("0.0.0.0/0").contains(None));
        for bad in ["localhost", "10.0.0.0/33", "1.2.3", "10.0.0.1-9"] {
            assert!(bad.parse::<AddressList>().is_err(), "{bad}");
        }
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        for (peer, header, client) in [
            ("192.0.2.1", None, "192.0.2.1"),
            ("192.0.2.1", Some("198.51.100.1"), "192.0.2.1"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("10.0.0.1", Some("198.51.100.1"), "198.51.100.1"),
            ("10.0.0.1", Some("6.6.6.6, 198.51.100.1"), "198.51.100.1"),
            (
                "10.0.0.1",
                Some("6.6.6.6, 198.51.100.1, 10.0.0.2"),
                "198.51.100.1",
            ),
            ("10.0.0.1", Some("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
            ("10.0.0.1", Some("198.51.100.1, junk"), "10.0.0.1"),
            ("10.0.0.1", Some("198.51.100.1, junk, 10.0.0.2"), "10.0.0.2"),
            ("10.0.0.1", Some("198.51.100.1:4711"), "198.51.100.1"),
            ("10.0.0.1", Some("[2001:db8::1]:4711"), "2001:db8::1"),
            ("::ffff:10.0.0.1", Some("198.51.100.1"), "198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(FORWARDED_FOR, header.parse().unwrap());
            }
            let found = ClientAddress::of(ip(peer), &headers, &list("10.0.0.0/8"));
            assert_eq!(found.0, ip(client), "{peer} {header:?}");
        }
    }

    #[test]
    fn several_forwarding_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "6.6.6.6".parse().unwrap());
        headers.append(FORWARDED_FOR, "198.51.100.1".parse().unwrap());
        let found = ClientAddress::of(ip("10.0.0.1"), &headers, &list("10.0.0.0/8"));
        assert_eq!(found.0, ip("198.51.100.1"));
    }
}
