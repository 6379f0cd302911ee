//! The courier of audit alerts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{RETRY_AFTER, USER_AGENT as USER_AGENT_HEADER};
use rave_domain::ports::courier::{Alert, Courier, DeliveryError, Parcel, Receipt};
use serde::Deserialize;
use url::Url;

use crate::alert::Message;

/// The courier's name in outbox rows.
pub const COURIER: &str = "discord.audit";

/// `DiscordBot ($url, $versionNumber)`; other names may be blocked (error 40333).
pub(crate) const USER_AGENT: &str = concat!(
    "DiscordBot (https://rave.example.com, ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The whole exchange, connection included.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A message is about 5 KiB with its embed; more is not an answer of Discord's.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The JSON code of a deleted webhook ("Unknown Webhook").
const UNKNOWN_WEBHOOK: u64 = 10_015;

/// Posts alerts to one webhook. The address holds the webhook's token and is never printed.
pub(crate) struct AuditWebhook {
    url: Url,
    client: reqwest::Client,
    /// The webhook was deleted: asking again would get our address restricted.
    gone: AtomicBool,
}

/// What is read of an answer: a message's id, or what an error says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    id: Option<String>,
    code: Option<u64>,
    retry_after: Option<f64>,
}

impl AuditWebhook {
    pub(crate) fn new(mut url: Url, client: reqwest::Client) -> Self {
        // Without `wait`, Discord answers before it has taken the message and loses it silently.
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "wait")
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("wait", "true");
        Self {
            url,
            client,
            gone: AtomicBool::new(false),
        }
    }

    async fn post(&self, alert: &Alert) -> Result<Receipt, DeliveryError> {
        let response = self
            .client
            .post(self.url.clone())
            .header(USER_AGENT_HEADER, USER_AGENT)
            .timeout(TIMEOUT)
            .json(&Message::of(alert))
            .send()
            .await
            .map_err(|error| later(failure(&error), None))?;
        let status = response.status();
        let header = retry_after_header(&response);
        let answer = read(response).await;
        if status.is_success() {
            return Ok(Receipt {
                message_id: answer.id,
            });
        }
        Err(self.verdict(status, &answer, header))
    }

    fn verdict(
        &self,
        status: StatusCode,
        answer: &Answer,
        header: Option<Duration>,
    ) -> DeliveryError {
        let why = format!("Discord answered {}", status.as_u16());
        if answer.code == Some(UNKNOWN_WEBHOOK) {
            self.gone.store(true, Ordering::Relaxed);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = answer
                .retry_after
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .or(header);
            return later(why, after);
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return later(why, header);
        }
        DeliveryError::Never { why }
    }
}

#[async_trait]
impl Courier for AuditWebhook {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, _dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Alert(alert) = parcel else {
            return Err(never("the audit webhook takes alerts, not messages"));
        };
        if self.gone.load(Ordering::Relaxed) {
            return Err(never("the audit webhook was deleted at Discord"));
        }
        self.post(alert).await
    }
}

fn retry_after_header(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// Reads an answer as far as it is short enough to be one. What cannot be read says nothing.
async fn read(mut response: reqwest::Response) -> Answer {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return Answer::default();
        }
    }
    serde_json::from_slice(&body).unwrap_or_default()
}

fn later(why: String, after: Option<Duration>) -> DeliveryError {
    DeliveryError::Later { why, after }
}

fn never(why: &str) -> DeliveryError {
    DeliveryError::Never {
        why: why.to_owned(),
    }
}

/// In words of our own: the error's text has the address, and with it the token, in it.
fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "Discord did not answer in time".to_owned()
    } else if error.is_connect() {
        "Discord cannot be reached".to_owned()
    } else {
        "the connection to Discord broke".to_owned()
    }
}

#[cfg(test)]
mod tests;
