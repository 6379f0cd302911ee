//! A session: connections that continue each other, so that no interaction in between is lost.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

use super::wire::{self, Hello, Next, Ready, Received, op};
use crate::api::TIMEOUT;

/// The largest payload: an interaction has a few KiB, Ready a little more.
const LARGEST: usize = 4 * 1024 * 1024;

/// Interactions that are being answered at once; more are lost, and their people told by Discord.
const MOST_AT_ONCE: usize = 256;

/// A code of our own, so that Discord keeps the session.
const WE_COME_BACK: u16 = 4900;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Discord asked for a new one: at once.
    Asked,
    /// It broke: after a pause.
    Broken {
        /// For the log.
        why: String,
        /// At least this long.
        pause: Option<Duration>,
    },
    /// There will be no other.
    Fatal(String),
}

fn broken(why: impl Into<String>) -> Ended {
    Ended::Broken {
        why: why.into(),
        pause: None,
    }
}

/// What is known of the session.
#[derive(Default)]
pub(super) struct Session {
    /// Its id and where it is resumed.
    known: Option<(String, String)>,
    /// The last event.
    seq: Option<u64>,
    /// Whether the last connection came so far that events could arrive.
    ready: bool,
}

impl Session {
    pub(super) fn resumes_at(&self) -> Option<&str> {
        let (_, address) = self.known.as_ref()?;
        self.seq.map(|_| address.as_str())
    }

    pub(super) const fn was_ready(&self) -> bool {
        self.ready
    }

    fn forget(&mut self) {
        self.known = None;
        self.seq = None;
    }

    /// One connection. Each interaction becomes a task that ends with it at the latest.
    pub(super) async fn run<F>(
        &mut self,
        address: &str,
        api: &Url,
        token: &SecretString,
        take: impl Fn(Value) -> F,
    ) -> Ended
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.ready = false;
        let (mut socket, interval) = match open(address, api).await {
            Ok(open) => open,
            Err(ended) => {
                // The address to resume at may be what does not work.
                self.forget();
                return ended;
            }
        };
        let hello = match (&self.known, self.seq) {
            (Some((id, _)), Some(seq)) => wire::resume(token.expose_secret(), id, seq),
            _ => wire::identify(token.expose_secret()),
        };
        if socket.send(Message::text(hello)).await.is_err() {
            return broken("the connection to Discord's gateway broke");
        }
        let ended = self.serve(&mut socket, interval, take).await;
        let frame = CloseFrame {
            code: CloseCode::from(WE_COME_BACK),
            reason: "".into(),
        };
        // Discord may have closed it already.
        drop(timeout(Duration::from_secs(1), socket.close(Some(frame))).await);
        ended
    }

    async fn serve<F>(
        &mut self,
        socket: &mut Socket,
        interval: Duration,
        take: impl Fn(Value) -> F,
    ) -> Ended
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        // The first one at a random time, so that not all bots beat together after an outage.
        let mut next_beat = Instant::now() + interval.mul_f64(fastrand::f64());
        let mut acknowledged = true;
        loop {
            let received = tokio::select! {
                () = sleep_until(next_beat) => {
                    if !acknowledged {
                        return broken("Discord's gateway does not answer any more");
                    }
                    acknowledged = false;
                    next_beat += interval;
                    if let Some(ended) = self.beat(socket).await {
                        return ended;
                    }
                    continue;
                }
                Some(_) = tasks.join_next() => continue,
                message = socket.next() => match self.received(message) {
                    Ok(Some(received)) => received,
                    Ok(None) => continue,
                    Err(ended) => return ended,
                },
            };
            if received.s.is_some() {
                self.seq = received.s;
            }
            if received.op == op::HEARTBEAT
                && let Some(ended) = self.beat(socket).await
            {
                return ended;
            }
            match received.op {
                op::DISPATCH => match received.t.as_deref() {
                    Some("READY") => match Ready::deserialize(&received.d) {
                        Ok(ready) => {
                            self.known = Some((ready.session_id, ready.resume_gateway_url));
                            self.ready = true;
                            tracing::info!("gateway_ready");
                        }
                        Err(_) => return broken("Discord's gateway greets in an unknown way"),
                    },
                    Some("RESUMED") => {
                        self.ready = true;
                        tracing::info!("gateway_resumed");
                    }
                    Some("INTERACTION_CREATE") if tasks.len() < MOST_AT_ONCE => {
                        tasks.spawn(take(received.d));
                    }
                    Some("INTERACTION_CREATE") => tracing::error!("too_many_interactions"),
                    Some(_) | None => {}
                },
                op::HEARTBEAT_ACK => acknowledged = true,
                op::RECONNECT => return self.ended_when_answered(tasks).await,
                op::INVALID_SESSION => {
                    if received.d != Value::Bool(true) {
                        self.forget();
                    }
                    // Discord wants one to five seconds before the next try.
                    return Ended::Broken {
                        why: "Discord does not know the session any more".to_owned(),
                        pause: Some(
                            Duration::from_secs(1)
                                + Duration::from_secs(4).mul_f64(fastrand::f64()),
                        ),
                    };
                }
                _ => {}
            }
        }
    }

    /// Says that this end lives; the end of the connection when that cannot be said.
    async fn beat(&self, socket: &mut Socket) -> Option<Ended> {
        let beat = Message::text(wire::heartbeat(self.seq));
        let sent = socket.send(beat).await;
        sent.err()
            .map(|_| broken("the connection to Discord's gateway broke"))
    }

    /// Discord wants a new connection; answers under way go over HTTP and are not in a hurry.
    async fn ended_when_answered(&self, mut tasks: JoinSet<()>) -> Ended {
        let rest = async { while tasks.join_next().await.is_some() {} };
        drop(timeout(Duration::from_secs(3), rest).await);
        Ended::Asked
    }

    /// A text as what it says, or the end of the connection.
    fn received(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<Option<Received>, Ended> {
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(received) => Ok(Some(received)),
                Err(_) => Err(broken("Discord's gateway says something unreadable")),
            },
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1006, |frame| u16::from(frame.code));
                match wire::after_close(code) {
                    Next::Never(why) => Err(Ended::Fatal(format!("{why} (close code {code})"))),
                    Next::Begin => {
                        self.forget();
                        Err(broken(format!("Discord closed the connection ({code})")))
                    }
                    Next::Resume => Err(broken(format!("Discord closed the connection ({code})"))),
                }
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(_)) | None => Err(broken("the connection to Discord's gateway broke")),
        }
    }
}

