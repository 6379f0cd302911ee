//! Errors as the API shows them.
//!
//! Handlers return an [`ApiError`]; it becomes JSON in one place, the outermost layer, which knows
//! the request id.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use rave_domain::{ErrorCode, RequestId, RunId, UserError};
use serde_json::{Map, Value};

/// An error on its way to a client. In a box, so that results stay small.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Told>);

/// What a client is told.
#[derive(Debug, Clone)]
struct Told {
    error: UserError,
    status: Option<StatusCode>,
    detail: Option<String>,
    retry_after: Option<u64>,
    more: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        UserError::new(code, message).into()
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.error.hint = Some(hint.into());
        self
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.0.error.code
    }

    /// Another status than the code's, where the seed's clients expect one.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The seed's words in `detail`; ours go to `reason`.
    pub(crate) fn in_the_seeds_words(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.retry_after = Some(whole.max(1));
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn about(self, run: &RunId) -> Self {
        self.with("run_id", run.as_str())
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(ErrorCode::NotFound, "Not Found").with("path", path)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        Self::new(
            ErrorCode::BodyTooLarge,
            format!("the body is larger than {limit} bytes"),
        )
    }

    fn status_code(&self) -> StatusCode {
        self.0.status.unwrap_or_else(|| {
            StatusCode::from_u16(self.0.error.code.http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    /// The body, as far as it is known without the request id.
    pub(crate) fn into_object(self) -> Map<String, Value> {
        let Told {
            error,
            detail,
            more,
            status: _,
            retry_after: _,
        } = *self.0;
        let mut body = Map::new();
        let reason = match detail {
            Some(detail) if detail != error.message => {
                body.insert("detail".to_owned(), detail.into());
                Some(error.message)
            }
            Some(_) | None => {
                body.insert("detail".to_owned(), error.message.into());
                None
            }
        };
        body.insert("code".to_owned(), error.code.as_str().into());
        if let Some(reason) = reason {
            body.insert("reason".to_owned(), reason.into());
        }
        if let Some(hint) = error.hint {
            body.insert("hint".to_owned(), hint.into());
        }
        body.extend(more);
        body
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        Self(Box::new(Told {
            error,
            status: None,
            detail: None,
            retry_after: None,
            more: Map::new(),
        }))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status_code().into_response();
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a response that carries an error; gives the error's code for the log.
pub(crate) fn written(response: Response, request: &RequestId) -> (Response, Option<ErrorCode>) {
    let (mut parts, body) = response.into_parts();
    let Some(error) = parts.extensions.remove::<ApiError>() else {
        return (Response::from_parts(parts, body), None);
    };
    let code = error.code();
    let mut object = error.into_object();
    object.insert("request_id".to_owned(), request.as_str().into());
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let text = Value::Object(object).to_string();
    (Response::from_parts(parts, text.into()), Some(code))
}
