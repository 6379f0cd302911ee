//! What must never happen, looked at after every commit, effect and answer. Each rule names the
//! promise of design.md 6 or 7 that it checks. Nothing here trusts Rave: it keeps its own books
//! from what came on disk, what happened to the world and what people were told.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::ids::{EffectKey, LockKey, RequestId, RunId, StepId};
use rave_domain::people::Account;
use rave_domain::plan::Class;
use rave_domain::ports::store::{InboxKey, InboxRow, LockWait, Write};
use rave_domain::request::{Change, Decision, Verdict};
use rave_domain::run::{Event, Outcome, Run, Step, StepStatus, Timer};
use rave_domain::time::after;
use rave_domain::{PersonId, Timestamp};
use serde_json::Value;

use crate::company::Company;
use crate::disk::{Disk, Job};
use crate::simulation::Seen;
use crate::world::{Effect, World};

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Each run as its committed journal has it.
    runs: BTreeMap<RunId, Run>,
    requests: BTreeSet<RequestId>,
    told: BTreeMap<InboxKey, Value>,
    /// Runs whose cancel has been acknowledged.
    stopped: BTreeSet<RunId>,
    /// Human verdicts that allow an effect once more.
    agains: BTreeMap<(RunId, StepId), u32>,
    claims: BTreeMap<(RunId, StepId), u32>,
    begun: BTreeMap<EffectKey, u32>,
    /// Effects that a person has settled while something of them may still have been running.
    judged: BTreeSet<EffectKey>,
    broken: BTreeMap<RunId, BTreeSet<LockKey>>,
    waits: BTreeMap<RunId, LockWait>,
    /// When a failed step may be tried again.
    due: BTreeMap<(RunId, StepId), Timestamp>,
}

fn holds(rule: bool, promise: &str, what: impl FnOnce() -> String) -> Seen {
    if rule {
        Ok(())
    } else {
        Err(format!("BROKEN: {promise}: {}", what()))
    }
}

impl Promises {
    pub(crate) fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    /// A job has been committed.
    pub(crate) fn committed(
        &mut self,
        job: &Job,
        disk: &Disk,
        company: &Company,
        world: &World,
    ) -> Seen {
        let Job::Commit(writes) = job else {
            return Ok(());
        };
        for write in writes {
            if let Write::Events { run, events, .. } = write {
                for event in events {
                    self.event(run, event, disk, company, world)?;
                }
            } else if let Write::LockWait(wait) = write {
                self.waits.insert(wait.run.clone(), wait.clone());
            } else if let Write::LockWaitOver(run) = write {
                self.waits.remove(run);
            }
        }
        let moved = writes
            .iter()
            .any(|write| matches!(write, Write::Events { .. }));
        if moved { self.whole(disk) } else { Ok(()) }
    }

    fn event(
        &mut self,
        id: &RunId,
        event: &Event,
        disk: &Disk,
        company: &Company,
        world: &World,
    ) -> Seen {
        if let Event::Submitted(submission) = event {
            let request = &submission.origin.request;
            holds(
                self.requests.insert(request.clone()),
                "a request is never run twice (7.1)",
                || format!("{request} has a second run, {id}"),
            )?;
            let recorded = disk.inbox.values().any(|row| row.request == *request);
            holds(
                recorded,
                "a request is on disk before its run (7.1)",
                || request.to_string(),
            )?;
            let run = Run::submitted((**submission).clone());
            self.runs.insert(id.clone(), run);
            return Ok(());
        }
        let before = self
            .runs
            .get(id)
            .ok_or("events of a run that nobody has begun")?
            .clone();
        holds(
            !before.status.is_terminal(),
            "terminal states never change (7.6)",
            || format!("{id} is {} and got {}", before.status, event.kind()),
        )?;
        let mut after = before.clone();
        if let Err(illegal) = after.evolve(event) {
            return Err(format!(
                "BROKEN: the journal can be read back (7): {id}: {illegal}"
            ));
        }
        match event {
            Event::Claimed { at, step, .. } => self.claimed(&before, *step, *at, disk)?,
            Event::Decided { .. } => decided(&before, &after, event, company)?,
            Event::LocksGranted { .. } => self.granted(&after)?,
            Event::LockBroken { lock, .. } => {
                let broken = self.broken.entry(id.clone()).or_default();
                broken.insert(lock.clone());
            }
            Event::Reported { step, outcome, .. } => {
                self.reported(&before, &after, *step, outcome, event.at(), world)?;
            }
            Event::Resolved { step, verdict, .. } => {
                let state = &before.steps[step.index()];
                self.judged.insert(before.effect_key(state));
                if *verdict == Verdict::Again {
                    *self.agains.entry((id.clone(), *step)).or_default() += 1;
                }
            }
            // Once noticed, a deadline has passed, also when the clock is set back after that.
            Event::Expired {
                at,
                timer: Timer::Retry(step),
            } => {
                let due = self.due.remove(&(id.clone(), *step));
                holds(
                    due.is_some_and(|due| due <= *at),
                    "backoff is never shortened (7.5)",
                    || format!("step {step} of {id} at {at}, due {due:?}"),
                )?;
            }
            Event::Submitted(_)
            | Event::Expired { .. }
            | Event::Started { .. }
            | Event::Voided { .. }
            | Event::ClaimRefused { .. }
            | Event::Prepared { .. }
            | Event::Recovered { .. }
            | Event::CancelRequested { .. } => {}
        }
        for (was, is) in before.steps.iter().zip(&after.steps) {
            holds(
                !was.status.is_terminal() || was.status == is.status,
                "terminal states never change (7.6)",
                || format!("step {} of {id} left {}", was.id, was.status.as_str()),
            )?;
        }
        self.runs.insert(id.clone(), after);
        Ok(())
    }

