//! What Discord says that somebody did ("Receiving and Responding": Interaction Object).
//!
//! New fields and kinds come often, so only what is needed is read, and what cannot be used is
//! told to the person: nobody has forged it.

use std::collections::BTreeMap;
use std::time::Duration;

use rave_domain::ports::surface::{
    Act, ActKind, LiveStart, Place, Privacy, ReplyTo, VerifiedEvent,
};
use rave_domain::time::after;
use rave_domain::{Account, Strength, Surface, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::address::Address;
use crate::commands::{self, Commands, Given};
use crate::config::Snowflake;
use crate::courier;
use crate::seals::{self, Seals};

/// An interaction's token works for 15 minutes.
pub(crate) const TOKEN_LIVES: Duration = Duration::from_secs(15 * 60);

/// How long a bot finds its way to where something was asked for; the outbox gives up long before.
const BOT_FINDS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Tokens have a few hundred characters.
const LONGEST_TOKEN: usize = 2048;

/// Options and form fields that are read; Discord has at most 25 and 5.
const MOST: usize = 50;

/// Context types.
const GUILD: u64 = 0;
const BOT_DM: u64 = 1;

/// Channel type of a direct message.
const DM: u64 = 1;

/// Option types.
const SUB_COMMAND: u64 = 1;
const GROUP: u64 = 2;
const ATTACHMENT: u64 = 11;

/// Component types.
const BUTTON: u64 = 2;
const TEXT_INPUT: u64 = 4;

#[derive(Debug, Deserialize)]
pub(crate) struct Interaction {
    id: String,
    #[serde(rename = "type")]
    pub(crate) kind: u64,
    #[serde(default)]
    application_id: Option<String>,
    #[serde(default)]
    token: String,
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    guild_id: Option<String>,
    #[serde(default)]
    channel_id: Option<String>,
    #[serde(default)]
    channel: Option<Channel>,
    #[serde(default)]
    context: Option<u64>,
    #[serde(default)]
    member: Option<Member>,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(default)]
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
}

/// `data` of a command, or of one whose option is being typed.
#[derive(Debug, Deserialize)]
struct CommandData {
    name: String,
    #[serde(default, rename = "type")]
    kind: Option<u64>,
    #[serde(default)]
    options: Vec<OptionData>,
}

#[derive(Debug, Deserialize)]
struct OptionData {
    name: String,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    options: Vec<OptionData>,
    #[serde(default)]
    focused: bool,
}

#[derive(Debug, Deserialize)]
struct ComponentData {
    custom_id: String,
    #[serde(default)]
    component_type: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct ModalData {
    custom_id: String,
    #[serde(default)]
    components: Vec<Component>,
}

/// A Label (type 18) with its `component`, an action row with its `components`, or an input.
#[derive(Debug, Deserialize)]
struct Component {
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    custom_id: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    component: Option<Box<Component>>,
    #[serde(default)]
    components: Vec<Component>,
}

/// What an interaction is read with.
pub(crate) struct Reader<'a> {
    pub(crate) application: Snowflake,
    pub(crate) seals: &'a Seals,
    pub(crate) commands: &'a Commands,
    /// Whether a bot can go on when the interaction's token is over.
    pub(crate) bot: bool,
}

/// Authentic, but nothing that can be done; for the person.
pub(crate) type Unusable = String;

impl Interaction {
    /// The interaction's id and token, for an answer that is called in.
    pub(crate) fn callback(&self) -> Option<(Snowflake, &str)> {
        let id = self.id.parse().ok()?;
        is_token(&self.token).then_some((id, self.token.as_str()))
    }

    /// What it means.
    pub(crate) fn event(
        self,
        reader: &Reader<'_>,
        now: Timestamp,
    ) -> Result<VerifiedEvent, Unusable> {
        let id: Snowflake = self.id.parse().map_err(|_| "its id is not an id")?;
        let application = self.application_id.as_deref().map(str::parse);
        if application != Some(Ok(reader.application)) {
            return Err("it is for another application".to_owned());
        }
        let user = self.user()?;
        let place = self.place()?;
        let act = self.act(reader, user, now)?;
        let kind = act.kind();
        let expires = after(now, TOKEN_LIVES);
        let reply_to = (is_token(&self.token) && kind != ActKind::Complete).then(|| {
            let address = Address {
                token: self.token.clone(),
                until: expires,
                channel: place.channel.clone(),
                user: user.to_string(),
                // The answer to a button is for whoever pressed it, so it cannot be the message of
                // a new run.
                start: match kind {
                    ActKind::Command => LiveStart::Answer,
                    ActKind::Press | ActKind::Submit | ActKind::Complete => LiveStart::Post,
                },
                privacy: place.privacy,
            };
            ReplyTo {
                courier: courier::COURIER.to_owned(),
                live: Some(address.start),
                address: address.to_json(),
                expires: if reader.bot {
                    after(now, BOT_FINDS)
                } else {
                    expires
                },
                uses: u32::MAX,
            }
        });
        Ok(VerifiedEvent {
            event_id: id.to_string(),
            account: Account::new(Surface::Discord, user.to_string()),
            strength: Strength::Signed,
            place,
            // A modal answers a command or a button, but not a modal.
            form_ticket: matches!(kind, ActKind::Command | ActKind::Press)
                .then(|| "modal".to_owned()),
            act,
            reply_to,
        })
    }

