//! The transition table: one event to the next state, or a refusal that changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::commands::{Command, Timer};
use super::event::{Event, Failure, Outcome, Submission};
use super::state::{
    ApprovalRecord, CancelRequest, EndReason, Run, RunStatus, Step, StepKind, StepStatus,
};
use crate::error::ErrorCode;
use crate::ids::{Attempt, LockKey, StepId};
use crate::plan::Undo;
use crate::request::{Decision, Unwind, Verdict};
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
            Event::Started { .. } => {
                self.expect_confirmable(event)?;
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
                let step = self.active_step(event, *step)?;
                step.status = StepStatus::Running;
                step.prepared.clone_from(undo);
            }
            Event::Reported { .. } => self.reported(event)?,
            Event::Recovered { step, .. } => {
                let step = self.active_step(event, *step)?;
                step.status = StepStatus::Pending { retry_at: None };
                step.touched = true;
                // The lost try does not use up a retry: the step did not fail.
                step.round_attempts = step.round_attempts.saturating_sub(1);
            }
            Event::CancelRequested { at, by, reason } => {
                if self.cancel.is_some() {
                    return Err(self.illegal(event, "it is being cancelled already"));
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
        if !self.timers().iter().any(|(_, armed)| *armed == timer) {
            return Err(self.illegal(event, "no such deadline stands"));
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

    fn claimed(
        &mut self,
        event: &Event,
        at: Timestamp,
        id: StepId,
        attempt: Attempt,
    ) -> Result<(), Illegal> {
        let ready = self.confirmed
            && self.step(id).is_some_and(|step| {
                self.is_claimable(step) && attempt == Attempt(step.attempts.0 + 1)
            });
        if !ready {
            return Err(self.illegal(event, "the step cannot be claimed now"));
        }
        if let Some(step) = self.steps.get_mut(id.index()) {
            step.status = StepStatus::Claimed;
            step.attempts = attempt;
            step.round_attempts += 1;
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
        let step = self.active_step(event, *id)?;
        if step.attempts != *attempt {
            return Err(stale);
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
        let retry = self
            .step(id)
            .and_then(|step| self.operation(step))
            .map(|operation| operation.retry);
        let stopping = self.cancel.is_some() || self.halted;
        let Some(step) = self.steps.get_mut(id.index()) else {
            return;
        };
        let undo = step.undoes().is_some();
        match retry {
            Some(retry) if may_pass && step.round_attempts <= retry.max && (undo || !stopping) => {
                step.status = StepStatus::Pending {
                    retry_at: Some(retry.due(step.round_attempts, at)),
                };
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
            }
        }
        Ok(())
    }

    /// Adds the undo of a step that touched the world, if it has one, it is wanted, and the lock
    /// is still ours.
    fn append_undo_of(&mut self, id: StepId) {
        if !self.plan.options.rollback_on_failure {
            return;
        }
        let (Some(step), Some(planned)) = (self.step(id), self.plan.step(id)) else {
            return;
        };
        let possible = match &planned.undo {
            Undo::None => false,
            Undo::Own { .. } => step.prepared.is_some(),
            Undo::Intent { .. } => true,
        };
        let ours = planned
            .lock
            .as_ref()
            .is_none_or(|lock: &LockKey| self.locks.contains_key(lock));
        let exists = self.steps.iter().any(|other| other.undoes() == Some(id));
        if possible && ours && step.touched && !exists {
            let next = StepId(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
            self.steps.push(Step::new(next, StepKind::Undo { of: id }));
        }
    }

    /// Everything that follows from the state without a further fact.
    fn settle(&mut self, at: Timestamp) {
        match self.status {
            RunStatus::Planned => {
                self.status = if self.plan.approvals.is_empty() {
                    RunStatus::Queued
                } else {
                    RunStatus::AwaitingApproval
                };
            }
            RunStatus::AwaitingApproval | RunStatus::Queued => {
                if let Some(cancel) = self.cancel.clone() {
                    self.end(RunStatus::Cancelled, Some(cancel.reason), at);
                }
            }
            RunStatus::Running | RunStatus::Compensating | RunStatus::NeedsAttention => {}
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => return,
        }
        if self.status == RunStatus::Queued && self.first_claim_failed() {
            self.status = RunStatus::Running;
        }
        if matches!(
            self.status,
            RunStatus::Running | RunStatus::Compensating | RunStatus::NeedsAttention
        ) {
            self.settle_steps(at);
        }
    }

    /// A refused first claim leaves a queued run with a failed step; it ends like any other.
    fn first_claim_failed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.status, StepStatus::Failed(_)))
    }

    fn settle_steps(&mut self, at: Timestamp) {
        let ending = if self.cancel.is_some() {
            Some(StepStatus::Cancelled)
        } else if self.halted {
            Some(StepStatus::Skipped)
        } else {
            None
        };
        if let Some(ending) = ending {
            let mut interrupted = Vec::new();
            for step in &mut self.steps {
                if step.undoes().is_none() && matches!(step.status, StepStatus::Pending { .. }) {
                    step.status = ending.clone();
                    step.ended_at = Some(at);
                    if step.touched {
                        interrupted.push(step.id);
                    }
                }
            }
            // A step that waited for its retry may have touched the world.
            for id in interrupted {
                self.append_undo_of(id);
            }
        }
        let all_ended = |run: &Self| run.steps.iter().all(|step| step.status.is_terminal());
        if all_ended(self) && self.wants_unwind() {
            self.unwind();
        }
        if all_ended(self) {
            self.finish(at);
        } else {
            self.status = self.live_status();
        }
    }

    fn wants_unwind(&self) -> bool {
        self.plan.options.unwind == Unwind::Run
            && !self.unwound
            && (self.cancel.is_some() || self.first_failure().is_some())
    }

    /// Undoes finished steps, the last one first.
    fn unwind(&mut self) {
        self.unwound = true;
        let mut done: Vec<(Option<Timestamp>, StepId)> = self
            .steps
            .iter()
            .filter(|step| step.undoes().is_none() && step.status == StepStatus::Succeeded)
            .map(|step| (step.ended_at, step.id))
            .collect();
        done.sort_unstable();
        for (_, id) in done.into_iter().rev() {
            self.append_undo_of(id);
        }
    }

    fn live_status(&self) -> RunStatus {
        let active = self.steps.iter().any(|step| step.status.is_active());
        let waiting = self.steps.iter().any(|step| {
            self.is_claimable(step)
                || matches!(step.status, StepStatus::Pending { retry_at: Some(_) })
        });
        if !active && !waiting && self.unknown_steps().next().is_some() {
            return RunStatus::NeedsAttention;
        }
        let forward_open = self
            .steps
            .iter()
            .any(|step| step.undoes().is_none() && !step.status.is_terminal());
        if forward_open {
            RunStatus::Running
        } else {
            RunStatus::Compensating
        }
    }

    fn finish(&mut self, at: Timestamp) {
        let forward = || self.steps.iter().filter(|step| step.undoes().is_none());
        let all_done = forward().all(|step| step.status == StepStatus::Succeeded)
            && self.steps.len() == self.plan.steps.len();
        let undo_failed = self
            .steps
            .iter()
            .any(|step| step.undoes().is_some() && matches!(step.status, StepStatus::Failed(_)));
        let any_failed = forward().any(|step| matches!(step.status, StepStatus::Failed(_)));
        let (status, reason) = match (&self.cancel, all_done) {
            (_, true) => (RunStatus::Succeeded, None),
            (Some(cancel), false) => (RunStatus::Cancelled, Some(cancel.reason.clone())),
            (None, false) if undo_failed => (RunStatus::Failed, Some(EndReason::UndoFailed)),
            (None, false) => (RunStatus::Failed, None),
        };
        debug_assert!(status != RunStatus::Failed || any_failed);
        self.end(status, reason, at);
    }

    fn end(&mut self, status: RunStatus, reason: Option<EndReason>, at: Timestamp) {
        for step in &mut self.steps {
            if matches!(step.status, StepStatus::Pending { .. }) {
                step.status = StepStatus::Cancelled;
            }
        }
        self.status = status;
        self.reason = reason;
        self.ended_at = Some(at);
    }
}
