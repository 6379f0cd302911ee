//! The route table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::frame::{framed, within};
use crate::routes::{
    audit, catalog, decisions, health, intents, locks, mattermost, orchestrate, run, runs,
    schedules, status,
};
use crate::state::Server;

/// All routes with their layers.
pub fn router(server: Server) -> Router {
    // These may wait for a run's end, so they have no time limit of their own.
    let patient = Router::new()
        .route("/run", post(run::run))
        .route("/orchestrate", post(orchestrate::orchestrate))
        .route("/schedules/run_now", post(schedules::run_now))
        .route("/api/v1/runs", post(runs::submit));
    let quick = Router::new()
        // For the seed's clients, without a key unless `public_reads` is off.
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/status", get(status::status))
        .route("/metrics", get(status::metrics))
        .route("/intents", get(intents::list))
        .route("/validate", post(intents::validate))
        // With a key.
        .route("/schedules", get(schedules::list))
        .route("/schedules/reload", post(schedules::reload))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{run}", get(runs::show))
        .route("/api/v1/runs/{run}/steps/{step}/output", get(runs::output))
        .route("/api/v1/runs/{run}/approve", post(decisions::approve))
        .route("/api/v1/runs/{run}/deny", post(decisions::deny))
        .route("/api/v1/runs/{run}/cancel", post(decisions::cancel))
        .route("/api/v1/runs/{run}/retry", post(decisions::retry))
        .route(
            "/api/v1/runs/{run}/steps/{step}/resolve",
            post(decisions::resolve),
        )
        .route("/api/v1/approvals", get(runs::approvals))
        .route("/api/v1/catalog", get(catalog::catalog))
        .route("/api/v1/audit", get(audit::audit))
        .route("/api/v1/locks", get(locks::locks))
        // With a proof of the vendor's.
        .route("/chat/mattermost/command", post(mattermost::command))
        .layer(from_fn_with_state(server.request_timeout(), within));
    let frame = server.frame();
    framed(patient.merge(quick).with_state(server), frame)
}
