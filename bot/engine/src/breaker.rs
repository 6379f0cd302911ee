//! Drivers that are opened after repeated failure: new steps wait instead of failing one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rave_domain::ids::{DriverName, RunId};
use rave_domain::time::{Timestamp, after};

/// When a driver is opened and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before its health is asked.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

/// All drivers' breakers.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    settings: BreakerSettings,
    state: Mutex<BTreeMap<DriverName, Breaker>>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures_in_a_row: u32,
    open_until: Option<Timestamp>,
    why: String,
    held: BTreeSet<RunId>,
}

impl Breakers {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
        }
    }

    fn with<T>(&self, driver: &DriverName, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(state.entry(driver.clone()).or_default())
    }

    /// Whether steps of a driver must wait; a run that asks is remembered and woken later.
    pub(crate) fn hold(&self, driver: &DriverName, run: &RunId) -> Option<String> {
        self.with(driver, |breaker| {
            breaker.open_until?;
            breaker.held.insert(run.clone());
            Some(format!("{driver} has failed repeatedly: {}", breaker.why))
        })
    }

    /// Notes that a driver answered.
    pub(crate) fn succeeded(&self, driver: &DriverName) {
        self.with(driver, |breaker| breaker.failures_in_a_row = 0);
    }

    /// Notes that a driver's backend failed. Returns the time to ask for its health when this
    /// opened it.
    pub(crate) fn failed(
        &self,
        driver: &DriverName,
        why: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.with(driver, |breaker| {
            breaker.failures_in_a_row += 1;
            if breaker.open_until.is_some() || breaker.failures_in_a_row < self.settings.failures {
                return None;
            }
            let until = after(now, self.settings.open_for);
            breaker.open_until = Some(until);
            why.clone_into(&mut breaker.why);
            Some(until)
        })
    }

    /// How long to wait before asking an open driver's health again.
    pub(crate) fn pause(&self) -> Duration {
        self.settings.open_for
    }

    /// Closes a driver whose health is good again and returns the runs that waited.
    pub(crate) fn close(&self, driver: &DriverName) -> BTreeSet<RunId> {
        self.with(driver, |breaker| std::mem::take(breaker).held)
    }

    /// Open drivers and why, for `/status`.
    pub(crate) fn open(&self) -> Vec<(DriverName, String)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .iter()
            .filter(|(_, breaker)| breaker.open_until.is_some())
            .map(|(driver, breaker)| (driver.clone(), breaker.why.clone()))
            .collect()
    }
}
