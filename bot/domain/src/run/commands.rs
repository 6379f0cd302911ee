//! What is to be done now, computed from the state alone.

use serde::{Deserialize, Serialize};

use super::state::{Run, RunStatus, Step, StepKind, StepStatus};
use crate::ids::{LockKey, StepId};
use crate::time::{Timestamp, after};

/// Something the backend must do. Level-triggered: repeated until an event says it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Queue for the locks; answer with `LocksGranted`.
    AcquireLocks(Vec<LockKey>),
    /// Compute the plan again; answer with `Started` or `Voided`.
    ConfirmPlan,
    /// Check that the step is still allowed, then write `Claimed` or `ClaimRefused`, then do it.
    Claim(StepId),
    /// Stop the step's effect; it will report.
    Stop(StepId),
    /// The run is over: give back its locks and drop its secrets.
    Close,
}

/// A deadline of a run. Derived from the state, so a restart can neither lose nor shorten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// People must have decided.
    Decide,
    /// The first step must have been claimed.
    Start,
    /// A failed step may be tried again.
    Retry(StepId),
}

impl Run {
    /// What to do now.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        match self.status {
            RunStatus::Planned | RunStatus::AwaitingApproval => Vec::new(),
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => {
                vec![Command::Close]
            }
            RunStatus::Queued if !self.locks_granted => {
                vec![Command::AcquireLocks(
                    self.plan.locks().into_iter().collect(),
                )]
            }
            RunStatus::Queued if !self.confirmed => vec![Command::ConfirmPlan],
            RunStatus::Queued
            | RunStatus::Running
            | RunStatus::Compensating
            | RunStatus::NeedsAttention => self.step_commands(),
        }
    }

    fn step_commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.cancel.is_some() {
            // Undo steps are the way out of a cancel and are not stopped by it, unless what they
            // work on belongs to somebody else by now.
            commands.extend(
                self.steps
                    .iter()
                    .filter(|step| step.status.is_active())
                    .filter(|step| step.undoes().is_none() || self.lost_lock(step))
                    .map(|step| Command::Stop(step.id)),
            );
        }
        commands.extend(
            self.steps
                .iter()
                .filter(|step| self.is_claimable(step))
                .take(self.room())
                .map(|step| Command::Claim(step.id)),
        );
        commands
    }

    /// How many more steps may be under way.
    pub(super) fn room(&self) -> usize {
        let active = self
            .steps
            .iter()
            .filter(|step| step.status.is_active())
            .count();
        (self.plan.max_parallel.max(1) as usize).saturating_sub(active)
    }

    /// Whether a step may be claimed now, apart from the bound on parallel steps.
    pub(super) fn is_claimable(&self, step: &Step) -> bool {
        if !self.confirmed || step.status != (StepStatus::Pending { retry_at: None }) {
            return false;
        }
        match step.kind {
            StepKind::Forward(_) => {
                self.cancel.is_none()
                    && (!self.halted || step.rerun)
                    && self.predecessors_done(step)
            }
            StepKind::Undo { of } => {
                self.step(of)
                    .is_some_and(|undone| undone.status.is_terminal())
                    && !self.lost_lock(step)
                    && self
                        .undos()
                        .take_while(|other| other.id < step.id)
                        .all(|other| other.status.is_terminal())
            }
        }
    }

    fn predecessors_done(&self, step: &Step) -> bool {
        let Some(planned) = self.planned(step) else {
            return false;
        };
        let needs_met = planned.needs.iter().all(|id| {
            self.step(*id).is_some_and(|needed| {
                needed.status == StepStatus::Succeeded
                    || (!self.plan.options.stop_on_failure && needed.status.is_terminal())
            }) && self.undo_settled(*id)
        });
        needs_met
            && planned.after.iter().all(|id| {
                self.step(*id)
                    .is_some_and(|earlier| earlier.status.is_terminal())
                    && self.undo_settled(*id)
            })
    }

    /// Whether a step's undo, if there is one, has ended.
    fn undo_settled(&self, id: StepId) -> bool {
        self.undos()
            .filter(|step| step.undoes() == Some(id))
            .all(|undo| undo.status.is_terminal())
    }

    /// The deadlines that stand now.
    #[must_use]
    pub fn timers(&self) -> Vec<(Timestamp, Timer)> {
        let mut timers = Vec::new();
        match self.status {
            RunStatus::AwaitingApproval => {
                if let Some(ttl) = self.plan.approvals.iter().map(|need| need.ttl).min() {
                    timers.push((after(self.created_at, ttl), Timer::Decide));
                }
            }
            RunStatus::Queued => {
                let within = self.plan.approvals.iter().map(|need| need.run_within).min();
                if let (Some(within), Some(approved_at)) = (within, self.approved_at) {
                    timers.push((after(approved_at, within), Timer::Start));
                }
            }
            RunStatus::Planned
            | RunStatus::Running
            | RunStatus::Compensating
            | RunStatus::Succeeded
            | RunStatus::Failed
            | RunStatus::Cancelled
            | RunStatus::NeedsAttention => {}
        }
        if !self.status.is_terminal() {
            timers.extend(self.steps.iter().filter_map(|step| match step.status {
                StepStatus::Pending { retry_at: Some(at) } => Some((at, Timer::Retry(step.id))),
                StepStatus::Pending { retry_at: None }
                | StepStatus::Claimed
                | StepStatus::Running
                | StepStatus::Succeeded
                | StepStatus::Failed(_)
                | StepStatus::Skipped
                | StepStatus::Cancelled
                | StepStatus::Unknown { .. } => None,
            }));
        }
        timers
    }
}
