use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use futures::{SinkExt as _, StreamExt as _};
use rave_domain::Timestamp;
use rave_domain::callback::CallbackSeal;
use rave_domain::reply::Reply;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use url::Url;

use super::*;
use crate::commands::Commands;
use crate::http_client;
use crate::seals::Seals;

/// What a connection of the script does, one after the other.
enum Line {
    Says(Value),
    /// Waits for this opcode.
    Hears(u64),
    /// Waits until this many interactions have been answered.
    Answered(usize),
    Closes(u16),
}

/// What the gateway heard, and the answers that were called in.
#[derive(Default)]
struct Log {
    heard: Vec<Value>,
    answers: Vec<(String, Value)>,
}

#[derive(Clone)]
struct Fake {
    log: Arc<Mutex<Log>>,
    ws: String,
    status: u16,
}

async fn gateway_bot(State(fake): State<Fake>) -> (StatusCode, String) {
    let body = json!({"url": fake.ws, "shards": 1,
        "session_start_limit": {"total": 1000, "remaining": 1, "reset_after": 1, "max_concurrency": 1}});
    (StatusCode::from_u16(fake.status).unwrap(), body.to_string())
}

async fn callback(
    State(fake): State<Fake>,
    Path((id, token)): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let body = serde_json::from_slice(&body).unwrap();
    let answer = (format!("{id}/{token}"), body);
    fake.log.lock().unwrap().answers.push(answer);
    StatusCode::NO_CONTENT
}

