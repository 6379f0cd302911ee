use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use rave_domain::Timestamp;
use rave_domain::ports::surface::Answer;
use rave_domain::reply::Reply;
use serde_json::{Value, json};

use super::*;
use crate::script::Script;

const ME: &str = "b1";

fn me() -> Me {
    Me {
        id: ME.to_owned(),
        username: "rave".to_owned(),
    }
}

fn post(message: &str) -> Value {
    json!({
        "id": "p1", "user_id": "u-ann", "channel_id": "c1", "root_id": "r1",
        "message": message, "type": "", "delete_at": 0, "props": {},
    })
}

fn posted(seq: i64, post: &Value, channel_type: &str) -> String {
    json!({
        "event": "posted", "seq": seq, "broadcast": {"channel_id": "c1"},
        "data": {"post": post.to_string(), "channel_type": channel_type, "mentions": "[\"b1\"]"},
    })
    .to_string()
}

fn hello() -> String {
    json!({"event": "hello", "seq": 0, "data": {"server_version": "11.7.0", "connection_id": "k1"}})
        .to_string()
}

fn heard(post: &Value, channel_type: &str) -> Option<String> {
    let frame = Frame::parse(&posted(1, post, channel_type)).unwrap();
    command_in(&frame.posted()?, &me())
}

#[test]
fn what_begins_with_the_bots_name_is_a_command() {
    for (message, command) in [
        ("@rave help", Some("help")),
        (
            "  @Rave  rollout media\ntag=1 ",
            Some("rollout media\ntag=1"),
        ),
        ("@rave: status", Some("status")),
        ("@rave", Some("")),
        ("@ravenous help", None),
        ("@rave-two help", None),
        ("@rav", None),
        ("@raveé", None),
        ("ask @rave for help", None),
        ("rave help", None),
        ("", None),
    ] {
        assert_eq!(
            heard(&post(message), "O").as_deref(),
            command,
            "{message:?}"
        );
    }
    assert_eq!(heard(&post("status"), "D").as_deref(), Some("status"));
    assert_eq!(heard(&post("@rave status"), "D").as_deref(), Some("status"));
    assert_eq!(heard(&post("status"), "G"), None);
}

#[test]
fn only_people_give_commands() {
    let with = |key: &str, value: Value| {
        let mut post = post("@rave approve run_0001");
        post[key] = value;
        post
    };
    for post in [
        with("user_id", json!(ME)),
        with("type", json!("system_join_channel")),
        with("props", json!({"from_bot": "true"})),
        // What a slash command answers to all is a post of whoever asked.
        with("props", json!({"from_webhook": "true"})),
        with("props", json!({"from_plugin": true})),
        with("id", json!("")),
        with("channel_id", json!("c\n1")),
        with("user_id", json!("u".repeat(2000))),
    ] {
        assert_eq!(heard(&post, "O"), None, "{post}");
    }
    assert!(heard(&with("props", Value::Null), "O").is_some());
    assert!(heard(&with("props", json!({"from_webhook": "false"})), "O").is_some());
}

#[test]
fn other_frames_are_nobodys_command() {
    let edited = posted(1, &post("@rave help"), "O").replace("posted", "post_edited");
    let no_post = json!({"event": "posted", "seq": 1, "data": {"post": {"id": "p1"}}});
    for text in [edited, no_post.to_string()] {
        assert!(Frame::parse(&text).unwrap().posted().is_none(), "{text}");
    }
    for text in ["", "{}", r#"{"status":"OK","seq_reply":1}"#, "[1]"] {
        assert!(Frame::parse(text).is_none(), "{text}");
    }
}

/// A connection whose frames stand in a list.
struct Wire {
    frames: VecDeque<Message>,
    flushed: usize,
}

impl Wire {
    fn of(frames: impl IntoIterator<Item = String>) -> Self {
        Self {
            frames: frames.into_iter().map(Message::text).collect(),
            flushed: 0,
        }
    }
}

impl Stream for Wire {
    type Item = Result<Message, SocketError>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.frames.pop_front().map(Ok))
    }
}

impl Sink<Message> for Wire {
    type Error = SocketError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, _: Message) -> Result<(), SocketError> {
        Ok(())
    }
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.flushed += 1;
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
}

/// Remembers events and answers each.
#[derive(Default)]
struct Handler {
    events: Mutex<Vec<VerifiedEvent>>,
    told: tokio::sync::Notify,
}

#[async_trait]
impl ChatHandler for Handler {
    async fn handle(&self, event: &VerifiedEvent) -> Answer {
        self.events.lock().unwrap().push(event.clone());
        self.told.notify_one();
        Answer::reply(Reply::text("Nothing runs."))
    }
    fn now(&self) -> Timestamp {
        "2026-03-02T09:00:00Z".parse().unwrap()
    }
}

