//! The Web API and `response_url`s.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rave_domain::time::between;
use serde_json::{Map, Value, json};

use super::{APP_TOKEN, BOT, BOT_TOKEN, By, CHANNEL, FakeSlack, File, Inner, Message, blocks};
use crate::payloads::payload;

/// A `response_url` takes five messages within half an hour.
const USES: u32 = 5;
const LIVES: Duration = Duration::from_secs(30 * 60);

/// A trigger works for three seconds.
const TRIGGER_LIVES: Duration = Duration::from_secs(3);

/// What opens a connection of Socket Mode.
const OPEN: &str = "apps.connections.open";

/// What a method that is given these arguments may be given.
const POST: [&str; 12] = [
    "channel",
    "text",
    "blocks",
    "thread_ts",
    "user",
    "ts",
    "metadata",
    "link_names",
    "parse",
    "unfurl_links",
    "unfurl_media",
    "reply_broadcast",
];

type Arguments = Map<String, Value>;

/// Slack's word for a no, and whether a client of good manners never hears it.
enum No {
    /// It happens.
    Word(&'static str),
    /// The client did something wrong.
    Fault(&'static str, String),
}

pub(super) async fn method(
    State(fake): State<FakeSlack>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(status) = fake.inner().down {
        return down(status);
    }
    let answer = authentic(&method, &headers)
        .and_then(|()| arguments(&method, &headers, &body))
        .and_then(|arguments| {
            payload(&format!("slack {method}"), &arguments.clone().into());
            fake.call(&method, &arguments)
        });
    match answer {
        Ok(mut answer) => {
            answer["ok"] = true.into();
            axum::Json(answer).into_response()
        }
        Err(no) => {
            let word = match no {
                No::Word(word) => word,
                No::Fault(word, why) => {
                    fake.violation(format!("{method}: {why}"));
                    word
                }
            };
            axum::Json(json!({"ok": false, "error": word})).into_response()
        }
    }
}

fn down(status: StatusCode) -> Response {
    if status == StatusCode::TOO_MANY_REQUESTS {
        let body = json!({"ok": false, "error": "ratelimited"}).to_string();
        return (status, [("retry-after", "1")], body).into_response();
    }
    (status, "<html>trouble</html>").into_response()
}

fn authentic(method: &str, headers: &HeaderMap) -> Result<(), No> {
    let expected = if method == OPEN { APP_TOKEN } else { BOT_TOKEN };
    let token = headers.get("authorization").and_then(|it| it.to_str().ok());
    match token {
        Some(token) if token == format!("Bearer {expected}") => Ok(()),
        Some(_) => Err(No::Word("invalid_auth")),
        None => Err(No::Fault("not_authed", "no token in the header".to_owned())),
    }
}

/// Methods that read take forms, methods that write JSON.
fn arguments(method: &str, headers: &HeaderMap, body: &Bytes) -> Result<Arguments, No> {
    let kind = headers.get("content-type").and_then(|it| it.to_str().ok());
    let kind = kind.unwrap_or_default();
    let fault = |why: String| No::Fault("invalid_arguments", why);
    let reads = method.starts_with("conversations.")
        || [OPEN, "files.getUploadURLExternal"].contains(&method);
    let arguments: Arguments = if reads {
        if kind != "application/x-www-form-urlencoded" {
            return Err(fault(format!("a method that reads was sent {kind}")));
        }
        url::form_urlencoded::parse(body)
            .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
            .collect()
    } else {
        if kind != "application/json; charset=utf-8" {
            return Err(fault(format!("a method that writes was sent {kind}")));
        }
        serde_json::from_slice(body).map_err(|error| fault(error.to_string()))?
    };
    if arguments.contains_key("token") {
        return Err(fault("a token in the body".to_owned()));
    }
    Ok(arguments)
}

fn text<'a>(arguments: &'a Arguments, key: &str) -> &'a str {
    arguments
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn maybe(arguments: &Arguments, key: &str) -> Option<String> {
    arguments
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

impl FakeSlack {
    fn call(&self, method: &str, arguments: &Arguments) -> Result<Value, No> {
        let mut inner = self.inner();
        let now = self.now();
        match method {
            "chat.postMessage" => {
                let message = inner.content(arguments, Some(now))?;
                let ts = message.ts.clone();
                if message.run().is_none() {
                    inner.say(None, &message.blocks, &message.text);
                }
                inner.messages.push(message);
                Ok(json!({"channel": text(arguments, "channel"), "ts": ts}))
            }
            "chat.postEphemeral" => {
                let mut message = inner.content(arguments, Some(now))?;
                let user = text(arguments, "user");
                if !user.starts_with('U') {
                    return Err(No::Fault("user_not_in_channel", "no user".to_owned()));
                }
                message.only = Some(user.to_owned());
                inner.say(Some(user), &message.blocks, &message.text);
                Ok(json!({"message_ts": message.ts}))
            }
            "chat.update" => {
                let ts = text(arguments, "ts").to_owned();
                let content = inner.content(arguments, None)?;
                let old = inner
                    .messages
                    .iter_mut()
                    .find(|it| it.ts == ts && !it.deleted);
                let Some(old) = old else {
                    return Err(No::Word("message_not_found"));
                };
                if old.by != By::Bot {
                    let why = "an edit of somebody else's message".to_owned();
                    return Err(No::Fault("cant_update_message", why));
                }
                old.text = content.text;
                old.blocks = content.blocks;
                old.metadata = content.metadata;
                old.edits += 1;
                Ok(json!({"channel": text(arguments, "channel"), "ts": ts}))
            }
            "conversations.history" | "conversations.replies" => inner.read(arguments),
            OPEN => {
                if !arguments.is_empty() {
                    let why = "the token belongs into the header, and nothing else".to_owned();
                    return Err(No::Fault("invalid_arguments", why));
                }
                let ticket = inner.id("ticket");
                Ok(json!({"url": format!("{}?ticket={ticket}", self.socket)}))
            }
            "views.open" => inner.open(arguments, now),
            "files.getUploadURLExternal" => {
                let length: usize = text(arguments, "length").parse().unwrap_or_default();
                if length == 0 || text(arguments, "filename").is_empty() {
                    return Err(No::Fault(
                        "invalid_arguments",
                        "no length or name".to_owned(),
                    ));
                }
                let id = inner.id("F");
                let file = File {
                    name: text(arguments, "filename").to_owned(),
                    length,
                    ..File::default()
                };
                inner.files.insert(id.clone(), file);
                Ok(json!({"upload_url": format!("{}/upload/{id}", self.base), "file_id": id}))
            }
            "files.completeUploadExternal" => inner.complete(arguments),
            _ => Err(No::Fault("unknown_method", "no such method".to_owned())),
        }
    }

    fn take(&self, id: &str, kind: &str, body: &[u8]) -> Result<(), (StatusCode, &'static str)> {
        let mut inner = self.inner();
        if let Some(status) = inner.down {
            return Err((status, "down"));
        }
        let now = self.now();
        let Some(hook) = inner.hooks.get_mut(id) else {
            return Err((StatusCode::NOT_FOUND, "no_url"));
        };
        if between(hook.made, now) >= LIVES {
            return Err((StatusCode::NOT_FOUND, "expired_url"));
        }
        if hook.uses >= USES {
            return Err((StatusCode::NOT_FOUND, "used_url"));
        }
        hook.uses += 1;
        let (user, channel) = (hook.user.clone(), hook.channel.clone());
        let answer: Result<Value, String> = if kind.starts_with("application/json") {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        } else {
            Err(format!("a response_url was sent {kind}"))
        };
        let checked = answer.and_then(|answer| {
            payload("slack response_url", &answer);
            if answer["replace_original"] != false {
                return Err("replace_original is not said".to_owned());
            }
            check_answer(&answer).map(|()| answer)
        });
        let answer = match checked {
            Ok(answer) => answer,
            Err(why) => {
                inner.violations.push(format!("response_url: {why}"));
                return Err((StatusCode::BAD_REQUEST, "invalid_payload"));
            }
        };
        let only = (answer["response_type"] == "ephemeral").then_some(user);
        inner.answered(&answer, &channel, only, now);
        Ok(())
    }
}

/// An answer to a command or through a `response_url`.
pub(super) fn check_answer(answer: &Value) -> Result<(), String> {
    blocks::only(
        answer,
        &[
            "response_type",
            "text",
            "blocks",
            "replace_original",
            "delete_original",
            "thread_ts",
            "unfurl_links",
            "unfurl_media",
        ],
    )?;
    if !["ephemeral", "in_channel"].contains(&answer["response_type"].as_str().unwrap_or_default())
    {
        return Err(format!("response_type {}", answer["response_type"]));
    }
    check_text(answer["text"].as_str().unwrap_or_default())?;
    blocks::check(&answer["blocks"], 50)
}

/// The text beside blocks: no reference can be in it.
fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().count() > 4000 {
        return Err(format!("a text of {} characters", text.chars().count()));
    }
    if text.contains(['<', '>']) {
        return Err(format!("a text with a reference: {text}"));
    }
    Ok(())
}

impl Inner {
    /// An answer is a message, to everybody or to one.
    pub(super) fn answered(
        &mut self,
        answer: &Value,
        channel: &str,
        only: Option<String>,
        now: rave_domain::Timestamp,
    ) {
        let text = answer["text"].as_str().unwrap_or_default().to_owned();
        self.say(only.as_deref(), &answer["blocks"], &text);
        let ts = self.ts(now);
        self.messages.push(Message {
            ts,
            channel: channel.to_owned(),
            thread: answer["thread_ts"].as_str().map(str::to_owned),
            by: By::ResponseUrl,
            only,
            text,
            blocks: answer["blocks"].clone(),
            metadata: Value::Null,
            deleted: false,
            edits: 0,
        });
    }

