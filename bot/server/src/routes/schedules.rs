//! `/schedules`: what fires by itself, as in the seed.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_catalog::{Schedule, When};
use rave_domain::IntentName;
use rave_domain::request::Change;
use serde::Serialize;
use utoipa::ToSchema;

use super::submit::Sent;
use super::{Answer, answer, request_id, run};
use crate::document::{AskRefusals, IdempotencyKey, ListRefusals, ReloadRefusals};
use crate::error::ApiError;
use crate::seed::{self, One, RunBody, RunNowBody};
use crate::state::Server;

/// Schedules in the seed's words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Schedules {
    /// Whether they fire.
    enabled: bool,
    /// Always true: the seed's scheduler was a library that could be missing.
    have_apscheduler: bool,
    count: usize,
    loaded: Vec<ScheduleEntry>,
}

/// An enabled schedule.
#[derive(Debug, Serialize, ToSchema)]
struct ScheduleEntry {
    name: String,
    #[schema(value_type = String)]
    intent: IntentName,
    r#type: ScheduleType,
    /// Of a `cron`: when, in five fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// Of an `interval`: how many seconds lie between two firings.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    /// Whether it only says what would happen.
    dry_run: bool,
    /// The time zone that its hours are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
}

/// How a schedule is written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ScheduleType {
    Cron,
    Interval,
}

/// Enabled schedules, also while the scheduler is off
#[utoipa::path(
    get,
    path = "/schedules",
    operation_id = "schedules",
    tag = "chatops",
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The schedules.", body = Answer<Schedules>),
        ListRefusals,
    ),
)]
pub(crate) async fn list(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, Some("schedules"))?;
    server
        .engine()
        .check(&caller, "schedule.read")
        .map_err(|error| {
            server.denied(&caller, "/schedules", &error);
            seed::in_the_seeds_words(error, "", "RBAC: schedules not permitted")
        })?;
    let catalog = server.engine().catalog();
    let loaded: Vec<ScheduleEntry> = loaded(catalog.schedules()).collect();
    let body = Schedules {
        enabled: server.about().scheduler,
        have_apscheduler: true,
        count: loaded.len(),
        loaded,
    };
    let id = request_id(request.extensions());
    Ok(answer(StatusCode::OK, body, &id))
}

fn loaded(schedules: &[Schedule]) -> impl Iterator<Item = ScheduleEntry> {
    let enabled = schedules.iter().filter(|schedule| schedule.enabled);
    enabled.map(|schedule| {
        let Schedule {
            name,
            intent,
            when,
            enabled: _,
            dry_run,
            timezone,
        } = schedule.clone();
        let (r#type, cron, seconds) = match when {
            When::Cron(line) => (ScheduleType::Cron, Some(line), None),
            When::EverySeconds(seconds) => (ScheduleType::Interval, None, Some(seconds)),
        };
        ScheduleEntry {
            name,
            intent,
            r#type,
            cron,
            seconds,
            dry_run,
            timezone,
        }
    })
}

/// What a reload came to.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    /// How many intents there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    intents: Option<usize>,
    /// False while the scheduler is off.
    ok: bool,
    /// Why nothing was reloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// How many enabled schedules there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

/// Read intents and schedules from their files again
///
/// One mistake in them and the old ones stay in force.
#[utoipa::path(
    post,
    path = "/schedules/reload",
    operation_id = "reload",
    tag = "chatops",
    params(
        IdempotencyKey,
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "What there is now; or that the scheduler is off.", body = Answer<Reloaded>),
        ReloadRefusals,
    ),
)]
pub(crate) async fn reload(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = Sent::receive(&server, request, Some("schedules_reload")).await?;
    server.limit_address("/schedules/reload", &sent.caller)?;
    let denied = "RBAC: schedules_reload not permitted";
    if !server.about().scheduler {
        server
            .engine()
            .check(&sent.caller, "catalog.reload")
            .map_err(|error| {
                server.denied(&sent.caller, "/schedules/reload", &error);
                seed::in_the_seeds_words(error, "", denied)
            })?;
        let body = Reloaded {
            error: Some("Scheduler not enabled"),
            ..Reloaded::default()
        };
        return Ok(answer(StatusCode::OK, body, &sent.request_id));
    }
    let changed = sent.submit(&server, Change::Reload).await;
    changed.map_err(|error| seed::in_the_seeds_words(error, "", denied))?;
    let catalog = server.engine().catalog();
    let body = Reloaded {
        intents: Some(catalog.len()),
        ok: true,
        error: None,
        // The seed counts schedules here.
        count: Some(loaded(catalog.schedules()).count()),
    };
    Ok(answer(StatusCode::OK, body, &sent.request_id))
}

/// Run a schedule's intent now
#[utoipa::path(
    post,
    path = "/schedules/run_now",
    operation_id = "run_now",
    tag = "chatops",
    params(
        IdempotencyKey,
    ),
    request_body = RunNowBody,
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "The intent succeeded, or would be run.", body = Answer<One>),
        (status = 202, description = "The run goes on or waits.", body = Answer<One>),
        AskRefusals,
    ),
)]
pub(crate) async fn run_now(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = Sent::receive(&server, request, Some("schedules_run_now")).await?;
    let body = RunBody::from(RunNowBody::parse(&sent.body)?);
    server.limit_address("/schedules/run_now", &sent.caller)?;
    run::one(
        &server,
        &sent,
        &body,
        "RBAC: run_now not permitted for intent",
    )
    .await
}
