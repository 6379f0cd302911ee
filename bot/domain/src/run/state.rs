//! The state of a run, derived from its events and never stored on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Failure, Origin};
use crate::ids::{Attempt, EffectKey, Epoch, LockKey, PersonId, RunId, StepId};
use crate::people::Account;
use crate::plan::{Class, Operation, Plan, PlannedStep, StepRole, Undo};
use crate::ports::store::ChunkRef;
use crate::request::{Decision, RunRequest};
use crate::time::Timestamp;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted, not yet judged.
    Planned,
    /// People must agree.
    AwaitingApproval,
    /// Waits for its locks, or for its first claim.
    Queued,
    /// Steps run.
    Running,
    /// Undo steps run.
    Compensating,
    /// All that was asked for is done.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was stopped, denied, expired or voided; see the reason.
    Cancelled,
    /// A person must say what became of a step.
    NeedsAttention,
}

impl RunStatus {
    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The word in messages and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NeedsAttention => "needs_attention",
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a run ended as it did, where the status alone does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EndReason {
    /// A person denied it.
    Denied {
        /// Who.
        by: PersonId,
        /// In the person's words.
        reason: String,
    },
    /// Nobody decided in time.
    ApprovalExpired,
    /// It was approved, but could not start in time.
    StartExpired,
    /// The plan is no longer the one that was approved.
    Voided {
        /// What differs.
        changes: Vec<String>,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Who.
        by: PersonId,
        /// Why.
        reason: String,
    },
    /// An operator broke its lock.
    LockBroken {
        /// Which.
        lock: LockKey,
        /// Who.
        by: PersonId,
    },
    /// A step failed and its undo failed too.
    UndoFailed,
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not started, or waiting for its retry.
    Pending {
        /// Not before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// Its intent is durable; the effect may begin.
    Claimed,
    /// The effect is under way.
    Running,
    /// The effect took place.
    Succeeded,
    /// It did not work.
    Failed(Failure),
    /// It was never started, because of something before it.
    Skipped,
    /// It was stopped or never started, because of a cancel.
    Cancelled,
    /// It cannot be told; a person or a probe must.
    Unknown {
        /// Why.
        why: String,
    },
}

impl StepStatus {
    /// The word in messages and the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Whether it has ended for good.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed(_) | Self::Skipped | Self::Cancelled
        )
    }

    /// Whether an executor is at it.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Claimed | Self::Running)
    }
}

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Part of the plan.
    Forward(StepRole),
    /// Undoes another step.
    Undo {
        /// Which.
        of: StepId,
    },
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its place.
    pub id: StepId,
    /// What for.
    pub kind: StepKind,
    /// Where it is.
    pub status: StepStatus,
    /// Tries so far, the present one included.
    pub attempts: Attempt,
    /// Which effect: rises when a person says "again".
    pub round: u32,
    /// Tries of the present round, for retry limits.
    pub round_attempts: u32,
    /// Begun and to be finished: it was under way when Rave stopped, or a person said "again".
    /// Runs even after a failure elsewhere; only a cancel ends it.
    pub rerun: bool,
    /// Why the last try failed, while the step waits for its retry.
    pub last_failure: Option<Failure>,
    /// First claim.
    pub started_at: Option<Timestamp>,
    /// The present try's claim.
    pub claimed_at: Option<Timestamp>,
    /// Its end.
    pub ended_at: Option<Timestamp>,
    /// What its undo needs, read before the effect.
    pub prepared: Option<serde_json::Value>,
    /// Whether the world may have been touched.
    pub touched: bool,
    /// Facts that the driver reported.
    pub facts: BTreeMap<String, String>,
    /// The last part of its output.
    pub tail: String,
    /// The whole output, when longer.
    pub output: Option<ChunkRef>,
}

impl Step {
    pub(super) fn new(id: StepId, kind: StepKind) -> Self {
        Self {
            id,
            kind,
            status: StepStatus::Pending { retry_at: None },
            attempts: Attempt(0),
            round: 0,
            round_attempts: 0,
            rerun: false,
            last_failure: None,
            started_at: None,
            claimed_at: None,
            ended_at: None,
            prepared: None,
            touched: false,
            facts: BTreeMap::new(),
            tail: String::new(),
            output: None,
        }
    }

    /// The step that this one undoes.
    #[must_use]
    pub fn undoes(&self) -> Option<StepId> {
        match self.kind {
            StepKind::Undo { of } => Some(of),
            StepKind::Forward(_) => None,
        }
    }
}

