//! `/schedules`: what fires by itself, as in the seed.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use rave_catalog::{Schedule, When};
use rave_domain::request::Change;
use rave_engine::api::Changed;
use serde_json::{Map, Value, json};

use super::submit::Sent;
use super::{answer, request_id, run};
use crate::error::ApiError;
use crate::seed::{self, RunNowBody};
use crate::state::Server;

/// `GET /schedules`: enabled entries, also while the scheduler is off.
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
    let loaded: Vec<Value> = loaded(catalog.schedules()).collect();
    let mut body = Map::new();
    body.insert("enabled".to_owned(), server.about().scheduler.into());
    // The seed's scheduler was a library that could be missing; this one is built in.
    body.insert("have_apscheduler".to_owned(), true.into());
    body.insert("count".to_owned(), loaded.len().into());
    body.insert("loaded".to_owned(), loaded.into());
    Ok(answer(
        StatusCode::OK,
        body,
        &request_id(request.extensions()),
    ))
}

fn loaded(schedules: &[Schedule]) -> impl Iterator<Item = Value> {
    schedules
        .iter()
        .filter(|schedule| schedule.enabled)
        .map(|schedule| {
            let Schedule {
                name,
                intent,
                when,
                enabled: _,
                dry_run,
                timezone,
            } = schedule;
            let mut entry = match when {
                When::Cron(line) => json!({
                    "name": name, "intent": intent, "type": "cron", "cron": line,
                    "dry_run": dry_run,
                }),
                When::EverySeconds(seconds) => json!({
                    "name": name, "intent": intent, "type": "interval", "seconds": seconds,
                    "dry_run": dry_run,
                }),
            };
            if let (Some(timezone), Some(entry)) = (timezone, entry.as_object_mut()) {
                entry.insert("timezone".to_owned(), timezone.clone().into());
            }
            entry
        })
}

/// `POST /schedules/reload`: intents and schedules from their files.
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
        let body = Map::from_iter([
            ("ok".to_owned(), false.into()),
            ("error".to_owned(), "Scheduler not enabled".into()),
        ]);
        return Ok(answer(StatusCode::OK, body, &sent.request_id));
    }
    let changed = sent.submit(&server, Change::Reload).await;
    let changed = changed.map_err(|error| seed::in_the_seeds_words(error, "", denied))?;
    let mut body = match changed {
        Changed::Done {
            data: Value::Object(data),
            ..
        } => data,
        Changed::Done { .. } | Changed::Run(_) => Map::new(),
    };
    body.insert("ok".to_owned(), true.into());
    // The seed counts schedules here; how many intents there are is `intents`.
    let catalog = server.engine().catalog();
    let count = loaded(catalog.schedules()).count();
    body.insert("count".to_owned(), count.into());
    body.insert("intents".to_owned(), catalog.len().into());
    body.shift_remove("schedules");
    Ok(answer(StatusCode::OK, body, &sent.request_id))
}

/// `POST /schedules/run_now`: `{intent, dry_run, …}`, answered as `/run`.
pub(crate) async fn run_now(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = Sent::receive(&server, request, Some("schedules_run_now")).await?;
    let body = RunNowBody::parse(&sent.body)?;
    server.limit_address("/schedules/run_now", &sent.caller)?;
    run::one(
        &server,
        &sent,
        &body,
        "RBAC: run_now not permitted for intent",
    )
    .await
}
