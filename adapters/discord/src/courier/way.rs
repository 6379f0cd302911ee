//! The ways to a message: by the interaction's token, and by the bot.

use std::time::Duration;

use http::Method;
use rave_domain::Timestamp;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::time::between;
use serde::Deserialize;
use serenity::builder::EditMessage;

use super::{Messages, Posted};
use crate::address::{Address, Shown};
use crate::api::{As, Body, Refused, code};
use crate::interaction::TOKEN_LIVES;

/// Until an answer has arrived at Discord, it cannot be edited. It is on its way at that moment,
/// so it is looked for again soon.
const ON_ITS_WAY: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// How old an interaction is whose answer never arrived.
const LOST: Duration = Duration::from_secs(10);

/// What came of an edit by token.
pub(super) enum Edited {
    Done(Posted),
    /// The message was deleted, or the answer never arrived.
    Gone,
    /// The token does not work any more.
    TokenOver,
}

/// Why the bot did not post.
pub(super) enum NotPosted {
    /// It may not write there.
    Barred(Refused),
    Failed(DeliveryError),
}

impl From<NotPosted> for DeliveryError {
    fn from(not: NotPosted) -> Self {
        match not {
            NotPosted::Barred(refused) => refused.into(),
            NotPosted::Failed(error) => error,
        }
    }
}

/// What opens a direct message.
#[derive(Deserialize)]
struct Opened {
    id: String,
}

impl Messages {
    pub(super) async fn edit_by_token(
        &self,
        address: &Address,
        which: &str,
        body: &EditMessage,
        now: Timestamp,
    ) -> Result<Edited, DeliveryError> {
        let application = self.application.to_string();
        let path = ["webhooks", &application, &address.token, "messages", which];
        let mut waits = ON_ITS_WAY.iter();
        loop {
            let edited = self
                .api
                .call(Method::PATCH, &path, As::Address, Body::json(body))
                .await;
            let (status, code) = match edited {
                Ok(posted) => return Ok(Edited::Done(posted)),
                Err(Refused::No { status, code }) => (status, code),
                Err(later) => return Err(later.into()),
            };
            let unknown = matches!(code, code::UNKNOWN_WEBHOOK | code::UNKNOWN_MESSAGE);
            let left = between(now, address.until);
            let young = left > TOKEN_LIVES.saturating_sub(LOST);
            if unknown && young && which == "@original" {
                match waits.next() {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => {
                        return Err(DeliveryError::Later {
                            why: "the answer has not arrived at Discord yet".to_owned(),
                            after: Some(Duration::from_secs(2)),
                        });
                    }
                }
                continue;
            }
            return match (status, code) {
                (_, code::UNKNOWN_MESSAGE | code::THREAD_ARCHIVED) => Ok(Edited::Gone),
                (401 | 404, _) | (_, code::UNKNOWN_WEBHOOK | code::INVALID_TOKEN) => {
                    Ok(Edited::TokenOver)
                }
                (status, code) => Err(Refused::No { status, code }.into()),
            };
        }
    }

    /// `None` when the message is gone, or stands where nothing can be edited any more.
    pub(super) async fn edit_by_bot(
        &self,
        shown: &Shown,
        body: &EditMessage,
    ) -> Result<Option<Posted>, DeliveryError> {
        let path = ["channels", &shown.channel, "messages", &shown.message];
        let edited = self
            .api
            .call(Method::PATCH, &path, As::Bot, Body::json(body))
            .await;
        match edited {
            Ok(posted) => Ok(Some(posted)),
            // A new message opens an archived thread again.
            Err(Refused::No {
                code: code::UNKNOWN_MESSAGE | code::THREAD_ARCHIVED,
                ..
            }) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    pub(super) async fn post_by_bot(&self, channel: &str, body: Body) -> Result<Posted, NotPosted> {
        let path = ["channels", channel, "messages"];
        let posted = self.api.call(Method::POST, &path, As::Bot, body).await;
        posted.map_err(|refused| match refused {
            Refused::No {
                status: 401 | 403 | 404,
                ..
            } => NotPosted::Barred(refused),
            Refused::No { .. } | Refused::Later { .. } => NotPosted::Failed(refused.into()),
        })
    }

    pub(super) async fn follow_up(
        &self,
        address: &Address,
        body: Body,
    ) -> Result<Posted, DeliveryError> {
        let application = self.application.to_string();
        let path = ["webhooks", &application, &address.token];
        let posted = self.api.call(Method::POST, &path, As::Address, body).await;
        posted.map_err(DeliveryError::from)
    }

    /// As [`Self::follow_up`], where another way remains when the token is over.
    pub(super) async fn follow_up_or_over(
        &self,
        address: &Address,
        body: Body,
    ) -> Result<Edited, DeliveryError> {
        let application = self.application.to_string();
        let path = ["webhooks", &application, &address.token];
        match self.api.call(Method::POST, &path, As::Address, body).await {
            Ok(posted) => Ok(Edited::Done(posted)),
            Err(Refused::No {
                status: 401 | 404, ..
            }) => Ok(Edited::TokenOver),
            Err(refused) => Err(refused.into()),
        }
    }

    /// The channel of direct messages with somebody ("Create DM"); the same one every time.
    pub(super) async fn direct_channel(&self, user: &str) -> Result<String, DeliveryError> {
        let body = Body::json(&serde_json::json!({ "recipient_id": user }));
        let path = ["users", "@me", "channels"];
        let opened: Opened = self.api.call(Method::POST, &path, As::Bot, body).await?;
        Ok(opened.id)
    }
}
