//! What a start does with what the last process left: journals become runs again, leftover
//! children are ended, steps that were under way are settled by their class, requests without an
//! answer go through the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::{Attempt, EffectKey, RunId, StepId};
use rave_domain::people::{Person, PersonKind};
use rave_domain::plan::{Class, Operation};
use rave_domain::ports::driver::{ChildGroup, Driver, Inspection};
use rave_domain::ports::store::{InboxRow, LedgerRow, StoreError, Write};
use rave_domain::run::{Command, Event, Finding, Lost, Outcome, Resolution, Run, Settled, Step};

use rave_domain::time::between;
use rave_domain::{ErrorCode, UserError};
use tokio::task::JoinSet;

use crate::api::{Caller, Changed};
use crate::cells::{Cell, replayed, unreadable};
use crate::intake::{Accepted, is_held};
use crate::journal::TurnError;
use crate::shared::{Shared, lock};

/// How old a recorded request may be and still be taken up after a restart. Nobody expects
/// yesterday's rollout to start because a disk has room again.
const STILL_MEANT: Duration = Duration::from_mins(10);

/// Pause before a request whose judgement could not be written is judged again.
const JUDGE_AGAIN: Duration = Duration::from_secs(1);

/// What recovery found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Runs that had not ended.
    pub runs: usize,
    /// Steps that were under way.
    pub steps: usize,
    /// Requests that had no answer.
    pub requests: usize,
    /// Journals that could not be read back; they are left alone and reported.
    pub unreadable: usize,
}

/// How many runs are read back side by side; more than processors, because reading and replaying
/// take turns.
const READERS: usize = 8;

/// Journals that one reader has in memory, and runs whose open effects are one query.
const READ_AT_ONCE: usize = 32;

/// What a start finds among the open runs.
#[derive(Default)]
struct Found {
    runs: usize,
    /// Runs with steps that were under way.
    active: Vec<(Arc<Cell>, Vec<StepId>)>,
    /// Runs that can go on, as far as they themselves know.
    due: Vec<RunId>,
    unreadable: Vec<RunId>,
}

