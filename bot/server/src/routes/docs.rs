//! `GET /openapi.json`, `GET /docs`: what this API is, for programs and for people.
//!
//! Both are parts of the binary; `docs/openapi.json` is written by `rave openapi`, and a test fails
//! when it is stale.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// Draws the document in a browser; it asks for nothing else.
const PAGE: &str = include_str!("docs.html");

/// The page talks to its own server only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "reference",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object, content_type = "application/json")),
)]
pub(crate) async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], DOCUMENT).into_response()
}

/// This document, for people
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "reference",
    responses((status = 200, description = "A page that needs nothing from elsewhere.", body = String, content_type = "text/html")),
)]
pub(crate) async fn page() -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(CONTENT_TYPE, html), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE).into_response()
}
