//! What a run must never do, checked after every event of every test.

use std::collections::BTreeMap;

use crate::ids::{LockKey, StepId};
use crate::plan::Class;
use crate::request::Verdict;
use crate::run::{Event, Run, Step, StepStatus};

#[derive(Clone, Default)]
pub(super) struct Watch {
    claims: BTreeMap<StepId, u32>,
    recoveries: BTreeMap<StepId, u32>,
    rounds: BTreeMap<StepId, u32>,
    broken: Vec<LockKey>,
}

type Seen = Result<(), String>;

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Seen {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn count(map: &BTreeMap<StepId, u32>, id: StepId) -> u32 {
    map.get(&id).copied().unwrap_or_default()
}

impl Watch {
    /// Looks at one transition.
    pub(super) fn see(&mut self, before: &Run, event: &Event, after: &Run) -> Seen {
        check(!before.status.is_terminal(), || {
            "a terminal state changed".to_owned()
        })?;
        match event {
            Event::Claimed { step, .. } => self.claimed(before, *step)?,
            Event::Recovered { step, .. } => *self.recoveries.entry(*step).or_default() += 1,
            Event::Resolved {
                step,
                verdict: Verdict::Again,
                ..
            } => *self.rounds.entry(*step).or_default() += 1,
            Event::LockBroken { lock, .. } => self.broken.push(lock.clone()),
            Event::Submitted(_)
            | Event::Decided { .. }
            | Event::Expired { .. }
            | Event::LocksGranted { .. }
            | Event::Started { .. }
            | Event::Voided { .. }
            | Event::ClaimRefused { .. }
            | Event::Prepared { .. }
            | Event::Reported { .. }
            | Event::CancelRequested { .. }
            | Event::Resolved { .. } => {}
        }
        Self::steps_only_move_on(before, after)?;
        self.locks_are_kept(after)?;
        Self::undos_are_due(after)?;
        Self::can_move(after)
    }

    fn claimed(&mut self, run: &Run, id: StepId) -> Seen {
        let step = &run.steps[id.index()];
        let name = run.title(step);
        *self.claims.entry(id).or_default() += 1;
        let claims = count(&self.claims, id);
        let rounds = count(&self.rounds, id) + 1;
        let recoveries = count(&self.recoveries, id);
        let tries = run
            .operation(step)
            .map_or(0, |operation| operation.retry.max)
            + 1;
        check(claims <= tries * rounds + recoveries, || {
            format!("{name} was claimed {claims} times")
        })?;
        check(run.class(step) != Class::Once || claims <= rounds, || {
            format!("{name} is `once` and was claimed {claims} times in {rounds} rounds")
        })?;
        let active = run.steps.iter().filter(|step| step.status.is_active());
        check(
            active.count() < run.plan.max_parallel.max(1) as usize,
            || format!("{name} is one too many"),
        )?;
        check(run.confirmed && run.approvals_met(), || {
            format!("{name} was claimed too early")
        })?;
        if step.undoes().is_some() {
            return self.undo_claimed(run, step);
        }
        check(run.cancel.is_none(), || {
            format!("{name} was claimed after a cancel")
        })?;
        check(self.broken.is_empty(), || {
            format!("{name} was claimed after a lock was broken")
        })?;
        let keep_going = !run.plan.options.stop_on_failure;
        let failed =
            |step: &Step| step.undoes().is_none() && matches!(step.status, StepStatus::Failed(_));
        check(
            keep_going || step.rerun || !run.steps.iter().any(failed),
            || format!("{name} was started after a failure"),
        )?;
        let planned = &run.plan.steps[id.index()];
        for needed in &planned.needs {
            let status = &run.steps[needed.index()].status;
            let met = *status == StepStatus::Succeeded || (keep_going && status.is_terminal());
            check(met, || format!("{name} was claimed before {needed}"))?;
        }
        for earlier in planned.needs.iter().chain(&planned.after) {
            let of_it = |step: &&Step| step.id == *earlier || step.undoes() == Some(*earlier);
            let mut related = run.steps.iter().filter(of_it);
            check(related.all(|step| step.status.is_terminal()), || {
                format!("{name} was claimed before the end of {earlier}")
            })?;
        }
        Ok(())
    }

    fn undo_claimed(&self, run: &Run, undo: &Step) -> Seen {
        let planned = run.planned(undo).unwrap();
        let lost = planned
            .lock
            .as_ref()
            .is_some_and(|lock| self.broken.contains(lock));
        check(!lost, || {
            format!("{} works on a lost lock", run.title(undo))
        })?;
        let mut earlier = run.steps.iter().filter(|step| step.undoes().is_some());
        check(
            earlier.all(|step| step.id >= undo.id || step.status.is_terminal()),
            || format!("{} overtook another undo", run.title(undo)),
        )
    }

    fn steps_only_move_on(before: &Run, after: &Run) -> Seen {
        for (was, is) in before.steps.iter().zip(&after.steps) {
            check(!was.status.is_terminal() || was.status == is.status, || {
                format!("{} left {}", after.title(was), was.status.as_str())
            })?;
            check(
                was.prepared.is_none() || was.prepared == is.prepared,
                || format!("the way back from {} was overwritten", after.title(was)),
            )?;
            check(was.attempts <= is.attempts && was.round <= is.round, || {
                format!("{} counts backwards", after.title(was))
            })?;
        }
        Ok(())
    }

    fn locks_are_kept(&self, run: &Run) -> Seen {
        if !run.locks_granted {
            return Ok(());
        }
        let mut due = run.plan.locks().into_iter();
        check(
            due.all(|lock| run.locks.contains_key(&lock) || self.broken.contains(&lock)),
            || "a lock was given back early".to_owned(),
        )
    }

    fn undos_are_due(run: &Run) -> Seen {
        let undos: Vec<&Step> = run.steps[run.plan.steps.len()..].iter().collect();
        for undo in &undos {
            let of = undo.undoes().ok_or("a forward step was appended")?;
            let undone = &run.steps[of.index()];
            check(undone.touched && undone.status.is_terminal(), || {
                format!("{} has nothing to undo", run.title(undo))
            })?;
            let twins = undos.iter().filter(|other| other.undoes() == Some(of));
            check(twins.count() == 1, || {
                format!("{} is there twice", run.title(undo))
            })?;
            check(run.plan.options.rollback_on_failure, || {
                "an undo that nobody wants".to_owned()
            })?;
        }
        Ok(())
    }

    /// A run that has not ended either has something to do, waits for a deadline, or says that it
    /// waits for a person.
    fn can_move(run: &Run) -> Seen {
        use crate::run::RunStatus::{AwaitingApproval, NeedsAttention};
        let waits_for_people = matches!(run.status, AwaitingApproval | NeedsAttention);
        let active = run.steps.iter().any(|step| step.status.is_active());
        let moves = active || !run.commands().is_empty() || !run.timers().is_empty();
        check(moves || waits_for_people, || {
            format!("the run is {} and stuck", run.status)
        })?;
        let unknown = run.unknown_steps().next().is_some();
        check(run.status != NeedsAttention || (unknown && !active), || {
            "needs attention for nothing".to_owned()
        })?;
        check(!(run.status.is_terminal() && (unknown || active)), || {
            "ended with loose ends".to_owned()
        })
    }
}
