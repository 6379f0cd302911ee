//! Runs as `/api/v1` shows them. These types are written to the wire and described in the
//! OpenAPI document, so the two cannot differ.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::plan::{ApprovalNeed, Class, PlannedStep, StepRole};
use rave_domain::ports::store::{Paged, RunRow};
use rave_domain::request::Decision;
use rave_domain::run::{Failure, Run, RunStatus, Step, StepKind, StepStatus};
use rave_domain::{
    Digest, ErrorCode, IntentName, LockKey, PersonId, RequestId, Role, RunId, StepId, Surface,
    Timestamp,
};
use rave_engine::api::{DryRun, RunSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema::{
    DecisionWord, ErrorWord, PlanRole, RunState, StepClass, StepState, SurfaceName,
};
use crate::seed;

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    /// The rows.
    items: Vec<T>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// A page of rows.
pub(crate) fn page<T, V>(paged: &Paged<T>, view: impl Fn(&T) -> V) -> PageView<V> {
    PageView {
        items: paged.items.iter().map(view).collect(),
        next: paged.next.clone(),
    }
}

/// All there is, for lists that need no pages.
pub(crate) fn whole<V>(items: Vec<V>) -> PageView<V> {
    PageView { items, next: None }
}

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunRow)]
pub(crate) struct RowView {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// Where it is.
    #[schema(value_type = RunState)]
    state: RunStatus,
    /// Intents asked for, in order.
    #[schema(value_type = Vec<String>)]
    intents: Vec<IntentName>,
    /// The person or robot that asked.
    #[schema(value_type = String)]
    requested_by: PersonId,
    /// Where the request came from.
    #[schema(value_type = SurfaceName)]
    surface: Surface,
    /// What approvals are bound to.
    #[schema(value_type = String)]
    plan_digest: Digest,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Null until it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

/// A run in a list.
pub(crate) fn row(row: &RunRow) -> RowView {
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
    } = row.clone();
    RowView {
        id,
        state: status,
        intents,
        requested_by: person,
        surface,
        plan_digest: digest,
        created_at,
        updated_at,
        ended_at,
    }
}

/// A run with its steps and approvals.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(crate) struct RunView {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// Its id again, under the name that all answers about runs have.
    #[schema(value_type = String)]
    run_id: RunId,
    /// Where it is.
    #[schema(value_type = RunState)]
    state: RunStatus,
    /// Why it ended, where the state alone does not say.
    reason: Option<String>,
    /// Intents asked for, in order.
    #[schema(value_type = Vec<String>)]
    intents: Vec<IntentName>,
    /// Planned steps, then those that undo others.
    steps: Vec<StepView>,
    /// The person or robot that asked.
    #[schema(value_type = String)]
    requested_by: PersonId,
    /// The account it came through.
    account: String,
    /// Where the request came from.
    #[schema(value_type = SurfaceName)]
    surface: Surface,
    /// The id of the request that made the run.
    #[schema(value_type = String)]
    request: RequestId,
    /// The run that this one retries.
    #[schema(value_type = Option<String>)]
    retry_of: Option<RunId>,
    /// What approvals are bound to.
    #[schema(value_type = String)]
    plan_digest: Digest,
    /// Everything that the plan touches.
    touches: BTreeSet<String>,
    /// Who must agree, and who has.
    approvals: Vec<ApprovalView>,
    /// Decisions so far.
    decisions: Vec<DecisionView>,
    /// How many runs are before it, while it waits for its locks.
    queue_position: Option<usize>,
    /// Why it does not go on though it could, such as a driver that is opened.
    hold: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its first step was claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// Null until it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A run with its steps and approvals.
