//! `GET /intents`, `POST /validate`.

use axum::Json;
use axum::extract::{Request, State};
use rave_catalog::{Intent, SeedIntent, SeedValidation};
use rave_domain::IntentName;
use rave_domain::value::Value as Argument;
use serde::Serialize;
use utoipa::ToSchema;

use crate::body;
use crate::document::{PublicBodyRefusals, PublicRefusals};
use crate::error::ApiError;
use crate::seed::ValidateBody;
use crate::state::Server;

/// The catalog in the seed's words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeedCatalog {
    count: usize,
    intents: Vec<SeedEntry>,
}

/// An intent in the seed's words.
#[derive(Debug, Serialize, ToSchema)]
struct SeedEntry {
    #[schema(value_type = String)]
    name: IntentName,
    action: String,
    /// The stack, when it is fixed.
    stack: Option<String>,
    /// The service, when it is fixed.
    service: Option<String>,
    description: String,
    /// The label that counts.
    label_required: String,
}

/// All intents
#[utoipa::path(
    get,
    path = "/intents",
    operation_id = "intents",
    tag = "chatops",
    security((), ("key" = []), ("token" = [])),
    responses((status = 200, description = "The catalog.", body = SeedCatalog), PublicRefusals),
)]
pub(crate) async fn list(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<SeedCatalog>, ApiError> {
    server.admit_reader(&request)?;
    let catalog = server.engine().catalog();
    let approved = &catalog.settings().approved_label;
    let intents: Vec<SeedEntry> = catalog
        .iter()
        .map(|intent| entry(intent, approved))
        .collect();
    let count = intents.len();
    Ok(Json(SeedCatalog { count, intents }))
}

fn entry(intent: &Intent, approved: &str) -> SeedEntry {
    let text = |field: &str| intent.literal(field).and_then(Argument::plain);
    SeedEntry {
        name: intent.name.clone(),
        action: intent.action.name.to_string(),
        stack: text("stack"),
        service: text("service"),
        description: intent.description.clone(),
        label_required: intent.label(approved).to_owned(),
    }
}

/// What is wrong with an intent file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Validation {
    /// Whether it would load, unknown keys aside.
    valid: bool,
    /// Why not.
    errors: Vec<String>,
    /// What somebody should look at; absent when the text is not even YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
    /// The intent as far as it could be read; absent when the text is not even YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<ValidatedIntent>,
}

/// The fields that the seed's clients read.
#[derive(Debug, Serialize, ToSchema)]
struct ValidatedIntent {
    action: String,
    /// The stack, when it is fixed.
    stack: Option<String>,
    /// The service, when it is fixed.
    service: Option<String>,
    /// The number of replicas, when it is fixed.
    replicas: Option<i64>,
    /// The label that counts.
    label_required: String,
}

/// Judge the text of an intent file
///
/// Always 200 when the body can be read at all.
#[utoipa::path(
    post,
    path = "/validate",
    operation_id = "validate",
    tag = "chatops",
    request_body = ValidateBody,
    security((), ("key" = []), ("token" = [])),
    responses((status = 200, description = "What is wrong with it.", body = Validation), PublicBodyRefusals),
)]
pub(crate) async fn validate(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<Validation>, ApiError> {
    server.admit_reader(&request)?;
    let (parts, sent) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let bytes = body::read(sent, server.body_limits()).await?;
    let ValidateBody { yaml_content } = ValidateBody::parse(&bytes)?;
    let catalog = server.engine().catalog();
    let approved = &catalog.settings().approved_label;
    let judged = rave_catalog::validate(&yaml_content, server.actions(), approved);
    Ok(Json(validation(judged)))
}

fn validation(judged: SeedValidation) -> Validation {
    let SeedValidation {
        valid,
        errors,
        warnings,
        intent,
    } = judged;
    let intent = intent.map(|intent| {
        let SeedIntent {
            action,
            stack,
            service,
            replicas,
            label_required,
        } = intent;
        ValidatedIntent {
            action,
            stack,
            service,
            replicas,
            label_required,
        }
    });
    Validation {
        valid,
        errors,
        warnings,
        intent,
    }
}