#[tokio::test]
async fn a_command_in_a_thread_is_answered_in_it() {
    let script = Script::start().await;
    script.on("POST /api/v4/posts", 201, &post("Nothing runs."));
    let posts = script.posts();
    let handler = Handler::default();
    let frame = Frame::parse(&posted(1, &post("@rave status"), "O")).unwrap();
    answer(
        &posts,
        &handler,
        frame.posted().unwrap(),
        "status".to_owned(),
    )
    .await;

    let event = handler.events.lock().unwrap().pop().unwrap();
    assert_eq!(event.event_id, "post-p1");
    assert_eq!(event.account, Account::new(Surface::Mattermost, "u-ann"));
    assert_eq!(event.strength, Strength::Token);
    assert_eq!(event.form_ticket, None);
    let reply_to = event.reply_to.unwrap();
    assert_eq!(
        (reply_to.courier.as_str(), &reply_to.address["root"]),
        ("mattermost", &json!("r1"))
    );
    let said = script.asked().pop().unwrap().body;
    assert_eq!(
        said,
        json!({"channel_id": "c1", "root_id": "r1", "message": "Nothing runs.", "props": {}})
    );
}

/// Why a connection ended, and whether the next wait is a first one.
async fn hear(wire: Wire, handler: &Arc<Handler>, course: &mut Course) -> (String, bool) {
    let script = Script::start().await;
    let listener = Listener::new(script.posts());
    for _ in 0..4 {
        course.reconnect.wait();
    }
    let handler = Arc::clone(handler) as Arc<dyn ChatHandler>;
    match listener.hear(wire, &me(), &handler, course).await {
        Ended::Again(why) => (why, course.reconnect.wait() <= Duration::from_secs(2)),
        Ended::ForGood(fault) => panic!("{fault}"),
    }
}

fn got_to(next: i64) -> Option<Progress> {
    Some(Progress {
        id: Some("k1".to_owned()),
        next,
    })
}

#[tokio::test]
async fn a_missing_frame_ends_the_connection() {
    let handler = Arc::new(Handler::default());
    let mut course = Course::default();
    let frames = [hello(), posted(2, &post("@rave help"), "O")];
    let (why, worked) = hear(Wire::of(frames), &handler, &mut course).await;
    assert_eq!((why.as_str(), worked), ("frame 1 is missing", true));
    assert!(handler.events.lock().unwrap().is_empty());
    // It can be had from this connection.
    assert_eq!(course.progress, got_to(1));

    let frames = [hello(), posted(1, &post("hi"), "O")];
    let (why, _) = hear(Wire::of(frames), &handler, &mut course).await;
    assert_eq!(why, "Mattermost closed the connection");
    assert_eq!(course.progress, got_to(2));
}

#[tokio::test]
async fn a_connection_goes_on_where_it_was_or_begins_anew() {
    let handler = Arc::new(Handler::default());
    let mut course = Course {
        progress: got_to(7),
        ..Course::default()
    };
    // Nobody is greeted twice.
    let frames = [posted(7, &post("hi"), "O"), posted(8, &post("hi"), "O")];
    let (_, worked) = hear(Wire::of(frames), &handler, &mut course).await;
    assert_eq!((worked, &course.progress), (true, &got_to(9)));
    // Mattermost has forgotten it.
    hear(Wire::of([hello()]), &handler, &mut course).await;
    assert_eq!(course.progress, got_to(1));
    // It goes on with something else: no use in asking for it again.
    let frames = [posted(5, &post("hi"), "O")];
    let (why, worked) = hear(Wire::of(frames), &handler, &mut course).await;
    assert_eq!((why.as_str(), worked), ("frame 1 is missing", false));
    assert_eq!(course.progress, None);
    // One of an old Mattermost has no name to go on with.
    let old = hello().replace("connection_id", "no_id");
    hear(Wire::of([old]), &handler, &mut course).await;
    assert_eq!(course.progress, Some(Progress { id: None, next: 1 }));
}

#[tokio::test]
async fn silence_ends_the_connection() {
    struct Silent;
    impl Stream for Silent {
        type Item = Result<Message, SocketError>;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }
    impl Sink<Message> for Silent {
        type Error = SocketError;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
            Poll::Ready(Ok(()))
        }
        fn start_send(self: Pin<&mut Self>, _: Message) -> Result<(), SocketError> {
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
            Poll::Ready(Ok(()))
        }
    }
    let handler: Arc<dyn ChatHandler> = Arc::new(Handler::default());
    let client = crate::http_client().unwrap();
    let base = crate::base::Base::parse("url", "http://127.0.0.1:9").unwrap();
    let mut listener = Listener::new(Arc::new(Posts {
        bot: Arc::new(Bot::new(base, client, "b0t".into())),
        callbacks: None,
    }));
    listener.greeted_within = Duration::from_millis(5);
    let mut course = Course::default();
    match listener.hear(Silent, &me(), &handler, &mut course).await {
        Ended::Again(why) => assert_eq!(why, "Mattermost has gone silent"),
        Ended::ForGood(fault) => panic!("{fault}"),
    }
}

#[tokio::test]
async fn a_token_that_is_taken_no_more_ends_it_for_good() {
    let script = Script::start().await;
    script.on(
        "GET /api/v4/users/me",
        401,
        &json!({"id": "api.context.session_expired.app_error"}),
    );
    let listener = Listener::new(script.posts());
    let handler = Arc::new(Handler::default());
    let fault = listener.listen(handler).await.unwrap_err();
    assert!(
        fault.why.contains("does not take the bot's token"),
        "{fault}"
    );
    assert!(!fault.why.contains("b0t-token"), "{fault}");
}
