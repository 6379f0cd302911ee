//! `POST /api/v1/runs/{run}/approve`, `deny`, `cancel`, `retry`, `steps/{step}/resolve`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::request::{Change, Decision, Verdict};
use rave_domain::{ErrorCode, RunId};
use rave_engine::api::Changed;
use serde_json::{Map, Value};

use super::answer;
use super::runs::{run_id, shown, step_id};
use super::submit::Sent;
use crate::error::ApiError;
use crate::fields::Fields;
use crate::state::Server;

/// Reasons are shown in chats and kept in the audit trail.
const LONGEST_REASON: usize = 1000;

/// `{reason}`, or no body.
pub(crate) async fn approve(
    State(server): State<Server>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    decide(&server, request, &run, Decision::Approve).await
}

/// `{reason}`, or no body.
pub(crate) async fn deny(
    State(server): State<Server>,
    Path(run): Path<String>,
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
    let reason = reason(&sent.body)?;
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

/// `{reason}`, or no body.
pub(crate) async fn cancel(
    State(server): State<Server>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    let reason = reason(&sent.body)?;
    change(&server, &sent, Change::Cancel { run, reason }).await
}

/// No body.
pub(crate) async fn retry(
    State(server): State<Server>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    if !is_empty(&sent.body) {
        let fields = Fields::parse(&sent.body, &[])?;
        fields.finish(())?;
    }
    change(&server, &sent, Change::Retry { run }).await
}

/// `{verdict: happened | did-not | again}`.
pub(crate) async fn resolve(
    State(server): State<Server>,
    Path((run, step)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let (sent, run) = receive(&server, request, &run).await?;
    let step = step_id(&run, &step)?;
    let verdict = verdict(&sent.body)?;
    change(&server, &sent, Change::Resolve { run, step, verdict }).await
}

async fn receive(server: &Server, request: Request, run: &str) -> Result<(Sent, RunId), ApiError> {
    let sent = Sent::receive(server, request, None).await?;
    server.limit_person(&sent.caller, &sent.path)?;
    Ok((sent, run_id(run)?))
}

async fn change(server: &Server, sent: &Sent, change: Change) -> Result<Response, ApiError> {
    Ok(match sent.submit(server, change).await? {
        Changed::Run(snapshot) => shown(&snapshot, &sent.request_id),
        Changed::Done { reply, data } => {
            let mut body = if let Value::Object(data) = data {
                data
            } else {
                Map::from_iter([("data".to_owned(), data)])
            };
            body.insert("message".to_owned(), reply.plain().into());
            answer(StatusCode::OK, body, &sent.request_id)
        }
    })
}

fn is_empty(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
}

pub(crate) fn reason(body: &[u8]) -> Result<String, ApiError> {
    if is_empty(body) {
        return Ok(String::new());
    }
    let mut fields = Fields::parse(body, &["reason"])?;
    let reason = fields.text("reason").unwrap_or_default();
    let reason = fields.finish(reason)?;
    if reason.chars().count() > LONGEST_REASON {
        return Err(ApiError::new(
            ErrorCode::InvalidBody,
            format!("reason has more than {LONGEST_REASON} characters"),
        ));
    }
    Ok(reason)
}

pub(crate) fn verdict(body: &[u8]) -> Result<Verdict, ApiError> {
    let verdicts = [Verdict::Happened, Verdict::DidNot, Verdict::Again];
    let words = verdicts.map(Verdict::as_str);
    let mut fields = Fields::parse(body, &["verdict"])?;
    let word = fields.word("verdict", &words);
    let word = fields.finish(word)?;
    verdicts
        .into_iter()
        .find(|verdict| Some(verdict.as_str()) == word)
        .ok_or_else(|| ApiError::new(ErrorCode::InvalidBody, "verdict is missing"))
}
