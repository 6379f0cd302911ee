//! The courier of the bot's own messages: one live message per run, files, and what comes late.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::ports::courier::{
    Courier, DeliveryError, FileMessage, LiveMessage, Pace, Parcel, Receipt,
};
use rave_domain::reply::{Audience, Block, Reply, Tone};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::address::Address;
use crate::bot::{Fault, Post};
use crate::posts::{FILE_MARK, Place, Posts, ROW_MARK, RUN_MARK, marks};
use crate::render;
use crate::response_url::{RESPONSE_URL_USES, ResponseUrl};

/// The courier's name in outbox rows.
pub const COURIER: &str = "mattermost";

/// How far Mattermost's clock may be behind Rave's when an earlier message is looked for.
const CLOCKS_APART: Duration = Duration::from_mins(10);

/// Uses of a `response_url` that are kept for news other than progress, such as the end.
const KEPT_FOR_THE_END: u32 = 2;

/// How often messages are edited. Mattermost's own limit (10 calls a second and address, where
/// an administrator switched it on) leaves room for everything else.
const PACE: Pace = Pace {
    each: Duration::from_secs(1),
    overall: Duration::from_millis(200),
};

/// Delivers as the bot.
pub(crate) struct BotCourier {
    posts: Arc<Posts>,
    response_url: Arc<ResponseUrl>,
}

/// What is remembered of a live message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    /// A post of the bot's.
    Post {
        /// Its id.
        id: String,
        /// The root of its thread.
        root: String,
        /// Its channel.
        channel: String,
    },
    /// The bot may not post there: what is new was said through the command's `response_url`.
    Said {
        /// How often.
        times: u32,
        /// What was said last, in its first line.
        last: String,
    },
}

impl Shown {
    fn read(value: Option<&Value>) -> Option<Self> {
        serde_json::from_value(value?.clone()).ok()
    }

    fn of(post: &Post) -> Self {
        Self::Post {
            id: post.id.clone(),
            root: post.thread().to_owned(),
            channel: post.channel_id.clone(),
        }
    }

    fn value(&self) -> Result<Value, DeliveryError> {
        serde_json::to_value(self).map_err(|error| DeliveryError::Never {
            why: error.to_string(),
        })
    }
}

impl BotCourier {
    pub(crate) fn new(posts: Arc<Posts>, response_url: Arc<ResponseUrl>) -> Self {
        Self {
            posts,
            response_url,
        }
    }

    /// A post of the bot's that is there and has a mark.
    async fn find(&self, address: &Address, mark: (&str, &str)) -> Result<Option<Post>, Fault> {
        let bot = &self.posts.bot;
        let since = address.asked - i64::try_from(CLOCKS_APART.as_millis()).unwrap_or(0);
        let me = bot.me().await?.id.clone();
        let posts = bot.since(&address.channel, since).await?;
        Ok(posts.into_iter().find(|post| {
            // Anybody can give a post of their own such marks.
            post.user_id == me
                && post.delete_at == 0
                && post.mark(mark.0) == Some(mark.1)
                && post.mark(FILE_MARK).is_none()
        }))
    }

    /// Edits the message that was shown, or gives `None` when it is there or can be edited no
    /// more.
    async fn edit(&self, post: &Post, message: &LiveMessage<'_>) -> Result<Option<Post>, Fault> {
        let marks = run_marks(message);
        let edited = self
            .posts
            .edit(post, message.reply, &marks, message.now)
            .await;
        match edited {
            Ok(post) => Ok(Some(post)),
            // `ServiceSettings.PostEditTimeLimit`
            Err(fault) if fault.names("permissions_time_limit") => Ok(None),
            // A deleted post is answered as one that may not be edited.
            Err(fault) if fault.is(&[400, 403, 404]) => match self.posts.bot.read(&post.id).await {
                Ok(there) if there.delete_at == 0 => Err(fault),
                Ok(_) => Ok(None),
                Err(gone) if gone.is(&[404]) => Ok(None),
                Err(other) => Err(other),
            },
            Err(fault) => Err(fault),
        }
    }

    /// Brings the message up to date as the bot.
    async fn as_bot(
        &self,
        address: &Address,
        shown: Option<&Shown>,
        message: &LiveMessage<'_>,
    ) -> Result<Post, Fault> {
        if let Some(Shown::Post { id, root, channel }) = shown {
            let post = Post {
                id: id.clone(),
                root_id: root.clone(),
                channel_id: channel.clone(),
                ..Post::default()
            };
            if let Some(post) = self.edit(&post, message).await? {
                return Ok(post);
            }
        }
        let run = message.run.as_str();
        // Posted before, and a crash came before that was written down.
        if let Some(post) = self.find(address, (RUN_MARK, run)).await?
            && let Some(post) = self.edit(&post, message).await?
        {
            return Ok(post);
        }
        let place = Place {
            channel: &address.channel,
            root: address.root.as_deref(),
        };
        let marks = run_marks(message);
        self.posts
            .post(place, message.reply, &marks, message.now)
            .await
    }

