//! The gateway, for a Rave that connects instead of being called.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::people::seen;
use super::rest::{found, refusal};
use super::{BOT_TOKEN, EPHEMERAL, FakeDiscord, Message as Shown};
use crate::chat::Seen;
use crate::payloads::payload;

/// Somebody waits no longer for an answer, or for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came for somebody who waits.
#[derive(Debug)]
enum Answer {
    InTime(Value),
    /// The message that took the place of the acknowledgement.
    Late(Shown),
}

/// The connection that is there, and what waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Connection {
    frames: Option<mpsc::UnboundedSender<Value>>,
    /// By token.
    waiting: BTreeMap<String, oneshot::Sender<Answer>>,
    /// Those that were acknowledged and still wait, by token.
    late: BTreeMap<String, oneshot::Sender<Answer>>,
    /// Sessions that were begun, and resumed.
    begun: usize,
    resumed: usize,
    seq: u64,
}

pub(super) fn routes() -> Router<FakeDiscord> {
    Router::new()
        .route("/api/v10/gateway/bot", get(gateway_bot))
        .route(
            "/api/v10/interactions/{id}/{token}/callback",
            post(callback),
        )
}

async fn gateway_bot(State(fake): State<FakeDiscord>, headers: HeaderMap) -> Response {
    if let Err(refused) = fake.admits_bot(&headers) {
        return *refused;
    }
    let sockets = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", sockets.local_addr().unwrap());
    tokio::spawn(serve(fake, sockets, url.clone()));
    found(&json!({"url": url, "shards": 1, "session_start_limit":
        {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}}))
}

async fn serve(fake: FakeDiscord, sockets: tokio::net::TcpListener, url: String) {
    while let Ok((stream, _)) = sockets.accept().await {
        let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
            continue;
        };
        tokio::spawn(speak(fake.clone(), socket, url.clone()));
    }
}

async fn speak(
    fake: FakeDiscord,
    mut socket: tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>,
    url: String,
) {
    let hello = json!({"op": 10, "d": {"heartbeat_interval": 1000}});
    let (sender, mut frames) = mpsc::unbounded_channel();
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    loop {
        let said = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => {
                    let frame: Value = frame;
                    let ends = frame["op"] == 7;
                    let sent = socket.send(Message::text(frame.to_string())).await;
                    if sent.is_err() || ends {
                        return;
                    }
                    continue;
                }
                None => return,
            },
            said = socket.next() => match said {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let said: Value = serde_json::from_str(&said).unwrap_or_default();
        payload(&format!("discord gateway {}", said["op"]), &said);
        let answer = match said["op"].as_u64() {
            Some(1) => json!({"op": 11}),
            Some(2 | 6) if said["d"]["token"] != BOT_TOKEN => {
                fake.violation("a session without the bot's token");
                return;
            }
            Some(2) => fake.connected(&sender, |connection| {
                connection.begun += 1;
                json!({"op": 0, "t": "READY", "d": {"v": 10, "session_id": "s1",
                    "resume_gateway_url": url, "user": {}, "guilds": []}})
            }),
            Some(6) => fake.connected(&sender, |connection| {
                connection.resumed += 1;
                json!({"op": 0, "t": "RESUMED", "d": {}})
            }),
            _ => {
                fake.violation(format!("the gateway was told {said}"));
                return;
            }
        };
        if socket
            .send(Message::text(answer.to_string()))
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn callback(
    State(fake): State<FakeDiscord>,
    Path((_, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refused) = fake.admits(&headers) {
        return *refused;
    }
    let waiting = fake.inner().gateway.waiting.remove(&token);
    let Some(waiting) = waiting else {
        fake.violation("an answer that nobody waits for: late, or a second one");
        return *refusal(404, 10_062, "Unknown interaction");
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if body["type"] == 5 {
        fake.acknowledged(&token, &body);
        fake.inner().gateway.late.insert(token, waiting);
    } else {
        // Whoever waited has given up.
        let _ = waiting.send(Answer::InTime(body));
    }
    StatusCode::NO_CONTENT.into_response()
}

impl Connection {
    /// An acknowledgement has become a message.
    pub(super) fn answers_late(&mut self, token: &str, message: &Shown) {
        if let Some(waiting) = self.late.remove(token) {
            // Whoever waited has given up.
            let _ = waiting.send(Answer::Late(message.clone()));
        }
    }
}

impl FakeDiscord {
    /// An interaction was taken up; what becomes of it is shown in place of "Rave is thinking…".
    fn acknowledged(&self, token: &str, answer: &Value) {
        payload("discord callback 5", answer);
        let now = self.now();
        let mut inner = self.inner();
        let Some(interaction) = inner.interactions.get_mut(token) else {
            return;
        };
        interaction.acknowledged = true;
        let (channel, user) = (interaction.channel.clone(), interaction.user.clone());
        let data = &answer["data"];
        let alone = data["flags"].as_u64().unwrap_or_default() & EPHEMERAL != 0;
        let message = inner.add(&channel, alone.then_some(user), data, now);
        if let Some(interaction) = inner.interactions.get_mut(token) {
            interaction.original = Some(message.id);
        }
    }

    /// What becomes of an interaction that was deferred over HTTP.
    pub(super) async fn waits(&self, token: &str, deferral: &Value) -> Seen {
        let (sender, answer) = oneshot::channel();
        self.inner().gateway.late.insert(token.to_owned(), sender);
        self.acknowledged(token, deferral);
        match tokio::time::timeout(5 * PATIENCE, answer).await {
            Ok(Ok(Answer::Late(message))) => seen(&message),
            _ => Seen::Failure("The application is thinking for ever".to_owned()),
        }
    }

    fn connected(
        &self,
        sender: &mpsc::UnboundedSender<Value>,
        change: impl FnOnce(&mut Connection) -> Value,
    ) -> Value {
        let mut inner = self.inner();
        let connection = &mut inner.gateway;
        connection.frames = Some(sender.clone());
        let mut event = change(connection);
        connection.seq += 1;
        event["s"] = json!(connection.seq);
        event
    }

    /// Discord wants the connection anew.
    pub fn asks_to_reconnect(&self) {
        let frames = self.inner().gateway.frames.take();
        let frames = frames.expect("nobody is connected");
        let _ = frames.send(json!({"op": 7, "d": null}));
    }

    /// How many sessions were begun and resumed so far.
    #[must_use]
    pub fn sessions(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.gateway.begun, inner.gateway.resumed)
    }

    /// Sends an interaction over the connection, where one is kept.
    pub(super) async fn by_gateway(
        &self,
        who: &str,
        channel: &str,
        kind: u64,
        data: &Value,
    ) -> Option<Seen> {
        let frames = self.inner().gateway.frames.clone()?;
        let (token, body) = self.begins(who, channel, kind, data);
        let (sender, mut answer) = oneshot::channel();
        let seq = {
            let mut inner = self.inner();
            inner.gateway.waiting.insert(token.clone(), sender);
            inner.gateway.seq += 1;
            inner.gateway.seq
        };
        let event = json!({"op": 0, "t": "INTERACTION_CREATE", "s": seq, "d": body});
        let _ = frames.send(event);
        let mut came = tokio::time::timeout(PATIENCE, &mut answer).await;
        if came.is_err() && self.inner().gateway.late.contains_key(&token) {
            came = tokio::time::timeout(5 * PATIENCE, answer).await;
        }
        Some(match came {
            Ok(Ok(Answer::InTime(answer))) => self.answered(&token, kind, &answer),
            Ok(Ok(Answer::Late(message))) => seen(&message),
            _ => Seen::Failure("The application did not respond".to_owned()),
        })
    }
}
