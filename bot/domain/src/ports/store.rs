//! The store port: the journal and everything that is written with it.
//!
//! One coarse write, [`Store::commit`], takes all that belongs together and returns only when it
//! is on disk; a crash leaves all of it or none. Reads see committed state. Implementations batch
//! commits of different callers (group commit).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditEntry, AuditRow, Severity};
use crate::ids::{
    Attempt, Digest, EffectKey, Epoch, IntentName, LockKey, PersonId, RequestId, RunId, StepId,
};
use crate::people::{Account, Surface};
use crate::plan::Class;
use crate::ports::courier::Parcel;
use crate::ports::driver::ChildGroup;
use crate::ports::surface::ReplyTo;
use crate::request::Change;
use crate::run::{Event, Run, RunStatus};
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

/// One part of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Appends events to a run's journal. `after` is how many it has; anything else is a
    /// [`StoreError::Conflict`] and nothing of the commit is written.
    Events {
        /// The run.
        run: RunId,
        /// Events already there.
        after: u64,
        /// The new ones, in order.
        events: Vec<Event>,
    },
    /// Sets a run's row.
    Run(RunRow),
    /// Opens a ledger row.
    EffectClaimed(LedgerRow),
    /// Names an effect's child process group.
    EffectChild {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// The try.
        attempt: Attempt,
        /// The group.
        child: ChildGroup,
    },
    /// Closes a ledger row.
    EffectEnded {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// The try.
        attempt: Attempt,
        /// When.
        at: Timestamp,
        /// In a word: `succeeded`, `failed`, `stopped`, `unknown`, `recovered`.
        outcome: String,
    },
    /// Sets a lock's row.
    Lock(LockRow),
    /// Puts a run in the lock queue.
    LockWait(LockWait),
    /// Takes a run out of it.
    LockWaitOver(RunId),
    /// Records the answer to a request.
    Answered {
        /// Which request.
        key: InboxKey,
        /// What it was told.
        answer: serde_json::Value,
    },
    /// Something to deliver; its id is given by the store.
    Outbox(OutboxRow),
    /// A delivery failed and is tried again.
    OutboxLater {
        /// Which.
        id: u64,
        /// When.
        due_at: Timestamp,
        /// Tries so far.
        attempts: u32,
        /// Why, without secrets.
        why: String,
    },
    /// A run's live message is where its courier says.
    Shown {
        /// The run.
        run: RunId,
        /// The courier.
        courier: String,
        /// What the courier needs to find it.
        message: serde_json::Value,
    },
    /// A row left the outbox.
    OutboxDone {
        /// Which.
        id: u64,
        /// How.
        delivery: Delivery,
        /// When.
        at: Timestamp,
    },
    /// Appends to the audit chain.
    Audit(AuditEntry),
    /// Keeps a sealed secret for a run.
    Secret {
        /// The run.
        run: RunId,
        /// The parameter.
        name: String,
        /// Ciphertext.
        sealed: Vec<u8>,
    },
    /// Drops a run's secrets.
    SecretsDropped(RunId),
    /// An account is this person's from now on.
    AccountLinked {
        /// The account.
        account: Account,
        /// Whose.
        person: PersonId,
        /// Since when.
        at: Timestamp,
    },
    /// A linked account is nobody's any more.
    AccountUnlinked(Account),
    /// Sets a person's second factor, and which codes of it are spent.
    Totp {
        /// The person.
        person: PersonId,
        /// The factor.
        factor: TotpRow,
    },
    /// A person has no second factor any more.
    TotpGone(PersonId),
    /// Freezes a scope.
    Freeze(Freeze),
    /// Ends a freeze.
    Unfreeze(String),
}

/// Which part of a list to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Give rows after this cursor (older ones, lists are newest first).
    pub cursor: Option<String>,
    /// At most this many, 1 to 200.
    pub limit: u32,
}

/// A part of a list and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Only in these states; empty for all.
    pub statuses: Vec<RunStatus>,
    /// Only of this person.
    pub person: Option<PersonId>,
    /// Only with this intent.
    pub intent: Option<IntentName>,
}

/// Which audit rows to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Only this event.
    pub event: Option<String>,
    /// Only of this person.
    pub person: Option<PersonId>,
    /// Only of this request or run.
    pub correlation: Option<String>,
    /// Only this serious or more.
    pub severity: Option<Severity>,
}

