//! The courier port: what must still be delivered, to where it goes.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

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
}
