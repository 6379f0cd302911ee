//! What all calls to Slack have in common: bounded in time and in what is read of an answer, and
//! errors in words of our own, because reqwest's hold the address.

use std::time::Duration;

use http::header::RETRY_AFTER;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::HttpAnswer;
use serde_json::Value;

/// Slack answers within a second or two; more means that it is in trouble.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A page of 100 messages with their blocks is below this.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// An answer as far as it is short enough to be one.
pub(crate) async fn read(mut response: reqwest::Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if body.len() + chunk.len() > LONGEST_ANSWER {
                    return None;
                }
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return Some(body),
            Err(_) => return None,
        }
    }
}

/// The seconds of `Retry-After`.
pub(crate) fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Why nothing came back.
pub(crate) fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "Slack did not answer in time".to_owned()
    } else if error.is_connect() {
        "Slack cannot be reached".to_owned()
    } else {
        "the connection to Slack broke".to_owned()
    }
}

pub(crate) fn later(why: impl Into<String>, after: Option<Duration>) -> DeliveryError {
    DeliveryError::Later {
        why: why.into(),
        after,
    }
}

pub(crate) fn never(why: impl Into<String>) -> DeliveryError {
    DeliveryError::Never { why: why.into() }
}

/// An answer of JSON.
pub(crate) fn json(status: u16, body: &Value) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: "application/json",
        body: body.to_string().into_bytes().into(),
    }
}

/// "It has arrived", and nothing else.
pub(crate) fn acknowledged() -> HttpAnswer {
    HttpAnswer {
        status: 200,
        content_type: "text/plain",
        body: bytes::Bytes::new(),
    }
}
