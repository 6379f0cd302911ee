//! How long a listener waits before it connects again.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Waits that double, from a second to a minute, until a connection has worked. A part of each is
/// left to chance, so that all that lost the same server do not come back at the same moment.
pub struct Reconnect(ExponentialBackoff);

impl Default for Reconnect {
    fn default() -> Self {
        let waits = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .with_jitter();
        Self(waits.build())
    }
}

impl Reconnect {
    /// The wait before the next try.
    pub fn wait(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }

    /// A connection has worked: the next break begins anew.
    pub fn worked(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_begin_anew() {
        let mut reconnect = Reconnect::default();
        for least in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = reconnect.wait();
            let least = Duration::from_secs(least);
            assert!((least..=2 * least).contains(&wait), "{wait:?} of {least:?}");
        }
        reconnect.worked();
        assert!(reconnect.wait() <= 2 * FIRST);
    }
}
