//! Following a run: its events out of the journal, at the reader's pace.
//!
//! A follower keeps the state that the events which it has read lead to, and asks the journal for
//! the next ones when it wants them. A turn that was written rings the bell of the run's
//! followers; what has happened they read themselves, so nothing piles up for a slow one and
//! nothing that is not durable is seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use rave_domain::ids::{Attempt, RunId, StepId};
use rave_domain::run::{Event, Run};
use rave_domain::{ErrorCode, UserError};
use tokio::sync::watch;

use crate::journal::store_error;
use crate::shared::{Shared, lock};

/// Events in one read of the journal; an event holds at most 8 KiB of output.
const READ_AT_ONCE: u32 = 64;

/// The bells of runs that somebody follows. A bell says how many events the run has had.
#[derive(Default)]
pub(crate) struct Followers {
    bells: Mutex<BTreeMap<RunId, watch::Sender<u64>>>,
}

impl Followers {
    /// Says that all events of this state are durable.
    pub(crate) fn ring(&self, run: &Run) {
        if let Some(bell) = lock(&self.bells).get(&run.id) {
            bell.send_replace(run.seq);
        }
    }

    fn join(&self, run: &RunId) -> watch::Receiver<u64> {
        lock(&self.bells)
            .entry(run.clone())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }

    /// Takes the bell away with the last one who hears it, who is about to go.
    fn leave(&self, run: &RunId) {
        let mut bells = lock(&self.bells);
        if bells
            .get(run)
            .is_some_and(|bell| bell.receiver_count() <= 1)
        {
            bells.remove(run);
        }
    }
}

/// A run's journal as one reader goes through it.
pub struct Follow {
    shared: Arc<Shared>,
    id: RunId,
    bell: watch::Receiver<u64>,
    /// Events up to here are only replayed.
    after: u64,
    /// Read, but not taken yet.
    read: VecDeque<Event>,
    /// Whether the journal had no more at the last read: what comes then rings the bell.
    drained: bool,
    /// The state after the events taken so far.
    run: Option<Run>,
    /// What was told of each step.
    told: Vec<(&'static str, Attempt)>,
}

/// An event and what it made of the run.
#[derive(Debug)]
pub struct Happened<'a> {
    /// The event.
    pub event: Event,
    /// The run after it; `run.seq` is the event's number.
    pub run: &'a Run,
    /// Steps that are in another state, or at another try, than after the event before.
    pub changed: Vec<StepId>,
}

impl Follow {
    /// Begins after an event of a run. `None` when the run has ended with it.
    pub(crate) async fn begin(
        shared: &Arc<Shared>,
        run: &Run,
        after: u64,
    ) -> Result<Option<Self>, UserError> {
        let follow = Self {
            shared: Arc::clone(shared),
            id: run.id.clone(),
            bell: shared.followers.join(&run.id),
            after,
            read: VecDeque::new(),
            drained: false,
            run: None,
            told: Vec::new(),
        };
        // What is in the journal is told before the run in memory has caught up with it.
        if after > run.seq && follow.journal(after - 1, 1).await?.is_empty() {
            let message = format!("{} has had no event number {after} yet", run.id);
            return Err(UserError::new(ErrorCode::InvalidArgument, message)
                .hint("send the id of the last event that you have, or none for all"));
        }
        let over = run.status.is_terminal() && after == run.seq;
        Ok((!over).then_some(follow))
    }

    /// The next event, as soon as it is durable; `None` after the last one of a run that has
    /// ended. May be dropped while it waits and asked again.
    ///
    /// # Errors
    /// When the journal cannot be read, or not any more because retention has removed it.
    pub async fn next(&mut self) -> Result<Option<Happened<'_>>, UserError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                let seq = self.take(&event)?;
                if seq <= self.after {
                    continue;
                }
                let changed = self.changed();
                return Ok(self.run.as_ref().map(|run| Happened {
                    event,
                    run,
                    changed,
                }));
            }
            if self
                .run
                .as_ref()
                .is_some_and(|run| run.status.is_terminal())
            {
                return Ok(None);
            }
            self.read_on().await?;
        }
    }

    /// Reads what the journal has beyond the events taken so far; waits until it has something.
    async fn read_on(&mut self) -> Result<(), UserError> {
        let seen = self.run.as_ref().map_or(0, |run| run.seq);
        if self.drained {
            // The bell is there as long as this follower hears it.
            drop(self.bell.wait_for(|seq| *seq > seen).await);
        }
        let events = self.journal(seen, READ_AT_ONCE).await?;
        self.drained = events.len() < READ_AT_ONCE as usize;
        if events.is_empty() && seen == 0 {
            let message = format!("the journal of {} is no longer kept", self.id);
            return Err(UserError::new(ErrorCode::UnknownRun, message));
        }
        self.read.extend(events);
        Ok(())
    }

    async fn journal(&self, after: u64, limit: u32) -> Result<Vec<Event>, UserError> {
        let read = self.shared.store.events_after(&self.id, after, limit);
        read.await.map_err(|error| store_error(&error))
    }

    /// Takes an event into the state; its number.
    fn take(&mut self, event: &Event) -> Result<u64, UserError> {
        let taken = match (&mut self.run, event) {
            (Some(run), event) => run.evolve(event).map_err(|illegal| illegal.to_string()),
            (run @ None, Event::Submitted(submission)) => {
                *run = Some(Run::submitted((**submission).clone()));
                Ok(())
            }
            (None, event) => Err(format!("it begins with {}", event.kind())),
        };
        if let Err(why) = taken {
            tracing::error!(run.id = %self.id, why, "journal_unreadable");
            return Err(UserError::internal());
        }
        let seq = self.run.as_ref().map_or(0, |run| run.seq);
        // Whoever resumes was told of the state there.
        if seq == self.after {
            self.changed();
        }
        Ok(seq)
    }

    /// Steps of which something else was told last, and remembers what is told now.
    fn changed(&mut self) -> Vec<StepId> {
        let Some(run) = &self.run else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for (at, step) in run.steps.iter().enumerate() {
            let now = (step.status.as_str(), step.attempts);
            match self.told.get_mut(at) {
                Some(told) if *told == now => continue,
                Some(told) => *told = now,
                None => self.told.push(now),
            }
            changed.push(step.id);
        }
        changed
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.shared.followers.leave(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_there_as_long_as_somebody_hears_it() {
        let followers = Followers::default();
        let run: RunId = "run_0001".parse().unwrap();
        let hung = || lock(&followers.bells).contains_key(&run);
        let first = followers.join(&run);
        let second = followers.join(&run);
        followers.leave(&run);
        drop(first);
        assert!(hung(), "the second one still listens");
        followers.leave(&run);
        drop(second);
        assert!(!hung());
    }
}