    fn claimed(&mut self, run: &Run, id: StepId, at: Timestamp, disk: &Disk) -> Seen {
        let step = &run.steps[id.index()];
        let key = (run.id.clone(), id);
        let named = || format!("{} {}", run.id, run.title(step));
        let class = run.class(step);
        let row = disk.ledger.get(&(
            run.id.clone(),
            id,
            rave_domain::Attempt(step.attempts.0 + 1),
        ));
        holds(
            class == Class::Read || row.is_some_and(|row| row.epoch == disk.epoch),
            "a claim and its ledger row are one commit, under the executor's epoch (7.3)",
            named,
        )?;
        let claims = self.claims.entry(key.clone()).or_default();
        *claims += 1;
        let rounds = self.agains.get(&key).copied().unwrap_or_default() + 1;
        holds(
            class != Class::Once || *claims <= rounds,
            "a `once` step runs at most once per human decision (7.3)",
            named,
        )?;
        holds(
            !self.due.contains_key(&key),
            "a retry waits for its time (7.5)",
            named,
        )?;
        let broken = self.broken.get(&run.id);
        let ours = |lock: &LockKey| {
            let holder = disk.locks.get(lock).and_then(|row| row.holder.as_ref());
            holder == Some(&run.id) || broken.is_some_and(|broken| broken.contains(lock))
        };
        holds(
            run.plan.locks().iter().all(ours),
            "all locks are held before the first effect (7.4)",
            named,
        )?;
        if run.started_at.is_none() {
            approved(run, at)?;
        }
        if step.undoes().is_some() {
            return Ok(());
        }
        holds(
            run.cancel.is_none(),
            "a cancel lets nothing further be claimed (7.5)",
            named,
        )?;
        ready(run, step)
    }

    /// First come, first served.
    fn granted(&self, run: &Run) -> Seen {
        let place = self.waits.get(&run.id).map_or(u64::MAX, |wait| wait.ticket);
        let earlier = self.waits.values().find(|wait| {
            wait.ticket < place && wait.keys.iter().any(|key| run.locks.contains_key(key))
        });
        holds(
            earlier.is_none(),
            "locks are given in the order of asking (7.4)",
            || format!("{} overtook {:?}", run.id, earlier),
        )
    }

    fn reported(
        &mut self,
        before: &Run,
        after_it: &Run,
        id: StepId,
        outcome: &Outcome,
        at: Timestamp,
        world: &World,
    ) -> Seen {
        let was = &before.steps[id.index()];
        let is = &after_it.steps[id.index()];
        let key = before.effect_key(was);
        let succeeded = matches!(outcome, Outcome::Succeeded { .. });
        holds(
            !succeeded || world.took_place(&key) > 0,
            "success is what took place (7.2)",
            || format!("{key} never did"),
        )?;
        if let StepStatus::Pending { retry_at: Some(_) } = is.status
            && let Some(operation) = before.operation(was)
        {
            let retry = operation.retry;
            let mut wait = retry.first;
            for _ in 1..was.round_attempts {
                wait = (wait * 2).min(retry.ceiling);
            }
            let due = after(at, wait.min(retry.ceiling));
            self.due.insert((before.id.clone(), id), due);
        }
        let lost = matches!(outcome, Outcome::Unknown { .. });
        let waits = matches!(is.status, StepStatus::Unknown { .. });
        holds(
            lost == waits,
            "what cannot be told is unknown until a person says (7.3)",
            || format!("{key} is {}", is.status.as_str()),
        )
    }

