//! Errors as the API shows them.
//!
//! Handlers return an [`ApiError`]; it becomes JSON in one place, the outermost layer, which knows
//! the request id.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use rave_domain::run::RunStatus;
use rave_domain::{ErrorCode, RequestId, RunId, UserError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::Answer;
use crate::schema::{ErrorWord, RunState};
use crate::seed::{Item, Rollback};

/// What every error looks like. The first field is the ChatOps seed's.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ErrorFacts)]
pub(crate) struct ErrorBody {
    /// What is wrong, for people.
    pub(crate) detail: String,
    #[schema(value_type = ErrorWord)]
    pub(crate) code: ErrorCode,
    /// What is wrong in Rave's words, where `detail` has the seed's; or why a run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What to do next, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    #[serde(flatten)]
    pub(crate) more: More,
}

/// What only some errors say.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = ErrorExtras)]
pub(crate) struct More {
    /// The sentence of the seed's rate limiter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The path that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) run_id: Option<RunId>,
    /// Where that run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RunState>)]
    pub(crate) state: Option<RunStatus>,
    /// The intent that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<String>,
    /// Its action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    /// What it printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<String>,
    /// What became of its undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback: Option<Rollback>,
    /// The other intents of the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dependencies: Vec<Item>,
}

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
    ended: Option<String>,
    more: More,
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

    /// Says more than errors do.
    pub(crate) fn with(mut self, add: impl FnOnce(&mut More)) -> Self {
        add(&mut self.0.more);
        self
    }

    /// Says where the run is that it is about.
    pub(crate) fn about(self, run: &RunId, state: RunStatus) -> Self {
        self.with(|more| {
            more.run_id = Some(run.clone());
            more.state = Some(state);
        })
    }

    /// Says why that run ended.
    pub(crate) fn because(mut self, why: String) -> Self {
        self.0.ended = Some(why);
        self
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(ErrorCode::NotFound, "Not Found").with(|more| more.path = Some(path))
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
    pub(crate) fn into_body(self) -> ErrorBody {
        let Told {
            error,
            detail,
            ended,
            more,
            status: _,
            retry_after: _,
        } = *self.0;
        let (detail, reason) = match detail {
            Some(detail) if detail != error.message => (detail, Some(error.message)),
            Some(_) | None => (error.message, None),
        };
        ErrorBody {
            detail,
            code: error.code,
            reason: ended.or(reason),
            hint: error.hint,
            more,
        }
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        Self(Box::new(Told {
            error,
            status: None,
            detail: None,
            retry_after: None,
            ended: None,
            more: More::default(),
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
    let body = Answer {
        body: error.into_body(),
        request_id: request.to_string(),
    };
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let text = serde_json::to_string(&body).unwrap_or_default();
    (Response::from_parts(parts, text.into()), Some(code))
}
