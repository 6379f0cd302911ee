//! `POST /run`: one intent, as in the seed.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::request::Change;

use super::answer;
use super::submit::Sent;
use crate::error::ApiError;
use crate::seed::{self, RunBody};
use crate::state::Server;

/// `{name, dry_run, rollback_on_failure, arguments, wait}`.
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
