//! Where something was asked for, as it stands in the journal until it has been answered.

use rave_domain::Timestamp;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::{LiveStart, Privacy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The way back to an interaction, and around it once its token is over.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    /// The interaction's token: whoever has it may speak for Rave in this channel.
    pub(crate) token: String,
    /// Until when it works.
    pub(crate) until: Timestamp,
    /// The channel, thread or direct message.
    pub(crate) channel: String,
    /// Who asked.
    pub(crate) user: String,
    /// Whether the interaction's own answer is the run's message.
    pub(crate) start: LiveStart,
    /// Who reads the channel.
    pub(crate) privacy: Privacy,
}

/// The run's message as it stands at Discord.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Its channel.
    pub(crate) channel: String,
    /// Its id.
    pub(crate) message: String,
    /// What made it: an answer can be edited with the interaction's token.
    pub(crate) by: By,
}

/// What made a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// The interaction's token.
    Token,
    /// The bot.
    Bot,
}

impl Address {
    pub(crate) fn to_json(&self) -> Value {
        // Texts and a time always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Reads an address back.
    ///
    /// # Errors
    /// When it is not one of this courier's; its content is not shown.
    pub(crate) fn read(value: &Value) -> Result<Self, DeliveryError> {
        Self::deserialize(value).map_err(|_| DeliveryError::Never {
            why: "the address is not one of Discord's".to_owned(),
        })
    }

    /// Whether the token still works.
    pub(crate) fn lives(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl Shown {
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What was remembered; what cannot be read was not shown.
    pub(crate) fn read(value: Option<&Value>) -> Option<Self> {
        Self::deserialize(value?).ok()
    }
}
