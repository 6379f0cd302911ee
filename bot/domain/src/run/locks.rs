//! Locks between runs: who holds what, who waits, and where in the queue.
//!
//! A run asks for all its locks at once and gets all of them at once, in the order of asking per
//! lock. Tickets are drawn from one sequence, so the order is global: the lowest waiting ticket is
//! first in each of its queues and nothing can wait in a circle. Epochs rise with each grant and
//! each break and never fall.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Epoch, LockKey, RunId};

/// All locks of one journal. Kept by key, by ticket and by run, so that asking for locks costs the
/// same however many runs wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockTable {
    epochs: BTreeMap<LockKey, Epoch>,
    held: BTreeMap<LockKey, RunId>,
    holdings: BTreeMap<RunId, BTreeSet<LockKey>>,
    waiting: BTreeMap<u64, Waiting>,
    tickets: BTreeMap<RunId, u64>,
    /// The tickets that wait for each lock; none is empty.
    queues: BTreeMap<LockKey, BTreeSet<u64>>,
    next_ticket: u64,
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
    /// Takes up a lock's last known epoch, and its holder, from the store. An epoch that is known
    /// to be higher stays.
    pub fn restore(&mut self, key: LockKey, epoch: Epoch, holder: Option<RunId>) {
        if let Some(run) = holder {
            self.hold(&run, key.clone());
        }
        let known = self.epochs.entry(key).or_default();
        *known = epoch.max(*known);
    }

    /// Queues a run for its locks and gives its ticket. A run that waits already keeps its place;
    /// `ticket` restores one from the store.
    pub fn enqueue(&mut self, run: &RunId, keys: BTreeSet<LockKey>, ticket: Option<u64>) -> u64 {
        if let Some(ticket) = self.tickets.get(run) {
            return *ticket;
        }
        let ticket = ticket
            .filter(|ticket| !self.waiting.contains_key(ticket))
            .unwrap_or(self.next_ticket);
        self.next_ticket = self.next_ticket.max(ticket.saturating_add(1));
        for key in &keys {
            self.queues.entry(key.clone()).or_default().insert(ticket);
        }
        self.tickets.insert(run.clone(), ticket);
        let run = run.clone();
        self.waiting.insert(ticket, Waiting { run, keys });
        ticket
    }

    /// The waiting runs whose locks are all free and promised to nobody before them.
    #[must_use]
    pub fn ready(&self) -> Vec<RunId> {
        self.ready_on(self.queues.keys())
    }

    /// Of the waiting runs that are ready, those that wait for one of these locks.
    #[must_use]
    pub fn ready_on<'a>(&self, keys: impl IntoIterator<Item = &'a LockKey>) -> Vec<RunId> {
        let first_of_free: BTreeSet<u64> = keys
            .into_iter()
            .filter(|key| !self.held.contains_key(*key))
            .filter_map(|key| self.queues.get(key)?.first().copied())
            .collect();
        first_of_free
            .into_iter()
            .filter(|ticket| self.is_ready(*ticket))
            .filter_map(|ticket| Some(self.waiting.get(&ticket)?.run.clone()))
            .collect()
    }

    fn is_ready(&self, ticket: u64) -> bool {
        let first = |key| self.queues.get(key).and_then(BTreeSet::first) == Some(&ticket);
        self.waiting.get(&ticket).is_some_and(|waiting| {
            let mut keys = waiting.keys.iter();
            keys.all(|key| first(key) && !self.held.contains_key(key))
        })
    }

    /// Grants a waiting run its locks if it is ready.
    pub fn grant(&mut self, run: &RunId) -> Option<BTreeMap<LockKey, Epoch>> {
        let ticket = self.ticket(run)?;
        if !self.is_ready(ticket) {
            return None;
        }
        let mut epochs = BTreeMap::new();
        for key in self.unqueue(ticket) {
            epochs.insert(key.clone(), self.raise(&key));
            self.hold(run, key);
        }
        Some(epochs)
    }

    fn hold(&mut self, run: &RunId, key: LockKey) {
        self.let_go(&key);
        let holdings = self.holdings.entry(run.clone()).or_default();
        holdings.insert(key.clone());
        self.held.insert(key, run.clone());
    }

    fn let_go(&mut self, key: &LockKey) -> Option<RunId> {
        let run = self.held.remove(key)?;
        if let Some(holdings) = self.holdings.get_mut(&run) {
            holdings.remove(key);
            if holdings.is_empty() {
                self.holdings.remove(&run);
            }
        }
        Some(run)
    }

    fn unqueue(&mut self, ticket: u64) -> BTreeSet<LockKey> {
        let Some(waiting) = self.waiting.remove(&ticket) else {
            return BTreeSet::new();
        };
        self.tickets.remove(&waiting.run);
        for key in &waiting.keys {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.remove(&ticket);
                if queue.is_empty() {
                    self.queues.remove(key);
                }
            }
        }
        waiting.keys
    }

    fn raise(&mut self, key: &LockKey) -> Epoch {
        let epoch = self.epochs.entry(key.clone()).or_default();
        epoch.0 += 1;
        *epoch
    }

    /// Takes a run out: what it holds is free, what it waits for is forgotten. Gives the locks that
    /// may be somebody else's now.
    pub fn release(&mut self, run: &RunId) -> BTreeSet<LockKey> {
        let mut freed = self.leave_queue(run);
        for key in self.holdings.remove(run).unwrap_or_default() {
            self.held.remove(&key);
            freed.insert(key);
        }
        freed
    }

    /// Takes a run out of the queue, whatever it holds. Gives the locks that it waited for.
    pub fn leave_queue(&mut self, run: &RunId) -> BTreeSet<LockKey> {
        match self.ticket(run) {
            Some(ticket) => self.unqueue(ticket),
            None => BTreeSet::new(),
        }
    }

    /// Breaks a lock: its epoch rises and its holder, who is returned, has lost it.
    pub fn break_lock(&mut self, key: &LockKey) -> Option<(RunId, Epoch)> {
        let run = self.let_go(key)?;
        Some((run, self.raise(key)))
    }

    /// How many runs are before this one in the queues it waits in; `None` when it does not wait.
    #[must_use]
    pub fn position(&self, run: &RunId) -> Option<usize> {
        let ticket = self.ticket(run)?;
        let keys = &self.waiting.get(&ticket)?.keys;
        let earlier = keys
            .iter()
            .filter_map(|key| self.queues.get(key))
            .flat_map(|queue| queue.range(..ticket))
            .filter_map(|ticket| Some(&self.waiting.get(ticket)?.run));
        let holders = keys.iter().filter_map(|key| self.held.get(key));
        Some(earlier.chain(holders).collect::<BTreeSet<_>>().len())
    }

    /// The ticket of a waiting run.
    #[must_use]
    pub fn ticket(&self, run: &RunId) -> Option<u64> {
        self.tickets.get(run).copied()
    }

    /// All locks that are held or waited for.
    #[must_use]
    pub fn view(&self) -> Vec<LockView> {
        let keys: BTreeSet<&LockKey> = self.held.keys().chain(self.queues.keys()).collect();
        keys.into_iter()
            .map(|key| LockView {
                key: key.clone(),
                holder: self.held.get(key).cloned(),
                epoch: self.epochs.get(key).copied().unwrap_or_default(),
                waiting: self
                    .queues
                    .get(key)
                    .into_iter()
                    .flatten()
                    .filter_map(|ticket| Some(self.waiting.get(ticket)?.run.clone()))
                    .collect(),
            })
            .collect()
    }

    /// Who holds a lock.
    #[must_use]
    pub fn holder(&self, key: &LockKey) -> Option<&RunId> {
        self.held.get(key)
    }
}
