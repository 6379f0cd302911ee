//! Slash commands: the request, its proof and its answer.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use rave_domain::form::{self, FieldError};
use rave_domain::ports::surface::{
    Act, ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, Place, RawRequest, ReplyTo,
    SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::{Audience, Reply, Tone};
use rave_domain::time::after;
use rave_domain::{Account, Digest, Strength, Surface, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use subtle::{Choice, ConstantTimeEq as _};

use crate::base::Base;
use crate::render;
use crate::response_url;

/// A `response_url` works for 30 minutes from the command (`CommandWebhook` expiry).
const RESPONSE_URL_LIVES: Duration = Duration::from_secs(30 * 60);

/// A `response_url` takes five messages (`TryUse(id, 5)`).
const RESPONSE_URL_USES: u32 = 5;

/// Longer ids are not Mattermost's: a user id has 26 characters, a trigger id about 200.
const LONGEST_ID: usize = 1024;

/// The endpoint that a slash command calls.
pub(crate) struct SlashCommand {
    /// Digests of the accepted tokens: comparing digests takes the same time for any input.
    tokens: Vec<Digest>,
    base: Option<Base>,
}

impl SlashCommand {
    pub(crate) fn new(tokens: &[SecretString], base: Option<Base>) -> Self {
        Self {
            tokens: tokens
                .iter()
                .map(|token| Digest::of(token.expose_secret().as_bytes()))
                .collect(),
            base,
        }
    }

    /// Whether this is one of the tokens. Every token is compared in full, whatever the others
    /// gave.
    fn knows(&self, token: &str) -> Choice {
        let given = Digest::of(token.as_bytes());
        self.tokens.iter().fold(Choice::from(0), |found, known| {
            found | known.bytes().ct_eq(given.bytes())
        })
    }

    /// The token comes in the body and in `Authorization: Token …`; an OAuth connection of
    /// Mattermost's may replace the header, so either is enough.
    fn is_authentic(&self, request: &RawRequest, form: &Form<'_>) -> Result<(), SurfaceRejection> {
        let header = request
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("token"))
            .map(|(_, token)| token.trim());
        let mut presented = header.into_iter().chain(form.all("token")).peekable();
        if presented.peek().is_none() {
            return Err(SurfaceRejection::NotAuthentic { why: "no token" });
        }
        let known = presented.fold(Choice::from(0), |known, token| known | self.knows(token));
        if bool::from(known) {
            Ok(())
        } else {
            Err(SurfaceRejection::NotAuthentic { why: "wrong token" })
        }
    }

    /// Where results go later: nowhere when the address is not the configured Mattermost's.
    fn reply_to(&self, form: &Form<'_>, now: Timestamp) -> Option<ReplyTo> {
        let given = form.first("response_url").filter(|url| !url.is_empty())?;
        let Some(url) = self.base.as_ref().and_then(|base| base.holds(given)) else {
            tracing::warn!(
                configured = self.base.is_some(),
                "a response_url is not under mattermost.url: results of this command stay here"
            );
            return None;
        };
        Some(ReplyTo {
            courier: response_url::COURIER.to_owned(),
            address: response_url::address(&url),
            expires: after(now, RESPONSE_URL_LIVES),
            uses: RESPONSE_URL_USES,
            live: None,
        })
    }
}

#[async_trait]
impl ChatSurface for SlashCommand {
    fn surface(&self) -> Surface {
        Surface::Mattermost
    }

    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        let is_form = is_form(request);
        let form = Form::parse(if is_form { &request.body } else { &[] });
        self.is_authentic(request, &form)?;
        if !is_form {
            return Err(malformed(
                "expected a form (application/x-www-form-urlencoded)",
            ));
        }
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: form.id("trigger_id")?.to_owned(),
            // Names can be changed to look like another's; ids cannot.
            account: Account::new(Surface::Mattermost, form.id("user_id")?),
            strength: Strength::Token,
            place: Place {
                channel: form.only("channel_id")?.unwrap_or_default().to_owned(),
                ..Place::default()
            },
            act: Act::Command {
                text: form.only("text")?.unwrap_or_default().to_owned(),
            },
            reply_to: self.reply_to(&form, now),
            form_ticket: None,
        })))
    }

    fn answer(&self, _to: ActKind, reply: &Reply) -> HttpAnswer {
        json(200, &CommandResponse::of(reply))
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        let all: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        self.answer(ActKind::Submit, &Reply::text(all.join(" ")))
    }

    fn choices(&self, _choices: &[form::Choice]) -> HttpAnswer {
        json(200, &serde_json::json!({}))
    }

    async fn open_form(
        &self,
        _event: &VerifiedEvent,
        _form: &form::Form,
        _now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        Err(FormFault {
            why: "Mattermost opens forms for a bot only".to_owned(),
        })
    }

    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => json(
                401,
                &serde_json::json!({ "detail": "Unauthorized", "code": "unauthorized" }),
            ),
            SurfaceRejection::Malformed { why } => self.answer(
                ActKind::Command,
                &Reply::text(format!("Mattermost sent something unexpected: {why}."))
                    .tone(Tone::Bad),
            ),
        }
    }
}

/// What Mattermost takes as an answer (`model.CommandResponse`). Only HTTP 200 is shown as a
/// message; anything else reads as a failure of the command.
#[derive(Debug, Serialize)]
pub(crate) struct CommandResponse {
    response_type: &'static str,
    text: String,
    /// Without it, `<a|b>` in output is rewritten as a link.
    skip_slack_parsing: bool,
}

impl CommandResponse {
    pub(crate) fn of(reply: &Reply) -> Self {
        Self {
            response_type: match reply.audience {
                Audience::Asker => "ephemeral",
                Audience::Conversation => "in_channel",
            },
            text: render::markdown(reply),
            skip_slack_parsing: true,
        }
    }
}

fn json(status: u16, body: &impl Serialize) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: "application/json",
        // Maps with text keys always serialize; `{}` is a silent answer to Mattermost.
        body: serde_json::to_vec(body)
            .unwrap_or_else(|_| b"{}".to_vec())
            .into(),
    }
}

fn malformed(why: impl Into<String>) -> SurfaceRejection {
    SurfaceRejection::Malformed { why: why.into() }
}

fn is_form(request: &RawRequest) -> bool {
    request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// The decoded pairs. Mattermost repeats keys such as `user_mentions`, so a map would not do.
struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    fn parse(body: &'a [u8]) -> Self {
        // Mattermost sends a dozen.
        let mut pairs = Vec::with_capacity(16);
        pairs.extend(url::form_urlencoded::parse(body));
        Self(pairs)
    }

    fn all(&self, key: &'a str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_ref())
    }

    fn first(&self, key: &'a str) -> Option<&str> {
        self.all(key).next()
    }

    /// A value that decides what happens. Two of them would mean different things to different
    /// readers.
    fn only(&self, key: &'a str) -> Result<Option<&str>, SurfaceRejection> {
        let mut values = self.all(key);
        let value = values.next();
        if values.next().is_some() {
            return Err(malformed(format!("{key} is there more than once")));
        }
        Ok(value)
    }

    fn id(&self, key: &'a str) -> Result<&str, SurfaceRejection> {
        let id = self.only(key)?.unwrap_or_default();
        if id.is_empty() {
            return Err(malformed(format!("{key} is missing")));
        }
        if id.len() > LONGEST_ID || id.chars().any(char::is_control) {
            return Err(malformed(format!("{key} is not an id")));
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
