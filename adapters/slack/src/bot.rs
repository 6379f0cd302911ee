//! The bot's own messages: a run's live message, words to one person or to everybody, files.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::Timestamp;
use rave_domain::ports::courier::{
    Courier, DeliveryError, FileMessage, LiveMessage, Pace, Parcel, Receipt,
};
use rave_domain::reply::{Audience, Block, Press, Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::address::{Address, RESPONSE_URL_USES};
use crate::api::{Done, Fault, WebApi};
use crate::files;
use crate::mark::Mark;
use crate::render::Message;
use crate::response_url::ResponseUrls;
use crate::wire::{later, never};

/// The courier's name in outbox rows.
pub(crate) const COURIER: &str = "slack";

/// The message is no longer there, or can no longer be edited: another takes its place.
const GONE: [&str; 3] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
];

/// The bot may not write there. What the person's command brought along may.
pub(crate) const OUTSIDE: [&str; 6] = [
    "channel_not_found",
    "not_in_channel",
    "user_not_in_channel",
    "restricted_action",
    "messages_tab_disabled",
    "cannot_reply_to_message",
];

/// `chat.update` is a method of tier 3: 50 a minute in a workspace.
const BETWEEN_EDITS: Duration = Duration::from_millis(1200);

/// People read no faster, and the budget is everybody's.
const BETWEEN_EDITS_OF_ONE: Duration = Duration::from_secs(2);

/// What must be done where the bot is not let in.
const INVITE: &str = "the bot is not in the channel and the command's response_url works no \
                      longer: invite it there with /invite";

/// Writes as the bot user.
pub(crate) struct Bot {
    api: WebApi,
    urls: ResponseUrls,
    /// This process: see [`Address::life`].
    life: String,
    /// Marks of messages that may have been posted, because the answer to that was lost.
    uncertain: Mutex<BTreeSet<String>>,
}

/// What finds a live message again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    /// The bot's own message.
    Message { channel: String, ts: String },
    /// The bot is not in the channel: messages through the command's `response_url`, each of
    /// which uses it once.
    ByResponseUrl { used: u32, said: String },
}

impl Shown {
    fn value(&self) -> Result<Value, DeliveryError> {
        serde_json::to_value(self).map_err(|_| never("the message cannot be noted"))
    }
}

impl Bot {
    pub(crate) fn new(api: WebApi, urls: ResponseUrls, life: String) -> Self {
        Self {
            api,
            urls,
            life,
            uncertain: Mutex::default(),
        }
    }

    pub(crate) const fn api(&self) -> &WebApi {
        &self.api
    }

    fn uncertain(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.uncertain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message with this mark may be there without this process knowing of it.
    fn may_be_there(&self, address: &Address, mark: &Mark<'_>) -> bool {
        self.life.is_empty() || address.life != self.life || self.uncertain().contains(&mark.key())
    }

    /// Posts, and remembers when it may have been posted although it failed.
    async fn post(
        &self,
        address: &Address,
        thread: Option<&str>,
        reply: &Reply,
        mark: &Mark<'_>,
    ) -> Result<Shown, Fault> {
        let mut body = message(&address.channel, reply, mark);
        if let (Some(thread), Some(body)) = (thread, body.as_object_mut()) {
            body.insert("thread_ts".to_owned(), thread.into());
        }
        set(&mut body, "unfurl_links", false);
        set(&mut body, "unfurl_media", false);
        self.uncertain().insert(mark.key());
        let posted = self.api.write("chat.postMessage", &body).await;
        let known = !matches!(
            &posted,
            Err(Fault::Later {
                done: Done::Perhaps,
                ..
            })
        );
        if known {
            self.uncertain().remove(&mark.key());
        }
        let posted = posted?;
        let text = |key: &str| posted.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("channel"), text("ts")) {
            (Some(channel), Some(ts)) => Ok(Shown::Message { channel, ts }),
            (None, _) | (_, None) => Err(Fault::Later {
                why: "Slack did not say where it posted the message".to_owned(),
                after: None,
                done: Done::Perhaps,
            }),
        }
    }

    async fn edit(
        &self,
        channel: &str,
        ts: &str,
        reply: &Reply,
        mark: &Mark<'_>,
    ) -> Result<(), Fault> {
        let mut body = message(channel, reply, mark);
        if let Some(body) = body.as_object_mut() {
            body.insert("ts".to_owned(), ts.into());
        }
        self.api.write("chat.update", &body).await.map(|_| ())
    }

