use rave_domain::RunId;
use rave_domain::ports::courier::Alert;
use rave_domain::reply::{Button, Press};
use rave_domain::{Surface, Timestamp};
use serde_json::json;

use super::*;
use crate::script::Script;

const NOW: &str = "2026-03-02T09:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn run() -> RunId {
    RunId::new("run_0001").unwrap()
}

fn courier(script: &Script) -> BotCourier {
    let client = crate::http_client().unwrap();
    let response_url = Arc::new(ResponseUrl::new(script.base(), client));
    BotCourier::new(script.posts(), response_url)
}

fn address(script: &Script, root: Option<&str>) -> Value {
    let url = script.base().at(["hooks", "commands", "w1"]);
    let address = Address::new("c1", root, "u-ann", now()).or_through(Some(url), now());
    address.reply_to(now()).address
}

fn waiting() -> Reply {
    Reply::default()
        .about(run())
        .to_conversation()
        .with(Block::Heading("run_0001 awaits approval.".to_owned()))
        .with(Block::Buttons(vec![Button {
            label: "Approve".to_owned(),
            press: Press::Approve,
            run: run(),
        }]))
}

fn ended() -> Reply {
    Reply::default()
        .about(run())
        .to_conversation()
        .tone(Tone::Good)
        .with(Block::Heading("run_0001 succeeded.".to_owned()))
}

fn post(id: &str, root: &str) -> Value {
    json!({
        "id": id, "user_id": "b1", "channel_id": "c1", "root_id": root, "message": "m",
        "type": "", "delete_at": 0, "props": {"rave_run": "run_0001"}, "new_in_12": true,
    })
}

fn list(posts: &[Value]) -> Value {
    let by_id: serde_json::Map<String, Value> = posts
        .iter()
        .map(|post| (post["id"].as_str().unwrap().to_owned(), post.clone()))
        .collect();
    json!({"order": [], "posts": by_id})
}

fn refusal(id: &str, status: u16) -> Value {
    json!({"id": id, "message": "Nein", "status_code": status})
}

fn shown(id: &str) -> Value {
    json!({"post": {"id": id, "root": id, "channel": "c1"}})
}

const ME: &str = "GET /api/v4/users/me";
const SINCE: &str = "GET /api/v4/channels/c1/posts?since=1772441400000";
const POST: &str = "POST /api/v4/posts";
const EDIT: &str = "PUT /api/v4/posts/p1/patch";

fn me(script: &Script) {
    script.on(ME, 200, &json!({"id": "b1", "username": "rave"}));
}

async fn show(
    courier: &BotCourier,
    address: &Value,
    shown: Option<&Value>,
    reply: &Reply,
) -> Result<Value, DeliveryError> {
    let run = run();
    courier
        .show(LiveMessage {
            run: &run,
            address,
            shown,
            reply,
            now: now(),
        })
        .await
}

#[tokio::test]
async fn a_first_message_is_posted_and_gets_its_buttons() {
    let script = Script::start().await;
    me(&script);
    script
        .on(SINCE, 200, &list(&[]))
        .on(POST, 201, &post("p1", ""))
        .on(EDIT, 200, &post("p1", ""));
    let address = address(&script, None);
    let told = show(&courier(&script), &address, None, &waiting()).await;
    assert_eq!(told, Ok(shown("p1")));
    let asked = script.asked();
    for asked in &asked {
        assert_eq!(asked.headers["authorization"], "Bearer b0t-token");
    }
    let posted = &asked[2].body;
    assert_eq!(
        *posted,
        json!({
            "channel_id": "c1", "message": "#### run_0001 awaits approval.",
            "props": {"rave_run": "run_0001"},
        })
    );
    let patch = &asked[3].body;
    assert_eq!(patch["message"], posted["message"]);
    assert_eq!(patch["props"]["rave_run"], "run_0001");
    let action = &patch["props"]["attachments"][0]["actions"][0];
    assert_eq!(
        (
            &action["id"],
            &action["type"],
            &action["name"],
            &action["style"]
        ),
        (
            &json!("approve"),
            &json!("button"),
            &json!("Approve"),
            &json!("success")
        )
    );
    let integration = &action["integration"];
    assert_eq!(
        integration["url"],
        "https://rave.example.com/chat/mattermost/action"
    );
    assert_eq!(integration["context"]["run"], "run_0001");
    assert_eq!(integration["context"]["root"], "p1");
}

