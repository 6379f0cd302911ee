//! `GET /api/v1/catalog`: intents with their parameters, and which the caller may ask for.

use std::collections::BTreeSet;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_catalog::{Intent, Param};
use rave_domain::{Digest, IntentName, Role};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::view::{self, PageView};
use super::{Answer, answer, request_id};
use crate::document::ListRefusals;
use crate::error::ApiError;
use crate::state::Server;

/// The whole catalog.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogView {
    #[serde(flatten)]
    page: PageView<EntryView>,
    /// Of all intents and schedules together.
    #[schema(value_type = String)]
    digest: Digest,
}

/// An intent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Intent)]
pub(crate) struct EntryView {
    #[schema(value_type = String)]
    name: IntentName,
    description: String,
    action: String,
    driver: String,
    /// What people type after `/rave`.
    #[schema(value_type = Value)]
    command: rave_catalog::CommandPattern,
    /// Its parameters.
    #[schema(value_type = Vec<Object>)]
    params: Vec<Param>,
    /// Intents that run before it.
    #[schema(value_type = Vec<String>)]
    depends_on: Vec<IntentName>,
    /// Roles that may ask for it, beside what policy files say.
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<Role>,
    approval: Option<ApprovalRule>,
    timeout_seconds: u64,
    /// Of its definition.
    #[schema(value_type = String)]
    definition: Digest,
    /// Whether the caller may ask for it.
    may_request: bool,
}

/// Who must agree.
#[derive(Debug, Serialize, ToSchema)]
struct ApprovalRule {
    /// How many people.
    required: u32,
    /// Out of which roles; empty means anybody who may ask for the intent.
    #[schema(value_type = Vec<String>)]
    from: BTreeSet<Role>,
    /// Time to decide.
    ttl_seconds: u64,
    /// Time from the last approval to the start.
    run_within_seconds: u64,
}

/// Intents with their parameters, and which the caller may ask for
#[utoipa::path(
    get,
    path = "/api/v1/catalog",
    operation_id = "catalog",
    tag = "operations",
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "All of them; there are no pages.", body = Answer<CatalogView>),
        ListRefusals,
    ),
)]
pub(crate) async fn catalog(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    Query::parse(request.uri(), &[])?;
    let catalog = server.engine().catalog();
    let items = catalog
        .iter()
        .map(|intent| entry(intent, server.engine().may_request(&caller, &intent.name)));
    let body = CatalogView {
        page: view::whole(items.collect()),
        digest: catalog.digest(),
    };
    let id = request_id(request.extensions());
    Ok(answer(StatusCode::OK, body, &id))
}

fn entry(intent: &Intent, may_request: bool) -> EntryView {
    EntryView {
        name: intent.name.clone(),
        description: intent.description.clone(),
        action: intent.action.name.to_string(),
        driver: intent.action.driver.to_string(),
        command: intent.command.clone(),
        params: intent.params.clone(),
        depends_on: intent.depends_on.clone(),
        roles: intent.roles.clone(),
        approval: intent.approval.as_ref().map(|need| ApprovalRule {
            required: need.required,
            from: need.from.clone(),
            ttl_seconds: need.ttl.as_secs(),
            run_within_seconds: need.run_within.as_secs(),
        }),
        timeout_seconds: intent.timeout.as_secs(),
        definition: intent.definition,
        may_request,
    }
}
