//! Events of a run, as they stand in the journal. Append-only vocabulary: a variant or field may
//! be added, none may change its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::commands::Timer;
use crate::error::ErrorCode;
use crate::ids::{Attempt, Epoch, LockKey, PersonId, RequestId, RunId, StepId};
use crate::people::{Account, Strength, Surface};
use crate::plan::Plan;
use crate::ports::surface::ReplyTo;
use crate::request::{Decision, RunRequest, Verdict};
use crate::time::Timestamp;

/// Who asked, from where, and where answers go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The request that made the run.
    pub request: RequestId,
    /// The person, or the robot.
    pub person: PersonId,
    /// People who may not approve because the requester is a robot of theirs.
    pub owners: BTreeSet<PersonId>,
    /// The account it came through.
    pub account: Account,
    /// Where it came from.
    pub surface: Surface,
    /// The client's address, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Where later messages go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// The run that this one retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
}

/// The first event of every run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The run.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// Who and where.
    pub origin: Origin,
    /// What was asked, secrets taken out: the plan is computed from it again at the start, and
    /// by a retry.
    pub request: RunRequest,
    /// What will be done.
    pub plan: Plan,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For clients.
    pub code: ErrorCode,
    /// For people, one sentence.
    pub message: String,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The effect took place.
    Succeeded {
        /// Small facts, such as image digests.
        facts: BTreeMap<String, String>,
    },
    /// It did not work.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether trying again may help.
        may_pass: bool,
        /// Whether the world may have been touched, so that an undo makes sense.
        touched: bool,
    },
    /// It was stopped because of a cancel; `touched` as above.
    Stopped {
        /// Whether the world may have been touched.
        touched: bool,
    },
    /// It cannot be told.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// How recovery settled a step that was under way when Rave stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It may run again; same effect key.
    Rerun,
}

/// One fact about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It exists.
    Submitted(Box<Submission>),
    /// A person decided. Eligibility was checked by policy; the core counts.
    Decided {
        /// When.
        at: Timestamp,
        /// Who.
        person: PersonId,
        /// Through which account.
        account: Account,
        /// How strongly that is proven.
        strength: Strength,
        /// How.
        decision: Decision,
        /// Which of the plan's approval needs this person counts for.
        counts_for: Vec<u32>,
        /// In the person's words.
        reason: String,
    },
    /// A deadline of the run passed.
    Expired {
        /// When.
        at: Timestamp,
        /// Which.
        timer: Timer,
    },
    /// All locks are held.
    LocksGranted {
        /// When.
        at: Timestamp,
        /// Each lock's epoch under this grant.
        epochs: BTreeMap<LockKey, Epoch>,
    },
    /// An operator broke one of the run's locks.
    LockBroken {
        /// When.
        at: Timestamp,
        /// Which.
        lock: LockKey,
        /// Who.
        by: PersonId,
    },
    /// The plan was computed again and is the one that was asked for.
    Started {
        /// When.
        at: Timestamp,
    },
    /// The plan was computed again and is another one.
    Voided {
        /// When.
        at: Timestamp,
        /// What differs, for people.
        changes: Vec<String>,
    },
    /// A step is about to be executed. Durable before the effect: this is the intent.
    Claimed {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// Which try.
        attempt: Attempt,
        /// By which executor.
        epoch: Epoch,
    },
    /// A claim was refused: a rule no longer allows the step.
    ClaimRefused {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// What the undo needs was read; the effect is next.
    Prepared {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// The driver's own data.
        undo: Option<serde_json::Value>,
    },
    /// An attempt ended.
    Reported {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// Which try.
        attempt: Attempt,
        /// How.
        outcome: Outcome,
        /// The last part of its output, at most 8 KiB.
        tail: String,
        /// The whole output, when it is longer than the tail.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<crate::ports::store::ChunkRef>,
    },
    /// Recovery settled a step that was under way.
    Recovered {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// How.
        resolution: Resolution,
    },
    /// Somebody wants it stopped.
    CancelRequested {
        /// When.
        at: Timestamp,
        /// Who.
        by: PersonId,
        /// Why.
        reason: String,
    },
    /// A person said what became of a step.
    Resolved {
        /// When.
        at: Timestamp,
        /// Which.
        step: StepId,
        /// The finding.
        verdict: Verdict,
        /// Who.
        by: PersonId,
    },
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Submitted(submission) => submission.at,
            Self::Decided { at, .. }
            | Self::Expired { at, .. }
            | Self::LocksGranted { at, .. }
            | Self::LockBroken { at, .. }
            | Self::Started { at }
            | Self::Voided { at, .. }
            | Self::Claimed { at, .. }
            | Self::ClaimRefused { at, .. }
            | Self::Prepared { at, .. }
            | Self::Reported { at, .. }
            | Self::Recovered { at, .. }
            | Self::CancelRequested { at, .. }
            | Self::Resolved { at, .. } => *at,
        }
    }

    /// Its name in the journal's index and in traces.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Submitted(_) => "submitted",
            Self::Decided { .. } => "decided",
            Self::Expired { .. } => "expired",
            Self::LocksGranted { .. } => "locks_granted",
            Self::LockBroken { .. } => "lock_broken",
            Self::Started { .. } => "started",
            Self::Voided { .. } => "voided",
            Self::Claimed { .. } => "claimed",
            Self::ClaimRefused { .. } => "claim_refused",
            Self::Prepared { .. } => "prepared",
            Self::Reported { .. } => "reported",
            Self::Recovered { .. } => "recovered",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Resolved { .. } => "resolved",
        }
    }
}
