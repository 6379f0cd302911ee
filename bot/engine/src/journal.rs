//! One turn of a run: an event, everything that can be decided because of it, one commit, and
//! only then the effects.
//!
//! A turn holds the run's gate from reading the state to publishing the next one, so events of a
//! run are serial. Commands of the core that need no waiting (locks that are free, claims that
//! are allowed) are answered within the same turn, so a step's result and the claim of the next
//! step are one commit.

use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::{Attempt, RunId, StepId};
use rave_domain::plan::Class;
use rave_domain::ports::store::{LedgerRow, LockRow, RunRow, StoreError, Write};
use rave_domain::request::RunRequest;
use rave_domain::run::{Command, Event, Illegal, Origin, Run, RunStatus, Submission};
use rave_domain::{ErrorCode, UserError};

use rave_policy::Authorized;

use crate::cells::{Cell, Places};
use crate::judge::AskedPlan;
use crate::locks::{Asked, Queued};
use crate::records;
use crate::shared::Shared;

/// Pause before a plan that could not be computed again is tried once more.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why a turn changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    /// The caller's condition no longer holds.
    #[error(transparent)]
    Refused(#[from] UserError),
    /// The event does not fit the state; somebody was faster.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TurnError> for UserError {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::Refused(error) => error,
            TurnError::Illegal(illegal) => Self::new(
                ErrorCode::WrongState,
                format!("the run is {}: {}", illegal.status, illegal.why),
            ),
            TurnError::Store(error) => store_error(&error),
        }
    }
}

/// What a caller is told when the store does not answer: the cause in plain words. The log has
/// more.
pub(crate) fn store_error(error: &StoreError) -> UserError {
    tracing::error!(error = error as &dyn std::error::Error, "store_failed");
    match error {
        StoreError::Conflict { .. } => {
            UserError::new(ErrorCode::WrongState, "the run has just moved on").hint("look again")
        }
        StoreError::Unavailable { why } => UserError::new(
            ErrorCode::StoreUnavailable,
            format!("Rave cannot use its store: {why}"),
        )
        .hint("nothing was changed: look at the disk of Rave's data directory, then try again"),
        StoreError::Corrupt { .. } => UserError::new(
            ErrorCode::Internal,
            "what is stored about this cannot be read back",
        )
        .hint("Rave's log says what is wrong with it; `/rave status` lists the runs concerned"),
    }
}

/// What a run begins with, apart from its plan.
pub(crate) struct Opening {
    pub(crate) run: RunId,
    pub(crate) origin: Origin,
    pub(crate) request: RunRequest,
}

/// A turn under way.
struct Turn {
    run: Run,
    /// Events in the journal before the turn.
    written: u64,
    events: Vec<Event>,
    writes: Vec<Write>,
    claimed: Vec<(StepId, Attempt)>,
    hold: Option<String>,
    /// What the lock table must take back if the turn is not written.
    queued: Option<Queued>,
    /// Whether it puts something into the outbox.
    delivers: bool,
}

impl Turn {
    fn apply(&mut self, event: Event) -> Result<(), Illegal> {
        self.run.evolve(&event)?;
        self.events.push(event);
        Ok(())
    }
}

impl Shared {
    /// Takes one turn of an open run. `make` sees the present state and gives the events.
    pub(crate) async fn drive(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        make: impl FnOnce(&Run) -> Result<Vec<Event>, UserError> + Send,
        extra: Vec<Write>,
    ) -> Result<Arc<Run>, TurnError> {
        let _gate = cell.gate.lock().await;
        let before = cell.current();
        let mut turn = Turn {
            run: (*before).clone(),
            written: before.seq,
            events: Vec::new(),
            writes: extra,
            claimed: Vec::new(),
            hold: None,
            queued: None,
            delivers: false,
        };
        let events = make(&before)?;
        // A nudge may come late: what an ended run held may be somebody else's by now.
        if events.is_empty() && before.status.is_terminal() {
            return Ok(before);
        }
        for event in events {
            turn.apply(event)?;
        }
        self.finish_turn(cell, Some(&before), turn).await
    }

