//! The surface port: a vendor's wire in, a verified event and an immediate answer out.
//!
//! `server` owns the routes, an adapter the vendor's wire, the binary joins them. An adapter sees
//! raw bytes and headers and says who did what; it decides nothing and executes nothing.
//!
//! One event takes one way, whatever the vendor: [`ChatSurface::verify`] gives an [`Incoming`],
//! a [`ChatHandler`] turns its event into an [`Answer`], and [`ChatSurface::answer`] puts that into
//! the vendor's form. A vendor that is connected to instead of calling has a [`ChatListener`],
//! which does the same without the HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::form::{Choice, FieldError, Form, FormPurpose};
use crate::ids::RunId;
use crate::people::{Account, Strength, Surface};
use crate::reply::{Press, Reply};
use crate::time::Timestamp;

/// A request as it arrived, bounded in size by the server.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// All headers.
    pub headers: HeaderMap,
    /// The body as sent: signatures are over these bytes.
    pub body: Bytes,
}

/// What an authentic request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Somebody does something.
    Event(Box<VerifiedEvent>),
    /// The vendor's own business, such as a ping, a challenge or an event that nobody takes. It
    /// has its answer, and nothing else happens.
    Answered(HttpAnswer),
}

/// A verified event: the vendor vouches for who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvent {
    /// The vendor's id of this very event; the inbox is keyed by it.
    pub event_id: String,
    /// Who sent it.
    pub account: Account,
    /// How strongly that is proven.
    pub strength: Strength,
    /// Where it was done.
    pub place: Place,
    /// What was done.
    pub act: Act,
    /// Where results go later.
    pub reply_to: Option<ReplyTo>,
    /// What opens a form for this event, opaque to all but its surface; `None` where none can be
    /// opened.
    pub form_ticket: Option<String>,
}

/// Where in a chat something is done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// The vendor's id of the channel; empty when the vendor does not say.
    pub channel: String,
    /// Whether only the person and Rave are there.
    pub privacy: Privacy,
}

/// Who can read what is written in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// Others, as far as Rave knows.
    #[default]
    Shared,
    /// Only the person and Rave: a direct message.
    Direct,
}

/// What somebody does in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Types a command.
    Command {
        /// The words after `/rave`.
        text: String,
    },
    /// Presses a button under a run's message.
    Press {
        /// Which.
        press: Press,
        /// The run that the message is about.
        run: RunId,
    },
    /// Sends a form off.
    Submit {
        /// What the form was opened for, as the adapter sealed it into the form.
        purpose: FormPurpose,
        /// What was filled in, by field; nothing of it has been checked.
        values: BTreeMap<String, Vec<String>>,
    },
    /// Types an option of a command and wants to be helped. Never recorded, refused in silence.
    Complete {
        /// The words of the command, without options.
        words: Vec<String>,
        /// The option being typed.
        option: String,
        /// What is there of it so far.
        typed: String,
    },
}

impl Act {
    /// What kind it is: an answer's form depends on that alone.
    #[must_use]
    pub const fn kind(&self) -> ActKind {
        match self {
            Self::Command { .. } => ActKind::Command,
            Self::Press { .. } => ActKind::Press,
            Self::Submit { .. } => ActKind::Submit,
            Self::Complete { .. } => ActKind::Complete,
        }
    }
}

/// The kind of an [`Act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// [`Act::Command`].
    Command,
    /// [`Act::Press`].
    Press,
    /// [`Act::Submit`].
    Submit,
    /// [`Act::Complete`].
    Complete,
}

/// Where later messages about a request go. Opaque to all but the courier of its channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The courier's name, such as `mattermost.response_url`.
    pub courier: String,
    /// What the courier needs: a URL, a channel, a thread. Never logged.
    pub address: serde_json::Value,
    /// Until when it works.
    pub expires: Timestamp,
    /// How many messages it takes.
    pub uses: u32,
    /// Whether the courier keeps one message about a run and edits it, and how that begins.
    /// `expires` and `uses` say nothing then: the courier finds a way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveStart>,
}

/// How a run's live message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveStart {
    /// The courier posts it. The immediate answer only says so, to the asker alone.
    Post,
    /// The immediate answer is the live message, and the courier edits it.
    Answer,
}

/// The answer in the vendor's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status: the vendor's success status for everything but a request that is not the
    /// vendor's at all.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// What somebody who did something in a chat is told at once.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This.
    Reply(Arc<ChatReply>),
    /// A form to fill in. Where none can be opened the reply says what to type instead.
    Form {
        /// The form.
        form: Box<Form>,
        /// For surfaces and moments without forms.
        instead: Arc<ChatReply>,
    },
    /// The form that was sent off needs another look: what is wrong, at its fields.
    FieldErrors(Vec<FieldError>),
    /// What an option may be.
    Choices(Vec<Choice>),
}

