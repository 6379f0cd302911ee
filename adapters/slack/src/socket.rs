//! Socket Mode: Rave connects to Slack, and what would be requests comes as frames.
//!
//! A connection lives for hours; Slack says some seconds before it goes (`disconnect`), and the
//! next one is there before the old one ends. What is not acknowledged within three seconds comes
//! again, over any connection, so that nothing is lost and the inbox keeps it from being done
//! twice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt as _, StreamExt as _};
use rave_domain::ports::surface::{
    Answer, ChatHandler, ChatListener, ChatReply, ChatSurface, HttpAnswer, Incoming, ListenerFault,
    SurfaceRejection, VerifiedEvent,
};
use rave_domain::reconnect::Reconnect;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::api::{Fault, WebApi};
use crate::endpoint::Endpoint;
use crate::wire;

/// The listener's name in logs and `/readyz`.
const NAME: &str = "slack.socket";

/// Slack waits three seconds for an acknowledgement; some of it is the way.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2500);

/// Slack pings every few seconds; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection that lived this long was a good one.
const STEADY: Duration = Duration::from_secs(30);

/// A payload is the body of a request; the server bounds those at as much.
const LONGEST_FRAME: usize = 1024 * 1024;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Keeps the connection.
pub(crate) struct Socket {
    /// With the app's token.
    api: WebApi,
    ends: Arc<Ends>,
}

/// The endpoint for each kind of envelope.
struct Ends {
    command: Endpoint,
    interaction: Endpoint,
    event: Endpoint,
}

/// What Slack sends ("Socket Mode"); everything else is tolerated.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    envelope_id: Option<String>,
    accepts_response_payload: bool,
    payload: Value,
    reason: Option<String>,
}

/// How a connection is no longer the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It will end soon.
    Replace,
    /// It has ended.
    Ended,
    /// Socket Mode was switched off.
    Disabled,
}

/// Why there is no connection.
enum NoLink {
    /// Try again, not before this.
    Later(String, Option<Duration>),
    /// An administrator must act.
    Never(String),
}

impl Socket {
    pub(crate) fn new(
        api: WebApi,
        command: Endpoint,
        interaction: Endpoint,
        event: Endpoint,
    ) -> Self {
        Self {
            api,
            ends: Arc::new(Ends {
                command,
                interaction,
                event,
            }),
        }
    }

    /// A connection; its address works once and soon.
    async fn connect(&self) -> Result<Stream, NoLink> {
        let opened = self.api.read("apps.connections.open", &[]).await;
        let opened = opened.map_err(|fault| match fault {
            Fault::Later { why, after, .. } => NoLink::Later(why, after),
            Fault::Locked(why) => NoLink::Never(why),
            Fault::Refused(code) => NoLink::Never(format!("Slack opens no connection: {code}")),
        })?;
        let url = opened
            .get("url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let url = self.api.places().socket_url(url).ok_or_else(|| {
            NoLink::Later(
                "Slack named a place to connect to that is not Slack's".to_owned(),
                None,
            )
        })?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_FRAME))
            .max_frame_size(Some(LONGEST_FRAME));
        let connecting =
            tokio_tungstenite::connect_async_with_config(url.as_str(), Some(limits), false);
        match timeout(wire::TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => Ok(stream),
            // The error may hold the address, and with it the ticket.
            Ok(Err(_)) => Err(NoLink::Later(
                "Slack did not take the connection".to_owned(),
                None,
            )),
            Err(_) => Err(NoLink::Later(
                "Slack did not answer in time".to_owned(),
                None,
            )),
        }
    }
}

#[async_trait]
impl ChatListener for Socket {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn listen(&self, handler: Arc<dyn ChatHandler>) -> Result<(), ListenerFault> {
        let (tell, mut told) = mpsc::channel(16);
        // Ended with this: nothing goes on when the listener is dropped.
        let mut links = JoinSet::new();
        let mut reconnect = Reconnect::default();
        for number in 0_u64.. {
            let began = Instant::now();
            let mut not_before = None;
            match self.connect().await {
                Ok(stream) => {
                    tracing::info!("slack_socket_connected");
                    let link = Link {
                        number,
                        ends: Arc::clone(&self.ends),
                        handler: Arc::clone(&handler),
                        tell: tell.clone(),
                    };
                    links.spawn(link.run(stream));
                    if word_of(number, &mut told).await == Word::Disabled {
                        return Err(ListenerFault {
                            why: "Socket Mode is switched off in the Slack app's settings"
                                .to_owned(),
                        });
                    }
                }
                Err(NoLink::Never(why)) => return Err(ListenerFault { why }),
                Err(NoLink::Later(why, after)) => {
                    tracing::warn!(why, "slack_socket_not_connected");
                    not_before = after;
                }
            }
            let pause = if began.elapsed() >= STEADY {
                reconnect.worked();
                Duration::ZERO
            } else {
                reconnect.wait()
            };
            while links.try_join_next().is_some() {}
            tokio::time::sleep(pause.max(not_before.unwrap_or_default())).await;
        }
        Ok(())
    }
}

/// What the connection that counts says in the end; older ones have said theirs.
async fn word_of(number: u64, told: &mut mpsc::Receiver<(u64, Word)>) -> Word {
    loop {
        match told.recv().await {
            Some((_, Word::Disabled)) => return Word::Disabled,
            Some((of, word)) if of == number => return word,
            Some(_) => {}
            None => return Word::Ended,
        }
    }
}

