//! Rate limits: per client address and endpoint on the seed's mutating endpoints, per person on
//! chat and on changes through `/api/v1`.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rave_domain::{Account, PersonId, Surface};

use crate::config::RateLimitConfig;

/// How often counters of those who went quiet are dropped.
pub(crate) const SWEEP: Duration = Duration::from_secs(60);

/// All limiters. Counts live in memory: a restart forgives.
pub(crate) struct Limits {
    addresses: Option<DefaultKeyedRateLimiter<(&'static str, Option<IpAddr>)>>,
    people: Option<DefaultKeyedRateLimiter<PersonId>>,
    /// Accounts of nobody, which may only say who they are.
    strangers: Option<DefaultKeyedRateLimiter<Account>>,
    channels: Option<DefaultKeyedRateLimiter<(Surface, String)>>,
    clock: DefaultClock,
    config: RateLimitConfig,
}

/// Too many; when the next one is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) wait: Duration,
}

impl Limits {
    /// Zero means no limit.
    pub(crate) fn new(config: &RateLimitConfig) -> Self {
        let quota = |per_minute: u32, burst: u32| {
            let quota = Quota::per_minute(NonZeroU32::new(per_minute)?);
            Some(NonZeroU32::new(burst).map_or(quota, |burst| quota.allow_burst(burst)))
        };
        Self {
            addresses: quota(config.address_per_minute, 0).map(RateLimiter::keyed),
            people: quota(config.per_minute, config.burst).map(RateLimiter::keyed),
            strangers: quota(config.per_minute, config.burst).map(RateLimiter::keyed),
            channels: quota(config.channel_per_minute, 0).map(RateLimiter::keyed),
            clock: DefaultClock::default(),
            config: config.clone(),
        }
    }

    /// Counts a request from an address to an endpoint.
    pub(crate) fn address(
        &self,
        endpoint: &'static str,
        address: Option<IpAddr>,
    ) -> Result<(), TooMany> {
        self.count(self.addresses.as_ref(), &(endpoint, address))
    }

    /// Counts a request of a person.
    pub(crate) fn person(&self, person: &PersonId) -> Result<(), TooMany> {
        self.count(self.people.as_ref(), person)
    }

    /// Counts a try of an account that belongs to nobody, like those of a person.
    pub(crate) fn stranger(&self, account: &Account) -> Result<(), TooMany> {
        self.count(self.strangers.as_ref(), account)
    }

    /// Counts a request in a chat channel; a vendor that does not say where is not limited by it.
    pub(crate) fn channel(&self, surface: Surface, channel: &str) -> Result<(), TooMany> {
        let limiter = self.channels.as_ref().filter(|_| !channel.is_empty());
        self.count(limiter, &(surface, channel.to_owned()))
    }

    fn count<K: Clone + Eq + Hash>(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<K>>,
        key: &K,
    ) -> Result<(), TooMany> {
        let Some(limiter) = limiter else {
            return Ok(());
        };
        limiter.check_key(key).map_err(|until| TooMany {
            wait: until.wait_time_from(self.clock.now()),
        })
    }

    /// `10/minute`, as `/status` of the seed has it.
    pub(crate) fn address_phrase(&self) -> String {
        format!("{}/minute", self.config.address_per_minute)
    }

    /// The seed's sentence.
    pub(crate) fn address_refusal(&self) -> String {
        format!(
            "Rate limit exceeded: {} per 1 minute",
            self.config.address_per_minute
        )
    }

    pub(crate) fn person_refusal(&self) -> String {
        format!(
            "Rate limit exceeded: {} per minute, {} at once",
            self.config.per_minute, self.config.burst
        )
    }

    pub(crate) fn channel_refusal(&self) -> String {
        format!(
            "Rate limit of this channel exceeded: {} per minute",
            self.config.channel_per_minute
        )
    }

    /// Drops counters that are full again anyway.
    pub(crate) fn sweep(&self) {
        sweep(self.addresses.as_ref());
        sweep(self.people.as_ref());
        sweep(self.strangers.as_ref());
        sweep(self.channels.as_ref());
    }
}

fn sweep<K: Clone + Eq + Hash>(limiter: Option<&DefaultKeyedRateLimiter<K>>) {
    if let Some(limiter) = limiter {
        limiter.retain_recent();
        limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(address_per_minute: u32, per_minute: u32, burst: u32) -> Limits {
        Limits::new(&RateLimitConfig {
            per_minute,
            burst,
            channel_per_minute: 6,
            address_per_minute,
        })
    }

    #[test]
    fn each_address_has_its_own_count_per_endpoint() {
        let limits = limits(10, 30, 5);
        let one: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        for _ in 0..10 {
            assert_eq!(limits.address("run", one), Ok(()));
        }
        let wait = limits.address("run", one).unwrap_err().wait;
        assert!(
            wait > Duration::from_secs(5) && wait <= Duration::from_secs(6),
            "{wait:?}"
        );
        assert_eq!(limits.address("orchestrate", one), Ok(()));
        assert_eq!(limits.address("run", None), Ok(()));
        assert_eq!(
            limits.address_refusal(),
            "Rate limit exceeded: 10 per 1 minute"
        );
    }

    #[test]
    fn a_channel_has_one_count_for_everybody_in_it() {
        let limits = limits(0, 0, 0);
        let asked = |surface, channel| limits.channel(surface, channel).is_ok();
        let taken = (0..20).filter(|_| asked(Surface::Slack, "C1")).count();
        assert_eq!(taken, 6);
        assert!(asked(Surface::Slack, "C2"));
        assert!(asked(Surface::Discord, "C1"));
        assert!((0..20).all(|_| asked(Surface::Slack, "")));
    }

    #[test]
    fn people_have_a_burst_and_zero_means_no_limit() {
        let ann: PersonId = "ann".parse().unwrap();
        let some = limits(0, 30, 5);
        assert_eq!((0..20).filter(|_| some.person(&ann).is_ok()).count(), 5);
        assert_eq!(
            (0..20)
                .filter(|_| some.address("run", None).is_ok())
                .count(),
            20
        );
        some.sweep();
        assert!(some.person(&ann).is_err(), "a sweep forgives nobody");
        let none = limits(10, 0, 5);
        assert_eq!((0..20).filter(|_| none.person(&ann).is_ok()).count(), 20);
    }
}
