//! The API: messages by the bot and by the tokens of interactions.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::{
    APPLICATION, BOT_TOKEN, CHANNEL, EPHEMERAL, FakeDiscord, GUILD, Inner, Message, check,
};
use crate::payloads::payload;

/// Fields of "Create Message".
const CREATE: [&str; 12] = [
    "content",
    "nonce",
    "tts",
    "embeds",
    "allowed_mentions",
    "message_reference",
    "components",
    "sticker_ids",
    "attachments",
    "flags",
    "enforce_nonce",
    "poll",
];

/// Fields of "Edit Message" and of "Edit Webhook Message".
const EDIT: [&str; 6] = [
    "content",
    "embeds",
    "flags",
    "allowed_mentions",
    "components",
    "attachments",
];

/// Fields of "Execute Webhook".
const EXECUTE: [&str; 7] = [
    "content",
    "tts",
    "embeds",
    "allowed_mentions",
    "components",
    "attachments",
    "flags",
];

pub(super) fn routes() -> Router<FakeDiscord> {
    Router::new()
        .route("/api/v10/channels/{channel}/messages", post(create))
        .route("/api/v10/channels/{channel}/messages/{id}", patch(edit))
        .route("/api/v10/webhooks/{application}/{token}", post(follow_up))
        .route(
            "/api/v10/webhooks/{application}/{token}/messages/{id}",
            patch(edit_answer),
        )
        .route("/api/v10/users/@me/channels", post(direct))
}

/// What Discord answers when it refuses.
pub(super) type Refusal = Box<Response>;

/// What Discord says when it refuses.
pub(super) fn refusal(status: u16, code: u64, why: &str) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap();
    let body = json!({"message": why, "code": code}).to_string();
    Box::new((status, [("content-type", "application/json")], body).into_response())
}

pub(super) fn found(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

pub(super) async fn unknown(State(fake): State<FakeDiscord>, method: Method, uri: Uri) -> Response {
    fake.violation(format!("{method} {} is not there", uri.path()));
    *refusal(404, 0, "404: Not Found")
}

impl FakeDiscord {
    /// What every call must have; the refusal when it has not, or when Discord is down.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let down = self.inner().down;
        if let Some(status) = down {
            if status != StatusCode::TOO_MANY_REQUESTS {
                return Err(Box::new((status, "upstream connect error").into_response()));
            }
            let body = json!({"message": "You are being rate limited.", "retry_after": 0.3,
                "global": false});
            let headers = [
                ("content-type", "application/json"),
                ("retry-after", "1"),
                ("x-ratelimit-scope", "user"),
                ("x-ratelimit-remaining", "0"),
            ];
            return Err(Box::new(
                (status, headers, body.to_string()).into_response(),
            ));
        }
        let agent = headers.get("user-agent").and_then(|v| v.to_str().ok());
        if !agent.unwrap_or_default().starts_with("DiscordBot (") {
            self.violation(format!("the user agent {agent:?} may be blocked"));
            return Err(refusal(403, 40_333, "internal network error"));
        }
        Ok(())
    }

    pub(super) fn admits_bot(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.admits(headers)?;
        let token = format!("Bot {BOT_TOKEN}");
        if headers
            .get("authorization")
            .map(http::HeaderValue::as_bytes)
            != Some(token.as_bytes())
        {
            self.violation("a call without the bot's token");
            return Err(refusal(401, 0, "401: Unauthorized"));
        }
        Ok(())
    }

    /// The channel, where the bot may write in it.
    fn writable(&self, channel: &str) -> Result<(), Refusal> {
        if self.inner().bot_is_out {
            return Err(refusal(403, 50_001, "Missing Access"));
        }
        // Threads begin with a message's id, direct messages with somebody's.
        let inner = self.inner();
        let there = channel == CHANNEL
            || channel.starts_with("77")
            || inner.messages.iter().any(|message| message.id == channel);
        if there {
            Ok(())
        } else {
            Err(refusal(404, 10_003, "Unknown Channel"))
        }
    }

    /// The message of a body, and its files.
    fn body(
        &self,
        call: &str,
        headers: &HeaderMap,
        body: &Bytes,
        fields: &[&str],
    ) -> Result<(Value, Vec<(String, String)>), Refusal> {
        let kind = headers.get("content-type").and_then(|v| v.to_str().ok());
        let kind = kind.unwrap_or_default();
        let read = if let Some(boundary) = kind.strip_prefix("multipart/form-data; boundary=") {
            multipart(boundary, body)
        } else if kind.starts_with("application/json") {
            let value = serde_json::from_slice(body).map_err(|error| error.to_string());
            value.map(|value| (value, Vec::new()))
        } else {
            Err(format!("the content type {kind:?}"))
        };
        read.and_then(|(value, files)| {
            payload(&format!("discord {call}"), &value);
            check::message(&value, fields)?;
            let listed = value["attachments"].as_array().map_or(0, Vec::len);
            if listed < files.len() {
                return Err("a file that `attachments` does not list".to_owned());
            }
            Ok((value, files))
        })
        .map_err(|why| {
            self.violation(why.clone());
            refusal(400, 50_035, &why)
        })
    }
}

