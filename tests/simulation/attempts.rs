//! Attempts and recovery in miniature, as in the engine's `runner` and `recovery`: prepare, effect,
//! result; and after a restart what was under way, by class. What a lost outcome comes to is the
//! core's ([`Lost`]).

use std::collections::BTreeMap;

use rave_domain::ErrorCode;
use rave_domain::ids::{EffectKey, RunId, StepId};
use rave_domain::plan::{Class, Undo};
use rave_domain::ports::driver::{Applied, Inspection};
use rave_domain::ports::store::Write;
use rave_domain::run::{
    Command, Event, Failure, Finding, LockTable, Lost, Outcome, Resolution, Run, Settled, Step,
};
use rave_domain::time::after;
use serde_json::json;

use crate::bot::{Ask, AttemptId, Bot, Cell, Stage, Why, untouched};
use crate::simulation::{Seen, Simulation};
use crate::world::{Effect, Weather, Word, World};

impl Simulation<'_> {
    fn run_of(&mut self, attempt: &AttemptId) -> Run {
        self.bot().cells[&attempt.0].run.clone()
    }

    /// Whether an attempt is to be stopped.
    pub(crate) fn is_stopped(&mut self, (run, step, _): &AttemptId) -> bool {
        let cell = self.bot().cells.get(run);
        cell.is_some_and(|cell| cell.run.commands().contains(&Command::Stop(*step)))
    }

    /// The next thing an attempt does before its effect.
    pub(crate) fn advance(&mut self, id: AttemptId) -> Seen {
        let run = self.run_of(&id);
        let step = run.step(id.1).ok_or("an attempt of no step")?;
        if self.is_stopped(&id) {
            self.report(id, Outcome::Stopped { touched: false });
            return Ok(());
        }
        let unread = self.bot().attempts[&id] == Stage::Claimed && step.prepared.is_none();
        if unread && has_own_undo(&run, step) {
            self.prepare(id);
            return Ok(());
        }
        self.begin(id, &run, step)
    }

    fn prepare(&mut self, id: AttemptId) {
        if self.mishap(10) {
            let may_pass = self.dice.one_in(2);
            self.report(id, untouched("what runs now cannot be read", may_pass));
            return;
        }
        self.note(format_args!("{} {} reads what its undo needs", id.0, id.1));
        let event = Event::Prepared {
            at: self.now,
            step: id.1,
            undo: Some(json!("as it was")),
        };
        self.bot().attempts.insert(id.clone(), Stage::Preparing);
        let run = id.0.clone();
        let ask = Ask {
            event: Some(event),
            writes: Vec::new(),
            why: Why::Prepare(id),
        };
        self.bot().ask(&run, ask);
    }

    fn begin(&mut self, id: AttemptId, run: &Run, step: &Step) -> Seen {
        let operation = run.operation(step).ok_or("an effect of no operation")?;
        let class = run.class(step);
        let (will_land, word) = World::fate(class, self.weather, &mut self.dice);
        let effect = Effect {
            run: id.0.clone(),
            step: id.1,
            attempt: id.2,
            epoch: self.bot().epoch,
            key: run.effect_key(step),
            class,
            target: operation.target.clone(),
            timeout: operation.timeout,
            will_land,
            word,
        };
        self.note(format_args!("{} {class} begins", effect.key));
        self.bot().attempts.insert(id, Stage::Effect);
        self.promises.begins(&effect, &self.disk, &self.world)?;
        self.world.running.push(effect);
        Ok(())
    }

    /// The next thing a running effect does: it takes place, or the driver answers.
    pub(crate) fn act(&mut self, at: usize) -> Seen {
        let effect = self.world.running[at].clone();
        let doubtful = matches!(effect.word, Word::Lost | Word::Panic | Word::Silence);
        let lands = effect.will_land && !(doubtful && self.dice.one_in(2));
        if lands {
            self.world.land(at);
            self.note(format_args!("{} takes place", effect.key));
            return self.promises.lands(&effect, &self.world);
        }
        let id = (effect.run.clone(), effect.step, effect.attempt);
        let waited_for = self.bot.as_ref().is_some_and(|bot| {
            bot.epoch == effect.epoch && bot.attempts.get(&id) == Some(&Stage::Effect)
        });
        if !waited_for {
            // Nobody listens; what is still to come may come later.
            if !effect.will_land {
                self.world.running.remove(at);
            }
            return Ok(());
        }
        if self.paused {
            return Ok(());
        }
        self.note(format_args!("{} ends: {:?}", effect.key, effect.word));
        self.answered(id, &effect);
        Ok(())
    }

    /// A cancelled run has its driver end the effect.
    pub(crate) fn stop_effect(&mut self, at: usize) {
        let effect = self.world.running[at].clone();
        let id = (effect.run.clone(), effect.step, effect.attempt);
        self.note(format_args!("{} is told to stop", effect.key));
        let outcome = self.lost(&id, &effect.key, effect.class, "it was stopped");
        self.report(id, outcome);
    }

    fn answered(&mut self, id: AttemptId, effect: &Effect) {
        let failed = |may_pass| Outcome::Failed {
            failure: Failure {
                code: ErrorCode::CommandFailed,
                message: "exit 1".to_owned(),
            },
            may_pass,
            touched: true,
        };
        let key = &effect.key;
        let stopping = self.is_stopped(&id);
        let outcome = match effect.word {
            Word::Done => Outcome::Succeeded {
                facts: BTreeMap::new(),
            },
            Word::Rejected if !stopping => failed(false),
            Word::Transient if !stopping => failed(true),
            Word::Rejected | Word::Transient | Word::Lost | Word::Panic => {
                self.lost(&id, key, effect.class, "the outcome is lost")
            }
            Word::Silence => {
                self.now = after(self.now, effect.timeout);
                // In the grace after a timeout an answer may still come.
                if self.world.took_place(key) > 0 && !effect.will_land && self.dice.one_in(2) {
                    Outcome::Succeeded {
                        facts: BTreeMap::new(),
                    }
                } else {
                    self.lost(&id, key, effect.class, "it took too long")
                }
            }
        };
        let settled = !matches!(outcome, Outcome::Unknown { .. });
        if settled || effect.word == Word::Done {
            self.world.end(key);
        }
        self.report(id, outcome);
    }

    fn lost(&mut self, id: &AttemptId, key: &EffectKey, class: Class, how: &str) -> Outcome {
        let found = self.find_out(key, class);
        let lost = Lost {
            class,
            how: how.to_owned(),
            found,
        };
        if self.is_stopped(id) {
            lost.stopped()
        } else {
            lost.outcome()
        }
    }

    /// Ends what is left of an effect, and looks at the target where that tells something.
    fn find_out(&mut self, key: &EffectKey, class: Class) -> Finding {
        if self.world.runs(key) && self.mishap(6) {
            return Finding::StillRuns;
        }
        self.world.end(key);
        if !class.is_looked_up() {
            return Finding::Ended;
        }
        Finding::Looked(if self.mishap(6) {
            Inspection::Unsure {
                why: "the target does not say".to_owned(),
            }
        } else if self.world.took_place(key) > 0 {
            Inspection::Happened(Applied::default())
        } else {
            Inspection::DidNot
        })
    }

    /// Writes what an attempt came to, as often as it takes.
    pub(crate) fn report(&mut self, id: AttemptId, outcome: Outcome) {
        self.bot().attempts.insert(id.clone(), Stage::Reporting);
        let (run, step, attempt) = id.clone();
        let event = self.reported(&id, outcome.clone());
        let ask = Ask {
            event: Some(event),
            writes: vec![Write::EffectEnded {
                run: run.clone(),
                step,
                attempt,
                at: self.now,
                outcome: String::new(),
            }],
            why: Why::Report(id, outcome),
        };
        self.bot().ask(&run, ask);
    }

    fn reported(&self, (_, step, attempt): &AttemptId, outcome: Outcome) -> Event {
        Event::Reported {
            at: self.now,
            step: *step,
            attempt: *attempt,
            outcome,
            tail: String::new(),
            output: None,
        }
    }

    /// A start: everything is read back from the disk.
    pub(crate) fn start(&mut self) -> Seen {
        self.disk.epoch.0 += 1;
        let mut locks = LockTable::default();
        for row in self.disk.locks.values() {
            locks.restore(row.key.clone(), row.epoch, row.holder.clone());
        }
        for wait in self.disk.waits.values() {
            locks.enqueue(&wait.run, wait.keys.clone(), Some(wait.ticket));
        }
        let unanswered = self.disk.inbox.values().filter(|row| row.answer.is_none());
        let mut unanswered: Vec<_> = unanswered.cloned().collect();
        unanswered.sort_by(|a, b| a.request.cmp(&b.request));
        let mut bot = Bot {
            epoch: self.disk.epoch,
            stopping: false,
            cells: BTreeMap::new(),
            locks,
            freezes: self.disk.freezes.clone(),
            pending: BTreeMap::new(),
            attempts: BTreeMap::new(),
            held: std::collections::BTreeSet::new(),
            settling: std::collections::VecDeque::new(),
            unanswered: unanswered.into(),
        };
        for (id, events) in &self.disk.journals {
            let ended = self.disk.rows.get(id).is_some_and(|row| row.is_terminal());
            if ended {
                continue;
            }
            let run = Run::replay(events.iter().cloned())
                .map_err(|illegal| format!("{id} cannot be read back: {illegal}"))?;
            let active = run.steps.iter().filter(|step| step.status.is_active());
            let active: Vec<StepId> = active.map(|step| step.id).collect();
            let mut asks = std::collections::VecDeque::new();
            if active.is_empty() {
                asks.push_back(Ask::nudge());
            }
            bot.settling
                .extend(active.into_iter().map(|step| (id.clone(), step)));
            let cell = Cell {
                run,
                busy: false,
                asks,
            };
            bot.cells.insert(id.clone(), cell);
        }
        self.note(format_args!(
            "start {}: {} runs, {} steps under way, {} requests",
            bot.epoch.0,
            bot.cells.len(),
            bot.settling.len(),
            bot.unanswered.len()
        ));
        self.bot = Some(bot);
        Ok(())
    }

    /// Recovery looks after one step that was under way.
    pub(crate) fn settle(&mut self, (id, step): &(RunId, StepId)) -> Seen {
        let run = self.bot().cells[id].run.clone();
        let state = run.step(*step).ok_or("a step that is gone")?;
        let key = run.effect_key(state);
        let class = run.class(state);
        let how = "Rave was killed while it ran".to_owned();
        let found = self.find_out(&key, class);
        let attempt = (id.clone(), *step, state.attempts);
        let event = match (Lost { class, how, found }).settled() {
            Settled::Rerun => Event::Recovered {
                at: self.now,
                step: *step,
                resolution: Resolution::Rerun,
            },
            Settled::Ended(outcome) => self.reported(&attempt, outcome),
        };
        self.note(format_args!("{key} is settled: {}", event.kind()));
        let ask = Ask {
            event: Some(event),
            writes: vec![Write::EffectEnded {
                run: id.clone(),
                step: *step,
                attempt: attempt.2,
                at: self.now,
                outcome: String::new(),
            }],
            why: Why::Settle(*step),
        };
        self.bot().ask(id, ask);
        self.bot().ask(id, Ask::nudge());
        Ok(())
    }

    /// Whether something goes wrong, once in so many times and only in a storm.
    pub(crate) fn mishap(&mut self, times: u32) -> bool {
        self.weather == Weather::Storm && self.dice.one_in(times)
    }
}

fn has_own_undo(run: &Run, step: &Step) -> bool {
    let own = run
        .planned(step)
        .is_some_and(|planned| matches!(planned.undo, Undo::Own { .. }));
    step.undoes().is_none() && run.plan.options.rollback_on_failure && own
}
