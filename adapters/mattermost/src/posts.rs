//! Replies as posts of the bot, with real buttons where they can come back.

use std::sync::Arc;

use rave_domain::Timestamp;
use rave_domain::reply::{Block, Button, Press, Reply};
use serde_json::{Map, Value, json};

use crate::bot::{Bot, Fault, NewPost, Post};
use crate::callback::{Callbacks, Spot};
use crate::render::{self, ButtonsAre};

/// Marks a post with the run it is about (`props`).
pub(crate) const RUN_MARK: &str = "rave_run";

/// Marks a post with the outbox row it delivers.
pub(crate) const ROW_MARK: &str = "rave_outbox";

/// Marks a post with the file it brings.
pub(crate) const FILE_MARK: &str = "rave_file";

/// How long a button's text may be; more than a few words is no button.
const LONGEST_LABEL: usize = 40;

/// What the bot writes.
pub(crate) struct Posts {
    pub(crate) bot: Arc<Bot>,
    /// How buttons come back; without it messages name commands.
    pub(crate) callbacks: Option<Callbacks>,
}

/// Where a post goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) channel: &'a str,
    pub(crate) root: Option<&'a str>,
}

impl Posts {
    /// Posts a reply. Its buttons come a moment later: their seal names the post.
    pub(crate) async fn post(
        &self,
        place: Place<'_>,
        reply: &Reply,
        marks: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Post, Fault> {
        let text = self.text(reply);
        let post = self.at(place, &text, marks, &[]).await?;
        if self.buttons(reply).next().is_none() {
            return Ok(post);
        }
        self.edit(&post, reply, marks, now).await
    }

    /// Posts a text as it is. A thread whose root was deleted goes on in the channel.
    pub(crate) async fn at(
        &self,
        place: Place<'_>,
        message: &str,
        marks: &Map<String, Value>,
        file_ids: &[String],
    ) -> Result<Post, Fault> {
        let mut post = NewPost {
            channel_id: place.channel,
            root_id: place.root,
            message,
            props: marks.clone(),
            file_ids,
        };
        match self.bot.post(&post).await {
            // `api.post.create_post.root_id.app_error`
            Err(fault) if place.root.is_some() && fault.names("root_id") => {
                post.root_id = None;
                self.bot.post(&post).await
            }
            posted => posted,
        }
    }

    /// Makes a post of the bot's say something else.
    pub(crate) async fn edit(
        &self,
        post: &Post,
        reply: &Reply,
        marks: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Post, Fault> {
        let mut props = marks.clone();
        let spot = Spot {
            channel: &post.channel_id,
            post: &post.id,
            root: post.thread(),
        };
        if let Some(attachment) = self.attachment(reply, spot, now)? {
            props.insert("attachments".to_owned(), json!([attachment]));
        }
        self.bot.edit(&post.id, &self.text(reply), &props).await
    }

    fn text(&self, reply: &Reply) -> String {
        let buttons = if self.callbacks.is_some() {
            ButtonsAre::Real
        } else {
            ButtonsAre::Commands
        };
        render::text(reply, buttons)
    }

    fn buttons<'a>(&self, reply: &'a Reply) -> impl Iterator<Item = &'a Button> {
        let real = self.callbacks.is_some();
        let of = |block: &'a Block| match block {
            Block::Buttons(buttons) => Some(buttons),
            Block::Heading(_)
            | Block::Text(_)
            | Block::Code(_)
            | Block::Fields(_)
            | Block::List(_)
            | Block::Steps(_) => None,
        };
        let blocks = reply.blocks.iter().filter(move |_| real);
        blocks.filter_map(of).flatten()
    }

    /// The buttons as an attachment (`model.SlackAttachment`), which servers older than 11.10 know
    /// too.
    fn attachment(
        &self,
        reply: &Reply,
        spot: Spot<'_>,
        now: Timestamp,
    ) -> Result<Option<Value>, Fault> {
        let Some(callbacks) = &self.callbacks else {
            return Ok(None);
        };
        let actions: Vec<Value> = self
            .buttons(reply)
            .map(|button| action(callbacks, button, spot, now))
            .collect::<Result<_, _>>()?;
        Ok((!actions.is_empty()).then(|| json!({ "actions": actions })))
    }
}

/// One button (`model.PostAction`).
fn action(
    callbacks: &Callbacks,
    button: &Button,
    spot: Spot<'_>,
    now: Timestamp,
) -> Result<Value, Fault> {
    let context = callbacks.context(button, spot, now);
    let context = context.map_err(|why| Fault::Later { why, after: None })?;
    let label: String = render::bare(&button.label)
        .chars()
        .take(LONGEST_LABEL)
        .collect();
    Ok(json!({
        "id": action_id(button.press),
        "type": "button",
        "name": label,
        "style": style(button.press),
        "integration": { "url": callbacks.action_url().as_str(), "context": context },
    }))
}

/// Letters and digits only: with anything else a click is not found (`[A-Za-z0-9]+` in the route).
const fn action_id(press: Press) -> &'static str {
    match press {
        Press::Approve => "approve",
        Press::Deny => "deny",
        Press::Cancel => "cancel",
        Press::Retry => "retry",
        Press::ShowLog => "showlog",
    }
}

const fn style(press: Press) -> &'static str {
    match press {
        Press::Approve => "success",
        Press::Deny | Press::Cancel => "danger",
        Press::Retry | Press::ShowLog => "default",
    }
}

/// Marks as `props`.
pub(crate) fn marks<const N: usize>(marks: [(&str, &str); N]) -> Map<String, Value> {
    marks
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}
