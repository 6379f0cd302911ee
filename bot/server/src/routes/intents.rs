//! `GET /intents`, `POST /validate`.

use axum::Json;
use axum::extract::{Request, State};
use rave_catalog::{Intent, SeedValidation};
use rave_domain::value::Value as Argument;
use serde_json::{Value, json};

use crate::body;
use crate::error::ApiError;
use crate::seed::ValidateBody;
use crate::state::Server;

/// The catalog in the seed's words.
pub(crate) async fn list(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    server.admit_reader(&request)?;
    let catalog = server.engine().catalog();
    let approved = &catalog.settings().approved_label;
    let intents: Vec<Value> = catalog
        .iter()
        .map(|intent| entry(intent, approved))
        .collect();
    Ok(Json(json!({"count": intents.len(), "intents": intents})))
}

fn entry(intent: &Intent, approved: &str) -> Value {
    let text = |field: &str| intent.literal(field).and_then(Argument::plain);
    json!({
        "name": intent.name,
        "action": intent.action.name,
        "stack": text("stack"),
        "service": text("service"),
        "description": intent.description,
        "label_required": intent.label(approved),
    })
}

/// Judges one intent as text. Always 200 when the body can be read at all.
pub(crate) async fn validate(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<SeedValidation>, ApiError> {
    server.admit_reader(&request)?;
    let (parts, sent) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let bytes = body::read(sent, server.body_limits()).await?;
    let ValidateBody { yaml_content } = ValidateBody::parse(&bytes)?;
    let catalog = server.engine().catalog();
    let approved = &catalog.settings().approved_label;
    Ok(Json(rave_catalog::validate(
        &yaml_content,
        server.actions(),
        approved,
    )))
}
