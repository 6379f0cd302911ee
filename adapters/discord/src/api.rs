//! Calls to Discord's API, and what its refusals mean for whoever called.
//!
//! Wire facts are from "Rate Limits", "Opcodes and Status Codes" and "API Reference" of Discord's
//! developer documentation. Addresses of calls hold tokens of interactions and webhooks, so
//! nothing here prints one.

mod budget;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT as USER_AGENT_HEADER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rave_domain::ports::courier::DeliveryError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

pub(crate) use budget::Budget;

/// `DiscordBot ($url, $versionNumber)`; other names may be blocked (error 40333).
pub(crate) const USER_AGENT: &str = concat!(
    "DiscordBot (https://rave.example.com, ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The whole exchange, connection included.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A message has about 10 KiB, a list of registered commands may have a few hundred.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// JSON error codes that decide what is done next.
pub(crate) mod code {
    /// The channel is gone.
    pub(crate) const UNKNOWN_CHANNEL: u64 = 10_003;
    /// The message was deleted.
    pub(crate) const UNKNOWN_MESSAGE: u64 = 10_008;
    /// The webhook was deleted; for an interaction's token: it is over, or not answered yet.
    pub(crate) const UNKNOWN_WEBHOOK: u64 = 10_015;
    /// A message older than an hour was edited too often.
    pub(crate) const TOO_MANY_EDITS: u64 = 30_046;
    /// The bot cannot see the channel.
    pub(crate) const MISSING_ACCESS: u64 = 50_001;
    /// The person takes no direct messages.
    pub(crate) const NO_DIRECT_MESSAGES: u64 = 50_007;
    /// The bot may not do this in the channel.
    pub(crate) const MISSING_PERMISSIONS: u64 = 50_013;
    /// A token of an interaction that is over.
    pub(crate) const INVALID_TOKEN: u64 = 50_027;
    /// The body does not please; a fault of Rave's.
    pub(crate) const INVALID_FORM: u64 = 50_035;
    /// The thread was archived: nothing in it can be edited, a new message opens it again.
    pub(crate) const THREAD_ARCHIVED: u64 = 50_083;
    /// The thread was locked by a moderator.
    pub(crate) const THREAD_LOCKED: u64 = 160_005;
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It may work later, not before `after` when Discord said so.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// Discord said no.
    No {
        status: u16,
        /// The JSON error code; 0 when there is none.
        code: u64,
    },
}

impl Refused {
    /// In words, for logs and audit rows.
    fn words(status: u16, code: u64) -> String {
        let meaning = match code {
            0 => return format!("Discord answered {status}"),
            code::UNKNOWN_CHANNEL => "the channel is gone",
            code::UNKNOWN_MESSAGE => "the message was deleted",
            code::UNKNOWN_WEBHOOK => "the webhook is gone",
            code::MISSING_ACCESS => "the bot cannot see the channel: invite it and let it view it",
            code::NO_DIRECT_MESSAGES => "the person takes no direct messages",
            code::MISSING_PERMISSIONS => {
                "the bot may not do this in the channel: allow it Send Messages, Send Messages in \
                 Threads, Embed Links, Attach Files and Read Message History"
            }
            code::INVALID_TOKEN => "the interaction is over",
            code::INVALID_FORM => "the message is not as Discord wants it",
            code::THREAD_ARCHIVED => "the thread is archived",
            code::THREAD_LOCKED => "the thread is locked",
            _ => return format!("Discord answered {status} ({code})"),
        };
        format!("Discord answered {status} ({code}): {meaning}")
    }
}

impl From<Refused> for DeliveryError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Later { why, after } => Self::Later { why, after },
            Refused::No { status, code } => Self::Never {
                why: Refused::words(status, code),
            },
        }
    }
}

/// What an error says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: Option<u64>,
    retry_after: Option<f64>,
    global: bool,
}

/// Sends a request and reads the answer, as far as it is short enough to be one.
///
/// # Errors
/// See [`Refused`].
pub(crate) async fn send(
    budget: &Budget,
    request: reqwest::RequestBuilder,
) -> Result<Vec<u8>, Refused> {
    budget.admit(Instant::now())?;
    let response = request
        .header(USER_AGENT_HEADER, USER_AGENT)
        .timeout(TIMEOUT)
        .send()
        .await
        .map_err(|error| Refused::Later {
            why: failure(&error),
            after: None,
        })?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = read(response).await;
    if status.is_success() {
        return body.ok_or_else(|| Refused::Later {
            why: "Discord's answer broke off or is too long".to_owned(),
            after: None,
        });
    }
    let error: ErrorBody = body
        .and_then(|body| serde_json::from_slice(&body).ok())
        .unwrap_or_default();
    Err(verdict(budget, status, &headers, &error))
}