impl Shared {
    /// Rebuilds everything from the store. Runs before anything is served; the settling of steps
    /// goes on in tasks.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<Recovery, StoreError> {
        *lock(&self.freezes) = self.store.freezes().await?;
        self.identities.load(self.store.linked_accounts().await?);
        let waits = self.store.lock_waits().await?;
        self.locks.restore(self.store.locks().await?, waits);
        let found = self.read_back(self.store.open_runs().await?).await?;
        // A run that cannot be read back never takes its turn, so it must not stand in line.
        for run in &found.unreadable {
            self.locks.leave_queue(run);
        }
        let unanswered = self.store.unanswered().await?;
        let recovery = Recovery {
            runs: found.runs,
            steps: found.active.iter().map(|(_, steps)| steps.len()).sum(),
            requests: unanswered.len(),
            unreadable: found.unreadable.len(),
        };
        let mut active = found.active.into_iter();
        while active.len() > 0 {
            let some: Vec<_> = active.by_ref().take(READ_AT_ONCE).collect();
            let shared = Arc::clone(self);
            self.tasks
                .spawn(async move { shared.settle_some(some).await });
        }
        self.nudge_all(found.due.into_iter().chain(self.locks.ready()));
        // In the order they came: a freeze before the run that it was meant to hold.
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            for row in unanswered {
                shared.process_again(row).await;
            }
        });
        Ok(recovery)
    }

    /// Reads all open runs back and parks those that wait. However many they are, only those that
    /// were under way are kept in memory.
    async fn read_back(self: &Arc<Self>, runs: Vec<RunId>) -> Result<Found, StoreError> {
        let mut readers = JoinSet::new();
        let share = runs.len().div_ceil(READERS).max(1);
        for share in runs.chunks(share) {
            let (shared, share) = (Arc::clone(self), share.to_vec());
            readers.spawn(async move { shared.read_share(share).await });
        }
        let mut all = Found::default();
        while let Some(read) = readers.join_next().await {
            let found = read.map_err(|panicked| unreadable(&panicked))??;
            all.runs += found.runs;
            all.active.extend(found.active);
            all.due.extend(found.due);
            all.unreadable.extend(found.unreadable);
        }
        Ok(all)
    }

    async fn read_share(self: Arc<Self>, share: Vec<RunId>) -> Result<Found, StoreError> {
        let mut found = Found::default();
        for some in share.chunks(READ_AT_ONCE) {
            let journals = self.store.journals(some.to_vec()).await?;
            for (id, journal) in some.iter().zip(journals) {
                match replayed(journal) {
                    Ok(Some(run)) => self.take_up(run, &mut found),
                    Ok(None) => {
                        self.leave_alone(id, &unreadable(&"it has no events"), &mut found);
                    }
                    Err(error @ StoreError::Corrupt { .. }) => {
                        self.leave_alone(id, &error, &mut found);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    fn take_up(&self, run: Run, found: &mut Found) {
        found.runs += 1;
        self.timers.arm(&run);
        let active = run.steps.iter().filter(|step| step.status.is_active());
        let active: Vec<StepId> = active.map(|step| step.id).collect();
        if active.is_empty() {
            self.cells.park(&run);
            if self.is_due(&run) {
                found.due.push(run.id);
            }
        } else {
            let cell = Arc::new(Cell::new(Arc::new(run)));
            self.cells.open(&cell);
            found.active.push((cell, active));
        }
    }

    /// Whether a run that was read back can go on, or must find out why not. One that stands in
    /// line is told when it is its turn.
    fn is_due(&self, run: &Run) -> bool {
        match run.commands().as_slice() {
            [] => false,
            [Command::AcquireLocks(_)] => !self.locks.is_queued(&run.id),
            _ => true,
        }
    }

    fn leave_alone(&self, id: &RunId, error: &StoreError, found: &mut Found) {
        self.set_aside(id, error);
        found.unreadable.push(id.clone());
    }

    /// Settles some runs side by side, each in a task of its own.
    async fn settle_some(self: Arc<Self>, some: Vec<(Arc<Cell>, Vec<StepId>)>) {
        let runs = some.iter().map(|(cell, _)| cell.id.clone()).collect();
        let mut effects = match self.store.open_effects(runs).await {
            Ok(effects) => effects,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "ledger_unreadable"
                );
                Vec::new()
            }
        }
        .into_iter();
        for (cell, active) in some {
            // Without the ledger the marker in the environment still finds leftovers.
            let rows = effects.next().unwrap_or_else(|| Ok(Vec::new()));
            let rows = rows.unwrap_or_else(|error| {
                tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "ledger_unreadable");
                Vec::new()
            });
            let shared = Arc::clone(&self);
            self.tasks
                .spawn(async move { shared.settle_run(cell, active, rows).await });
        }
    }

    async fn settle_run(
        self: Arc<Self>,
        cell: Arc<Cell>,
        active: Vec<StepId>,
        rows: Vec<LedgerRow>,
    ) {
        let ledger: BTreeMap<(StepId, Attempt), LedgerRow> = rows
            .into_iter()
            .map(|row| ((row.step, row.attempt), row))
            .collect();
        let run = cell.current();
        for id in active {
            let Some(step) = run.step(id) else { continue };
            let row = ledger.get(&(id, step.attempts));
            let event = self.settle_step(&run, step, row).await;
            self.write_settled(&cell, step, event).await;
        }
        self.nudge(&cell.id);
    }

    /// Decides by class what becomes of a step that was under way.
    async fn settle_step(&self, run: &Run, step: &Step, row: Option<&LedgerRow>) -> Event {
        let at = self.clock.now();
        let report = |outcome| Event::Reported {
            at,
            step: step.id,
            attempt: step.attempts,
            outcome,
            tail: step.tail.clone(),
            output: None,
        };
        let Some((operation, driver)) = run
            .operation(step)
            .and_then(|operation| Some((operation, self.driver(operation).ok()?)))
        else {
            return report(Outcome::Unknown {
                why: "its driver is not in this Rave any more".to_owned(),
            });
        };
        let key = run.effect_key(step);
        let class = run.class(step);
        let child = row.and_then(|row| row.child.as_ref());
        let found = if self.is_over(driver.as_ref(), &key, child).await {
            self.find_out(driver.as_ref(), operation, class, &key).await
        } else {
            Finding::StillRuns
        };
        let how = "Rave was killed while it ran".to_owned();
        match (Lost { class, how, found }).settled() {
            Settled::Rerun => Event::Recovered {
                at,
                step: step.id,
                resolution: Resolution::Rerun,
            },
            Settled::Ended(outcome) => report(outcome),
        }
    }

    async fn write_settled(self: &Arc<Self>, cell: &Arc<Cell>, step: &Step, event: Event) {
        let closed = Write::EffectEnded {
            run: cell.id.clone(),
            step: step.id,
            attempt: step.attempts,
            at: event.at(),
            outcome: "recovered".to_owned(),
        };
        loop {
            let event = event.clone();
            let turn = self
                .drive(cell, |_| Ok(vec![event]), vec![closed.clone()])
                .await;
            match turn {
                Err(TurnError::Store(error)) if !self.stopping.is_cancelled() => {
                    tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "recovery_not_written");
                    self.pause(std::time::Duration::from_secs(1)).await;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "recovery_failed");
                    return;
                }
            }
        }
    }

    /// Takes a request that was recorded but never answered through the gate, as its sender with
    /// the roles of now. Secrets that came with it are lost and must be sent again.
    async fn process_again(self: &Arc<Self>, row: InboxRow) {
        let rules = self.rules();
        // Somebody who is gone has no roles, so the gate refuses and the request is answered.
        let person = rules.policy.person(&row.person).unwrap_or_else(|| {
            Arc::new(Person {
                id: row.person.clone(),
                roles: BTreeSet::new(),
                kind: PersonKind::Human,
            })
        });
        let endpoint = if let rave_domain::request::Change::Run(request) = &row.change {
            Some(if request.intents.len() == 1 {
                "run"
            } else {
                "orchestrate"
            })
        } else {
            None
        };
        let caller = Caller {
            person,
            account: row.account.clone(),
            strength: row.strength,
            address: None,
            endpoint,
            place: None,
        };
        let id: Option<RunId> = row.run.clone();
        let (request, reply_to) = (row.request.clone(), row.reply_to.clone());
        let accepted = Accepted {
            row,
            caller,
            secrets: BTreeMap::new(),
            rules,
        };
        let outcome = self.process_held(&accepted).await;
        match &outcome {
            Ok(_) => tracing::info!(run.id = ?id, "request_resumed"),
            Err(error) => tracing::warn!(code = %error.code, "request_refused_on_resume"),
        }
        // Whoever asked was cut off and has heard nothing.
        self.answer_late(reply_to, &request, &outcome).await;
    }

    /// Takes a recorded request through the gate, as often as the store fails meanwhile and it is
    /// still meant.
    pub(crate) async fn process_held(
        self: &Arc<Self>,
        accepted: &Accepted,
    ) -> Result<Changed, UserError> {
        loop {
            let age = between(accepted.row.received_at, self.clock.now());
            if age > STILL_MEANT {
                let error = UserError::new(
                    ErrorCode::WrongState,
                    "Rave could not judge this request when it came, and too much time has passed",
                )
                .hint("ask again if it is still wanted");
                self.record_refused(accepted, &error).await;
                self.answered.notify_waiters();
                return Err(error);
            }
            let outcome = self.process_guarded(accepted).await;
            if !is_held(&outcome) || self.stopping.is_cancelled() {
                return outcome;
            }
            self.pause(JUDGE_AGAIN).await;
        }
    }

    /// Whether nothing of an effect runs any more. A driver that does not answer cannot say so.
    pub(crate) async fn is_over(
        &self,
        driver: &dyn Driver,
        key: &EffectKey,
        child: Option<&ChildGroup>,
    ) -> bool {
        let ended = driver.end_leftovers(key, child);
        tokio::time::timeout(self.settings.settle_within, ended)
            .await
            .unwrap_or(false)
    }

    /// What can be found out about a lost effect of which nothing runs any more.
    pub(crate) async fn find_out(
        &self,
        driver: &dyn Driver,
        operation: &Operation,
        class: Class,
        key: &EffectKey,
    ) -> Finding {
        if class.is_looked_up() {
            Finding::Looked(self.inspect(driver, operation, key).await)
        } else {
            Finding::Ended
        }
    }

    /// Looks for an effect within a bound.
    async fn inspect(
        &self,
        driver: &dyn Driver,
        operation: &Operation,
        key: &EffectKey,
    ) -> Inspection {
        let look = driver.inspect(operation, key);
        tokio::time::timeout(self.settings.settle_within, look)
            .await
            .unwrap_or_else(|_| Inspection::Unsure {
                why: "a look at the target took too long".to_owned(),
            })
    }
}
