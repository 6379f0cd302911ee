//! The HTTP under it: one base, one token, bounded in time and size.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::base::Base;
use crate::response_url::{TIMEOUT, failure};

/// Errors are a few hundred bytes (`model.AppError`).
const LONGEST_ERROR: usize = 64 * 1024;

/// Requests over 300,000 bytes are refused (`ServiceSettings.MaximumPayloadSizeBytes`); a reply
/// stays far below it. Uploads have a limit of their own (`FileSettings.MaxFileSize`).
const LONGEST_REQUEST: usize = 300_000;

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It may work later.
    #[error("{why}")]
    Later {
        /// In words of our own.
        why: String,
        /// When Mattermost says so.
        after: Option<Duration>,
    },
    /// Mattermost does not want it.
    #[error("Mattermost answered {status}{}{id}", if id.is_empty() { "" } else { ": " })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's id, such as `api.context.permissions.app_error`: texts are translated, ids
        /// are not.
        id: String,
    },
}

impl Fault {
    /// Whether the answer was one of these statuses.
    pub(crate) fn is(&self, statuses: &[u16]) -> bool {
        matches!(self, Self::Refused { status, .. } if statuses.contains(status))
    }

    /// Whether the error's id has this in it.
    pub(crate) fn names(&self, part: &str) -> bool {
        matches!(self, Self::Refused { id, .. } if id.contains(part))
    }
}

#[derive(serde::Deserialize)]
struct AppError {
    id: String,
}

/// Calls of one server with one token.
pub(crate) struct Rest {
    base: Base,
    client: reqwest::Client,
    token: SecretString,
}

impl Rest {
    pub(crate) fn new(base: Base, client: reqwest::Client, token: SecretString) -> Self {
        Self {
            base,
            client,
            token,
        }
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    /// An address of the API.
    pub(crate) fn at<const N: usize>(&self, path: [&str; N]) -> Url {
        self.base.at(["api", "v4"].into_iter().chain(path))
    }

    pub(crate) async fn get<T: DeserializeOwned, const N: usize>(
        &self,
        path: [&str; N],
        longest: usize,
    ) -> Result<T, Fault> {
        self.get_at(self.at(path), longest).await
    }

    pub(crate) async fn get_at<T: DeserializeOwned>(
        &self,
        url: Url,
        longest: usize,
    ) -> Result<T, Fault> {
        let request = self.client.request(Method::GET, url);
        self.call(request, longest).await
    }

    pub(crate) async fn post<T: DeserializeOwned, const N: usize>(
        &self,
        path: [&str; N],
        body: &(impl Serialize + Sync + ?Sized),
        longest: usize,
    ) -> Result<T, Fault> {
        self.send(Method::POST, self.at(path), body, longest).await
    }

    pub(crate) async fn put<T: DeserializeOwned, const N: usize>(
        &self,
        path: [&str; N],
        body: &(impl Serialize + Sync + ?Sized),
        longest: usize,
    ) -> Result<T, Fault> {
        self.send(Method::PUT, self.at(path), body, longest).await
    }

    /// Posts a file as it is.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        url: Url,
        content: &str,
        longest: usize,
    ) -> Result<T, Fault> {
        let request = self
            .client
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(content.to_owned());
        self.call(request, longest).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &(impl Serialize + Sync + ?Sized),
        longest: usize,
    ) -> Result<T, Fault> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        if body.len() > LONGEST_REQUEST {
            return Err(Fault::Refused {
                status: 413,
                id: "more than a request may hold".to_owned(),
            });
        }
        let request = self
            .client
            .request(method, url)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        self.call(request, longest).await
    }

    /// Whose token it is.
    pub(crate) async fn who<T: DeserializeOwned>(&self, longest: usize) -> Result<T, Fault> {
        let url = self.at(["users", "me"]);
        let response = self.respond(self.client.request(Method::GET, url)).await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            let (status, id) = (status.as_u16(), String::new());
            return Err(Fault::Refused { status, id });
        }
        understood(response, longest).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        longest: usize,
    ) -> Result<T, Fault> {
        understood(self.respond(request).await?, longest).await
    }

    async fn respond(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Fault> {
        request
            .bearer_auth(self.token.expose_secret())
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|error| later(failure(&error), None))
    }
}

/// What an answer says.
async fn understood<T: DeserializeOwned>(
    response: reqwest::Response,
    longest: usize,
) -> Result<T, Fault> {
    let status = response.status();
    if !status.is_success() {
        let headers = response.headers().clone();
        let body = read(response, LONGEST_ERROR).await.unwrap_or_default();
        return Err(refused(status, &headers, &body));
    }
    let body = read(response, longest).await?;
    serde_json::from_slice(&body).map_err(|_| {
        let why = "Mattermost answered with something else than expected";
        later(why.to_owned(), None)
    })
}

/// Reads an answer as far as it is short enough to be one.
async fn read(mut response: reqwest::Response, longest: usize) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk);
                if body.len() > longest {
                    let why = "Mattermost answered with more than expected";
                    return Err(later(why.to_owned(), None));
                }
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(later(failure(&error), None)),
        }
    }
}

fn later(why: String, after: Option<Duration>) -> Fault {
    Fault::Later { why, after }
}

fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let code = status.as_u16();
    // 501 says that something is switched off, such as attachments.
    let passing = (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    if passing {
        return later(format!("Mattermost answered {code}"), retry_after(headers));
    }
    if status == StatusCode::UNAUTHORIZED {
        // A revoked token can be replaced, and a bot that was switched off switched on again.
        let why = "Mattermost does not take the token";
        return later(why.to_owned(), None);
    }
    if status.is_redirection() {
        let id = "a redirect, which is not followed".to_owned();
        return Fault::Refused { status: code, id };
    }
    let id = serde_json::from_slice::<AppError>(body).map_or_else(|_| String::new(), |e| e.id);
    let id = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        .take(120)
        .collect();
    Fault::Refused { status: code, id }
}

/// `Retry-After`, or `X-RateLimit-Reset`, which is in seconds from now and not a time.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    seconds(RETRY_AFTER.as_str())
        .or_else(|| seconds("x-ratelimit-reset"))
        .map(Duration::from_secs)
}
