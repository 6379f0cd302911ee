//! `GET /api/v1/catalog`: intents with their parameters, and which the caller may ask for.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_catalog::Intent;
use serde_json::{Map, Value, json};

use super::query::Query;
use super::{answer, request_id};
use crate::error::ApiError;
use crate::state::Server;

/// The whole catalog; it is in memory and has no pages.
pub(crate) async fn catalog(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    Query::parse(request.uri(), &[])?;
    let catalog = server.engine().catalog();
    let items: Vec<Value> = catalog
        .iter()
        .map(|intent| entry(intent, server.engine().may_request(&caller, &intent.name)))
        .collect();
    let body = Map::from_iter([
        ("items".to_owned(), items.into()),
        ("next".to_owned(), Value::Null),
        ("digest".to_owned(), json!(catalog.digest())),
    ]);
    Ok(answer(
        StatusCode::OK,
        body,
        &request_id(request.extensions()),
    ))
}

fn entry(intent: &Intent, may_request: bool) -> Value {
    json!({
        "name": intent.name,
        "description": intent.description,
        "action": intent.action.name,
        "driver": intent.action.driver,
        "command": intent.command,
        "params": intent.params,
        "depends_on": intent.depends_on,
        "roles": intent.roles,
        "approval": intent.approval.as_ref().map(|need| json!({
            "required": need.required,
            "from": need.from,
            "ttl_seconds": need.ttl.as_secs(),
            "run_within_seconds": need.run_within.as_secs(),
        })),
        "timeout_seconds": intent.timeout.as_secs(),
        "definition": intent.definition,
        "may_request": may_request,
    })
}
