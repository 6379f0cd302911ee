//! The route table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document;
use crate::frame::{framed, within};
use crate::routes::{
    audit, catalog, decisions, discord, docs, events, health, intents, locks, mattermost,
    orchestrate, run, runs, schedules, slack, status,
};
use crate::state::Server;

/// All routes with their layers.
pub fn router(server: Server) -> Router {
    let quick = quick().layer(from_fn_with_state(server.request_timeout(), within));
    let frame = server.frame();
    let (routes, _) = patient().merge(quick).split_for_parts();
    framed(routes.with_state(server), frame)
}

/// All routes with their documentation.
pub(crate) fn documented() -> OpenApiRouter<Server> {
    let frame = OpenApiRouter::with_openapi(document::frame());
    frame.merge(patient()).merge(quick())
}

/// These may wait for a run's end, so they have no time limit of their own.
fn patient() -> OpenApiRouter<Server> {
    OpenApiRouter::default()
        .routes(routes!(run::run))
        .routes(routes!(orchestrate::orchestrate))
        .routes(routes!(schedules::run_now))
        .routes(routes!(runs::submit))
}

fn quick() -> OpenApiRouter<Server> {
    OpenApiRouter::default()
        // For the seed's clients, without a key unless `public_reads` is off.
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(status::status))
        .routes(routes!(status::metrics))
        .routes(routes!(intents::list))
        .routes(routes!(intents::validate))
        // With a key.
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::reload))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(events::events))
        .routes(routes!(runs::output))
        .routes(routes!(decisions::approve))
        .routes(routes!(decisions::deny))
        .routes(routes!(decisions::cancel))
        .routes(routes!(decisions::retry))
        .routes(routes!(decisions::resolve))
        .routes(routes!(runs::approvals))
        .routes(routes!(catalog::catalog))
        .routes(routes!(audit::audit))
        .routes(routes!(locks::locks))
        // With a proof of the vendor's.
        .routes(routes!(mattermost::command))
        .routes(routes!(mattermost::action))
        .routes(routes!(mattermost::dialog))
        .routes(routes!(slack::command))
        .routes(routes!(slack::interaction))
        .routes(routes!(slack::event))
        .routes(routes!(discord::interaction))
        // For everybody: they say nothing about this installation.
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::page))
}
