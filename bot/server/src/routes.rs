//! The endpoints, one file for each or for a few that belong together.

pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod decisions;
pub(crate) mod health;
pub(crate) mod intents;
pub(crate) mod locks;
pub(crate) mod mattermost;
pub(crate) mod orchestrate;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod view;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rave_domain::RequestId;
use serde_json::{Map, Value};

/// The id that the outermost layer gave a request.
pub(crate) fn request_id(extensions: &http::Extensions) -> String {
    extensions
        .get::<RequestId>()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// An object with the request id in it, as all answers to changes have it.
pub(crate) fn answer(status: StatusCode, mut body: Map<String, Value>, request: &str) -> Response {
    body.insert("request_id".to_owned(), request.into());
    (status, Json(Value::Object(body))).into_response()
}