/// How full the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// Rows still to be delivered.
    pub waiting: u64,
    /// Of these, rows that have failed at least once.
    pub failing: u64,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A run's journal is not where the writer thought: somebody else wrote. Nothing was written.
    #[error("run {run} has moved on")]
    Conflict {
        /// Which.
        run: RunId,
    },
    /// The disk or file does not take or give data: full, read-only, gone. Nothing was written.
    #[error("the store cannot be used: {why}")]
    Unavailable {
        /// What the system said.
        why: String,
    },
    /// What is stored cannot be read back.
    #[error("the store holds something unreadable in {table}: {why}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The durable part of Rave.
#[async_trait]
pub trait Store: Send + Sync {
    /// The executor's epoch: raised each time the store is opened for writing.
    fn epoch(&self) -> Epoch;

    /// Records a request, unless its key is there. On disk when it returns.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn receive(&self, row: InboxRow, audit: Vec<AuditEntry>) -> Result<Received, StoreError>;

    /// Looks up a request by its key.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn received(&self, key: &InboxKey) -> Result<Option<InboxRow>, StoreError>;

    /// Writes everything or nothing. On disk when it returns.
    ///
    /// # Errors
    /// `Conflict`, `Unavailable`.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError>;

    /// Requests without an answer, oldest first: what a crash interrupted.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn unanswered(&self) -> Result<Vec<InboxRow>, StoreError>;

    /// All runs that have not ended, by id.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn open_runs(&self) -> Result<Vec<RunId>, StoreError>;

    /// One run's journal; `None` when there is no such run.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when an event is missing or cannot be read back.
    async fn events(&self, run: &RunId) -> Result<Option<Vec<Event>>, StoreError>;

    /// The events of a run's journal after the first `after`, in order, at most `limit`; empty
    /// when there are no more, or no such run.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn events_after(
        &self,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError>;

    /// The journals of some runs, in their order, each as [`Store::events`] would have it: one
    /// that cannot be read back spoils no other.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn journals(
        &self,
        runs: Vec<RunId>,
    ) -> Result<Vec<Result<Option<Vec<Event>>, StoreError>>, StoreError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<RunRow>, StoreError>;

    /// Ledger rows of some runs that have not been closed, in the order of the runs. One that
    /// cannot be read back is `Corrupt` and spoils no other run's.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn open_effects(
        &self,
        runs: Vec<RunId>,
    ) -> Result<Vec<Result<Vec<LedgerRow>, StoreError>>, StoreError>;

    /// All locks ever taken, with their epochs and holders.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn locks(&self) -> Result<Vec<LockRow>, StoreError>;

    /// The lock queue, in order.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn lock_waits(&self) -> Result<Vec<LockWait>, StoreError>;

    /// The first row of each lane that is due, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn outbox_due(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxRow>, StoreError>;

    /// When the next undelivered row is due; `None` when the outbox is empty.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn outbox_next(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Where a run's live message is, as its courier said the last time.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn shown(&self, run: &RunId) -> Result<Option<serde_json::Value>, StoreError>;

    /// How full the outbox is.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError>;

    /// How many rows of a lane have been delivered or are waiting; for addresses that take only
    /// so many messages.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn lane_length(&self, lane: &str) -> Result<u32, StoreError>;

    /// Audit rows, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn audit(&self, filter: &AuditFilter, page: &Page)
    -> Result<Paged<AuditRow>, StoreError>;

    /// Audit rows in chain order after a number, for verification, mirrors and export.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn audit_after(&self, id: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// A run's sealed secrets by parameter.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn secrets(&self, run: &RunId) -> Result<BTreeMap<String, Vec<u8>>, StoreError>;

    /// Accounts that people have linked themselves.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn linked_accounts(&self) -> Result<Vec<(Account, PersonId)>, StoreError>;

    /// A person's second factor.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn totp(&self, person: &PersonId) -> Result<Option<TotpRow>, StoreError>;

    /// Active freezes, by scope.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError>;

    /// Writes output to a chunk file; file and directory are synced when it returns.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_chunk(&self, content: Bytes) -> Result<ChunkRef, StoreError>;

    /// Reads a chunk file; `None` when retention has removed it.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` when the content does not match its name.
    async fn chunk(&self, chunk: &ChunkRef) -> Result<Option<Bytes>, StoreError>;

    /// Whether writing works now.
    ///
    /// # Errors
    /// `Unavailable`, with what is wrong.
    async fn health(&self) -> Result<(), StoreError>;
}
