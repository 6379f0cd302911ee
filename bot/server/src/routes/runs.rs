//! `/api/v1/runs`: list, ask for, look at; `/api/v1/approvals`.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use rave_domain::ports::store::RunFilter;
use rave_domain::request::Change;
use rave_domain::run::RunStatus;
use rave_domain::{ErrorCode, RunId, StepId, UserError};
use rave_engine::api::{Caller, RunSnapshot};

use super::query::Query;
use super::submit::Sent;
use super::{answer, request_id, view};
use crate::error::ApiError;
use crate::seed::{OrchestrateBody, intent_name};
use crate::state::Server;

const STATES: &[(&str, RunStatus)] = &[
    ("planned", RunStatus::Planned),
    ("awaiting_approval", RunStatus::AwaitingApproval),
    ("queued", RunStatus::Queued),
    ("running", RunStatus::Running),
    ("compensating", RunStatus::Compensating),
    ("succeeded", RunStatus::Succeeded),
    ("failed", RunStatus::Failed),
    ("cancelled", RunStatus::Cancelled),
    ("needs_attention", RunStatus::NeedsAttention),
];

/// `GET /api/v1/runs?state=&person=&intent=&cursor=&limit=`.
pub(crate) async fn list(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let query = Query::parse(
        request.uri(),
        &["state", "person", "intent", "cursor", "limit"],
    )?;
    let filter = RunFilter {
        statuses: query.word("state", STATES)?.into_iter().collect(),
        person: query.typed("person")?,
        intent: query.typed("intent")?,
    };
    let id = request_id(request.extensions());
    listed(&server, &caller, &filter, &query, &id).await
}

/// `GET /api/v1/approvals`: runs that wait for people.
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

/// `POST /api/v1/runs`: as `/orchestrate`, but answered as soon as the run is durable unless
/// `wait` says otherwise, and with errors as errors.
pub(crate) async fn submit(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut sent = Sent::receive(&server, request, None).await?;
    let body = OrchestrateBody::parse(&sent.body)?;
    server.limit_person(&sent.caller, &sent.path)?;
    let intents = body
        .intents
        .iter()
        .map(|name| intent_name(name))
        .collect::<Result<Vec<_>, _>>()?;
    if intents.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidBody, "intents is empty"));
    }
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
        return Ok(answer(
            StatusCode::OK,
            view::dry_run(&dry),
            &sent.request_id,
        ));
    }
    let snapshot = sent.submit_run(&server, Change::Run(request)).await?;
    let wait = body.wait.unwrap_or(Duration::ZERO);
    let snapshot = server.wait(snapshot, Some(wait)).await?;
    Ok(shown(&snapshot, &sent.request_id))
}

/// A run after a change: 200 once it has ended, 202 while it goes on.
pub(crate) fn shown(snapshot: &RunSnapshot, request_id: &str) -> Response {
    let run = &snapshot.run;
    let status = if run.status.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = answer(status, view::run(snapshot), request_id);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/runs/{}", run.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// `GET /api/v1/runs/{run}`.
pub(crate) async fn show(
    State(server): State<Server>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let snapshot = server.engine().run(&caller, &run_id(&run)?).await?;
    let id = request_id(request.extensions());
    Ok(answer(StatusCode::OK, view::run(&snapshot), &id))
}

/// `GET /api/v1/runs/{run}/steps/{step}/output`, as text.
pub(crate) async fn output(
    State(server): State<Server>,
    Path((run, step)): Path<(String, String)>,
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