/// Connects and waits for Hello.
async fn open(address: &str, api: &Url) -> Result<(Socket, Duration), Ended> {
    let address = checked(address, api)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let connecting = connect_async_with_config(address.as_str(), Some(config), false);
    let (mut socket, _) = timeout(TIMEOUT, connecting)
        .await
        .map_err(|_| broken("Discord's gateway does not answer"))?
        .map_err(|_| broken("Discord's gateway cannot be reached"))?;
    let hello = async {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else {
                continue;
            };
            let received: Received = serde_json::from_str(&text).ok()?;
            if received.op == op::HELLO {
                return Hello::deserialize(&received.d).ok();
            }
        }
        None
    };
    let hello = timeout(TIMEOUT, hello).await.ok().flatten();
    let hello = hello.ok_or_else(|| broken("Discord's gateway does not greet"))?;
    let interval = Duration::from_millis(hello.heartbeat_interval.clamp(1, 3_600_000));
    Ok((socket, interval))
}

/// The address with version and encoding, when it is one that the bot's token may be sent to: of
/// Discord's and encrypted, or where the tests' API is.
fn checked(address: &str, api: &Url) -> Result<Url, Ended> {
    let mut url = Url::parse(address).map_err(|_| broken("Discord's gateway has no address"))?;
    let host = url.host_str().unwrap_or_default();
    let discords = url.scheme() == "wss" && (host == "discord.gg" || host.ends_with(".discord.gg"));
    let tests = api.host_str() != Some("discord.com") && url.host() == api.host();
    if !discords && !tests {
        return Err(broken(
            "Discord's gateway is at an address that is not Discord's",
        ));
    }
    url.query_pairs_mut()
        .clear()
        .append_pair("v", "10")
        .append_pair("encoding", "json");
    if url.path().is_empty() {
        url.set_path("/");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_discord_only() {
        let discord = Url::parse("https://discord.com/api/v10").unwrap();
        let fake = Url::parse("http://127.0.0.1:8080/api/v10").unwrap();
        for (address, api, taken) in [
            ("wss://gateway.discord.gg", &discord, true),
            ("wss://gateway-us-east1-b.discord.gg/", &discord, true),
            ("ws://gateway.discord.gg", &discord, false),
            ("wss://discord.gg.evil.example", &discord, false),
            ("wss://evildiscord.gg", &discord, false),
            ("ws://127.0.0.1:1/", &discord, false),
            ("ws://127.0.0.1:1/", &fake, true),
            ("wss://evil.example", &fake, false),
            ("", &discord, false),
        ] {
            let url = checked(address, api);
            assert_eq!(url.is_ok(), taken, "{address}");
            if let Ok(url) = url {
                assert_eq!(url.query(), Some("v=10&encoding=json"));
            }
        }
    }

    #[test]
    fn close_codes_say_how_to_go_on() {
        assert!(matches!(wire::after_close(4004), Next::Never(_)));
        assert!(matches!(wire::after_close(4014), Next::Never(_)));
        for code in [1000, 1001, 4003, 4007, 4009] {
            assert_eq!(wire::after_close(code), Next::Begin, "{code}");
        }
        for code in [1006, 1011, 4000, 4001, 4002, 4005, 4008] {
            assert_eq!(wire::after_close(code), Next::Resume, "{code}");
        }
    }
}
