//! The courier port: what must still be delivered, to where it goes.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ids::{RunId, StepId};
use crate::reply::Reply;
use crate::time::Timestamp;

/// One outbox row's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parcel {
    /// A message about a run or request, to where it was asked for.
    Message {
        /// The courier's own address data.
        address: serde_json::Value,
        /// The content.
        reply: Reply,
    },
    /// An audit alert.
    Alert(Alert),
    /// A run's live message is to say what the run is when it is delivered.
    Live {
        /// The courier's own address data.
        address: serde_json::Value,
    },
    /// What a step has printed, as a file under the run's live message.
    File {
        /// The courier's own address data.
        address: serde_json::Value,
        /// The step.
        step: StepId,
    },
}

/// An audit alert, such as a refused key or a failed command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What happened, in one line: `Authentication failure`.
    pub title: String,
    /// The details, redacted.
    pub text: String,
    /// Whether it went well.
    pub good: bool,
    /// When.
    pub at: Timestamp,
}

/// A run's live message, on its way to say what the run is now.
#[derive(Debug, Clone, Copy)]
pub struct LiveMessage<'a> {
    /// The run: a courier marks its message with it, and finds it again by that mark when a crash
    /// came between posting it and knowing of it.
    pub run: &'a RunId,
    /// The courier's own address data.
    pub address: &'a serde_json::Value,
    /// What the courier gave when it showed the message the last time; `None` at first.
    pub shown: Option<&'a serde_json::Value>,
    /// The content.
    pub reply: &'a Reply,
    /// When.
    pub now: Timestamp,
}

/// A file on its way to a run's conversation.
#[derive(Debug, Clone, Copy)]
pub struct FileMessage<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The courier's own address data.
    pub address: &'a serde_json::Value,
    /// What the courier gave when it showed the run's live message.
    pub shown: Option<&'a serde_json::Value>,
    /// A file name that is safe everywhere: letters, digits, `.`, `-` and `_`.
    pub name: &'a str,
    /// What it is, in a few words.
    pub title: &'a str,
    /// Its content, redacted UTF-8.
    pub content: &'a str,
    /// When.
    pub now: Timestamp,
}

/// How often live messages are edited, so that the vendor's budget holds and people can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The least time between two edits of one message.
    pub each: Duration,
    /// The least time between two edits of any of the courier's messages.
    pub overall: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            each: Duration::from_secs(1),
            overall: Duration::from_millis(100),
        }
    }
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The vendor's id of the message, where there is one.
    pub message_id: Option<String>,
}

/// Why a delivery did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may succeed later; not before `after` when the vendor said so.
    #[error("{why}")]
    Later {
        /// For the log.
        why: String,
        /// The vendor's `Retry-After`.
        after: Option<Duration>,
    },
    /// It never will: the address is gone or refuses.
    #[error("{why}")]
    Never {
        /// For the log and the audit row.
        why: String,
    },
}

/// Delivers one kind of parcel. At least once: a courier that can find its own earlier message by
/// metadata does so before it posts again.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Its name in outbox rows: `mattermost.response_url`, `discord.audit`.
    fn name(&self) -> &'static str;

    /// Delivers once, bounded in time.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    async fn deliver(&self, parcel: &Parcel, dedupe: &str) -> Result<Receipt, DeliveryError>;

    /// Brings a run's live message to what it is to say: posts it, edits it, or posts it anew when
    /// it was deleted or can be edited no more. Gives what it needs to find the message the next
    /// time. Couriers without live messages refuse.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    async fn show(&self, _message: LiveMessage<'_>) -> Result<serde_json::Value, DeliveryError> {
        Err(DeliveryError::Never {
            why: format!("{} keeps no live messages", self.name()),
        })
    }

    /// Sends a file into the run's conversation, under its live message where the vendor has
    /// threads. Couriers without live messages refuse.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    async fn attach(&self, _file: FileMessage<'_>) -> Result<(), DeliveryError> {
        Err(DeliveryError::Never {
            why: format!("{} takes no files", self.name()),
        })
    }

    /// How often live messages may be edited. What changes in between is shown by the next edit.
    fn pace(&self) -> Pace {
        Pace::default()
    }
}
