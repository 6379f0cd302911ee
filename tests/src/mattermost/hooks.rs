//! `response_url`: answers to commands without a bot.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rave_domain::Timestamp;
use rave_domain::time::between;
use serde_json::Value;

use super::{FakeMattermost, Inner};
use crate::payloads::payload;

/// A `response_url` works for 30 minutes.
const LIVES: Duration = Duration::from_secs(30 * 60);

/// A `response_url` takes five messages.
const USES: u32 = 5;

/// Posts hold this many characters.
pub(super) const LONGEST_POST: usize = 16_383;

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
pub(super) struct Hook {
    person: String,
    made: Timestamp,
    uses: u32,
}

impl FakeMattermost {
    /// A fresh `response_url` for a command of somebody.
    #[must_use]
    pub fn response_url(&self, person: &str) -> String {
        let mut inner = self.inner();
        let id = format!("hook{:04}", inner.hooks.len() + 1);
        inner.hooks.insert(
            id.clone(),
            Hook {
                person: person.to_owned(),
                made: self.now(),
                uses: 0,
            },
        );
        format!("{}/hooks/commands/{id}", self.base)
    }

    /// From now on every post is answered with this status.
    pub fn fails_with(&self, status: u16) {
        self.inner().down = Some(StatusCode::from_u16(status).unwrap());
    }

    /// It works again.
    pub fn is_back(&self) {
        self.inner().down = None;
    }

    /// Statuses of refused posts so far.
    #[must_use]
    pub fn refused(&self) -> Vec<u16> {
        self.inner().refused.clone()
    }

    /// The oldest message that nobody has heard yet.
    #[must_use]
    pub fn next(&self) -> Option<Message> {
        let mut inner = self.inner();
        let message = inner.messages.get(inner.heard).cloned()?;
        inner.heard += 1;
        Some(message)
    }

    /// The oldest unheard message that holds a text.
    #[must_use]
    pub fn next_with(&self, text: &str) -> Option<Message> {
        let mut inner = self.inner();
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
        let inner = self.inner();
        inner.messages[inner.heard..].to_vec()
    }

    /// Every message so far.
    #[must_use]
    pub fn all(&self) -> Vec<Message> {
        self.inner().messages.clone()
    }

    fn take(&self, id: &str, headers: &HeaderMap, body: &Bytes) -> (StatusCode, &'static str) {
        let mut inner = self.inner();
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
        let now = self.now();
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
        payload(&format!("mattermost POST /hooks/commands/{id}"), &post);
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

pub(super) async fn command_hook(
    State(fake): State<FakeMattermost>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.take(&id, &headers, &body).into_response()
}
