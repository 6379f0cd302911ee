//! `GET /healthz`, `GET /readyz`.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use rave_engine::api::PartHealth;
use serde_json::{Map, Value, json};

use crate::state::Server;

/// The process answers. The seed's uptime checks look for `ok`.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether Rave can do its work: 503 names the parts that keep it from that.
pub(crate) async fn readyz(State(server): State<Server>) -> (StatusCode, Json<Value>) {
    let health = server.engine().health().await;
    let failing: Vec<&str> = health
        .iter()
        .filter(|part| part.required && part.fault.is_some())
        .map(|part| part.part.as_str())
        .collect();
    let parts = parts(&health);
    if failing.is_empty() {
        return (
            StatusCode::OK,
            Json(json!({"status": "ready", "parts": parts})),
        );
    }
    let body = json!({
        "status": "not ready",
        "detail": format!("failing: {}", failing.join(", ")),
        "failing": failing,
        "parts": parts,
    });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// The parts by name. Their faults are for people who may log in, so here they only have a word.
pub(crate) fn parts(health: &[PartHealth]) -> Map<String, Value> {
    health
        .iter()
        .map(|part| {
            let state = match (&part.fault, part.required) {
                (None, _) => "ok",
                (Some(_), true) => "failing",
                (Some(_), false) => "degraded",
            };
            (part.part.clone(), state.into())
        })
        .collect()
}
