//! Slash commands: the request, its proof and its answer.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use rave_domain::form::{self, FieldError};
use rave_domain::ports::surface::{
    Act, ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, RawRequest, ReplyTo,
    SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::{Audience, Reply, Tone};
use rave_domain::time::after;
use rave_domain::{Account, Digest, Strength, Surface, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use subtle::{Choice, ConstantTimeEq as _};
use url::Url;

use crate::address::{Address, is_id};
use crate::base::Base;
use crate::bot::Bot;
use crate::form::Forms;
use crate::place;
use crate::render;
use crate::response_url::{self, RESPONSE_URL_LIVES, RESPONSE_URL_USES};

/// The endpoint that a slash command calls.
pub(crate) struct SlashCommand {
    /// Digests of the accepted tokens: comparing digests takes the same time for any input.
    tokens: Vec<Digest>,
    base: Option<Base>,
    /// Keeps the run's messages, where there is one.
    bot: Option<Arc<Bot>>,
    /// Opens forms, where they can come back.
    forms: Option<Arc<Forms>>,
}

impl SlashCommand {
    pub(crate) fn new(
        tokens: &[SecretString],
        base: Option<Base>,
        bot: Option<Arc<Bot>>,
        forms: Option<Arc<Forms>>,
    ) -> Self {
        Self {
            bot,
            forms,
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

    /// Where results go later: into the thread as the bot, or through the command's address.
    fn reply_to(
        &self,
        form: &Form<'_>,
        now: Timestamp,
    ) -> Result<Option<ReplyTo>, SurfaceRejection> {
        let url = self.response_url(form);
        if self.bot.is_none() {
            return Ok(url.map(|url| ReplyTo {
                courier: response_url::COURIER.to_owned(),
                address: response_url::address(&url),
                expires: after(now, RESPONSE_URL_LIVES),
                uses: RESPONSE_URL_USES,
                live: None,
            }));
        }
        let (channel, user) = (form.id("channel_id")?, form.id("user_id")?);
        let address = Address::new(channel, form.only("root_id")?, user, now);
        Ok(Some(address.or_through(url, now).reply_to(now)))
    }

    /// The command's address for later: none when it is not the configured Mattermost's.
    fn response_url(&self, form: &Form<'_>) -> Option<Url> {
        let given = form.first("response_url").filter(|url| !url.is_empty())?;
        let Some(url) = self.base.as_ref().and_then(|base| base.holds(given)) else {
            tracing::warn!(
                configured = self.base.is_some(),
                "a response_url is not under mattermost.url: results of this command stay here"
            );
            return None;
        };
        Some(url)
    }

    fn bot_id(&self) -> Option<&str> {
        let me = self.bot.as_ref()?.known()?;
        Some(me.id.as_str())
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
        let trigger = form.id("trigger_id")?;
        let channel = form.only("channel_id")?.unwrap_or_default();
        let name = form.only("channel_name")?.unwrap_or_default();
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: trigger.to_owned(),
            // Names can be changed to look like another's; ids cannot.
            account: Account::new(Surface::Mattermost, form.id("user_id")?),
            strength: Strength::Token,
            place: place::of(channel, name, self.bot_id()),
            act: Act::Command {
                text: form.only("text")?.unwrap_or_default().to_owned(),
            },
            reply_to: self.reply_to(&form, now)?,
            form_ticket: self.forms.is_some().then(|| trigger.to_owned()),
        })))
    }

    fn answer(&self, _to: ActKind, reply: &Reply) -> HttpAnswer {
        answered_with(&CommandResponse::of(reply))
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        let all: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        self.answer(ActKind::Submit, &Reply::text(all.join(" ")))
    }

    fn choices(&self, _choices: &[form::Choice]) -> HttpAnswer {
        answered_with(&serde_json::json!({}))
    }

    async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &form::Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        let Some(forms) = &self.forms else {
            return Err(FormFault {
                why: "Mattermost opens forms for a bot only".to_owned(),
            });
        };
        forms.open(event, form, now).await?;
        // The form is the answer.
        Ok(answered_with(&serde_json::json!({})))
    }

    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => unauthorized(),
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

/// An answer that Mattermost takes.
pub(crate) fn answered_with(body: &impl Serialize) -> HttpAnswer {
    json(200, body)
}

/// The answer to a request that is not Mattermost's.
pub(crate) fn unauthorized() -> HttpAnswer {
    json(
        401,
        &serde_json::json!({ "detail": "Unauthorized", "code": "unauthorized" }),
    )
}

pub(crate) fn malformed(why: impl Into<String>) -> SurfaceRejection {
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
        if !is_id(id) {
            return Err(malformed(format!("{key} is not an id")));
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
