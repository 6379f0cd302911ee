//! One intent in an answer.

use std::collections::BTreeMap;

use rave_domain::plan::{PlannedStep, StepRole, Undo};
use rave_domain::run::{EndReason, Failure, Run, RunStatus, Step, StepKind, StepStatus};
use rave_domain::value::Value as Argument;
use rave_domain::{ErrorCode, IntentName, StepId, UserError};
use serde_json::{Map, Value, json};

/// A JSON object with its keys in order.
pub(crate) type Item = Map<String, Value>;

/// Whole outputs of steps whose tail is not all of it.
pub(crate) type Outputs = BTreeMap<StepId, String>;

/// What an intent is, whatever became of it.
pub(crate) fn base(planned: &PlannedStep, dry_run: bool) -> Item {
    let operation = &planned.operation;
    let field = |name: &str| operation.fields.get(name).and_then(Argument::plain);
    let mut item = Item::new();
    item.insert("intent".to_owned(), operation.intent.as_str().into());
    item.insert("ok".to_owned(), true.into());
    item.insert("action".to_owned(), operation.action.as_str().into());
    let stack = field("stack").unwrap_or_else(|| operation.target.name.clone());
    item.insert("stack".to_owned(), stack.into());
    item.insert("dry_run".to_owned(), dry_run.into());
    if let Some(kind) = field("backup_type") {
        item.insert("backup_type".to_owned(), kind.into());
    }
    let role = match planned.role {
        StepRole::Requested => "requested",
        StepRole::Dependency => "dependency",
    };
    item.insert("role".to_owned(), role.into());
    item
}

/// An intent in a dry run.
pub(crate) fn dry(planned: &PlannedStep) -> Item {
    let mut item = base(planned, true);
    item.insert("stdout".to_owned(), would_execute(planned).into());
    let preview = &planned.preview;
    if !preview.warnings.is_empty() {
        item.insert("warnings".to_owned(), json!(preview.warnings));
    }
    item
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
    let mut item = base(planned, false);
    item.insert("state".to_owned(), step.status.as_str().into());
    match &step.status {
        StepStatus::Succeeded => {
            item.insert("stdout".to_owned(), output(step, outputs).into());
        }
        StepStatus::Failed(failure) => {
            item.insert("ok".to_owned(), false.into());
            item.insert(
                "error".to_owned(),
                command_failed(failure, &step.tail).into(),
            );
            item.insert("code".to_owned(), failure.code.as_str().into());
            item.insert("stdout".to_owned(), output(step, outputs).into());
        }
        StepStatus::Skipped | StepStatus::Cancelled => not_run(run, planned, &mut item),
        StepStatus::Unknown { why } => {
            item.insert("ok".to_owned(), false.into());
            item.insert("error".to_owned(), format!("Outcome unknown: {why}").into());
            item.insert("code".to_owned(), ErrorCode::OutcomeUnknown.as_str().into());
        }
        StepStatus::Pending { .. } | StepStatus::Claimed | StepStatus::Running => {
            item.insert("ok".to_owned(), false.into());
        }
    }
    if let Some(rollback) = rollback(run, step) {
        item.insert("rollback".to_owned(), rollback);
    }
    item
}

/// Why a step never ran: a dependency that failed, a stop, or the end of the whole run.
fn not_run(run: &Run, planned: &PlannedStep, item: &mut Item) {
    item.insert("ok".to_owned(), false.into());
    let lacking = planned.needs.iter().find_map(|id| {
        let step = run.step(*id)?;
        (step.status != StepStatus::Succeeded).then(|| run.plan.step(*id))?
    });
    if let Some(needed) = lacking.filter(|_| run.status != RunStatus::Cancelled) {
        let text = format!("Dependency failed: {}", needed.operation.intent);
        item.insert("error".to_owned(), text.into());
        return;
    }
    item.insert("skipped".to_owned(), true.into());
    let (word, text) = match (&run.reason, run.first_failure()) {
        (Some(why), _) => ("cancelled", format!("Not started: {}", reason(why))),
        (None, Some((failed, _))) => (
            "stopped",
            format!("Not started: {} failed before", run.title(failed)),
        ),
        (None, None) => ("stopped", "Not started".to_owned()),
    };
    item.insert("reason".to_owned(), word.into());
    item.insert("error".to_owned(), text.into());
}

/// An intent that never became part of a run.
pub(crate) fn refused_item(intent: &str, error: &UserError) -> Item {
    let text = super::words(error.code, intent, "RBAC: action not permitted")
        .unwrap_or_else(|| error.message.clone());
    let mut item = Item::new();
    item.insert("intent".to_owned(), intent.into());
    item.insert("ok".to_owned(), false.into());
    if text != error.message {
        item.insert("reason".to_owned(), error.message.clone().into());
    }
    item.insert("error".to_owned(), text.into());
    item.insert("code".to_owned(), error.code.as_str().into());
    if let Some(hint) = &error.hint {
        item.insert("hint".to_owned(), hint.clone().into());
    }
    item
}

/// An intent that was not started because another one of the request cannot be.
pub(crate) fn held_back(intent: &IntentName, because: &str) -> Item {
    let mut item = Item::new();
    item.insert("intent".to_owned(), intent.as_str().into());
    item.insert("ok".to_owned(), false.into());
    item.insert("skipped".to_owned(), true.into());
    item.insert("reason".to_owned(), "stopped".into());
    item.insert(
        "error".to_owned(),
        format!("Not started: {because} cannot run").into(),
    );
    item
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

pub(crate) fn output(step: &Step, outputs: &Outputs) -> String {
    outputs.get(&step.id).unwrap_or(&step.tail).clone()
}

/// What became of the way back from a step.
pub(crate) fn rollback(run: &Run, step: &Step) -> Option<Value> {
    let undo = run
        .steps
        .iter()
        .find(|other| other.kind == StepKind::Undo { of: step.id })?;
    let what = match &run.planned(step)?.undo {
        Undo::Own { summary, .. } => summary.clone(),
        Undo::Intent { operation, .. } => operation.intent.to_string(),
        Undo::None => return None,
    };
    let mut told = json!({
        "ok": undo.status == StepStatus::Succeeded,
        "state": undo.status.as_str(),
        "message": what,
    });
    if let (StepStatus::Failed(failure), Some(told)) = (&undo.status, told.as_object_mut()) {
        told.insert("error".to_owned(), failure.message.clone().into());
    }
    Some(told)
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
