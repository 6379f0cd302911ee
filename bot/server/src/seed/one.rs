//! `/run` and `/schedules/run_now`: an answer about one intent, with its dependencies listed.

use std::collections::BTreeSet;

use http::StatusCode;
use rave_domain::run::{EndReason, Run, RunStatus};
use rave_domain::{Digest, ErrorCode, IntentName, RunId, StepId};
use rave_engine::api::{DryRun, RunSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::item::{self, Item, Outputs};
use crate::error::ApiError;

/// The answer about one intent. Its `state` is the run's.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = OneResult)]
pub(crate) struct One {
    #[serde(flatten)]
    item: Item,
    /// The run; a dry run has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    run_id: Option<RunId>,
    /// The other intents of the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Item>,
    /// Of a dry run: what approvers would see.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanFacts>,
    /// What a run that has not ended waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What would happen.
pub(crate) fn dry_run(name: &IntentName, dry: &DryRun) -> One {
    let mut one = One {
        plan: Some(plan_facts(dry)),
        ..One::default()
    };
    for step in &dry.plan.steps {
        if step.operation.intent == *name {
            one.item = item::dry(step);
        } else {
            one.dependencies.push(item::dry(step));
        }
    }
    one.item.role = None;
    one
}

/// What approvers would see: the digest, what is touched, who must agree.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanFacts {
    /// What approvals would be bound to.
    #[schema(value_type = String)]
    digest: Digest,
    touches: BTreeSet<String>,
    approvals: Vec<Approvers>,
}

/// People that would have to agree.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Approvers {
    /// The intent that asks for it.
    #[schema(value_type = String)]
    intent: IntentName,
    /// How many people.
    required: u32,
    /// Who could.
    approvers: Vec<String>,
}

pub(crate) fn plan_facts(dry: &DryRun) -> PlanFacts {
    let approvals = dry.plan.approvals.iter().zip(&dry.approvers);
    PlanFacts {
        digest: dry.plan.digest,
        touches: dry.plan.blast_radius(),
        approvals: approvals
            .map(|(need, who)| Approvers {
                intent: need.intent.clone(),
                required: need.required,
                approvers: who.clone(),
            })
            .collect(),
    }
}

/// A run that has ended, or where it stands now. `/run` answers 200 when it succeeded, 500 when
/// it failed, 409 when it was denied or cancelled, and 202 while it goes on or waits for people.
pub(crate) fn finished(
    name: &IntentName,
    snapshot: &RunSnapshot,
    outputs: &Outputs,
) -> Result<(StatusCode, One), ApiError> {
    let run = &snapshot.run;
    let mut one = about(name, run, outputs);
    match run.status {
        RunStatus::Succeeded => {
            one.item.ok = true;
            Ok((StatusCode::OK, one))
        }
        RunStatus::Failed => Err(failed(name, run, one)),
        RunStatus::Cancelled => Err(cancelled(run)),
        RunStatus::Planned
        | RunStatus::AwaitingApproval
        | RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Compensating
        | RunStatus::NeedsAttention => {
            // Not done is not ok: a script that goes on only when this is true must stop here.
            one.item.ok = false;
            one.detail = Some(standing(snapshot));
            Ok((StatusCode::ACCEPTED, one))
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

fn about(name: &IntentName, run: &Run, outputs: &Outputs) -> One {
    let mut one = One::default();
    for (intent, item) in steps(run, outputs) {
        if intent == name {
            one.item = item;
        } else {
            one.dependencies.push(item);
        }
    }
    one.item.role = None;
    one.item.stdout.get_or_insert_default();
    one.item.state = Some(run.status.as_str());
    one.run_id = Some(run.id.clone());
    one
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

fn failed(name: &IntentName, run: &Run, one: One) -> ApiError {
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
    let error = ApiError::new(code, text)
        .status(StatusCode::INTERNAL_SERVER_ERROR)
        .about(&run.id, run.status)
        .with(|more| {
            more.intent = Some(one.item.intent);
            more.action = one.item.action;
            more.stdout = one.item.stdout;
            more.rollback = one.item.rollback;
            more.dependencies = one.dependencies;
        });
    match &run.reason {
        Some(why) => error.because(item::reason(why)),
        None => error,
    }
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
    ApiError::new(code, format!("Run cancelled: {why}")).about(&run.id, run.status)
}
