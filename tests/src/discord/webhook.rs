//! The webhook that takes audit alerts.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::FakeDiscord;
use crate::payloads::payload;

/// One embed that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embed {
    /// Title, heading and details.
    pub description: String,
    /// Whether it is green.
    pub good: bool,
}

pub(super) fn routes() -> Router<FakeDiscord> {
    Router::new().route("/api/webhooks/1/t0ken", post(execute))
}

impl FakeDiscord {
    /// The webhook's address.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("{}/api/webhooks/1/t0ken", self.base)
    }

    /// The next post is answered with 429 and this many seconds.
    pub fn limits_once(&self, retry_after: f64) {
        self.inner().limited.push(retry_after);
    }

    /// The webhook is deleted.
    pub fn is_deleted(&self) {
        self.inner().gone = true;
    }

    /// What arrived so far.
    #[must_use]
    pub fn embeds(&self) -> Vec<Embed> {
        self.inner().embeds.clone()
    }

    fn take(&self, wait: bool, headers: &HeaderMap, body: &Bytes) -> Response {
        let mut inner = self.inner();
        if inner.gone {
            let body = json!({"message": "Unknown Webhook", "code": 10_015}).to_string();
            return (StatusCode::NOT_FOUND, body).into_response();
        }
        if let Some(status) = inner.down {
            return (status, "down").into_response();
        }
        if let Some(seconds) = inner.limited.pop() {
            let body = json!({"message": "You are being rate limited.", "retry_after": seconds, "global": false});
            let header = [("retry-after", seconds.ceil().to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, header, body.to_string()).into_response();
        }
        match checked(wait, headers, body) {
            Ok(embeds) => {
                inner.embeds.extend(embeds);
                let id = inner.embeds.len().to_string();
                (StatusCode::OK, json!({"id": id}).to_string()).into_response()
            }
            Err(why) => {
                inner.violations.push(why.clone());
                let body = json!({"message": why, "code": 50_035}).to_string();
                (StatusCode::BAD_REQUEST, body).into_response()
            }
        }
    }
}

fn checked(wait: bool, headers: &HeaderMap, body: &Bytes) -> Result<Vec<Embed>, String> {
    if !wait {
        return Err("without ?wait=true a lost message goes unnoticed".to_owned());
    }
    let agent = headers
        .get(http::header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !agent.starts_with("DiscordBot (") {
        return Err(format!("the user agent {agent:?} may be blocked"));
    }
    let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    payload("discord audit webhook", &message);
    if message["allowed_mentions"]["parse"] != json!([]) {
        return Err("allowed_mentions is missing, so the text may mention people".to_owned());
    }
    let embeds = message["embeds"].as_array().cloned().unwrap_or_default();
    if embeds.is_empty() || embeds.len() > 10 {
        return Err("1 to 10 embeds".to_owned());
    }
    embeds
        .iter()
        .map(|embed| {
            let description = embed["description"].as_str().unwrap_or_default();
            if embed["title"] != "ChatOps Audit" {
                return Err("the title is not the seed's".to_owned());
            }
            if description.is_empty() || description.encode_utf16().count() > 4096 {
                return Err("a description has 1 to 4096 characters".to_owned());
            }
            Ok(Embed {
                description: description.to_owned(),
                good: embed["color"] == json!(0x00_FF00),
            })
        })
        .collect()
}

async fn execute(
    State(fake): State<FakeDiscord>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let wait = query
        .iter()
        .any(|(key, value)| key == "wait" && value == "true");
    fake.take(wait, &headers, &body)
}
