//! Slash commands: a form over HTTP, an object over Socket Mode, with the same fields.

use rave_domain::ports::surface::{Act, Incoming, Place, Privacy, SurfaceRejection, VerifiedEvent};
use rave_domain::{Strength, Timestamp};
use serde::Deserialize;

use crate::address::{Address, Response};
use crate::desk::Desk;
use crate::ids::{account, id, malformed};
use crate::typed::typed;
use crate::wire;

/// The fields that are read ("Slash commands": preparing your app to receive commands). `token` is
/// deprecated, `user_name` can be changed to look like another's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Command {
    team_id: Option<String>,
    enterprise_id: Option<String>,
    channel_id: Option<String>,
    user_id: Option<String>,
    text: Option<String>,
    response_url: Option<String>,
    trigger_id: Option<String>,
}

impl Command {
    /// Out of a form. A field that decides what happens may be there once: two would mean
    /// different things to different readers.
    pub(crate) fn of_form(body: &[u8]) -> Result<Self, SurfaceRejection> {
        let mut command = Self::default();
        for (key, value) in url::form_urlencoded::parse(body) {
            let place = match key.as_ref() {
                "team_id" => &mut command.team_id,
                "enterprise_id" => &mut command.enterprise_id,
                "channel_id" => &mut command.channel_id,
                "user_id" => &mut command.user_id,
                "text" => &mut command.text,
                "response_url" => &mut command.response_url,
                "trigger_id" => &mut command.trigger_id,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(malformed(format!("{key} is there more than once")));
            }
        }
        Ok(command)
    }
}

/// Whether a form is Slack's look at the certificate, and nothing else. It may come unsigned, and
/// its answer says nothing.
pub(crate) fn is_ssl_check(body: &[u8]) -> bool {
    let mut checks = false;
    for (key, value) in url::form_urlencoded::parse(body) {
        match key.as_ref() {
            "ssl_check" => checks = value == "1",
            "command" | "trigger_id" | "user_id" => return false,
            _ => {}
        }
    }
    checks
}

pub(crate) fn ssl_checked() -> Incoming {
    Incoming::Answered(wire::acknowledged())
}

impl Desk {
    /// A slash command. Those cannot be typed in threads.
    pub(crate) fn command(
        &self,
        command: &Command,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        let given = |field: &Option<String>| field.clone().unwrap_or_default();
        let trigger = given(&command.trigger_id);
        let trigger = id("trigger_id", &trigger)?;
        let channel = given(&command.channel_id);
        let channel = id("channel_id", &channel)?;
        let user = given(&command.user_id);
        let address = Address {
            channel: channel.to_owned(),
            user: user.clone(),
            thread: None,
            under: None,
            opens: false,
            response: Response::new(&given(&command.response_url), self.places(), now),
            asked: now,
            life: self.life().to_owned(),
        };
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: trigger.to_owned(),
            account: account(
                command.team_id.as_deref(),
                command.enterprise_id.as_deref(),
                &user,
            )?,
            strength: Strength::Signed,
            place: Place {
                channel: channel.to_owned(),
                // A direct message may be one between two people.
                privacy: Privacy::Shared,
            },
            act: Act::Command {
                text: typed(&given(&command.text)),
            },
            reply_to: address.reply_to(self.writes(), now),
            form_ticket: self.form_ticket(trigger),
        })))
    }
}