pub(crate) fn run(snapshot: &RunSnapshot) -> RunView {
    let run = &snapshot.run;
    RunView {
        id: run.id.clone(),
        run_id: run.id.clone(),
        state: run.status,
        reason: run.reason.as_ref().map(seed::reason),
        intents: run.plan.requested.clone(),
        steps: run.steps.iter().map(|s| step(run, s)).collect(),
        requested_by: run.origin.person.clone(),
        account: run.origin.account.to_string(),
        surface: run.origin.surface,
        request: run.origin.request.clone(),
        retry_of: run.origin.retry_of.clone(),
        plan_digest: run.plan.digest,
        touches: run.plan.blast_radius(),
        approvals: approvals(run),
        decisions: decisions(run),
        queue_position: snapshot.queue_position,
        hold: snapshot.hold.clone(),
        created_at: run.created_at,
        started_at: run.started_at,
        ended_at: run.ended_at,
        updated_at: run.updated_at,
    }
}

/// What a step of a run is for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepPurpose {
    /// It was asked for.
    Requested,
    /// Something that was asked for needs it.
    Dependency,
    /// It undoes another step.
    Undo,
}

/// Why a step failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepFailure)]
pub(crate) struct FailureView {
    #[schema(value_type = ErrorWord)]
    code: ErrorCode,
    /// For people, one sentence.
    message: String,
}

pub(crate) fn failure(failure: &Failure) -> FailureView {
    FailureView {
        code: failure.code,
        message: failure.message.clone(),
    }
}

/// One step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub(crate) struct StepView {
    /// Its number in the run, from 1.
    number: u64,
    /// Its intent; of an undo, the intent that is undone.
    #[schema(value_type = Option<String>)]
    intent: Option<IntentName>,
    /// Its name for people.
    title: String,
    role: StepPurpose,
    /// The number of the step that this one undoes.
    undoes: Option<u64>,
    action: Option<String>,
    /// What it is done to, such as `stack/media`.
    target: Option<String>,
    #[schema(value_type = StepState)]
    state: &'static str,
    /// Tries so far, the present one included.
    attempts: u32,
    /// When it was first claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Why it failed, when it has.
    error: Option<FailureView>,
    /// Why its outcome is unknown, when it is.
    why: Option<String>,
    /// Facts that the driver reported, such as image digests.
    facts: BTreeMap<String, String>,
    /// The last part of its output, at most 8 KiB, secrets taken out.
    output: String,
    /// Whether `output` is all of it; `…/steps/{step}/output` has the whole.
    output_complete: bool,
}

/// A step's number as people count.
pub(crate) fn number(step: StepId) -> u64 {
    u64::from(step.0) + 1
}

pub(crate) fn step(run: &Run, step: &Step) -> StepView {
    let planned = run.planned(step);
    let operation = run.operation(step);
    let role = match step.kind {
        StepKind::Forward(StepRole::Requested) => StepPurpose::Requested,
        StepKind::Forward(StepRole::Dependency) => StepPurpose::Dependency,
        StepKind::Undo { .. } => StepPurpose::Undo,
    };
    let (error, why) = match &step.status {
        StepStatus::Failed(why) => (Some(failure(why)), None),
        StepStatus::Unknown { why } => (None, Some(why.clone())),
        StepStatus::Pending { .. }
        | StepStatus::Claimed
        | StepStatus::Running
        | StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Cancelled => (None, None),
    };
    StepView {
        number: number(step.id),
        intent: planned.map(|planned| planned.operation.intent.clone()),
        title: run.title(step),
        role,
        undoes: step.undoes().map(number),
        action: operation.map(|operation| operation.action.to_string()),
        target: operation.map(|operation| operation.target.to_string()),
        state: step.status.as_str(),
        attempts: step.attempts.0,
        started_at: step.started_at,
        ended_at: step.ended_at,
        error,
        why,
        facts: step.facts.clone(),
        output: step.tail.clone(),
        output_complete: step.output.is_none(),
    }
}

/// People that must agree, and who has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct ApprovalView {
    /// The intent that asks for it.
    #[schema(value_type = String)]
    intent: IntentName,
    /// How many people.
    required: u32,
    /// Out of which roles; empty means anybody who may ask for the intent.
    #[schema(value_type = Vec<String>)]
    from: BTreeSet<Role>,
    #[schema(value_type = Vec<String>)]
    approved_by: Vec<PersonId>,
    /// How many are still missing.
    missing: u32,
}

