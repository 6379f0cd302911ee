//! The transition table: one event to the next state, or a refusal that changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::commands::{Command, Timer};
use super::event::{Event, Failure, Outcome, Submission};
use super::state::{
    ApprovalRecord, CancelRequest, EndReason, Run, RunStatus, Step, StepKind, StepStatus,
};
use crate::error::ErrorCode;
use crate::ids::{Attempt, StepId};
use crate::plan::Class;
use crate::request::{Decision, Verdict};
use crate::time::Timestamp;

/// An event that does not fit the state. The state is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not fit a run that is {status}: {why}")]
pub struct Illegal {
    /// The event's kind.
    pub event: &'static str,
    /// The run's status.
    pub status: RunStatus,
    /// What is wrong.
    pub why: &'static str,
}

impl Run {
    /// The state after the first event.
    #[must_use]
    pub fn submitted(submission: Submission) -> Self {
        let plan = Arc::new(submission.plan);
        let steps = (0_u32..)
            .zip(&plan.steps)
            .map(|(index, planned)| Step::new(StepId(index), StepKind::Forward(planned.role)))
            .collect();
        let locks_granted = plan.locks().is_empty();
        let mut run = Self {
            id: submission.run,
            seq: 1,
            origin: submission.origin,
            request: Arc::new(submission.request),
            plan,
            status: RunStatus::Planned,
            reason: None,
            approvals: Vec::new(),
            approved_at: None,
            locks: BTreeMap::new(),
            locks_granted,
            confirmed: false,
            cancel: None,
            halted: false,
            unwound: false,
            steps,
            created_at: submission.at,
            started_at: None,
            ended_at: None,
            updated_at: submission.at,
        };
        run.settle(submission.at);
        run
    }

    /// The state that a whole journal leads to.
    ///
    /// # Errors
    /// When the journal does not begin with a submission or holds an event that does not fit.
    pub fn replay(events: impl IntoIterator<Item = Event>) -> Result<Self, Illegal> {
        let mut events = events.into_iter();
        let Some(Event::Submitted(submission)) = events.next() else {
            return Err(Illegal {
                event: "journal",
                status: RunStatus::Planned,
                why: "it does not begin with a submission",
            });
        };
        let mut run = Self::submitted(*submission);
        for event in events {
            run.evolve(&event)?;
        }
        Ok(run)
    }

    /// The next state, and what to do then.
    ///
    /// # Errors
    /// When the event does not fit; the run is lost with it only if the caller does not keep a
    /// clone, so live callers use [`Run::evolve`] on a copy.
    pub fn apply(mut self, event: &Event) -> Result<(Self, Vec<Command>), Illegal> {
        self.evolve(event)?;
        let commands = self.commands();
        Ok((self, commands))
    }

    /// Applies an event in place.
    ///
    /// # Errors
    /// When the event does not fit; the state is unchanged then.
    pub fn evolve(&mut self, event: &Event) -> Result<(), Illegal> {
        if self.status.is_terminal() {
            return Err(self.illegal(event, "it has ended"));
        }
        match event {
            Event::Submitted(_) => return Err(self.illegal(event, "it exists already")),
            Event::Decided { .. } => self.decided(event)?,
            Event::Expired { at, timer } => self.expired(event, *at, *timer)?,
            Event::LocksGranted { epochs, .. } => {
                if self.status != RunStatus::Queued || self.locks_granted {
                    return Err(self.illegal(event, "it waits for no locks"));
                }
                if !epochs.keys().eq(&self.plan.locks()) {
                    return Err(self.illegal(event, "these are not its locks"));
                }
                self.locks.clone_from(epochs);
                self.locks_granted = true;
            }
            Event::LockBroken { at, lock, by } => {
                if self.locks.remove(lock).is_none() {
                    return Err(self.illegal(event, "it does not hold that lock"));
                }
                let reason = EndReason::LockBroken {
                    lock: lock.clone(),
                    by: by.clone(),
                };
                self.cancel.get_or_insert(CancelRequest { at: *at, reason });
            }
            Event::Started { at } => {
                self.expect_confirmable(event)?;
                if self.is_past(Timer::Start, *at) {
                    return Err(self.illegal(event, "the time to start is over"));
                }
                self.confirmed = true;
            }
            Event::Voided { at, changes } => {
                self.expect_confirmable(event)?;
                let reason = EndReason::Voided {
                    changes: changes.clone(),
                };
                self.end(RunStatus::Cancelled, Some(reason), *at);
            }
            Event::Claimed {
                at, step, attempt, ..
            } => self.claimed(event, *at, *step, *attempt)?,
            Event::ClaimRefused { at, step, failure } => {
                if !self.step(*step).is_some_and(|step| self.is_claimable(step)) {
                    return Err(self.illegal(event, "the step cannot be claimed now"));
                }
                self.fail_step(*step, failure.clone(), *at);
            }
            Event::Prepared { step, undo, .. } => {
                // What the first try read is the way back; a later one may read its result.
                let again = self.illegal(event, "it is recorded already");
                let step = self.active_step(event, *step)?;
                if step.status != StepStatus::Claimed || step.prepared.is_some() {
                    return Err(again);
                }
                step.status = StepStatus::Running;
                step.prepared.clone_from(undo);
            }
            Event::Reported { .. } => self.reported(event)?,
            Event::Recovered { step: id, .. } => {
                let once = self.illegal(event, "a `once` step never runs again by itself");
                let never = self.step(*id).map(|step| self.class(step)) == Some(Class::Once);
                let step = self.active_step(event, *id)?;
                if never {
                    return Err(once);
                }
                step.status = StepStatus::Pending { retry_at: None };
                step.rerun = true;
                step.touched = true;
                // The lost try does not use up a retry: the step did not fail.
                step.round_attempts = step.round_attempts.saturating_sub(1);
            }
            Event::CancelRequested { at, by, reason } => {
                if self.cancel.is_some() {
                    return Err(self.illegal(event, "it is being cancelled already"));
                }
                if self.confirmed && self.forward_ended() {
                    return Err(
                        self.illegal(event, "only its undo is left, and that is not stopped")
                    );
                }
                let reason = EndReason::Cancelled {
                    by: by.clone(),
                    reason: reason.clone(),
                };
                self.cancel = Some(CancelRequest { at: *at, reason });
            }
            Event::Resolved {
                at, step, verdict, ..
            } => self.resolved(event, *at, *step, *verdict)?,
        }
        self.seq += 1;
        self.updated_at = event.at();
        self.settle(event.at());
        Ok(())
    }