    /// What a message is to say; a new one gets its time.
    fn content(
        &mut self,
        arguments: &Arguments,
        new: Option<rave_domain::Timestamp>,
    ) -> Result<Message, No> {
        let fault = |why: String| No::Fault("invalid_arguments", why);
        let unknown = arguments.keys().find(|key| !POST.contains(&key.as_str()));
        if let Some(unknown) = unknown {
            return Err(fault(format!("an unknown argument {unknown}")));
        }
        self.member_of(text(arguments, "channel"))?;
        check_text(text(arguments, "text")).map_err(fault)?;
        let blocks = arguments.get("blocks").cloned().unwrap_or_default();
        blocks::check(&blocks, 50).map_err(|why| No::Fault("invalid_blocks", why))?;
        if arguments.get("link_names") == Some(&true.into()) {
            return Err(fault("link_names makes mentions of names".to_owned()));
        }
        let thread = maybe(arguments, "thread_ts");
        let root = thread.as_deref().and_then(|ts| self.find(ts));
        if root.is_some_and(|root| root.thread.is_some()) {
            return Err(fault("thread_ts is a reply's, not the root's".to_owned()));
        }
        Ok(Message {
            ts: new.map(|now| self.ts(now)).unwrap_or_default(),
            channel: text(arguments, "channel").to_owned(),
            thread,
            by: By::Bot,
            only: None,
            text: text(arguments, "text").to_owned(),
            blocks,
            metadata: arguments.get("metadata").cloned().unwrap_or_default(),
            deleted: false,
            edits: 0,
        })
    }