    /// What is on disk fits together.
    fn whole(&self, disk: &Disk) -> Seen {
        let mut holders: BTreeMap<&LockKey, &RunId> = BTreeMap::new();
        for run in self.runs.values() {
            holds(
                disk.rows.get(&run.id) == Some(&run.status),
                "a run's row says what its journal says (7)",
                || run.id.to_string(),
            )?;
            if run.status.is_terminal() {
                continue;
            }
            for lock in run.locks.keys() {
                let other = holders.insert(lock, &run.id);
                holds(other.is_none(), "a lock has one holder (7.4)", || {
                    format!("{lock}: {} and {other:?}", run.id)
                })?;
                let row = disk.locks.get(lock).and_then(|row| row.holder.as_ref());
                holds(
                    row == Some(&run.id),
                    "a lock is held until its run is terminal, unknown or not (7.4)",
                    || format!("{lock} of {}", run.id),
                )?;
            }
            for step in &run.steps {
                let key = (run.id.clone(), step.id, step.attempts);
                let open = disk.ledger.contains_key(&key);
                let due = step.status.is_active() && run.class(step) != Class::Read;
                holds(
                    open == due,
                    "the ledger names exactly the effects under way (7.3)",
                    || format!("step {} of {} is {}", step.id, run.id, step.status.as_str()),
                )?;
            }
        }
        let held = disk.locks.values().filter(|row| row.holder.is_some());
        holds(
            held.count() == holders.len(),
            "an ended run holds nothing (7.4)",
            || format!("{:?} against {holders:?}", disk.locks),
        )
    }

    /// An effect is about to begin.
    pub(crate) fn begins(&mut self, effect: &Effect, disk: &Disk, world: &World) -> Seen {
        let key = &effect.key;
        let run = self.runs.get(&effect.run).ok_or("an effect of no run")?;
        let step = &run.steps[effect.step.index()];
        holds(
            step.status.is_active() && step.attempts == effect.attempt,
            "intent before effect: the claim is durable (7.2)",
            || key.to_string(),
        )?;
        let row = disk
            .ledger
            .get(&(effect.run.clone(), effect.step, effect.attempt));
        holds(
            effect.class == Class::Read
                || row.is_some_and(|row| row.key == *key && row.epoch == effect.epoch),
            "intent before effect: the ledger row is durable (7.3)",
            || key.to_string(),
        )?;
        let forward = step.undoes().is_none();
        holds(
            !forward || !self.stopped.contains(&effect.run),
            "nothing begins after a cancel was acknowledged (7.5)",
            || key.to_string(),
        )?;
        if forward {
            ready(run, step)?;
        }
        let begun = self.begun.entry(key.clone()).or_default();
        *begun += 1;
        holds(
            effect.class != Class::Once || *begun == 1,
            "a `once` effect begins once (7.3)",
            || key.to_string(),
        )?;
        let lost = |run: &RunId| self.broken.contains_key(run);
        let rival = world.running.iter().find(|other| {
            other.run != effect.run
                && other.target == effect.target
                && other.class != Class::Read
                && effect.class != Class::Read
                && !self.judged.contains(&other.key)
                && !lost(&other.run)
        });
        holds(
            rival.is_none(),
            "one run at a time works on a target (7.4)",
            || format!("{key} beside {rival:?}"),
        )
    }

    /// An effect has taken place.
    pub(crate) fn lands(&self, effect: &Effect, world: &World) -> Seen {
        let times = world.took_place(&effect.key);
        let repeats = matches!(effect.class, Class::Read | Class::Idempotent);
        holds(
            repeats || times == 1,
            "`keyed`, `probe` and `once` effects take place once per key (7.3)",
            || format!("{} took place {times} times", effect.key),
        )
    }

