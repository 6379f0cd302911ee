//! A Mattermost with one team, one channel and a bot: it takes what the real one takes and refuses
//! what the real one refuses. Paths and answers are those of `server/channels/api4`.

mod admin;
mod dialogs;
mod hooks;
mod people;
mod plain;
mod port;
mod posts;
mod rest;
mod socket;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::routing::{get, post, put};
use http::StatusCode;
use rave_domain::{Clock, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::clock::TestClock;

pub use hooks::Message;

/// The bot's user id.
pub(crate) const BOT: &str = "b-rave";

/// The bot's token.
pub(crate) const BOT_TOKEN: &str = "bot-token";

/// The channel that everybody is in.
pub(crate) const CHANNEL: &str = "c1";

/// What the configuration calls Rave; the fake knows where it listens.
const RAVE: &str = "http://rave.test";

/// A post.
#[derive(Debug, Clone)]
struct Post {
    id: String,
    user: String,
    channel: String,
    root: String,
    message: String,
    props: Map<String, Value>,
    files: Vec<String>,
    at: Timestamp,
    updated: Timestamp,
    deleted: bool,
    edits: usize,
}

/// An uploaded file.
#[derive(Debug, Clone)]
struct File {
    name: String,
    content: String,
    channel: String,
    user: String,
    /// The post that shows it.
    post: Option<String>,
}

/// A click or command that may open a dialog.
#[derive(Debug, Clone)]
struct Trigger {
    person: String,
    at: Timestamp,
}

/// A dialog that somebody sees.
#[derive(Debug, Clone)]
struct Dialog {
    url: String,
    dialog: Value,
}

#[derive(Debug, Default)]
struct Inner {
    hooks: BTreeMap<String, hooks::Hook>,
    messages: Vec<Message>,
    heard: usize,
    /// What was refused through `response_url`, with the status.
    refused: Vec<u16>,
    /// Answers with this status while it is set.
    down: Option<StatusCode>,
    rave: Option<String>,
    posts: Vec<Post>,
    files: BTreeMap<String, File>,
    /// Members of channels other than the one that everybody is in.
    members: BTreeMap<String, Vec<String>>,
    /// The bot was taken out of the channel.
    bot_is_out: bool,
    triggers: BTreeMap<String, Trigger>,
    /// The dialog that somebody sees, by person.
    dialogs: BTreeMap<String, Dialog>,
    violations: Vec<String>,
    /// Connections by name, broken ones too.
    courses: BTreeMap<String, socket::Course>,
    ids: u64,
    admin: admin::Server,
}

/// The fake. Cheap to clone.
#[derive(Clone)]
pub struct FakeMattermost {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<TestClock>,
    base: String,
    client: reqwest::Client,
    breaks: broadcast::Sender<socket::Broken>,
}

impl std::fmt::Debug for FakeMattermost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeMattermost({})", self.base)
    }
}

impl FakeMattermost {
    /// Starts it on loopback, in the runtime of the caller.
    pub async fn start(clock: Arc<TestClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            inner: Arc::default(),
            clock,
            base: format!("http://{}", listener.local_addr().unwrap()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            breaks: broadcast::channel(16).0,
        };
        let routes = Router::new()
            .route("/hooks/commands/{id}", post(hooks::command_hook))
            .route("/api/v4/users/me", get(posts::me))
            .route("/api/v4/posts", post(posts::create))
            .route("/api/v4/posts/{id}", get(posts::read))
            .route("/api/v4/posts/{id}/patch", put(posts::patch))
            .route("/api/v4/posts/{id}/thread", get(posts::thread))
            .route("/api/v4/channels/direct", post(posts::direct))
            .route("/api/v4/channels/{id}/posts", get(posts::since))
            .route("/api/v4/files", post(posts::upload))
            .route("/api/v4/actions/dialogs/open", post(dialogs::open))
            .merge(admin::routes())
            .fallback(rest::unknown)
            .with_state(fake.clone());
        let port = port::Port::new(listener, fake.clone());
        tokio::spawn(async move { axum::serve(port, routes).await });
        fake
    }

    /// Its `SiteURL`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where an address leads: Rave's name is known here only.
    fn reach(&self, url: &str) -> String {
        let rave = self.inner().rave.clone();
        match (url.strip_prefix(RAVE), rave) {
            (Some(path), Some(base)) => format!("{base}{path}"),
            _ => url.to_owned(),
        }
    }

    fn violation(&self, what: impl Into<String>) {
        self.inner().violations.push(what.into());
    }

    /// Somebody takes the bot out of the channel.
    pub fn bot_leaves(&self) {
        self.inner().bot_is_out = true;
    }

    /// Somebody invites the bot again.
    pub fn bot_joins(&self) {
        self.inner().bot_is_out = false;
    }

    /// Breaks every connection that is kept.
    pub fn drops_connections(&self) {
        // Nobody may be connected.
        let _ = self.breaks.send(socket::Broken);
    }

    /// Forgets broken connections, as it does after some minutes or a restart.
    pub fn forgets_connections(&self) {
        self.inner().courses.clear();
    }

    /// How many connections are kept now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.breaks.receiver_count()
    }
}

impl Inner {
    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{:04}", self.ids)
    }

    fn is_member(&self, user: &str, channel: &str) -> bool {
        if channel == CHANNEL {
            return user != BOT || !self.bot_is_out;
        }
        self.members
            .get(channel)
            .is_some_and(|members| members.iter().any(|member| member == user))
    }
}
