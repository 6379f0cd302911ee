//! The sections `[server]` and `[rate_limit]`.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::address::AddressList;

/// The section `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where people reach it, for links.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: AddressList,
    /// Whether `/status`, `/metrics`, `/intents` and `/validate` need no key, as in the seed.
    pub public_reads: bool,
    /// Addresses that keyed endpoints may be called from; empty for all. `CHATOPS_IP_ALLOWLIST`
    /// of the seed.
    pub ip_allowlist: AddressList,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How long a client may take to send a request, in seconds.
    pub request_timeout: u64,
    /// How long answers under way may take once the server stops, in seconds.
    pub stop_grace: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            public_url: None,
            trusted_proxies: AddressList::default(),
            public_reads: true,
            ip_allowlist: AddressList::default(),
            // The RAVE seed's `max_request_size`; a Mattermost form is a few KiB.
            max_body: 1024 * 1024,
            request_timeout: 30,
            stop_grace: 10,
        }
    }
}

/// The section `[rate_limit]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Per person on chat and on changes through `/api/v1`.
    pub per_minute: u32,
    /// How many of these at once.
    pub burst: u32,
    /// Per client address and endpoint on the seed's mutating endpoints.
    pub address_per_minute: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            per_minute: 30,
            burst: 5,
            address_per_minute: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_are_strict_and_complete() {
        let server: ServerConfig = toml::from_str(
            "listen = '0.0.0.0:80'\ntrusted_proxies = ['10.0.0.0/8']\nip_allowlist = '*, 192.0.2.1'",
        )
        .unwrap();
        assert!(server.public_reads);
        assert!(!server.trusted_proxies.is_empty());
        assert!(toml::from_str::<ServerConfig>("trusted_proxies = 'proxy'").is_err());
        assert!(toml::from_str::<ServerConfig>("trusted_proxy = []").is_err());
        assert!(toml::from_str::<RateLimitConfig>("per_hour = 1").is_err());
    }
}