    fn member_of(&self, channel: &str) -> Result<(), No> {
        match channel {
            CHANNEL if self.bot_is_out => Err(No::Word("not_in_channel")),
            CHANNEL => Ok(()),
            direct if direct.starts_with('D') => Ok(()),
            other => Err(No::Fault(
                "channel_not_found",
                format!("no channel {other}"),
            )),
        }
    }

    /// Pages of a conversation, newest first; of a thread, oldest first.
    fn read(&self, arguments: &Arguments) -> Result<Value, No> {
        self.member_of(text(arguments, "channel"))?;
        let root = maybe(arguments, "ts");
        let oldest = text(arguments, "oldest");
        let limit: usize = text(arguments, "limit").parse().unwrap_or(100);
        if limit > 999 {
            return Err(No::Fault("invalid_limit", format!("limit {limit}")));
        }
        let mut found: Vec<&Message> = self
            .messages
            .iter()
            .filter(|it| !it.deleted && it.only.is_none() && it.ts.as_str() >= oldest)
            .filter(|it| match &root {
                Some(root) => it.ts == *root || it.thread.as_ref() == Some(root),
                None => it.thread.is_none(),
            })
            .collect();
        if root.is_none() {
            found.reverse();
        }
        let from: usize = text(arguments, "cursor").parse().unwrap_or_default();
        let more = found.len() > from + limit;
        let metadata = text(arguments, "include_all_metadata") == "true";
        let page: Vec<Value> = found
            .into_iter()
            .skip(from)
            .take(limit)
            .map(|it| {
                let mut message = json!({"type": "message", "ts": it.ts, "text": it.text});
                if metadata && !it.metadata.is_null() {
                    message["metadata"] = it.metadata.clone();
                }
                if it.by != By::Bot
                    && let By::Person(person) = &it.by
                {
                    message["user"] = person.clone().into();
                }
                message
            })
            .collect();
        let next = if more {
            (from + limit).to_string()
        } else {
            String::new()
        };
        let mut page = json!({
            "messages": page,
            "has_more": more,
            "response_metadata": {"next_cursor": next},
        });
        if let Some(root) = root {
            self.add_files(&root, &mut page);
        }
        Ok(page)
    }