    /// The first turn of a run: its submission, and all that follows at once. A run exists only
    /// for a plan that policy allowed.
    pub(crate) async fn open_run(
        self: &Arc<Self>,
        plan: Authorized<AskedPlan>,
        opening: Opening,
        extra: Vec<Write>,
    ) -> Result<Arc<Cell>, TurnError> {
        let submission = Submission {
            run: opening.run,
            at: self.clock.now(),
            origin: opening.origin,
            request: opening.request,
            plan: plan.into_inner().0,
        };
        let event = Event::Submitted(Box::new(submission.clone()));
        let run = Run::submitted(submission);
        let cell = Arc::new(Cell::new(Arc::new(run.clone())));
        let gate = cell.gate.lock().await;
        let turn = Turn {
            run,
            written: 0,
            events: vec![event],
            writes: extra,
            claimed: Vec::new(),
            hold: None,
            queued: None,
            delivers: false,
        };
        self.finish_turn(&cell, None, turn).await?;
        drop(gate);
        Ok(cell)
    }

    /// Takes one turn of a run; nothing when it has ended.
    pub(crate) async fn drive_open(
        self: &Arc<Self>,
        run: &RunId,
        make: impl FnOnce(&Run) -> Result<Vec<Event>, UserError> + Send,
    ) -> Result<(), TurnError> {
        if let Some(cell) = self.cell(run).await? {
            self.drive(&cell, make, Vec::new()).await?;
        }
        Ok(())
    }

    /// Looks again at a run: something it waits for may have come.
    pub(crate) fn nudge(self: &Arc<Self>, run: &RunId) {
        let shared = Arc::clone(self);
        let run = run.clone();
        self.tasks
            .spawn(async move { shared.look_again(&run).await });
    }

