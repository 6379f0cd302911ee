//! A Slack with one workspace, one channel and Rave's app: it takes what the real one takes and
//! refuses what the real one refuses, by Slack's documentation.

mod blocks;
mod files;
mod people;
mod port;
mod socket;
mod web;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use rave_domain::{Clock, Timestamp};
use serde_json::Value;

use crate::clock::TestClock;

/// The workspace.
const TEAM: &str = "T01";

/// The channel that everybody is in.
const CHANNEL: &str = "C01";

/// Rave's user.
const BOT: &str = "UBOT";

/// What Slack signs with.
pub const SIGNING_SECRET: &str = "0123456789abcdef0123456789abcdef";
const BOT_TOKEN: &str = "xoxb-fake";

/// The token that opens connections.
const APP_TOKEN: &str = "xapp-fake";

/// A message in the channel, or one that only somebody sees.
#[derive(Debug, Clone)]
struct Message {
    ts: String,
    channel: String,
    thread: Option<String>,
    /// The author: the bot by its token, the app through a `response_url`, or a person.
    by: By,
    /// Who alone sees it.
    only: Option<String>,
    text: String,
    blocks: Value,
    metadata: Value,
    deleted: bool,
    edits: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Bot,
    ResponseUrl,
    Person(String),
}

impl Message {
    /// The run whose live message it is.
    fn run(&self) -> Option<&str> {
        (self.metadata["event_type"] == "rave_run")
            .then(|| self.metadata["event_payload"]["id"].as_str())
            .flatten()
    }

    fn is_live_of(&self, run: &str) -> bool {
        self.run() == Some(run) && !self.deleted
    }
}

/// A `response_url`.
#[derive(Debug, Clone)]
struct Hook {
    user: String,
    channel: String,
    made: Timestamp,
    uses: u32,
}

/// What opens a modal once.
#[derive(Debug, Clone)]
struct Trigger {
    user: String,
    made: Timestamp,
    used: bool,
}

/// A file on its way.
#[derive(Debug, Clone, Default)]
struct File {
    name: String,
    length: usize,
    content: Option<String>,
    /// The thread it was put into.
    placed: Option<String>,
}

/// What was said beside answers and live messages, in its order.
#[derive(Debug, Clone)]
struct Said {
    /// Who alone sees it.
    only: Option<String>,
    text: String,
}

#[derive(Debug, Default)]
struct Inner {
    rave: Option<String>,
    messages: Vec<Message>,
    hooks: BTreeMap<String, Hook>,
    triggers: BTreeMap<String, Trigger>,
    /// The modal that somebody sees.
    views: BTreeMap<String, Value>,
    files: BTreeMap<String, File>,
    said: Vec<Said>,
    /// Connections that Rave keeps, oldest first.
    links: Vec<socket::Link>,
    bot_is_out: bool,
    down: Option<StatusCode>,
    violations: Vec<String>,
    ids: u64,
}

/// The fake. Cheap to clone.
#[derive(Clone)]
pub struct FakeSlack {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<TestClock>,
    base: String,
    /// Where connections are taken.
    socket: String,
    client: reqwest::Client,
}

impl std::fmt::Debug for FakeSlack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeSlack({})", self.base)
    }
}

impl FakeSlack {
    /// Starts it on loopback, in the runtime of the caller.
    pub async fn start(clock: Arc<TestClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let links = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            inner: Arc::default(),
            clock,
            base: format!("http://{}", listener.local_addr().unwrap()),
            socket: format!("ws://{}/link", links.local_addr().unwrap()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let routes = Router::new()
            .route("/api/{method}", post(web::method))
            .route("/hook/{id}", post(web::response_url))
            .route("/upload/{id}", post(files::upload))
            .with_state(fake.clone());
        tokio::spawn(socket::listen(fake.clone(), links));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn violation(&self, what: impl Into<String>) {
        self.inner().violations.push(what.into());
    }

    /// Somebody removes the bot from the channel.
    pub fn bot_leaves(&self) {
        self.inner().bot_is_out = true;
    }

    /// Somebody invites the bot.
    pub fn bot_joins(&self) {
        self.inner().bot_is_out = false;
    }

    /// What everybody in the channel and its threads reads, oldest first.
    #[must_use]
    pub fn channel(&self) -> Vec<String> {
        let inner = self.inner();
        let all = inner.messages.iter();
        all.filter(|message| !message.deleted && message.only.is_none())
            .map(|message| blocks::plain(&message.blocks, &message.text))
            .collect()
    }
}

impl Inner {
    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{:04}", self.ids)
    }

    /// A message's id: Slack's time, unique in a channel.
    fn ts(&mut self, now: Timestamp) -> String {
        self.ids += 1;
        format!("{}.{:06}", now.as_second(), self.ids)
    }

    fn find(&self, ts: &str) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.ts == ts && !message.deleted)
    }

    fn say(&mut self, only: Option<&str>, blocks: &Value, text: &str) {
        self.said.push(Said {
            only: only.map(str::to_owned),
            text: blocks::plain(blocks, text),
        });
    }
}
