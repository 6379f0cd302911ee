//! What people do and see.

use async_trait::async_trait;
use rave_domain::Surface;
use serde_json::{Value, json};

use super::plain::plain;
use super::{BOT, BOT_TOKEN, CHANNEL, FakeMattermost, Post, RAVE};
use crate::bot::slash_command;
use crate::chat::{FakeChat, Seen};
use crate::config::Configuration;
use crate::payloads::payload;
use crate::wait::wait_for;

impl FakeMattermost {
    /// Asks Rave for something as Mattermost's server does; its answer, or what people see instead.
    async fn ask(&self, url: &str, request: reqwest::RequestBuilder) -> Result<Value, Seen> {
        let failed = |why: String| Seen::Failure(why);
        let response = request
            .header("accept", "application/json")
            .header("user-agent", "Mattermost-Bot/1.1")
            .send()
            .await
            .map_err(|error| failed(format!("{url} cannot be reached: {error}")))?;
        let status = response.status().as_u16();
        // Anything else is a failure of the integration's.
        if status != 200 {
            return Err(failed(format!("{url} answered {status}")));
        }
        let kind = response.headers().get("content-type").cloned();
        let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let text = response.text().await.unwrap();
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if is_json => {
                let to = url.rsplit('/').next().unwrap_or_default();
                let wrong = answer.get("error").is_some() || answer.get("errors").is_some();
                let outcome = if wrong { " with errors" } else { "" };
                payload(&format!("mattermost answer {to}{outcome}"), &answer);
                Ok(answer)
            }
            _ => Err(failed(format!("{url} did not answer with JSON: {text}"))),
        }
    }

    /// A line typed behind the slash, in the channel or in a thread.
    pub async fn types_at(&self, who: &str, root: &str, line: &str) -> Seen {
        let trigger = self.trigger(who);
        let response_url = self.response_url(who);
        let mut form = slash_command(who, line, &trigger, &response_url);
        for (key, value) in &mut form {
            if key == "root_id" {
                root.clone_into(value);
            }
        }
        let url = self.reach(&format!("{RAVE}/chat/mattermost/command"));
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form)
            .finish();
        let request = self
            .client
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", "Token slash-token")
            .body(body);
        let answer = match self.ask(&url, request).await {
            Ok(answer) => answer,
            Err(seen) => return seen,
        };
        if let Some(form) = self.dialog_of(who) {
            return form;
        }
        let text = answer["text"].as_str().unwrap_or_default();
        if answer["skip_slack_parsing"] != true && !text.is_empty() {
            self.violation("an answer that Mattermost would rewrite");
        }
        if text.is_empty() {
            return Seen::Nothing;
        }
        if answer["response_type"] == "in_channel" {
            let now = self.now();
            let mut inner = self.inner();
            let id = inner.id("p");
            // It is a post of whoever asked.
            let props = [("from_webhook".to_owned(), json!("true"))];
            let (user, props) = (format!("u-{who}"), props.into_iter().collect());
            inner.add(id, &user, CHANNEL, root, text, props, Vec::new(), now);
            return Seen::Everybody(plain(text));
        }
        Seen::Alone(plain(text))
    }

    /// What stands in a run's message now, and where.
    fn live(&self, run: &str) -> Option<Post> {
        let posts = self.about(run);
        posts.into_iter().rev().find(|post| !post.deleted)
    }

    /// The request that a click makes: where it goes and what it says.
    #[must_use]
    pub fn click(&self, who: &str, run: &str, label: &str) -> Option<(String, Value)> {
        let post = self.live(run)?;
        let action = actions(&post).find(|action| action["name"] == label)?;
        let integration = &action["integration"];
        let body = json!({
            "user_id": format!("u-{who}"), "user_name": who, "channel_id": post.channel,
            "channel_name": "ops", "team_id": "t1", "team_domain": "acme", "post_id": post.id,
            "trigger_id": self.trigger(who), "type": "button", "data_source": "",
            "context": integration["context"],
        });
        let url = integration["url"].as_str().unwrap_or_default();
        Some((self.reach(url), body))
    }

    /// Somebody writes a line in a channel of theirs with the bot; the bot's answer there.
    pub async fn writes_alone(&self, who: &str, line: &str) -> String {
        let channel = format!("d-{who}");
        let user = format!("u-{who}");
        let post = {
            let now = self.now();
            let mut inner = self.inner();
            let members = vec![user.clone(), BOT.to_owned()];
            inner.members.insert(channel.clone(), members);
            let id = inner.id("p");
            inner.add(
                id,
                &user,
                &channel,
                "",
                line,
                serde_json::Map::new(),
                Vec::new(),
                now,
            )
        };
        self.tells(&post);
        self.answer_in(&post.id).await
    }

    /// What the bot has written where only somebody and it are.
    #[must_use]
    pub fn direct_messages(&self, who: &str) -> Vec<String> {
        let channel = format!("d-{BOT}-u-{who}");
        let inner = self.inner();
        let there = inner.posts.iter().filter(|post| post.channel == channel);
        there.map(|post| plain(&post.message)).collect()
    }

    /// The bot's first answer under a post.
    async fn answer_in(&self, root: &str) -> String {
        wait_for("an answer in the thread", || async {
            let inner = self.inner();
            let answer = inner.posts.iter().find(|post| {
                post.user == BOT && post.root == root && post.mark("rave_run").is_none()
            });
            answer
                .map(|post| plain(&post.message))
                .ok_or_else(|| format!("{:#?}", inner.posts))
        })
        .await
    }
}

