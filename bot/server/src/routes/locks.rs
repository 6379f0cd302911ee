//! `GET /api/v1/locks`: who holds what, and who waits.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::{LockKey, RunId};
use rave_engine::api::LockStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::view::{self, PageView};
use super::{Answer, answer, request_id};
use crate::document::ListRefusals;
use crate::error::ApiError;
use crate::state::Server;

/// A lock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lock)]
pub(crate) struct LockView {
    /// What is locked, such as `stack/media`.
    #[schema(value_type = String)]
    key: LockKey,
    /// The run that holds it.
    #[schema(value_type = Option<String>)]
    holder: Option<RunId>,
    /// Runs that wait for it, first in line first.
    #[schema(value_type = Vec<String>)]
    waiting: Vec<RunId>,
}

/// Held locks, and who waits for them
///
/// There are never so many that they need pages.
#[utoipa::path(
    get,
    path = "/api/v1/locks",
    operation_id = "locks",
    tag = "operations",
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "All of them.", body = Answer<PageView<LockView>>),
        ListRefusals,
    ),
)]
pub(crate) async fn locks(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    Query::parse(request.uri(), &[])?;
    let allowed = server.engine().check(&caller, "status.read");
    allowed.inspect_err(|error| server.denied(&caller, "/api/v1/locks", error))?;
    let locks = server.engine().locks().into_iter();
    let items = locks.map(|lock| {
        let LockStatus {
            key,
            holder,
            waiting,
        } = lock;
        LockView {
            key,
            holder,
            waiting,
        }
    });
    let body = view::whole(items.collect());
    let id = request_id(request.extensions());
    Ok(answer(StatusCode::OK, body, &id))
}