/// One connection.
struct Link {
    number: u64,
    ends: Arc<Ends>,
    handler: Arc<dyn ChatHandler>,
    tell: mpsc::Sender<(u64, Word)>,
}

impl Link {
    async fn run(self, stream: Stream) {
        let (mut out, mut frames) = stream.split();
        let (acknowledge, mut acknowledgements) = mpsc::channel::<Value>(64);
        // Each on its own, so that a slow one keeps no other from being acknowledged.
        let mut work = JoinSet::new();
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                frame = tokio::time::timeout_at(heard + SILENCE, frames.next()) => {
                    let Ok(Some(Ok(frame))) = frame else {
                        break;
                    };
                    heard = Instant::now();
                    let Message::Text(text) = frame else {
                        continue;
                    };
                    let Ok(frame) = serde_json::from_str::<Frame>(text.as_str()) else {
                        continue;
                    };
                    match frame.kind.as_str() {
                        "hello" => {}
                        "disconnect" => self.say(goodbye(frame.reason.as_deref())).await,
                        _ => {
                            let taking = take(
                                Arc::clone(&self.ends),
                                Arc::clone(&self.handler),
                                frame,
                                acknowledge.clone(),
                            );
                            work.spawn(taking);
                        }
                    }
                }
                Some(acknowledgement) = acknowledgements.recv() => {
                    let text = Message::text(acknowledgement.to_string());
                    if out.send(text).await.is_err() {
                        break;
                    }
                }
                Some(_) = work.join_next(), if !work.is_empty() => {}
            }
        }
        drop(acknowledgements);
        self.say(Word::Ended).await;
        // What was taken in is answered, if only beside its acknowledgement.
        while work.join_next().await.is_some() {}
    }

    async fn say(&self, word: Word) {
        // Nobody listens when the listener is being dropped.
        let _ = self.tell.send((self.number, word)).await;
    }
}

/// `warning` comes ten seconds before the end, `refresh_requested` at any time.
fn goodbye(reason: Option<&str>) -> Word {
    match reason {
        Some("link_disabled") => Word::Disabled,
        Some(_) | None => Word::Replace,
    }
}

/// One envelope: taken, acknowledged in time, answered.
async fn take(
    ends: Arc<Ends>,
    handler: Arc<dyn ChatHandler>,
    frame: Frame,
    acknowledge: mpsc::Sender<Value>,
) {
    let Some(id) = frame.envelope_id else {
        return;
    };
    let accepts = frame.accepts_response_payload;
    let acknowledged = async |answer: Option<&HttpAnswer>| {
        let payload = answer
            .filter(|_| accepts)
            .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
        let text = match payload {
            Some(payload) => json!({"envelope_id": id, "payload": payload}),
            None => json!({"envelope_id": id}),
        };
        // A connection that has ended: Slack sends the envelope again over another.
        let _ = acknowledge.send(text).await;
    };
    let end = match frame.kind.as_str() {
        "slash_commands" => &ends.command,
        "interactive" => &ends.interaction,
        "events_api" => &ends.event,
        _ => return acknowledged(None).await,
    };
    let event = match end.of_socket(frame.payload, handler.now()) {
        Ok(Incoming::Event(event)) => event,
        Ok(Incoming::Answered(answer)) => return acknowledged(Some(&answer)).await,
        Err(rejection) => {
            let answer = refused(end, &rejection);
            return acknowledged(answer.as_ref()).await;
        }
    };
    let answering = answer(end, handler.as_ref(), &event);
    tokio::pin!(answering);
    let unseen = match timeout(ACKNOWLEDGE_WITHIN, &mut answering).await {
        Ok(told) => {
            acknowledged(Some(&told.answer)).await;
            let to = event.act.kind();
            told.reply
                .filter(|reply| !accepts || !end.shows(to, reply.content()))
        }
        Err(_) => {
            acknowledged(None).await;
            answering.await.reply
        }
    };
    if let Some(reply) = unseen {
        end.say(&event, reply.content()).await;
    }
}

fn refused(end: &Endpoint, rejection: &SurfaceRejection) -> Option<HttpAnswer> {
    tracing::warn!(why = %rejection, "slack_envelope_refused");
    Some(end.refuse(rejection)).filter(|answer| !answer.body.is_empty())
}

/// An answer, and the reply in it.
struct Told {
    answer: HttpAnswer,
    reply: Option<Arc<ChatReply>>,
}

async fn answer(end: &Endpoint, handler: &dyn ChatHandler, event: &VerifiedEvent) -> Told {
    let to = event.act.kind();
    let told = |reply: Arc<ChatReply>| Told {
        answer: reply.on(end, to),
        reply: Some(reply),
    };
    let only = |answer| Told {
        answer,
        reply: None,
    };
    match handler.handle(event).await {
        Answer::Reply(reply) => told(reply),
        Answer::Form { form, instead } => match end.open_form(event, &form, handler.now()).await {
            Ok(answer) => only(answer),
            Err(fault) => {
                tracing::info!(why = fault.why, "form_not_opened");
                told(instead)
            }
        },
        Answer::FieldErrors(errors) => Told {
            answer: end.field_errors(&errors),
            // For when the form is closed already.
            reply: Answer::FieldErrors(errors).afterwards(),
        },
        Answer::Choices(choices) => only(end.choices(&choices)),
    }
}

#[cfg(test)]
mod tests;