    fn illegal(&self, event: &Event, why: &'static str) -> Illegal {
        Illegal {
            event: event.kind(),
            status: self.status,
            why,
        }
    }

    fn expect_confirmable(&self, event: &Event) -> Result<(), Illegal> {
        if self.status == RunStatus::Queued && self.locks_granted && !self.confirmed {
            Ok(())
        } else {
            Err(self.illegal(event, "its plan is not to be confirmed now"))
        }
    }

    fn active_step(&mut self, event: &Event, id: StepId) -> Result<&mut Step, Illegal> {
        let illegal = self.illegal(event, "the step is not under way");
        self.steps
            .get_mut(id.index())
            .filter(|step| step.status.is_active())
            .ok_or(illegal)
    }

    fn decided(&mut self, event: &Event) -> Result<(), Illegal> {
        let Event::Decided {
            at,
            person,
            account,
            decision,
            counts_for,
            reason,
            ..
        } = event
        else {
            return Err(self.illegal(event, "it is not a decision"));
        };
        if self.may_decide(person, *decision, counts_for).is_err() {
            return Err(self.illegal(event, "the decision does not count"));
        }
        if *decision == Decision::Approve && self.is_past(Timer::Decide, *at) {
            return Err(self.illegal(event, "the time to decide is over"));
        }
        self.approvals.push(ApprovalRecord {
            person: person.clone(),
            account: account.clone(),
            decision: *decision,
            counts_for: counts_for.clone(),
            reason: reason.clone(),
            at: *at,
        });
        if *decision == Decision::Deny {
            let reason = EndReason::Denied {
                by: person.clone(),
                reason: reason.clone(),
            };
            self.end(RunStatus::Cancelled, Some(reason), *at);
        } else if self.approvals_met() {
            self.status = RunStatus::Queued;
            self.approved_at = Some(*at);
        }
        Ok(())
    }

    fn expired(&mut self, event: &Event, at: Timestamp, timer: Timer) -> Result<(), Illegal> {
        if !self.is_past(timer, at) {
            return Err(self.illegal(event, "no such deadline has passed"));
        }
        match timer {
            Timer::Decide => {
                self.end(RunStatus::Cancelled, Some(EndReason::ApprovalExpired), at);
            }
            Timer::Start => self.end(RunStatus::Cancelled, Some(EndReason::StartExpired), at),
            Timer::Retry(id) => {
                if let Some(step) = self.steps.get_mut(id.index()) {
                    step.status = StepStatus::Pending { retry_at: None };
                }
            }
        }
        Ok(())
    }

    /// Whether a deadline stands and has passed. One that was armed for an earlier try does not
    /// shorten the wait of the present one.
    fn is_past(&self, timer: Timer, at: Timestamp) -> bool {
        self.timers()
            .iter()
            .any(|(due, armed)| *armed == timer && *due <= at)
    }

    fn claimed(
        &mut self,
        event: &Event,
        at: Timestamp,
        id: StepId,
        attempt: Attempt,
    ) -> Result<(), Illegal> {
        let ready = self.room() > 0
            && self.step(id).is_some_and(|step| {
                self.is_claimable(step) && attempt == Attempt(step.attempts.0 + 1)
            });
        if !ready {
            return Err(self.illegal(event, "the step cannot be claimed now"));
        }
        if self.is_past(Timer::Start, at) {
            return Err(self.illegal(event, "the time to start is over"));
        }
        if let Some(step) = self.steps.get_mut(id.index()) {
            step.status = StepStatus::Claimed;
            step.attempts = attempt;
            step.round_attempts += 1;
            step.rerun = false;
            step.last_failure = None;
            step.started_at.get_or_insert(at);
            step.claimed_at = Some(at);
        }
        self.started_at.get_or_insert(at);
        if self.status == RunStatus::Queued {
            self.status = RunStatus::Running;
        }
        Ok(())
    }