    /// In a server it is the member's user, in direct messages the user; names can be changed,
    /// ids cannot.
    fn user(&self) -> Result<Snowflake, Unusable> {
        let member = self.member.as_ref().and_then(|member| member.user.as_ref());
        let id = match (member, &self.user) {
            (Some(user), None) | (None, Some(user)) => user.id.parse().ok(),
            (Some(_), Some(_)) | (None, None) => None,
        };
        id.ok_or_else(|| "it does not say who did it".to_owned())
    }

    fn place(&self) -> Result<Place, Unusable> {
        let channel = self.channel.as_ref();
        let id = self.channel_id.as_ref();
        let id = id.or_else(|| channel.and_then(|channel| channel.id.as_ref()));
        let id: Snowflake = id
            .and_then(|id| id.parse().ok())
            .ok_or("it does not say in which channel it was done")?;
        let direct = match self.context {
            Some(context) => context == BOT_DM,
            None => self.guild_id.is_none() && channel.and_then(|c| c.kind) == Some(DM),
        };
        let direct = direct && self.context != Some(GUILD) && self.member.is_none();
        Ok(Place {
            channel: id.to_string(),
            privacy: if direct {
                Privacy::Direct
            } else {
                Privacy::Shared
            },
        })
    }

    fn act(&self, reader: &Reader<'_>, user: Snowflake, now: Timestamp) -> Result<Act, Unusable> {
        match self.kind {
            kind::COMMAND => {
                let (path, options) = command(self.data()?)?;
                let given: Vec<Given> = options.iter().filter_map(given).collect();
                Ok(Act::Command {
                    text: reader.commands.line(&path, &given),
                })
            }
            kind::AUTOCOMPLETE => {
                let (path, options) = command(self.data()?)?;
                let focused = options
                    .into_iter()
                    .find(|option| option.focused)
                    .ok_or("it does not say which option is being typed")?;
                Ok(Act::Complete {
                    words: reader.commands.words(&path),
                    option: reader.commands.option(&path, &focused.name),
                    typed: given(&focused).map(|given| given.value).unwrap_or_default(),
                })
            }
            kind::COMPONENT => {
                let data: ComponentData = self.data()?;
                if data.component_type.is_some_and(|kind| kind != BUTTON) {
                    return Err("Rave has no such component".to_owned());
                }
                let id = custom_id(&data.custom_id)?;
                let (press, run) = reader.seals.pressed(id, now)?;
                Ok(Act::Press { press, run })
            }
            kind::MODAL_SUBMIT => {
                let data: ModalData = self.data()?;
                let id = custom_id(&data.custom_id)?;
                let purpose = reader.seals.submitted(id, &user.to_string(), now)?;
                let mut values = BTreeMap::new();
                filled_in(&data.components, &mut values);
                Ok(Act::Submit { purpose, values })
            }
            _ => Err("Rave does not know this kind of interaction".to_owned()),
        }
    }

    fn data<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Unusable> {
        let data = self.data.as_ref().ok_or("it has no data")?;
        T::deserialize(data).map_err(|_| "its data is not what Rave knows".to_owned())
    }
}

/// Interaction types.
pub(crate) mod kind {
    pub(crate) const PING: u64 = 1;
    pub(crate) const COMMAND: u64 = 2;
    pub(crate) const COMPONENT: u64 = 3;
    pub(crate) const AUTOCOMPLETE: u64 = 4;
    pub(crate) const MODAL_SUBMIT: u64 = 5;
}

fn is_token(token: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

fn custom_id(text: &str) -> Result<&str, Unusable> {
    if text.len() > seals::LONGEST {
        return Err("Rave has no such component".to_owned());
    }
    Ok(text)
}

/// The names of group and subcommand, and the options below them.
fn command(data: CommandData) -> Result<(Vec<String>, Vec<OptionData>), Unusable> {
    // 1 is `CHAT_INPUT`; commands in the menus of people and messages are not Rave's.
    if data.name != commands::NAME || data.kind.is_some_and(|kind| kind != 1) {
        return Err("Rave knows the command /rave only".to_owned());
    }
    let mut path = Vec::new();
    let mut options = data.options;
    while options
        .first()
        .is_some_and(|option| matches!(option.kind, SUB_COMMAND | GROUP))
        && path.len() < 2
    {
        let first = options.swap_remove(0);
        path.push(first.name);
        options = first.options;
    }
    options.truncate(MOST);
    Ok((path, options))
}

/// An option's value as text. A file's is an id that says nothing to an intent.
fn given(option: &OptionData) -> Option<Given> {
    if matches!(option.kind, SUB_COMMAND | GROUP | ATTACHMENT) {
        return None;
    }
    let value = match option.value.as_ref()? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(Given {
        name: option.name.clone(),
        value,
    })
}

/// What was filled in, by field. Modals are two deep.
fn filled_in(components: &[Component], values: &mut BTreeMap<String, Vec<String>>) {
    let inner = |component: &Component| -> Vec<(String, String)> {
        let direct = std::iter::once(component);
        direct
            .chain(component.component.as_deref())
            .chain(&component.components)
            .filter(|input| input.kind == TEXT_INPUT && !input.custom_id.is_empty())
            .map(|input| {
                (
                    input.custom_id.clone(),
                    input.value.clone().unwrap_or_default(),
                )
            })
            .collect()
    };
    for (name, value) in components.iter().take(MOST).flat_map(inner) {
        values.entry(name).or_default().push(value);
    }
}
