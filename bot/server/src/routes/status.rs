//! `GET /status`, `GET /metrics`.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::health::parts;
use crate::error::ApiError;
use crate::state::Server;

/// Prometheus text exposition format 0.0.4.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The seed's fields, and `parts`.
pub(crate) async fn status(
    State(server): State<Server>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    server.admit_reader(&request)?;
    let health = server.engine().health().await;
    let healthy = health.iter().all(|part| part.fault.is_none());
    let catalog = server.engine().catalog();
    let about = server.about();
    Ok(Json(json!({
        "status": if healthy { "healthy" } else { "degraded" },
        "version": about.version,
        "uptime_seconds": server.uptime().as_secs(),
        "intents_loaded": catalog.len(),
        "approved_label": catalog.settings().approved_label,
        "rate_limit": server.limits().address_phrase(),
        "features": {
            "dry_run": true,
            "prometheus_metrics": true,
            "discord_alerts": about.discord_alerts,
            "ip_allowlist": !server.config().ip_allowlist.is_empty(),
            "scheduler": about.scheduler,
            "mattermost": server.mattermost().is_some(),
        },
        "environment": {
            "python_version": null,
            "fastapi_version": null,
            "backend": about.backend,
        },
        "parts": parts(&health),
    })))
}

/// All metrics.
pub(crate) async fn metrics(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    server.admit_reader(&request)?;
    let text = server.engine().metrics_text().await;
    Ok(([(CONTENT_TYPE, PROMETHEUS)], text).into_response())
}