fn actions(post: &Post) -> impl Iterator<Item = &Value> {
    let attachments = post.props.get("attachments").and_then(Value::as_array);
    let attachments = attachments.into_iter().flatten();
    attachments.flat_map(|attachment| attachment["actions"].as_array().into_iter().flatten())
}

#[async_trait]
impl FakeChat for FakeMattermost {
    fn surface(&self) -> Surface {
        Surface::Mattermost
    }

    fn account(&self, who: &str) -> String {
        format!("u-{who}")
    }

    fn configure(&self, config: &mut Configuration) {
        config.set("mattermost.url", self.base());
        config.set("mattermost.slash_token", "slash-token");
        config.set("mattermost.bot_token", BOT_TOKEN);
        config.set("mattermost.callback_url", RAVE);
    }

    fn rave_is_at(&self, base: &str) {
        self.inner().rave = Some(base.to_owned());
    }

    async fn types(&self, who: &str, line: &str) -> Seen {
        self.types_at(who, "", line).await
    }

    async fn types_in_thread(&self, who: &str, run: &str, line: &str) -> Seen {
        let live = self.live(run);
        let live = live.unwrap_or_else(|| panic!("no message about {run}"));
        let root = if live.root.is_empty() {
            live.id
        } else {
            live.root
        };
        let before = self.inner().posts.len();
        self.says(who, &root, &format!("@rave {line}"));
        let answer = wait_for("an answer in the thread", || async {
            let inner = self.inner();
            let answer = inner.posts[before..].iter().find(|post| {
                post.user == BOT && post.root == root && post.mark("rave_run").is_none()
            });
            answer
                .map(|post| plain(&post.message))
                .ok_or_else(|| format!("{:#?}", &inner.posts[before..]))
        });
        Seen::Everybody(answer.await)
    }

    async fn presses(&self, who: &str, run: &str, label: &str) -> Seen {
        let Some((url, body)) = self.click(who, run, label) else {
            return Seen::Failure(format!("no button {label} under {run}"));
        };
        let request = self
            .client
            .post(&url)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = match self.ask(&url, request).await {
            Ok(answer) => answer,
            Err(seen) => return seen,
        };
        if let Some(form) = self.dialog_of(who) {
            return form;
        }
        match answer["ephemeral_text"].as_str() {
            Some(text) if !text.is_empty() => Seen::Alone(plain(text)),
            Some(_) | None => Seen::Nothing,
        }
    }

    async fn sends(&self, who: &str, values: &[(&str, &str)]) -> Seen {
        let (url, body) = self.filled_in(who, values);
        let url = self.reach(&url);
        let request = self
            .client
            .post(&url)
            .header("content-type", "application/json")
            .body(body.to_string());
        match self.ask(&url, request).await {
            Ok(answer) => self.dialog_answered(who, &answer),
            Err(seen) => seen,
        }
    }

    fn message_of(&self, run: &str) -> Option<String> {
        let post = self.live(run)?;
        let mut text = plain(&post.message);
        for action in actions(&post) {
            text.push_str(&format!(
                " [{}]",
                action["name"].as_str().unwrap_or_default()
            ));
        }
        Some(text)
    }

    fn messages_of(&self, run: &str) -> usize {
        self.about(run).iter().filter(|post| !post.deleted).count()
    }

    fn edits_of(&self, run: &str) -> usize {
        self.about(run).iter().map(|post| post.edits).sum()
    }

    fn files(&self) -> Vec<(String, String)> {
        let inner = self.inner();
        let shown = inner.files.values().filter(|file| file.post.is_some());
        shown
            .map(|file| (file.name.clone(), file.content.clone()))
            .collect()
    }

    fn deletes_message_of(&self, run: &str) {
        let live = self.live(run);
        let live = live.unwrap_or_else(|| panic!("no message about {run}"));
        let now = self.now();
        let mut inner = self.inner();
        // With a root its whole thread goes.
        for post in &mut inner.posts {
            if post.id == live.id || post.root == live.id {
                post.deleted = true;
                post.updated = now;
                post.props.remove("attachments");
            }
        }
    }

    fn goes_down(&self, status: u16) {
        self.fails_with(status);
    }

    fn is_back(&self) {
        Self::is_back(self);
    }

    fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }
}
