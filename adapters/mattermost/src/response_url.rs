//! Later answers through a slash command's `response_url`.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use rave_domain::ports::courier::{Courier, DeliveryError, Parcel, Receipt};
use rave_domain::reply::Reply;
use serde_json::Value;
use url::Url;

use crate::base::Base;
use crate::bot::retry_after;
use crate::command::CommandResponse;

/// The courier's name in outbox rows.
pub const COURIER: &str = "mattermost.response_url";

/// Mattermost answers at once; more means that it is in trouble.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A `response_url` works for 30 minutes from the command (`CommandWebhook` expiry).
pub(crate) const RESPONSE_URL_LIVES: Duration = Duration::from_mins(30);

/// A `response_url` takes five messages (`TryUse(id, 5)`).
pub(crate) const RESPONSE_URL_USES: u32 = 5;

/// Posts to `response_url`. Needs no token: the address is the secret, so it is never logged.
pub(crate) struct ResponseUrl {
    base: Base,
    client: reqwest::Client,
}

/// What an outbox row keeps.
pub(crate) fn address(url: &Url) -> Value {
    serde_json::json!({ "url": url.as_str() })
}

impl ResponseUrl {
    pub(crate) fn new(base: Base, client: reqwest::Client) -> Self {
        Self { base, client }
    }

    /// The address, where it may be used.
    pub(crate) fn may_use(&self, url: &str) -> Option<Url> {
        self.base.holds(url)
    }

    /// Posts a reply; uses the address once.
    pub(crate) async fn answer(&self, url: Url, reply: &Reply) -> Result<Receipt, DeliveryError> {
        let body = serde_json::to_vec(&CommandResponse::of(reply))
            .map_err(|_| never("the reply cannot be written as JSON"))?;
        let sent = self
            .client
            .post(url)
            // With any other type the JSON is posted as the message's text.
            .header(CONTENT_TYPE, "application/json")
            .timeout(TIMEOUT)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) => verdict(&response),
            Err(error) => Err(DeliveryError::Later {
                why: failure(&error),
                after: None,
            }),
        }
    }
}

#[async_trait]
impl Courier for ResponseUrl {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, _dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Message { address, reply } = parcel else {
            return Err(never("a response_url takes messages, not alerts"));
        };
        // Checked again: the configuration may have changed since the row was written.
        let url = address
            .get("url")
            .and_then(Value::as_str)
            .and_then(|url| self.may_use(url))
            .ok_or_else(|| never("the response_url is not under mattermost.url"))?;
        self.answer(url, reply).await
    }
}

/// 404 means that the 30 minutes are over, 400 that the five uses are.
fn verdict(response: &reqwest::Response) -> Result<Receipt, DeliveryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(Receipt::default());
    }
    let why = format!("Mattermost answered {}", status.as_u16());
    if status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
    {
        let after = retry_after(response.headers());
        return Err(DeliveryError::Later { why, after });
    }
    if status.is_redirection() {
        return Err(never(
            "Mattermost answered with a redirect, which is not followed",
        ));
    }
    Err(DeliveryError::Never { why })
}

fn never(why: &str) -> DeliveryError {
    DeliveryError::Never {
        why: why.to_owned(),
    }
}

/// In words of our own: the error's text has the address in it.
pub(crate) fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "Mattermost did not answer in time".to_owned()
    } else if error.is_connect() {
        "Mattermost cannot be reached".to_owned()
    } else {
        "the connection to Mattermost broke".to_owned()
    }
}

#[cfg(test)]
mod tests;
