//! `/run` and `/schedules/run_now`: an answer about one intent, with its dependencies listed.

use http::StatusCode;
use rave_domain::plan::Plan;
use rave_domain::run::{EndReason, Run, RunStatus};
use rave_domain::{ErrorCode, IntentName, StepId};
use rave_engine::api::{DryRun, RunSnapshot};
use serde_json::{Value, json};

use super::item::{self, Item, Outputs};
use crate::error::ApiError;

/// What would happen.
pub(crate) fn dry_run(name: &IntentName, dry: &DryRun) -> Item {
    let plan = &dry.plan;
    let Some(id) = place(plan, name) else {
        return Item::new();
    };
    let mut body = plan.step(id).map(item::dry).unwrap_or_default();
    body.shift_remove("role");
    let dependencies: Vec<Value> = plan
        .steps
        .iter()
        .filter(|step| step.operation.intent != *name)
        .map(|step| Value::Object(item::dry(step)))
        .collect();
    add_list(&mut body, "dependencies", dependencies);
    body.insert("plan".to_owned(), plan_facts(dry));
    body
}

/// What approvers would see: the digest, what is touched, who must agree.
pub(crate) fn plan_facts(dry: &DryRun) -> Value {
    let approvals: Vec<Value> = dry
        .plan
        .approvals
        .iter()
        .zip(&dry.approvers)
        .map(|(need, who)| {
            json!({"intent": need.intent, "required": need.required, "approvers": who})
        })
        .collect();
    json!({
        "digest": dry.plan.digest,
        "touches": dry.plan.blast_radius(),
        "approvals": approvals,
    })
}

/// A run that has ended, or where it stands now. `/run` answers 200 when it succeeded, 500 when
/// it failed, 409 when it was denied or cancelled, and 202 while it goes on or waits for people.
pub(crate) fn finished(
    name: &IntentName,
    snapshot: &RunSnapshot,
    outputs: &Outputs,
) -> Result<(StatusCode, Item), ApiError> {
    let run = &snapshot.run;
    match run.status {
        RunStatus::Succeeded => {
            let mut body = about(name, run, outputs);
            body.insert("ok".to_owned(), true.into());
            Ok((StatusCode::OK, body))
        }
        RunStatus::Failed => Err(failed(name, run, outputs)),
        RunStatus::Cancelled => Err(cancelled(run)),
        RunStatus::Planned
        | RunStatus::AwaitingApproval
        | RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Compensating
        | RunStatus::NeedsAttention => {
            let mut body = about(name, run, outputs);
            // Not done is not ok: a script that goes on only when this is true must stop here.
            body.insert("ok".to_owned(), false.into());
            body.insert("detail".to_owned(), standing(snapshot).into());
            Ok((StatusCode::ACCEPTED, body))
        }
    }
}

/// Where a run stands that has not ended.
pub(crate) fn standing(snapshot: &RunSnapshot) -> String {
    let run = &snapshot.run;
    match (run.status, snapshot.queue_position, &snapshot.hold) {
        (RunStatus::AwaitingApproval, _, _) => {
            format!("Waiting for approval: `/rave approve {}`", run.id)
        }
        (RunStatus::NeedsAttention, _, _) => {
            let step = run.unknown_steps().next().map_or(StepId(0), |step| step.id);
            format!(
                "A person must say what became of step {step}: `/rave resolve {} {step} \
                 happened|did-not|again`",
                run.id
            )
        }
        (_, _, Some(hold)) => format!("Held back: {hold}"),
        (_, Some(1), None) => "Waiting for the run before it".to_owned(),
        (_, Some(before), None) if before > 1 => format!("Waiting for {before} runs before it"),
        (status, _, None) => format!("Not finished yet: {status}"),
    }
}

fn about(name: &IntentName, run: &Run, outputs: &Outputs) -> Item {
    let items = steps(run, outputs);
    let mut body = Item::new();
    let mut dependencies = Vec::new();
    for (intent, item) in items {
        if intent == name {
            body = item;
        } else {
            dependencies.push(Value::Object(item));
        }
    }
    body.shift_remove("role");
    body.entry("stdout").or_insert_with(|| "".into());
    body.insert("run_id".to_owned(), run.id.as_str().into());
    body.insert("state".to_owned(), run.status.as_str().into());
    add_list(&mut body, "dependencies", dependencies);
    body
}

/// The items of a run's planned steps, in order.
pub(crate) fn steps<'a>(
    run: &'a Run,
    outputs: &'a Outputs,
) -> impl Iterator<Item = (&'a IntentName, Item)> {
    run.plan
        .steps
        .iter()
        .zip(&run.steps)
        .map(|(planned, step)| {
            let item = item::of_step(run, planned, step, outputs);
            (&planned.operation.intent, item)
        })
}

fn failed(name: &IntentName, run: &Run, outputs: &Outputs) -> ApiError {
    let (code, text) = match run.first_failure() {
        Some((step, failure)) => {
            let text = item::command_failed(failure, &step.tail);
            let title = run.title(step);
            let text = if title == name.as_str() {
                text
            } else {
                text.replacen("Command failed: ", &format!("Command failed: {title}: "), 1)
            };
            (failure.code, text)
        }
        None => (
            ErrorCode::CommandFailed,
            format!("Command failed: {} failed", run.id),
        ),
    };
    let mut error = ApiError::new(code, text)
        .status(StatusCode::INTERNAL_SERVER_ERROR)
        .about(&run.id)
        .with("state", run.status.as_str());
    if let Some(why) = &run.reason {
        error = error.with("reason", item::reason(why));
    }
    let mut body = about(name, run, outputs);
    for key in ["intent", "action", "stdout", "rollback", "dependencies"] {
        if let Some(value) = body.shift_remove(key) {
            error = error.with(key, value);
        }
    }
    error
}

fn cancelled(run: &Run) -> ApiError {
    let code = match &run.reason {
        Some(EndReason::Voided { .. }) => ErrorCode::PlanChanged,
        Some(
            EndReason::Denied { .. }
            | EndReason::ApprovalExpired
            | EndReason::StartExpired
            | EndReason::Cancelled { .. }
            | EndReason::LockBroken { .. }
            | EndReason::UndoFailed,
        )
        | None => ErrorCode::RunCancelled,
    };
    let why = run
        .reason
        .as_ref()
        .map_or_else(|| "it was stopped".to_owned(), item::reason);
    ApiError::new(code, format!("Run cancelled: {why}"))
        .about(&run.id)
        .with("state", run.status.as_str())
}

fn place(plan: &Plan, name: &IntentName) -> Option<StepId> {
    let at = plan
        .steps
        .iter()
        .position(|step| step.operation.intent == *name)?;
    u32::try_from(at).ok().map(StepId)
}

/// Adds a list unless there is nothing in it.
pub(crate) fn add_list(body: &mut Item, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        body.insert(name.to_owned(), Value::Array(list));
    }
}
