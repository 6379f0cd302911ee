//! What the binary configures. The sections of `rave.toml` and their keys are its business.

use crate::address::AddressList;

/// How the server behaves; the section `[server]`.
#[derive(Debug, Clone)]
pub struct ServerConfig {
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
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            trusted_proxies: AddressList::default(),
            public_reads: true,
            ip_allowlist: AddressList::default(),
            // The RAVE seed's `max_request_size`; a Mattermost form is a few KiB.
            max_body: 1024 * 1024,
            request_timeout: 30,
        }
    }
}

/// How many requests are welcome; the section `[rate_limit]`. Zero means no limit.
#[derive(Debug, Clone)]
pub struct RateLimitConfig {
    /// Per person on chat and on changes through `/api/v1`.
    pub per_minute: u32,
    /// How many of these at once.
    pub burst: u32,
    /// Per chat channel, everybody in it together.
    pub channel_per_minute: u32,
    /// Per client address and endpoint on the seed's mutating endpoints.
    pub address_per_minute: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            per_minute: 30,
            burst: 5,
            channel_per_minute: 120,
            address_per_minute: 10,
        }
    }
}
