//! The demo's Mattermost: it sends slash commands as Mattermost does and takes later answers at
//! their `response_url`, refusing what Mattermost refuses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::random_hex;

/// A `response_url` takes five messages (`TryUse(id, 5)`).
const USES: u32 = 5;

/// And works for 30 minutes.
const LIVES: Duration = Duration::from_mins(30);

/// Mattermost waits this long for an answer (`OutgoingIntegrationRequestsTimeout`).
const PATIENCE: Duration = Duration::from_secs(30);

/// The hook of commands that a reader of the demo posts by hand: one for all, without end.
const BY_HAND: &str = "by-hand";

/// A message that came to a `response_url`.
#[derive(Debug, Clone)]
pub(super) struct Post {
    /// Who had typed the command.
    pub(super) asker: String,
    /// What Rave says.
    pub(super) answer: Answer,
}

/// `model.CommandResponse`, as far as Rave uses it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Answer {
    pub(super) text: String,
    #[serde(default)]
    response_type: String,
}

impl Answer {
    /// Whether only the person who asked sees it.
    pub(super) fn is_private(&self) -> bool {
        self.response_type != "in_channel"
    }
}

/// A server with one team, one channel and one slash command.
pub(super) struct Mattermost {
    /// Its `SiteURL`.
    pub(super) url: String,
    /// The slash command's token.
    pub(super) token: String,
    client: reqwest::Client,
    hooks: Arc<Hooks>,
}

#[derive(Default)]
struct Hooks {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<String, Hook>,
    posts: std::collections::VecDeque<Post>,
    refused: Vec<String>,
}

struct Hook {
    asker: String,
    opened: Instant,
    uses: u32,
}

impl Hooks {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mattermost {
    /// Starts it on a free loopback port.
    pub(super) async fn start(client: reqwest::Client) -> Result<Self, String> {
        let problem = |error: std::io::Error| format!("the demo's Mattermost: {error}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(problem)?;
        let url = format!("http://{}", listener.local_addr().map_err(problem)?);
        let hooks = Arc::new(Hooks::default());
        let router = Router::new()
            .route("/hooks/commands/{id}", post(deliver))
            .with_state(Arc::clone(&hooks));
        // Ends with the process.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            url,
            token: random_hex(13)?,
            client,
            hooks,
        })
    }