    /// A message that carries a mark and is not the one that is known to be gone.
    async fn find(
        &self,
        address: &Address,
        mark: &Mark<'_>,
        gone: Option<&str>,
    ) -> Result<Option<Shown>, Fault> {
        let found = mark.find(&self.api, address, gone).await;
        match found {
            Ok(ts) => Ok(ts.map(|ts| Shown::Message {
                channel: address.channel.clone(),
                ts,
            })),
            // Posting says it again, with a way out.
            Err(fault) if fault.is(&OUTSIDE) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Posts a live message, or takes over the one that an interrupted process has posted.
    async fn begin(
        &self,
        address: &Address,
        reply: &Reply,
        mark: &Mark<'_>,
        gone: Option<&str>,
    ) -> Result<Shown, Fault> {
        if (gone.is_some() || self.may_be_there(address, mark))
            && let Some(shown) = self.find(address, mark, gone).await?
            && let Shown::Message { channel, ts } = &shown
        {
            match self.edit(channel, ts, reply, mark).await {
                Ok(()) => {
                    self.uncertain().remove(&mark.key());
                    return Ok(shown);
                }
                Err(fault) if fault.is(&GONE) => {}
                Err(fault) => return Err(fault),
            }
        }
        self.post(address, address.thread.as_deref(), reply, mark)
            .await
    }

    /// The live message where the bot is not let in: a few messages about what matters.
    async fn by_response_url(
        &self,
        address: &Address,
        reply: &Reply,
        shown: Option<Shown>,
        now: Timestamp,
    ) -> Result<Shown, DeliveryError> {
        let (used, said) = match shown {
            Some(Shown::ByResponseUrl { used, said }) => (used, said),
            Some(Shown::Message { .. }) | None => (0, String::new()),
        };
        let says = headline(reply);
        let left = RESPONSE_URL_USES.saturating_sub(used);
        // The last use is kept for how the run ends.
        if said == says || (is_open(reply) && left <= 1) {
            return Ok(Shown::ByResponseUrl { used, said });
        }
        let url = self.urls.at(address, now).filter(|_| left > 0);
        let url = url.ok_or_else(|| never(INVITE))?;
        self.urls.say(url, reply, address.talk()).await?;
        Ok(Shown::ByResponseUrl {
            used: used + 1,
            said: says,
        })
    }

    /// A word to everybody in the conversation.
    pub(crate) async fn talk(
        &self,
        address: &Address,
        reply: &Reply,
        mark: &Mark<'_>,
    ) -> Result<(), Fault> {
        self.post(address, address.talk(), reply, mark)
            .await
            .map(|_| ())
    }

    /// A word to the asker alone.
    pub(crate) async fn whisper(&self, address: &Address, reply: &Reply) -> Result<(), Fault> {
        let Message { text, blocks } = Message::of(reply);
        let mut body = json!({
            "channel": address.channel,
            "text": text,
            "blocks": blocks,
            "link_names": false,
            "parse": "none",
        });
        let thread = if address.is_direct() {
            address.talk()
        } else {
            address.whisper()
        };
        if let (Some(thread), Some(body)) = (thread, body.as_object_mut()) {
            body.insert("thread_ts".to_owned(), thread.into());
        }
        let method = if address.is_direct() {
            set(&mut body, "unfurl_links", false);
            "chat.postMessage"
        } else {
            if let Some(body) = body.as_object_mut() {
                body.insert("user".to_owned(), address.user.as_str().into());
            }
            "chat.postEphemeral"
        };
        self.api.write(method, &body).await.map(|_| ())
    }

    /// Says something beside the live message, whichever way is open.
    pub(crate) async fn tell(
        &self,
        address: &Address,
        reply: &Reply,
        mark: &Mark<'_>,
    ) -> Result<(), DeliveryError> {
        let url = self.urls.of(address);
        match reply.audience {
            Audience::Asker => {
                if let Some(url) = url
                    && self.urls.say(url, reply, None).await.is_ok()
                {
                    return Ok(());
                }
                self.whisper(address, reply).await.map_err(outside)
            }
            Audience::Conversation => {
                if self.may_be_there(address, mark)
                    && let Ok(Some(_)) = self.find(address, mark, None).await
                {
                    return Ok(());
                }
                match (self.talk(address, reply, mark).await, url) {
                    (Err(fault), Some(url)) if fault.is(&OUTSIDE) => {
                        self.urls.say(url, reply, address.talk()).await
                    }
                    (told, _) => told.map_err(outside),
                }
            }
        }
    }
}

fn set(body: &mut Value, key: &str, value: bool) {
    if let Some(body) = body.as_object_mut() {
        body.insert(key.to_owned(), value.into());
    }
}

/// A message of the bot's. What is not said here is not parsed: no names become links.
fn message(channel: &str, reply: &Reply, mark: &Mark<'_>) -> Value {
    let Message { text, blocks } = Message::of(reply);
    json!({
        "channel": channel,
        "text": text,
        "blocks": blocks,
        "link_names": false,
        "parse": "none",
        "metadata": mark.metadata(),
    })
}

fn outside(fault: Fault) -> DeliveryError {
    if fault.is(&OUTSIDE) {
        never(INVITE)
    } else {
        fault.into_delivery()
    }
}

/// What a reply says first.
fn headline(reply: &Reply) -> String {
    let first = reply.blocks.iter().find_map(|block| match block {
        Block::Heading(text) | Block::Text(text) => Some(text.as_str()),
        Block::Code(_)
        | Block::Fields(_)
        | Block::List(_)
        | Block::Steps(_)
        | Block::Buttons(_) => None,
    });
    first.unwrap_or_default().chars().take(200).collect()
}

/// Whether a run's message can still change by itself: then it has a button that stops it.
fn is_open(reply: &Reply) -> bool {
    reply.blocks.iter().any(|block| match block {
        Block::Buttons(buttons) => buttons
            .iter()
            .any(|button| matches!(button.press, Press::Approve | Press::Cancel)),
        Block::Heading(_)
        | Block::Text(_)
        | Block::Code(_)
        | Block::Fields(_)
        | Block::List(_)
        | Block::Steps(_) => false,
    })
}

#[async_trait]
impl Courier for Bot {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Message { address, reply } = parcel else {
            return Err(never("the bot takes messages, not alerts"));
        };
        let address = Address::read(address)?;
        self.tell(&address, reply, &Mark::Row(dedupe)).await?;
        Ok(Receipt::default())
    }

    async fn show(&self, message: LiveMessage<'_>) -> Result<Value, DeliveryError> {
        let address = Address::read(message.address)?;
        let mark = Mark::Run(message.run);
        let shown = message
            .shown
            .and_then(|shown| Shown::deserialize(shown).ok());
        let mut gone = None;
        if let Some(Shown::Message { channel, ts }) = &shown {
            match self.edit(channel, ts, message.reply, &mark).await {
                Ok(()) => {
                    return Shown::value(&Shown::Message {
                        channel: channel.clone(),
                        ts: ts.clone(),
                    });
                }
                Err(fault) if fault.is(&GONE) => gone = Some(ts.clone()),
                Err(fault) if fault.is(&OUTSIDE) => {}
                Err(fault) => return Err(fault.into_delivery()),
            }
        }
        match self
            .begin(&address, message.reply, &mark, gone.as_deref())
            .await
        {
            Ok(shown) => shown.value(),
            Err(fault) if fault.is(&OUTSIDE) => self
                .by_response_url(&address, message.reply, shown, message.now)
                .await?
                .value(),
            Err(fault) => Err(fault.into_delivery()),
        }
    }

    async fn attach(&self, file: FileMessage<'_>) -> Result<(), DeliveryError> {
        let address = Address::read(file.address)?;
        let shown = file.shown.and_then(|shown| Shown::deserialize(shown).ok());
        // Under the live message; where that is itself a reply, beside it.
        let root = match (&address.thread, &shown) {
            (Some(thread), _) => Some(thread.as_str()),
            (None, Some(Shown::Message { ts, .. })) => Some(ts.as_str()),
            (None, Some(Shown::ByResponseUrl { .. }) | None) => None,
        };
        let came_again = address.life != self.life;
        if let (true, Some(root)) = (came_again, root)
            && files::is_there(&self.api, &address.channel, root, file.name).await
        {
            return Ok(());
        }
        files::send(&self.api, &address.channel, root, &file)
            .await
            .map_err(|fault| match fault {
                files::Fault::Api(fault) => outside(fault),
                files::Fault::Upload(why) => later(why, None),
                files::Fault::Address => {
                    never("Slack wants the file sent to another place than files.slack.com")
                }
            })
    }

    fn pace(&self) -> Pace {
        Pace {
            each: BETWEEN_EDITS_OF_ONE,
            overall: BETWEEN_EDITS,
        }
    }
}

#[cfg(test)]
mod tests;