#[tokio::test]
async fn an_edit_replaces_all_props_and_takes_the_buttons_away() {
    let script = Script::start().await;
    script.on(EDIT, 200, &post("p1", ""));
    let address = address(&script, None);
    let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
    assert_eq!(told, Ok(shown("p1")));
    let patch = script.asked().remove(0).body;
    assert_eq!(
        patch,
        json!({"message": "#### ✅ run_0001 succeeded.", "props": {"rave_run": "run_0001"}})
    );
}

#[tokio::test]
async fn a_message_of_before_a_crash_is_found_again_and_not_posted_twice() {
    let script = Script::start().await;
    me(&script);
    let mut deleted = post("p0", "");
    deleted["delete_at"] = json!(5);
    let mut anothers = post("p2", "");
    anothers["user_id"] = json!("u-eve");
    let mut file = post("p3", "p1");
    file["props"]["rave_file"] = json!("x.txt");
    let mut other = post("p4", "");
    other["props"]["rave_run"] = json!("run_0002");
    let posts = [deleted, anothers, file, other, post("p1", "")];
    script
        .on(SINCE, 200, &list(&posts))
        .on(EDIT, 200, &post("p1", ""));
    let address = address(&script, None);
    let told = show(&courier(&script), &address, None, &ended()).await;
    assert_eq!(told, Ok(shown("p1")));
    script.asked();
}

#[tokio::test]
async fn a_deleted_message_is_posted_anew() {
    // As Mattermost answers edits of what is not there, and of what is too old to be edited.
    for (id, status, gone) in [
        ("api.context.permissions.app_error", 403, Some(404)),
        ("app.post.get.app_error", 404, Some(404)),
        (
            "api.post.update_post.permissions_time_limit.app_error",
            400,
            None,
        ),
    ] {
        let script = Script::start().await;
        script.on(EDIT, status, &refusal(id, status));
        if let Some(status) = gone {
            script.on(
                "GET /api/v4/posts/p1",
                status,
                &refusal("app.post.get.app_error", status),
            );
        }
        me(&script);
        script
            .on(SINCE, 200, &list(&[]))
            .on(POST, 201, &post("p5", "r1"));
        let address = address(&script, Some("r1"));
        let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
        let anew = json!({"post": {"id": "p5", "root": "r1", "channel": "c1"}});
        assert_eq!(told, Ok(anew));
        assert_eq!(script.asked().pop().unwrap().body["root_id"], "r1");
    }
}

#[tokio::test]
async fn a_thread_that_was_deleted_goes_on_in_the_channel() {
    let script = Script::start().await;
    me(&script);
    script
        .on(SINCE, 200, &list(&[]))
        .on(
            POST,
            400,
            &refusal("api.post.create_post.root_id.app_error", 400),
        )
        .on(POST, 201, &post("p1", ""));
    let address = address(&script, Some("r1"));
    let told = show(&courier(&script), &address, None, &ended()).await;
    assert_eq!(told, Ok(shown("p1")));
    assert_eq!(script.asked()[3].body.get("root_id"), None);
}

#[tokio::test]
async fn what_cannot_be_edited_and_is_there_is_left_alone() {
    let script = Script::start().await;
    script
        .on(EDIT, 400, &refusal("store.sql_post.update.app_error", 400))
        .on("GET /api/v4/posts/p1", 200, &post("p1", ""));
    let address = address(&script, None);
    let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
    let why = "Mattermost answered 400: store.sql_post.update.app_error".to_owned();
    assert_eq!(told, Err(DeliveryError::Never { why }));
    script.asked();
}

