//! What people do and see.

use std::time::Duration;

use async_trait::async_trait;
use ed25519_dalek::Signer as _;
use rave_domain::Surface;
use serde_json::{Value, json};

use super::plain::plain;
use super::rest::place;
use super::{
    APPLICATION, BOT_TOKEN, CHANNEL, EPHEMERAL, FakeDiscord, GUILD, Interaction, Message, check,
};
use crate::chat::{FakeChat, Seen};
use crate::config::Configuration;
use crate::payloads::payload;

/// Somebody waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Interaction types.
const PING: u64 = 1;
const COMMAND: u64 = 2;
const COMPONENT: u64 = 3;
const AUTOCOMPLETE: u64 = 4;
const MODAL: u64 = 5;

/// What the client shows when the answer is missing, late or wrong.
const NO_ANSWER: &str = "The application did not respond";

/// Somebody's account.
pub(super) fn account(who: &str) -> String {
    let digits: Vec<String> = who.bytes().map(|byte| format!("{byte:03}")).collect();
    format!("8{}", digits.concat().chars().take(17).collect::<String>())
}

impl FakeDiscord {
    /// Begins an interaction; its token and what Rave is told of it.
    pub(super) fn begins(
        &self,
        who: &str,
        channel: &str,
        kind: u64,
        data: &Value,
    ) -> (String, Value) {
        let now = self.now();
        let user = account(who);
        let mut inner = self.inner();
        let id = inner.id();
        let token = format!("aW50ZXJhY3Rpb24.{id}");
        let interaction = Interaction {
            id: id.clone(),
            user: user.clone(),
            channel: channel.to_owned(),
            made: now,
            acknowledged: false,
            original: None,
            follow_ups: Vec::new(),
        };
        inner.interactions.insert(token.clone(), interaction);
        let mut body = place(channel);
        let more = json!({
            "id": id, "application_id": APPLICATION, "type": kind, "token": token, "version": 1,
            "data": data, "context": 0, "locale": "en-US", "entitlements": [],
            "app_permissions": "562949953601536", "attachment_size_limit": 10_485_760,
            "authorizing_integration_owners": {"0": GUILD},
            "member": {"permissions": "0", "roles": [], "user": {"id": user, "username": who}},
        });
        let object = body.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        (token, body)
    }

    /// The request that Discord makes of an interaction.
    #[must_use]
    pub fn signed(&self, body: &Value) -> Vec<(&'static str, String)> {
        let timestamp = self.now().as_second().to_string();
        let message = format!("{timestamp}{body}");
        let signature = self.key.sign(message.as_bytes());
        vec![
            ("content-type", "application/json".to_owned()),
            ("x-signature-timestamp", timestamp),
            ("x-signature-ed25519", hex::encode(signature.to_bytes())),
        ]
    }

    /// An interaction from its beginning to what somebody sees of its answer.
    async fn interacts(&self, who: &str, channel: &str, kind: u64, data: &Value) -> Seen {
        if let Some(connected) = self.by_gateway(who, channel, kind, data).await {
            return connected;
        }
        let (token, body) = self.begins(who, channel, kind, data);
        match self.asks(&body).await {
            Some(answer) if answer["type"] == 5 => self.waits(&token, &answer).await,
            Some(answer) => self.answered(&token, kind, &answer),
            None => Seen::Failure(NO_ANSWER.to_owned()),
        }
    }

    /// Asks Rave, where its address is known; what it answers in time.
    async fn asks(&self, body: &Value) -> Option<Value> {
        let rave = self.inner().rave.clone()?;
        let mut request = self
            .client
            .post(format!("{rave}/chat/discord/interaction"))
            .timeout(PATIENCE)
            .body(body.to_string());
        for (name, value) in self.signed(body) {
            request = request.header(name, value);
        }
        let response = request.send().await.ok()?;
        let kind = response.headers().get("content-type").cloned();
        let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if response.status() != 200 || !is_json {
            return None;
        }
        response.json().await.ok()
    }

    /// An administrator enters Rave's address at Discord, which asks there; whether Discord takes
    /// the address.
    pub async fn takes_the_address(&self) -> bool {
        let id = self.inner().id();
        let body = json!({
            "id": id, "application_id": APPLICATION, "type": PING, "token": "cGluZw", "version": 1,
        });
        let answer = self.asks(&body).await.unwrap_or_default();
        payload(&format!("discord callback {}", answer["type"]), &answer);
        answer["type"] == 1
    }

