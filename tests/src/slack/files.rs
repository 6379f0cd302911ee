//! Where files are sent to.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::FakeSlack;

pub(super) async fn upload(
    State(fake): State<FakeSlack>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key("authorization") {
        fake.violation("a token at an upload address");
    }
    let mut inner = fake.inner();
    if let Some(status) = inner.down {
        return (status, "down").into_response();
    }
    let Some(file) = inner.files.get_mut(&id) else {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    };
    if file.length != body.len() {
        let why = format!(
            "a file of {} bytes was announced with {}",
            body.len(),
            file.length
        );
        inner.violations.push(why);
        return (StatusCode::BAD_REQUEST, "wrong length").into_response();
    }
    file.content = Some(String::from_utf8_lossy(&body).into_owned());
    "OK".into_response()
}
