//! Registered commands, and how a person picks one of them.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::rest::{Refusal, found, refusal};
use super::{APPLICATION, FakeDiscord, GUILD, check};
use crate::payloads::payload;

/// Option types.
const SUB_COMMAND: u64 = 1;
const GROUP: u64 = 2;
const STRING: u64 = 3;
const INTEGER: u64 = 4;
const BOOLEAN: u64 = 5;

pub(super) fn routes() -> Router<FakeDiscord> {
    Router::new()
        .route("/api/v10/applications/@me", get(current))
        .route(
            "/api/v10/applications/{application}/commands",
            get(list).post(create),
        )
        .route(
            "/api/v10/applications/{application}/guilds/{guild}/commands",
            get(list_there).post(create_there),
        )
}

async fn current(State(fake): State<FakeDiscord>, headers: HeaderMap) -> Response {
    let key = hex::encode(fake.key.verifying_key().to_bytes());
    match fake.admits_bot(&headers) {
        Ok(()) => found(
            &json!({"id": APPLICATION, "name": "Rave", "verify_key": key,
            "interactions_endpoint_url": null}),
        ),
        Err(refused) => *refused,
    }
}

async fn list(
    State(fake): State<FakeDiscord>,
    Path(application): Path<String>,
    headers: HeaderMap,
) -> Response {
    fake.listed(&application, "", &headers)
}

async fn list_there(
    State(fake): State<FakeDiscord>,
    Path((application, guild)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    fake.listed(&application, &guild, &headers)
}

async fn create(
    State(fake): State<FakeDiscord>,
    Path(application): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.registered(&application, "", &headers, &body)
}

async fn create_there(
    State(fake): State<FakeDiscord>,
    Path((application, guild)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.registered(&application, &guild, &headers, &body)
}

impl FakeDiscord {
    fn listed(&self, application: &str, guild: &str, headers: &HeaderMap) -> Response {
        if let Err(refused) = self.admits_registrar(application, guild, headers) {
            return *refused;
        }
        let all = self.inner().commands.get(guild).cloned();
        found(&json!(all.unwrap_or_default()))
    }

    fn registered(
        &self,
        application: &str,
        guild: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response {
        if let Err(refused) = self.admits_registrar(application, guild, headers) {
            return *refused;
        }
        let mut command: Value = serde_json::from_slice(body).unwrap_or_default();
        let place = match guild {
            "" => String::new(),
            guild => format!("/guilds/{guild}"),
        };
        let path = format!("/applications/{application}{place}/commands");
        payload(&format!("discord POST {path}"), &command);
        if let Err(why) = check::command(&command) {
            self.violation(why.clone());
            return *refusal(400, 50_035, &why);
        }
        let mut inner = self.inner();
        inner.registrations += 1;
        // What Discord adds.
        command["id"] = json!(inner.id());
        command["application_id"] = json!(APPLICATION);
        command["nsfw"] = json!(false);
        command["name_localizations"] = Value::Null;
        let all = inner.commands.entry(guild.to_owned()).or_default();
        all.retain(|one| one["name"] != command["name"]);
        all.push(command.clone());
        found(&command)
    }

    fn admits_registrar(
        &self,
        application: &str,
        guild: &str,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        self.admits_bot(headers)?;
        if application != APPLICATION || !(guild.is_empty() || guild == GUILD) {
            return Err(refusal(403, 50_001, "Missing Access"));
        }
        Ok(())
    }

    /// A command that the application had before.
    pub fn has_command(&self, command: Value) {
        let mut inner = self.inner();
        inner
            .commands
            .entry(String::new())
            .or_default()
            .push(command);
    }

    /// Names of the commands that are registered everywhere or in the server.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let inner = self.inner();
        let all = inner.commands.values().flatten();
        all.map(|one| one["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// What a person picks and fills in to say a line: the `data` of the interaction, or what the
    /// client says when there is no such command.
    pub(super) fn picked(&self, line: &str) -> Result<Value, String> {
        let command = {
            let inner = self.inner();
            let mut all = inner.commands.values().flatten();
            all.find(|one| one["name"] == "rave").cloned()
        };
        let command = command.ok_or("there is no command /rave")?;
        let line = line.strip_prefix("/rave").unwrap_or(line).trim();
        let (first, rest) = word(line);
        let Some(node) = option(&command, first) else {
            // Everything has its place under `run`.
            let run = option(&command, "run").ok_or("there is no command /rave run")?;
            return Ok(data(&json!([filled(&run, line)?])));
        };
        if node["type"] == SUB_COMMAND {
            return Ok(data(&json!([filled(&node, rest)?])));
        }
        let (second, rest) = word(rest);
        let Some(sub) = option(&node, second).filter(|_| node["type"] == GROUP) else {
            let run = option(&command, "run").ok_or("there is no command /rave run")?;
            return Ok(data(&json!([filled(&run, line)?])));
        };
        Ok(data(
            &json!([{"name": first, "type": GROUP, "options": [filled(&sub, rest)?]}]),
        ))
    }
}

fn data(options: &Value) -> Value {
    json!({"id": "1", "name": "rave", "type": 1, "options": options})
}

fn word(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).unwrap_or((line, ""))
}

fn option(node: &Value, name: &str) -> Option<Value> {
    let options = node["options"].as_array()?;
    options.iter().find(|one| one["name"] == name).cloned()
}

/// A subcommand with its options filled in from a line: `name=value` where there is such an
/// option, otherwise one word after the other, and the rest into the last text.
fn filled(node: &Value, line: &str) -> Result<Value, String> {
    let options = node["options"].as_array().cloned().unwrap_or_default();
    let mut given: Vec<Value> = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (one, after) = word(rest);
        let named = one
            .split_once('=')
            .and_then(|(name, value)| Some((option(node, name)?, value)));
        if let Some((option, value)) = named {
            given.push(typed(&option, value)?);
            rest = after.trim();
            continue;
        }
        let is_free = |option: &&Value| !given.iter().any(|it| it["name"] == option["name"]);
        let free: Vec<&Value> = options.iter().filter(is_free).collect();
        match free.as_slice() {
            [] => return Err(format!("there is no place for {rest:?}")),
            [last] if last["type"] == STRING => {
                let value = typed(last, rest)?;
                given.push(value);
                rest = "";
            }
            [next, ..] => {
                let value = typed(next, one)?;
                given.push(value);
                rest = after.trim();
            }
        }
    }
    for option in &options {
        let there = given.iter().any(|it| it["name"] == option["name"]);
        if option["required"] == true && !there {
            return Err(format!("{} must be filled in", option["name"]));
        }
    }
    Ok(json!({"name": node["name"], "type": SUB_COMMAND, "options": given}))
}

/// A value as the client lets a person give it.
fn typed(option: &Value, text: &str) -> Result<Value, String> {
    let name = &option["name"];
    let value = match option["type"].as_u64() {
        Some(INTEGER) => {
            let number: i64 = text.parse().map_err(|_| format!("{name} is a number"))?;
            let bound = |key: &str| option[key].as_i64();
            if bound("min_value").is_some_and(|min| number < min)
                || bound("max_value").is_some_and(|max| number > max)
            {
                return Err(format!("{name} is out of bounds"));
            }
            json!(number)
        }
        Some(BOOLEAN) => json!(text == "true"),
        _ => json!(text),
    };
    let choices = option["choices"].as_array().cloned().unwrap_or_default();
    if !choices.is_empty() && !choices.iter().any(|choice| choice["value"] == value) {
        return Err(format!("{name} is one of {choices:?}"));
    }
    Ok(json!({"name": name, "type": option["type"], "value": value}))
}