    /// What somebody sees of an answer, once and in time.
    pub(super) fn answered(&self, token: &str, kind: u64, answer: &Value) -> Seen {
        let now = self.now();
        let refused = |why: String| {
            self.violation(format!("an answer: {why}"));
            Seen::Failure(NO_ANSWER.to_owned())
        };
        payload(&format!("discord callback {}", answer["type"]), answer);
        let data = &answer["data"];
        let (id, channel, user) = {
            let mut inner = self.inner();
            let Some(interaction) = inner.interactions.get_mut(token) else {
                drop(inner);
                return refused("of no interaction (10062)".to_owned());
            };
            if interaction.acknowledged {
                drop(inner);
                return refused("a second one (40060)".to_owned());
            }
            interaction.acknowledged = true;
            let it = interaction.clone();
            (it.id, it.channel, it.user)
        };
        match answer["type"].as_u64() {
            Some(4) if kind != AUTOCOMPLETE => {
                let fields = [
                    "tts",
                    "content",
                    "embeds",
                    "allowed_mentions",
                    "flags",
                    "components",
                    "attachments",
                    "poll",
                ];
                if let Err(why) = check::message(data, &fields) {
                    return refused(why);
                }
                let alone = data["flags"].as_u64().unwrap_or_default() & EPHEMERAL != 0;
                let mut inner = self.inner();
                let message = inner.add(&channel, alone.then_some(user), data, now);
                if let Some(interaction) = inner.interactions.get_mut(token) {
                    interaction.original = Some(message.id.clone());
                }
                seen(&message)
            }
            Some(9) if kind != MODAL && kind != AUTOCOMPLETE => {
                if let Err(why) = check::modal(data) {
                    return refused(why);
                }
                self.inner().modals.insert(user, data.clone());
                let labels = data["components"].as_array().into_iter().flatten();
                let fields = labels
                    .filter(|one| one["type"] == 18)
                    .map(|one| (text(&one["component"]["custom_id"]), text(&one["label"])))
                    .collect();
                Seen::Form {
                    title: text(&data["title"]),
                    fields,
                }
            }
            Some(8) if kind == AUTOCOMPLETE => {
                if let Err(why) = check::choices(data) {
                    return refused(why);
                }
                let choices = data["choices"].as_array().into_iter().flatten();
                let names: Vec<String> = choices.map(|choice| text(&choice["value"])).collect();
                Seen::Alone(names.join("\n"))
            }
            other => refused(format!("of the type {other:?} to {id}")),
        }
    }

    /// What is offered while somebody types an option of a command.
    pub async fn completes(&self, who: &str, command: &str, option: &str, typed: &str) -> Seen {
        let data = json!({"id": "1", "name": "rave", "type": 1, "options": [
            {"name": command, "type": 1, "options": [
                {"name": option, "type": 3, "value": typed, "focused": true},
            ]},
        ]});
        self.interacts(who, CHANNEL, AUTOCOMPLETE, &data).await
    }

    async fn types_at(&self, who: &str, channel: &str, line: &str) -> Seen {
        match self.picked(line) {
            Ok(data) => self.interacts(who, channel, COMMAND, &data).await,
            Err(why) => Seen::Failure(why),
        }
    }

    /// Messages about a run that everybody sees, also deleted ones.
    fn about(&self, run: &str) -> Vec<Message> {
        let inner = self.inner();
        let all = inner.messages.iter();
        all.filter(|message| {
            message.only.is_none() && message.text().contains(run) && message.files.is_empty()
        })
        .cloned()
        .collect()
    }