    fn reported(&mut self, event: &Event) -> Result<(), Illegal> {
        let Event::Reported {
            at,
            step: id,
            attempt,
            outcome,
            tail,
            output,
        } = event
        else {
            return Err(self.illegal(event, "it is not a report"));
        };
        let stale = self.illegal(event, "the report is of another attempt");
        let unasked = self.illegal(event, "nobody stops that step");
        let stopping = self.cancel.is_some()
            && self
                .step(*id)
                .is_some_and(|step| step.undoes().is_none() || self.lost_lock(step));
        let step = self.active_step(event, *id)?;
        if step.attempts != *attempt {
            return Err(stale);
        }
        if matches!(outcome, Outcome::Stopped { .. }) && !stopping {
            return Err(unasked);
        }
        step.tail.clone_from(tail);
        step.output.clone_from(output);
        match outcome {
            Outcome::Succeeded { facts } => {
                step.status = StepStatus::Succeeded;
                step.ended_at = Some(*at);
                step.touched = true;
                step.facts.clone_from(facts);
            }
            Outcome::Failed {
                failure,
                may_pass,
                touched,
            } => {
                step.touched |= *touched;
                self.failed_attempt(*id, failure, *may_pass, *at);
            }
            Outcome::Stopped { touched } => {
                step.touched |= *touched;
                step.status = StepStatus::Cancelled;
                step.ended_at = Some(*at);
                self.append_undo_of(*id);
            }
            Outcome::Unknown { why } => {
                step.touched = true;
                step.status = StepStatus::Unknown { why: why.clone() };
            }
        }
        Ok(())
    }

    /// A failed try: again later, or failed for good.
    fn failed_attempt(&mut self, id: StepId, failure: &Failure, may_pass: bool, at: Timestamp) {
        let Some(state) = self.step(id) else {
            return;
        };
        let undo = state.undoes().is_some();
        let stopped = if undo {
            self.lost_lock(state)
        } else {
            self.cancel.is_some() || self.halted
        };
        let again = may_pass && !stopped && self.class(state) != Class::Once;
        let retry = self.operation(state).map(|operation| operation.retry);
        let Some(step) = self.steps.get_mut(id.index()) else {
            return;
        };
        match retry {
            Some(retry) if again && step.round_attempts <= retry.max => {
                step.status = StepStatus::Pending {
                    retry_at: Some(retry.due(step.round_attempts, at)),
                };
                step.last_failure = Some(failure.clone());
            }
            Some(_) | None => self.fail_step(id, failure.clone(), at),
        }
    }

    fn fail_step(&mut self, id: StepId, failure: Failure, at: Timestamp) {
        let stop = self.plan.options.stop_on_failure;
        let Some(step) = self.steps.get_mut(id.index()) else {
            return;
        };
        step.status = StepStatus::Failed(failure);
        step.ended_at = Some(at);
        if step.undoes().is_none() {
            self.halted |= stop;
            self.append_undo_of(id);
        }
    }

    fn resolved(
        &mut self,
        event: &Event,
        at: Timestamp,
        id: StepId,
        verdict: Verdict,
    ) -> Result<(), Illegal> {
        let unknown = self
            .step(id)
            .is_some_and(|step| matches!(step.status, StepStatus::Unknown { .. }));
        if !unknown {
            return Err(self.illegal(event, "the step's outcome is not unknown"));
        }
        let cancelled = self.cancel.is_some();
        let undo = self.step(id).is_some_and(|step| step.undoes().is_some());
        if verdict == Verdict::Again && cancelled && !undo {
            return Err(self.illegal(event, "a cancelled run starts nothing again"));
        }
        if verdict == Verdict::Again && self.step(id).is_some_and(|step| self.lost_lock(step)) {
            return Err(self.illegal(event, "its lock was broken"));
        }
        let Some(step) = self.steps.get_mut(id.index()) else {
            return Ok(());
        };
        match verdict {
            Verdict::Happened => {
                step.status = StepStatus::Succeeded;
                step.ended_at = Some(at);
                if cancelled && !undo {
                    self.append_undo_of(id);
                }
            }
            Verdict::DidNot if cancelled && !undo => {
                step.status = StepStatus::Cancelled;
                step.ended_at = Some(at);
                step.touched = false;
            }
            Verdict::DidNot => {
                step.touched = false;
                let failure = Failure {
                    code: ErrorCode::OutcomeUnknown,
                    message: "a person found that it did not happen".to_owned(),
                };
                self.fail_step(id, failure, at);
            }
            Verdict::Again => {
                step.status = StepStatus::Pending { retry_at: None };
                step.round += 1;
                step.round_attempts = 0;
                step.rerun = true;
            }
        }
        Ok(())
    }
}