    /// Looks again at many runs.
    pub(crate) fn nudge_all(self: &Arc<Self>, runs: impl IntoIterator<Item = RunId>) {
        let runs: Vec<RunId> = runs.into_iter().collect();
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let places = Places::default();
            for run in runs {
                if shared.stopping.is_cancelled() {
                    return;
                }
                let again = Arc::clone(&shared);
                let look = async move { again.look_again(&run).await };
                places.take(&shared.tasks, look).await;
            }
        });
    }

    /// Looks again at a run. A store that fails is asked again later, because nothing else would.
    async fn look_again(self: &Arc<Self>, run: &RunId) {
        loop {
            match self.drive_open(run, |_| Ok(Vec::new())).await {
                Err(TurnError::Store(error)) if !self.stopping.is_cancelled() => {
                    tracing::error!(run.id = %run, error = &error as &dyn std::error::Error, "turn_failed");
                    if matches!(error, StoreError::Corrupt { .. }) {
                        return;
                    }
                    self.pause(Duration::from_secs(1)).await;
                }
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Looks again at a run after a pause: something outside must pass first.
    fn nudge_later(self: &Arc<Self>, run: &RunId) {
        let shared = Arc::clone(self);
        let run = run.clone();
        self.tasks.spawn(async move {
            shared.pause(LOOK_AGAIN).await;
            shared.nudge(&run);
        });
    }

    async fn finish_turn(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        before: Option<&Arc<Run>>,
        mut turn: Turn,
    ) -> Result<Arc<Run>, TurnError> {
        self.follow(cell, &mut turn).await;
        if !turn.events.is_empty() || !turn.writes.is_empty() {
            self.write_records(before.map(AsRef::as_ref), &mut turn)
                .await;
            let mut writes = vec![Write::Events {
                run: turn.run.id.clone(),
                after: turn.written,
                events: std::mem::take(&mut turn.events),
            }];
            // Most turns of a run that is under way change nothing that its row shows.
            if before.is_none_or(|before| before.status != turn.run.status) {
                writes.push(Write::Run(RunRow::from(&turn.run)));
            }
            writes.append(&mut turn.writes);
            turn.delivers = writes.iter().any(|write| matches!(write, Write::Outbox(_)));
            (self.fail_point)("turn.before_commit");
            if let Err(error) = self.store.commit(writes).await {
                if let Some(queued) = turn.queued {
                    for waiting in self.locks.take_back(&turn.run.id, queued) {
                        self.nudge(&waiting);
                    }
                }
                return Err(error.into());
            }
            (self.fail_point)("turn.after_commit");
        }
        Ok(self.publish(cell, before.map(AsRef::as_ref), turn))
    }

    /// Answers the core's commands as far as they can be answered now. Each answer may change what
    /// is to be done, so the commands are asked for again after every one.
    async fn follow(self: &Arc<Self>, cell: &Arc<Cell>, turn: &mut Turn) {
        while self.answer_one(cell, turn).await {}
        if turn.run.status.is_terminal() {
            self.close(turn);
        }
    }

    /// Answers the first command that can be answered; false when none can.
    async fn answer_one(self: &Arc<Self>, cell: &Arc<Cell>, turn: &mut Turn) -> bool {
        // A deadline that has passed comes before everything that it forbids.
        if let Some(expired) = self.expired(&turn.run) {
            return self.accept(cell, turn, expired);
        }
        turn.hold = None;
        for command in turn.run.commands() {
            let answered = match command {
                Command::AcquireLocks(keys) => match self.acquire(turn, &keys) {
                    Some(event) => self.accept(cell, turn, event),
                    None => false,
                },
                Command::ConfirmPlan => match self.confirm(&turn.run).await {
                    Ok(event) => self.accept(cell, turn, event),
                    Err(why) => {
                        turn.hold = Some(why);
                        self.nudge_later(&turn.run.id);
                        false
                    }
                },
                Command::Claim(step) => self.claim_step(cell, turn, step),
                // The attempt under way watches its run and stops by itself.
                Command::Stop(_) | Command::Close => false,
            };
            if answered {
                return true;
            }
        }
        false
    }

    fn expired(&self, run: &Run) -> Option<Event> {
        let now = self.clock.now();
        let (_, timer) = run.timers().into_iter().find(|(due, _)| *due <= now)?;
        Some(Event::Expired { at: now, timer })
    }

    /// Applies an answer; false, and nothing changed, when the core does not take it.
    fn accept(&self, cell: &Cell, turn: &mut Turn, event: Event) -> bool {
        match turn.apply(event) {
            Ok(()) => true,
            Err(illegal) => {
                tracing::error!(run.id = %cell.id, error = &illegal as &dyn std::error::Error, "command_answered_wrongly");
                false
            }
        }
    }

    /// Writes the intent to execute a step. Only what the core has taken is executed.
    fn claim_step(&self, cell: &Cell, turn: &mut Turn, step: StepId) -> bool {
        let Some((event, ledger)) = self.claim(turn, step) else {
            return false;
        };
        let claimed = if let Event::Claimed { attempt, .. } = &event {
            Some(*attempt)
        } else {
            None
        };
        if !self.accept(cell, turn, event) {
            return false;
        }
        turn.writes.extend(ledger.map(Write::EffectClaimed));
        turn.claimed.extend(claimed.map(|attempt| (step, attempt)));
        true
    }

    fn acquire(&self, turn: &mut Turn, keys: &[rave_domain::LockKey]) -> Option<Event> {
        let Asked { granted, queued } = self.locks.acquire(&turn.run, keys);
        let Some(epochs) = granted else {
            if !queued.known {
                turn.writes.push(Write::LockWait(queued.wait(&turn.run.id)));
                turn.queued = Some(queued);
            }
            return None;
        };
        turn.queued = Some(queued);
        turn.writes.push(Write::LockWaitOver(turn.run.id.clone()));
        turn.writes.extend(epochs.iter().map(|(key, epoch)| {
            Write::Lock(LockRow {
                key: key.clone(),
                epoch: *epoch,
                holder: Some(turn.run.id.clone()),
            })
        }));
        Some(Event::LocksGranted {
            at: self.clock.now(),
            epochs,
        })
    }

    /// Checks that a step is still allowed and writes the intent to execute it.
    fn claim(&self, turn: &mut Turn, id: StepId) -> Option<(Event, Option<LedgerRow>)> {
        let run = &turn.run;
        let step = run.step(id)?;
        let operation = run.operation(step)?;
        if self.stopping.is_cancelled() {
            turn.hold = Some("Rave is stopping".to_owned());
            return None;
        }
        let undo = step.undoes().is_some();
        if !undo {
            // Until the first claim a freeze on any of its targets holds the whole run back; a run
            // that is under way is let through to its end.
            let unstarted = run.plan.steps.iter().filter(|_| run.started_at.is_none());
            let frozen = unstarted
                .map(|planned| &planned.operation)
                .find_map(|operation| self.frozen_by(operation));
            if let Some(frozen) = frozen {
                turn.hold = Some(format!("{} is frozen", frozen.scope));
                return None;
            }
            if let Err(denial) = self.still_allowed(run, operation) {
                self.metrics.intent_failed(operation, "policy_denied");
                let refused = Event::ClaimRefused {
                    at: self.clock.now(),
                    step: id,
                    failure: rave_domain::run::Failure {
                        code: denial.code,
                        message: denial.message,
                    },
                };
                return Some((refused, None));
            }
        }
        if let Some(why) = self.breakers.hold(&operation.driver, &run.id) {
            turn.hold = Some(why);
            return None;
        }
        let at = self.clock.now();
        let attempt = Attempt(step.attempts.0 + 1);
        let epoch = self.store.epoch();
        let class = run.class(step);
        let ledger = (class != Class::Read).then(|| LedgerRow {
            run: run.id.clone(),
            step: id,
            attempt,
            epoch,
            key: run.effect_key(step),
            class,
            claimed_at: at,
            child: None,
        });
        let claimed = Event::Claimed {
            at,
            step: id,
            attempt,
            epoch,
        };
        Some((claimed, ledger))
    }

    /// Gives back what an ended run holds.
    fn close(&self, turn: &mut Turn) {
        let run = &turn.run;
        turn.writes.push(Write::LockWaitOver(run.id.clone()));
        turn.writes.extend(run.locks.iter().map(|(key, epoch)| {
            Write::Lock(LockRow {
                key: key.clone(),
                epoch: *epoch,
                holder: None,
            })
        }));
        turn.writes.push(Write::SecretsDropped(run.id.clone()));
    }

    /// Adds audit rows, alerts and messages about the turn's events.
    async fn write_records(&self, before: Option<&Run>, turn: &mut Turn) {
        // Events are recorded against the state after the turn: it only adds to what they say.
        for event in &turn.events {
            if let Some(row) = records::audit(&turn.run, event) {
                turn.writes.push(Write::Audit(row));
            }
        }
        let ended = before.is_none_or(|before| before.status != turn.run.status)
            && turn.run.status.is_terminal();
        if ended {
            turn.writes.push(Write::Audit(records::ended(&turn.run)));
        }
        if self.couriers.contains_key(records::ALERT_COURIER) {
            let about_events = turn
                .events
                .iter()
                .filter_map(|event| records::alert(&turn.run, event));
            let about_end = ended.then(|| records::end_alert(&turn.run)).flatten();
            let rows: Vec<Write> = about_events
                .chain(about_end)
                .map(|alert| Write::Outbox(records::alert_row(alert, Some(&turn.run))))
                .collect();
            turn.writes.extend(rows);
        }
        if let Some(row) = self.message(before, &turn.run).await {
            turn.writes.push(Write::Outbox(row));
        }
        let live = self.live_rows(before, &turn.run);
        turn.writes.extend(live.into_iter().map(Write::Outbox));
    }

    /// Makes the next state the present one and sets off what it asks for.
    fn publish(self: &Arc<Self>, cell: &Arc<Cell>, before: Option<&Run>, turn: Turn) -> Arc<Run> {
        let run = Arc::new(turn.run);
        let ended = run.status.is_terminal();
        if before.is_none() && !ended {
            self.cells.open(cell);
        }
        let held = turn.hold.is_some();
        self.cells.turned(&run, turn.hold);
        cell.publish(Arc::clone(&run));
        self.followers.ring(&run);
        self.timers.arm(&run);
        for (step, attempt) in turn.claimed {
            self.execute(Arc::clone(cell), step, attempt);
        }
        if ended {
            self.cells.close(&run.id);
            self.metrics.run_ended(run.status.as_str());
            for waiting in self.locks.release(&run.id) {
                self.nudge(&waiting);
            }
        }
        if before.is_none() && !ended && (held || self.locks.is_queued(&run.id)) {
            // What it waits for may have come before anybody could find it.
            self.nudge(&run.id);
        }
        if before.is_some_and(|before| before.status == run.status) {
            // Another state is a row of the outbox.
            self.live_changed(&run);
        }
        if turn.delivers {
            self.outbox_wake.notify_one();
        }
        run
    }
}

/// Whether a run waits for people or is over: where waiting callers get their answer.
pub(crate) fn is_settled(status: RunStatus) -> bool {
    status.is_terminal()
        || matches!(
            status,
            RunStatus::AwaitingApproval | RunStatus::NeedsAttention
        )
}
