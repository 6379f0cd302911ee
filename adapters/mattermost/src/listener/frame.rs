//! Frames of the connection.

use rave_domain::ports::surface::Privacy;
use serde::Deserialize;
use serde_json::Value;

use crate::address::is_id;
use crate::bot::Post;

/// An event (`model.WebSocketEvent`). Answers to what a client sends have no `event`.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    event: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    pub(super) seq: i64,
}

/// A new post.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) post: Post,
    pub(super) privacy: Privacy,
}

impl Frame {
    /// An event; `None` for everything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether this begins a new connection.
    pub(super) fn is_greeting(&self) -> bool {
        self.event == "hello"
    }

    /// What Mattermost calls the connection that this begins.
    pub(super) fn connection_id(&self) -> Option<String> {
        let id = self.data.get("connection_id").and_then(Value::as_str)?;
        is_id(id).then(|| id.to_owned())
    }

    /// The post, where one was made. Edited ones say `post_edited` and are nobody's command.
    pub(super) fn posted(&self) -> Option<Posted> {
        if self.event != "posted" {
            return None;
        }
        // JSON within JSON.
        let post = self.data.get("post")?.as_str()?;
        let post: Post = serde_json::from_str(post).ok()?;
        let ids = [&post.id, &post.user_id, &post.channel_id];
        if !ids.into_iter().all(|id| is_id(id)) {
            return None;
        }
        // `D` is a conversation of two, and what the bot receives it is in.
        let direct = self.data.get("channel_type").and_then(Value::as_str) == Some("D");
        Some(Posted {
            post,
            privacy: if direct {
                Privacy::Direct
            } else {
                Privacy::Shared
            },
        })
    }
}
