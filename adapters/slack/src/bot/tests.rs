use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use rave_domain::RunId;
use rave_domain::reply::Button;
use secrecy::SecretString;

use super::*;
use crate::places::Places;

/// A Slack that says what it is told to, and keeps what was asked.
#[derive(Clone, Default)]
struct Script {
    asked: Arc<Mutex<Vec<(String, String)>>>,
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    base: String,
}

async fn answer(
    State(script): State<Script>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches("/api/").to_owned();
    if uri.path().starts_with("/api/") {
        assert_eq!(headers["authorization"], "Bearer xoxb-1");
    } else {
        assert!(!headers.contains_key("authorization"), "a token at {uri}");
    }
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.asked.lock().unwrap().push((path, body));
    let next = script.answers.lock().unwrap().pop_front();
    let (status, body) = next.unwrap_or((200, json!({"ok": true, "channel": "C01", "ts": "9.9"})));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("retry-after", "7")], body.to_string()).into_response()
}

impl Script {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let routes = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        script
    }

    fn says(&self, status: u16, body: Value) -> &Self {
        self.answers.lock().unwrap().push_back((status, body));
        self
    }

    fn refuses(&self, error: &str) -> &Self {
        self.says(200, json!({"ok": false, "error": error}))
    }

    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().map(|(path, _)| path).collect()
    }

    fn last(&self) -> Value {
        let asked = self.asked.lock().unwrap();
        serde_json::from_str(&asked.last().unwrap().1).unwrap()
    }

    fn bot(&self) -> Bot {
        let places = Places::parse(Some(&format!("{}/api/", self.base))).unwrap();
        let client = crate::http_client().unwrap();
        let urls = ResponseUrls::new(places.clone(), client.clone());
        let api = WebApi::new(places, client, SecretString::from("xoxb-1"));
        Bot::new(api, urls, "this".to_owned())
    }

    fn address(&self, life: &str, thread: Option<&str>, with_url: bool) -> Value {
        serde_json::to_value(Address {
            channel: "C01".to_owned(),
            user: "U01".to_owned(),
            thread: thread.map(str::to_owned),
            under: None,
            opens: false,
            response: with_url.then(|| crate::address::Response {
                url: format!("{}/hook/1", self.base),
                until: at(1800),
            }),
            asked: at(0),
            life: life.to_owned(),
        })
        .unwrap()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn run() -> RunId {
    RunId::new("run_0001").unwrap()
}

fn reply(headline: &str, press: Press) -> Reply {
    Reply::default()
        .about(run())
        .to_conversation()
        .with(Block::Heading(headline.to_owned()))
        .with(Block::Buttons(vec![Button {
            label: "Button".to_owned(),
            press,
            run: run(),
        }]))
}

async fn show(
    bot: &Bot,
    address: &Value,
    shown: Option<&Value>,
    reply: &Reply,
) -> Result<Value, DeliveryError> {
    let run = run();
    bot.show(LiveMessage {
        run: &run,
        address,
        shown,
        reply,
        now: at(60),
    })
    .await
}

#[tokio::test]
async fn a_live_message_is_posted_once_and_then_edited() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", Some("5.5"), false);
    let shown = show(&bot, &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap();
    assert_eq!(shown, json!({"message": {"channel": "C01", "ts": "9.9"}}));
    let body = slack.last();
    assert_eq!(body["thread_ts"], "5.5");
    assert_eq!(
        body["metadata"],
        json!({"event_type": "rave_run", "event_payload": {"id": "run_0001"}})
    );
    for (key, value) in [
        ("link_names", false),
        ("unfurl_links", false),
        ("unfurl_media", false),
    ] {
        assert_eq!(body[key], value, "{key}");
    }
    let again = show(&bot, &address, Some(&shown), &reply("ended", Press::Retry))
        .await
        .unwrap();
    assert_eq!(again, shown);
    let body = slack.last();
    assert_eq!(
        (&body["ts"], &body["channel"]),
        (&"9.9".into(), &"C01".into())
    );
    assert_eq!(slack.asked(), ["chat.postMessage", "chat.update"]);
}

#[tokio::test]
async fn a_message_of_an_interrupted_process_is_taken_over() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("before", None, false);
    let ours = |ts: &str, run: &str| json!({"ts": ts, "metadata": {"event_type": "rave_run", "event_payload": {"id": run}}});
    slack
        .says(
            200,
            json!({
                "ok": true,
                "messages": [ours("3.3", "run_0002"), {"ts": "2.2"}],
                "response_metadata": {"next_cursor": "more"},
            }),
        )
        .says(
            200,
            json!({"ok": true, "messages": [ours("1.1", "run_0001")]}),
        );
    let shown = show(&bot, &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap();
    assert_eq!(shown, json!({"message": {"channel": "C01", "ts": "1.1"}}));
    assert_eq!(
        slack.asked(),
        [
            "conversations.history",
            "conversations.history",
            "chat.update"
        ]
    );
    // In a thread it is looked for there, and posted when it is not.
    slack.says(200, json!({"ok": true, "messages": []}));
    show(
        &bot,
        &slack.address("before", Some("5.5"), false),
        None,
        &reply("runs", Press::Cancel),
    )
    .await
    .unwrap();
    assert_eq!(slack.asked(), ["conversations.replies", "chat.postMessage"]);
}

#[tokio::test]
async fn a_post_without_an_answer_is_looked_for() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", None, false);
    slack.says(500, json!({}));
    assert!(
        show(&bot, &address, None, &reply("runs", Press::Cancel))
            .await
            .is_err()
    );
    slack.says(200, json!({"ok": true, "messages": []}));
    show(&bot, &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap();
    assert_eq!(
        slack.asked(),
        [
            "chat.postMessage",
            "conversations.history",
            "chat.postMessage"
        ]
    );
    // What was refused for sure was not posted.
    slack.says(429, json!({}));
    let error = show(&bot, &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap_err();
    let after = Some(Duration::from_secs(7));
    assert!(
        matches!(&error, DeliveryError::Later { after: given, .. } if *given == after),
        "{error:?}"
    );
    show(&bot, &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap();
    assert_eq!(slack.asked(), ["chat.postMessage", "chat.postMessage"]);
}

#[tokio::test]
async fn a_message_that_is_gone_is_posted_anew() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", None, false);
    let shown = json!({"message": {"channel": "C01", "ts": "1.1"}});
    for gone in GONE {
        let still_there = json!({"ts": "1.1", "metadata": {"event_type": "rave_run", "event_payload": {"id": "run_0001"}}});
        slack
            .refuses(gone)
            .says(200, json!({"ok": true, "messages": [still_there]}));
        let anew = show(&bot, &address, Some(&shown), &reply("runs", Press::Cancel))
            .await
            .unwrap();
        assert_eq!(anew, json!({"message": {"channel": "C01", "ts": "9.9"}}));
        assert_eq!(
            slack.asked(),
            ["chat.update", "conversations.history", "chat.postMessage"],
            "{gone}"
        );
    }
}

#[tokio::test]
async fn what_slack_says_decides_whether_it_is_tried_again() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", None, false);
    for (status, body, later) in [
        (503, json!({}), true),
        (200, json!("<html>"), true),
        (200, json!({"ok": false, "error": "internal_error"}), true),
        (200, json!({"ok": false, "error": "token_revoked"}), true),
        (
            200,
            json!({"ok": false, "error": "missing_scope", "needed": "chat:write"}),
            true,
        ),
        (200, json!({"ok": false, "error": "invalid_blocks"}), false),
        (200, json!({"ok": false, "error": "is_archived"}), false),
        (200, json!({"ok": false, "error": "not_in_channel"}), false),
    ] {
        slack.says(status, body.clone());
        let shown = json!({"message": {"channel": "C01", "ts": "1.1"}});
        // Where the bot is not let in a post is tried too.
        slack.says(status, body.clone());
        let error = show(&bot, &address, Some(&shown), &reply("runs", Press::Cancel))
            .await
            .unwrap_err();
        slack.answers.lock().unwrap().clear();
        assert_eq!(
            matches!(error, DeliveryError::Later { .. }),
            later,
            "{body} {error}"
        );
        assert!(!error.to_string().contains("xoxb"), "{error}");
    }
    let nobody = Script {
        base: "http://127.0.0.1:9".to_owned(),
        ..Script::default()
    };
    let error = show(&nobody.bot(), &address, None, &reply("runs", Press::Cancel))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "Slack cannot be reached");
}

