//! The store port: the journal and everything that is written with it.
//!
//! One coarse write, [`Store::commit`], takes all that belongs together and returns only when it
//! is on disk; a crash leaves all of it or none. Reads see committed state. Implementations batch
//! commits of different callers (group commit).

mod rows;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::audit::{AuditEntry, AuditRow, Severity};
use crate::ids::{Attempt, Epoch, IntentName, PersonId, RunId, StepId};
use crate::people::Account;
use crate::ports::driver::ChildGroup;
use crate::run::{Event, RunStatus};
use crate::time::Timestamp;

pub use rows::{
    ChunkRef, Delivery, Freeze, InboxKey, InboxRow, LONGEST_WAIT, LedgerRow, LockRow, LockWait,
    OutboxRow, Received, RunRow, TotpRow,
};

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

    /// The first row of each lane that is due, as they come due: at most so many for each courier,
    /// and none of some couriers. What waits behind the first of a lane is passed over.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn outbox_due(
        &self,
        now: Timestamp,
        most: u32,
        except: Vec<String>,
    ) -> Result<Vec<OutboxRow>, StoreError>;

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
