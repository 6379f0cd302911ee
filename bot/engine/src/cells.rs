//! The runs that have not ended (docs/decisions/0010).
//!
//! A run that somebody works on or waits for is *live*: its [`Cell`] holds its state. All others
//! are *parked*: memory keeps what describes and wakes them, and the state is read from the
//! journal when something touches the run. Nothing parks a run: whoever works with it holds its
//! cell, and it is parked as soon as nobody does. So a run never has two cells, and with them two
//! gates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use rave_domain::ids::{RunId, StepId};
use rave_domain::ports::store::StoreError;
use rave_domain::run::{Event, Run};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::output::Output;
use crate::shared::{Shared, lock};

/// A live run.
pub(crate) struct Cell {
    pub(crate) id: RunId,
    /// Held from reading the state to publishing the next one.
    pub(crate) gate: tokio::sync::Mutex<()>,
    state: watch::Sender<Arc<Run>>,
    live: Mutex<BTreeMap<StepId, Arc<Output>>>,
}

impl Cell {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self {
            id: run.id.clone(),
            gate: tokio::sync::Mutex::new(()),
            state: watch::Sender::new(run),
            live: Mutex::default(),
        }
    }

    pub(crate) fn current(&self) -> Arc<Run> {
        self.state.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Run>> {
        self.state.subscribe()
    }

    pub(crate) fn publish(&self, run: Arc<Run>) {
        self.state.send_replace(run);
    }

    pub(crate) fn live(&self, step: StepId) -> Option<Arc<Output>> {
        lock(&self.live).get(&step).cloned()
    }

    pub(crate) fn set_live(&self, step: StepId, output: Arc<Output>) {
        lock(&self.live).insert(step, output);
    }

    pub(crate) fn drop_live(&self, step: StepId) {
        lock(&self.live).remove(&step);
    }
}

/// What is kept of every open run.
struct Slot {
    /// Leads nowhere while the run is parked.
    cell: Weak<Cell>,
    /// Events in its journal after its latest turn.
    seq: u64,
    /// Why it does not go on though it could.
    hold: Option<Box<str>>,
}

/// All open runs.
#[derive(Default)]
pub(crate) struct Cells {
    slots: Mutex<BTreeMap<RunId, Slot>>,
}

/// An open run as it is found.
enum Found {
    Live(Arc<Cell>),
    Parked,
    Ended,
}

impl Cells {
    fn find(&self, run: &RunId) -> Found {
        match lock(&self.slots).get(run) {
            None => Found::Ended,
            Some(slot) => slot.cell.upgrade().map_or(Found::Parked, Found::Live),
        }
    }

    /// Takes up an open run that nobody works on yet.
    pub(crate) fn open(&self, cell: &Arc<Cell>) {
        self.take_up(&cell.current(), Arc::downgrade(cell));
    }

    /// Takes up an open run that nobody works on yet and leaves it parked.
    pub(crate) fn park(&self, run: &Run) {
        self.take_up(run, Weak::new());
    }

    fn take_up(&self, run: &Run, cell: Weak<Cell>) {
        let slot = Slot {
            cell,
            seq: run.seq,
            hold: None,
        };
        lock(&self.slots).insert(run.id.clone(), slot);
    }

    /// The cell of a parked run that has been read from its journal; `None` when that reading is
    /// too old, because the run has had a turn or its end meanwhile.
    fn wake(&self, run: Run) -> Option<Arc<Cell>> {
        let mut slots = lock(&self.slots);
        let slot = slots.get_mut(&run.id)?;
        if let Some(cell) = slot.cell.upgrade() {
            return Some(cell);
        }
        if run.seq < slot.seq {
            return None;
        }
        let cell = Arc::new(Cell::new(Arc::new(run)));
        slot.cell = Arc::downgrade(&cell);
        Some(cell)
    }

