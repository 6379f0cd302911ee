use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method as Verb, StatusCode, Uri};
use axum::routing::any;
use rave_domain::callback::CallbackSeal;
use rave_domain::time::after;
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::*;
use crate::http_client;
use crate::interaction::TOKEN_LIVES;

const ORIGINAL: &str = "PATCH /webhooks/1/t0ken/messages/@original";
const EDIT_ANSWER: &str = "PATCH /webhooks/1/t0ken/messages/20";
const FOLLOW_UP: &str = "POST /webhooks/1/t0ken";
const EDIT: &str = "PATCH /channels/5/messages/20";
const POST: &str = "POST /channels/5/messages";

/// Calls and what they carried; what is answered next.
#[derive(Default)]
struct Script {
    calls: Vec<(String, String)>,
    answers: VecDeque<(u16, String)>,
}

struct World {
    script: Arc<Mutex<Script>>,
    courier: Messages,
}

impl World {
    async fn new(bot: Option<&str>, answers: &[(u16, Value)]) -> Self {
        let script = Arc::new(Mutex::new(Script {
            answers: answers
                .iter()
                .map(|(status, body)| (*status, body.to_string()))
                .collect(),
            ..Script::default()
        }));
        let app = Router::new()
            .fallback(any(answer))
            .with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let application = "1".parse().unwrap();
        let seal = CallbackSeal::new(&[9; 32], |bytes| {
            bytes.fill(7);
            Ok(())
        });
        let courier = Messages {
            api: Api::new(
                Url::parse(&base).unwrap(),
                http_client().unwrap(),
                bot.map(SecretString::from),
                Arc::default(),
            ),
            application,
            seals: Arc::new(Seals::new(seal, application)),
        };
        courier.seals.saw(begun());
        Self { script, courier }
    }

    async fn show(
        &self,
        address: &Address,
        shown: Option<&Value>,
        now: Timestamp,
    ) -> Result<Value, DeliveryError> {
        let run = RunId::new("run_0001").unwrap();
        let reply = Reply::text("run_0001 is running").to_conversation();
        self.courier
            .show(LiveMessage {
                run: &run,
                address: &address.to_json(),
                shown,
                reply: &reply,
                now,
            })
            .await
    }

    fn calls(&self) -> Vec<String> {
        let script = self.script.lock().unwrap();
        script.calls.iter().map(|(call, _)| call.clone()).collect()
    }

