//! The endpoints, one file for each or for a few that belong together.

pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod chat;
pub(crate) mod decisions;
pub(crate) mod discord;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod intents;
pub(crate) mod locks;
pub(crate) mod mattermost;
pub(crate) mod orchestrate;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod slack;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod view;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use rave_domain::RequestId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The id that the outermost layer gave a request.
pub(crate) fn request_id(extensions: &http::Extensions) -> String {
    extensions
        .get::<RequestId>()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// An object with the id of its request in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    #[serde(flatten)]
    pub(crate) body: T,
    /// The id of this request, as in the header `X-Request-Id` and in the log.
    pub(crate) request_id: String,
}

/// An answer with the request id in it.
pub(crate) fn answer<T: Serialize>(status: StatusCode, body: T, request: &str) -> Response {
    let request_id = request.to_owned();
    (status, Json(Answer { body, request_id })).into_response()
}

/// Parts of a path. One that is no text is the name of nothing.
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(found)) => Ok(Self(found)),
            Err(_) => Err(ApiError::not_found(parts.uri.path())),
        }
    }
}
