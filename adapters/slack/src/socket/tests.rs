use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use rave_domain::Timestamp;
use rave_domain::callback::CallbackSeal;
use rave_domain::ports::surface::Act;
use rave_domain::reply::Reply;
use tokio::net::TcpListener;

use super::*;
use crate::{Slack, SlackConfig};

/// A Slack that opens connections: each that is made comes out of `links`.
struct Server {
    base: String,
    opened: Arc<AtomicUsize>,
    said: Arc<Mutex<Vec<String>>>,
    links: TcpListener,
}

#[derive(Clone)]
struct Web {
    opened: Arc<AtomicUsize>,
    said: Arc<Mutex<Vec<String>>>,
    socket: String,
    answer: &'static str,
}

async fn open(State(web): State<Web>, headers: HeaderMap, body: String) -> String {
    assert_eq!(headers["authorization"], "Bearer xapp-1");
    assert!(body.is_empty(), "the token is in the header only");
    web.opened.fetch_add(1, Ordering::Relaxed);
    web.answer.replace("URL", &web.socket)
}

async fn ephemeral(State(web): State<Web>, body: String) -> &'static str {
    web.said.lock().unwrap().push(body);
    r#"{"ok": true, "message_ts": "1.1"}"#
}

impl Server {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let links = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = Web {
            opened: Arc::default(),
            said: Arc::default(),
            socket: format!("ws://{}/link?ticket=1", links.local_addr().unwrap()),
            answer,
        };
        let server = Self {
            base: format!("http://{}/api/", listener.local_addr().unwrap()),
            opened: Arc::clone(&web.opened),
            said: Arc::clone(&web.said),
            links,
        };
        let routes = axum::Router::new()
            .route("/api/apps.connections.open", post(open))
            .route("/api/chat.postEphemeral", post(ephemeral))
            .with_state(web);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        server
    }

    fn listener(&self) -> Arc<dyn ChatListener> {
        let config = SlackConfig {
            app_token: Some("xapp-1".into()),
            bot_token: Some("xoxb-1".into()),
            api_url: Some(self.base.clone()),
            ..SlackConfig::default()
        };
        let seal = CallbackSeal::new(&[1; 32], |bytes| {
            bytes.fill(7);
            Ok(())
        });
        let client = crate::http_client().unwrap();
        Slack::new(&config, client, seal)
            .unwrap()
            .listener()
            .unwrap()
    }

    async fn link(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = self.links.accept().await.unwrap();
        let mut link = tokio_tungstenite::accept_async(stream).await.unwrap();
        let hello = json!({"type": "hello", "num_connections": 1, "debug_info": {}});
        link.send(Message::text(hello.to_string())).await.unwrap();
        link
    }
}

async fn exchange(link: &mut WebSocketStream<TcpStream>, frame: &Value) -> Value {
    link.send(Message::text(frame.to_string())).await.unwrap();
    loop {
        if let Message::Text(text) = link.next().await.unwrap().unwrap() {
            return serde_json::from_str(text.as_str()).unwrap();
        }
    }
}

struct Echo;

#[async_trait]
impl ChatHandler for Echo {
    async fn handle(&self, event: &VerifiedEvent) -> Answer {
        let Act::Command { text } = &event.act else {
            panic!("{:?}", event.act);
        };
        Answer::reply(Reply::text(format!("heard {text}")))
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

const OPENED: &str = r#"{"ok": true, "url": "URL"}"#;

fn envelope(kind: &str, accepts: bool, payload: &Value) -> Value {
    json!({
        "envelope_id": format!("e-{kind}"),
        "type": kind,
        "accepts_response_payload": accepts,
        "payload": payload,
        "retry_attempt": 0,
        "retry_reason": "",
    })
}

fn command() -> Value {
    json!({
        "token": "deprecated", "team_id": "T01", "channel_id": "C01", "user_id": "U01",
        "command": "/rave", "text": "a &amp; b", "trigger_id": "1.2.x",
    })
}

#[tokio::test]
async fn envelopes_are_acknowledged_with_an_answer_where_one_is_taken() {
    let server = Server::start(OPENED).await;
    let listening = tokio::spawn({
        let listener = server.listener();
        async move { listener.listen(Arc::new(Echo)).await }
    });
    let mut link = server.link().await;
    let taken = exchange(&mut link, &envelope("slash_commands", true, &command())).await;
    assert_eq!(taken["envelope_id"], "e-slash_commands");
    assert_eq!(taken["payload"]["text"], "heard a &amp; b");
    let plain = exchange(&mut link, &envelope("slash_commands", false, &command())).await;
    assert_eq!(plain, json!({"envelope_id": "e-slash_commands"}));
    let mention = json!({
        "type": "event_callback", "team_id": "T01", "event_id": "Ev1",
        "authorizations": [{"user_id": "UBOT"}],
        "event": {"type": "app_mention", "user": "U01", "text": "<@UBOT> help", "ts": "1.1", "channel": "C01"},
    });
    let event = exchange(&mut link, &envelope("events_api", false, &mention)).await;
    assert_eq!(event, json!({"envelope_id": "e-events_api"}));
    for odd in [
        envelope("interactive", true, &json!({"type": "view_closed"})),
        envelope("events_api", false, &json!("x")),
        envelope("of_tomorrow", true, &json!({})),
    ] {
        let taken = exchange(&mut link, &odd).await;
        assert_eq!(taken, json!({"envelope_id": odd["envelope_id"]}));
    }
    let refused = exchange(&mut link, &envelope("slash_commands", true, &json!({}))).await;
    assert!(
        refused["payload"]["text"]
            .as_str()
            .unwrap()
            .contains("unexpected"),
        "{refused}"
    );
    // What could not be answered over the connection is told by the bot.
    while server.said.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    listening.abort();
}

#[tokio::test]
async fn the_next_connection_is_there_before_the_old_one_ends() {
    let server = Server::start(OPENED).await;
    let listening = tokio::spawn({
        let listener = server.listener();
        async move { listener.listen(Arc::new(Echo)).await }
    });
    let mut old = server.link().await;
    let goodbye = json!({"type": "disconnect", "reason": "refresh_requested", "debug_info": {}});
    old.send(Message::text(goodbye.to_string())).await.unwrap();
    let mut new = server.link().await;
    for link in [&mut old, &mut new] {
        let taken = exchange(link, &envelope("slash_commands", true, &command())).await;
        assert_eq!(taken["payload"]["text"], "heard a &amp; b");
    }
    // A connection that breaks is made again.
    drop((old, new));
    server.link().await;
    assert_eq!(server.opened.load(Ordering::Relaxed), 3);
    listening.abort();
}

#[tokio::test]
async fn what_an_administrator_must_change_ends_it() {
    for (answer, says) in [
        (r#"{"ok": false, "error": "invalid_auth"}"#, "invalid_auth"),
        (r#"{"ok": false, "error": "not_enabled"}"#, "not_enabled"),
    ] {
        let server = Server::start(answer).await;
        let fault = server.listener().listen(Arc::new(Echo)).await.unwrap_err();
        assert!(fault.why.contains(says), "{fault}");
    }
    let server = Server::start(OPENED).await;
    let listening = tokio::spawn({
        let listener = server.listener();
        async move { listener.listen(Arc::new(Echo)).await }
    });
    let mut link = server.link().await;
    let off = json!({"type": "disconnect", "reason": "link_disabled"});
    link.send(Message::text(off.to_string())).await.unwrap();
    let fault = listening.await.unwrap().unwrap_err();
    assert!(fault.why.contains("switched off"), "{fault}");
}
