//! What all of the REST API does: who asks, what is wrong with it.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use serde_json::{Value, json};

use super::FakeMattermost;
use crate::payloads::payload;

/// JSON bodies may be this long (`MaximumPayloadSizeBytes`).
const LONGEST_BODY: usize = 300_000;

/// An error as Mattermost answers it (`model.AppError`). Its text is translated.
pub(super) struct AppError(pub(super) u16, pub(super) &'static str);

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0).unwrap();
        let body = json!({
            "id": self.1, "message": "Das geht nicht.", "detailed_error": "",
            "request_id": "x1", "status_code": self.0,
        });
        (status, Json(body)).into_response()
    }
}

pub(super) const NO_PERMISSION: AppError = AppError(403, "api.context.permissions.app_error");

/// What every call gets while the server is down.
pub(super) fn down(status: StatusCode) -> Response {
    if status == StatusCode::TOO_MANY_REQUESTS {
        let headers = [
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1"),
            ("retry-after", "1"),
        ];
        return (status, headers, "limit exceeded").into_response();
    }
    (status, "down").into_response()
}

/// Whoever asks.
pub(super) struct Session {
    pub(super) user: String,
}

impl FromRequestParts<FakeMattermost> for Session {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        fake: &FakeMattermost,
    ) -> Result<Self, Response> {
        if let Some(status) = fake.inner().down {
            return Err(down(status));
        }
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        match fake.session(token) {
            Some(user) => Ok(Self { user }),
            None => Err(AppError(401, "api.context.session_expired.app_error").into_response()),
        }
    }
}

impl FakeMattermost {
    /// Whose token it is.
    pub(super) fn session(&self, token: &str) -> Option<String> {
        super::admin::session(token)
    }
}

/// A JSON body. What is wrong with it is a fault of whoever sends it.
pub(super) struct Body(pub(super) Value);

impl FromRequest<FakeMattermost> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, fake: &FakeMattermost) -> Result<Self, Response> {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = Bytes::from_request(request, fake)
            .await
            .map_err(IntoResponse::into_response)?;
        let wrong = |what: &str| {
            fake.violation(format!("{path}: {what}"));
            AppError(400, "api.context.invalid_body_param.app_error").into_response()
        };
        if kind.is_none_or(|kind| kind != "application/json") {
            return Err(wrong("a body that does not say that it is JSON"));
        }
        if bytes.len() > LONGEST_BODY {
            fake.violation(format!("{path}: a body of {} bytes", bytes.len()));
            let id = "api.context.request_body_too_large.app_error";
            return Err(AppError(413, id).into_response());
        }
        let body = serde_json::from_slice(&bytes).map_err(|_| wrong("a body that is not JSON"))?;
        payload(&format!("mattermost {method} {path}"), &body);
        Ok(Self(body))
    }
}

/// Paths that Mattermost does not have.
pub(super) async fn unknown(State(fake): State<FakeMattermost>, request: Request) -> Response {
    let what = format!(
        "{} {} does not exist",
        request.method(),
        request.uri().path()
    );
    fake.violation(what);
    AppError(404, "api.context.404.app_error").into_response()
}

/// Fields that a body must not have.
pub(super) fn unknown_fields(body: &Value, known: &[&str]) -> Vec<String> {
    let fields = body.as_object().into_iter().flatten();
    let names = fields.map(|(name, _)| name.clone());
    names
        .filter(|name| !known.contains(&name.as_str()))
        .collect()
}
