//! One intent in an answer.

use std::collections::BTreeMap;

use rave_domain::plan::{PlannedStep, StepRole, Undo};
use rave_domain::run::{EndReason, Failure, Run, RunStatus, Step, StepKind, StepStatus};
use rave_domain::value::Value as Argument;
use rave_domain::{ErrorCode, IntentName, StepId, UserError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema::{ErrorWord, PlanRole, ResultState, StepState};

/// What became of one intent, or would. Fields that say nothing about it are left out.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = IntentResult)]
pub(crate) struct Item {
    /// Its name, as it was asked for.
    pub(crate) intent: String,
    /// Whether it was done; in a dry run, whether it could be.
    pub(crate) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    /// The stack, or the name of another target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dry_run: Option<bool>,
    /// Of a backup: which kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PlanRole>)]
    pub(crate) role: Option<StepRole>,
    /// Where its step is; in an answer about one intent, where the run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ResultState>)]
    pub(crate) state: Option<&'static str>,
    /// Whether it was never started.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) skipped: bool,
    /// Why not, in a word: `stopped`, `cancelled`; or a refusal in Rave's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ErrorWord>)]
    pub(crate) code: Option<ErrorCode>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// What it printed; in a dry run, what would be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<String>,
    /// What could not be observed, and what deserves a look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback: Option<Rollback>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What became of the way back from a step.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Rollback {
    ok: bool,
    #[schema(value_type = StepState)]
    state: &'static str,
    /// What it was.
    message: String,
    /// Why it failed, when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whole outputs of steps whose tail is not all of it.
pub(crate) type Outputs = BTreeMap<StepId, String>;

/// What an intent is, whatever became of it.
fn base(planned: &PlannedStep, dry_run: bool) -> Item {
    let operation = &planned.operation;
    let field = |name: &str| operation.fields.get(name).and_then(Argument::plain);
    let stack = field("stack").unwrap_or_else(|| operation.target.name.clone());
    Item {
        intent: operation.intent.to_string(),
        ok: true,
        action: Some(operation.action.to_string()),
        stack: Some(stack),
        dry_run: Some(dry_run),
        backup_type: field("backup_type"),
        role: Some(planned.role),
        ..Item::default()
    }
}

/// An intent in a dry run.
pub(crate) fn dry(planned: &PlannedStep) -> Item {
    Item {
        stdout: Some(would_execute(planned)),
        warnings: planned.preview.warnings.clone(),
        ..base(planned, true)
    }
}

/// The seed's sentence, once per command line.
fn would_execute(planned: &PlannedStep) -> String {
    let lines: Vec<String> = planned
        .preview
        .commands
        .iter()
        .map(|argv| format!("[DRY-RUN] Would execute: {}", argv.join(" ")))
        .collect();
    if lines.is_empty() {
        let operation = &planned.operation;
        return format!(
            "[DRY-RUN] Would execute: {} {}",
            operation.action, operation.target
        );
    }
    lines.join("\n")
}

/// An intent of a run.
pub(crate) fn of_step(run: &Run, planned: &PlannedStep, step: &Step, outputs: &Outputs) -> Item {
    let item = Item {
        ok: step.status == StepStatus::Succeeded,
        state: Some(step.status.as_str()),
        rollback: rollback(run, step),
        ..base(planned, false)
    };
    match &step.status {
        StepStatus::Succeeded => Item {
            stdout: Some(output(step, outputs)),
            ..item
        },
        StepStatus::Failed(failure) => Item {
            error: Some(command_failed(failure, &step.tail)),
            code: Some(failure.code),
            stdout: Some(output(step, outputs)),
            ..item
        },
        StepStatus::Skipped | StepStatus::Cancelled => not_run(run, planned, item),
        StepStatus::Unknown { why } => Item {
            error: Some(format!("Outcome unknown: {why}")),
            code: Some(ErrorCode::OutcomeUnknown),
            ..item
        },
        StepStatus::Pending { .. } | StepStatus::Claimed | StepStatus::Running => item,
    }
}

/// Why a step never ran: a dependency that failed, a stop, or the end of the whole run.
fn not_run(run: &Run, planned: &PlannedStep, item: Item) -> Item {
    let lacking = planned.needs.iter().find_map(|id| {
        let step = run.step(*id)?;
        (step.status != StepStatus::Succeeded).then(|| run.plan.step(*id))?
    });
    if let Some(needed) = lacking.filter(|_| run.status != RunStatus::Cancelled) {
        return Item {
            error: Some(format!("Dependency failed: {}", needed.operation.intent)),
            ..item
        };
    }
    let (word, text) = match (&run.reason, run.first_failure()) {
        (Some(why), _) => ("cancelled", format!("Not started: {}", reason(why))),
        (None, Some((failed, _))) => (
            "stopped",
            format!("Not started: {} failed before", run.title(failed)),
        ),
        (None, None) => ("stopped", "Not started".to_owned()),
    };
    Item {
        skipped: true,
        reason: Some(word.to_owned()),
        error: Some(text),
        ..item
    }
}

/// An intent that never became part of a run.
pub(crate) fn refused_item(intent: &str, error: &UserError) -> Item {
    let text = super::words(error.code, intent, "RBAC: action not permitted");
    let text = text.unwrap_or_else(|| error.message.clone());
    Item {
        intent: intent.to_owned(),
        reason: (text != error.message).then(|| error.message.clone()),
        error: Some(text),
        code: Some(error.code),
        hint: error.hint.clone(),
        ..Item::default()
    }
}

/// An intent that was not started because another one of the request cannot be.
pub(crate) fn held_back(intent: &IntentName, because: &str) -> Item {
    Item {
        intent: intent.to_string(),
        skipped: true,
        reason: Some("stopped".to_owned()),
        error: Some(format!("Not started: {because} cannot run")),
        ..Item::default()
    }
}

/// `Command failed: …`, ending with what the program said.
pub(crate) fn command_failed(failure: &Failure, tail: &str) -> String {
    let message = &failure.message;
    let mut text = if message.starts_with("Command failed") {
        message.clone()
    } else {
        format!("Command failed: {message}")
    };
    let said = tail.trim_end();
    let last = said.lines().next_back().unwrap_or_default().trim();
    if !last.is_empty() && !text.contains(last) {
        text.push('\n');
        text.push_str(said);
    }
    text
}

fn output(step: &Step, outputs: &Outputs) -> String {
    outputs.get(&step.id).unwrap_or(&step.tail).clone()
}

fn rollback(run: &Run, step: &Step) -> Option<Rollback> {
    let undo = run
        .steps
        .iter()
        .find(|other| other.kind == StepKind::Undo { of: step.id })?;
    let message = match &run.planned(step)?.undo {
        Undo::Own { summary, .. } => summary.clone(),
        Undo::Intent { operation, .. } => operation.intent.to_string(),
        Undo::None => return None,
    };
    let error = if let StepStatus::Failed(failure) = &undo.status {
        Some(failure.message.clone())
    } else {
        None
    };
    Some(Rollback {
        ok: undo.status == StepStatus::Succeeded,
        state: undo.status.as_str(),
        message,
        error,
    })
}

/// Why a run ended, in words.
pub(crate) fn reason(reason: &EndReason) -> String {
    let quoted = |text: &String| match text.as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    match reason {
        EndReason::Denied { by, reason } => format!("denied by {by}{}", quoted(reason)),
        EndReason::ApprovalExpired => "nobody decided in time".to_owned(),
        EndReason::StartExpired => "it was approved but could not start in time".to_owned(),
        EndReason::Voided { changes } => {
            format!(
                "the plan changed after it was approved: {}",
                changes.join(", ")
            )
        }
        EndReason::Cancelled { by, reason } => format!("cancelled by {by}{}", quoted(reason)),
        EndReason::LockBroken { lock, by } => format!("{by} broke its lock {lock}"),
        EndReason::UndoFailed => "a step failed, and so did its way back".to_owned(),
    }
}
