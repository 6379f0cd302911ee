//! One process of Rave in miniature: turns as in the engine's `journal`, around the real core and
//! the real lock table. What it knows dies with it.
//!
//! Imitated, because the engine does it between awaits: the order "event, answers to commands, one
//! commit, publish, effects" of a turn, what a failed commit gives back, and who is looked at
//! again when locks come free. What is decided is the core's and the policy's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rave_domain::ids::{Attempt, Epoch, LockKey, RunId, StepId};
use rave_domain::ports::courier::{Alert, Parcel};
use rave_domain::ports::store::{
    Freeze, InboxRow, LedgerRow, LockRow, LockWait, OutboxRow, RunRow, Write,
};
use rave_domain::run::{Command, Event, Failure, LockTable, Outcome, Run};
use rave_domain::{ErrorCode, Timestamp};
use rave_policy::freeze_gate;
use serde_json::json;

use crate::disk::{Done, Job, Ticket};
use crate::simulation::{Seen, Simulation};

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its claim is durable; nothing has been done.
    Claimed,
    /// What its undo needs is being written.
    Preparing,
    /// What its undo needs is durable.
    Prepared,
    /// The driver has it.
    Effect,
    /// Its result is being written.
    Reporting,
}

/// Whose attempt.
pub(crate) type AttemptId = (RunId, StepId, Attempt);

/// Why a turn is wanted, and so what follows when it cannot be written.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// Something it waits for may have come.
    Nudge,
    /// A deadline passed.
    Timer,
    /// Somebody asked.
    Request(Box<InboxRow>),
    /// Somebody breaks a lock.
    Unlock(Box<InboxRow>, LockKey),
    /// An attempt has read what its undo needs.
    Prepare(AttemptId),
    /// An attempt has ended.
    Report(AttemptId, Outcome),
    /// Recovery has settled a step.
    Settle(StepId),
}

/// A turn that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) event: Option<Event>,
    pub(crate) writes: Vec<Write>,
    pub(crate) why: Why,
}

impl Ask {
    pub(crate) fn nudge() -> Self {
        Self {
            event: None,
            writes: Vec::new(),
            why: Why::Nudge,
        }
    }
}

/// An open run.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) run: Run,
    /// Whether a turn is being written.
    pub(crate) busy: bool,
    pub(crate) asks: VecDeque<Ask>,
}

/// A turn under way.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Option<Run>,
    run: Run,
    events: Vec<Event>,
    writes: Vec<Write>,
    claimed: Vec<AttemptId>,
    held: bool,
    /// What the lock table takes back if the turn is not written, and whether it waited before.
    queued: Option<(LockWait, bool)>,
    why: Why,
}

/// What follows when the disk has answered.
#[derive(Debug)]
pub(crate) enum Then {
    Gate(Box<InboxRow>),
    Publish(Box<Turn>),
    Refused(Vec<Write>),
    Frozen(Box<InboxRow>, Freeze),
    Unfrozen(Box<InboxRow>, String),
    Delivered,
}

#[derive(Debug)]
pub(crate) struct Bot {
    pub(crate) epoch: Epoch,
    /// Whether it was told to end: it takes no requests and claims nothing.
    pub(crate) stopping: bool,
    pub(crate) cells: BTreeMap<RunId, Cell>,
    pub(crate) locks: LockTable,
    pub(crate) freezes: BTreeMap<String, Freeze>,
    pub(crate) pending: BTreeMap<Ticket, Then>,
    pub(crate) attempts: BTreeMap<AttemptId, Stage>,
    /// Runs that are held by something outside and looked at again later.
    pub(crate) held: BTreeSet<RunId>,
    /// Steps that recovery has still to settle.
    pub(crate) settling: VecDeque<(RunId, StepId)>,
    /// Requests that the last process did not answer.
    pub(crate) unanswered: VecDeque<InboxRow>,
}

