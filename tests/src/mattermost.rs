//! A Mattermost that plays `response_url`: it takes what the real one takes and refuses what the
//! real one refuses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rave_domain::time::between;
use rave_domain::{Clock, Timestamp};
use serde_json::Value;

use crate::clock::TestClock;

/// A `response_url` works for 30 minutes.
const LIVES: Duration = Duration::from_secs(30 * 60);

/// A `response_url` takes five messages.
const USES: u32 = 5;

/// Posts hold this many characters.
const LONGEST_POST: usize = 16_383;

/// One post that arrived through a `response_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose command it answers.
    pub person: String,
    /// `ephemeral` or `in_channel`.
    pub response_type: String,
    /// Its Markdown.
    pub text: String,
}

#[derive(Debug)]
struct Hook {
    person: String,
    made: Timestamp,
    uses: u32,
}

#[derive(Debug, Default)]
struct Inner {
    hooks: BTreeMap<String, Hook>,
    messages: Vec<Message>,
    heard: usize,
    /// What was refused, with the status.
    refused: Vec<u16>,
    /// Answers with this status while it is set.
    down: Option<StatusCode>,
}

/// The fake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FakeMattermost {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<TestClock>,
    base: String,
}

impl FakeMattermost {
    /// Starts it on loopback, in the runtime of the caller.
    pub async fn start(clock: Arc<TestClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            inner: Arc::default(),
            clock,
            base: format!("http://{}", listener.local_addr().unwrap()),
        };
        let routes = Router::new()
            .route("/hooks/commands/{id}", post(command_hook))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    /// Its `SiteURL`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A fresh `response_url` for a command of somebody.
    #[must_use]
    pub fn response_url(&self, person: &str) -> String {
        let mut inner = self.inner.lock().unwrap();
        let id = format!("hook{:04}", inner.hooks.len() + 1);
        inner.hooks.insert(
            id.clone(),
            Hook {
                person: person.to_owned(),
                made: self.clock.now(),
                uses: 0,
            },
        );
        format!("{}/hooks/commands/{id}", self.base)
    }

    /// From now on every post is answered with this status.
    pub fn fails_with(&self, status: u16) {
        self.inner.lock().unwrap().down = Some(StatusCode::from_u16(status).unwrap());
    }

    /// It works again.
    pub fn is_back(&self) {
        self.inner.lock().unwrap().down = None;
    }

    /// Statuses of refused posts so far.
    #[must_use]
    pub fn refused(&self) -> Vec<u16> {
        self.inner.lock().unwrap().refused.clone()
    }

    /// The oldest message that nobody has heard yet.
    #[must_use]
    pub fn next(&self) -> Option<Message> {
        let mut inner = self.inner.lock().unwrap();
        let message = inner.messages.get(inner.heard).cloned()?;
        inner.heard += 1;
        Some(message)
    }

    /// The oldest unheard message that holds a text.
    #[must_use]
    pub fn next_with(&self, text: &str) -> Option<Message> {
        let mut inner = self.inner.lock().unwrap();
        let from = inner.heard;
        let at = from
            + inner.messages[from..]
                .iter()
                .position(|message| message.text.contains(text))?;
        let message = inner.messages.remove(at);
        inner.messages.insert(from, message.clone());
        inner.heard += 1;
        Some(message)
    }

    /// Messages that nobody has heard.
    #[must_use]
    pub fn unheard(&self) -> Vec<Message> {
        let inner = self.inner.lock().unwrap();
        inner.messages[inner.heard..].to_vec()
    }

    /// Every message so far.
    #[must_use]
    pub fn all(&self) -> Vec<Message> {
        self.inner.lock().unwrap().messages.clone()
    }

    fn take(&self, id: &str, headers: &HeaderMap, body: &Bytes) -> (StatusCode, &'static str) {
        let mut inner = self.inner.lock().unwrap();
        let answer = self.judge(&mut inner, id, headers, body);
        if answer.0 != StatusCode::OK {
            inner.refused.push(answer.0.as_u16());
        }
        answer
    }

    fn judge(
        &self,
        inner: &mut Inner,
        id: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> (StatusCode, &'static str) {
        if let Some(status) = inner.down {
            return (status, "down");
        }
        let now = self.clock.now();
        let Some(hook) = inner.hooks.get_mut(id) else {
            return (StatusCode::NOT_FOUND, "no such hook");
        };
        if between(hook.made, now) >= LIVES {
            return (StatusCode::NOT_FOUND, "expired");
        }
        if hook.uses >= USES {
            return (StatusCode::BAD_REQUEST, "used up");
        }
        // A use is consumed before the post is attempted.
        hook.uses += 1;
        let person = hook.person.clone();
        let is_json = headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/json"));
        let literal = || Value::String(String::from_utf8_lossy(body).into_owned());
        let post = if is_json {
            match serde_json::from_slice::<Value>(body) {
                Ok(post) => post,
                Err(_) => return (StatusCode::BAD_REQUEST, "not JSON"),
            }
        } else {
            serde_json::json!({"text": literal()})
        };
        let text = post["text"].as_str().unwrap_or_default().to_owned();
        if text.chars().count() > LONGEST_POST {
            return (StatusCode::BAD_REQUEST, "too long");
        }
        inner.messages.push(Message {
            person,
            response_type: post["response_type"]
                .as_str()
                .unwrap_or("ephemeral")
                .to_owned(),
            text,
        });
        (StatusCode::OK, "ok")
    }
}

async fn command_hook(
    State(fake): State<FakeMattermost>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.take(&id, &headers, &body).into_response()
}