    fn body(&self, at: usize) -> Value {
        serde_json::from_str(&self.script.lock().unwrap().calls[at].1).unwrap()
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    verb: Verb,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    let mut script = script.lock().unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    script.calls.push((format!("{verb} {}", uri.path()), body));
    let (status, body) = script.answers.pop_front().unwrap_or((500, String::new()));
    (StatusCode::from_u16(status).unwrap(), body)
}

fn begun() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn minutes(minutes: u64) -> Timestamp {
    after(begun(), Duration::from_secs(60 * minutes))
}

fn address(start: LiveStart) -> Address {
    Address {
        token: "t0ken".to_owned(),
        until: after(begun(), TOKEN_LIVES),
        channel: "5".to_owned(),
        user: "7".to_owned(),
        start,
        privacy: Privacy::Shared,
    }
}

fn posted(id: &str) -> (u16, Value) {
    (
        200,
        json!({"id": id, "channel_id": "5", "flags": 4, "more": {}}),
    )
}

fn refused(status: u16, code: u64) -> (u16, Value) {
    (status, json!({"code": code, "message": "x"}))
}

fn shown(by: &str) -> Value {
    json!({"channel": "5", "message": "20", "by": by})
}

#[tokio::test]
async fn a_message_finds_its_way() {
    let answer = LiveStart::Answer;
    let post = LiveStart::Post;
    let bot = Some("b0t");
    type Row<'a> = (
        &'a str,
        Option<&'a str>,
        LiveStart,
        Option<Value>,
        u64,
        Vec<(u16, Value)>,
        Vec<&'a str>,
        Value,
    );
    let table: Vec<Row<'_>> = vec![
        (
            "the answer is the message",
            None,
            answer,
            None,
            0,
            vec![posted("20")],
            vec![ORIGINAL],
            shown("token"),
        ),
        (
            "the answer is on its way",
            bot,
            answer,
            None,
            0,
            vec![refused(404, 10_015), refused(404, 10_008), posted("20")],
            vec![ORIGINAL, ORIGINAL, ORIGINAL],
            shown("token"),
        ),
        (
            "the answer was for the asker alone",
            bot,
            answer,
            None,
            1,
            vec![
                (200, json!({"id": "19", "channel_id": "5", "flags": 68})),
                posted("21"),
                posted("19"),
            ],
            vec![ORIGINAL, POST, ORIGINAL],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "the answer never arrived",
            bot,
            answer,
            None,
            1,
            vec![refused(404, 10_015), posted("21"), refused(404, 10_015)],
            vec![ORIGINAL, POST, ORIGINAL],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "it is edited by token while that lives",
            bot,
            answer,
            Some(shown("token")),
            14,
            vec![posted("20")],
            vec![EDIT_ANSWER],
            shown("token"),
        ),
        (
            "and by the bot afterwards",
            bot,
            answer,
            Some(shown("token")),
            15,
            vec![posted("20")],
            vec![EDIT],
            shown("token"),
        ),
        (
            "or when the token is over before its time",
            bot,
            answer,
            Some(shown("token")),
            5,
            vec![refused(401, 50_027), posted("20")],
            vec![EDIT_ANSWER, EDIT],
            shown("token"),
        ),
        (
            "a deleted answer is posted anew",
            bot,
            answer,
            Some(shown("token")),
            5,
            vec![refused(404, 10_008), posted("21")],
            vec![EDIT_ANSWER, POST],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "a deleted message of the bot too",
            bot,
            answer,
            Some(shown("bot")),
            5,
            vec![refused(404, 10_008), posted("21")],
            vec![EDIT, POST],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "an archived thread is opened by a new message",
            bot,
            answer,
            Some(shown("bot")),
            60,
            vec![refused(400, 50_083), posted("21")],
            vec![EDIT, POST],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "without a bot a deleted answer is followed up",
            None,
            answer,
            Some(shown("token")),
            5,
            vec![refused(404, 10_008), posted("21")],
            vec![EDIT_ANSWER, FOLLOW_UP],
            json!({"channel": "5", "message": "21", "by": "token"}),
        ),
        (
            "a button's run gets a message by the bot",
            bot,
            post,
            None,
            0,
            vec![posted("21")],
            vec![POST],
            json!({"channel": "5", "message": "21", "by": "bot"}),
        ),
        (
            "where the bot may not write, the token may",
            bot,
            post,
            None,
            0,
            vec![refused(403, 50_001), posted("21")],
            vec![POST, FOLLOW_UP],
            json!({"channel": "5", "message": "21", "by": "token"}),
        ),
    ];
    for (what, bot, start, before, minute, answers, calls, after) in table {
        let world = World::new(bot, &answers).await;
        let shown = world
            .show(&address(start), before.as_ref(), minutes(minute))
            .await;
        assert_eq!(shown, Ok(after), "{what}");
        assert_eq!(world.calls(), calls, "{what}");
    }
}

#[tokio::test]
async fn what_cannot_be_shown_says_why() {
    for (what, bot, before, minute, answers, error) in [
        (
            "no bot and no token",
            None,
            Some(shown("token")),
            16,
            vec![],
            "the interaction is over after 15 minutes, and without discord.bot_token nothing can \
             be written or edited any more",
        ),
        (
            "no channel",
            Some("b0t"),
            Some(shown("bot")),
            16,
            vec![refused(404, 10_003)],
            "Discord answered 404 (10003): the channel is gone",
        ),
        (
            "no access and no token",
            Some("b0t"),
            Some(shown("bot")),
            16,
            vec![refused(404, 10_008), refused(403, 50_001)],
            "Discord answered 403 (50001): the bot cannot see the channel: invite it and let it \
             view it",
        ),
    ] {
        let world = World::new(bot, &answers).await;
        let refused = world
            .show(
                &address(LiveStart::Answer),
                before.as_ref(),
                minutes(minute),
            )
            .await;
        let never = DeliveryError::Never {
            why: error.to_owned(),
        };
        assert_eq!(refused, Err(never), "{what}");
    }
    let world = World::new(Some("b0t"), &[(502, Value::Null)]).await;
    let down = world
        .show(&address(LiveStart::Answer), None, minutes(1))
        .await;
    assert!(matches!(down, Err(DeliveryError::Later { .. })), "{down:?}");
}

