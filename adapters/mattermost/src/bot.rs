//! The bot account: what it does through Mattermost's REST API.
//!
//! Paths, fields and answers are those of `server/channels/api4` (`post.go`, `file.go`,
//! `channel.go`, `integration_action.go`).

mod rest;

use std::collections::BTreeMap;

use rave_domain::ports::courier::DeliveryError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use url::Url;

use crate::base::Base;

pub(crate) use rest::{Fault, Rest, retry_after};

/// An answer about one thing: a post is at most about 900 KiB with its props.
const LONGEST_ANSWER: usize = 2 * 1024 * 1024;

/// An answer about a channel's newest posts, 1000 of them at most.
const LONGEST_LIST: usize = 16 * 1024 * 1024;

/// The bot's own account.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Me {
    /// Its user id.
    pub(crate) id: String,
    /// Its name, as people mention it.
    pub(crate) username: String,
}

/// A post, as far as Rave reads it (`model.Post`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Post {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) channel_id: String,
    pub(crate) root_id: String,
    pub(crate) message: String,
    /// Empty for what people write.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Milliseconds since 1970, 0 while it is there.
    pub(crate) delete_at: i64,
    pub(crate) props: Option<Map<String, Value>>,
}

impl Post {
    /// A mark that Rave gave it.
    pub(crate) fn mark(&self, name: &str) -> Option<&str> {
        self.props.as_ref()?.get(name)?.as_str()
    }

    /// The post that its thread hangs on: itself, where it began one.
    pub(crate) fn thread(&self) -> &str {
        if self.root_id.is_empty() {
            &self.id
        } else {
            &self.root_id
        }
    }
}

/// A list of posts (`model.PostList`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PostList {
    posts: BTreeMap<String, Post>,
}

#[derive(Debug, Deserialize)]
struct Uploaded {
    file_infos: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

/// A post to make.
#[derive(Debug, Serialize)]
pub(crate) struct NewPost<'a> {
    pub(crate) channel_id: &'a str,
    /// The root of the thread it goes into, never a reply in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_id: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) props: Map<String, Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) file_ids: &'a [String],
}

/// The bot account of one server.
pub(crate) struct Bot {
    rest: Rest,
    me: OnceCell<Me>,
}

impl Bot {
    pub(crate) fn new(base: Base, client: reqwest::Client, token: SecretString) -> Self {
        Self {
            rest: Rest::new(base, client, token),
            me: OnceCell::new(),
        }
    }

    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// The bot's own account, asked for once.
    pub(crate) async fn me(&self) -> Result<&Me, Fault> {
        let ask = || self.rest.get(["users", "me"], LONGEST_ANSWER);
        self.me.get_or_try_init(ask).await
    }

    /// The bot's own account, asked for whether it is known or not; a token that is taken no more
    /// is a refusal with its status.
    pub(crate) async fn asks_who_it_is(&self) -> Result<Me, Fault> {
        let me: Me = self.rest.who(LONGEST_ANSWER).await?;
        // The first answer stays: an account's id never changes.
        let _ = self.me.set(me.clone());
        Ok(me)
    }

    /// The bot's own account where it is known already.
    pub(crate) fn known(&self) -> Option<&Me> {
        self.me.get()
    }

    pub(crate) async fn post(&self, post: &NewPost<'_>) -> Result<Post, Fault> {
        self.rest.post(["posts"], post, LONGEST_ANSWER).await
    }

    /// Replaces a post's text and all of its props.
    pub(crate) async fn edit(
        &self,
        post: &str,
        message: &str,
        props: &Map<String, Value>,
    ) -> Result<Post, Fault> {
        let patch = json!({ "message": message, "props": props });
        self.rest
            .put(["posts", post, "patch"], &patch, LONGEST_ANSWER)
            .await
    }

    /// One post; deleted ones are not found.
    pub(crate) async fn read(&self, post: &str) -> Result<Post, Fault> {
        self.rest.get(["posts", post], LONGEST_ANSWER).await
    }

    /// What was posted or changed in a channel since a time, in milliseconds since 1970.
    pub(crate) async fn since(&self, channel: &str, at: i64) -> Result<Vec<Post>, Fault> {
        let mut url = self.rest.at(["channels", channel, "posts"]);
        url.query_pairs_mut()
            .append_pair("since", &at.max(1).to_string())
            .append_pair("skipFetchThreads", "true");
        self.list(url).await
    }

    /// A thread, by its root.
    pub(crate) async fn thread(&self, root: &str) -> Result<Vec<Post>, Fault> {
        self.list(self.rest.at(["posts", root, "thread"])).await
    }

    async fn list(&self, url: Url) -> Result<Vec<Post>, Fault> {
        let list: PostList = self.rest.get_at(url, LONGEST_LIST).await?;
        Ok(list.posts.into_values().collect())
    }

    /// Uploads a file for a channel; its id goes into a post.
    pub(crate) async fn upload(
        &self,
        channel: &str,
        name: &str,
        content: &str,
    ) -> Result<String, Fault> {
        let mut url = self.rest.at(["files"]);
        url.query_pairs_mut()
            .append_pair("channel_id", channel)
            .append_pair("filename", name);
        let uploaded: Uploaded = self.rest.upload(url, content, LONGEST_ANSWER).await?;
        let first = uploaded.file_infos.into_iter().next();
        first.map(|file| file.id).ok_or_else(|| Fault::Later {
            why: "Mattermost took a file and gave no id for it".to_owned(),
            after: None,
        })
    }

    /// The channel in which only this person and the bot are.
    pub(crate) async fn direct(&self, user: &str) -> Result<String, Fault> {
        let me = self.me().await?;
        let both = [me.id.as_str(), user];
        let channel: Named = self
            .rest
            .post(["channels", "direct"], &both, LONGEST_ANSWER)
            .await?;
        Ok(channel.id)
    }

    /// Opens a dialog for whoever made the trigger.
    pub(crate) async fn open_dialog(&self, request: &Value) -> Result<(), Fault> {
        let _: Value = self
            .rest
            .post(["actions", "dialogs", "open"], request, LONGEST_ANSWER)
            .await?;
        Ok(())
    }
}

impl From<Fault> for DeliveryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Later { why, after } => Self::Later { why, after },
            Fault::Refused { .. } => Self::Never {
                why: fault.to_string(),
            },
        }
    }
}
