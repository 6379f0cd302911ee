use bytes::Bytes;
use http::HeaderMap;
use rave_domain::RunId;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::{Form, FormPurpose};
use rave_domain::ports::surface::LiveStart;
use rave_domain::reply::{Button, Press as Does};

use super::*;
use crate::base::Base;
use crate::bot::Bot;
use crate::callback::Spot;

const NOW: &str = "2026-03-02T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seal(key: u8) -> CallbackSeal {
    CallbackSeal::new(&[key; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    })
}

fn callbacks(key: u8) -> Callbacks {
    let base = Base::parse("url", "https://rave.example.com").unwrap();
    Callbacks::new(base, seal(key))
}

fn surface() -> Actions {
    let base = Base::parse("url", "http://127.0.0.1:9").unwrap();
    let client = crate::http_client().unwrap();
    let bot = Arc::new(Bot::new(base, client, "b0t".into()));
    Actions::new(callbacks(1), Arc::new(Forms::new(bot, callbacks(1))))
}

/// A press of bob's, as Mattermost sends it.
fn press(key: u8) -> Value {
    let button = Button {
        label: "Approve".to_owned(),
        press: Does::Approve,
        run: RunId::new("run_0001").unwrap(),
    };
    let spot = Spot {
        channel: "c1",
        post: "p1",
        root: "r1",
    };
    json!({
        "user_id": "u-bob", "user_name": "ann", "channel_id": "c1", "channel_name": "ops",
        "team_id": "t1", "team_domain": "acme", "post_id": "p1", "trigger_id": "trig1",
        "type": "button", "data_source": "",
        "context": callbacks(key).context(&button, spot, at(NOW)).unwrap(),
    })
}

fn verify(body: &Value, now: &str) -> Result<VerifiedEvent, SurfaceRejection> {
    verify_bytes(body.to_string().into(), now)
}

fn verify_bytes(body: Bytes, now: &str) -> Result<VerifiedEvent, SurfaceRejection> {
    let request = RawRequest {
        headers: HeaderMap::new(),
        body,
    };
    match surface().verify(&request, at(now))? {
        Incoming::Event(event) => Ok(*event),
        Incoming::Answered(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn a_press_says_who_what_and_where() {
    let event = verify(&press(1), NOW).unwrap();
    assert_eq!(event.account, Account::new(Surface::Mattermost, "u-bob"));
    assert_eq!(event.strength, Strength::Sealed);
    assert_eq!(event.place.channel, "c1");
    assert_eq!(event.form_ticket.as_deref(), Some("trig1"));
    let run = RunId::new("run_0001").unwrap();
    let press = Does::Approve;
    assert_eq!(event.act, Act::Press { press, run });
    let reply_to = event.reply_to.unwrap();
    assert_eq!(
        (reply_to.courier.as_str(), reply_to.live),
        ("mattermost", Some(LiveStart::Post))
    );
    assert_eq!(reply_to.address["channel"], "c1");
    assert_eq!(reply_to.address["root"], "r1");
}

#[test]
fn a_repeated_press_is_the_same_event_and_anothers_is_not() {
    let first = verify(&press(1), NOW).unwrap();
    let again = verify(&press(1), "2026-03-02T10:00:00Z").unwrap();
    assert_eq!(first.event_id, again.event_id);
    let mut other = press(1);
    other["user_id"] = json!("u-cem");
    assert_ne!(first.event_id, verify(&other, NOW).unwrap().event_id);
}

#[test]
fn what_is_not_under_the_seal_is_not_believed() {
    let change = |path: &[&str], value: Value| {
        let mut body = press(1);
        let mut place = &mut body;
        for key in path {
            place = &mut place[*key];
        }
        *place = value;
        body
    };
    let why = |why| SurfaceRejection::NotAuthentic { why };
    for (body, rejection) in [
        (press(2), why("wrong seal")),
        (change(&["post_id"], json!("p2")), why("wrong seal")),
        (change(&["channel_id"], json!("c2")), why("wrong seal")),
        (
            change(&["context", "press"], json!("deny")),
            why("wrong seal"),
        ),
        (
            change(&["context", "run"], json!("run_0002")),
            why("wrong seal"),
        ),
        (change(&["context", "root"], json!("r2")), why("wrong seal")),
        (
            change(&["context", "nonce"], json!("n2")),
            why("wrong seal"),
        ),
        (change(&["context", "tag"], json!("")), why("wrong seal")),
        (
            change(&["context", "expires"], json!(i64::MAX)),
            why("wrong seal"),
        ),
        (change(&["context", "expires"], json!("x")), why("no seal")),
        (
            change(&["context", "press"], json!("reboot")),
            why("no seal"),
        ),
        (change(&["context"], Value::Null), why("no seal")),
        (change(&["context"], json!({})), why("no seal")),
        (change(&["user_id"], json!(7)), why("no seal")),
        (json!([]), why("no seal")),
        (
            change(&["user_id"], json!("")),
            malformed("user_id is not an id"),
        ),
        (
            change(&["user_id"], json!("u\n")),
            malformed("user_id is not an id"),
        ),
        (
            change(&["user_id"], json!("u".repeat(1025))),
            malformed("user_id is not an id"),
        ),
    ] {
        assert_eq!(verify(&body, NOW), Err(rejection), "{body}");
    }
    let garbage = verify_bytes(Bytes::from_static(b"\xff{"), NOW);
    assert_eq!(garbage, Err(why("no seal")));
}

#[test]
fn a_button_works_for_thirty_days() {
    assert!(verify(&press(1), "2026-04-01T08:59:59Z").is_ok());
    let why = "a button that is too old";
    assert_eq!(
        verify(&press(1), "2026-04-01T09:00:00Z"),
        Err(SurfaceRejection::NotAuthentic { why })
    );
}

#[test]
fn unknown_fields_and_a_missing_trigger_do_not_matter() {
    let mut body = press(1);
    body["new_in_12"] = json!({"a": 1});
    body["trigger_id"] = json!("");
    assert_eq!(verify(&body, NOW).unwrap().form_ticket, None);
}

#[tokio::test]
async fn answers_are_what_mattermost_takes() {
    let answer = surface().answer(ActKind::Press, &Reply::text("bob approved it: <a|b> @all"));
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["skip_slack_parsing"], true);
    assert_eq!(
        body["ephemeral_text"],
        "bob approved it: \\<a\\|b\\> @\u{200b}all"
    );
    let refusal = surface().refuse(&SurfaceRejection::NotAuthentic { why: "x" });
    assert_eq!(refusal.status, 401);
    let refusal = surface().refuse(&malformed("user_id is not an id"));
    assert_eq!(refusal.status, 200);

    // Nobody listens at the bot's address.
    let event = verify(&press(1), NOW).unwrap();
    let form = Form {
        purpose: FormPurpose::Deny {
            run: RunId::new("run_0001").unwrap(),
        },
        title: String::new(),
        intro: String::new(),
        submit: String::new(),
        fields: Vec::new(),
    };
    let fault = surface()
        .open_form(&event, &form, at(NOW))
        .await
        .unwrap_err();
    assert_eq!(fault.why, "Mattermost cannot be reached");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn no_body_brings_it_down(body: Vec<u8>) {
        let _ = verify_bytes(body.into(), NOW);
    }
}
