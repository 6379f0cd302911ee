//! The driver port: how actions reach stacks, VMs, tenants and gateways.
//!
//! A driver is told what to do as an [`Operation`] and answers with facts. It takes argument
//! vectors or typed API calls only; there is no shell anywhere. It runs child processes in process
//! groups of their own, announces them through [`EffectSink::child_started`], and marks them
//! with the environment variable [`EFFECT_KEY_ENV`], so that recovery can end what a killed Rave
//! left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ids::{ActionName, Attempt, DriverName, EffectKey, Epoch};
use crate::plan::{Class, Operation, Preview};
use crate::time::Timestamp;
use crate::value::Values;

/// Every child process carries its effect key in this environment variable; descendants inherit
/// it. Recovery looks for it in `/proc/*/environ`, which covers the instant between the start of a
/// child and the row that names its group.
pub const EFFECT_KEY_ENV: &str = "RAVE_EFFECT_KEY";

/// What a field of an action holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Text.
    Text,
    /// A whole number within bounds, both inclusive.
    Int {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// Yes or no.
    Bool,
    /// A list of text values.
    List,
}

/// A field that an action takes from its intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// Its key in the file.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether the action cannot do without.
    pub required: bool,
}

/// One action that a driver offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// Its name in intent files.
    pub name: ActionName,
    /// The driver that performs it.
    pub driver: DriverName,
    /// `stack`, `vm`, …: the kind of its target.
    pub target_kind: String,
    /// The field that names the target.
    pub target_field: String,
    /// The fields it takes.
    pub fields: Vec<FieldSpec>,
    /// One sentence for help.
    pub summary: String,
}

/// All actions of all drivers, by name.
pub type Actions = BTreeMap<ActionName, ActionSpec>;

/// What an action with these fields is like. It may depend on the fields: a backup of volumes can
/// be repeated, a dump of a VM cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nature {
    /// How it recovers.
    pub class: Class,
    /// The way back that the action brings: what it would do, and how that recovers.
    pub undo: Option<(String, Class)>,
}

/// Who executes, with what, and where facts go while it lasts.
#[derive(Clone)]
pub struct EffectContext {
    /// The same for reruns of one effect.
    pub key: EffectKey,
    /// Which try this is.
    pub attempt: Attempt,
    /// The executor's epoch; targets with an agent of ours refuse lower ones.
    pub epoch: Epoch,
    /// When the step was first claimed. Names derived from time use this, so that a rerun finds
    /// what the first try made.
    pub first_claimed: Timestamp,
    /// Values of secret fields, opened for this call only.
    pub secrets: BTreeMap<String, secrecy::SecretString>,
    /// Where output and facts go.
    pub sink: Arc<dyn EffectSink>,
}

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output, and progress of API calls.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A child process group, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildGroup {
    /// The process group, which is its leader's process id.
    pub pgid: i32,
    /// The leader's start time in clock ticks since boot (`/proc/<pid>/stat`, field 22), so that
    /// a reused process id is not taken for it.
    pub leader_start: u64,
    /// `/proc/sys/kernel/random/boot_id` at that time.
    pub boot_id: String,
}

/// What a driver tells while it works.
#[async_trait]
pub trait EffectSink: Send + Sync {
    /// Output bytes as they arrive; bounded, stripped and redacted on the other side.
    fn output(&self, stream: OutputStream, bytes: &[u8]);

    /// How far it is: 0 to 100 and a phrase, where that is known.
    fn progress(&self, percent: u8, phrase: &str);

    /// A child process group has been started; returns once the ledger has it.
    async fn child_started(&self, child: ChildGroup);
}

/// What a succeeded effect left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Facts worth keeping, such as image digests; small.
    pub facts: BTreeMap<String, String>,
}

/// Why an effect did not succeed. There is no fourth case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The target or the program said no; trying again as it stands will not help.
    #[error("{message}")]
    Rejected {
        /// For people, one sentence.
        message: String,
        /// The code for clients: `command_failed`, `target_missing`, …
        code: crate::ErrorCode,
    },
    /// The effect did not take place, or can be repeated, and the cause may pass.
    #[error("{message}")]
    Transient {
        /// For people, one sentence.
        message: String,
        /// The code for clients.
        code: crate::ErrorCode,
    },
    /// The call was made and its outcome is lost.
    #[error("{message}")]
    OutcomeUnknown {
        /// For people, one sentence.
        message: String,
    },
}

/// What a look at the world says about an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// It took place.
    Happened(Applied),
    /// It did not.
    DidNot,
    /// It cannot be told.
    Unsure {
        /// Why, for people.
        why: String,
    },
}

/// An adapter that performs actions. Implementations are cheap to share and hold no run state
/// beyond the calls in flight.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Its name in plans, the ledger and metrics.
    fn name(&self) -> &DriverName;

    /// The actions it offers. Constant for the process.
    fn actions(&self) -> Vec<ActionSpec>;

    /// What an action with these fields is like. Pure.
    ///
    /// # Errors
    /// `Rejected` when the fields contradict each other; the message names the field.
    fn nature(&self, action: &ActionName, fields: &Values) -> Result<Nature, DriverError>;

    /// What would change. Read-only, bounded to seconds, and never fails because the target cannot
    /// be observed: that is a warning in the preview.
    ///
    /// # Errors
    /// `Rejected` when the fields can never work.
    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError>;

    /// Reads what the action's own undo will need. Called before the effect; the answer is durable
    /// before `apply` is. Read-only.
    ///
    /// # Errors
    /// As for `apply`, with no effect made.
    async fn prepare(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError>;

    /// Does it. Returns only when it has ended; honours `cancel`.
    ///
    /// # Errors
    /// See [`DriverError`]. A lost outcome is `OutcomeUnknown`, never a guess.
    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError>;

    /// Undoes what `apply` of the operation did, with what `prepare` recorded.
    ///
    /// # Errors
    /// As for `apply`.
    async fn undo(
        &self,
        operation: &Operation,
        prepared: &serde_json::Value,
        context: &EffectContext,
    ) -> Result<Applied, DriverError>;

    /// Looks whether an effect took place. Only meaningful for `probe` and `keyed` actions.
    async fn inspect(&self, operation: &Operation, key: &EffectKey) -> Inspection;

    /// Stops a call in flight: gracefully, then by force. Returns once it has stopped or cannot be
    /// stopped; the `apply` that it interrupts returns on its own. A key that is not in flight is
    /// fine.
    async fn cancel(&self, key: &EffectKey);

    /// Ends what is left of a child process group of an earlier process, together with whatever
    /// carries the effect key in its environment, and waits for it. True when nothing is left.
    async fn end_leftovers(&self, key: &EffectKey, child: Option<&ChildGroup>) -> bool;

    /// Whether the backend answers now, for `/readyz` and for closing the breaker; the error says
    /// what is wrong and what to do.
    ///
    /// # Errors
    /// `Transient` with code `driver_unavailable`.
    async fn health(&self) -> Result<(), DriverError>;
}
