//! Everything that follows from the state without a further fact: what is undone, what is skipped,
//! and whether the run is over.

use super::state::{EndReason, Run, RunStatus, Step, StepKind, StepStatus};
use crate::ids::StepId;
use crate::plan::Undo;
use crate::request::Unwind;
use crate::time::Timestamp;

impl Run {
    /// Adds the undo of a step that touched the world, if it has one, it is wanted, and the lock
    /// is still ours.
    pub(super) fn append_undo_of(&mut self, id: StepId) {
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
        let exists = self.undos().any(|other| other.undoes() == Some(id));
        let next = StepId(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        let undo = Step::new(next, StepKind::Undo { of: id });
        if possible && step.touched && !exists && !self.lost_lock(&undo) {
            self.steps.push(undo);
        }
    }

    /// Everything that follows from the state without a further fact.
    pub(super) fn settle(&mut self, at: Timestamp) {
        match self.status {
            RunStatus::Planned => {
                self.status = if self.approvals_met() {
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
        // A queued run has steps to settle when their claims were refused.
        if self.confirmed && !self.status.is_terminal() {
            self.settle_steps(at);
        }
    }

    /// Whether nothing is left of what was asked for but undoing it.
    pub(super) fn forward_ended(&self) -> bool {
        self.steps
            .iter()
            .take(self.plan.steps.len())
            .all(|step| step.status.is_terminal())
    }

    fn settle_steps(&mut self, at: Timestamp) {
        if self.cancel.is_some() || self.halted {
            self.end_waiting_steps(at);
        }
        self.drop_lost_undos(at);
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

    /// Ends what must not start any more. What waits for its retry may have touched the world.
    fn end_waiting_steps(&mut self, at: Timestamp) {
        let cancelled = self.cancel.is_some();
        let waiting: Vec<StepId> = self
            .steps
            .iter()
            .take(self.plan.steps.len())
            .filter(|step| matches!(step.status, StepStatus::Pending { .. }))
            .filter(|step| cancelled || !step.rerun)
            .map(|step| step.id)
            .collect();
        for id in waiting {
            let Some(step) = self.steps.get_mut(id.index()) else {
                continue;
            };
            step.ended_at = Some(at);
            match step.last_failure.take() {
                _ if cancelled => step.status = StepStatus::Cancelled,
                Some(failure) => step.status = StepStatus::Failed(failure),
                None => step.status = StepStatus::Skipped,
            }
            self.append_undo_of(id);
        }
    }

    /// What a lost lock guarded belongs to somebody else: it is not undone any more.
    fn drop_lost_undos(&mut self, at: Timestamp) {
        let lost: Vec<StepId> = self
            .undos()
            .filter(|undo| matches!(undo.status, StepStatus::Pending { .. }))
            .filter(|undo| self.lost_lock(undo))
            .map(|undo| undo.id)
            .collect();
        for id in lost {
            if let Some(undo) = self.steps.get_mut(id.index()) {
                undo.status = StepStatus::Cancelled;
                undo.ended_at = Some(at);
            }
        }
    }

    fn wants_unwind(&self) -> bool {
        self.plan.options.unwind == Unwind::Run
            && !self.unwound
            && (self.cancel.is_some() || self.first_failure().is_some())
    }

    /// Undoes finished steps in the reverse of the plan's order, in which a step stands behind
    /// all that it needs. The times of their ends are no order: clocks are set back.
    fn unwind(&mut self) {
        self.unwound = true;
        let done: Vec<StepId> = self
            .steps
            .iter()
            .take(self.plan.steps.len())
            .filter(|step| step.status == StepStatus::Succeeded)
            .map(|step| step.id)
            .collect();
        for id in done.into_iter().rev() {
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
        if self.started_at.is_none() {
            // All claims so far were refused: the clock to the first one still runs.
            RunStatus::Queued
        } else if self.forward_ended() {
            RunStatus::Compensating
        } else {
            RunStatus::Running
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

    pub(super) fn end(&mut self, status: RunStatus, reason: Option<EndReason>, at: Timestamp) {
        for step in &mut self.steps {
            if matches!(step.status, StepStatus::Pending { .. }) {
                step.status = StepStatus::Cancelled;
                step.ended_at = Some(at);
            }
        }
        self.status = status;
        self.reason = reason;
        self.ended_at = Some(at);
    }
}
