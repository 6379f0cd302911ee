//! The lock table of the live process, mirrored in the store by the commits of the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rave_domain::ids::{Epoch, LockKey, RunId};
use rave_domain::ports::store::{LockRow, LockWait};
use rave_domain::run::{LockTable, LockView, Run};

/// What came of asking for locks.
pub(crate) struct Asked {
    /// The locks with their epochs, when all are held now.
    pub(crate) granted: Option<BTreeMap<LockKey, Epoch>>,
    /// The run's place, to be kept or taken back.
    pub(crate) queued: Queued,
}

/// A run's place in the queue.
pub(crate) struct Queued {
    ticket: u64,
    keys: BTreeSet<LockKey>,
    /// Whether it stood there before this turn.
    pub(crate) known: bool,
}

impl Queued {
    /// The row that keeps the place.
    pub(crate) fn wait(&self, run: &RunId) -> LockWait {
        LockWait {
            ticket: self.ticket,
            run: run.clone(),
            keys: self.keys.clone(),
        }
    }
}

/// The lock table. Its mutex is never held over an await.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    table: Mutex<LockTable>,
}

impl Locks {
    fn with<T>(&self, act: impl FnOnce(&mut LockTable) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn restore(&self, rows: Vec<LockRow>, waits: Vec<LockWait>) {
        self.with(|table| {
            for row in rows {
                table.restore(row.key, row.epoch, row.holder);
            }
            for wait in waits {
                table.enqueue(&wait.run, wait.keys, Some(wait.ticket));
            }
        });
    }

    /// Queues a run and grants it its locks if it is its turn.
    pub(crate) fn acquire(&self, run: &Run, keys: &[LockKey]) -> Asked {
        let keys: BTreeSet<LockKey> = keys.iter().cloned().collect();
        self.with(|table| {
            let known = table.ticket(&run.id).is_some();
            let ticket = table.enqueue(&run.id, keys.clone(), None);
            Asked {
                granted: table.grant(&run.id),
                queued: Queued {
                    ticket,
                    keys,
                    known,
                },
            }
        })
    }

    /// Takes back what a turn that was not written had changed: a run that waited before keeps its
    /// place, a new one is forgotten and asks again.
    /// Returns the runs whose turn it is now.
    pub(crate) fn take_back(&self, run: &RunId, queued: Queued) -> Vec<RunId> {
        self.with(|table| {
            let freed = table.release(run);
            if queued.known {
                table.enqueue(run, queued.keys, Some(queued.ticket));
            }
            table.ready_on(&freed)
        })
    }

    /// Gives a run's locks back and returns the runs whose turn it is now.
    pub(crate) fn release(&self, run: &RunId) -> Vec<RunId> {
        self.with(|table| {
            let freed = table.release(run);
            table.ready_on(&freed)
        })
    }

    /// Takes a run out of the queue and returns the runs whose turn it is now.
    pub(crate) fn leave_queue(&self, run: &RunId) -> Vec<RunId> {
        self.with(|table| {
            let left = table.leave_queue(run);
            table.ready_on(&left)
        })
    }

    /// The epoch that a lock will have once it is broken.
    pub(crate) fn epoch_after_break(&self, key: &LockKey) -> Epoch {
        self.with(|table| {
            let held = table.view().into_iter().find(|lock| lock.key == *key);
            Epoch(held.map_or(0, |lock| lock.epoch.0) + 1)
        })
    }

    /// Takes a lock from its holder, if that still is the one whose loss is on record.
    pub(crate) fn break_lock(&self, key: &LockKey, holder: &RunId) {
        self.with(|table| {
            if table.holder(key) == Some(holder) {
                table.break_lock(key);
            }
        });
    }

    pub(crate) fn ready(&self) -> Vec<RunId> {
        self.with(|table| table.ready())
    }

    pub(crate) fn holder(&self, key: &LockKey) -> Option<RunId> {
        self.with(|table| table.holder(key).cloned())
    }

    pub(crate) fn is_queued(&self, run: &RunId) -> bool {
        self.with(|table| table.ticket(run).is_some())
    }

    pub(crate) fn position(&self, run: &RunId) -> Option<usize> {
        self.with(|table| table.position(run))
    }

    pub(crate) fn view(&self) -> Vec<LockView> {
        self.with(|table| table.view())
    }
}