/// `payload_json` and `files[n]`.
fn multipart(boundary: &str, body: &Bytes) -> Result<(Value, Vec<(String, String)>), String> {
    let text = String::from_utf8(body.to_vec()).map_err(|_| "a file that is not text")?;
    let mut payload = None;
    let mut files = Vec::new();
    for part in text.split(&format!("--{boundary}")) {
        let Some((head, content)) = part.trim_start().split_once("\r\n\r\n") else {
            continue;
        };
        let content = content.strip_suffix("\r\n").unwrap_or(content);
        let value = |key: &str| {
            let (_, rest) = head.split_once(&format!("{key}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        match value("; name").as_deref() {
            Some("payload_json") => {
                payload = serde_json::from_str(content).ok();
            }
            Some(name) if name.starts_with("files[") => {
                files.push((
                    value("filename").ok_or("a file without a name")?,
                    content.to_owned(),
                ));
            }
            other => return Err(format!("a part {other:?}")),
        }
    }
    Ok((payload.ok_or("no payload_json")?, files))
}

fn with_files(inner: &mut Inner, message: &Message, files: Vec<(String, String)>) {
    if let Some(message) = inner.message(&message.id) {
        message.files = files;
    }
}

async fn create(
    State(fake): State<FakeDiscord>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let made = fake.admits_bot(&headers).and_then(|()| {
        fake.writable(&channel)?;
        let call = format!("POST /channels/{channel}/messages");
        let (body, files) = fake.body(&call, &headers, &body, &CREATE)?;
        let now = fake.now();
        let mut inner = fake.inner();
        let nonce = body["nonce"]
            .as_str()
            .filter(|_| body["enforce_nonce"] == true);
        if let Some(same) = nonce.and_then(|nonce| inner.same_nonce(nonce, now)) {
            return Ok(same);
        }
        let message = inner.add(&channel, None, &body, now);
        with_files(&mut inner, &message, files);
        Ok(message)
    });
    made.map_or_else(|refused| *refused, |message| found(&message.json()))
}

async fn edit(
    State(fake): State<FakeDiscord>,
    Path((channel, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let edited = fake.admits_bot(&headers).and_then(|()| {
        fake.writable(&channel)?;
        let call = format!("PATCH /channels/{channel}/messages/{id}");
        let (body, _) = fake.body(&call, &headers, &body, &EDIT)?;
        let mut inner = fake.inner();
        let message = inner
            .message(&id)
            .filter(|message| message.channel == channel && message.only.is_none())
            .ok_or_else(|| refusal(404, 10_008, "Unknown Message"))?;
        message.change(&body);
        Ok(message.json())
    });
    edited.map_or_else(|refused| *refused, |message| found(&message))
}

async fn edit_answer(
    State(fake): State<FakeDiscord>,
    Path((application, token, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let edited = fake.admits(&headers).and_then(|()| {
        let call = format!("PATCH /webhooks/{application}/{token}/messages/{id}");
        let (body, _) = fake.body(&call, &headers, &body, &EDIT)?;
        let now = fake.now();
        let mut inner = fake.inner();
        if application != APPLICATION || !inner.interactions.contains_key(&token) {
            return Err(refusal(404, 10_015, "Unknown Webhook"));
        }
        let interaction = inner
            .interaction(&token, now)
            .ok_or_else(|| refusal(401, 50_027, "Invalid Webhook Token"))?;
        // Nothing is there before the first answer has arrived.
        if !interaction.acknowledged {
            return Err(refusal(404, 10_015, "Unknown Webhook"));
        }
        let own = interaction.original.iter().chain(&interaction.follow_ups);
        let id = if id == "@original" {
            interaction.original.clone()
        } else {
            own.into_iter().find(|own| **own == id).cloned()
        };
        let message = id
            .and_then(|id| inner.message(&id))
            .ok_or_else(|| refusal(404, 10_008, "Unknown Message"))?;
        message.change(&body);
        let message = message.clone();
        inner.gateway.answers_late(&token, &message);
        Ok(message.json())
    });
    edited.map_or_else(|refused| *refused, |message| found(&message))
}

async fn follow_up(
    State(fake): State<FakeDiscord>,
    Path((application, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let made = fake.admits(&headers).and_then(|()| {
        let call = format!("POST /webhooks/{application}/{token}");
        let (body, files) = fake.body(&call, &headers, &body, &EXECUTE)?;
        let now = fake.now();
        let mut inner = fake.inner();
        if application != APPLICATION {
            return Err(refusal(404, 10_015, "Unknown Webhook"));
        }
        let interaction = inner
            .interaction(&token, now)
            .filter(|interaction| interaction.acknowledged)
            .ok_or_else(|| refusal(401, 50_027, "Invalid Webhook Token"))?;
        let (channel, user) = (interaction.channel.clone(), interaction.user.clone());
        let alone = body["flags"].as_u64().unwrap_or_default() & EPHEMERAL != 0;
        let message = inner.add(&channel, alone.then_some(user), &body, now);
        with_files(&mut inner, &message, files);
        if let Some(interaction) = inner.interaction(&token, now) {
            interaction.follow_ups.push(message.id.clone());
        }
        Ok(message)
    });
    made.map_or_else(|refused| *refused, |message| found(&message.json()))
}

/// The channel of somebody's account and the bot.
pub(super) fn direct_channel(user: &str) -> String {
    format!("77{user}")
}

async fn direct(State(fake): State<FakeDiscord>, headers: HeaderMap, body: Bytes) -> Response {
    let opened = fake.admits_bot(&headers).and_then(|()| {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        payload("discord POST /users/@me/channels", &body);
        let user = body["recipient_id"].as_str();
        let user = user.ok_or_else(|| refusal(400, 50_035, "recipient_id"))?;
        Ok(json!({"id": direct_channel(user), "type": 1}))
    });
    opened.map_or_else(|refused| *refused, |channel| found(&channel))
}

/// The server and channel of an interaction.
pub(super) fn place(channel: &str) -> Value {
    json!({"guild_id": GUILD, "channel_id": channel, "channel": {"id": channel, "type": 0}})
}
