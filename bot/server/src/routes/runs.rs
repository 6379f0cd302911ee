//! `/api/v1/runs`: list, ask for, look at; `/api/v1/approvals`.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use rave_domain::ports::store::RunFilter;
use rave_domain::request::Change;
use rave_domain::run::RunStatus;
use rave_domain::{ErrorCode, RunId, StepId, UserError};
use rave_engine::api::{Caller, RunSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::submit::Sent;
use super::view::{self, DryRunView, PageView, RowView, RunView};
use super::{Answer, InPath, answer, request_id};
use crate::document::{AskRefusals, IdempotencyKey, ListRefusals, RunInPath, RunRefusals};
use crate::error::ApiError;
use crate::schema::{RUN_STATES, RunState};
use crate::seed::{AskBody, intent_name};
use crate::state::Server;

/// Runs, newest first
///
/// Only those that the caller may read, so a page may hold fewer than `limit`.
#[utoipa::path(
    get,
    path = "/api/v1/runs",
    operation_id = "list_runs",
    tag = "runs",
    params(
        ("state" = Option<RunState>, Query, description = "Only in this state."),
        ("person" = Option<String>, Query, pattern = "^[A-Za-z0-9_.@+-]{0,128}$", description = "Only of this person."),
        ("intent" = Option<String>, Query, max_length = 128, pattern = r"^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?$", description = "Only with this intent."),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Rows in the page; 50 unless told."),
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "A page of runs.", body = Answer<PageView<RowView>>),
        ListRefusals,
    ),
)]
pub(crate) async fn list(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let query = Query::parse(
        request.uri(),
        &["state", "person", "intent", "cursor", "limit"],
    )?;
    let states = RUN_STATES.map(|state| (state.as_str(), state));
    let filter = RunFilter {
        statuses: query.word("state", &states)?.into_iter().collect(),
        person: query.typed("person")?,
        intent: query.typed("intent")?,
    };
    let id = request_id(request.extensions());
    listed(&server, &caller, &filter, &query, &id).await
}

/// Runs that wait for people
#[utoipa::path(
    get,
    path = "/api/v1/approvals",
    operation_id = "approvals",
    tag = "runs",
    params(
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Rows in the page; 50 unless told."),
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "A page of runs.", body = Answer<PageView<RowView>>),
        ListRefusals,
    ),
)]
pub(crate) async fn approvals(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let query = Query::parse(request.uri(), &["cursor", "limit"])?;
    let filter = RunFilter {
        statuses: vec![RunStatus::AwaitingApproval],
        ..RunFilter::default()
    };
    let id = request_id(request.extensions());
    listed(&server, &caller, &filter, &query, &id).await
}

async fn listed(
    server: &Server,
    caller: &Caller,
    filter: &RunFilter,
    query: &Query,
    request_id: &str,
) -> Result<Response, ApiError> {
    let rows = server.engine().runs(caller, filter, &query.page()?).await?;
    let body = view::page(&rows, view::row);
    Ok(answer(StatusCode::OK, body, request_id))
}

/// Ask for a run
///
/// Answered as soon as the run is durable, unless `wait` says otherwise.
#[utoipa::path(
    post,
    path = "/api/v1/runs",
    operation_id = "ask",
    tag = "runs",
    params(
        IdempotencyKey,
    ),
    request_body = AskBody,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended; or what would happen.", body = Answer<Asked>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        AskRefusals,
    ),
)]
pub(crate) async fn submit(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut sent = Sent::receive(&server, request, None).await?;
    let AskBody(body) = AskBody::parse(&sent.body)?;
    server.limit_person(&sent.caller, &sent.path)?;
    let intents = body
        .intents
        .iter()
        .map(|name| intent_name(name))
        .collect::<Result<Vec<_>, _>>()?;
    // Key files know two ways to ask for runs.
    sent.caller.endpoint = Some(if intents.len() == 1 {
        "run"
    } else {
        "orchestrate"
    });
    let request = body.request(intents);
    if body.dry_run {
        let dry = server.engine().dry_run(&sent.caller, &request).await;
        let dry = dry.inspect_err(|error| server.denied(&sent.caller, &sent.path, error))?;
        let asked = Asked::DryRun(view::dry_run(&dry));
        return Ok(answer(StatusCode::OK, asked, &sent.request_id));
    }
    let snapshot = sent.submit_run(&server, Change::Run(request)).await?;
    let wait = body.wait.unwrap_or(Duration::ZERO);
    let snapshot = server.wait(snapshot, Some(wait)).await?;
    let body = Asked::Run(Box::new(view::run(&snapshot)));
    Ok(placed(&snapshot, body, &sent.request_id))
}

/// What comes of asking for a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Asked {
    Run(Box<RunView>),
    DryRun(DryRunView),
}

/// A run after a change.
pub(crate) fn shown(snapshot: &RunSnapshot, request_id: &str) -> Response {
    placed(snapshot, view::run(snapshot), request_id)
}

/// An answer about a run: 200 once it has ended, 202 while it goes on, and where it is found.
fn placed(snapshot: &RunSnapshot, body: impl Serialize, request_id: &str) -> Response {
    let run = &snapshot.run;
    let status = if run.status.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = answer(status, body, request_id);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/runs/{}", run.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// One run
#[utoipa::path(
    get,
    path = "/api/v1/runs/{run}",
    operation_id = "show_run",
    tag = "runs",
    params(
        RunInPath,
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run.", body = Answer<RunView>),
        RunRefusals,
    ),
)]
pub(crate) async fn show(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let snapshot = server.engine().run(&caller, &run_id(&run)?).await?;
    let id = request_id(request.extensions());
    Ok(answer(StatusCode::OK, view::run(&snapshot), &id))
}

/// The whole output of a step, so far
#[utoipa::path(
    get,
    path = "/api/v1/runs/{run}/steps/{step}/output",
    operation_id = "step_output",
    tag = "runs",
    params(
        RunInPath,
        ("step" = u32, Path, minimum = 1, description = "The step's number, from 1."),
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The output, secrets taken out.", body = String, content_type = "text/plain"),
        RunRefusals,
    ),
)]
pub(crate) async fn output(
    State(server): State<Server>,
    InPath((run, step)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let run = run_id(&run)?;
    let step = step_id(&run, &step)?;
    let text = server.engine().output(&caller, &run, step).await?;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// A run as written in a path. What cannot be a run's id is an unknown run like any other.
pub(crate) fn run_id(text: &str) -> Result<RunId, ApiError> {
    RunId::new(text).map_err(|error| ApiError::new(ErrorCode::UnknownRun, error.to_string()))
}

/// A step as people count: from one.
pub(crate) fn step_id(run: &RunId, text: &str) -> Result<StepId, ApiError> {
    text.parse::<u32>()
        .ok()
        .and_then(|number| number.checked_sub(1))
        .map(StepId)
        .ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            let message = format!("{run} has no step {shown:?}");
            UserError::new(ErrorCode::UnknownStep, message)
                .hint("steps are counted from 1")
                .into()
        })
}