#[tokio::test]
async fn where_the_bot_is_not_let_in_the_response_url_says_what_matters() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", None, true);
    let mut shown: Option<Value> = None;
    // Six states, five uses: the last one is kept for the end.
    for (said, press, posted) in [
        ("awaits", Press::Approve, true),
        ("queued", Press::Cancel, true),
        ("queued", Press::Cancel, false),
        ("runs", Press::Cancel, true),
        ("needs attention", Press::ShowLog, true),
        ("runs again", Press::Cancel, false),
        ("ended", Press::ShowLog, true),
    ] {
        slack.refuses("not_in_channel").says(200, json!("ok"));
        shown = Some(
            show(&bot, &address, shown.as_ref(), &reply(said, press))
                .await
                .unwrap(),
        );
        slack.answers.lock().unwrap().clear();
        let expected: &[&str] = if posted {
            &["chat.postMessage", "/hook/1"]
        } else {
            &["chat.postMessage"]
        };
        if posted {
            let body = slack.last();
            assert_eq!(
                (&body["replace_original"], &body["response_type"]),
                (&false.into(), &"in_channel".into())
            );
        }
        assert_eq!(slack.asked(), expected, "{said}");
    }
    slack.refuses("not_in_channel");
    let error = show(
        &bot,
        &address,
        shown.as_ref(),
        &reply("one more", Press::Retry),
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("/invite"), "{error}");
}

