//! `GET /status`, `GET /metrics`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use super::health::{PartState, PartStates, parts};
use crate::document::PublicRefusals;
use crate::error::ApiError;
use crate::state::Server;

/// Prometheus text exposition format 0.0.4.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// How this installation is: the ChatOps seed's fields, and the parts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `healthy` or `degraded`.
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    intents_loaded: usize,
    approved_label: String,
    /// Requests per client address: `10/minute`.
    rate_limit: String,
    features: Features,
    environment: Environment,
    #[schema(value_type = BTreeMap<String, PartState>)]
    parts: PartStates,
}

/// What is there and switched on.
#[derive(Debug, Serialize, ToSchema)]
struct Features {
    dry_run: bool,
    prometheus_metrics: bool,
    discord_alerts: bool,
    ip_allowlist: bool,
    scheduler: bool,
    mattermost: bool,
    slack: bool,
    discord: bool,
}

/// What it runs on.
#[derive(Debug, Serialize, ToSchema)]
struct Environment {
    /// Always null: there is no Python here.
    python_version: Option<&'static str>,
    /// Always null.
    fastapi_version: Option<&'static str>,
    /// What makes runs durable: `embedded`.
    backend: &'static str,
}

/// How this installation is
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "status",
    tag = "chatops",
    security((), ("key" = []), ("token" = [])),
    responses((status = 200, description = "How it is.", body = Status), PublicRefusals),
)]
pub(crate) async fn status(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<Status>, ApiError> {
    server.admit_reader(&request)?;
    let health = server.engine().health().await;
    let healthy = health.iter().all(|part| part.fault.is_none());
    let catalog = server.engine().catalog();
    let about = server.about();
    Ok(Json(Status {
        status: if healthy { "healthy" } else { "degraded" },
        version: about.version,
        uptime_seconds: server.uptime().as_secs(),
        intents_loaded: catalog.len(),
        approved_label: catalog.settings().approved_label.clone(),
        rate_limit: server.limits().address_phrase(),
        features: Features {
            dry_run: true,
            prometheus_metrics: true,
            discord_alerts: about.discord_alerts,
            ip_allowlist: !server.config().ip_allowlist.is_empty(),
            scheduler: about.scheduler,
            mattermost: server.chats().mattermost_command.is_some(),
            slack: server.chats().slack_command.is_some(),
            discord: server.chats().discord_interaction.is_some(),
        },
        environment: Environment {
            python_version: None,
            fastapi_version: None,
            backend: about.backend,
        },
        parts: parts(&health),
    }))
}

/// All metrics, for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "health",
    security((), ("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "Text of the exposition format 0.0.4.", body = String, content_type = "text/plain"),
        PublicRefusals,
    ),
)]
pub(crate) async fn metrics(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    server.admit_reader(&request)?;
    let text = server.engine().metrics_text().await;
    Ok(([(CONTENT_TYPE, PROMETHEUS)], text).into_response())
}
