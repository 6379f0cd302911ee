//! Locks between runs: who holds what, who waits, and where in the queue.
//!
//! A run asks for all its locks at once and gets all of them at once, in the order of asking per
//! lock. Tickets are drawn from one sequence, so the order is global: the lowest waiting ticket is
//! first in each of its queues and nothing can wait in a circle. Epochs rise with each grant and
//! each break and never fall.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Epoch, LockKey, RunId};

/// All locks of one journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockTable {
    held: BTreeMap<LockKey, Held>,
    epochs: BTreeMap<LockKey, Epoch>,
    queue: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    run: RunId,
    epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    run: RunId,
    keys: BTreeSet<LockKey>,
}

/// One lock for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockView {
    /// The lock.
    pub key: LockKey,
    /// Who holds it.
    pub holder: Option<RunId>,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Who waits, first in line first.
    pub waiting: Vec<RunId>,
}

impl LockTable {
    /// Takes up a lock's last known epoch, and its holder, from the store.
    pub fn restore(&mut self, key: LockKey, epoch: Epoch, holder: Option<RunId>) {
        if let Some(run) = holder {
            self.held.insert(key.clone(), Held { run, epoch });
        }
        self.epochs.insert(key, epoch);
    }

    /// Queues a run for its locks and gives its ticket. A run that waits already keeps its place;
    /// `ticket` restores one from the store.
    pub fn enqueue(&mut self, run: &RunId, keys: BTreeSet<LockKey>, ticket: Option<u64>) -> u64 {
        if let Some((ticket, _)) = self.queue.iter().find(|(_, waiting)| waiting.run == *run) {
            return *ticket;
        }
        let ticket = ticket.unwrap_or(self.next_ticket);
        self.next_ticket = self.next_ticket.max(ticket + 1);
        let run = run.clone();
        self.queue.insert(ticket, Waiting { run, keys });
        ticket
    }

    /// The waiting runs whose locks are all free and promised to nobody before them.
    #[must_use]
    pub fn ready(&self) -> Vec<RunId> {
        let mut promised: BTreeSet<LockKey> = BTreeSet::new();
        let mut ready = Vec::new();
        for waiting in self.queue.values() {
            let free = waiting
                .keys
                .iter()
                .all(|key| !self.held.contains_key(key) && !promised.contains(key));
            promised.extend(waiting.keys.iter().cloned());
            if free {
                ready.push(waiting.run.clone());
            }
        }
        ready
    }

    /// Grants a waiting run its locks if it is ready.
    pub fn grant(&mut self, run: &RunId) -> Option<BTreeMap<LockKey, Epoch>> {
        if !self.ready().contains(run) {
            return None;
        }
        let ticket = self.ticket(run)?;
        let waiting = self.queue.remove(&ticket)?;
        Some(self.hand_over(waiting))
    }

    fn hand_over(&mut self, waiting: Waiting) -> BTreeMap<LockKey, Epoch> {
        let mut epochs = BTreeMap::new();
        for key in waiting.keys {
            let epoch = self.raise(&key);
            let run = waiting.run.clone();
            self.held.insert(key.clone(), Held { run, epoch });
            epochs.insert(key, epoch);
        }
        epochs
    }

    fn raise(&mut self, key: &LockKey) -> Epoch {
        let epoch = self.epochs.entry(key.clone()).or_default();
        epoch.0 += 1;
        *epoch
    }

    /// Takes a run out: what it holds is free, what it waits for is forgotten.
    pub fn release(&mut self, run: &RunId) {
        self.held.retain(|_, held| held.run != *run);
        self.queue.retain(|_, waiting| waiting.run != *run);
    }

    /// Breaks a lock: its epoch rises and its holder, who is returned, has lost it.
    pub fn break_lock(&mut self, key: &LockKey) -> Option<(RunId, Epoch)> {
        let held = self.held.remove(key)?;
        let epoch = self.raise(key);
        Some((held.run, epoch))
    }

    /// How many runs are before this one in the queues it waits in; `None` when it does not wait.
    #[must_use]
    pub fn position(&self, run: &RunId) -> Option<usize> {
        let (ticket, waiting) = self.queue.iter().find(|(_, waiting)| waiting.run == *run)?;
        let earlier = self
            .queue
            .range(..*ticket)
            .filter(|(_, other)| !other.keys.is_disjoint(&waiting.keys))
            .map(|(_, other)| &other.run);
        let holders = waiting
            .keys
            .iter()
            .filter_map(|key| self.held.get(key))
            .map(|held| &held.run);
        Some(earlier.chain(holders).collect::<BTreeSet<_>>().len())
    }

    /// The ticket of a waiting run.
    #[must_use]
    pub fn ticket(&self, run: &RunId) -> Option<u64> {
        self.queue
            .iter()
            .find(|(_, waiting)| waiting.run == *run)
            .map(|(ticket, _)| *ticket)
    }

    /// All locks that are held or waited for.
    #[must_use]
    pub fn view(&self) -> Vec<LockView> {
        let keys: BTreeSet<&LockKey> = self
            .held
            .keys()
            .chain(self.queue.values().flat_map(|waiting| &waiting.keys))
            .collect();
        keys.into_iter()
            .map(|key| LockView {
                key: key.clone(),
                holder: self.held.get(key).map(|held| held.run.clone()),
                epoch: self.epochs.get(key).copied().unwrap_or_default(),
                waiting: self
                    .queue
                    .values()
                    .filter(|waiting| waiting.keys.contains(key))
                    .map(|waiting| waiting.run.clone())
                    .collect(),
            })
            .collect()
    }

    /// Who holds a lock.
    #[must_use]
    pub fn holder(&self, key: &LockKey) -> Option<&RunId> {
        self.held.get(key).map(|held| &held.run)
    }
}
