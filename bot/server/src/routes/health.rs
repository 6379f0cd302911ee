//! `GET /healthz`, `GET /readyz`.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use rave_engine::api::PartHealth;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::state::Server;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`, which the ChatOps seed's uptime checks look for.
    status: &'static str,
}

/// How a part of Rave is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartState {
    Ok,
    /// Rave cannot do its work without it.
    Failing,
    /// Rave does its work all the same.
    Degraded,
}

/// Whether Rave can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not ready`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The parts that keep Rave from its work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<String>,
    #[schema(value_type = BTreeMap<String, PartState>)]
    parts: PartStates,
}

/// Parts by name, in their own order.
#[derive(Debug)]
pub(crate) struct PartStates(Vec<(String, PartState)>);

impl Serialize for PartStates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(part, state)| (part, state)))
    }
}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    tag = "health",
    responses((status = 200, description = "It does.", body = Health)),
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether Rave can do its work
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readiness",
    tag = "health",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It cannot, because of the parts that are named.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(State(server): State<Server>) -> (StatusCode, Json<Readiness>) {
    let health = server.engine().health().await;
    let failing: Vec<String> = health
        .iter()
        .filter(|part| part.required && part.fault.is_some())
        .map(|part| part.part.clone())
        .collect();
    let ready = failing.is_empty();
    let body = Readiness {
        status: if ready { "ready" } else { "not ready" },
        detail: (!ready).then(|| format!("failing: {}", failing.join(", "))),
        failing,
        parts: parts(&health),
    };
    if ready {
        (StatusCode::OK, Json(body))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}

/// The parts by name. Their faults are for people who may log in, so here they only have a word.
pub(crate) fn parts(health: &[PartHealth]) -> PartStates {
    let states = health
        .iter()
        .map(|part| {
            let state = match (&part.fault, part.required) {
                (None, _) => PartState::Ok,
                (Some(_), true) => PartState::Failing,
                (Some(_), false) => PartState::Degraded,
            };
            (part.part.clone(), state)
        })
        .collect();
    PartStates(states)
}
