//! Where the bot's messages about a request go.

use rave_domain::Timestamp;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::{LiveStart, ReplyTo};
use rave_domain::time::after;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use url::Url;

use crate::courier::COURIER;
use crate::response_url::RESPONSE_URL_LIVES;

/// What is told late is still told for this long.
const TOLD_FOR: Duration = Duration::from_hours(30 * 24);

/// Longer ids are not Mattermost's: a user id has 26 characters, a trigger id about 200.
const LONGEST_ID: usize = 1024;

/// Whether a text can be an id of the vendor's.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID && !text.chars().any(char::is_control)
}

/// What an outbox row keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    /// The channel.
    pub(crate) channel: String,
    /// The root of the thread where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    /// Who asked: what is for them alone goes there.
    pub(crate) user: String,
    /// When, in milliseconds since 1970: no message about it is older.
    pub(crate) asked: i64,
    /// What works for a while where the bot may not post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<ResponseAddress>,
}

/// A command's `response_url`. Never logged: it is its own proof.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResponseAddress {
    pub(crate) url: String,
    /// In milliseconds since 1970.
    pub(crate) expires: i64,
}

impl std::fmt::Debug for ResponseAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseAddress(expires: {})", self.expires)
    }
}

impl Address {
    pub(crate) fn new(channel: &str, root: Option<&str>, user: &str, now: Timestamp) -> Self {
        Self {
            channel: channel.to_owned(),
            root: root.filter(|root| !root.is_empty()).map(str::to_owned),
            user: user.to_owned(),
            asked: now.as_millisecond(),
            response: None,
        }
    }

    /// With a way round for the next half hour.
    pub(crate) fn or_through(mut self, url: Option<Url>, now: Timestamp) -> Self {
        self.response = url.map(|url| ResponseAddress {
            url: url.into(),
            expires: after(now, RESPONSE_URL_LIVES).as_millisecond(),
        });
        self
    }

    pub(crate) fn read(value: &Value) -> Result<Self, DeliveryError> {
        serde_json::from_value(value.clone()).map_err(|_| DeliveryError::Never {
            why: "the address is not one of Mattermost's".to_owned(),
        })
    }

    /// A run asked for here has one message of the bot's.
    pub(crate) fn reply_to(&self, now: Timestamp) -> ReplyTo {
        ReplyTo {
            courier: COURIER.to_owned(),
            // A struct of texts and numbers always becomes JSON.
            address: serde_json::to_value(self).unwrap_or_default(),
            expires: after(now, TOLD_FOR),
            uses: u32::MAX,
            live: Some(LiveStart::Post),
        }
    }
}
