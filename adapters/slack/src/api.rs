//! Slack's Web API: one method, one call.

use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use rave_domain::ports::courier::DeliveryError;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::places::Places;
use crate::wire::{self, later, never};

/// What Slack means by "try again": errors that are about this moment only.
const PASSING: [&str; 7] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];

/// The token is no longer taken, or never was one for this.
const TOKEN: [&str; 8] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "not_allowed_token_type",
    "org_login_required",
    "access_denied",
];

/// A wait for what only an administrator can change: what is to be told stays in the outbox and is
/// tried a dozen times an hour until the token is replaced.
const UNTIL_SOMEBODY_ACTS: Duration = Duration::from_secs(300);

/// Calls methods with one token, which travels in the `Authorization` header only.
#[derive(Clone)]
pub(crate) struct WebApi {
    places: Places,
    client: reqwest::Client,
    token: SecretString,
}

/// Why a method did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may work later.
    Later {
        why: String,
        after: Option<Duration>,
        /// Whether it may have been done all the same: an answer was lost.
        done: Done,
    },
    /// Only an administrator can change it: the token is no longer taken or allows too little.
    Locked(String),
    /// Slack said no (`"ok": false`), with its word for why.
    Refused(String),
}

/// Whether something that failed may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    No,
    Perhaps,
}

impl Fault {
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
    }

    pub(crate) fn into_delivery(self) -> DeliveryError {
        match self {
            Self::Later { why, after, .. } => later(why, after),
            Self::Locked(why) => later(why, Some(UNTIL_SOMEBODY_ACTS)),
            Self::Refused(code) => never(format!("Slack refused it: {code}")),
        }
    }

    pub(crate) fn why(self) -> String {
        match self {
            Self::Later { why, .. } | Self::Locked(why) => why,
            Self::Refused(code) => format!("Slack refused it: {code}"),
        }
    }
}

impl WebApi {
    pub(crate) fn new(places: Places, client: reqwest::Client, token: SecretString) -> Self {
        Self {
            places,
            client,
            token,
        }
    }

    pub(crate) const fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Calls a method that writes: these take JSON.
    pub(crate) async fn write(&self, method: &str, body: &Value) -> Result<Value, Fault> {
        self.write_within(method, body, wire::TIMEOUT).await
    }

    /// As [`WebApi::write`], bounded more narrowly.
    pub(crate) async fn write_within(
        &self,
        method: &str,
        body: &Value,
        time: Duration,
    ) -> Result<Value, Fault> {
        let request = self
            .post(method, time)
            // Without the charset Slack warns (`missing_charset`).
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body.to_string());
        answered(request.send().await).await
    }

    /// Calls a method that reads: these take a form.
    pub(crate) async fn read(&self, method: &str, form: &[(&str, &str)]) -> Result<Value, Fault> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self
            .post(method, wire::TIMEOUT)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        answered(request.send().await).await
    }

    fn post(&self, method: &str, time: Duration) -> reqwest::RequestBuilder {
        self.client
            .post(self.places.method(method))
            .bearer_auth(self.token.expose_secret())
            .timeout(time)
    }
}

async fn answered(sent: Result<reqwest::Response, reqwest::Error>) -> Result<Value, Fault> {
    let response = sent.map_err(|error| Fault::Later {
        done: if error.is_connect() {
            Done::No
        } else {
            Done::Perhaps
        },
        why: wire::failure(&error),
        after: None,
    })?;
    let status = response.status();
    let after = wire::retry_after(&response);
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Fault::Later {
            why: "Slack wants it slower".to_owned(),
            after,
            done: Done::No,
        });
    }
    let broken = |done| Fault::Later {
        why: format!("Slack answered {}", status.as_u16()),
        after,
        done,
    };
    if !status.is_success() {
        return Err(broken(if status.is_server_error() {
            Done::Perhaps
        } else {
            Done::No
        }));
    }
    let body = wire::read(response).await;
    let answer: Option<Value> = body.and_then(|body| serde_json::from_slice(&body).ok());
    let Some(answer) = answer else {
        return Err(broken(Done::Perhaps));
    };
    match answer.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(answer),
        Some(false) => Err(refused(&answer, after)),
        // Not an answer of the Web API, whoever gave it.
        None => Err(broken(Done::Perhaps)),
    }
}

fn refused(answer: &Value, after: Option<Duration>) -> Fault {
    let code = word(
        answer
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("no reason"),
    );
    if PASSING.contains(&code.as_str()) {
        return Fault::Later {
            done: if code.starts_with("rate") {
                Done::No
            } else {
                Done::Perhaps
            },
            why: format!("Slack cannot do it now: {code}"),
            after,
        };
    }
    if TOKEN.contains(&code.as_str()) {
        return Fault::Locked(format!(
            "Slack does not take the token ({code}): install the app again, set the new token and restart Rave"
        ));
    }
    if code == "missing_scope" {
        let needed = word(answer.get("needed").and_then(Value::as_str).unwrap_or("?"));
        return Fault::Locked(format!(
            "the Slack app lacks the scope {needed}: `rave setup slack` prints all that it needs"
        ));
    }
    Fault::Refused(code)
}

/// Slack's word, as far as it is one: it goes into logs and audit rows.
fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | ',' | '.' | '-' | ' '))
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_no_is_for_now_for_somebody_or_for_good() {
        for (answer, fault) in [
            (
                json!({"ok": false, "error": "ratelimited"}),
                "now Some(7s) No",
            ),
            (
                json!({"ok": false, "error": "internal_error"}),
                "now Some(7s) Perhaps",
            ),
            (
                json!({"ok": false, "error": "token_revoked"}),
                "an administrator",
            ),
            (
                json!({"ok": false, "error": "missing_scope", "needed": "chat:write"}),
                "an administrator",
            ),
            (
                json!({"ok": false, "error": "channel_not_found"}),
                "channel_not_found",
            ),
            (json!({"ok": false, "error": "<!here>\n"}), "here"),
            (json!({"ok": false}), "no reason"),
            (json!({}), "no reason"),
        ] {
            let shown = match refused(&answer, Some(Duration::from_secs(7))) {
                Fault::Later { after, done, .. } => format!("now {after:?} {done:?}"),
                Fault::Locked(why) => {
                    assert!(
                        why.contains("token_revoked") || why.contains("chat:write"),
                        "{why}"
                    );
                    "an administrator".to_owned()
                }
                Fault::Refused(code) => code,
            };
            assert_eq!(shown, fault, "{answer}");
        }
    }
}
