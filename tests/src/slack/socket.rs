//! Socket Mode: what would be requests goes out as envelopes over the connection that Rave keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::FakeSlack;
use crate::payloads::payload;

/// Slack waits three seconds for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection.
#[derive(Debug, Clone)]
pub(super) struct Link {
    number: u64,
    frames: mpsc::UnboundedSender<Value>,
    waiting: Waiting,
}

/// Envelopes that are not acknowledged yet.
type Waiting = Arc<Mutex<BTreeMap<String, oneshot::Sender<Value>>>>;

/// Takes connections for as long as the runtime lives.
pub(super) async fn listen(fake: FakeSlack, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(keep(fake.clone(), stream));
    }
}

async fn keep(fake: FakeSlack, stream: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (frames, mut outgoing) = mpsc::unbounded_channel();
    let link = Link {
        number: {
            let mut inner = fake.inner();
            inner.ids += 1;
            inner.ids
        },
        frames,
        waiting: Waiting::default(),
    };
    let hello = json!({"type": "hello", "num_connections": 1, "debug_info": {"host": "fake"}});
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    fake.inner().links.push(link.clone());
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => acknowledged(&fake, &link, text.as_str()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            Some(frame) = outgoing.recv() => {
                if frame.is_null() || socket.send(Message::text(frame.to_string())).await.is_err() {
                    break;
                }
            }
        }
    }
    fake.inner().links.retain(|it| it.number != link.number);
}

fn acknowledged(fake: &FakeSlack, link: &Link, text: &str) {
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    payload("slack acknowledgement", &frame);
    let id = frame["envelope_id"].as_str().unwrap_or_default();
    match link.waiting.lock().unwrap().remove(id) {
        Some(waiting) => drop(waiting.send(frame["payload"].clone())),
        None => fake.violation(format!("an acknowledgement that nobody waits for: {text}")),
    }
}

impl FakeSlack {
    /// How many connections Rave keeps.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner().links.len()
    }

    /// Tells Rave that its connection ends soon.
    pub fn says_goodbye(&self) {
        let goodbye = json!({"type": "disconnect", "reason": "warning", "debug_info": {}});
        for link in &self.inner().links {
            // One that has just ended needs no warning.
            let _ = link.frames.send(goodbye.clone());
        }
    }

    /// Ends the oldest connection.
    pub fn ends_a_connection(&self) {
        if let Some(link) = self.inner().links.first() {
            let _ = link.frames.send(Value::Null);
        }
    }

    /// Sends what would be a request; what came with the acknowledgement.
    pub(super) async fn sends_envelope(
        &self,
        link: &Link,
        path: &str,
        body: &str,
    ) -> Result<Value, String> {
        let pairs = || url::form_urlencoded::parse(body.as_bytes()).into_owned();
        let (kind, payload) = match path.rsplit('/').next() {
            Some("command") => {
                let fields = pairs().map(|(key, value)| (key, Value::from(value)));
                ("slash_commands", Value::Object(fields.collect()))
            }
            Some("interaction") => {
                let payload = pairs().find(|(key, _)| key == "payload").unwrap().1;
                ("interactive", serde_json::from_str(&payload).unwrap())
            }
            _ => ("events_api", serde_json::from_str(body).unwrap()),
        };
        let id = self.inner().id("envelope");
        let (sender, answer) = oneshot::channel();
        link.waiting.lock().unwrap().insert(id.clone(), sender);
        let envelope = json!({
            "envelope_id": id,
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
        });
        let sent = link.frames.send(envelope);
        sent.map_err(|_| "the connection has ended".to_owned())?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| "the connection has ended".to_owned()),
            Err(_) => {
                self.violation(format!("{kind} was acknowledged late"));
                Err("operation_timeout".to_owned())
            }
        }
    }
}
