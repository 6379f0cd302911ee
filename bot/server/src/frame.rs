//! What stands around all routes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use rave_domain::{ErrorCode, RequestId, UserError};

use crate::address::{AddressList, ClientAddress};
use crate::body;
use crate::error::{self, ApiError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Paths that machines ask for every few seconds; their lines would bury the others.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What it needs to know.
pub(crate) struct Frame {
    /// Where request ids come from.
    pub(crate) ids: Arc<dyn Fn() -> RequestId + Send + Sync>,
    pub(crate) trusted_proxies: AddressList,
    pub(crate) max_body: usize,
}

/// Puts around routes what all of them have in common.
pub(crate) fn framed(routes: Router, frame: Frame) -> Router {
    routes
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // Everything gets an id, an address, a log line and, when it is an error, a body with the
        // id in it. One layer, because each costs every request two boxes and a copy of the route.
        .layer(from_fn_with_state(Arc::new(frame), identified))
}

async fn identified(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = (frame.ids)();
    let peer = request
        .extensions()
        .get::<ConnectInfo<std::net::SocketAddr>>()
        .map(|info| info.0.ip());
    let client = ClientAddress::of(peer, request.headers(), &frame.trusted_proxies);
    let method = request.method().clone();
    let uri = request.uri().clone();
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(client);
    let (mut response, code) =
        error::written(bounded(frame.max_body, &id, request, next).await, &id);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let line = Line {
        id: &id,
        client,
        method: &method,
        path: shortened(uri.path()),
        status: response.status(),
        code,
        took: started.elapsed(),
    };
    line.write();
    response
}

/// One line per request.
struct Line<'a> {
    id: &'a RequestId,
    client: ClientAddress,
    method: &'a Method,
    path: &'a str,
    status: StatusCode,
    code: Option<ErrorCode>,
    took: Duration,
}

impl Line<'_> {
    fn write(&self) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request.id = %self.id,
                    client.address = %self.client,
                    http.method = %self.method,
                    http.path = self.path,
                    http.status = self.status.as_u16(),
                    error.code = self.code.map(ErrorCode::as_str),
                    duration_ms = self.took.as_micros() as f64 / 1000.0,
                    "request"
                )
            };
        }
        if self.status.is_server_error() {
            line!(warn);
        } else if QUIET.contains(&self.path) {
            line!(debug);
        } else {
            line!(info);
        }
    }
}

/// A path for the log.
fn shortened(path: &str) -> &str {
    path.char_indices()
        .nth(200)
        .map_or(path, |(end, _)| path.get(..end).unwrap_or(path))
}

/// A fault in a handler is an answer and a log line, not a closed connection.
async fn caught(id: &RequestId, request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            tracing::error!(request.id = %id, panic = text, "handler_panicked");
            ApiError::from(UserError::internal()).into_response()
        }
    }
}

/// A body that says it is too large never reaches a handler.
async fn bounded(max_body: usize, id: &RequestId, request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_body as u64) {
        body::drain(request.into_body(), max_body).await;
        let mut response = ApiError::body_too_large(max_body).into_response();
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    caught(id, request, next).await
}

/// Ends answers that nobody waits for on purpose: a net for a store that hangs.
pub(crate) async fn within(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let id = id.map(String::from).unwrap_or_default();
            tracing::error!(
                request.id = id,
                limit_s = limit.as_secs(),
                "answer_took_too_long"
            );
            ApiError::new(
                ErrorCode::StoreUnavailable,
                format!("there was no answer within {} s", limit.as_secs()),
            )
            .into_response()
        }
    }
}

async fn no_such_path(request: Request) -> ApiError {
    ApiError::not_found(request.uri().path())
}

/// The router adds `Allow`. `OPTIONS` asks for nothing else.
async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").into_response()
}

#[cfg(test)]
mod tests;
