//! The endpoint that Discord calls, and what is answered at once.
//!
//! Wire facts are from "Receiving and Responding" and "Setting Up an Endpoint" of Discord's
//! developer documentation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ed25519_dalek::{Signature, VerifyingKey};
use http::HeaderMap;
use rave_domain::form::{Choice, FieldError, Form};
use rave_domain::ports::surface::{
    ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, RawRequest, SurfaceRejection,
    VerifiedEvent,
};
use rave_domain::reply::{Audience, Reply, Tone};
use rave_domain::time::between;
use rave_domain::{Surface, Timestamp};
use serde::Serialize;
use serenity::builder::{
    AutocompleteChoice, CreateAutocompleteResponse, CreateInteractionResponse,
};

use crate::config::Snowflake;
use crate::courier::{EPHEMERAL, Messages};
use crate::interaction::{Interaction, Reader, kind};
use crate::modal;
use crate::render::{Rendered, Seen};
use crate::seals::Seals;
use crate::{CommandTable, commands::Commands};

/// A request that is older, or from further in the future, is a copy. Discord states no time; its
/// requests arrive within a second.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// An interaction that is not answered within three seconds is over; some of it is the way.
pub(crate) const DEFERS_AFTER: Duration = Duration::from_secs(2);

/// A message's choices ("Autocomplete"), and the characters of their names and values.
const MOST_CHOICES: usize = 25;
const LONGEST_CHOICE: usize = 100;

/// Reads interactions and renders their answers, however they came.
#[derive(Clone)]
pub(crate) struct Interactions {
    pub(crate) application: Snowflake,
    pub(crate) seals: Arc<Seals>,
    pub(crate) commands: CommandTable,
    /// Whether there is a bot that goes on when an interaction is over.
    pub(crate) bot: bool,
}

/// The endpoint: interactions with their proof.
pub(crate) struct Endpoint {
    pub(crate) interactions: Interactions,
    pub(crate) messages: Messages,
    pub(crate) key: VerifyingKey,
}

impl Interactions {
    /// An authentic interaction.
    pub(crate) fn read(&self, interaction: Interaction, now: Timestamp) -> Incoming {
        self.seals.saw(now);
        if interaction.kind == kind::PING {
            // serenity's has a `data`, which this answer does not have.
            return Incoming::Answered(json(200, &serde_json::json!({ "type": 1 })));
        }
        let typed = interaction.kind == kind::AUTOCOMPLETE;
        let commands: Arc<Commands> = (self.commands)();
        let reader = Reader {
            application: self.application,
            seals: &self.seals,
            commands: &commands,
            bot: self.bot,
        };
        match interaction.event(&reader, now) {
            Ok(event) => Incoming::Event(Box::new(event)),
            Err(_) if typed => Incoming::Answered(self.choices(&[])),
            Err(why) => Incoming::Answered(self.unusable(&why)),
        }
    }

    fn unusable(&self, why: &str) -> HttpAnswer {
        let text = format!("Rave cannot use this: {why}.");
        self.answer(ActKind::Press, &Reply::text(text).tone(Tone::Bad))
    }

    pub(crate) fn answer(&self, to: ActKind, reply: &Reply) -> HttpAnswer {
        let seen = match to {
            // Whoever types an option is answered with choices alone.
            ActKind::Complete => return self.choices(&[]),
            ActKind::Command if reply.audience == Audience::Conversation => Seen::ByAll,
            // The run's message tells everybody; this is for whoever pressed.
            ActKind::Command | ActKind::Press | ActKind::Submit => Seen::Alone,
        };
        let rendered = Rendered::of(reply, &self.seals, self.seals.latest());
        json(200, &rendered.answer(seen))
    }

