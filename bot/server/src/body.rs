//! Reading bodies: bounded in size and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use rave_domain::ErrorCode;

use crate::error::ApiError;

/// How much of a body that is too large is read and thrown away, in multiples of the limit: a
/// client that is still sending would otherwise see a broken connection and not the answer.
const DRAINED: usize = 8;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How bodies are bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Reads a whole body.
pub(crate) async fn read(body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    match tokio::time::timeout(limits.time, collect(&mut stream, limits.bytes)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(&mut stream, limits.bytes.saturating_mul(DRAINED)).await;
            Err(ApiError::body_too_large(limits.bytes))
        }
        Ok(Err(BrokenOff)) => Err(ApiError::new(
            ErrorCode::BadRequest,
            "the body broke off before its end",
        )),
        Err(_) => Err(ApiError::new(
            ErrorCode::BadRequest,
            format!("the body did not arrive within {} s", limits.time.as_secs()),
        )
        .status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Throws away a body that is announced as too large, as far as that is cheap.
pub(crate) async fn drain(body: Body, limit: usize) {
    discard(&mut body.into_data_stream(), limit.saturating_mul(DRAINED)).await;
}

struct BrokenOff;

/// All bytes, or `None` when there are more than the limit.
async fn collect(stream: &mut BodyDataStream, limit: usize) -> Result<Option<Bytes>, BrokenOff> {
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BrokenOff)?;
        let so_far = first.as_ref().map_or(0, Bytes::len) + whole.len();
        if so_far + chunk.len() > limit {
            return Ok(None);
        }
        // Most bodies are one chunk, which needs no copy.
        match first.take() {
            None if whole.is_empty() => first = Some(chunk),
            None => whole.extend_from_slice(&chunk),
            Some(before) => {
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&chunk);
            }
        }
    }
    Ok(Some(first.unwrap_or_else(|| whole.freeze())))
}

async fn discard(stream: &mut BodyDataStream, most: usize) {
    let mut seen = 0;
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            seen += chunk.len();
            if seen > most {
                break;
            }
        }
    };
    // Whatever comes of it, the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// Refuses a body of another type than JSON. None stated is taken as JSON.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = value.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    Err(
        ApiError::new(ErrorCode::UnsupportedMediaType, "the body must be JSON")
            .hint("send `Content-Type: application/json`"),
    )
}