    fn open(&mut self, arguments: &Arguments, now: rave_domain::Timestamp) -> Result<Value, No> {
        let id = text(arguments, "trigger_id").to_owned();
        let Some(trigger) = self.triggers.get_mut(&id) else {
            return Err(No::Fault("invalid_trigger", "no such trigger".to_owned()));
        };
        if trigger.used {
            return Err(No::Fault(
                "exchanged_trigger_id",
                "a trigger twice".to_owned(),
            ));
        }
        if between(trigger.made, now) > TRIGGER_LIVES {
            return Err(No::Word("expired_trigger_id"));
        }
        trigger.used = true;
        let user = trigger.user.clone();
        let mut view = arguments.get("view").cloned().unwrap_or_default();
        blocks::check_view(&view).map_err(|why| No::Fault("invalid_arguments", why))?;
        view["id"] = self.id("V").into();
        view["hash"] = "1.abc".into();
        self.views.insert(user, view.clone());
        Ok(json!({"view": view}))
    }

    fn complete(&mut self, arguments: &Arguments) -> Result<Value, No> {
        let fault = |why: &str| No::Fault("invalid_arguments", why.to_owned());
        let channel = text(arguments, "channel_id").to_owned();
        let thread = maybe(arguments, "thread_ts");
        if let Some(thread) = &thread {
            let root = self.find(thread).ok_or(No::Word("thread_not_found"))?;
            if root.thread.is_some() {
                return Err(fault("thread_ts is a reply's"));
            }
        }
        self.member_of(&channel)?;
        let files = arguments.get("files").and_then(Value::as_array);
        for file in files.ok_or_else(|| fault("no files"))? {
            let id = file["id"].as_str().unwrap_or_default();
            let file = self
                .files
                .get_mut(id)
                .ok_or_else(|| fault("no such file"))?;
            if file.content.is_none() {
                return Err(fault("the bytes have not come"));
            }
            file.placed = Some(thread.clone().unwrap_or_default());
        }
        Ok(json!({"files": files}))
    }

    fn add_files(&self, root: &str, page: &mut Value) {
        let placed = self
            .files
            .values()
            .filter(|file| file.placed.as_deref() == Some(root));
        for file in placed {
            let message = json!({"type": "message", "user": BOT, "files": [{"name": file.name}]});
            if let Some(messages) = page["messages"].as_array_mut() {
                messages.push(message);
            }
        }
    }
}

pub(super) async fn response_url(
    State(fake): State<FakeSlack>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key("authorization") {
        fake.violation("a token at a response_url");
    }
    let kind = headers.get("content-type").and_then(|it| it.to_str().ok());
    match fake.take(&id, kind.unwrap_or_default(), &body) {
        Ok(()) => "ok".into_response(),
        Err((status, _)) if status == StatusCode::TOO_MANY_REQUESTS => down(status),
        Err(no) => no.into_response(),
    }
}
