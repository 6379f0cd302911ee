//! What people do in Slack, as requests to Rave, and what they see of the answers.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    BOT, By, CHANNEL, FakeSlack, Hook, Message, SIGNING_SECRET, TEAM, Trigger, blocks, web,
};
use crate::chat::Seen;
use crate::payloads::payload;

/// Slack waits three seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long somebody looks for what is said beside an answer.
const LOOKS: Duration = Duration::from_secs(10);

const FORM: &str = "application/x-www-form-urlencoded";

/// Somebody's user id.
pub(super) fn user(who: &str) -> String {
    format!("U{}", who.to_uppercase())
}

/// What Slack makes of a line that is typed.
fn escaped(line: &str) -> String {
    line.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl FakeSlack {
    /// A fresh trigger and `response_url` of somebody, who has closed what was open.
    fn offered(&self, who: &str) -> (String, String) {
        let now = self.now();
        let mut inner = self.inner();
        inner.views.remove(&user(who));
        let trigger = format!("{}.abc", inner.id("7."));
        let hook = inner.id("hook");
        inner.triggers.insert(
            trigger.clone(),
            Trigger {
                user: user(who),
                made: now,
                used: false,
            },
        );
        inner.hooks.insert(
            hook.clone(),
            Hook {
                user: user(who),
                channel: CHANNEL.to_owned(),
                made: now,
                uses: 0,
            },
        );
        (trigger, format!("{}/hook/{hook}", self.base))
    }

    /// A request to Rave as somebody makes it who knows a secret: signed with that, so many seconds
    /// ago. The status and the body of the answer.
    pub async fn requests(
        &self,
        path: &str,
        body: &str,
        secret: &str,
        seconds_ago: i64,
    ) -> (u16, String) {
        let kind = if path.ends_with("event") {
            "application/json"
        } else {
            FORM
        };
        let at = self.now().as_second() - seconds_ago;
        let request = self.signed(path, kind, body.to_owned(), secret, at);
        let response = request.unwrap().send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if let (200, Some(end), Ok(answer)) =
            (status, path.rsplit('/').next(), serde_json::from_str(&text))
        {
            payload(&format!("slack answer {end}"), &answer);
        }
        (status, text)
    }

    fn signed(
        &self,
        path: &str,
        kind: &str,
        body: String,
        secret: &str,
        at: i64,
    ) -> Result<reqwest::RequestBuilder, String> {
        let base = self.inner().rave.clone().ok_or("Rave does not listen")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("v0:{at}:{body}").as_bytes());
        let proof = format!("v0={}", hex::encode(mac.finalize().into_bytes()));
        let request = self
            .client
            .post(format!("{base}{path}"))
            .header("content-type", kind)
            .header("x-slack-request-timestamp", at.to_string())
            .header("x-slack-signature", proof)
            .body(body);
        Ok(request)
    }

    /// Posts to Rave, signed; an error is what Slack shows as a failure.
    async fn posts(&self, path: &str, kind: &str, body: String) -> Result<Value, String> {
        let link = self.inner().links.last().cloned();
        if let Some(link) = link {
            return self.sends_envelope(&link, path, &body).await;
        }
        let at = self.now().as_second();
        let request = self.signed(path, kind, body, SIGNING_SECRET, at)?;
        let began = Instant::now();
        let sent = request.send().await;
        let response = sent.map_err(|_| "dispatch_failed".to_owned())?;
        if began.elapsed() > PATIENCE {
            self.violation(format!("{path} was answered late"));
        }
        let status = response.status();
        let kind = response.headers().get("content-type").cloned();
        let text = response.text().await.unwrap_or_default();
        if status != 200 {
            return Err(format!("dispatch_failed with {status}: {text}"));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if !is_json {
            self.violation(format!("{path} was answered with something else than JSON"));
        }
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    async fn posts_form(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Value, String> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        self.posts(path, FORM, body).await
    }

    async fn interacts(&self, payload: &Value) -> Result<Value, String> {
        let payload = payload.to_string();
        self.posts_form("/chat/slack/interaction", &[("payload", &payload)])
            .await
    }

    /// A slash command.
    pub(super) async fn command(&self, who: &str, line: &str) -> Seen {
        let line = line.strip_prefix("/rave").unwrap_or(line);
        let text = escaped(line.strip_prefix(' ').unwrap_or(line));
        let (trigger, hook) = self.offered(who);
        let answer = self
            .posts_form(
                "/chat/slack/command",
                &[
                    ("token", "deprecated"),
                    ("team_id", TEAM),
                    ("team_domain", "acme"),
                    ("channel_id", CHANNEL),
                    ("channel_name", "ops"),
                    ("user_id", &user(who)),
                    ("user_name", who),
                    ("command", "/rave"),
                    ("text", &text),
                    ("api_app_id", "A01"),
                    ("is_enterprise_install", "false"),
                    ("response_url", &hook),
                    ("trigger_id", &trigger),
                ],
            )
            .await;
        match answer {
            Err(why) => Seen::Failure(why),
            Ok(Value::Null) => self.form_of(who).unwrap_or(Seen::Nothing),
            Ok(answer) => {
                payload("slack answer command", &answer);
                if let Err(why) = web::check_answer(&answer) {
                    self.violation(format!("the answer to a command: {why}"));
                }
                let text = answer["text"].as_str().unwrap_or_default();
                let shown = blocks::plain(&answer["blocks"], text);
                if answer["response_type"] == "ephemeral" {
                    return Seen::Alone(shown);
                }
                let now = self.now();
                self.inner().answered(&answer, CHANNEL, None, now);
                Seen::Everybody(shown)
            }
        }
    }

    /// A press on a button of the newest message about a run.
    pub(super) async fn press(&self, who: &str, run: &str, label: &str) -> Seen {
        let found = self
            .inner()
            .messages
            .iter()
            .rev()
            .find(|it| it.is_live_of(run))
            .cloned();
        let Some(message) = found else {
            return Seen::Failure(format!("there is no message about {run}"));
        };
        let Some(action) = button(&message.blocks, label) else {
            let shown = blocks::plain(&message.blocks, &message.text);
            return Seen::Failure(format!("there is no button {label} under: {shown}"));
        };
        let (trigger, hook) = self.offered(who);
        let mut container = json!({
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": false,
        });
        if let Some(thread) = &message.thread {
            container["thread_ts"] = thread.as_str().into();
        }
        let heard = self.heard();
        let answer = self
            .interacts(&json!({
                "type": "block_actions",
                "user": {"id": user(who), "username": who, "name": who, "team_id": TEAM},
                "api_app_id": "A01",
                "token": "deprecated",
                "container": container,
                "trigger_id": trigger,
                "team": {"id": TEAM, "domain": "acme"},
                "enterprise": null,
                "is_enterprise_install": false,
                "channel": {"id": message.channel, "name": "ops"},
                "message": {"type": "message", "user": BOT, "ts": message.ts, "text": message.text},
                "state": {"values": {}},
                "response_url": hook,
                "actions": [{
                    "action_id": action["action_id"],
                    "block_id": "b1",
                    "text": action["text"],
                    "value": action["value"],
                    "type": "button",
                    "action_ts": "1772442000.000001",
                }],
            }))
            .await;
        match answer {
            Err(why) => Seen::Failure(why),
            Ok(_) => self.looks(who, heard).await,
        }
    }

    /// A form that is sent off.
    pub(super) async fn submit(&self, who: &str, values: &[(&str, &str)]) -> Seen {
        let view = self.inner().views.get(&user(who)).cloned();
        let Some(view) = view else {
            return Seen::Failure("there is no form".to_owned());
        };
        let trigger = self.offered(who).0;
        self.inner().views.insert(user(who), view.clone());
        let heard = self.heard();
        let state = match state(&view, values) {
            Ok(state) => state,
            Err(why) => return Seen::Failure(why),
        };
        let answer = self
            .interacts(&json!({
                "type": "view_submission",
                "team": {"id": TEAM, "domain": "acme"},
                "user": {"id": user(who), "username": who, "name": who, "team_id": TEAM},
                "api_app_id": "A01",
                "token": "deprecated",
                "trigger_id": trigger,
                "view": {
                    "id": view["id"],
                    "hash": view["hash"],
                    "team_id": TEAM,
                    "type": "modal",
                    "callback_id": view["callback_id"],
                    "private_metadata": view["private_metadata"],
                    "blocks": view["blocks"],
                    "state": {"values": state},
                },
                "response_urls": [],
                "is_enterprise_install": false,
                "enterprise": null,
            }))
            .await;
        match answer {
            Err(why) => Seen::Failure(why),
            Ok(Value::Null) => {
                self.inner().views.remove(&user(who));
                self.looks(who, heard).await
            }
            Ok(answer) => self.reacts(who, &view, &answer),
        }
    }

    /// What a modal does with an answer.
    fn reacts(&self, who: &str, view: &Value, answer: &Value) -> Seen {
        let action = answer["response_action"].as_str().unwrap_or_default();
        payload(&format!("slack response_action {action}"), answer);
        match answer["response_action"].as_str() {
            Some("errors") => {
                let mut seen = Vec::new();
                for (block, message) in answer["errors"].as_object().into_iter().flatten() {
                    let blocks = view["blocks"].as_array();
                    if !blocks
                        .into_iter()
                        .flatten()
                        .any(|it| it["block_id"] == **block)
                    {
                        self.violation(format!("an error at {block}, which is not in the form"));
                    }
                    let field = block.strip_prefix("field.").unwrap_or(block);
                    let message = message.as_str().unwrap_or_default();
                    seen.push((field.to_owned(), message.to_owned()));
                }
                Seen::Errors(seen)
            }
            Some(action @ ("update" | "push")) => {
                if let Err(why) = blocks::check_view(&answer["view"]) {
                    self.violation(format!("a view: {why}"));
                }
                let shown = blocks::plain(&answer["view"]["blocks"], "");
                if action == "update" {
                    self.inner().views.remove(&user(who));
                    return Seen::Alone(shown);
                }
                Seen::Errors(vec![(String::new(), shown)])
            }
            other => {
                self.violation(format!("response_action {other:?}"));
                Seen::Failure(answer.to_string())
            }
        }
    }

    /// A message to Rave in the thread of a run's message.
    pub(super) async fn mention(&self, who: &str, run: &str, line: &str) -> Seen {
        let root = {
            let inner = self.inner();
            let live = inner.messages.iter().rev().find(|it| it.is_live_of(run));
            live.map(|it| it.thread.clone().unwrap_or_else(|| it.ts.clone()))
        };
        match root {
            Some(root) => {
                self.writes(
                    who,
                    CHANNEL,
                    Some(&root),
                    &format!("<@{BOT}> {}", escaped(line)),
                )
                .await
            }
            None => Seen::Failure(format!("there is no message about {run}")),
        }
    }

    /// A message that mentions Rave at the top of the channel.
    pub async fn mentions_rave(&self, who: &str, line: &str) -> Seen {
        self.writes(who, CHANNEL, None, &format!("<@{BOT}> {}", escaped(line)))
            .await
    }

    /// A direct message to Rave.
    pub async fn whispers(&self, who: &str, line: &str) -> Seen {
        self.writes(who, "D01", None, &escaped(line)).await
    }

    async fn writes(&self, who: &str, channel: &str, root: Option<&str>, text: &str) -> Seen {
        let direct = channel.starts_with('D');
        let (ts, event_id) = {
            let now = self.now();
            let mut inner = self.inner();
            // Whoever writes has closed what was open.
            inner.views.remove(&user(who));
            let ts = inner.ts(now);
            inner.messages.push(Message {
                ts: ts.clone(),
                channel: channel.to_owned(),
                thread: root.map(str::to_owned),
                by: By::Person(user(who)),
                only: None,
                text: text.to_owned(),
                blocks: Value::Null,
                metadata: Value::Null,
                deleted: false,
                edits: 0,
            });
            (ts, inner.id("Ev"))
        };
        let mut event = json!({
            "type": if direct { "message" } else { "app_mention" },
            "user": user(who),
            "text": text,
            "ts": ts,
            "channel": channel,
            "event_ts": ts,
            "team": TEAM,
        });
        if let Some(root) = root {
            event["thread_ts"] = root.into();
        }
        if direct {
            event["channel_type"] = "im".into();
        }
        let heard = self.heard();
        let body = json!({
            "token": "deprecated",
            "team_id": TEAM,
            "api_app_id": "A01",
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": self.now().as_second(),
            "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": BOT, "is_bot": true}],
        });
        match self
            .posts("/chat/slack/event", "application/json", body.to_string())
            .await
        {
            Err(why) => Seen::Failure(why),
            Ok(_) => self.looks(who, heard).await,
        }
    }

    /// What was told to somebody alone beside answers, in order.
    #[must_use]
    pub fn told_alone(&self, who: &str) -> Vec<String> {
        let me = user(who);
        let inner = self.inner();
        let alone = inner.said.iter().filter(|it| it.only.as_ref() == Some(&me));
        alone.map(|said| said.text.clone()).collect()
    }

    /// How much has been said so far.
    fn heard(&self) -> usize {
        self.inner().said.len()
    }

    /// Waits for what is said to somebody or to everybody, or for a form.
    async fn looks(&self, who: &str, heard: usize) -> Seen {
        let began = Instant::now();
        while began.elapsed() < LOOKS {
            if let Some(form) = self.form_of(who) {
                return form;
            }
            {
                let inner = self.inner();
                let me = user(who);
                let said = inner.said.iter().skip(heard);
                for said in said {
                    match &said.only {
                        None => return Seen::Everybody(said.text.clone()),
                        Some(only) if *only == me => return Seen::Alone(said.text.clone()),
                        Some(_) => {}
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Seen::Nothing
    }

    fn form_of(&self, who: &str) -> Option<Seen> {
        let inner = self.inner();
        let view = inner.views.get(&user(who))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inputs = view["blocks"].as_array().into_iter().flatten();
        let fields = inputs
            .filter(|block| block["type"] == "input")
            .map(|block| {
                let id = text(&block["block_id"]);
                let name = id.strip_prefix("field.").unwrap_or(&id).to_owned();
                (name, text(&block["label"]["text"]))
            })
            .collect();
        Some(Seen::Form {
            title: text(&view["title"]["text"]),
            fields,
        })
    }
}

fn button<'a>(blocks: &'a Value, label: &str) -> Option<&'a Value> {
    blocks
        .as_array()?
        .iter()
        .filter_map(|block| block["elements"].as_array())
        .flatten()
        .find(|element| element["type"] == "button" && element["text"]["text"] == label)
}

/// The state of a modal as Slack's clients fill it: what is not given keeps what was there, and a
/// required field that is empty is not sent.
fn state(view: &Value, values: &[(&str, &str)]) -> Result<Value, String> {
    let mut state = json!({});
    for block in view["blocks"].as_array().into_iter().flatten() {
        if block["type"] != "input" {
            continue;
        }
        let id = block["block_id"].as_str().unwrap_or_default();
        let name = id.strip_prefix("field.").unwrap_or(id);
        let given = values
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| *value);
        let element = &block["element"];
        let kind = element["type"].as_str().unwrap_or_default();
        let mut filled = json!({"type": kind});
        let empty = match kind {
            "checkboxes" => {
                let ticked = given.map_or_else(
                    || element["initial_options"].is_array(),
                    |given| given == "true",
                );
                filled["selected_options"] = if ticked {
                    element["options"].clone()
                } else {
                    json!([])
                };
                !ticked
            }
            "static_select" => {
                let options = element["options"].as_array().into_iter().flatten();
                let chosen = given.map_or_else(
                    || Some(element["initial_option"].clone()).filter(|it| !it.is_null()),
                    |given| {
                        options
                            .clone()
                            .find(|option| option["value"] == given)
                            .cloned()
                    },
                );
                filled["selected_option"] = chosen.clone().unwrap_or_default();
                chosen.is_none()
            }
            _ => {
                let value = given
                    .or_else(|| element["initial_value"].as_str())
                    .unwrap_or_default();
                filled["value"] = if value.is_empty() {
                    Value::Null
                } else {
                    value.into()
                };
                value.is_empty()
            }
        };
        if empty && block["optional"] != true {
            return Err(format!("{name} must be filled in"));
        }
        state[id] = json!({"value": filled});
    }
    Ok(state)
}
