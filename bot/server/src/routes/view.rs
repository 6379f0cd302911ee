//! Runs as `/api/v1` shows them.

use rave_domain::plan::StepRole;
use rave_domain::ports::store::{Paged, RunRow};
use rave_domain::run::{Run, Step, StepKind, StepStatus};
use rave_engine::api::{DryRun, RunSnapshot};
use serde_json::{Map, Value, json};

use crate::seed;

/// A run in a list.
pub(crate) fn row(row: &RunRow) -> Value {
    let RunRow {
        id,
        status,
        intents,
        person,
        surface,
        digest,
        created_at,
        updated_at,
        ended_at,
    } = row;
    json!({
        "id": id,
        "state": status,
        "intents": intents,
        "requested_by": person,
        "surface": surface,
        "plan_digest": digest,
        "created_at": created_at,
        "updated_at": updated_at,
        "ended_at": ended_at,
    })
}

/// A page of a list.
pub(crate) fn page<T>(paged: &Paged<T>, view: impl Fn(&T) -> Value) -> Map<String, Value> {
    let items: Vec<Value> = paged.items.iter().map(view).collect();
    Map::from_iter([
        ("items".to_owned(), items.into()),
        ("next".to_owned(), json!(paged.next)),
    ])
}

/// A run with its steps and approvals.
pub(crate) fn run(snapshot: &RunSnapshot) -> Map<String, Value> {
    let run = &snapshot.run;
    let mut body = Map::new();
    let mut add = |name: &str, value: Value| body.insert(name.to_owned(), value);
    add("id", json!(run.id));
    add("run_id", json!(run.id));
    add("state", json!(run.status));
    add("reason", json!(run.reason.as_ref().map(seed::reason)));
    add("intents", json!(run.plan.requested));
    add("steps", run.steps.iter().map(|s| step(run, s)).collect());
    add("requested_by", json!(run.origin.person));
    add("account", json!(run.origin.account.to_string()));
    add("surface", json!(run.origin.surface));
    add("request", json!(run.origin.request));
    add("retry_of", json!(run.origin.retry_of));
    add("plan_digest", json!(run.plan.digest));
    add("touches", json!(run.plan.blast_radius()));
    add("approvals", approvals(run));
    add("decisions", decisions(run));
    add("queue_position", json!(snapshot.queue_position));
    add("hold", json!(snapshot.hold));
    add("created_at", json!(run.created_at));
    add("started_at", json!(run.started_at));
    add("ended_at", json!(run.ended_at));
    add("updated_at", json!(run.updated_at));
    body
}

fn step(run: &Run, step: &Step) -> Value {
    let planned = run.planned(step);
    let operation = run.operation(step);
    let role = match step.kind {
        StepKind::Forward(StepRole::Requested) => "requested",
        StepKind::Forward(StepRole::Dependency) => "dependency",
        StepKind::Undo { .. } => "undo",
    };
    let (error, why) = match &step.status {
        StepStatus::Failed(failure) => (json!(failure), Value::Null),
        StepStatus::Unknown { why } => (Value::Null, json!(why)),
        StepStatus::Pending { .. }
        | StepStatus::Claimed
        | StepStatus::Running
        | StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Cancelled => (Value::Null, Value::Null),
    };
    json!({
        "number": u64::from(step.id.0) + 1,
        "intent": planned.map(|planned| &planned.operation.intent),
        "title": run.title(step),
        "role": role,
        "undoes": step.undoes().map(|of| u64::from(of.0) + 1),
        "action": operation.map(|operation| &operation.action),
        "target": operation.map(|operation| operation.target.to_string()),
        "state": step.status.as_str(),
        "attempts": step.attempts.0,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "error": error,
        "why": why,
        "facts": step.facts,
        "output": step.tail,
        "output_complete": step.output.is_none(),
    })
}

fn approvals(run: &Run) -> Value {
    run.approval_progress()
        .iter()
        .zip(&run.plan.approvals)
        .map(|(progress, need)| {
            json!({
                "intent": need.intent,
                "required": need.required,
                "from": need.from,
                "approved_by": progress.approved_by,
                "missing": progress.missing(),
            })
        })
        .collect()
}

fn decisions(run: &Run) -> Value {
    run.approvals
        .iter()
        .map(|record| {
            json!({
                "person": record.person,
                "decision": record.decision,
                "reason": record.reason,
                "at": record.at,
            })
        })
        .collect()
}

/// A plan that nothing follows from.
pub(crate) fn dry_run(dry: &DryRun) -> Map<String, Value> {
    let steps: Vec<Value> = dry
        .plan
        .steps
        .iter()
        .zip(1_u64..)
        .map(|(step, number)| {
            json!({
                "number": number,
                "intent": step.operation.intent,
                "role": step.role,
                "action": step.operation.action,
                "target": step.operation.target.to_string(),
                "class": step.operation.class,
                "needs": step.needs.iter().map(|id| u64::from(id.0) + 1).collect::<Vec<_>>(),
                "after": step.after.iter().map(|id| u64::from(id.0) + 1).collect::<Vec<_>>(),
                "lock": step.lock,
                "commands": step.preview.commands,
                "touches": step.preview.touches,
                "warnings": step.preview.warnings,
            })
        })
        .collect();
    let approvals: Vec<Value> = dry
        .plan
        .approvals
        .iter()
        .zip(&dry.approvers)
        .map(|(need, approvers)| {
            json!({
                "intent": need.intent,
                "required": need.required,
                "from": need.from,
                "approvers": approvers,
            })
        })
        .collect();
    Map::from_iter([
        ("dry_run".to_owned(), true.into()),
        ("intents".to_owned(), json!(dry.plan.requested)),
        ("plan_digest".to_owned(), json!(dry.plan.digest)),
        ("steps".to_owned(), steps.into()),
        ("touches".to_owned(), json!(dry.plan.blast_radius())),
        ("approvals".to_owned(), approvals.into()),
    ])
}
