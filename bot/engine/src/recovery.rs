//! What a start does with what the last process left: journals become runs again, leftover
//! children are ended, steps that were under way are settled by their class, requests without an
//! answer go through the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::{Attempt, EffectKey, RunId, StepId};
use rave_domain::people::{Person, PersonKind};
use rave_domain::plan::{Class, Operation};
use rave_domain::ports::driver::{Driver, Inspection};
use rave_domain::ports::store::{InboxRow, LedgerRow, StoreError, Write};
use rave_domain::run::{Event, Outcome, Resolution, Run, Step};

use rave_domain::time::between;
use rave_domain::{ErrorCode, UserError};

use crate::api::Caller;
use crate::intake::Accepted;
use crate::journal::TurnError;
use crate::shared::{Cell, Shared, lock};

/// How old a recorded request may be and still be taken up after a restart. Nobody expects
/// yesterday's rollout to start because a disk has room again.
const STILL_MEANT: Duration = Duration::from_mins(10);

/// How long a driver may look for an effect before that counts as unsure.
const INSPECT_WITHIN: Duration = Duration::from_secs(60);

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

impl Shared {
    /// Rebuilds everything from the store. Runs before anything is served; the settling of steps
    /// goes on in tasks.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<Recovery, StoreError> {
        *lock(&self.freezes) = self.store.freezes().await?;
        self.locks.restore(self.store.locks().await?, Vec::new());
        let waits = self.store.lock_waits().await?;
        let mut found = Recovery::default();
        let mut cells = Vec::new();
        for (id, events) in self.store.open_runs().await? {
            match Run::replay(events) {
                Ok(run) => {
                    let cell = Arc::new(Cell::new(Arc::new(run)));
                    self.timers.arm(&cell.current());
                    self.open_cell(Arc::clone(&cell));
                    cells.push(cell);
                }
                Err(illegal) => {
                    found.unreadable += 1;
                    lock(&self.unreadable).push(id.clone());
                    tracing::error!(run.id = %id, error = &illegal as &dyn std::error::Error, "journal_unreadable");
                }
            }
        }
        // A run that cannot be read back never takes its turn, so it must not stand in line.
        let unreadable = lock(&self.unreadable).clone();
        let waits = waits
            .into_iter()
            .filter(|wait| !unreadable.contains(&wait.run));
        self.locks.restore(Vec::new(), waits.collect());
        found.runs = cells.len();
        for cell in cells {
            let run = cell.current();
            let active = run.steps.iter().filter(|step| step.status.is_active());
            let active: Vec<StepId> = active.map(|step| step.id).collect();
            found.steps += active.len();
            if active.is_empty() {
                self.nudge(&cell.id);
            } else {
                let shared = Arc::clone(self);
                self.tasks
                    .spawn(async move { shared.settle_run(cell, active).await });
            }
        }
        let unanswered = self.store.unanswered().await?;
        found.requests = unanswered.len();
        // In the order they came: a freeze before the run that it was meant to hold.
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            for row in unanswered {
                shared.process_again(row).await;
            }
        });
        Ok(found)
    }

    async fn settle_run(self: Arc<Self>, cell: Arc<Cell>, active: Vec<StepId>) {
        let mut ledger: BTreeMap<(StepId, Attempt), LedgerRow> = BTreeMap::new();
        match self.store.open_effects(&cell.id).await {
            Ok(rows) => {
                for row in rows {
                    ledger.insert((row.step, row.attempt), row);
                }
            }
            Err(error) => {
                // Without the ledger the marker in the environment still finds leftovers.
                tracing::error!(run.id = %cell.id, error = &error as &dyn std::error::Error, "ledger_unreadable");
            }
        }
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
        let unknown = |why: String| report(Outcome::Unknown { why });
        let rerun = Event::Recovered {
            at,
            step: step.id,
            resolution: Resolution::Rerun,
        };
        let Some((operation, driver)) = run
            .operation(step)
            .and_then(|operation| Some((operation, self.driver(operation).ok()?)))
        else {
            return unknown("its driver is not in this Rave any more".to_owned());
        };
        let key = run.effect_key(step);
        let child = row.and_then(|row| row.child.as_ref());
        if !driver.end_leftovers(&key, child).await {
            return unknown(
                "Rave was killed while it ran, and what it left behind cannot be ended".to_owned(),
            );
        }
        match run.class(step) {
            Class::Read | Class::Idempotent | Class::Keyed => rerun,
            Class::Probe => match inspect(driver.as_ref(), operation, &key).await {
                Inspection::Happened(applied) => report(Outcome::Succeeded {
                    facts: applied.facts,
                }),
                Inspection::DidNot => rerun,
                Inspection::Unsure { why } => {
                    unknown(format!("Rave was killed while it ran; {why}"))
                }
            },
            Class::Once => unknown("Rave was killed while it ran".to_owned()),
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
            person: (*person).clone(),
            account: row.account.clone(),
            strength: row.strength,
            address: None,
            endpoint,
        };
        let id: Option<RunId> = row.run.clone();
        let (request, reply_to) = (row.request.clone(), row.reply_to.clone());
        let accepted = Accepted {
            row,
            caller,
            secrets: BTreeMap::new(),
            rules,
        };
        let age = between(accepted.row.received_at, self.clock.now());
        let outcome = if age > STILL_MEANT {
            let error = UserError::new(
                ErrorCode::WrongState,
                "Rave was stopped before it could judge this request, and too much time has passed",
            )
            .hint("ask again if it is still wanted");
            self.record_refused(&accepted, &error).await;
            self.answered.notify_waiters();
            Err(error)
        } else {
            self.process(accepted).await
        };
        match &outcome {
            Ok(_) => tracing::info!(run.id = ?id, "request_resumed"),
            Err(error) => tracing::warn!(code = %error.code, "request_refused_on_resume"),
        }
        // Whoever asked was cut off and has heard nothing.
        self.answer_late(reply_to, &request, &outcome).await;
    }
}

/// Looks for an effect within a bound.
pub(crate) async fn inspect(
    driver: &dyn Driver,
    operation: &Operation,
    key: &EffectKey,
) -> Inspection {
    tokio::time::timeout(INSPECT_WITHIN, driver.inspect(operation, key))
        .await
        .unwrap_or_else(|_| Inspection::Unsure {
            why: "a look at the target took too long".to_owned(),
        })
}