    /// The newest that has buttons, or the newest: what is about a run beside its message has
    /// none.
    fn live(&self, run: &str) -> Option<Message> {
        let mut there = self.about(run);
        there.retain(|message| !message.deleted);
        let with_buttons = there.iter().rposition(|m| m.buttons().next().is_some());
        match with_buttons {
            Some(at) => Some(there.swap_remove(at)),
            None => there.pop(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What somebody sees of a message that is for them.
pub(super) fn seen(message: &Message) -> Seen {
    let text = shown(message);
    match message.only {
        Some(_) => Seen::Alone(text),
        None => Seen::Everybody(text),
    }
}

fn shown(message: &Message) -> String {
    let mut lines = plain(&message.text());
    let buttons: Vec<String> = message
        .buttons()
        .map(|button| format!("[{}]", text(&button["label"])))
        .collect();
    if !buttons.is_empty() {
        lines.push('\n');
        lines.push_str(&buttons.join(" "));
    }
    lines
}

#[async_trait]
impl FakeChat for FakeDiscord {
    fn surface(&self) -> Surface {
        Surface::Discord
    }

    fn account(&self, who: &str) -> String {
        account(who)
    }

    fn configure(&self, config: &mut Configuration) {
        config.set("discord.application_id", APPLICATION);
        let key = hex::encode(self.key.verifying_key().to_bytes());
        config.set("discord.public_key", key);
        config.set("discord.bot_token", BOT_TOKEN);
        config.set("discord.guild_id", GUILD);
        config.set("discord.api_url", format!("{}/api/v10", self.base));
    }

    fn rave_is_at(&self, base: &str) {
        self.inner().rave = Some(base.to_owned());
    }

    async fn types(&self, who: &str, line: &str) -> Seen {
        self.types_at(who, CHANNEL, line).await
    }

    /// A thread begins with a message and has its id.
    async fn types_in_thread(&self, who: &str, run: &str, line: &str) -> Seen {
        let live = self.live(run);
        let live = live.unwrap_or_else(|| panic!("no message about {run}"));
        self.types_at(who, &live.id, line).await
    }

    async fn presses(&self, who: &str, run: &str, label: &str) -> Seen {
        let pressed = self.live(run).and_then(|message| {
            let button = message.buttons().find(|button| button["label"] == label)?;
            Some((button["custom_id"].clone(), message.channel.clone()))
        });
        let Some((id, channel)) = pressed else {
            return Seen::Failure(format!("no button {label} under {run}"));
        };
        let data = json!({"custom_id": id, "component_type": 2, "id": 3});
        self.interacts(who, &channel, COMPONENT, &data).await
    }

    async fn sends(&self, who: &str, values: &[(&str, &str)]) -> Seen {
        let modal = self.inner().modals.remove(&account(who));
        let Some(modal) = modal else {
            return Seen::Failure(format!("no form is open for {who}"));
        };
        let mut components = Vec::new();
        for label in modal["components"].as_array().into_iter().flatten() {
            if label["type"] != 18 {
                continue;
            }
            let input = &label["component"];
            let value = values.iter().find(|(name, _)| input["custom_id"] == *name);
            let value = value.map_or("", |(_, value)| value);
            let most = input["max_length"].as_u64().unwrap_or(4000);
            let empty = value.is_empty() && input["required"] != false;
            if empty || value.chars().count() as u64 > most {
                self.inner().modals.insert(account(who), modal.clone());
                return Seen::Errors(vec![(
                    text(&input["custom_id"]),
                    "not like this".to_owned(),
                )]);
            }
            components.push(
                json!({"type": 18, "id": 1, "component": {"type": 4, "id": 2,
                "custom_id": input["custom_id"], "value": value}}),
            );
        }
        let data = json!({"custom_id": modal["custom_id"], "components": components});
        self.interacts(who, CHANNEL, MODAL, &data).await
    }

    fn message_of(&self, run: &str) -> Option<String> {
        self.live(run).map(|message| shown(&message))
    }

    fn messages_of(&self, run: &str) -> usize {
        self.about(run).iter().filter(|m| !m.deleted).count()
    }

    fn edits_of(&self, run: &str) -> usize {
        self.about(run).iter().map(|message| message.edits).sum()
    }

    fn files(&self) -> Vec<(String, String)> {
        let inner = self.inner();
        let there = inner.messages.iter().filter(|message| !message.deleted);
        there.flat_map(|message| message.files.clone()).collect()
    }

    fn deletes_message_of(&self, run: &str) {
        let live = self.live(run);
        let live = live.unwrap_or_else(|| panic!("no message about {run}"));
        if let Some(message) = self.inner().message(&live.id) {
            message.deleted = true;
        }
    }

    fn goes_down(&self, status: u16) {
        self.fails_with(status);
    }

    fn is_back(&self) {
        self.inner().down = None;
    }

    fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }
}
