//! The courier of live messages, files and late answers.
//!
//! A run's message begins as the answer to the interaction that asked for it, and is edited with
//! that interaction's token for its 15 minutes. After that, and for messages that were deleted,
//! the bot goes on in the same channel or thread.

mod way;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::Timestamp;
use rave_domain::ids::RunId;
use rave_domain::ports::courier::{
    Courier, DeliveryError, FileMessage, LiveMessage, Pace, Parcel, Receipt,
};
use rave_domain::ports::surface::{LiveStart, Privacy, VerifiedEvent};
use rave_domain::reply::{Audience, Reply};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serenity::builder::CreateAllowedMentions;

use crate::address::{Address, By, Shown};
use crate::api::{Api, Body};
use crate::config::Snowflake;
use crate::nonce;
use crate::render::{Rendered, Seen, nobody, shortened};
use crate::seals::Seals;
use way::{Edited, NotPosted};

/// The courier's name in outbox rows.
pub(crate) const COURIER: &str = "discord";

/// A file may have 10 MiB without a boost ("Uploading Files"); the rest of the request is small.
const LONGEST_FILE: usize = 10 * 1024 * 1024 - 64 * 1024;

/// Characters of a file's description.
const LONGEST_TITLE: usize = 1024;

/// Waits between tries to answer late.
const LATE_TRIES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Message flag `EPHEMERAL`.
pub(crate) const EPHEMERAL: u64 = 1 << 6;

/// Speaks for the bot, and with the tokens of interactions where there is none.
#[derive(Clone)]
pub(crate) struct Messages {
    pub(crate) api: Api,
    pub(crate) application: Snowflake,
    pub(crate) seals: Arc<Seals>,
}

/// What is read of a message.
#[derive(Debug, Deserialize)]
struct Posted {
    id: String,
    channel_id: String,
    #[serde(default)]
    flags: u64,
}

impl Posted {
    fn shown(self, by: By) -> Shown {
        Shown {
            channel: self.channel_id,
            message: self.id,
            by,
        }
    }
}

