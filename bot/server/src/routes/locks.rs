//! `GET /api/v1/locks`: who holds what, and who waits.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_engine::api::LockStatus;
use serde_json::{Map, Value, json};

use super::query::Query;
use super::{answer, request_id};
use crate::error::ApiError;
use crate::state::Server;

/// Held locks; there are never so many that they need pages.
pub(crate) async fn locks(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    Query::parse(request.uri(), &[])?;
    let allowed = server.engine().check(&caller, "status.read");
    allowed.inspect_err(|error| server.denied(&caller, "/api/v1/locks", error))?;
    let items: Vec<Value> = server
        .engine()
        .locks()
        .into_iter()
        .map(
            |LockStatus {
                 key,
                 holder,
                 waiting,
             }| { json!({"key": key, "holder": holder, "waiting": waiting}) },
        )
        .collect();
    let body = Map::from_iter([
        ("items".to_owned(), items.into()),
        ("next".to_owned(), Value::Null),
    ]);
    Ok(answer(
        StatusCode::OK,
        body,
        &request_id(request.extensions()),
    ))
}
