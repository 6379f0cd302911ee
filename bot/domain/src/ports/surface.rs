//! The surface port: a vendor's wire in, a verified event and an immediate answer out.
//!
//! `server` owns the routes, an adapter the vendor's wire, the binary joins them. An adapter sees
//! raw bytes and headers and says who sent what; it decides nothing and executes nothing.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::people::{Account, Strength, Surface};
use crate::reply::Reply;
use crate::time::Timestamp;

/// A request as it arrived, bounded in size by the server.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// All headers.
    pub headers: HeaderMap,
    /// The body as sent: signatures are over these bytes.
    pub body: Bytes,
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
    /// The words after `/rave`.
    pub text: String,
    /// Where results go later.
    pub reply_to: Option<ReplyTo>,
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

/// A reply on its way to the surface that it is for. One that is kept for the next who asks the
/// same is put into the vendor's form only once.
#[derive(Debug)]
pub struct ChatReply {
    reply: Reply,
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
    /// The answer in the vendor's form.
    pub fn on(&self, surface: &dyn ChatSurface) -> HttpAnswer {
        let form = self.form.get_or_init(|| surface.answer(&self.reply));
        form.clone()
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

/// One endpoint of a chat vendor.
pub trait ChatSurface: Send + Sync {
    /// Which surface it speaks for.
    fn surface(&self) -> Surface;

    /// Verifies raw bytes and says what they mean. Constant time where secrets are compared; reads
    /// no clock but `now`.
    ///
    /// # Errors
    /// See [`SurfaceRejection`].
    fn verify(
        &self,
        request: &RawRequest,
        now: Timestamp,
    ) -> Result<VerifiedEvent, SurfaceRejection>;

    /// The immediate answer in the vendor's form, always its success status.
    fn answer(&self, reply: &Reply) -> HttpAnswer;

    /// The answer to a request that is not authentic.
    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer;
}