impl Messages {
    /// Edits the message that is there. `Ok(None)` when there is none any more, or none that
    /// everybody sees.
    async fn edit(
        &self,
        address: &Address,
        shown: Option<&Shown>,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<Option<Shown>, DeliveryError> {
        let by_token = shown.is_none_or(|shown| shown.by == By::Token);
        if by_token && address.lives(now) {
            let which = shown.map_or("@original", |shown| &shown.message);
            let body = rendered.clone().edit();
            match self.edit_by_token(address, which, &body, now).await? {
                Edited::Done(posted) if posted.flags & EPHEMERAL != 0 => {
                    // The answer was for the asker alone, because the gate took its time.
                    return Ok(None);
                }
                Edited::Done(posted) => return Ok(Some(posted.shown(By::Token))),
                Edited::Gone => return Ok(None),
                Edited::TokenOver => {}
            }
        }
        let Some(shown) = shown else {
            return Ok(None);
        };
        if self.api.bot().is_none() {
            return Err(without_bot());
        }
        let body = rendered.clone().edit();
        match self.edit_by_bot(shown, &body).await? {
            Some(_) => Ok(Some(shown.clone())),
            None => Ok(None),
        }
    }

    /// Posts a run's message anew, in place of one that is gone.
    async fn post(
        &self,
        address: &Address,
        run: &RunId,
        gone: Option<&Shown>,
        rendered: Rendered,
        now: Timestamp,
    ) -> Result<Shown, DeliveryError> {
        let before = gone.map_or("", |gone| &gone.message);
        let nonce = nonce(&["live", run.as_str(), before]);
        let refused = if self.api.bot().is_some() {
            let body = Body::json(&rendered.clone().message(nonce));
            match self.post_by_bot(&address.channel, body).await {
                Ok(posted) => return Ok(posted.shown(By::Bot)),
                Err(NotPosted::Barred(refused)) => Some(refused),
                Err(NotPosted::Failed(error)) => return Err(error),
            }
        } else {
            None
        };
        // A bot that may not write in the channel still may answer who asked there.
        if address.lives(now) {
            let body = Body::json(&rendered.follow_up(Seen::ByAll));
            let posted = self.follow_up(address, body).await?;
            return Ok(posted.shown(By::Token));
        }
        Err(refused.map_or_else(without_bot, DeliveryError::from))
    }

    /// What became of an interaction that was deferred, in place of the deferral. Tries a few times:
    /// what must not be lost is in the outbox.
    pub(crate) async fn answer_late(&self, event: &VerifiedEvent, reply: &Reply) {
        let mut waits = LATE_TRIES.iter();
        loop {
            match (self.replace_deferral(event, reply).await, waits.next()) {
                (Ok(()), _) => return,
                (Err(DeliveryError::Later { after, .. }), Some(wait)) => {
                    tokio::time::sleep(after.unwrap_or_default().max(*wait)).await;
                }
                (Err(why), _) => {
                    tracing::warn!(%why, "interaction_not_answered");
                    return;
                }
            }
        }
    }

    async fn replace_deferral(
        &self,
        event: &VerifiedEvent,
        reply: &Reply,
    ) -> Result<(), DeliveryError> {
        let to = event.reply_to.as_ref();
        let address = Address::read(to.map_or(&Value::Null, |to| &to.address))?;
        let now = self.seals.latest();
        let body = Rendered::of(reply, &self.seals, now).edit();
        let edited = self
            .edit_by_token(&address, "@original", &body, now)
            .await?;
        match edited {
            Edited::Done(_) => Ok(()),
            Edited::Gone | Edited::TokenOver => Err(DeliveryError::Never {
                why: "the interaction is over".to_owned(),
            }),
        }
    }

    /// What was said too late for the answer: instead of it where that can be edited, to the same
    /// people otherwise.
    async fn say(
        &self,
        address: &Address,
        reply: &Reply,
        dedupe: &str,
    ) -> Result<Receipt, DeliveryError> {
        // The newest time that came in; a token that is over says so itself.
        let now = self.seals.latest();
        let rendered = Rendered::of(reply, &self.seals, now);
        let seen = match reply.audience {
            Audience::Asker => Seen::Alone,
            Audience::Conversation => Seen::ByAll,
        };
        if address.lives(now) {
            let said = if address.start == LiveStart::Answer {
                let body = rendered.clone().edit();
                self.edit_by_token(address, "@original", &body, now).await?
            } else {
                let body = Body::json(&rendered.clone().follow_up(seen));
                self.follow_up_or_over(address, body).await?
            };
            if let Edited::Done(posted) = said {
                return Ok(receipt(posted));
            }
        }
        if self.api.bot().is_none() {
            return Err(without_bot());
        }
        let alone = seen == Seen::Alone && address.privacy == Privacy::Shared;
        let channel = if alone {
            self.direct_channel(&address.user).await?
        } else {
            address.channel.clone()
        };
        let body = Body::json(&rendered.message(nonce(&["say", dedupe])));
        let posted = self.post_by_bot(&channel, body).await?;
        Ok(receipt(posted))
    }

    /// Tells whoever has the answer for themselves where the run is.
    async fn point_elsewhere(&self, address: &Address, now: Timestamp) {
        let note = Reply::text("The message of this run stands below, for everybody.");
        let body = Rendered::of(&note, &self.seals, now).edit();
        // Only a courtesy: the run's message is there.
        if let Err(error) = self.edit_by_token(address, "@original", &body, now).await {
            tracing::info!(%error, "answer_not_replaced");
        }
    }
}

#[async_trait]
impl Courier for Messages {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Message { address, reply } = parcel else {
            return Err(DeliveryError::Never {
                why: "this courier takes messages".to_owned(),
            });
        };
        self.say(&Address::read(address)?, reply, dedupe).await
    }

