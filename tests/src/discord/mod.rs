//! A Discord with one server, one channel, an application and its bot: it takes what the real one
//! takes and refuses what the real one refuses. Paths, codes and limits are those of the
//! documentation of API version 10.

mod check;
mod gateway;
mod people;
mod plain;
mod registry;
mod rest;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use ed25519_dalek::SigningKey;
use http::StatusCode;
use rave_domain::time::between;
use rave_domain::{Clock, Timestamp};
use serde_json::Value;

use crate::clock::TestClock;

pub use webhook::Embed;

/// The application's id.
const APPLICATION: &str = "1001";

/// The bot's token.
const BOT_TOKEN: &str = "MTAwMQ.b0t";

/// The server.
const GUILD: &str = "2001";

/// The channel that everybody is in.
const CHANNEL: &str = "3001";

/// An interaction's token works for 15 minutes.
const TOKEN_LIVES: Duration = Duration::from_secs(15 * 60);

/// Within this time a message with a nonce that was there is the first one.
const NONCE_LIVES: Duration = Duration::from_secs(3 * 60);

/// Flag `EPHEMERAL`.
const EPHEMERAL: u64 = 1 << 6;

/// A message.
#[derive(Debug, Clone)]
struct Message {
    id: String,
    channel: String,
    /// Who alone sees it.
    only: Option<String>,
    content: String,
    embeds: Vec<Value>,
    components: Vec<Value>,
    flags: u64,
    nonce: Option<String>,
    files: Vec<(String, String)>,
    at: Timestamp,
    edits: usize,
    deleted: bool,
}

/// An interaction that somebody began.
#[derive(Debug, Clone)]
struct Interaction {
    id: String,
    user: String,
    channel: String,
    made: Timestamp,
    acknowledged: bool,
    /// The message that answered it.
    original: Option<String>,
    follow_ups: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    embeds: Vec<Embed>,
    /// Refusals for reasons that a client must not give: a test that causes one has found a bug.
    violations: Vec<String>,
    limited: Vec<f64>,
    gone: bool,
    /// Answers with this status while it is set.
    down: Option<StatusCode>,
    rave: Option<String>,
    messages: Vec<Message>,
    /// By token.
    interactions: BTreeMap<String, Interaction>,
    /// The modal that somebody sees, by account.
    modals: BTreeMap<String, Value>,
    /// Registered commands by server; everywhere under no name.
    commands: BTreeMap<String, Vec<Value>>,
    /// How often something was registered.
    registrations: usize,
    /// The bot was taken out of the channel.
    bot_is_out: bool,
    /// When messages were written and edited.
    written: Vec<Instant>,
    ids: u64,
    gateway: gateway::Connection,
}

async fn timed(State(fake): State<FakeDiscord>, request: Request, next: Next) -> Response {
    if request.uri().path().contains("/messages") {
        fake.inner().written.push(Instant::now());
    }
    next.run(request).await
}

/// The fake. Cheap to clone.
#[derive(Clone)]
pub struct FakeDiscord {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<TestClock>,
    base: String,
    client: reqwest::Client,
    key: SigningKey,
}

impl std::fmt::Debug for FakeDiscord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeDiscord({})", self.base)
    }
}

impl FakeDiscord {
    /// Starts it on loopback, in the runtime of the caller, with a clock of its own.
    pub async fn start() -> Self {
        Self::start_at(Arc::default()).await
    }

