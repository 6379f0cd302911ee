//! `POST /api/v1/runs/{run}/approve`, `deny`, `cancel`, `retry`, `steps/{step}/resolve`.

use axum::extract::{Request, State};
use axum::response::Response;
use rave_domain::request::{Change, Decision, Verdict};
use rave_domain::{ErrorCode, RunId};
use utoipa::ToSchema;

use super::runs::{run_id, shown, step_id};
use super::submit::Sent;
use super::view::RunView;
use super::{Answer, InPath};
use crate::document::{ChangeRefusals, IdempotencyKey, RunInPath};
use crate::error::ApiError;
use crate::fields::Fields;
use crate::schema::{VERDICTS, VerdictWord};
use crate::state::Server;

/// Reasons are shown in chats and kept in the audit trail.
const LONGEST_REASON: usize = 1000;

/// Approve a run
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run}/approve",
    operation_id = "approve",
    tag = "runs",
    params(
        RunInPath,
        IdempotencyKey,
    ),
    request_body = Option<ReasonBody>,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended.", body = Answer<RunView>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        ChangeRefusals,
    ),
)]
pub(crate) async fn approve(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(&server, request, &run, Decision::Approve).await
}

/// Deny a run
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run}/deny",
    operation_id = "deny",
    tag = "runs",
    params(
        RunInPath,
        IdempotencyKey,
    ),
    request_body = Option<ReasonBody>,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended.", body = Answer<RunView>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        ChangeRefusals,
    ),
)]
pub(crate) async fn deny(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(&server, request, &run, Decision::Deny).await
}

async fn decide(
    server: &Server,
    request: Request,
    run: &str,
    decision: Decision,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(server, request, run).await?;
    let ReasonBody { reason } = ReasonBody::parse(&sent.body)?;
    change(
        server,
        &sent,
        Change::Decide {
            run,
            decision,
            reason,
        },
    )
    .await
}

/// Stop a run
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run}/cancel",
    operation_id = "cancel",
    tag = "runs",
    params(
        RunInPath,
        IdempotencyKey,
    ),
    request_body = Option<ReasonBody>,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended.", body = Answer<RunView>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        ChangeRefusals,
    ),
)]
pub(crate) async fn cancel(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    let ReasonBody { reason } = ReasonBody::parse(&sent.body)?;
    change(&server, &sent, Change::Cancel { run, reason }).await
}

/// Run again what did not succeed
///
/// The answer is a new run, with a plan and approvals of its own.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run}/retry",
    operation_id = "retry",
    tag = "runs",
    params(
        RunInPath,
        IdempotencyKey,
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended.", body = Answer<RunView>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        ChangeRefusals,
    ),
)]
pub(crate) async fn retry(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    if !is_empty(&sent.body) {
        let fields = Fields::parse(&sent.body, &[])?;
        fields.finish(())?;
    }
    change(&server, &sent, Change::Retry { run }).await
}

/// Say what became of a step whose outcome is unknown
#[utoipa::path(
    post,
    path = "/api/v1/runs/{run}/steps/{step}/resolve",
    operation_id = "resolve",
    tag = "runs",
    params(
        RunInPath,
        ("step" = u32, Path, minimum = 1, description = "The step's number, from 1."),
        IdempotencyKey,
    ),
    request_body = VerdictBody,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The run, which has ended.", body = Answer<RunView>),
        (status = 202, description = "The run, which goes on or waits.", body = Answer<RunView>),
        ChangeRefusals,
    ),
)]
pub(crate) async fn resolve(
    State(server): State<Server>,
    InPath((run, step)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    let step = step_id(&run, &step)?;
    let VerdictBody { verdict } = VerdictBody::parse(&sent.body)?;
    change(&server, &sent, Change::Resolve { run, step, verdict }).await
}

async fn receive(server: &Server, request: Request, run: &str) -> Result<(Sent, RunId), ApiError> {
    let sent = Sent::receive(server, request, None).await?;
    server.limit_person(&sent.caller, &sent.path)?;
    Ok((sent, run_id(run)?))
}

async fn change(server: &Server, sent: &Sent, change: Change) -> Result<Response, ApiError> {
    let snapshot = sent.submit_run(server, change).await?;
    Ok(shown(&snapshot, &sent.request_id))
}

fn is_empty(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
}

/// Why.
#[derive(Debug, Default, ToSchema)]
#[schema(as = ReasonRequest)]
pub(crate) struct ReasonBody {
    /// In your words; kept in the audit trail.
    #[schema(value_type = Option<String>, max_length = 1000)]
    reason: String,
}

impl ReasonBody {
    /// No body at all is no reason.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if is_empty(body) {
            return Ok(Self::default());
        }
        let mut fields = Fields::parse(body, &["reason"])?;
        let reason = fields.text("reason").unwrap_or_default();
        let body = fields.finish(Self { reason })?;
        if body.reason.chars().count() > LONGEST_REASON {
            return Err(ApiError::new(
                ErrorCode::InvalidBody,
                format!("reason has more than {LONGEST_REASON} characters"),
            ));
        }
        Ok(body)
    }
}

/// What became of a step.
#[derive(Debug, ToSchema)]
#[schema(as = VerdictRequest)]
pub(crate) struct VerdictBody {
    #[schema(value_type = VerdictWord)]
    verdict: Verdict,
}

impl VerdictBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let words = VERDICTS.map(Verdict::as_str);
        let mut fields = Fields::parse(body, &["verdict"])?;
        let word = fields.word("verdict", &words);
        let word = fields.finish(word)?;
        VERDICTS
            .into_iter()
            .find(|verdict| Some(verdict.as_str()) == word)
            .map(|verdict| Self { verdict })
            .ok_or_else(|| ApiError::new(ErrorCode::InvalidBody, "verdict is missing"))
    }
}