#[tokio::test]
async fn the_same_message_has_the_same_nonce_and_a_new_one_another() {
    let nonce = async |before: Option<&Value>| {
        let answers = [refused(404, 10_008), posted("21")];
        let answers = if before.is_some() {
            &answers[..]
        } else {
            &answers[1..]
        };
        let world = World::new(Some("b0t"), answers).await;
        let address = address(LiveStart::Post);
        world.show(&address, before, minutes(1)).await.unwrap();
        let body = world.body(answers.len() - 1);
        assert_eq!(body["enforce_nonce"], true);
        body["nonce"].as_str().unwrap().to_owned()
    };
    let first = nonce(None).await;
    assert!(first.len() <= 25, "{first}");
    assert_eq!(first, nonce(None).await);
    assert_ne!(first, nonce(Some(&shown("bot"))).await);
}

#[tokio::test]
async fn what_was_said_too_late_reaches_whom_it_is_for() {
    let alone = Reply::text("done");
    let all = Reply::text("done").to_conversation();
    let direct = (200, json!({"id": "5", "type": 1}));
    for (what, start, bot, over, reply, answers, calls) in [
        (
            "instead",
            LiveStart::Answer,
            None,
            false,
            &alone,
            vec![posted("20")],
            vec![ORIGINAL],
        ),
        (
            "after",
            LiveStart::Post,
            None,
            false,
            &alone,
            vec![posted("20")],
            vec![FOLLOW_UP],
        ),
        (
            "by bot",
            LiveStart::Post,
            Some("b0t"),
            true,
            &all,
            vec![posted("20")],
            vec![POST],
        ),
        (
            "in private",
            LiveStart::Answer,
            Some("b0t"),
            true,
            &alone,
            vec![direct, posted("20")],
            vec!["POST /users/@me/channels", POST],
        ),
    ] {
        let world = World::new(bot, &answers).await;
        if over {
            world.courier.seals.saw(minutes(16));
        }
        let parcel = Parcel::Message {
            address: address(start).to_json(),
            reply: reply.clone(),
        };
        let receipt = world
            .courier
            .deliver(&parcel, "rave-outbox-1")
            .await
            .unwrap();
        assert_eq!(receipt.message_id.as_deref(), Some("20"), "{what}");
        assert_eq!(world.calls(), calls, "{what}");
    }
}

#[tokio::test]
async fn a_file_replies_to_the_runs_message() {
    let run = RunId::new("run_0001").unwrap();
    let before = shown("token");
    let file = |now| FileMessage {
        run: &run,
        address: Box::leak(Box::new(address(LiveStart::Answer).to_json())),
        shown: Some(&before),
        name: "run_0001.1.x.txt",
        title: "What x printed",
        content: "line\n",
        now,
    };
    let world = World::new(Some("b0t"), &[posted("30")]).await;
    world.courier.attach(file(minutes(20))).await.unwrap();
    assert_eq!(world.calls(), [POST]);
    let body = world.script.lock().unwrap().calls[0].1.clone();
    for part in [
        r#""message_reference":{"message_id":"20","channel_id":"5","fail_if_not_exists":false}"#,
        r#""attachments":[{"id":0,"filename":"run_0001.1.x.txt","description":"What x printed"}]"#,
        r#""parse":[]"#,
        r#""enforce_nonce":true"#,
        "line\n",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let world = World::new(None, &[posted("30")]).await;
    world.courier.attach(file(minutes(2))).await.unwrap();
    assert_eq!(world.calls(), [FOLLOW_UP]);
    let world = World::new(None, &[]).await;
    assert!(world.courier.attach(file(minutes(20))).await.is_err());
}

#[test]
fn a_file_that_is_too_large_keeps_its_end() {
    let content = format!("{}end", "é".repeat(LONGEST_FILE));
    let kept = bounded(&content);
    assert!(kept.len() <= LONGEST_FILE && kept.len() > LONGEST_FILE - 200);
    assert!(kept.starts_with("… ") && kept.ends_with("éend"));
    assert_eq!(bounded("x"), "x");
}

#[tokio::test]
async fn foreign_addresses_and_parcels_are_refused() {
    let world = World::new(Some("b0t"), &[]).await;
    let run = RunId::new("run_0001").unwrap();
    let message = LiveMessage {
        run: &run,
        address: &json!({"url": "https://x/t0ken"}),
        shown: None,
        reply: &Reply::text("x"),
        now: begun(),
    };
    let error = world.courier.show(message).await.unwrap_err();
    assert!(!error.to_string().contains("t0ken"), "{error}");
    let live = Parcel::Live {
        address: Value::Null,
    };
    assert!(world.courier.deliver(&live, "k").await.is_err());
    assert!(world.calls().is_empty());
}
