//! The Events API: mentions of Rave, and direct messages to it, are commands.

use rave_domain::ports::surface::{Act, Incoming, Place, Privacy, SurfaceRejection, VerifiedEvent};
use rave_domain::{Strength, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::address::{Address, Writes};
use crate::desk::Desk;
use crate::ids::{account, id, malformed, maybe};
use crate::typed::{after_mention, typed, without_command};
use crate::wire;

/// A challenge has about 50 characters; a longer one is not given back.
const LONGEST_CHALLENGE: usize = 1024;

/// What is read of a callback ("The Events API"); everything else is tolerated.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Callback {
    #[serde(rename = "type")]
    kind: String,
    challenge: Option<String>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    event_id: Option<String>,
    authorizations: Vec<Authorization>,
    event: Option<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Authorization {
    user_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    user: Option<String>,
    /// The team of a guest from another workspace.
    user_team: Option<String>,
    team: Option<String>,
    bot_id: Option<String>,
    text: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    channel: Option<String>,
    channel_type: Option<String>,
    /// There when a message was changed after it was sent.
    edited: Option<Value>,
}

impl Callback {
    pub(crate) fn of_json(body: &[u8]) -> Result<Self, SurfaceRejection> {
        serde_json::from_slice(body).map_err(|_| malformed("the event cannot be read"))
    }
}

fn acknowledged() -> Incoming {
    Incoming::Answered(wire::acknowledged())
}

impl Desk {
    /// An event. What is not for Rave is acknowledged, so that Slack does not send it again.
    pub(crate) fn event(
        &self,
        callback: &Callback,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        match callback.kind.as_str() {
            "url_verification" => {
                let challenge = callback.challenge.as_deref().unwrap_or_default();
                if challenge.len() > LONGEST_CHALLENGE {
                    return Err(malformed("the challenge is too long"));
                }
                let body = json!({"challenge": challenge});
                Ok(Incoming::Answered(wire::json(200, &body)))
            }
            "event_callback" => self.written(callback, now),
            "app_rate_limited" => {
                tracing::warn!("slack_events_limited");
                Ok(acknowledged())
            }
            _ => Ok(acknowledged()),
        }
    }

    /// Something that somebody wrote.
    fn written(&self, callback: &Callback, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        let Some(event) = &callback.event else {
            return Ok(acknowledged());
        };
        let by_a_person =
            event.bot_id.is_none() && event.subtype.is_none() && event.edited.is_none();
        let user = event.user.as_deref().unwrap_or_default();
        let channel = event.channel.as_deref().unwrap_or_default();
        let direct = event.channel_type.as_deref() == Some("im");
        let rave = callback
            .authorizations
            .iter()
            .find_map(|it| it.user_id.as_deref());
        let text = event.text.as_deref().unwrap_or_default();
        let line = match event.kind.as_str() {
            // A mention in a direct message comes as a message too.
            "app_mention" if !channel.starts_with('D') => after_mention(text, rave),
            "message" if direct && starts_with_mention(text) => after_mention(text, rave),
            "message" if direct => without_command(&typed(text)),
            _ => return Ok(acknowledged()),
        };
        // Nobody could read an answer without a bot.
        if !by_a_person || Some(user) == rave || self.writes() == Writes::ByResponseUrl {
            return Ok(acknowledged());
        }
        let event_id = callback.event_id.as_deref().unwrap_or_default();
        let event_id = id("event_id", event_id)?;
        let channel = id("the channel", channel)?;
        let ts = maybe(event.ts.as_deref());
        let thread = maybe(event.thread_ts.as_deref());
        // In a channel a thread keeps what follows together; a direct message is one already.
        let opens = thread.is_none() && !direct;
        let address = Address {
            channel: channel.to_owned(),
            user: user.to_owned(),
            thread: if opens { ts } else { thread },
            under: None,
            opens,
            response: None,
            asked: now,
            life: self.life().to_owned(),
        };
        let team = [&event.user_team, &callback.team_id, &event.team];
        let team = team.into_iter().find_map(|team| team.as_deref());
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: event_id.to_owned(),
            account: account(team, callback.enterprise_id.as_deref(), user)?,
            strength: Strength::Signed,
            place: Place {
                channel: channel.to_owned(),
                privacy: if direct {
                    Privacy::Direct
                } else {
                    Privacy::Shared
                },
            },
            act: Act::Command { text: line },
            reply_to: address.reply_to(self.writes(), now),
            form_ticket: None,
        })))
    }
}

fn starts_with_mention(text: &str) -> bool {
    text.trim_start().starts_with("<@")
}