impl Bot {
    pub(crate) fn ask(&mut self, run: &RunId, ask: Ask) {
        if let Some(cell) = self.cells.get_mut(run) {
            cell.asks.push_back(ask);
        }
    }

    fn nudge_all(&mut self, runs: Vec<RunId>) {
        for run in runs {
            self.ask(&run, Ask::nudge());
        }
    }
}

impl Simulation<'_> {
    /// A run takes the next turn that is wanted of it.
    pub(crate) fn take_turn(&mut self, id: &RunId) -> Seen {
        let cell = self.bot().cells.get_mut(id).unwrap();
        let ask = cell.asks.pop_front().unwrap();
        let mut turn = Turn {
            before: Some(cell.run.clone()),
            run: cell.run.clone(),
            events: Vec::new(),
            writes: ask.writes,
            claimed: Vec::new(),
            held: false,
            queued: None,
            why: ask.why,
        };
        if let Some(event) = ask.event {
            if let Err(illegal) = turn.run.evolve(&event) {
                return self.does_not_fit(id, turn.why, illegal.why);
            }
            turn.events.push(event);
        }
        self.finish_turn(turn)
    }

    /// The first turn of a run.
    pub(crate) fn open_run(&mut self, event: Event, writes: Vec<Write>, row: InboxRow) -> Seen {
        let Event::Submitted(submission) = &event else {
            return Err("a run begins with its submission".to_owned());
        };
        let turn = Turn {
            before: None,
            run: Run::submitted((**submission).clone()),
            events: vec![event],
            writes,
            claimed: Vec::new(),
            held: false,
            queued: None,
            why: Why::Request(Box::new(row)),
        };
        self.finish_turn(turn)
    }

    /// Somebody was faster; a result or a recovery has nobody who could be.
    fn does_not_fit(&mut self, id: &RunId, why: Why, refused: &str) -> Seen {
        match why {
            Why::Nudge | Why::Timer => Ok(()),
            Why::Request(row) | Why::Unlock(row, _) => self.refuse(&row, refused),
            Why::Prepare(_) | Why::Report(..) | Why::Settle(_) => Err(format!(
                "{id}: what became of a step does not fit: {refused}"
            )),
        }
    }

    fn finish_turn(&mut self, mut turn: Turn) -> Seen {
        while self.answer_one(&mut turn)? {}
        if turn.run.status.is_terminal() {
            close(&mut turn);
        }
        if turn.events.is_empty() && turn.writes.is_empty() {
            return self.publish(turn);
        }
        let before = turn.before.as_ref();
        if before.is_none_or(|before| before.status != turn.run.status) {
            turn.writes
                .push(Write::Outbox(message(&turn.run, self.now)));
        }
        let written = before.map_or(0, |before| before.seq);
        let mut writes = vec![
            Write::Events {
                run: turn.run.id.clone(),
                after: written,
                events: turn.events.clone(),
            },
            Write::Run(RunRow::from(&turn.run)),
        ];
        writes.append(&mut turn.writes);
        let kinds: Vec<&str> = turn.events.iter().map(Event::kind).collect();
        self.note(format_args!(
            "{} turns: {} → {}",
            turn.run.id,
            kinds.join(" "),
            turn.run.status
        ));
        if let Some(cell) = self.bot().cells.get_mut(&turn.run.id) {
            cell.busy = true;
        }
        self.submit(Job::Commit(writes), Then::Publish(Box::new(turn)));
        Ok(())
    }

    /// Answers the first command that can be answered; false when none can.
    fn answer_one(&mut self, turn: &mut Turn) -> Result<bool, String> {
        let at = self.now;
        let due = turn.run.timers().into_iter().find(|(due, _)| *due <= at);
        if let Some((_, timer)) = due {
            return accept(turn, Event::Expired { at, timer });
        }
        turn.held = false;
        for command in turn.run.commands() {
            let event = match command {
                Command::AcquireLocks(keys) => self.acquire(turn, keys),
                Command::ConfirmPlan => self.confirm(turn),
                Command::Claim(step) => self.claim(turn, step),
                Command::Stop(_) | Command::Close => None,
            };
            if let Some(event) = event {
                return accept(turn, event);
            }
        }
        Ok(false)
    }

    fn acquire(&mut self, turn: &mut Turn, keys: Vec<LockKey>) -> Option<Event> {
        let at = self.now;
        let run = turn.run.id.clone();
        let keys: BTreeSet<LockKey> = keys.into_iter().collect();
        let locks = &mut self.bot().locks;
        let known = locks.ticket(&run).is_some();
        let ticket = locks.enqueue(&run, keys.clone(), None);
        let granted = locks.grant(&run);
        let wait = LockWait { ticket, run, keys };
        let Some(epochs) = granted else {
            if !known {
                turn.writes.push(Write::LockWait(wait.clone()));
                turn.queued = Some((wait, known));
            }
            return None;
        };
        turn.writes.push(Write::LockWaitOver(wait.run.clone()));
        turn.writes.extend(epochs.iter().map(|(key, epoch)| {
            Write::Lock(LockRow {
                key: key.clone(),
                epoch: *epoch,
                holder: Some(wait.run.clone()),
            })
        }));
        turn.queued = Some((wait, known));
        Some(Event::LocksGranted { at, epochs })
    }

    /// What people approved is what runs; sometimes it cannot be told now.
    fn confirm(&mut self, turn: &mut Turn) -> Option<Event> {
        let at = self.now;
        if turn.run.plan.approvals.is_empty() {
            return Some(Event::Started { at });
        }
        if self.mishap(8) {
            turn.held = true;
            return None;
        }
        let now = self.catalog.plan(&turn.run.request);
        if now.digest == turn.run.plan.digest {
            return Some(Event::Started { at });
        }
        let changes = turn.run.plan.differences(&now);
        Some(Event::Voided { at, changes })
    }

    fn claim(&mut self, turn: &mut Turn, id: StepId) -> Option<Event> {
        let at = self.now;
        let run = &turn.run;
        let step = run.step(id)?;
        if self.bot().stopping {
            turn.held = true;
            return None;
        }
        if step.undoes().is_none() {
            let freezes: Vec<Freeze> = self.bot().freezes.values().cloned().collect();
            let mut unstarted = run.plan.steps.iter().filter(|_| run.started_at.is_none());
            let frozen = unstarted.any(|planned| {
                let operation = &planned.operation;
                freeze_gate(&freezes, &operation.intent, Some(&operation.target)).is_err()
            });
            if frozen {
                turn.held = true;
                return None;
            }
            let name = &run.operation(step)?.intent;
            if !self.company.may_ask(self.rules, &run.origin.account, name) {
                return Some(Event::ClaimRefused {
                    at,
                    step: id,
                    failure: Failure {
                        code: ErrorCode::PolicyDenied,
                        message: "not any more".to_owned(),
                    },
                });
            }
        }
        let attempt = Attempt(step.attempts.0 + 1);
        let epoch = self.bot().epoch;
        let class = run.class(step);
        if class != rave_domain::plan::Class::Read {
            turn.writes.push(Write::EffectClaimed(LedgerRow {
                run: run.id.clone(),
                step: id,
                attempt,
                epoch,
                key: run.effect_key(step),
                class,
                claimed_at: at,
                child: None,
            }));
        }
        turn.claimed.push((run.id.clone(), id, attempt));
        Some(Event::Claimed {
            at,
            step: id,
            attempt,
            epoch,
        })
    }

    /// The disk has answered for a turn.
    pub(crate) fn turn_written(&mut self, mut turn: Turn, done: &Done) -> Seen {
        match done {
            Done::Written => return self.publish(turn),
            Done::Unavailable => {}
            Done::Conflict | Done::Duplicate(_) => {
                return Err(format!("{} has a second writer", turn.run.id));
            }
        }
        let id = turn.run.id.clone();
        let bot = self.bot();
        if let Some((wait, known)) = turn.queued.take() {
            bot.locks.release(&id);
            if known {
                bot.locks.enqueue(&id, wait.keys, Some(wait.ticket));
            }
            let ready = bot.locks.ready();
            bot.nudge_all(ready);
        }
        if let Some(cell) = bot.cells.get_mut(&id) {
            cell.busy = false;
        }
        match turn.why {
            Why::Nudge => {
                bot.held.insert(id);
            }
            // It is due as before.
            Why::Timer => {}
            Why::Request(row) | Why::Unlock(row, _) => {
                return self.refuse(&row, "the store is down");
            }
            Why::Prepare(attempt) => self.report(attempt, untouched("not recorded", false)),
            Why::Report(attempt, outcome) => self.report(attempt, outcome),
            Why::Settle(step) => bot.settling.push_back((id, step)),
        }
        Ok(())
    }

    /// Makes the next state the present one and sets off what it asks for.
    fn publish(&mut self, turn: Turn) -> Seen {
        let id = turn.run.id.clone();
        let first = turn.before.is_none();
        let ended = turn.run.status.is_terminal();
        let bot = self.bot();
        if first && !ended {
            let run = turn.run.clone();
            let cell = Cell {
                run,
                busy: false,
                // What it waits for may have come before anybody could find it.
                asks: VecDeque::from([Ask::nudge()]),
            };
            bot.cells.insert(id.clone(), cell);
        } else if let Some(cell) = bot.cells.get_mut(&id) {
            cell.busy = false;
            cell.run = turn.run;
        }
        if turn.held {
            bot.held.insert(id.clone());
        }
        for attempt in turn.claimed {
            bot.attempts.insert(attempt, Stage::Claimed);
        }
        let mut broken = None;
        let answered = match turn.why {
            Why::Request(row) => Some(row),
            Why::Unlock(row, key) => {
                broken = Some(key);
                Some(row)
            }
            Why::Prepare(attempt) => {
                bot.attempts.insert(attempt, Stage::Prepared);
                None
            }
            Why::Report(attempt, _) => {
                bot.attempts.remove(&attempt);
                None
            }
            Why::Nudge | Why::Timer | Why::Settle(_) => None,
        };
        let mut late = VecDeque::new();
        if ended {
            late = bot
                .cells
                .remove(&id)
                .map(|cell| cell.asks)
                .unwrap_or_default();
            bot.locks.release(&id);
        }
        if let Some(key) = &broken
            && bot.locks.holder(key) == Some(&id)
        {
            bot.locks.break_lock(key);
        }
        if ended || broken.is_some() {
            let ready = bot.locks.ready();
            bot.nudge_all(ready);
        }
        for ask in late {
            self.does_not_fit(&id, ask.why, "it has ended")?;
        }
        match answered {
            Some(row) => self.answer_accepted(&row, &id),
            None => Ok(()),
        }
    }
}

fn accept(turn: &mut Turn, event: Event) -> Result<bool, String> {
    if let Err(illegal) = turn.run.evolve(&event) {
        return Err(format!(
            "{} answers its own command wrongly: {illegal}",
            turn.run.id
        ));
    }
    turn.events.push(event);
    Ok(true)
}

/// Gives back what an ended run holds.
fn close(turn: &mut Turn) {
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

/// A failure before any effect.
pub(crate) fn untouched(message: &str, may_pass: bool) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            code: ErrorCode::StoreUnavailable,
            message: message.to_owned(),
        },
        may_pass,
        touched: false,
    }
}

fn message(run: &Run, at: Timestamp) -> OutboxRow {
    OutboxRow {
        id: 0,
        courier: "chat".to_owned(),
        lane: run.id.to_string(),
        parcel: Parcel::Alert(Alert {
            title: json!(run.status).to_string(),
            text: String::new(),
            good: true,
            at,
        }),
        run: Some(run.id.clone()),
        created_at: at,
        due_at: at,
        expires_at: None,
        attempts: 0,
    }
}