    /// Somebody was told that something was done.
    pub(crate) fn told(&mut self, row: &InboxRow, answer: &Value, disk: &Disk) -> Seen {
        let on_disk = disk.inbox.get(&row.key).and_then(|row| row.answer.as_ref());
        holds(
            on_disk == Some(answer),
            "acknowledged means durable (7.1)",
            || format!("{} was told {answer}, on disk is {on_disk:?}", row.request),
        )?;
        let first = self
            .told
            .entry(row.key.clone())
            .or_insert_with(|| answer.clone());
        holds(
            *first == *answer,
            "a repeat gets the first answer (7.1)",
            || format!("{} was told {first} and now {answer}", row.request),
        )?;
        let run = answer.get("run").and_then(Value::as_str);
        let Some(run) = run.and_then(|run| run.parse::<RunId>().ok()) else {
            return Ok(());
        };
        holds(
            self.runs.contains_key(&run),
            "an acknowledged run is on disk (7.1)",
            || run.to_string(),
        )?;
        if let Change::Cancel { .. } = row.change {
            self.stopped.insert(run);
        }
        Ok(())
    }

    /// Faults have stopped, people have helped, nothing moves any more.
    pub(crate) fn at_rest(&self, disk: &Disk, sent: usize) -> Seen {
        for run in self.runs.values() {
            holds(run.status.is_terminal(), "every run ends (7.5)", || {
                format!("{} is {}", run.id, run.status)
            })?;
            holds(
                run.steps.iter().all(|step| step.status.is_terminal()),
                "a run ends with all its steps (7.6)",
                || run.id.to_string(),
            )?;
        }
        let unanswered = disk
            .inbox
            .values()
            .filter(|row| row.answer.is_none())
            .count();
        holds(
            unanswered == 0 && disk.inbox.len() == sent,
            "a request is never lost (7.1)",
            || {
                format!(
                    "{sent} sent, {} recorded, {unanswered} unanswered",
                    disk.inbox.len()
                )
            },
        )?;
        let left = [
            ("open effects", disk.ledger.len()),
            ("places in lock queues", disk.waits.len()),
            ("undelivered messages", disk.outbox.len()),
            ("secrets", disk.secrets.len()),
        ];
        for (what, count) in left {
            holds(count == 0, "nothing is left over (11)", || {
                format!("{count} {what}")
            })?;
        }
        Ok(())
    }
}

/// All that a step needs has ended as it must, on disk.
fn ready(run: &Run, step: &Step) -> Seen {
    let planned = run.planned(step).ok_or("a step without a plan")?;
    let keep_going = !run.plan.options.stop_on_failure;
    let met = planned.needs.iter().all(|id| {
        let needed = &run.steps[id.index()].status;
        *needed == StepStatus::Succeeded || (keep_going && needed.is_terminal())
    });
    holds(
        met,
        "a dependant starts after the durable success of what it needs; unknown is none (7.2, 7.3)",
        || format!("{} {}", run.id, run.title(step)),
    )
}

/// Approvals, counted anew from the decisions on record.
fn approved(run: &Run, at: Timestamp) -> Seen {
    let named = || format!("{}: {:?}", run.id, run.approvals);
    let denied = run
        .approvals
        .iter()
        .any(|record| record.decision == Decision::Deny);
    holds(!denied, "deny wins until the first claim (6)", named)?;
    for (index, need) in (0_u32..).zip(&run.plan.approvals) {
        let people: BTreeSet<&PersonId> = run
            .approvals
            .iter()
            .filter(|record| record.counts_for.contains(&index))
            .filter(|record| record.at <= after(run.created_at, need.ttl))
            .map(|record| &record.person)
            .filter(|person| **person != run.origin.person)
            .filter(|person| !run.origin.owners.contains(person))
            .collect();
        holds(
            people.len() >= need.required as usize,
            "N different people, never the requester, in time (6)",
            named,
        )?;
        let last = run.approvals.iter().map(|record| record.at).max();
        let in_time = last.is_some_and(|last| at < after(last, need.run_within));
        holds(
            in_time || at < run.created_at,
            "the first claim comes within the time to start (6)",
            named,
        )?;
    }
    Ok(())
}

/// A decision is one of a person who may, through an account that is theirs.
fn decided(before: &Run, after: &Run, event: &Event, company: &Company) -> Seen {
    let Event::Decided {
        person,
        account,
        decision,
        ..
    } = event
    else {
        return Ok(());
    };
    let named = || format!("{person} decides on {}", before.id);
    let owner: &Account = account;
    let human = company.person(owner);
    holds(
        human.id == *person && !human.is_robot(),
        "people decide, robots never (6)",
        named,
    )?;
    let twice = before
        .approvals
        .iter()
        .any(|record| record.person == *person && record.decision == *decision);
    holds(!twice, "nobody counts twice (6)", named)?;
    let ends = *decision != Decision::Deny || after.status.is_terminal();
    holds(ends, "deny wins (6)", named)
}
