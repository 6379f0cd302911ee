//! The three endpoints over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rave_domain::form::{Choice, FieldError, Form};
use rave_domain::ports::surface::{
    ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, RawRequest, SurfaceRejection,
    VerifiedEvent,
};
use rave_domain::reply::{Reply, Tone};
use rave_domain::{Surface, Timestamp};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::command::{Command, is_ssl_check, ssl_checked};
use crate::desk::Desk;
use crate::event::Callback;
use crate::ids::malformed;
use crate::interaction::Interaction;
use crate::modal;
use crate::response_url::slash_answer;
use crate::signature::Signature;
use crate::wire;

/// Slack waits three seconds; some of it is the way, and half of it is left for opening a form.
const DEFERS_AFTER: Duration = Duration::from_millis(1400);

/// What comes to an endpoint; each kind has a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A form.
    Command,
    /// A form with one field that holds JSON.
    Interaction,
    /// JSON.
    Event,
}

/// One endpoint.
pub(crate) struct Endpoint {
    kind: Kind,
    /// `None` for Socket Mode alone, where nothing comes over HTTP.
    signature: Option<Signature>,
    desk: Arc<Desk>,
}

impl Endpoint {
    pub(crate) const fn new(kind: Kind, signature: Option<Signature>, desk: Arc<Desk>) -> Self {
        Self {
            kind,
            signature,
            desk,
        }
    }

    /// What came over Slack's connection, which vouches for it.
    pub(crate) fn of_socket(
        &self,
        payload: Value,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        let unreadable = |_| malformed("the payload cannot be read");
        match self.kind {
            Kind::Command => {
                let command = Command::deserialize(payload).map_err(unreadable)?;
                self.desk.command(&command, now)
            }
            Kind::Interaction => {
                let interaction = Interaction::deserialize(payload).map_err(unreadable)?;
                self.desk.interaction(&interaction, now)
            }
            Kind::Event => {
                let callback = Callback::deserialize(payload).map_err(unreadable)?;
                self.desk.event(&callback, now)
            }
        }
    }
}

#[async_trait]
impl ChatSurface for Endpoint {
    fn surface(&self) -> Surface {
        Surface::Slack
    }

    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        if self.kind == Kind::Command && is_ssl_check(&request.body) {
            return Ok(ssl_checked());
        }
        match &self.signature {
            Some(signature) => signature.check(request, now)?,
            None => {
                return Err(SurfaceRejection::NotAuthentic {
                    why: "no signing secret is configured",
                });
            }
        }
        let body = &request.body;
        match self.kind {
            Kind::Command => self.desk.command(&Command::of_form(body)?, now),
            Kind::Interaction => self.desk.interaction(&Interaction::of_form(body)?, now),
            Kind::Event => self.desk.event(&Callback::of_json(body)?, now),
        }
    }

    fn answer(&self, to: ActKind, reply: &Reply) -> HttpAnswer {
        // To an event as to a command, because answers are kept by surface; Slack reads nothing
        // of it but the status.
        Desk::answer(to, reply)
    }

    fn defers_after(&self) -> Option<Duration> {
        Some(DEFERS_AFTER)
    }

    fn shows(&self, to: ActKind, reply: &Reply) -> bool {
        match (self.kind, to) {
            (Kind::Event, _) | (_, ActKind::Press) => false,
            (_, ActKind::Submit) => reply.tone == Tone::Bad,
            (_, ActKind::Command | ActKind::Complete) => true,
        }
    }

    async fn say(&self, event: &VerifiedEvent, reply: &Reply) {
        self.desk.say(event, reply).await;
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        modal::field_errors(errors)
    }

    fn choices(&self, _choices: &[Choice]) -> HttpAnswer {
        wire::acknowledged()
    }

    async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        self.desk.open_form(event, form, now).await
    }

    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => wire::json(
                401,
                &json!({ "detail": "Unauthorized", "code": "unauthorized" }),
            ),
            SurfaceRejection::Malformed { why } => {
                let reply = Reply::text(format!("Slack sent something unexpected: {why}."));
                match self.kind {
                    Kind::Command => slash_answer(&reply.tone(Tone::Bad)),
                    Kind::Interaction | Kind::Event => wire::acknowledged(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
