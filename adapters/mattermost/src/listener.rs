//! The bot's connection: what is said to it in threads and direct messages.
//!
//! Frames are those of `model/websocket_message.go`. After a break the connection goes on where it
//! was (`connection_id` and `sequence_number`, `app/platform/web_conn.go`): Mattermost keeps what
//! happened meanwhile for about five minutes. What was said in a longer break is not seen.

mod frame;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use rave_domain::ports::surface::{
    Act, ChatHandler, ChatListener, ListenerFault, Place, Privacy, VerifiedEvent,
};
use rave_domain::reconnect::Reconnect;
use rave_domain::{Account, Strength, Surface};
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::address::Address;
use crate::bot::{Bot, Me, Post};
use crate::posts::{self, Posts};
use frame::{Frame, Posted};

/// The listener's name in logs and audit rows.
const NAME: &str = "mattermost.websocket";

/// Connecting and being greeted.
const GREETED_WITHIN: Duration = Duration::from_secs(10);

/// Mattermost pings every minute (`pingInterval`); silence for longer is a dead connection.
const SILENCE: Duration = Duration::from_secs(150);

/// A post is at most about 900 KiB with its props.
const LONGEST_FRAME: usize = 4 * 1024 * 1024;

/// Commands worked on at a time; the next wait in the connection.
const AT_ONCE: usize = 32;

/// Hears what is said to the bot.
pub(crate) struct Listener {
    posts: Arc<Posts>,
    /// How long the greeting may take.
    greeted_within: Duration,
}

/// How far a connection has got: what Mattermost goes on from when it is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    /// As Mattermost calls the connection; old ones do not, and go on from nothing.
    id: Option<String>,
    /// The number of the next frame.
    next: i64,
}

/// What outlives a connection.
#[derive(Default)]
struct Course {
    progress: Option<Progress>,
    reconnect: Reconnect,
    /// What was heard is answered.
    work: JoinSet<()>,
}

/// Why there is no connection.
enum NotConnected {
    /// Mattermost was there and did not want it.
    Refused(String),
    Unreachable(String),
}

/// Why a connection ended.
enum Ended {
    /// It may be made again.
    Again(String),
    /// It may not.
    ForGood(ListenerFault),
}

