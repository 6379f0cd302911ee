//! `POST /run`: one intent, as in the seed.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::request::Change;

use super::submit::Sent;
use super::{Answer, answer};
use crate::document::{AskRefusals, IdempotencyKey};
use crate::error::ApiError;
use crate::seed::{self, One, RunBody};
use crate::state::Server;

/// Run one intent
///
/// Its dependencies run before it and are listed beside it.
#[utoipa::path(
    post,
    path = "/run",
    operation_id = "run",
    tag = "chatops",
    params(
        IdempotencyKey,
    ),
    request_body = RunBody,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "It succeeded, or would be run.", body = Answer<One>),
        (status = 202, description = "The run goes on or waits.", body = Answer<One>),
        AskRefusals,
    ),
)]
pub(crate) async fn run(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = Sent::receive(&server, request, Some("run")).await?;
    let body = RunBody::parse(&sent.body)?;
    server.limit_address("/run", &sent.caller)?;
    one(&server, &sent, &body, "RBAC: action not permitted").await
}

/// Runs one intent, or shows what would happen, and answers as `/run` does.
pub(crate) async fn one(
    server: &Server,
    sent: &Sent,
    body: &RunBody,
    denied: &str,
) -> Result<Response, ApiError> {
    let (name, request) = body.request()?;
    let refused = |error| seed::in_the_seeds_words(error, &body.name, denied);
    if body.dry_run {
        let dry = server.engine().dry_run(&sent.caller, &request).await;
        let dry = dry.map_err(|error| {
            server.denied(&sent.caller, name.as_str(), &error);
            refused(error)
        })?;
        return Ok(answer(
            StatusCode::OK,
            seed::dry_run(&name, &dry),
            &sent.request_id,
        ));
    }
    let submitted = sent.submit_run(server, Change::Run(request)).await;
    let snapshot = submitted.map_err(refused)?;
    let snapshot = server.wait(snapshot, body.wait).await?;
    let outputs = sent.outputs(server, &snapshot).await;
    let (status, body) = seed::finished(&name, &snapshot, &outputs)?;
    Ok(answer(status, body, &sent.request_id))
}