pub(crate) fn approvals(run: &Run) -> Vec<ApprovalView> {
    run.approval_progress()
        .into_iter()
        .zip(&run.plan.approvals)
        .map(|(progress, need)| ApprovalView {
            intent: need.intent.clone(),
            required: need.required,
            from: need.from.clone(),
            missing: progress.missing(),
            approved_by: progress.approved_by,
        })
        .collect()
}

/// One person's decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
pub(crate) struct DecisionView {
    #[schema(value_type = String)]
    person: PersonId,
    #[schema(value_type = DecisionWord)]
    decision: Decision,
    /// In the person's words; may be empty.
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

fn decisions(run: &Run) -> Vec<DecisionView> {
    run.approvals
        .iter()
        .map(|record| DecisionView {
            person: record.person.clone(),
            decision: record.decision,
            reason: record.reason.clone(),
            at: record.at,
        })
        .collect()
}

/// A plan that nothing follows from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(crate) struct DryRunView {
    /// Always true.
    dry_run: bool,
    /// Intents asked for, in order.
    #[schema(value_type = Vec<String>)]
    intents: Vec<IntentName>,
    /// What approvals would be bound to.
    #[schema(value_type = String)]
    plan_digest: Digest,
    steps: Vec<PlannedStepView>,
    /// Everything that the plan touches.
    touches: BTreeSet<String>,
    approvals: Vec<NeedView>,
}

/// One step of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedStep)]
struct PlannedStepView {
    /// Its number in the plan, from 1.
    number: u64,
    #[schema(value_type = String)]
    intent: IntentName,
    #[schema(value_type = PlanRole)]
    role: StepRole,
    action: String,
    /// What it is done to, such as `stack/media`.
    target: String,
    #[schema(value_type = StepClass)]
    class: Class,
    /// Steps that must have succeeded before.
    needs: Vec<u64>,
    /// Steps that must have ended before.
    after: Vec<u64>,
    #[schema(value_type = Option<String>)]
    lock: Option<LockKey>,
    /// Programs that would run, as argument vectors.
    commands: Vec<Vec<String>>,
    touches: BTreeSet<String>,
    /// What could not be observed, and what deserves a look.
    warnings: Vec<String>,
}

/// People that would have to agree.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalNeed)]
struct NeedView {
    /// The intent that asks for it.
    #[schema(value_type = String)]
    intent: IntentName,
    /// How many people.
    required: u32,
    /// Out of which roles; empty means anybody who may ask for the intent.
    #[schema(value_type = Vec<String>)]
    from: BTreeSet<Role>,
    /// Who could.
    approvers: Vec<String>,
}

/// A plan that nothing follows from.
pub(crate) fn dry_run(dry: &DryRun) -> DryRunView {
    let steps = dry.plan.steps.iter().zip(1..);
    let approvals = dry.plan.approvals.iter().zip(&dry.approvers);
    DryRunView {
        dry_run: true,
        intents: dry.plan.requested.clone(),
        plan_digest: dry.plan.digest,
        steps: steps.map(|(step, number)| planned(step, number)).collect(),
        touches: dry.plan.blast_radius(),
        approvals: approvals.map(|(need, who)| self::need(need, who)).collect(),
    }
}

fn planned(step: &PlannedStep, number: u64) -> PlannedStepView {
    let operation = &step.operation;
    PlannedStepView {
        number,
        intent: operation.intent.clone(),
        role: step.role,
        action: operation.action.to_string(),
        target: operation.target.to_string(),
        class: operation.class,
        needs: step.needs.iter().copied().map(self::number).collect(),
        after: step.after.iter().copied().map(self::number).collect(),
        lock: step.lock.clone(),
        commands: step.preview.commands.clone(),
        touches: step.preview.touches.clone(),
        warnings: step.preview.warnings.clone(),
    }
}

fn need(need: &ApprovalNeed, approvers: &[String]) -> NeedView {
    NeedView {
        intent: need.intent.clone(),
        required: need.required,
        from: need.from.clone(),
        approvers: approvers.to_vec(),
    }
}