impl Answer {
    /// A reply as an answer.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self::Reply(Arc::new(reply.into()))
    }

    /// What is left to be said where the vendor was given another answer already: forms open no
    /// more, and fields have no place for an error.
    #[must_use]
    pub fn afterwards(self) -> Option<Arc<ChatReply>> {
        match self {
            Self::Reply(reply) | Self::Form { instead: reply, .. } => Some(reply),
            Self::FieldErrors(errors) => Some(Arc::new(FieldError::together(&errors).into())),
            Self::Choices(_) => None,
        }
    }
}

/// A reply on its way to the surface that it is for. One that is kept for the next who asks the
/// same is put into the vendor's form only once.
#[derive(Debug)]
pub struct ChatReply {
    reply: Reply,
    /// As the answer to a command.
    form: OnceLock<HttpAnswer>,
}

impl From<Reply> for ChatReply {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            form: OnceLock::new(),
        }
    }
}

impl ChatReply {
    /// The content.
    #[must_use]
    pub const fn content(&self) -> &Reply {
        &self.reply
    }

    /// The answer to something of this kind in the vendor's form. All surfaces that a reply is put
    /// on render a command's answer alike: a reply that is kept is kept for one vendor.
    pub fn on(&self, surface: &dyn ChatSurface, to: ActKind) -> HttpAnswer {
        let render = || surface.answer(to, &self.reply);
        if to == ActKind::Command {
            self.form.get_or_init(render).clone()
        } else {
            render()
        }
    }
}

/// Why a request is not a verified event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceRejection {
    /// The signature or token is missing or wrong. Audited, alerted, limited; nothing else happens.
    #[error("not authentic: {why}")]
    NotAuthentic {
        /// For the log, without the token.
        why: &'static str,
    },
    /// Authentic, but not in a form that can be used; the user is told.
    #[error("malformed: {why}")]
    Malformed {
        /// For the user.
        why: String,
    },
}

/// A form could not be opened; what was to be said instead is said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the form could not be opened: {why}")]
pub struct FormFault {
    /// For the log, without tokens.
    pub why: String,
}

/// One endpoint of a chat vendor.
#[async_trait]
pub trait ChatSurface: Send + Sync {
    /// Which surface it speaks for.
    fn surface(&self) -> Surface;

    /// Verifies raw bytes and says what they mean. Constant time where secrets are compared; reads
    /// no clock but `now`.
    ///
    /// # Errors
    /// See [`SurfaceRejection`].
    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection>;

    /// The immediate answer in the vendor's form, always its success status.
    fn answer(&self, to: ActKind, reply: &Reply) -> HttpAnswer;

    /// Whether people see such an answer to such an act. Where the vendor shows nothing of it, it
    /// is told by [`ChatSurface::say`].
    fn shows(&self, _to: ActKind, _reply: &Reply) -> bool {
        true
    }

    /// After how long an act that has no answer yet is deferred, so that the vendor gives up on
    /// none; `None` where the vendor waits for as long as Rave may take.
    fn defers_after(&self) -> Option<Duration> {
        None
    }

    /// What defers an act: it says that the answer follows, and acknowledges nothing.
    fn deferral(&self, to: ActKind) -> HttpAnswer {
        let reply = Reply::text("Rave is working on it; the answer follows here.");
        self.answer(to, &reply)
    }

    /// Tells what was answered, after the answer, where [`ChatSurface::shows`] says that nobody
    /// sees it, or where the answer was deferred. Tries once: what must not be lost is in the
    /// outbox.
    async fn say(&self, _event: &VerifiedEvent, _reply: &Reply) {}

    /// The answer to a form that needs another look.
    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer;

    /// The answer to an option being typed. Vendors without such helps never ask.
    fn choices(&self, choices: &[Choice]) -> HttpAnswer;

    /// Opens a form for the event, and gives the answer to the event itself. Within the vendor's
    /// time for an answer.
    ///
    /// # Errors
    /// [`FormFault`], also where the event has no [`VerifiedEvent::form_ticket`].
    async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault>;

    /// The answer to a request that is not authentic or cannot be read.
    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer;
}

/// What takes events that come over a connection of the adapter's own.
#[async_trait]
pub trait ChatHandler: Send + Sync {
    /// Person, limits, engine: what an event over HTTP goes through too.
    async fn handle(&self, event: &VerifiedEvent) -> Answer;

    /// The time that signatures, tickets and expiries are held against.
    fn now(&self) -> Timestamp;
}

/// A connection that an adapter keeps to its vendor, for installations without a public address.
#[async_trait]
pub trait ChatListener: Send + Sync {
    /// Its name in logs and `/readyz`: `slack.socket`, `discord.gateway`.
    fn name(&self) -> &'static str;

    /// Connects, takes events, and connects again when the connection breaks, as the vendor wants
    /// it done. Ends when it is dropped, or when the vendor says that trying again is of no use.
    ///
    /// # Errors
    /// What an administrator must change, such as a revoked token.
    async fn listen(&self, handler: Arc<dyn ChatHandler>) -> Result<(), ListenerFault>;
}

/// Why a listener has given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ListenerFault {
    /// For the log and `/readyz`, without tokens.
    pub why: String,
}
