//! The store in miniature: what is committed, and what waits for the next sync.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rave_domain::ids::{Attempt, Epoch, LockKey, RunId, StepId};
use rave_domain::ports::store::{
    Freeze, InboxKey, InboxRow, LedgerRow, LockRow, LockWait, OutboxRow, Write,
};
use rave_domain::run::{Event, RunStatus};

/// What a caller wants written.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// A request, unless its key is there.
    Receive(Box<InboxRow>),
    /// All of it or nothing.
    Commit(Vec<Write>),
}

/// What a caller is told.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// It is on disk.
    Written,
    /// Its key was there; this is the row of the first time.
    Duplicate(Box<InboxRow>),
    /// The journal is not where the writer thought.
    Conflict,
    /// Nothing of the batch was written.
    Unavailable,
}

/// Names a job to the one who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) epoch: Epoch,
    pub(crate) journals: BTreeMap<RunId, Vec<Event>>,
    pub(crate) rows: BTreeMap<RunId, RunStatus>,
    pub(crate) inbox: BTreeMap<InboxKey, InboxRow>,
    /// Open rows only.
    pub(crate) ledger: BTreeMap<(RunId, StepId, Attempt), LedgerRow>,
    pub(crate) locks: BTreeMap<LockKey, LockRow>,
    pub(crate) waits: BTreeMap<u64, LockWait>,
    /// Undelivered rows only.
    pub(crate) outbox: BTreeMap<u64, OutboxRow>,
    pub(crate) freezes: BTreeMap<String, Freeze>,
    pub(crate) secrets: BTreeSet<RunId>,
    next_outbox: u64,
    next_ticket: u64,
    waiting: VecDeque<(Ticket, Job)>,
}

impl Disk {
    /// Takes a job; nothing of it is on disk before a sync.
    pub(crate) fn submit(&mut self, job: Job) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting.push_back((ticket, job));
        ticket
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the next jobs out of the queue, for a sync.
    pub(crate) fn batch(&mut self, most: usize) -> Vec<(Ticket, Job)> {
        let count = most.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// What was not synced is gone.
    pub(crate) fn lose_unsynced(&mut self) {
        self.waiting.clear();
    }

    /// Commits one job of a batch.
    pub(crate) fn commit(&mut self, job: &Job) -> Done {
        match job {
            Job::Receive(row) => {
                if let Some(first) = self.inbox.get(&row.key) {
                    return Done::Duplicate(Box::new(first.clone()));
                }
                self.inbox.insert(row.key.clone(), (**row).clone());
                Done::Written
            }
            Job::Commit(writes) => {
                let fits = writes.iter().all(|write| {
                    let Write::Events { run, after, .. } = write else {
                        return true;
                    };
                    self.journals.get(run).map_or(0, Vec::len) as u64 == *after
                });
                if !fits {
                    return Done::Conflict;
                }
                for write in writes {
                    self.write(write);
                }
                Done::Written
            }
        }
    }

    fn write(&mut self, write: &Write) {
        match write.clone() {
            Write::Events { run, events, .. } => {
                self.journals.entry(run).or_default().extend(events);
            }
            Write::Run(row) => {
                self.rows.insert(row.id, row.status);
            }
            Write::EffectClaimed(row) => {
                let key = (row.run.clone(), row.step, row.attempt);
                self.ledger.insert(key, row);
            }
            Write::EffectEnded {
                run, step, attempt, ..
            } => {
                self.ledger.remove(&(run, step, attempt));
            }
            Write::Lock(row) => {
                self.locks.insert(row.key.clone(), row);
            }
            Write::LockWait(wait) => {
                self.waits.insert(wait.ticket, wait);
            }
            Write::LockWaitOver(run) => self.waits.retain(|_, wait| wait.run != run),
            Write::Answered { key, answer } => {
                if let Some(row) = self.inbox.get_mut(&key) {
                    row.answer = Some(answer);
                }
            }
            Write::Outbox(mut row) => {
                self.next_outbox += 1;
                row.id = self.next_outbox;
                self.outbox.insert(row.id, row);
            }
            Write::OutboxDone { id, .. } => {
                self.outbox.remove(&id);
            }
            Write::Secret { run, .. } => {
                self.secrets.insert(run);
            }
            Write::SecretsDropped(run) => {
                self.secrets.remove(&run);
            }
            Write::Freeze(freeze) => {
                self.freezes.insert(freeze.scope.clone(), freeze);
            }
            Write::Unfreeze(scope) => {
                self.freezes.remove(&scope);
            }
            // Nobody asks by chat here, no child processes are started, a failed delivery is simply tried again, and audit rows are
            // the engine's records of these very writes.
            Write::Shown { .. }
            | Write::AccountLinked { .. }
            | Write::AccountUnlinked(_)
            | Write::Totp { .. }
            | Write::TotpGone(_)
            | Write::EffectChild { .. }
            | Write::OutboxLater { .. }
            | Write::Audit(_) => {}
        }
    }
}
