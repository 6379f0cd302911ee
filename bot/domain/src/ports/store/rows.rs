//! What the store keeps, row by row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{
    Attempt, Digest, EffectKey, Epoch, IntentName, LockKey, PersonId, RequestId, RunId, StepId,
};
use crate::people::{Account, Surface};
use crate::plan::Class;
use crate::ports::courier::Parcel;
use crate::ports::driver::ChildGroup;
use crate::ports::surface::ReplyTo;
use crate::request::Change;
use crate::run::{Run, RunStatus};
use crate::time::Timestamp;

/// The key of an inbox row: the vendor's event id on its surface, or an API caller's
/// `Idempotency-Key` under the caller's account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxKey {
    /// Where it came from.
    pub surface: Surface,
    /// Whose key it is: empty for chat vendors, the account for API callers.
    pub scope: String,
    /// The id.
    pub id: String,
}

/// A request as it is recorded before it is acknowledged. Holds the parsed request, never a token
/// or a signature, and secrets only by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// What it is deduplicated by.
    pub key: InboxKey,
    /// Its own id.
    pub request: RequestId,
    /// When it came.
    pub received_at: Timestamp,
    /// Who sent it.
    pub account: Account,
    /// Who that is.
    pub person: PersonId,
    /// How strongly the surface proves it.
    pub strength: crate::Strength,
    /// A digest of the whole body, to tell a repeat from a reused key.
    pub body: Digest,
    /// What is asked.
    pub change: Change,
    /// Where later messages go.
    pub reply_to: Option<ReplyTo>,
    /// The run that a `run` request will have, so that a repeat finds the same one.
    pub run: Option<RunId>,
    /// The recorded answer, once there is one.
    pub answer: Option<serde_json::Value>,
}

/// What came of recording a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It is new and on disk.
    New,
    /// It has been here before; this is the row of the first time.
    Duplicate(Box<InboxRow>),
}

/// A reference to output in a chunk file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// SHA-256 of the content, and the file's name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A run as lists show it: derived from its events, kept beside them for queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Which.
    pub id: RunId,
    /// Where it is.
    pub status: RunStatus,
    /// Intents asked for.
    pub intents: Vec<IntentName>,
    /// Who asked.
    pub person: PersonId,
    /// From where.
    pub surface: Surface,
    /// What people approve.
    pub digest: Digest,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it came into its state; the engine knows better while it works on the run.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl From<&Run> for RunRow {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            status: run.status,
            intents: run.plan.requested.clone(),
            person: run.origin.person.clone(),
            surface: run.origin.surface,
            digest: run.plan.digest,
            created_at: run.created_at,
            updated_at: run.updated_at,
            ended_at: run.ended_at,
        }
    }
}

/// One effect in the ledger: written before it, closed after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The try.
    pub attempt: Attempt,
    /// The executor's epoch.
    pub epoch: Epoch,
    /// The effect's key.
    pub key: EffectKey,
    /// How it recovers.
    pub class: Class,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// The child process group, once there is one.
    pub child: Option<ChildGroup>,
}

/// A held or once held lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// Which.
    pub key: LockKey,
    /// Its latest epoch; never falls.
    pub epoch: Epoch,
    /// Who holds it.
    pub holder: Option<RunId>,
}

/// A run in the lock queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWait {
    /// Its place.
    pub ticket: u64,
    /// Who.
    pub run: RunId,
    /// For what.
    pub keys: BTreeSet<LockKey>,
}

/// Something to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its number, from 1; 0 before it is written.
    pub id: u64,
    /// Which courier takes it.
    pub courier: String,
    /// Rows with the same lane are delivered one after the other, in order.
    pub lane: String,
    /// The content.
    pub parcel: Parcel,
    /// The run it is about.
    pub run: Option<RunId>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Not before this time.
    pub due_at: Timestamp,
    /// Of no use after this time.
    pub expires_at: Option<Timestamp>,
    /// Failed tries so far.
    pub attempts: u32,
}

/// The longest that a row waits for its next try, whatever a vendor says. A row that is due later
/// than that was written before the clock was set back, and is due now.
pub const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_hours(1);

/// How an outbox row left the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// It never will.
    Undeliverable,
    /// A later row made it pointless.
    Superseded,
}

/// A person's second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotpRow {
    /// Its secret as ciphertext.
    pub sealed: Vec<u8>,
    /// The last time step that a code was taken of; it and those before are spent.
    pub last_step: u64,
}

/// A hold on all runs in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// `*`, an intent name, or a target.
    pub scope: String,
    /// Who.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}
