//! What somebody asks for, after parsing and before any decision.
//!
//! Every surface ends here: a slash command, an API body and a schedule become the same [`Ask`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{IntentName, LockKey, RunId, StepId};

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Only reads: answered at once, never recorded, never deduplicated.
    Query(Query),
    /// Changes something: recorded before it is acknowledged.
    Change(Change),
    /// Is about who somebody is. Answered to them alone and never recorded as it was written:
    /// codes stand in it.
    Identity(Identity),
}

/// A request about one's own accounts and second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Asks for a code that makes another account one's own.
    LinkCode,
    /// Gives such a code, from the other account.
    Redeem {
        /// As typed.
        code: String,
    },
    /// Gives an account up that was linked.
    Unlink {
        /// `surface:id`, as `whoami` and the audit trail print it.
        account: String,
    },
    /// Asks for a second factor.
    EnrolTotp,
    /// Shows that the second factor works.
    ConfirmTotp {
        /// As typed.
        code: String,
    },
}

/// A request that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Help, about one topic or all that the caller may do.
    Help {
        /// A built-in, a command or an intent; empty for the overview.
        topic: String,
    },
    /// The catalog, with a mark at what the caller may run.
    Intents,
    /// What would happen.
    Plan(RunRequest),
    /// Recent runs.
    Runs,
    /// One run with its steps.
    Show {
        /// Which.
        run: RunId,
    },
    /// The output of a run's steps.
    Logs {
        /// Which.
        run: RunId,
    },
    /// The loaded schedules.
    Schedules,
    /// Who the caller is and holds.
    Whoami,
    /// Held locks and their queues.
    Locks,
    /// Active freezes.
    Freezes,
    /// The newest audit rows.
    Audit,
    /// Health of the parts.
    Status,
}

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Run intents.
    Run(RunRequest),
    /// Approve or deny a run.
    Decide {
        /// Which.
        run: RunId,
        /// How.
        decision: Decision,
        /// Why, in the person's words; may be empty.
        reason: String,
    },
    /// Stop a run.
    Cancel {
        /// Which.
        run: RunId,
        /// Why; may be empty.
        reason: String,
    },
    /// Ask again for what an ended run did, with a new plan and new approvals.
    Retry {
        /// Which.
        run: RunId,
    },
    /// Say what became of a step whose outcome is unknown.
    Resolve {
        /// The run.
        run: RunId,
        /// The step, counted from one in messages.
        step: StepId,
        /// The person's finding.
        verdict: Verdict,
    },
    /// Break a lock.
    Unlock {
        /// The lock, by default a target such as `stack/stack-media`.
        lock: LockKey,
    },
    /// Hold back all runs in a scope.
    Freeze {
        /// `*`, an intent name, or `kind/name` of a target.
        scope: String,
        /// Why.
        reason: String,
    },
    /// End a freeze.
    Unfreeze {
        /// The scope, as it was frozen.
        scope: String,
    },
    /// Load intents and schedules again.
    Reload,
    /// Fire a schedule now.
    ScheduleRun {
        /// The schedule's name.
        name: String,
        /// Only show what would happen.
        dry_run: bool,
    },
}

impl Change {
    /// The action that policy decides on, as in `rave policy explain`.
    #[must_use]
    pub fn policy_action(&self) -> &'static str {
        match self {
            Self::Run(_) => "run.request",
            Self::Decide { .. } => "run.decide",
            Self::Cancel { .. } => "run.cancel",
            Self::Retry { .. } => "run.retry",
            Self::Resolve { .. } => "run.resolve",
            Self::Unlock { .. } => "lock.break",
            Self::Freeze { .. } | Self::Unfreeze { .. } => "freeze",
            Self::Reload => "catalog.reload",
            Self::ScheduleRun { .. } => "schedule.manage",
        }
    }
}

/// Intents to run with raw arguments, as written by the requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// In the order given.
    pub intents: Vec<IntentName>,
    /// Raw arguments by name; a repeated name fills a list. Secrets are taken out before this is
    /// stored.
    pub arguments: BTreeMap<String, Vec<String>>,
    /// How to run.
    pub options: RunOptions,
}

impl RunRequest {
    /// A request for one intent without arguments.
    #[must_use]
    pub fn of(intent: IntentName) -> Self {
        Self {
            intents: vec![intent],
            arguments: BTreeMap::new(),
            options: RunOptions::default(),
        }
    }
}

/// How a run behaves when things go wrong, and how wide it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Start nothing further after a failure.
    pub stop_on_failure: bool,
    /// Undo a failed or interrupted step.
    pub rollback_on_failure: bool,
    /// Which steps an undo reaches.
    pub unwind: Unwind,
    /// Whether requested intents wait for each other.
    pub order: Order,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            stop_on_failure: true,
            rollback_on_failure: true,
            unwind: Unwind::Step,
            order: Order::Sequential,
        }
    }
}

/// Which steps are undone on failure or cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Unwind {
    /// Only the failed or interrupted one.
    #[default]
    Step,
    /// Finished steps too, in reverse.
    Run,
}

/// How requested intents relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Each after the one before has ended.
    #[default]
    Sequential,
    /// Only dependencies order them.
    Parallel,
}

/// A person's decision on a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go ahead.
    Approve,
    /// Do not. Wins over approvals until the first claim.
    Deny,
}

/// A person's finding about a step whose outcome was unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The effect took place: the step succeeded.
    Happened,
    /// It did not: the step failed.
    DidNot,
    /// Run it again, as a new effect.
    Again,
}

impl Verdict {
    /// The word people type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::DidNot => "did-not",
            Self::Again => "again",
        }
    }
}