async fn play(fake: Fake, listener: TcpListener, script: Vec<Vec<Line>>, done: mpsc::Sender<()>) {
    let mut connections: VecDeque<Vec<Line>> = script.into();
    while let Some(lines) = connections.pop_front() {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        for line in lines {
            match line {
                Line::Says(value) => {
                    let text = value.to_string().replace("WS", &fake.ws);
                    socket.send(Message::text(text)).await.unwrap();
                }
                Line::Hears(op) => loop {
                    let Some(Ok(Message::Text(text))) = socket.next().await else {
                        panic!("nothing said, {op} expected");
                    };
                    let value: Value = serde_json::from_str(&text).unwrap();
                    let found = value["op"] == op;
                    fake.log.lock().unwrap().heard.push(value);
                    if found {
                        break;
                    }
                },
                Line::Answered(count) => {
                    while fake.log.lock().unwrap().answers.len() < count {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                Line::Closes(code) => {
                    let frame = CloseFrame {
                        code: code.into(),
                        reason: "".into(),
                    };
                    socket.close(Some(frame)).await.unwrap();
                }
            }
        }
        // Until the other side has gone.
        while let Some(Ok(_)) = socket.next().await {}
    }
    done.send(()).await.unwrap();
}

/// Says hello to everybody.
struct Greeter;

#[async_trait]
impl ChatHandler for Greeter {
    async fn handle(&self, event: &VerifiedEvent) -> Answer {
        Answer::reply(Reply::text(format!("hello {}", event.account.id)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

async fn listens(
    status: u16,
    script: Vec<Vec<Line>>,
) -> (Result<(), ListenerFault>, Vec<Value>, Log) {
    let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v10", http.local_addr().unwrap());
    let fake = Fake {
        log: Arc::default(),
        ws: format!("ws://{}", sockets.local_addr().unwrap()),
        status,
    };
    let app = Router::new()
        .route("/api/v10/gateway/bot", get(gateway_bot))
        .route(
            "/api/v10/interactions/{id}/{token}/callback",
            post(callback),
        )
        .fallback(any(|| async { StatusCode::NOT_FOUND }))
        .with_state(fake.clone());
    tokio::spawn(async move { axum::serve(http, app).await });
    let (done, mut finished) = mpsc::channel(1);
    tokio::spawn(play(fake.clone(), sockets, script, done));

    let application: Snowflake = "1".parse().unwrap();
    let api = Api::new(
        Url::parse(&base).unwrap(),
        http_client().unwrap(),
        Some("b0t".into()),
        Arc::default(),
    );
    let seal = CallbackSeal::new(&[9; 32], |_| Ok(()));
    let commands = Arc::new(Commands::default());
    let seals = Arc::new(Seals::new(seal, application));
    let messages = Messages {
        api,
        application,
        seals: Arc::clone(&seals),
    };
    let interactions = Interactions {
        application,
        seals,
        commands: Arc::new(move || Arc::clone(&commands)),
        bot: true,
    };
    let gateway = Gateway::new(interactions, messages);
    let ended = tokio::select! {
        ended = gateway.listen(Arc::new(Greeter)) => ended,
        Some(()) = finished.recv() => Ok(()),
    };
    let log = std::mem::take(&mut *fake.log.lock().unwrap());
    let heard = log
        .heard
        .iter()
        .filter(|it| it["op"] != 1)
        .cloned()
        .collect();
    (ended, heard, log)
}

fn hello(interval: u64) -> Line {
    Line::Says(json!({"op": 10, "d": {"heartbeat_interval": interval}}))
}

fn ready() -> Line {
    Line::Says(json!({"op": 0, "t": "READY", "s": 1,
        "d": {"v": 10, "session_id": "s1", "resume_gateway_url": "WS", "user": {}}}))
}

fn interaction(id: &str, seq: u64) -> Line {
    Line::Says(json!({"op": 0, "t": "INTERACTION_CREATE", "s": seq, "d": {
        "id": id, "application_id": "1", "type": 2, "token": "t0ken", "channel_id": "5",
        "member": {"user": {"id": "7"}}, "data": {"name": "rave", "type": 1, "options": []},
    }}))
}

#[tokio::test]
async fn interactions_are_answered_and_a_session_goes_on() {
    let first = vec![
        hello(60_000),
        Line::Hears(2),
        ready(),
        interaction("11", 2),
        Line::Answered(1),
        Line::Says(json!({"op": 1, "d": null})),
        Line::Hears(1),
        Line::Says(json!({"op": 7, "d": null})),
    ];
    let second = vec![
        hello(60_000),
        Line::Hears(6),
        interaction("12", 3),
        Line::Says(json!({"op": 0, "t": "RESUMED", "s": 4, "d": {}})),
        Line::Answered(2),
        Line::Closes(4000),
    ];
    let third = vec![hello(60_000), Line::Hears(6), Line::Closes(4004)];
    let (ended, heard, log) = listens(200, vec![first, second, third]).await;
    let why = "Discord refuses discord.bot_token (close code 4004)".to_owned();
    assert_eq!(ended, Err(ListenerFault { why }));
    assert_eq!(heard[0]["d"]["token"], "b0t");
    assert_eq!(heard[0]["d"]["intents"], 0);
    let resumed = json!({"op": 6, "d": {"token": "b0t", "session_id": "s1", "seq": 2}});
    assert_eq!(heard[1], resumed);
    assert_eq!(heard[2]["d"]["seq"], 4);
    let (to, answer) = &log.answers[0];
    assert_eq!((to.as_str(), &answer["type"]), ("11/t0ken", &json!(4)));
    assert_eq!(answer["data"]["content"], "hello 7");
    assert_eq!(log.answers[1].0, "12/t0ken");
}

#[tokio::test]
async fn a_connection_that_does_not_answer_is_given_up_and_resumed() {
    // Two beats without an acknowledgement in between.
    let dead = vec![hello(40), Line::Hears(2), ready(), Line::Hears(1)];
    let again = vec![hello(60_000), Line::Hears(6), Line::Closes(4014)];
    let (ended, heard, _) = listens(200, vec![dead, again]).await;
    assert!(ended.is_err());
    assert_eq!(heard.last().unwrap()["op"], 6);
}

#[tokio::test]
async fn an_invalid_session_is_begun_anew() {
    let invalid = vec![
        hello(60_000),
        Line::Hears(2),
        ready(),
        Line::Says(json!({"op": 9, "d": false})),
    ];
    let again = vec![hello(60_000), Line::Hears(2), Line::Closes(4014)];
    let (ended, heard, _) = listens(200, vec![invalid, again]).await;
    assert!(ended.is_err());
    let ops: Vec<u64> = heard.iter().map(|it| it["op"].as_u64().unwrap()).collect();
    assert_eq!(ops, [2, 2]);
}

#[tokio::test]
async fn a_refused_token_is_the_administrators() {
    let (ended, ..) = listens(401, vec![Vec::new()]).await;
    let why = "Discord refuses discord.bot_token".to_owned();
    assert_eq!(ended, Err(ListenerFault { why }));
}
