//! Time and identity as arguments.

use crate::ids::{RequestId, RunId};

/// An instant in UTC. Clocks give whole milliseconds so that a stored time equals the live one.
pub type Timestamp = jiff::Timestamp;

/// Where the present comes from. The binary has the system's; tests turn theirs by hand.
pub trait Clock: Send + Sync {
    /// Now, cut to whole milliseconds.
    fn now(&self) -> Timestamp;
}

/// Where new ids come from. Ids must be unique and sort by time.
pub trait IdGen: Send + Sync {
    /// A new run id.
    fn run_id(&self) -> RunId;
    /// A new request id.
    fn request_id(&self) -> RequestId;
}

/// `at + by`, saturating at the end of time instead of failing.
#[must_use]
pub fn after(at: Timestamp, by: std::time::Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `at - by`, saturating at the beginning of time instead of failing.
#[must_use]
pub fn before(at: Timestamp, by: std::time::Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_sub(by).ok())
        .unwrap_or(Timestamp::MIN)
}

/// The time from `earlier` to `later`, zero when the clock went backwards.
#[must_use]
pub fn between(earlier: Timestamp, later: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}