    /// Says what is new through the command's `response_url`.
    async fn as_answer(
        &self,
        address: &Address,
        shown: Option<&Shown>,
        message: &LiveMessage<'_>,
        fault: Fault,
    ) -> Result<Shown, DeliveryError> {
        let times = match shown {
            Some(Shown::Said { times, .. }) => *times,
            Some(Shown::Post { .. }) | None => 0,
        };
        let url = address
            .response
            .as_ref()
            .filter(|response| message.now.as_millisecond() < response.expires)
            .filter(|_| times < RESPONSE_URL_USES)
            .and_then(|response| self.response_url.may_use(&response.url));
        let Some(url) = url else {
            return Err(may_not_post(&fault));
        };
        let last = headline(message.reply);
        let left = RESPONSE_URL_USES - times;
        let progress = message.reply.tone == Tone::Neutral;
        if progress && left <= KEPT_FOR_THE_END {
            return Ok(Shown::Said { times, last });
        }
        self.response_url.answer(url, message.reply).await?;
        Ok(Shown::Said {
            times: times + 1,
            last,
        })
    }

    /// A message that only the asker may read: the bot cannot post one of those that others do not
    /// see (`create_post_ephemeral` is an administrator's), so it goes another way.
    async fn alone(
        &self,
        address: &Address,
        reply: &Reply,
        row: &str,
    ) -> Result<Receipt, DeliveryError> {
        let url = address
            .response
            .as_ref()
            .and_then(|response| self.response_url.may_use(&response.url));
        if let Some(url) = url {
            match self.response_url.answer(url, reply).await {
                // Used up or too old.
                Err(DeliveryError::Never { .. }) => {}
                told => return told,
            }
        }
        let direct = Address {
            channel: self.posts.bot.direct(&address.user).await?,
            root: None,
            ..address.clone()
        };
        self.once(&direct, reply, row).await
    }

    /// Posts a reply, unless it is there already.
    async fn once(
        &self,
        address: &Address,
        reply: &Reply,
        row: &str,
    ) -> Result<Receipt, DeliveryError> {
        let marks = marks([(ROW_MARK, row)]);
        let post = match self.find(address, (ROW_MARK, row)).await? {
            Some(post) => post,
            None => {
                let place = Place {
                    channel: &address.channel,
                    root: address.root.as_deref(),
                };
                let text = render::markdown(reply);
                self.posts.at(place, &text, &marks, &[]).await?
            }
        };
        Ok(Receipt {
            message_id: Some(post.id),
        })
    }
}

#[async_trait]
impl Courier for BotCourier {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Message { address, reply } = parcel else {
            return Err(DeliveryError::Never {
                why: "the bot takes messages, not alerts".to_owned(),
            });
        };
        let address = Address::read(address)?;
        match reply.audience {
            Audience::Asker => self.alone(&address, reply, dedupe).await,
            Audience::Conversation => self.once(&address, reply, dedupe).await,
        }
    }

    async fn show(&self, message: LiveMessage<'_>) -> Result<Value, DeliveryError> {
        let address = Address::read(message.address)?;
        let shown = Shown::read(message.shown);
        if let Some(said @ Shown::Said { last, .. }) = &shown
            && *last == headline(message.reply)
        {
            return said.value();
        }
        let now_shown = match self.as_bot(&address, shown.as_ref(), &message).await {
            Ok(post) => Shown::of(&post),
            // The bot is not in the channel, or no longer.
            Err(fault) if fault.is(&[403, 404]) => {
                self.as_answer(&address, shown.as_ref(), &message, fault)
                    .await?
            }
            Err(fault) => return Err(fault.into()),
        };
        now_shown.value()
    }

    async fn attach(&self, file: FileMessage<'_>) -> Result<(), DeliveryError> {
        let address = Address::read(file.address)?;
        let shown = Shown::read(file.shown);
        let (channel, root) = match &shown {
            Some(Shown::Post { root, channel, .. }) => (channel.as_str(), Some(root.as_str())),
            Some(Shown::Said { .. }) | None => (address.channel.as_str(), address.root.as_deref()),
        };
        let bot = &self.posts.bot;
        if let Some(root) = root {
            let me = bot.me().await.map_err(DeliveryError::from)?.id.clone();
            let there = match bot.thread(root).await {
                Ok(posts) => posts.iter().any(|post| {
                    post.user_id == me
                        && post.delete_at == 0
                        && post.mark(FILE_MARK) == Some(file.name)
                }),
                // The thread was deleted: the file goes into the channel.
                Err(fault) if fault.is(&[404]) => false,
                Err(fault) => return Err(fault.into()),
            };
            if there {
                return Ok(());
            }
        }
        let id = bot.upload(channel, file.name, file.content).await;
        let id = id.map_err(|fault| match fault {
            fault if fault.is(&[403, 404]) => may_not_post(&fault),
            fault => fault.into(),
        })?;
        let marks = marks([(RUN_MARK, file.run.as_str()), (FILE_MARK, file.name)]);
        let title = render::markdown(&Reply::text(file.title));
        let place = Place { channel, root };
        self.posts
            .at(place, &title, &marks, &[id])
            .await
            .map_err(DeliveryError::from)?;
        Ok(())
    }

    fn pace(&self) -> Pace {
        PACE
    }
}

fn run_marks(message: &LiveMessage<'_>) -> Map<String, Value> {
    marks([(RUN_MARK, message.run.as_str())])
}

/// The first line of a run's message: it says which state the run is in.
fn headline(reply: &Reply) -> String {
    let heading = reply.blocks.iter().find_map(|block| match block {
        Block::Heading(text) => Some(text.clone()),
        Block::Text(_)
        | Block::Code(_)
        | Block::Fields(_)
        | Block::List(_)
        | Block::Steps(_)
        | Block::Buttons(_) => None,
    });
    heading.unwrap_or_default()
}

fn may_not_post(fault: &Fault) -> DeliveryError {
    DeliveryError::Never {
        why: format!("{fault}; is the bot a member of the channel?"),
    }
}

#[cfg(test)]
mod tests;