#[tokio::test]
async fn where_the_bot_may_not_post_the_commands_address_says_what_is_new() {
    let script = Script::start().await;
    let denied = refusal("api.context.permissions.app_error", 403);
    me(&script);
    script
        .on(SINCE, 403, &denied)
        .on("POST /hooks/commands/w1", 200, &json!("ok"));
    let address = address(&script, None);
    let courier = courier(&script);
    let told = show(&courier, &address, None, &waiting()).await.unwrap();
    let said = script.asked().pop().unwrap().body;
    assert_eq!(said["response_type"], "in_channel");
    // There are no buttons here: people read what to type.
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("/rave approve run_0001"), "{text}");

    // The same once more is not news.
    let again = show(&courier, &address, Some(&told), &waiting()).await;
    assert_eq!(again, Ok(told.clone()));
    assert!(script.asked().is_empty());

    // Progress leaves two uses for the end.
    let many = json!({"said": {"times": 3, "last": "something else"}});
    script.on(SINCE, 403, &denied);
    let kept = show(&courier, &address, Some(&many), &waiting())
        .await
        .unwrap();
    assert_eq!(kept["said"]["times"], 3);
    assert_eq!(script.lines().len(), 1);
    script
        .on(SINCE, 403, &denied)
        .on("POST /hooks/commands/w1", 200, &json!("ok"));
    let end = show(&courier, &address, Some(&kept), &ended())
        .await
        .unwrap();
    assert_eq!(end["said"]["times"], 4);
    script.asked();

    // After half an hour nothing is left to try.
    script.on(SINCE, 403, &denied);
    let mut old = address.clone();
    old["response"]["expires"] = json!(now().as_millisecond());
    let error = show(&courier, &old, Some(&kept), &ended())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("member of the channel"),
        "{error}"
    );
    assert!(!format!("{:?}", Address::read(&address)).contains("w1"));
}

#[tokio::test]
async fn trouble_that_may_pass_is_tried_again_when_mattermost_says() {
    let address = json!({"channel": "c1", "user": "u-ann", "asked": 0});
    for (status, headers, body, after) in [
        (429, &[("retry-after", "7")][..], "limit exceeded", Some(7)),
        (
            429,
            &[("x-ratelimit-reset", "3")][..],
            "limit exceeded",
            Some(3),
        ),
        (500, &[][..], "{}", None),
        (503, &[][..], "<html>", None),
        (200, &[][..], "<html>", None),
        (
            401,
            &[][..],
            r#"{"id":"api.context.session_expired.app_error"}"#,
            None,
        ),
    ] {
        let script = Script::start().await;
        script.with(EDIT, status, headers, body);
        let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
        let Err(DeliveryError::Later { why, after: wait }) = told else {
            panic!("{status} {told:?}")
        };
        assert_eq!(wait.map(|wait| wait.as_secs()), after, "{status}");
        assert!(!why.contains("b0t-token"), "{why}");
    }
}

#[tokio::test]
async fn redirects_and_endless_answers_are_not_followed() {
    let address = json!({"channel": "c1", "user": "u-ann", "asked": 0});
    let script = Script::start().await;
    script.with(EDIT, 302, &[("location", "http://127.0.0.1:9/")], "");
    let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
    assert!(matches!(told, Err(DeliveryError::Never { .. })), "{told:?}");

    script.with(EDIT, 200, &[], &" ".repeat(3 * 1024 * 1024));
    let told = show(&courier(&script), &address, Some(&shown("p1")), &ended()).await;
    let why = "Mattermost answered with more than expected".to_owned();
    assert_eq!(told, Err(DeliveryError::Later { why, after: None }));
}