fn verdict(budget: &Budget, status: StatusCode, headers: &HeaderMap, error: &ErrorBody) -> Refused {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let shared = header("x-ratelimit-scope") == Some("shared");
    let counts = matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    );
    // What others use up of a shared limit is not held against us.
    if counts && !shared {
        budget.spend(Instant::now());
    }
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let waits = header(RETRY_AFTER.as_str()).and_then(|text| seconds(text.trim().parse().ok()?));
    let code = error.code.unwrap_or_default();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let after = error.retry_after.and_then(seconds).or(waits);
        if error.global || header("x-ratelimit-global") == Some("true") {
            budget.hold(Instant::now(), after.unwrap_or(Duration::from_secs(1)));
        }
        return Refused::Later {
            why: format!("Discord answered {}", status.as_u16()),
            after,
        };
    }
    let passes = status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || code == code::TOO_MANY_EDITS;
    if passes {
        return Refused::Later {
            why: Refused::words(status.as_u16(), code),
            after: waits,
        };
    }
    Refused::No {
        status: status.as_u16(),
        code,
    }
}

/// The body; `None` when it broke off or is too long to be an answer.
async fn read(mut response: reqwest::Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return None;
        }
    }
    Some(body)
}

/// In words of our own: the error's text has the address, and with it a token, in it.
fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "Discord did not answer in time".to_owned()
    } else if error.is_connect() {
        "Discord cannot be reached".to_owned()
    } else {
        "the connection to Discord broke".to_owned()
    }
}

/// Who a call is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// The bot, by its token.
    Bot,
    /// Whoever knows the token in the address.
    Address,
}

/// What a call carries.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Vec<u8>),
    /// JSON and one file.
    File {
        /// The JSON.
        payload: Vec<u8>,
        /// The file's name.
        name: String,
        /// Its content.
        content: String,
    },
}

impl Body {
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        // Our own types always serialize; Discord refuses an empty object, and says so.
        Self::Json(serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec()))
    }
}

/// Discord's API under one base. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    base: Url,
    client: reqwest::Client,
    bot: Option<SecretString>,
    budget: Arc<Budget>,
}

impl Api {
    pub(crate) const fn new(
        base: Url,
        client: reqwest::Client,
        bot: Option<SecretString>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            base,
            client,
            bot,
            budget,
        }
    }

    /// Where it is.
    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// The bot's token, where there is a bot.
    pub(crate) const fn bot(&self) -> Option<&SecretString> {
        self.bot.as_ref()
    }

    /// One call; gives the answer as JSON.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        by: As,
        body: Body,
    ) -> Result<T, Refused> {
        let answer = self.send(method, path, by, body).await?;
        serde_json::from_slice(&answer).map_err(|_| Refused::Later {
            why: "Discord's answer cannot be read".to_owned(),
            after: None,
        })
    }

    /// One call whose answer says nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        by: As,
        body: Body,
    ) -> Result<Vec<u8>, Refused> {
        let mut request = self.client.request(method, self.address(path)?);
        if by == As::Bot {
            request = request.header(AUTHORIZATION, self.authorization()?);
        }
        request = match body {
            Body::Empty => request,
            Body::Json(json) => request
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(json),
            Body::File {
                payload,
                name,
                content,
            } => request.multipart(form(payload, name, content)?),
        };
        send(&self.budget, request).await
    }

    /// Segments are escaped, so an id from outside cannot lead to another place.
    fn address(&self, path: &[&str]) -> Result<Url, Refused> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => return Err(no_call("the address cannot be made")),
        }
        Ok(url)
    }

    fn authorization(&self) -> Result<HeaderValue, Refused> {
        let token = self
            .bot
            .as_ref()
            .ok_or_else(|| no_call("there is no bot"))?;
        let mut value = HeaderValue::from_str(&format!("Bot {}", token.expose_secret()))
            .map_err(|_| no_call("the bot's token cannot be sent"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn no_call(why: &str) -> Refused {
    Refused::Later {
        why: why.to_owned(),
        after: None,
    }
}

/// `payload_json` and `files[0]` ("Uploading Files").
fn form(
    payload: Vec<u8>,
    name: String,
    content: String,
) -> Result<reqwest::multipart::Form, Refused> {
    let part = |bytes: reqwest::multipart::Part, kind: &str| {
        bytes
            .mime_str(kind)
            .map_err(|_| no_call("the file cannot be sent"))
    };
    let payload = reqwest::multipart::Part::bytes(payload);
    let file = reqwest::multipart::Part::bytes(content.into_bytes()).file_name(name);
    Ok(reqwest::multipart::Form::new()
        .part("payload_json", part(payload, "application/json")?)
        .part("files[0]", part(file, "text/plain; charset=utf-8")?))
}

#[cfg(test)]
mod tests;
