//! Time that only moves when a test moves it, and ids that count.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rave_domain::time::after;
use rave_domain::{Clock, IdGen, RequestId, RunId, Timestamp};

/// A clock that is turned by hand. It starts on a Monday morning.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Mutex::new("2026-03-02T09:00:00Z".parse().unwrap()))
    }
}

impl TestClock {
    /// Turns the clock. Whoever waits for a time must be woken after that.
    pub fn turn(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = after(*now, by);
    }

    /// Turns the clock back, as somebody does who finds it wrong.
    pub fn turn_back(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_sub(by).unwrap();
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Runs are `run_0001`, `run_0002`, … for the life of a world, restarts included.
#[derive(Debug, Default)]
pub struct CountingIds {
    runs: AtomicU32,
    requests: AtomicU32,
}

impl IdGen for CountingIds {
    fn run_id(&self) -> RunId {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        RunId::new(format!("run_{number:04}")).unwrap()
    }

    fn request_id(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId::new(format!("req_{number:06}")).unwrap()
    }
}