#[tokio::test]
async fn words_go_to_whom_they_are_for() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address =
        |thread, with_url| Address::read(&slack.address("this", thread, with_url)).unwrap();
    let alone = Reply::text("for you");
    let mark = Mark::Row("row");
    bot.tell(&address(Some("5.5"), false), &alone, &mark)
        .await
        .unwrap();
    let body = slack.last();
    assert_eq!(
        (&body["user"], &body["thread_ts"]),
        (&"U01".into(), &"5.5".into())
    );
    let opens = Address {
        opens: true,
        ..address(Some("5.5"), false)
    };
    bot.tell(&opens, &alone, &mark).await.unwrap();
    assert_eq!(
        slack.last().get("thread_ts"),
        None,
        "there is no thread to see it in"
    );
    bot.tell(&address(None, true), &alone, &mark).await.unwrap();
    let direct = Address {
        channel: "D01".to_owned(),
        ..address(None, false)
    };
    bot.tell(&direct, &alone, &mark).await.unwrap();
    bot.tell(&opens, &Reply::text("for all").to_conversation(), &mark)
        .await
        .unwrap();
    assert_eq!(slack.last()["thread_ts"], "5.5");
    slack.refuses("channel_not_found").says(200, json!("ok"));
    bot.tell(
        &address(None, true),
        &Reply::text("for all").to_conversation(),
        &mark,
    )
    .await
    .unwrap();
    assert_eq!(
        slack.asked(),
        [
            "chat.postEphemeral",
            "chat.postEphemeral",
            "/hook/1",
            "chat.postMessage",
            "chat.postMessage",
            "chat.postMessage",
            "/hook/1"
        ]
    );
}

#[tokio::test]
async fn a_file_is_measured_in_bytes_and_hung_under_the_root() {
    let slack = Script::start().await;
    let bot = slack.bot();
    let address = slack.address("this", None, false);
    let shown = json!({"message": {"channel": "C01", "ts": "1.1"}});
    let run = run();
    let file = FileMessage {
        run: &run,
        address: &address,
        shown: Some(&shown),
        name: "out.txt",
        title: "What <it> printed",
        content: "äöü\n",
        now: at(60),
    };
    slack
        .says(
            200,
            json!({"ok": true, "upload_url": format!("{}/upload/1", slack.base), "file_id": "F1"}),
        )
        .says(200, json!("OK"));
    bot.attach(file).await.unwrap();
    let body = slack.last();
    assert_eq!(
        (&body["channel_id"], &body["thread_ts"]),
        (&"C01".into(), &"1.1".into())
    );
    assert_eq!(
        body["files"],
        json!([{"id": "F1", "title": "What &lt;it&gt; printed"}])
    );
    let first = slack.asked.lock().unwrap()[0].1.clone();
    assert_eq!(first, "filename=out.txt&length=7");
    assert_eq!(
        slack.asked(),
        [
            "files.getUploadURLExternal",
            "/upload/1",
            "files.completeUploadExternal"
        ]
    );
    // Bytes go to Slack only.
    slack.says(
        200,
        json!({"ok": true, "upload_url": "http://evil.example/1", "file_id": "F1"}),
    );
    assert!(matches!(
        bot.attach(file).await,
        Err(DeliveryError::Never { .. })
    ));
    // Another process may have sent it.
    slack.asked();
    let before = slack.address("before", None, false);
    slack.says(
        200,
        json!({"ok": true, "messages": [{"ts": "1.2", "files": [{"name": "out.txt"}]}]}),
    );
    bot.attach(FileMessage {
        address: &before,
        ..file
    })
    .await
    .unwrap();
    assert_eq!(slack.asked(), ["conversations.replies"]);
}
