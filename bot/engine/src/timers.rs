//! Deadlines of runs. They are derived from the journal, so this wheel can be lost and rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rave_domain::ids::RunId;
use rave_domain::run::{Run, Timer};
use rave_domain::time::{Timestamp, between};
use tokio::sync::Notify;

/// The longest sleep: a clock that jumps is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// All armed deadlines.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    armed: Mutex<Armed>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Armed {
    by_time: BTreeSet<(Timestamp, RunId, Timer)>,
    by_run: BTreeMap<RunId, Vec<(Timestamp, Timer)>>,
}

impl Timers {
    fn with<T>(&self, act: impl FnOnce(&mut Armed) -> T) -> T {
        act(&mut self.armed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces a run's deadlines by those of its present state.
    pub(crate) fn arm(&self, run: &Run) {
        let timers = run.timers();
        let changed = self.with(|armed| {
            let old = armed.by_run.remove(&run.id).unwrap_or_default();
            for (at, timer) in &old {
                armed.by_time.remove(&(*at, run.id.clone(), *timer));
            }
            for (at, timer) in &timers {
                armed.by_time.insert((*at, run.id.clone(), *timer));
            }
            let changed = old != timers;
            if !timers.is_empty() {
                armed.by_run.insert(run.id.clone(), timers);
            }
            changed
        });
        if changed {
            self.wake.notify_one();
        }
    }

    /// Forgets a run's deadlines.
    pub(crate) fn disarm(&self, run: &RunId) {
        self.with(|armed| {
            for (at, timer) in armed.by_run.remove(run).unwrap_or_default() {
                armed.by_time.remove(&(at, run.clone(), timer));
            }
        });
    }

    /// Arms a run's deadlines again after one that was taken could not be settled.
    pub(crate) fn arm_again(&self, run: &RunId) {
        self.with(|armed| {
            for (at, timer) in armed.by_run.get(run).into_iter().flatten() {
                armed.by_time.insert((*at, run.clone(), *timer));
            }
        });
        self.wake.notify_one();
    }

    /// Takes the deadlines that have passed. They stay armed in their runs until an event settles
    /// them, so one that is lost here comes back when its run is next armed.
    pub(crate) fn take_due(&self, now: Timestamp) -> Vec<(RunId, Timer)> {
        self.with(|armed| {
            let mut due = Vec::new();
            while let Some((at, run, timer)) = armed.by_time.first().cloned() {
                if at > now {
                    break;
                }
                armed.by_time.pop_first();
                due.push((run, timer));
            }
            due
        })
    }

    /// Looks again at once: the clock moved, or a deadline was armed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sleeps until the next deadline may have passed.
    pub(crate) async fn sleep(&self, now: Timestamp) {
        let next = self.with(|armed| armed.by_time.first().map(|(at, _, _)| *at));
        match next {
            None => self.wake.notified().await,
            Some(at) => {
                let wait = between(now, at).min(LONGEST_SLEEP);
                let _ = tokio::time::timeout(wait, self.wake.notified()).await;
            }
        }
    }
}