    /// Starts it with a test's clock.
    pub async fn start_at(clock: Arc<TestClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            inner: Arc::default(),
            clock,
            base: format!("http://{}", listener.local_addr().unwrap()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            key: SigningKey::from_bytes(&[42; 32]),
        };
        let routes = Router::new()
            .merge(webhook::routes())
            .merge(rest::routes())
            .merge(registry::routes())
            .merge(gateway::routes())
            .fallback(rest::unknown)
            .layer(from_fn_with_state(fake.clone(), timed))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    /// From now on every call is answered with this status.
    pub fn fails_with(&self, status: u16) {
        self.inner().down = Some(StatusCode::from_u16(status).unwrap());
    }

    /// It works again.
    pub fn is_back(&self) {
        self.inner().down = None;
    }

    /// What a client must not do and did.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    /// Somebody takes the bot out of the channel.
    pub fn bot_leaves(&self) {
        self.inner().bot_is_out = true;
    }

    /// What stands between the bot and somebody.
    #[must_use]
    pub fn direct_messages(&self, who: &str) -> Vec<String> {
        let channel = rest::direct_channel(&people::account(who));
        let inner = self.inner();
        let there = inner.messages.iter().filter(|it| it.channel == channel);
        there.map(|message| plain::plain(&message.text())).collect()
    }

    /// When messages were written and edited.
    #[must_use]
    pub fn written(&self) -> Vec<Instant> {
        self.inner().written.clone()
    }

    /// How often commands were registered.
    #[must_use]
    pub fn registrations(&self) -> usize {
        self.inner().registrations
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
}

impl Inner {
    fn id(&mut self) -> String {
        self.ids += 1;
        (900_000 + self.ids).to_string()
    }

    fn message(&mut self, id: &str) -> Option<&mut Message> {
        self.messages
            .iter_mut()
            .find(|message| message.id == id && !message.deleted)
    }

    /// Adds a message that has been checked.
    fn add(&mut self, channel: &str, only: Option<String>, body: &Value, at: Timestamp) -> Message {
        let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
        let message = Message {
            id: self.id(),
            channel: channel.to_owned(),
            only,
            content: body["content"].as_str().unwrap_or_default().to_owned(),
            embeds: list("embeds"),
            components: list("components"),
            flags: body["flags"].as_u64().unwrap_or_default(),
            nonce: body["nonce"].as_str().map(str::to_owned),
            files: Vec::new(),
            at,
            edits: 0,
            deleted: false,
        };
        self.messages.push(message.clone());
        message
    }

    /// The message that was there with a nonce a moment ago.
    fn same_nonce(&self, nonce: &str, now: Timestamp) -> Option<Message> {
        let same = |message: &&Message| {
            message.nonce.as_deref() == Some(nonce) && between(message.at, now) < NONCE_LIVES
        };
        self.messages.iter().find(same).cloned()
    }

    /// The interaction of a token that still works.
    fn interaction(&mut self, token: &str, now: Timestamp) -> Option<&mut Interaction> {
        self.interactions
            .get_mut(token)
            .filter(|interaction| between(interaction.made, now) < TOKEN_LIVES)
    }
}

impl Message {
    /// Takes over what an edit says.
    fn change(&mut self, body: &Value) {
        if let Some(content) = body["content"].as_str() {
            content.clone_into(&mut self.content);
        }
        if let Some(embeds) = body["embeds"].as_array() {
            self.embeds.clone_from(embeds);
        }
        if let Some(components) = body["components"].as_array() {
            self.components.clone_from(components);
        }
        if let Some(flags) = body["flags"].as_u64() {
            self.flags = (self.flags & EPHEMERAL) | (flags & !EPHEMERAL);
        }
        self.edits += 1;
    }

    fn json(&self) -> Value {
        serde_json::json!({
            "id": self.id, "channel_id": self.channel, "type": 0, "content": self.content,
            "embeds": self.embeds, "components": self.components, "flags": self.flags,
            "author": {"id": APPLICATION, "bot": true}, "attachments": [], "pinned": false,
            "nonce": self.nonce,
        })
    }

    /// Everything that is written in it.
    fn text(&self) -> String {
        let embeds = self.embeds.iter();
        let embeds = embeds.map(|embed| embed["description"].as_str().unwrap_or_default());
        let parts = std::iter::once(self.content.as_str()).chain(embeds);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        parts.join("\n")
    }

    fn buttons(&self) -> impl Iterator<Item = &Value> {
        let rows = self.components.iter();
        rows.flat_map(|row| row["components"].as_array().into_iter().flatten())
    }
}
