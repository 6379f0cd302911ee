//! What a driver in the binary under test and the witness in the test's process say to each other:
//! one call a connection, a line of JSON each way.

use rave_domain::plan::Class;
use rave_domain::{Attempt, EffectKey, Epoch};
use serde::{Deserialize, Serialize};

/// What the driver is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    /// Make an effect.
    Make(Wanted),
    /// Look at the value of a stack.
    Look { stack: String },
    /// Look whether an effect took place.
    Inspect { key: EffectKey },
    /// Stop an effect, and do not come back before it has.
    Stop { key: EffectKey },
}

/// An effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// `roll_web`, `undo of roll_web`.
    pub(crate) title: String,
    pub(crate) class: Class,
    pub(crate) stack: String,
    pub(crate) key: EffectKey,
    pub(crate) attempt: Attempt,
    pub(crate) epoch: Epoch,
    /// What the stack is set to.
    pub(crate) value: Option<i64>,
    /// Whether what its undo needs must be on record.
    pub(crate) prepared: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Done,
    Value(i64),
    Happened,
    DidNot,
    Rejected(String),
    Transient(String),
    Lost(String),
}