    /// Sends a slash command to Rave as Mattermost would, and gives the answer that it would show.
    pub(super) async fn type_command(
        &self,
        rave: &str,
        person: &str,
        text: &str,
    ) -> Result<Answer, String> {
        let hook = random_hex(13)?;
        let response_url = format!("{}/hooks/commands/{hook}", self.url);
        let opened = Hook {
            asker: person.to_owned(),
            opened: Instant::now(),
            uses: 0,
        };
        self.hooks.lock().open.insert(hook, opened);
        let user = format!("u-{person}");
        let trigger = random_hex(16)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("channel_id", "c-ops"),
                ("channel_name", "ops"),
                ("command", "/rave"),
                ("response_url", response_url.as_str()),
                ("root_id", ""),
                ("team_domain", "demo"),
                ("team_id", "t-demo"),
                ("text", text),
                ("token", self.token.as_str()),
                ("trigger_id", trigger.as_str()),
                ("user_id", user.as_str()),
                ("user_name", person),
            ])
            .finish();
        let response = self
            .client
            .post(format!("{rave}/chat/mattermost/command"))
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Token {}", self.token))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(USER_AGENT, "Mattermost-Bot/1.1")
            .timeout(PATIENCE)
            .body(form)
            .send()
            .await
            .map_err(|error| format!("`/rave {text}` got no answer: {error}"))?;
        shown(text, response).await
    }

    /// The next message for a `response_url`, if one has come.
    pub(super) fn take_post(&self) -> Option<Post> {
        self.hooks.lock().posts.pop_front()
    }

    /// Ends when a message has come that was not taken yet.
    pub(super) async fn arrival(&self) {
        loop {
            let arrived = self.hooks.arrived.notified();
            if !self.hooks.lock().posts.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// What Rave posted and Mattermost would not have taken.
    pub(super) fn refused(&self) -> Vec<String> {
        self.hooks.lock().refused.clone()
    }

    /// A `response_url` for commands that the reader posts.
    pub(super) fn url_for_commands_by_hand(&self) -> String {
        let hook = Hook {
            asker: "you".to_owned(),
            opened: Instant::now(),
            uses: 0,
        };
        self.hooks.lock().open.insert(BY_HAND.to_owned(), hook);
        format!("{}/hooks/commands/{BY_HAND}", self.url)
    }
}

/// Mattermost shows an answer only if the status is exactly 200, and only JSON as what it means.
async fn shown(text: &str, response: reqwest::Response) -> Result<Answer, String> {
    let status = response.status();
    let is_json = is_json(response.headers());
    let body = response
        .text()
        .await
        .map_err(|error| format!("the answer to `/rave {text}` broke off: {error}"))?;
    if status != StatusCode::OK {
        return Err(format!(
            "Mattermost would show an error for `/rave {text}`: status {status}, {body}"
        ));
    }
    if !is_json {
        return Err(format!("the answer to `/rave {text}` is not JSON: {body}"));
    }
    serde_json::from_str(&body)
        .map_err(|error| format!("the answer to `/rave {text}` is not a message: {error}: {body}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// `POST /hooks/commands/{id}`. A use is gone before the post is attempted.
async fn deliver(
    State(hooks): State<Arc<Hooks>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let mut inner = hooks.lock();
    let verdict = inner.take(&id, &headers, &body);
    if let (StatusCode::OK, _) = verdict {
        drop(inner);
        hooks.arrived.notify_one();
    } else {
        inner.refused.push(format!("{}: {body}", verdict.1));
    }
    verdict
}

impl Inner {
    fn take(&mut self, id: &str, headers: &HeaderMap, body: &str) -> (StatusCode, &'static str) {
        let hook = self
            .open
            .get_mut(id)
            .filter(|hook| id == BY_HAND || hook.opened.elapsed() < LIVES);
        let Some(hook) = hook else {
            return (StatusCode::NOT_FOUND, "there is no such response_url");
        };
        if hook.uses >= USES && id != BY_HAND {
            return (StatusCode::BAD_REQUEST, "its five uses are over");
        }
        hook.uses += 1;
        if !is_json(headers) {
            // Mattermost posts such a body as it stands, braces and all.
            return (StatusCode::BAD_REQUEST, "the content type is not JSON");
        }
        let Ok(answer) = serde_json::from_str(body) else {
            return (StatusCode::BAD_REQUEST, "the body is not a message");
        };
        let asker = hook.asker.clone();
        self.posts.push_back(Post { asker, answer });
        (StatusCode::OK, "ok")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner() -> Inner {
        let hook = Hook {
            asker: "ann".to_owned(),
            opened: Instant::now(),
            uses: 0,
        };
        Inner {
            open: BTreeMap::from([("h1".to_owned(), hook)]),
            ..Inner::default()
        }
    }

    fn json() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        headers
    }

    #[test]
    fn a_response_url_takes_five_messages() {
        let mut inner = inner();
        let body = r#"{"text":"done","response_type":"in_channel"}"#;
        for _ in 0..5 {
            assert_eq!(inner.take("h1", &json(), body).0, StatusCode::OK);
        }
        assert_eq!(inner.take("h1", &json(), body).0, StatusCode::BAD_REQUEST);
        assert_eq!(inner.take("h2", &json(), body).0, StatusCode::NOT_FOUND);
        assert_eq!(inner.posts.len(), 5);
        assert!(!inner.posts[0].answer.is_private());
    }

    #[test]
    fn a_message_that_is_not_json_uses_the_url_up_too() {
        let mut inner = inner();
        for _ in 0..5 {
            let verdict = inner.take("h1", &HeaderMap::new(), "{}");
            assert_eq!(verdict.0, StatusCode::BAD_REQUEST);
        }
        let verdict = inner.take("h1", &json(), r#"{"text":"late"}"#);
        assert_eq!(verdict.1, "its five uses are over");
    }
}
