//! What Rave may still ask of Discord.
//!
//! An address that collects 10,000 refused calls (401, 403, 429) in ten minutes is shut out
//! ("Invalid Request Limit"), for everything that runs behind it. Rave stops long before.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Refused;

/// Refused calls that are counted together.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// A tenth of what Discord bears.
const MOST_REFUSED: usize = 1000;

/// Refused calls of the last ten minutes, and how long everything waits.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    refused: VecDeque<Instant>,
    /// A global limit is over then.
    held_until: Option<Instant>,
}

impl Budget {
    /// Whether a call may be made now.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Refused> {
        let mut state = self.state();
        if let Some(until) = state.held_until.filter(|until| *until > now) {
            return Err(Refused::Later {
                why: "Discord limits all calls of this bot".to_owned(),
                after: Some(until - now),
            });
        }
        while state
            .refused
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WINDOW)
        {
            state.refused.pop_front();
        }
        match state.refused.front() {
            Some(oldest) if state.refused.len() >= MOST_REFUSED => Err(Refused::Later {
                why: format!(
                    "Discord refused {MOST_REFUSED} calls in ten minutes; Rave makes none until \
                     that is over, so that Discord does not shut this address out"
                ),
                after: Some((*oldest + WINDOW) - now),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a refused call.
    pub(super) fn spend(&self, now: Instant) {
        self.state().refused.push_back(now);
    }

    /// Holds everything back.
    pub(super) fn hold(&self, now: Instant, wait: Duration) {
        let until = now + wait.min(WINDOW);
        let mut state = self.state();
        state.held_until = state.held_until.max(Some(until));
    }

    /// What is in there is valid after each statement, so a panic elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stop_long_before_discord_shuts_the_address_out() {
        let budget = Budget::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..MOST_REFUSED {
            assert_eq!(budget.admit(start), Ok(()));
            budget.spend(start);
        }
        let Err(Refused::Later { why, after }) = budget.admit(later(60)) else {
            panic!("admitted");
        };
        assert!(why.contains("1000 calls"), "{why}");
        assert_eq!(after, Some(Duration::from_secs(540)));
        assert_eq!(budget.admit(later(600)), Ok(()));
        assert!(budget.state().refused.is_empty());
    }

    #[test]
    fn a_global_limit_holds_everything() {
        let budget = Budget::default();
        let start = Instant::now();
        budget.hold(start, Duration::from_secs(5));
        budget.hold(start, Duration::from_secs(2));
        assert!(budget.admit(start + Duration::from_secs(4)).is_err());
        assert_eq!(budget.admit(start + Duration::from_secs(5)), Ok(()));
    }
}
