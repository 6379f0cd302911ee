//! Interactions: buttons under messages, forms that are sent off.

use rave_domain::ports::surface::{Act, Incoming, Place, Privacy, SurfaceRejection, VerifiedEvent};
use rave_domain::{Strength, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::address::{Address, Response};
use crate::desk::Desk;
use crate::ids::{account, id, malformed, maybe};
use crate::render;
use crate::wire;

/// What is read of an interaction's payload ("Interaction payloads"); everything else is
/// tolerated.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Interaction {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    team: Option<Id>,
    enterprise: Option<Id>,
    trigger_id: Option<String>,
    response_url: Option<String>,
    container: Option<Container>,
    channel: Option<Id>,
    message: Option<Message>,
    actions: Vec<Action>,
    pub(crate) view: Option<View>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    id: String,
    team_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Id {
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    message_ts: Option<String>,
    thread_ts: Option<String>,
    channel_id: Option<String>,
    is_ephemeral: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    thread_ts: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Action {
    action_id: String,
    value: Option<String>,
}

/// A form as it comes back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    pub(crate) callback_id: String,
    pub(crate) private_metadata: String,
    pub(crate) state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// By `block_id`, then by `action_id`.
    pub(crate) values: serde_json::Map<String, Value>,
}

impl Interaction {
    /// Out of a form with the one field `payload`.
    pub(crate) fn of_form(body: &[u8]) -> Result<Self, SurfaceRejection> {
        let mut payloads = url::form_urlencoded::parse(body)
            .filter(|(key, _)| key == "payload")
            .map(|(_, value)| value);
        let payload = payloads
            .next()
            .ok_or_else(|| malformed("payload is missing"))?;
        if payloads.next().is_some() {
            return Err(malformed("payload is there more than once"));
        }
        serde_json::from_str(&payload).map_err(|_| malformed("the payload cannot be read"))
    }

    pub(crate) fn user(&self) -> &str {
        &self.user.id
    }

    pub(crate) fn account(&self) -> Result<rave_domain::Account, SurfaceRejection> {
        let of = |id: &Option<Id>| id.as_ref().and_then(|it| it.id.clone());
        let (team, enterprise) = (of(&self.team), of(&self.enterprise));
        // A guest of another workspace has a team of their own.
        let team = self.user.team_id.clone().or(team);
        account(team.as_deref(), enterprise.as_deref(), &self.user.id)
    }
}

impl Desk {
    /// An interaction. What is none of Rave's is acknowledged.
    pub(crate) fn interaction(
        &self,
        interaction: &Interaction,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        match interaction.kind.as_str() {
            "block_actions" => self.press(interaction, now),
            "view_submission" => self.submission(interaction, now),
            _ => Ok(Incoming::Answered(wire::acknowledged())),
        }
    }

    fn press(
        &self,
        interaction: &Interaction,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        let pressed = interaction.actions.first().and_then(|action| {
            render::pressed(
                &action.action_id,
                action.value.as_deref().unwrap_or_default(),
            )
        });
        let Some((press, run)) = pressed else {
            return Ok(Incoming::Answered(wire::acknowledged()));
        };
        let trigger = interaction.trigger_id.clone().unwrap_or_default();
        let trigger = id("trigger_id", &trigger)?;
        let none = Container::default();
        let container = interaction.container.as_ref().unwrap_or(&none);
        let channel = interaction.channel.as_ref().and_then(|it| it.id.as_deref());
        let channel = channel.or(container.channel_id.as_deref());
        let channel = id("the channel", channel.unwrap_or_default())?;
        let ts = maybe(container.message_ts.as_deref());
        let in_message = interaction.message.as_ref();
        let thread = container
            .thread_ts
            .as_deref()
            .or_else(|| in_message.and_then(|it| it.thread_ts.as_deref()));
        // The root of a thread names itself; it is not in the thread.
        let thread = maybe(thread).filter(|thread| ts.as_ref() != Some(thread));
        let seen_by_all = container.is_ephemeral != Some(true);
        let response_url = interaction.response_url.clone().unwrap_or_default();
        let address = Address {
            channel: channel.to_owned(),
            user: interaction.user().to_owned(),
            thread,
            under: ts.filter(|_| seen_by_all),
            opens: false,
            response: Response::new(&response_url, self.places(), now),
            asked: now,
            life: self.life().to_owned(),
        };
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: trigger.to_owned(),
            account: interaction.account()?,
            strength: Strength::Signed,
            place: Place {
                channel: channel.to_owned(),
                privacy: Privacy::Shared,
            },
            act: Act::Press { press, run },
            reply_to: address.reply_to(self.writes(), now),
            form_ticket: self.form_ticket(trigger),
        })))
    }
}