impl Listener {
    pub(crate) fn new(posts: Arc<Posts>) -> Self {
        Self {
            posts,
            greeted_within: GREETED_WITHIN,
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(&self, handler: &Arc<dyn ChatHandler>, course: &mut Course) -> Ended {
        let bot = &self.posts.bot;
        // Asked each time: a token that was revoked is told here, where the connection would only
        // stay silent.
        let me = match bot.asks_who_it_is().await {
            Ok(me) => me,
            Err(fault) if fault.is(&[401, 403]) => {
                return Ended::ForGood(ListenerFault {
                    why: format!("Mattermost does not take the bot's token ({fault})"),
                });
            }
            Err(fault) => return Ended::Again(fault.to_string()),
        };
        let goes_on = course.progress.take().filter(|it| it.id.is_some());
        let socket = match connect(bot, goes_on.clone()).await {
            Ok(socket) => socket,
            Err(NotConnected::Refused(why)) => return Ended::Again(why),
            Err(NotConnected::Unreachable(why)) => {
                course.progress = goes_on;
                return Ended::Again(why);
            }
        };
        course.progress = goes_on;
        tracing::info!(listener = NAME, bot = me.username, "listener_connected");
        self.hear(socket, &me, handler, course).await
    }

    /// Takes frames until the connection ends.
    async fn hear<S>(
        &self,
        mut socket: S,
        me: &Me,
        handler: &Arc<dyn ChatHandler>,
        course: &mut Course,
    ) -> Ended
    where
        S: Stream<Item = Result<Message, SocketError>> + Sink<Message, Error = SocketError> + Unpin,
    {
        // A connection that goes on is not greeted again.
        let mut greeted = course.progress.is_some();
        let mut first = true;
        loop {
            let patience = if greeted {
                SILENCE
            } else {
                self.greeted_within
            };
            let message = match timeout(patience, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Ended::Again(socket_fault(&error)),
                Ok(None) => return Ended::Again("Mattermost closed the connection".to_owned()),
                Err(_) => return Ended::Again("Mattermost has gone silent".to_owned()),
            };
            let text = match message {
                Message::Text(text) => text,
                // The answer to a ping is put together while reading and sent by this.
                Message::Ping(_) => {
                    if let Err(error) = socket.flush().await {
                        return Ended::Again(socket_fault(&error));
                    }
                    continue;
                }
                Message::Close(_) => {
                    return Ended::Again("Mattermost closed the connection".to_owned());
                }
                Message::Binary(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let Some(frame) = Frame::parse(&text) else {
                continue;
            };
            if frame.is_greeting() {
                greeted = true;
                course.progress = Some(Progress {
                    id: frame.connection_id(),
                    next: 0,
                });
            }
            let expected = course.progress.as_ref().map_or(0, |progress| progress.next);
            if frame.seq != expected {
                // Mattermost sends it when the connection goes on. Where it goes on with another
                // one, that cannot be had.
                if first {
                    course.progress = None;
                }
                return Ended::Again(format!("frame {expected} is missing"));
            }
            first = false;
            course.reconnect.worked();
            if let Some(progress) = &mut course.progress {
                progress.next += 1;
            }
            let Some(posted) = frame.posted() else {
                continue;
            };
            if let Some(command) = command_in(&posted, me) {
                if course.work.len() >= AT_ONCE {
                    course.work.join_next().await;
                }
                let posts = Arc::clone(&self.posts);
                let handler = Arc::clone(handler);
                course
                    .work
                    .spawn(async move { answer(&posts, handler.as_ref(), posted, command).await });
            }
            while course.work.try_join_next().is_some() {}
        }
    }
}

#[async_trait]
impl ChatListener for Listener {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn listen(&self, handler: Arc<dyn ChatHandler>) -> Result<(), ListenerFault> {
        let mut course = Course::default();
        loop {
            match self.connection(&handler, &mut course).await {
                Ended::ForGood(fault) => return Err(fault),
                Ended::Again(why) => {
                    let wait = course.reconnect.wait();
                    let seconds = wait.as_secs_f32();
                    tracing::warn!(listener = NAME, why, seconds, "listener_connects_again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

async fn connect(
    bot: &Bot,
    goes_on: Option<Progress>,
) -> Result<
    impl Stream<Item = Result<Message, SocketError>> + Sink<Message, Error = SocketError> + Unpin,
    NotConnected,
> {
    let rest = bot.rest();
    let mut url = rest.base().socket(["api", "v4", "websocket"]);
    if let Some(Progress { id: Some(id), next }) = goes_on {
        url.query_pairs_mut()
            .append_pair("connection_id", &id)
            .append_pair("sequence_number", &next.to_string());
    }
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| NotConnected::Refused(socket_fault(&error)))?;
    let token = format!("Bearer {}", rest.token().expose_secret());
    let mut token = HeaderValue::try_from(token).map_err(|_| {
        NotConnected::Refused("the bot's token is not one that can be sent".to_owned())
    })?;
    token.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, token);
    let config = WebSocketConfig::default()
        .max_message_size(Some(LONGEST_FRAME))
        .max_frame_size(Some(LONGEST_FRAME));
    let connected = connect_async_with_config(request, Some(config), true);
    match timeout(GREETED_WITHIN, connected).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(SocketError::Http(answer))) if answer.status().is_client_error() => Err(
            NotConnected::Refused(socket_fault(&SocketError::Http(answer))),
        ),
        Ok(Err(error)) => Err(NotConnected::Unreachable(socket_fault(&error))),
        Err(_) => Err(NotConnected::Unreachable(
            "Mattermost did not answer in time".to_owned(),
        )),
    }
}

/// What a post asks of the bot: the words behind its name, or all of them where only the two are.
fn command_in(posted: &Posted, me: &Me) -> Option<String> {
    let Posted { post, privacy } = posted;
    let by_a_person = post.kind.is_empty() && post.user_id != me.id && !is_made_by_a_program(post);
    if !by_a_person {
        return None;
    }
    let text = post.message.trim_start();
    let named = text.strip_prefix('@').and_then(|rest| {
        let name = rest.get(..me.username.len())?;
        let behind = rest.get(me.username.len()..)?;
        let whole = behind
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || c == ':' || c == ',');
        (whole && name.eq_ignore_ascii_case(&me.username)).then_some(behind)
    });
    let words = match (named, privacy) {
        (Some(words), _) => words.trim_start_matches([':', ',']),
        (None, Privacy::Direct) => text,
        (None, Privacy::Shared) => return None,
    };
    Some(words.trim().to_owned())
}

/// Programs post in people's names: an answer of a slash command for all to read is a post of
/// whoever asked, and what stands in it may be another program's output.
fn is_made_by_a_program(post: &Post) -> bool {
    let props = post.props.iter().flatten();
    let mut marks = props.filter(|(name, _)| name.starts_with("from_"));
    marks.any(|(_, value)| value.as_str() != Some("false") && value.as_bool() != Some(false))
}

/// Hands a command over and posts the answer in its thread.
async fn answer(posts: &Posts, handler: &dyn ChatHandler, posted: Posted, command: String) {
    let Posted { post, privacy } = posted;
    let now = handler.now();
    let address = Address::new(&post.channel_id, Some(post.thread()), &post.user_id, now);
    let event = VerifiedEvent {
        event_id: format!("post-{}", post.id),
        account: Account::new(Surface::Mattermost, post.user_id.clone()),
        strength: Strength::Token,
        place: Place {
            channel: post.channel_id.clone(),
            privacy,
        },
        act: Act::Command { text: command },
        reply_to: Some(address.reply_to(now)),
        form_ticket: None,
    };
    let Some(reply) = handler.handle(&event).await.afterwards() else {
        return;
    };
    let place = posts::Place {
        channel: &post.channel_id,
        root: Some(post.thread()),
    };
    let marks = posts::marks([]);
    let said = posts.post(place, reply.content(), &marks, handler.now());
    if let Err(fault) = said.await {
        tracing::warn!(listener = NAME, why = %fault, "answer_not_posted");
    }
}

/// In words of our own: an error may have the address in it.
fn socket_fault(error: &SocketError) -> String {
    match error {
        SocketError::Http(response) => {
            format!(
                "Mattermost answered {} to the connection",
                response.status().as_u16()
            )
        }
        SocketError::Io(error) => format!("the connection to Mattermost broke ({})", error.kind()),
        SocketError::Tls(_) => "Mattermost's certificate is not accepted".to_owned(),
        SocketError::ConnectionClosed | SocketError::AlreadyClosed => {
            "Mattermost closed the connection".to_owned()
        }
        SocketError::Capacity(_) => "Mattermost sent more than expected".to_owned(),
        SocketError::Protocol(_)
        | SocketError::WriteBufferFull(_)
        | SocketError::Utf8(_)
        | SocketError::AttackAttempt
        | SocketError::Url(_)
        | SocketError::HttpFormat(_) => "the connection to Mattermost broke".to_owned(),
    }
}

#[cfg(test)]
mod tests;