    /// Notes what a turn has come to.
    pub(crate) fn turned(&self, run: &Run, hold: Option<String>) {
        if let Some(slot) = lock(&self.slots).get_mut(&run.id) {
            slot.seq = run.seq;
            slot.hold = hold.map(String::into_boxed_str);
        }
    }

    /// Forgets a run; false when it is none of the open ones.
    pub(crate) fn close(&self, run: &RunId) -> bool {
        lock(&self.slots).remove(run).is_some()
    }

    /// The cell of a run, if it is live.
    pub(crate) fn live(&self, run: &RunId) -> Option<Arc<Cell>> {
        lock(&self.slots).get(run)?.cell.upgrade()
    }

    /// Why a run does not go on though it could.
    pub(crate) fn hold(&self, run: &RunId) -> Option<String> {
        let slots = lock(&self.slots);
        slots.get(run)?.hold.as_deref().map(str::to_owned)
    }

    /// The runs that are held back, and those that may be about to be.
    pub(crate) fn held(&self) -> Vec<RunId> {
        lock(&self.slots)
            .iter()
            .filter(|(_, slot)| slot.hold.is_some() || slot.cell.strong_count() > 0)
            .map(|(run, _)| run.clone())
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.slots).len()
    }
}

/// How many runs are worked on side by side when very many are due at once: enough to fill a
/// commit, few enough that they do not all come into memory.
const ABREAST: usize = 256;

/// Places for runs that are worked on side by side.
pub(crate) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ABREAST)))
    }
}

impl Places {
    /// Waits for a place and does the work there, in a task of its own.
    pub(crate) async fn take(
        &self,
        tasks: &TaskTracker,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        // They are never closed.
        let place = Arc::clone(&self.0).acquire_owned().await.ok();
        tasks.spawn(async move {
            work.await;
            drop(place);
        });
    }
}

impl Shared {
    /// The cell of an open run; `None` when it has ended or never was. A parked one is read from
    /// its journal; of several callers who do that at once, all get the same cell.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when the journal cannot be read back: the run is set aside then.
    pub(crate) async fn cell(
        self: &Arc<Self>,
        id: &RunId,
    ) -> Result<Option<Arc<Cell>>, StoreError> {
        loop {
            match self.cells.find(id) {
                Found::Live(cell) => return Ok(Some(cell)),
                Found::Ended => return Ok(None),
                Found::Parked => {}
            }
            let Some(run) = self.read_run(id).await? else {
                return Ok(None);
            };
            if let Some(cell) = self.cells.wake(run) {
                return Ok(Some(cell));
            }
        }
    }

    /// A run as its journal has it, open or ended; `None` when there never was one.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when the journal cannot be read back: an open run is set aside then.
    pub(crate) async fn read_run(self: &Arc<Self>, id: &RunId) -> Result<Option<Run>, StoreError> {
        let read = replayed(self.store.events(id).await);
        if let Err(error @ StoreError::Corrupt { .. }) = &read
            && self.cells.close(id)
        {
            self.set_aside(id, error);
            for waiting in self.locks.leave_queue(id) {
                self.nudge(&waiting);
            }
        }
        read
    }

    /// Leaves a run alone whose journal cannot be read back: it takes no turns, and what it holds
    /// stays locked until somebody breaks the lock.
    pub(crate) fn set_aside(&self, id: &RunId, error: &StoreError) {
        tracing::error!(run.id = %id, error = error as &dyn std::error::Error, "journal_unreadable");
        self.timers.disarm(id);
        lock(&self.unreadable).insert(id.clone());
    }
}

/// The state that a journal leads to.
pub(crate) fn replayed(
    journal: Result<Option<Vec<Event>>, StoreError>,
) -> Result<Option<Run>, StoreError> {
    let run = journal?.map(Run::replay).transpose();
    run.map_err(|illegal| unreadable(&illegal))
}

/// What a journal that does not lead to a state is to the store's readers.
pub(crate) fn unreadable(why: &impl ToString) -> StoreError {
    StoreError::Corrupt {
        table: "events",
        why: why.to_string(),
    }
}