#[tokio::test]
async fn a_file_goes_into_the_thread_once() {
    let script = Script::start().await;
    let address = address(&script, None);
    let shown = shown("p1");
    let run = run();
    let file = FileMessage {
        run: &run,
        address: &address,
        shown: Some(&shown),
        name: "run_0001.1.rollout.txt",
        title: "What rollout printed: @all",
        content: "line 1\nline 2\n",
        now: now(),
    };
    me(&script);
    script
        .on("GET /api/v4/posts/p1/thread", 200, &list(&[post("p1", "")]))
        .on(
            "POST /api/v4/files?channel_id=c1&filename=run_0001.1.rollout.txt",
            201,
            &json!({"file_infos": [{"id": "f1"}], "client_ids": []}),
        )
        .on(POST, 201, &post("p2", "p1"));
    let courier = courier(&script);
    assert_eq!(courier.attach(file).await, Ok(()));
    let asked = script.asked();
    assert_eq!(asked[2].body, json!("line 1\nline 2\n"));
    assert_eq!(
        asked[3].body,
        json!({
            "channel_id": "c1", "root_id": "p1", "message": "What rollout printed: @\u{200b}all",
            "props": {"rave_run": "run_0001", "rave_file": "run_0001.1.rollout.txt"},
            "file_ids": ["f1"],
        })
    );

    let mut there = post("p2", "p1");
    there["props"]["rave_file"] = json!("run_0001.1.rollout.txt");
    script.on("GET /api/v4/posts/p1/thread", 200, &list(&[there]));
    assert_eq!(courier.attach(file).await, Ok(()));
    assert_eq!(script.lines().len(), 1);
}

#[tokio::test]
async fn a_late_answer_reaches_whom_it_is_for() {
    let script = Script::start().await;
    let address = address(&script, Some("r1"));
    let courier = courier(&script);
    let parcel = |reply: Reply| Parcel::Message {
        address: address.clone(),
        reply,
    };
    // For all: into the thread, once.
    me(&script);
    script
        .on(SINCE, 200, &list(&[]))
        .on(POST, 201, &post("p1", "r1"));
    let receipt = courier.deliver(&parcel(ended()), "row-1").await.unwrap();
    assert_eq!(receipt.message_id.as_deref(), Some("p1"));
    assert_eq!(
        script.asked().pop().unwrap().body["props"],
        json!({"rave_outbox": "row-1"})
    );
    let mut there = post("p1", "r1");
    there["props"] = json!({"rave_outbox": "row-1"});
    script.on(SINCE, 200, &list(&[there]));
    assert!(courier.deliver(&parcel(ended()), "row-1").await.is_ok());
    assert_eq!(script.lines().len(), 1);

    // For the asker alone: never into the channel.
    let alone = parcel(Reply::text("No."));
    script.on("POST /hooks/commands/w1", 200, &json!("ok"));
    assert!(courier.deliver(&alone, "row-2").await.is_ok());
    assert_eq!(script.asked()[0].body["response_type"], "ephemeral");
    script
        .on("POST /hooks/commands/w1", 404, &refusal("x", 404))
        .on("POST /api/v4/channels/direct", 201, &json!({"id": "d1"}))
        .on("GET /api/v4/channels/d1/posts", 200, &list(&[]))
        .on(POST, 201, &post("p9", ""));
    assert!(courier.deliver(&alone, "row-2").await.is_ok());
    let asked = script.asked();
    assert_eq!(asked[1].body, json!(["b1", "u-ann"]));
    assert_eq!(asked[3].body["channel_id"], "d1");
}

#[tokio::test]
async fn other_parcels_and_addresses_are_refused() {
    let script = Script::start().await;
    let courier = courier(&script);
    let alert = Parcel::Alert(Alert {
        title: String::new(),
        text: String::new(),
        good: true,
        at: Timestamp::UNIX_EPOCH,
    });
    let elsewhere = Parcel::Message {
        address: json!({"url": "http://169.254.169.254"}),
        reply: ended(),
    };
    for parcel in [alert, elsewhere] {
        let told = courier.deliver(&parcel, "row").await;
        assert!(matches!(told, Err(DeliveryError::Never { .. })), "{told:?}");
    }
    let told = show(&courier, &json!(null), None, &ended()).await;
    assert!(matches!(told, Err(DeliveryError::Never { .. })), "{told:?}");
    assert!(script.asked().is_empty());
    assert_eq!(Surface::Mattermost.as_str(), courier.name());
}
