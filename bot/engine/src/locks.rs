//! The lock table of the live process, mirrored in the store by the commits of the runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rave_domain::ids::{Epoch, LockKey, RunId};
use rave_domain::ports::store::{LockRow, LockWait};
use rave_domain::run::{LockTable, LockView, Run};

/// What came of asking for locks.
pub(crate) enum Acquired {
    /// All are held now.
    Granted(BTreeMap<LockKey, Epoch>),
    /// The run waits; the row to keep if it did not wait before.
    Waiting(Option<LockWait>),
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
    pub(crate) fn acquire(&self, run: &Run, keys: &[LockKey]) -> Acquired {
        self.with(|table| {
            let known = table.ticket(&run.id);
            let ticket = table.enqueue(&run.id, keys.iter().cloned().collect(), None);
            if let Some(epochs) = table.grant(&run.id) {
                return Acquired::Granted(epochs);
            }
            let wait = LockWait {
                ticket,
                run: run.id.clone(),
                keys: keys.iter().cloned().collect(),
            };
            Acquired::Waiting(known.is_none().then_some(wait))
        })
    }

    /// Takes back a grant whose commit failed: the run waits again, first in line.
    pub(crate) fn give_back(&self, run: &RunId) {
        self.with(|table| table.release(run));
    }

    /// Gives a run's locks back and returns the runs whose turn it is now.
    pub(crate) fn release(&self, run: &RunId) -> Vec<RunId> {
        self.with(|table| {
            table.release(run);
            table.ready()
        })
    }

    /// Raises a held lock's epoch and takes it from its holder.
    pub(crate) fn break_lock(&self, key: &LockKey) -> Option<(RunId, Epoch)> {
        self.with(|table| table.break_lock(key))
    }

    /// Takes back a break whose commit failed.
    pub(crate) fn restore_holder(&self, key: &LockKey, epoch: Epoch, run: &RunId) {
        self.with(|table| table.restore(key.clone(), epoch, Some(run.clone())));
    }

    pub(crate) fn ready(&self) -> Vec<RunId> {
        self.with(|table| table.ready())
    }

    pub(crate) fn holder(&self, key: &LockKey) -> Option<RunId> {
        self.with(|table| table.holder(key).cloned())
    }

    pub(crate) fn position(&self, run: &RunId) -> Option<usize> {
        self.with(|table| table.position(run))
    }

    pub(crate) fn view(&self) -> Vec<LockView> {
        self.with(|table| table.view())
    }
}
