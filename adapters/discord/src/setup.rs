//! Registering the commands: only what differs is changed, and only when somebody asks for it.

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Api, As, Body, Refused};
use crate::commands::{Commands, NAME};
use crate::config::Snowflake;

/// What a registration found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// What became of the command.
    pub outcome: Outcome,
    /// The server it is registered in; everywhere without one.
    pub guild: Option<Snowflake>,
    /// Whether it is registered everywhere besides, so that people of the server see it twice.
    pub twice: bool,
    /// Whether the configured public key is the application's; `None` without one.
    pub key_is_right: Option<bool>,
    /// Where Discord sends interactions; `None` when they go over the gateway.
    pub endpoint: Option<String>,
}

/// What became of the command at Discord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was another one.
    Changed,
    /// It was the same: nothing was sent.
    Same,
}

/// Why the commands were not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SetupFault {
    /// What happened and what to do, without tokens.
    pub why: String,
}

impl From<Refused> for SetupFault {
    fn from(refused: Refused) -> Self {
        let why = match refused {
            Refused::No { status: 401, .. } => "Discord refuses discord.bot_token".to_owned(),
            Refused::No {
                status: 403 | 404, ..
            } => "Discord does not let the bot register commands there: add the application to \
                  the server, with the scopes `bot` and `applications.commands`"
                .to_owned(),
            other @ (Refused::No { .. } | Refused::Later { .. }) => {
                rave_domain::ports::courier::DeliveryError::from(other).to_string()
            }
        };
        Self { why }
    }
}

/// What is read of "Get Current Application".
#[derive(Debug, Deserialize)]
struct CurrentApplication {
    id: String,
    #[serde(default)]
    verify_key: String,
    #[serde(default)]
    interactions_endpoint_url: Option<String>,
}

pub(crate) async fn register(
    api: &Api,
    application: Snowflake,
    guild: Option<Snowflake>,
    public_key: Option<&str>,
    commands: &Commands,
) -> Result<Registered, SetupFault> {
    if api.bot().is_none() {
        return Err(SetupFault {
            why: "commands are registered by the bot: set discord.bot_token".to_owned(),
        });
    }
    let path = ["applications", "@me"];
    let current: CurrentApplication = api.call(Method::GET, &path, As::Bot, Body::Empty).await?;
    let id = application.to_string();
    if current.id != id {
        return Err(SetupFault {
            why: format!(
                "discord.bot_token belongs to the application {}, but discord.application_id is {id}",
                current.id
            ),
        });
    }
    let guild_id = guild.map(|guild| guild.to_string());
    let everywhere = vec!["applications", &id, "commands"];
    let there = match &guild_id {
        Some(guild) => vec!["applications", &id, "guilds", guild, "commands"],
        None => everywhere.clone(),
    };
    let found = find(api, &there).await?;
    let ours = normal(&serde_json::to_value(commands.registered()).unwrap_or_default());
    let outcome = match &found {
        Some(found) if normal(found) == ours => Outcome::Same,
        Some(_) => Outcome::Changed,
        None => Outcome::Created,
    };
    if outcome != Outcome::Same {
        // One with the same name is replaced; other commands of the application stay.
        let body = Body::json(commands.registered());
        api.send(Method::POST, &there, As::Bot, body).await?;
    }
    let twice = guild.is_some() && find(api, &everywhere).await?.is_some();
    Ok(Registered {
        outcome,
        guild,
        twice,
        key_is_right: public_key.map(|key| key.trim().eq_ignore_ascii_case(&current.verify_key)),
        endpoint: current.interactions_endpoint_url,
    })
}

/// The command as it is registered.
async fn find(api: &Api, path: &[&str]) -> Result<Option<Value>, SetupFault> {
    let all: Vec<Value> = api.call(Method::GET, path, As::Bot, Body::Empty).await?;
    Ok(all.into_iter().find(|command| {
        let kind = command.get("type").and_then(Value::as_u64);
        command.get("name").and_then(Value::as_str) == Some(NAME) && kind.is_none_or(|k| k == 1)
    }))
}

/// What counts of a command, with what Discord adds and leaves out taken away: ids, versions,
/// translations, and everything that says nothing.
fn normal(value: &Value) -> Value {
    const COUNTS: [&str; 10] = [
        "type",
        "name",
        "description",
        "required",
        "autocomplete",
        "min_value",
        "max_value",
        "choices",
        "options",
        "value",
    ];
    match value {
        Value::Object(object) => {
            let mut kept = Map::new();
            for key in COUNTS {
                let Some(value) = object.get(key) else {
                    continue;
                };
                let empty = match value {
                    Value::Null | Value::Bool(false) => true,
                    Value::Array(items) => items.is_empty(),
                    Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                        false
                    }
                };
                if !empty {
                    kept.insert(key.to_owned(), normal(value));
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(normal).collect()),
        // Bounds come back as they like: 5 and 5.0 are one.
        Value::Number(number) => number
            .as_f64()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| value.clone(), Value::Number),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_discord_adds_makes_no_difference() {
        let ours = json!({"name": "rave", "type": 1, "description": "Runs", "options": [
            {"type": 1, "name": "scale", "description": "Scales", "options": [
                {"type": 4, "name": "replicas", "description": "How many", "required": true,
                 "min_value": 0, "max_value": 10},
            ]},
        ]});
        let theirs = json!({"id": "1", "application_id": "2", "version": "3", "type": 1,
            "name": "rave", "name_localizations": null, "description": "Runs",
            "default_member_permissions": null, "nsfw": false, "contexts": null, "options": [
            {"type": 1, "name": "scale", "description": "Scales", "required": false, "options": [
                {"type": 4, "name": "replicas", "description": "How many", "required": true,
                 "autocomplete": false, "min_value": 0.0, "max_value": 10},
            ]},
        ]});
        assert_eq!(normal(&ours), normal(&theirs));
        let mut other = theirs.clone();
        other["options"][0]["options"][0]["max_value"] = json!(11);
        assert_ne!(normal(&ours), normal(&other));
    }
}
