//! What a driver is told to do wrong, and gates that hold it in the middle of an effect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ErrorCode;
use rave_domain::ports::driver::DriverError;
use secrecy::SecretString;
use tokio::sync::watch;

/// How an effect goes wrong.
#[derive(Debug, Clone)]
pub enum Failing {
    /// The target says no; nothing is done.
    Rejected(&'static str),
    /// The effect is made, and then the target says no.
    RejectedAfter(&'static str),
    /// It may work later; nothing is done.
    Transient(&'static str),
    /// The backend does not answer; nothing is done. Counts for the breaker.
    Unavailable,
    /// The effect is made and the answer is lost.
    LostAfter,
    /// The effect is not made, and nobody can tell.
    LostBefore,
    /// The driver has a bug.
    Panics,
}

impl Failing {
    /// The error; `None` for a panic.
    pub(crate) fn error(&self) -> Option<DriverError> {
        Some(match self {
            Self::Rejected(why) | Self::RejectedAfter(why) => DriverError::Rejected {
                message: (*why).to_owned(),
                code: ErrorCode::CommandFailed,
            },
            Self::Transient(why) => DriverError::Transient {
                message: (*why).to_owned(),
                code: ErrorCode::CommandFailed,
            },
            Self::Unavailable => DriverError::Transient {
                message: "the stacks do not answer".to_owned(),
                code: ErrorCode::DriverUnavailable,
            },
            Self::LostAfter | Self::LostBefore => DriverError::OutcomeUnknown {
                message: "the connection broke".to_owned(),
            },
            Self::Panics => return None,
        })
    }

    /// Whether the world has changed all the same.
    pub(crate) fn takes_place(&self) -> bool {
        matches!(self, Self::LostAfter | Self::RejectedAfter(_))
    }
}

/// A call that a driver may never answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// What would change.
    Plan,
    /// What the undo needs.
    Prepare,
    /// The effect.
    Apply,
    /// Whether an effect took place.
    Inspect,
    /// Stop an effect.
    Cancel,
    /// End what is left of an effect.
    EndLeftovers,
    /// How the driver is.
    Health,
}

/// Holds an effect before it is made.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: Arc<watch::Sender<bool>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            reached: Arc::new(watch::Sender::new(false)),
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Waits until the effect stands at the gate.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        tokio::time::timeout(
            std::time::Duration::from_secs(20),
            reached.wait_for(|yes| *yes),
        )
        .await
        .expect("nothing came to the gate")
        .unwrap();
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        // The sender lives as long as the gate.
        let _ = open.wait_for(|yes| *yes).await;
    }
}

/// Makes output of an effect's secrets, in the chunks in which it arrives.
pub(crate) type Output = Arc<dyn Fn(&BTreeMap<String, SecretString>) -> Vec<Vec<u8>> + Send + Sync>;

/// What is planned for each intent; undos stand under `undo of <intent>`.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) failures: BTreeMap<String, VecDeque<Failing>>,
    pub(crate) gates: BTreeMap<String, VecDeque<Gate>>,
    pub(crate) outputs: BTreeMap<String, Output>,
    /// The time between two chunks of output.
    pub(crate) paces: BTreeMap<String, Duration>,
    pub(crate) unsure: bool,
    pub(crate) down: bool,
    /// Calls that are never answered.
    pub(crate) silent: BTreeSet<Call>,
}

impl Script {
    pub(crate) fn failure(&mut self, title: &str) -> Option<Failing> {
        self.failures.get_mut(title)?.pop_front()
    }

    pub(crate) fn gate(&mut self, title: &str) -> Option<Gate> {
        self.gates.get_mut(title)?.pop_front()
    }
}