/// One person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Who.
    pub person: PersonId,
    /// Through which account.
    pub account: Account,
    /// How.
    pub decision: Decision,
    /// Which needs it counts for.
    pub counts_for: Vec<u32>,
    /// In the person's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A wish to stop the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// When.
    pub at: Timestamp,
    /// What the run will say.
    pub reason: EndReason,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Events applied.
    pub seq: u64,
    /// Who and where.
    pub origin: Origin,
    /// What was asked, secrets taken out.
    pub request: Arc<RunRequest>,
    /// What.
    pub plan: Arc<Plan>,
    /// Where it is.
    pub status: RunStatus,
    /// Why it ended so.
    pub reason: Option<EndReason>,
    /// Decisions so far.
    pub approvals: Vec<ApprovalRecord>,
    /// When the last approval came.
    pub approved_at: Option<Timestamp>,
    /// Locks held, with their epochs.
    pub locks: BTreeMap<LockKey, Epoch>,
    /// Whether all locks have been granted.
    pub locks_granted: bool,
    /// Whether the plan was computed again and found unchanged.
    pub confirmed: bool,
    /// A wish to stop it.
    pub cancel: Option<CancelRequest>,
    /// Whether something failed after which nothing further starts.
    pub halted: bool,
    /// Whether undo steps for finished steps have been added (`unwind: run`).
    pub unwound: bool,
    /// Steps, planned ones first.
    pub steps: Vec<Step>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its first step was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When the latest event happened.
    pub updated_at: Timestamp,
}

impl Run {
    /// A step by id.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.index())
    }

    /// The planned step behind a step: its own, or the one it undoes.
    #[must_use]
    pub fn planned(&self, step: &Step) -> Option<&PlannedStep> {
        match step.kind {
            StepKind::Forward(_) => self.plan.step(step.id),
            StepKind::Undo { of } => self.plan.step(of),
        }
    }

    /// What a driver is asked to do for a step. For an action's own undo this is the operation
    /// that is undone.
    #[must_use]
    pub fn operation(&self, step: &Step) -> Option<&Operation> {
        let planned = self.planned(step)?;
        match (&step.kind, &planned.undo) {
            (StepKind::Undo { .. }, Undo::Intent { operation, .. }) => Some(operation),
            (StepKind::Undo { .. }, Undo::Own { .. } | Undo::None) | (StepKind::Forward(_), _) => {
                Some(&planned.operation)
            }
        }
    }

    /// How a step recovers.
    #[must_use]
    pub fn class(&self, step: &Step) -> Class {
        let Some(planned) = self.planned(step) else {
            return Class::Once;
        };
        match (&step.kind, &planned.undo) {
            (StepKind::Undo { .. }, Undo::Own { class, .. }) => *class,
            (StepKind::Undo { .. }, Undo::Intent { operation, .. }) => operation.class,
            (StepKind::Undo { .. }, Undo::None) | (StepKind::Forward(_), _) => {
                planned.operation.class
            }
        }
    }

    /// The key under which a step's present effect is known.
    #[must_use]
    pub fn effect_key(&self, step: &Step) -> EffectKey {
        EffectKey::new(&self.id, step.id, step.round)
    }

    /// A step's name for people.
    #[must_use]
    pub fn title(&self, step: &Step) -> String {
        let intent = |step: Option<&PlannedStep>| {
            step.map_or_else(String::new, |planned| planned.operation.intent.to_string())
        };
        match step.kind {
            StepKind::Forward(_) => intent(self.planned(step)),
            StepKind::Undo { .. } => format!("undo of {}", intent(self.planned(step))),
        }
    }

    /// Undo steps, in the order in which they run. They stand behind the planned ones.
    pub(super) fn undos(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().skip(self.plan.steps.len())
    }

    /// Whether an operator has broken a lock that the step works under. An undo works under the
    /// lock of what it undoes and under [`PlannedStep::undo_lock`].
    pub(super) fn lost_lock(&self, step: &Step) -> bool {
        let lost = |lock: &LockKey| !self.locks.contains_key(lock);
        let Some(planned) = self.planned(step) else {
            return false;
        };
        let of_undo = match &step.kind {
            StepKind::Undo { .. } => planned.undo_lock(),
            StepKind::Forward(_) => None,
        };
        planned.lock.as_ref().is_some_and(lost) || of_undo.as_ref().is_some_and(lost)
    }

    /// People who may not decide on this run: the requester, and the owners of a robot.
    #[must_use]
    pub fn excluded(&self) -> BTreeSet<&PersonId> {
        self.origin
            .owners
            .iter()
            .chain(std::iter::once(&self.origin.person))
            .collect()
    }

    /// The steps whose outcome a person must settle.
    pub fn unknown_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|step| matches!(step.status, StepStatus::Unknown { .. }))
    }

    /// The first failure in step order, for "Command failed: …".
    #[must_use]
    pub fn first_failure(&self) -> Option<(&Step, &Failure)> {
        self.steps.iter().find_map(|step| match &step.status {
            StepStatus::Failed(failure) => Some((step, failure)),
            StepStatus::Pending { .. }
            | StepStatus::Claimed
            | StepStatus::Running
            | StepStatus::Succeeded
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::Unknown { .. } => None,
        })
    }
}
