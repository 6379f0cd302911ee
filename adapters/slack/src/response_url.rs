//! Messages through a `response_url`: without a token, five times within half an hour.

use async_trait::async_trait;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use rave_domain::Timestamp;
use rave_domain::ports::courier::{Courier, DeliveryError, Parcel, Receipt};
use rave_domain::ports::surface::HttpAnswer;
use rave_domain::reply::{Audience, Reply};
use serde_json::{Value, json};
use url::Url;

use crate::address::Address;
use crate::places::Places;
use crate::render::Message;
use crate::wire::{self, later, never};

/// The courier's name in outbox rows.
pub(crate) const COURIER: &str = "slack.response_url";

/// Posts to `response_url`s. Needs no token: the address is the secret, so it is never logged.
#[derive(Clone)]
pub(crate) struct ResponseUrls {
    places: Places,
    client: reqwest::Client,
}

/// The answer to a slash command, in the HTTP response or in an acknowledgement.
pub(crate) fn slash_answer(reply: &Reply) -> HttpAnswer {
    wire::json(200, &response(reply))
}

fn response(reply: &Reply) -> Value {
    let Message { text, blocks } = Message::of(reply);
    json!({
        "response_type": match reply.audience {
            Audience::Asker => "ephemeral",
            Audience::Conversation => "in_channel",
        },
        "text": text,
        "blocks": blocks,
    })
}

impl ResponseUrls {
    pub(crate) const fn new(places: Places, client: reqwest::Client) -> Self {
        Self { places, client }
    }

    /// Says something new; never in the place of the message that was answered.
    pub(crate) async fn say(
        &self,
        url: Url,
        reply: &Reply,
        thread: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let mut body = response(reply);
        if let Some(body) = body.as_object_mut() {
            body.insert("replace_original".to_owned(), false.into());
            body.insert("unfurl_links".to_owned(), false.into());
            body.insert("unfurl_media".to_owned(), false.into());
            if let Some(thread) = thread {
                body.insert("thread_ts".to_owned(), thread.into());
            }
        }
        let sent = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .timeout(wire::TIMEOUT)
            .body(body.to_string())
            .send()
            .await;
        match sent {
            Ok(response) => verdict(response).await,
            Err(error) => Err(later(wire::failure(&error), None)),
        }
    }

    /// The address's `response_url`, if it has one; Slack says when it works no longer.
    pub(crate) fn of(&self, address: &Address) -> Option<Url> {
        address.response_url(&self.places)
    }

    /// The address's `response_url`, while it works.
    pub(crate) fn at(&self, address: &Address, now: Timestamp) -> Option<Url> {
        let works = address
            .response
            .as_ref()
            .is_some_and(|response| now < response.until);
        works.then(|| self.of(address)).flatten()
    }
}

/// A `response_url` that is used up or too old is gone (`used_url`, `expired_url`).
async fn verdict(response: reqwest::Response) -> Result<(), DeliveryError> {
    let status = response.status();
    let after = wire::retry_after(&response);
    let why = format!("Slack answered {} to a response_url", status.as_u16());
    if status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
    {
        return Err(later(why, after));
    }
    if !status.is_success() {
        return Err(never(why));
    }
    // The word `ok`, or JSON.
    let body = wire::read(response).await.unwrap_or_default();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer.get("ok").and_then(Value::as_bool) {
        Some(false) => Err(never("Slack did not take a message to a response_url")),
        Some(true) | None => Ok(()),
    }
}

/// As the courier for an app without a bot token.
#[async_trait]
impl Courier for ResponseUrls {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, _dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Message { address, reply } = parcel else {
            return Err(never("a response_url takes messages only"));
        };
        let address = Address::read(address)?;
        let url = self.of(&address);
        let url = url.ok_or_else(|| never("there is no response_url of Slack's"))?;
        self.say(url, reply, address.talk()).await?;
        Ok(Receipt::default())
    }
}
