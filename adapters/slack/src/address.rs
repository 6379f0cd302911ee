//! Where something is told: what a `ReplyTo` and an outbox row keep for this adapter.

use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::{LiveStart, ReplyTo};
use rave_domain::time::after;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::places::Places;
use crate::wire::never;
use crate::{bot, response_url};

/// A `response_url` works for 30 minutes ("Handling user interaction": message responses).
const RESPONSE_URL_LIVES: Duration = Duration::from_secs(30 * 60);

/// How often a `response_url` may be used.
pub(crate) const RESPONSE_URL_USES: u32 = 5;

/// The bot's own messages go to their channel whenever that may be.
const BOT_LIVES: Duration = Duration::from_hours(24 * 90);

/// Whether there is a bot token: then Rave writes messages of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// With a bot token.
    AsBot,
    /// Through what each command brings along.
    ByResponseUrl,
}

/// A place in a conversation. Holds a `response_url`, which is as good as a password, so it is not
/// printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) channel: String,
    /// Who asked; the id alone.
    pub(crate) user: String,
    /// The root of the thread that it was asked in or that it opens; never a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    /// The message whose button was pressed, when others see it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) under: Option<String>,
    /// Whether `thread` has no reply yet. Slack shows a message to one person in a thread only
    /// when the thread is there.
    #[serde(default)]
    pub(crate) opens: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Response>,
    /// When it was asked: no message about it is older.
    pub(crate) asked: Timestamp,
    /// The process that took it in: only another one may have lost track of what it posted.
    pub(crate) life: String,
}

/// A `response_url` and its end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Response {
    pub(crate) url: String,
    pub(crate) until: Timestamp,
}

impl Response {
    /// One that has just come, when it is Slack's.
    pub(crate) fn new(url: &str, places: &Places, now: Timestamp) -> Option<Self> {
        if url.is_empty() {
            return None;
        }
        let Some(url) = places.response_url(url) else {
            tracing::warn!("a response_url is not under hooks.slack.com: it is not used");
            return None;
        };
        Some(Self {
            url: url.into(),
            until: after(now, RESPONSE_URL_LIVES),
        })
    }
}

impl Address {
    /// Out of what the core kept.
    pub(crate) fn read(value: &Value) -> Result<Self, DeliveryError> {
        Self::deserialize(value).map_err(|_| never("the address is not one of Slack's"))
    }

    /// As the core keeps it; `None` when there is no way to say anything.
    pub(crate) fn reply_to(&self, writes: Writes, now: Timestamp) -> Option<ReplyTo> {
        let address = serde_json::to_value(self).ok()?;
        match (writes, &self.response) {
            (Writes::AsBot, _) => Some(ReplyTo {
                courier: bot::COURIER.to_owned(),
                address,
                expires: after(now, BOT_LIVES),
                uses: u32::MAX,
                live: Some(LiveStart::Post),
            }),
            (Writes::ByResponseUrl, Some(response)) => Some(ReplyTo {
                courier: response_url::COURIER.to_owned(),
                address,
                expires: response.until,
                uses: RESPONSE_URL_USES,
                live: None,
            }),
            (Writes::ByResponseUrl, None) => None,
        }
    }

    /// The `response_url`. Checked again: the configuration may have changed.
    pub(crate) fn response_url(&self, places: &Places) -> Option<Url> {
        places.response_url(&self.response.as_ref()?.url)
    }

    /// The thread for a word about this to everybody.
    pub(crate) fn talk(&self) -> Option<&str> {
        self.thread.as_deref().or(self.under.as_deref())
    }

    /// The thread for a word to the asker alone.
    pub(crate) fn whisper(&self) -> Option<&str> {
        self.thread.as_deref().filter(|_| !self.opens)
    }

    /// Whether it is a direct message: ids of these begin with a D.
    pub(crate) fn is_direct(&self) -> bool {
        self.channel.starts_with('D')
    }
}
