//! `GET /api/v1/audit`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::audit::{AuditRow, Severity};
use rave_domain::ports::store::AuditFilter;
use serde_json::json;

use super::query::Query;
use super::{answer, request_id, view};
use crate::error::ApiError;
use crate::state::Server;

const SEVERITIES: &[(&str, Severity)] = &[
    ("info", Severity::Info),
    ("warning", Severity::Warning),
    ("critical", Severity::Critical),
];

/// `?event=&person=&correlation=&severity=&cursor=&limit=`, newest first.
pub(crate) async fn audit(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let query = Query::parse(
        request.uri(),
        &[
            "event",
            "person",
            "correlation",
            "severity",
            "cursor",
            "limit",
        ],
    )?;
    let filter = AuditFilter {
        event: query.text("event").map(str::to_owned),
        person: query.typed("person")?,
        correlation: query.text("correlation").map(str::to_owned),
        severity: query.word("severity", SEVERITIES)?,
    };
    let rows = server
        .engine()
        .audit(&caller, &filter, &query.page()?)
        .await;
    let rows = rows.inspect_err(|error| server.denied(&caller, "/api/v1/audit", error))?;
    let body = view::page(&rows, |row: &AuditRow| json!(row));
    Ok(answer(
        StatusCode::OK,
        body,
        &request_id(request.extensions()),
    ))
}
