//! `GET /api/v1/audit`.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_domain::audit::{AuditEntry, AuditResult, AuditRow, Category, Severity};
use rave_domain::ports::store::AuditFilter;
use rave_domain::{Account, Digest, PersonId, Surface, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::view::{self, PageView};
use super::{Answer, answer, request_id};
use crate::document::ListRefusals;
use crate::error::ApiError;
use crate::schema::{AuditCategory, AuditOutcome, AuditSeverity, SEVERITIES, SurfaceName};
use crate::state::Server;

/// One row of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub(crate) struct AuditView {
    /// Its number; without gaps, from 1.
    id: u64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened: `run.requested`, `auth.refused`, `intent_succeeded`, …
    event: String,
    #[schema(value_type = AuditCategory)]
    category: Category,
    #[schema(value_type = AuditSeverity)]
    severity: Severity,
    #[schema(value_type = AuditOutcome)]
    result: AuditResult,
    /// Who, when that is known.
    #[schema(value_type = Option<String>)]
    person: Option<PersonId>,
    /// Through which account.
    account: Option<AccountView>,
    #[schema(value_type = Option<SurfaceName>)]
    surface: Option<Surface>,
    /// From which address.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// What it was about: an intent, a run's step, a lock.
    target: String,
    /// The request or run it belongs to.
    correlation: String,
    /// How long it took, where that means something.
    duration_ms: Option<u64>,
    /// Parameters and details, secrets taken out.
    #[schema(value_type = Value)]
    details: serde_json::Value,
    /// The link of the row before.
    #[schema(value_type = String)]
    previous: Digest,
    /// The SHA-256 over the link before and this row.
    #[schema(value_type = String)]
    link: Digest,
}

/// An identity on a surface.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountView {
    #[schema(value_type = SurfaceName)]
    surface: Surface,
    id: String,
}

fn row(row: &AuditRow) -> AuditView {
    let AuditRow {
        id,
        entry,
        previous,
        link,
    } = row.clone();
    let AuditEntry {
        at,
        event,
        category,
        severity,
        result,
        person,
        account,
        surface,
        address,
        target,
        correlation,
        duration_ms,
        details,
    } = entry;
    AuditView {
        id,
        at,
        event,
        category,
        severity,
        result,
        person,
        account: account.map(|Account { surface, id }| AccountView { surface, id }),
        surface,
        address,
        target,
        correlation,
        duration_ms,
        details,
        previous,
        link,
    }
}

/// The audit trail, newest first
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "audit",
    tag = "operations",
    params(
        ("event" = Option<String>, Query, description = "Only this event."),
        ("person" = Option<String>, Query, pattern = "^[A-Za-z0-9_.@+-]{0,128}$", description = "Only of this person."),
        ("correlation" = Option<String>, Query, description = "Only of this request or run."),
        ("severity" = Option<AuditSeverity>, Query, description = "Only this serious or more."),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Rows in the page; 50 unless told."),
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "A page of rows.", body = Answer<PageView<AuditView>>),
        ListRefusals,
    ),
)]
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
    let body = view::page(&rows, row);
    Ok(answer(
        StatusCode::OK,
        body,
        &request_id(request.extensions()),
    ))
}