    /// A modal cannot be shown again with an error at a field: it is closed by then.
    pub(crate) fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        self.answer(ActKind::Submit, &FieldError::together(errors))
    }

    pub(crate) fn choices(&self, choices: &[Choice]) -> HttpAnswer {
        // A value that does not fit would be another one if it were cut.
        let fitting = choices
            .iter()
            .filter(|choice| (1..=LONGEST_CHOICE).contains(&choice.value.chars().count()))
            .take(MOST_CHOICES)
            .map(|choice| AutocompleteChoice::new(cut(&choice.label), choice.value.clone()));
        let response = CreateAutocompleteResponse::new().set_choices(fitting.collect());
        json(200, &CreateInteractionResponse::Autocomplete(response))
    }

    pub(crate) fn form(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        let fault = |why: &str| FormFault {
            why: why.to_owned(),
        };
        if event.form_ticket.is_none() {
            return Err(fault("a modal answers a command or a button only"));
        }
        let id = self
            .seals
            .form(&form.purpose, &event.account.id, now)
            .ok_or_else(|| fault("Discord has options instead of this form"))?;
        Ok(json(200, &modal::of(form, id)?))
    }
}

impl Interactions {
    /// Takes an interaction up (type 5), for the person alone: what follows may be.
    pub(crate) fn deferral(&self, to: ActKind) -> HttpAnswer {
        match to {
            ActKind::Complete => self.choices(&[]),
            ActKind::Command | ActKind::Press | ActKind::Submit => json(
                200,
                &serde_json::json!({ "type": 5, "data": { "flags": EPHEMERAL } }),
            ),
        }
    }
}

#[async_trait]
impl ChatSurface for Endpoint {
    fn surface(&self) -> Surface {
        Surface::Discord
    }

    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        authentic(&self.key, &request.headers, &request.body, now)
            .map_err(|why| SurfaceRejection::NotAuthentic { why })?;
        let interaction =
            serde_json::from_slice(&request.body).map_err(|_| SurfaceRejection::Malformed {
                why: "the interaction cannot be read".to_owned(),
            })?;
        Ok(self.interactions.read(interaction, now))
    }

    fn answer(&self, to: ActKind, reply: &Reply) -> HttpAnswer {
        self.interactions.answer(to, reply)
    }

    fn defers_after(&self) -> Option<Duration> {
        Some(DEFERS_AFTER)
    }

    fn deferral(&self, to: ActKind) -> HttpAnswer {
        self.interactions.deferral(to)
    }

    async fn say(&self, event: &VerifiedEvent, reply: &Reply) {
        self.messages.answer_late(event, reply).await;
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        self.interactions.field_errors(errors)
    }

    fn choices(&self, choices: &[Choice]) -> HttpAnswer {
        self.interactions.choices(choices)
    }

    async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        self.interactions.form(event, form, now)
    }

    /// Discord probes with wrong signatures and removes an address that does not answer 401.
    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => json(
                401,
                &serde_json::json!({ "detail": "Unauthorized", "code": "unauthorized" }),
            ),
            SurfaceRejection::Malformed { why } => self.interactions.unusable(why),
        }
    }
}

/// Ed25519 over the timestamp's text and the raw body, with the application's public key.
fn authentic(
    key: &VerifyingKey,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), &'static str> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        value.filter(|_| values.next().is_none())
    };
    let signature = one("x-signature-ed25519").ok_or("no signature")?;
    let timestamp = one("x-signature-timestamp").ok_or("no timestamp")?;
    let mut bytes = [0; 64];
    hex::decode_to_slice(signature, &mut bytes).map_err(|_| "the signature is not one")?;
    let mut message = Vec::with_capacity(timestamp.len() + body.len());
    message.extend_from_slice(timestamp.as_bytes());
    message.extend_from_slice(body);
    // Strict: no second signature can be made of one without the key.
    key.verify_strict(&message, &Signature::from_bytes(&bytes))
        .map_err(|_| "wrong signature")?;
    let digits = timestamp.bytes().all(|b| b.is_ascii_digit());
    let sent = timestamp
        .parse()
        .ok()
        .filter(|_| digits)
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or("the timestamp is not a time")?;
    if between(sent, now) > FRESH || between(now, sent) > FRESH {
        return Err("signed too long ago, or in the future");
    }
    Ok(())
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LONGEST_CHOICE {
        return label.to_owned();
    }
    let start: String = label.chars().take(LONGEST_CHOICE - 1).collect();
    format!("{start}…")
}

fn json(status: u16, body: &impl Serialize) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: "application/json",
        // Builders and our own types always serialize.
        body: serde_json::to_vec(body)
            .unwrap_or_else(|_| b"{}".to_vec())
            .into(),
    }
}

#[cfg(test)]
mod tests;