    async fn show(&self, message: LiveMessage<'_>) -> Result<Value, DeliveryError> {
        let address = Address::read(message.address)?;
        let shown = Shown::read(message.shown);
        let rendered = Rendered::of(message.reply, &self.seals, message.now);
        let begins_as_answer = address.start == LiveStart::Answer;
        if shown.is_some() || begins_as_answer {
            let edited = self
                .edit(&address, shown.as_ref(), &rendered, message.now)
                .await?;
            if let Some(edited) = edited {
                return Ok(edited.to_json());
            }
        }
        let gone = shown.as_ref();
        let posted = self
            .post(&address, message.run, gone, rendered, message.now)
            .await?;
        if shown.is_none() && begins_as_answer && address.lives(message.now) {
            self.point_elsewhere(&address, message.now).await;
        }
        Ok(posted.to_json())
    }

    async fn attach(&self, file: FileMessage<'_>) -> Result<(), DeliveryError> {
        let address = Address::read(file.address)?;
        let shown = Shown::read(file.shown);
        let mut refused = None;
        if self.api.bot().is_some() {
            let once = nonce(&["file", file.run.as_str(), file.name]);
            let body = Upload::of(&file, Some(once), shown.as_ref()).body(&file);
            let channel = shown.as_ref().map_or(&address.channel, |s| &s.channel);
            match self.post_by_bot(channel, body).await {
                Ok(_) => return Ok(()),
                Err(NotPosted::Barred(why)) => refused = Some(why),
                Err(NotPosted::Failed(error)) => return Err(error),
            }
        }
        if address.lives(file.now) {
            let body = Upload::of(&file, None, None).body(&file);
            self.follow_up(&address, body).await?;
            return Ok(());
        }
        Err(refused.map_or_else(without_bot, DeliveryError::from))
    }

    /// Five edits in five seconds are let through for a channel, fifty calls a second for a bot.
    fn pace(&self) -> Pace {
        Pace {
            each: Duration::from_millis(1500),
            overall: Duration::from_millis(200),
        }
    }
}

/// A file's message. One of its own: an edit would have to list every file that is to stay.
#[derive(Serialize)]
struct Upload {
    allowed_mentions: CreateAllowedMentions,
    attachments: [Listed; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforce_nonce: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_reference: Option<Reference>,
}

/// A file of a message, by its place in the request.
#[derive(Serialize)]
struct Listed {
    id: u8,
    filename: String,
    description: String,
}

/// The message that is replied to.
#[derive(Serialize)]
struct Reference {
    message_id: String,
    channel_id: String,
    /// A file is worth something without it.
    fail_if_not_exists: bool,
}

impl Upload {
    fn of(file: &FileMessage<'_>, once: Option<String>, shown: Option<&Shown>) -> Self {
        Self {
            allowed_mentions: nobody(),
            attachments: [Listed {
                id: 0,
                filename: file.name.to_owned(),
                description: shortened(file.title, LONGEST_TITLE),
            }],
            enforce_nonce: once.is_some().then_some(true),
            nonce: once,
            message_reference: shown.map(|shown| Reference {
                message_id: shown.message.clone(),
                channel_id: shown.channel.clone(),
                fail_if_not_exists: false,
            }),
        }
    }

    fn body(&self, file: &FileMessage<'_>) -> Body {
        Body::File {
            // Texts and numbers always serialize.
            payload: serde_json::to_vec(self).unwrap_or_default(),
            name: file.name.to_owned(),
            content: bounded(file.content),
        }
    }
}

/// A file's content within Discord's limit: the end is what tells how it went.
fn bounded(content: &str) -> String {
    if content.len() <= LONGEST_FILE {
        return content.to_owned();
    }
    let mut from = content.len() - LONGEST_FILE + 100;
    while !content.is_char_boundary(from) {
        from += 1;
    }
    let end = content.get(from..).unwrap_or_default();
    format!("… {from} bytes before this are left out\n{end}")
}

fn receipt(posted: Posted) -> Receipt {
    Receipt {
        message_id: Some(posted.id),
    }
}

fn without_bot() -> DeliveryError {
    DeliveryError::Never {
        why: "the interaction is over after 15 minutes, and without discord.bot_token nothing can \
              be written or edited any more"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
