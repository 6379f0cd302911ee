use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue};
use rave_domain::callback::CallbackSeal;
use rave_domain::form::{FormField, FormFieldKind, FormPurpose, Needed};
use rave_domain::ids::RunId;
use rave_domain::ports::surface::{Act, LiveStart, Privacy};
use rave_domain::reply::Press;
use rave_domain::{Account, Strength};
use serde_json::Value;
use sha2::Sha256;

use super::*;
use crate::{Slack, SlackConfig};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_772_442_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn slack(with_bot: Option<&str>) -> Slack {
    let config = SlackConfig {
        signing_secret: Some(SECRET.into()),
        bot_token: with_bot.map(Into::into),
        ..SlackConfig::default()
    };
    let seal = CallbackSeal::new(&[1; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    Slack::new(&config, crate::http_client().unwrap(), seal).unwrap()
}

fn signed(body: &str) -> RawRequest {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("v0:{NOW}:{body}").as_bytes());
    let proof = format!("v0={}", hex::encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert("x-slack-request-timestamp", HeaderValue::from(NOW));
    headers.insert("x-slack-signature", proof.parse().unwrap());
    RawRequest {
        headers,
        body: Bytes::from(body.to_owned()),
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn payload(payload: &Value) -> String {
    form(&[("payload", &payload.to_string())])
}

fn event(endpoint: &dyn ChatSurface, body: &str) -> VerifiedEvent {
    match endpoint.verify(&signed(body), now()).unwrap() {
        Incoming::Event(event) => *event,
        Incoming::Answered(answer) => panic!("answered {answer:?}"),
    }
}

fn answered(endpoint: &dyn ChatSurface, body: &str) -> HttpAnswer {
    match endpoint.verify(&signed(body), now()).unwrap() {
        Incoming::Event(event) => panic!("took {event:?}"),
        Incoming::Answered(answer) => answer,
    }
}

/// As Slack sends it.
const COMMAND: [(&str, &str); 15] = [
    ("token", "deprecated"),
    ("team_id", "T01"),
    ("team_domain", "acme"),
    ("enterprise_id", "E01"),
    ("enterprise_name", "Acme"),
    ("channel_id", "C01"),
    ("channel_name", "ops"),
    ("user_id", "U01"),
    ("user_name", "bob"),
    ("command", "/rave"),
    ("text", "scale web &lt;3&gt; for <@U02|ann>"),
    ("api_app_id", "A01"),
    ("is_enterprise_install", "false"),
    ("response_url", "https://hooks.slack.com/commands/T01/1/x"),
    ("trigger_id", "1.2.abc"),
];

fn command_with(changed: &str, value: Option<&str>) -> String {
    let pairs: Vec<(&str, &str)> = COMMAND
        .into_iter()
        .filter_map(|(key, old)| match value {
            _ if key != changed => Some((key, old)),
            Some(value) => Some((key, value)),
            None => None,
        })
        .collect();
    form(&pairs)
}

#[test]
fn a_command_says_who_what_and_where_to() {
    let endpoint = slack(None).command().unwrap();
    let event = event(endpoint.as_ref(), &form(&COMMAND));
    assert_eq!(event.event_id, "1.2.abc");
    assert_eq!(event.account, Account::new(Surface::Slack, "T01/U01"));
    assert_eq!(event.strength, Strength::Signed);
    assert_eq!(
        event.act,
        Act::Command {
            text: "scale web <3> for @ann".to_owned()
        }
    );
    assert_eq!(
        (event.place.channel.as_str(), event.place.privacy),
        ("C01", Privacy::Shared)
    );
    // Without a bot: five messages in half an hour, and no form.
    assert_eq!(event.form_ticket, None);
    let reply_to = event.reply_to.unwrap();
    assert_eq!(
        (reply_to.courier.as_str(), reply_to.uses),
        ("slack.response_url", 5)
    );
    assert_eq!(reply_to.expires.as_second(), NOW + 1800);
    assert_eq!(reply_to.live, None);
}

#[test]
fn with_a_bot_there_is_a_live_message_and_a_form() {
    let endpoint = slack(Some("xoxb-1")).command().unwrap();
    let event = event(endpoint.as_ref(), &form(&COMMAND));
    assert_eq!(event.form_ticket.as_deref(), Some("1.2.abc"));
    let reply_to = event.reply_to.unwrap();
    assert_eq!(reply_to.courier, "slack");
    assert_eq!(reply_to.live, Some(LiveStart::Post));
    assert_eq!(reply_to.address["channel"], "C01");
    assert_eq!(
        reply_to.address["response"]["url"],
        "https://hooks.slack.com/commands/T01/1/x"
    );
}

#[test]
fn results_go_to_slack_only() {
    let endpoint = slack(None).command().unwrap();
    for (url, used) in [
        ("https://hooks.slack.com/commands/x", true),
        ("https://evil.example/commands/x", false),
        ("http://169.254.169.254/", false),
        ("", false),
    ] {
        let event = event(endpoint.as_ref(), &command_with("response_url", Some(url)));
        assert_eq!(event.reply_to.is_some(), used, "{url}");
    }
}

#[test]
fn an_organisation_stands_for_a_missing_team() {
    let endpoint = slack(None).command().unwrap();
    let event = event(endpoint.as_ref(), &command_with("team_id", None));
    assert_eq!(event.account.id, "E01/U01");
}

#[test]
fn commands_that_cannot_be_used_say_so() {
    let endpoint = slack(None).command().unwrap();
    let twice = format!("{}&user_id=U99", form(&COMMAND));
    for (body, says) in [
        (command_with("trigger_id", None), "trigger_id is missing"),
        (command_with("user_id", None), "the user is missing"),
        (
            command_with("user_id", Some("U/1")),
            "the user is not an id",
        ),
        (
            command_with("channel_id", Some("C\n1")),
            "channel_id is not an id",
        ),
        (
            command_with("trigger_id", Some(&"1".repeat(256))),
            "trigger_id is not an id",
        ),
        (twice, "user_id is there more than once"),
    ] {
        let error = endpoint.verify(&signed(&body), now()).unwrap_err();
        let answer = endpoint.refuse(&error);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 200 && text.contains(says),
            "{says}: {text}"
        );
    }
}

#[test]
fn what_is_not_signed_is_not_read() {
    let slack = slack(Some("xoxb-1"));
    let bodies = [
        (slack.command().unwrap(), form(&COMMAND)),
        (slack.interaction().unwrap(), payload(&press())),
        (slack.event().unwrap(), mention().to_string()),
        (
            slack.event().unwrap(),
            json!({"type": "url_verification", "challenge": "x"}).to_string(),
        ),
    ];
    for (endpoint, body) in bodies {
        let good = signed(&body);
        for (name, request) in [
            (
                "none",
                RawRequest {
                    headers: HeaderMap::new(),
                    body: good.body.clone(),
                },
            ),
            (
                "another body",
                RawRequest {
                    headers: good.headers.clone(),
                    body: Bytes::from(format!("{body}&x=1")),
                },
            ),
        ] {
            let error = endpoint.verify(&request, now()).unwrap_err();
            assert!(
                matches!(error, SurfaceRejection::NotAuthentic { .. }),
                "{name} {error}"
            );
            assert_eq!(endpoint.refuse(&error).status, 401);
        }
        let late = Timestamp::from_second(NOW + 301).unwrap();
        assert!(endpoint.verify(&good, late).is_err());
    }
}

#[test]
fn the_look_at_the_certificate_is_answered() {
    let endpoint = slack(None).command().unwrap();
    let unsigned = |body: &str| RawRequest {
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
    };
    let answer = endpoint.verify(&unsigned("ssl_check=1&token=x"), now());
    assert!(matches!(
        answer,
        Ok(Incoming::Answered(HttpAnswer { status: 200, .. }))
    ));
    // It is no way around the signature.
    let command = format!("ssl_check=1&{}", form(&COMMAND));
    assert!(endpoint.verify(&unsigned(&command), now()).is_err());
    assert!(endpoint.verify(&unsigned("ssl_check=0"), now()).is_err());
}

fn press() -> Value {
    json!({
        "type": "block_actions",
        "user": {"id": "U02", "username": "bob", "team_id": "T02"},
        "api_app_id": "A01",
        "trigger_id": "3.4.def",
        "team": {"id": "T01", "domain": "acme"},
        "enterprise": null,
        "is_enterprise_install": false,
        "container": {"type": "message", "message_ts": "1772441990.000100", "channel_id": "C01", "is_ephemeral": false},
        "channel": {"id": "C01", "name": "ops"},
        "message": {"type": "message", "ts": "1772441990.000100", "thread_ts": "1772441990.000100"},
        "state": {"values": {}},
        "response_url": "https://hooks.slack.com/actions/T01/1/x",
        "actions": [{
            "type": "button", "block_id": "x", "action_id": "rave.approve.1", "value": "run_0001",
            "text": {"type": "plain_text", "text": "Approve"}, "action_ts": "1772442000.1"
        }],
        "something_new": {"a": [1, 2]},
    })
}

#[test]
fn a_press_is_the_persons_own_and_answered_beside_it() {
    let endpoint = slack(Some("xoxb-1")).interaction().unwrap();
    let event = event(endpoint.as_ref(), &payload(&press()));
    assert_eq!(event.event_id, "3.4.def");
    // A guest's team is their own.
    assert_eq!(event.account.id, "T02/U02");
    assert_eq!(
        event.act,
        Act::Press {
            press: Press::Approve,
            run: RunId::new("run_0001").unwrap()
        }
    );
    let address = event.reply_to.unwrap().address;
    assert_eq!(
        address.get("thread"),
        None,
        "the root is not in its own thread"
    );
    assert_eq!(address["under"], "1772441990.000100");
    let reply = Reply::text("done");
    assert!(endpoint.answer(ActKind::Press, &reply).body.is_empty());
    assert!(!endpoint.shows(ActKind::Press, &reply));
}

#[test]
fn a_press_in_a_thread_stays_there() {
    let endpoint = slack(Some("xoxb-1")).interaction().unwrap();
    let mut press = press();
    press["container"]["thread_ts"] = "1772441000.000100".into();
    press["user"]["team_id"] = Value::Null;
    let event = event(endpoint.as_ref(), &payload(&press));
    assert_eq!(event.account.id, "T01/U02");
    assert_eq!(
        event.reply_to.unwrap().address["thread"],
        "1772441000.000100"
    );
}

#[test]
fn other_interactions_are_acknowledged() {
    let endpoint = slack(Some("xoxb-1")).interaction().unwrap();
    let mut other_button = press();
    other_button["actions"][0]["action_id"] = "another".into();
    let mut no_run = press();
    no_run["actions"][0]["value"] = "not a run".into();
    let mut no_action = press();
    no_action["actions"] = json!([]);
    for interaction in [
        other_button,
        no_run,
        no_action,
        json!({"type": "view_closed", "user": {"id": "U01"}, "view": {"callback_id": "rave_form"}}),
        json!({"type": "view_submission", "user": {"id": "U01"}, "view": {"callback_id": "other"}}),
        json!({"type": "shortcut"}),
        json!({"type": "block_suggestion"}),
        json!({"type": "of_tomorrow"}),
        json!({}),
    ] {
        let answer = answered(endpoint.as_ref(), &payload(&interaction));
        assert!(
            answer.status == 200 && answer.body.is_empty(),
            "{interaction}"
        );
    }
    for body in ["", "payload=x", "payload=%7B%7D&payload=%7B%7D"] {
        let error = endpoint.verify(&signed(body), now()).unwrap_err();
        assert_eq!(endpoint.refuse(&error).status, 200, "{body}");
    }
}

fn mention() -> Value {
    json!({
        "token": "deprecated",
        "team_id": "T01",
        "api_app_id": "A01",
        "event": {
            "type": "app_mention", "user": "U01", "text": "<@UBOT> approve run_0001",
            "ts": "1772441999.000200", "thread_ts": "1772441990.000100", "channel": "C01",
            "event_ts": "1772441999.000200", "team": "T01", "blocks": [], "client_msg_id": "x"
        },
        "type": "event_callback",
        "event_id": "Ev01",
        "event_time": 1_772_441_999,
        "authorizations": [{"enterprise_id": null, "team_id": "T01", "user_id": "UBOT", "is_bot": true}],
        "is_ext_shared_channel": false,
        "event_context": "x",
    })
}

fn changed(path: &str, value: &Value) -> Value {
    let mut callback = mention();
    match callback.pointer_mut(path) {
        Some(place) => *place = value.clone(),
        None => {
            let (object, key) = path.rsplit_once('/').unwrap();
            callback.pointer_mut(object).unwrap()[key] = value.clone();
        }
    }
    callback
}

#[test]
fn a_mention_is_a_command_in_its_thread() {
    let endpoint = slack(Some("xoxb-1")).event().unwrap();
    let in_thread = event(endpoint.as_ref(), &mention().to_string());
    assert_eq!(in_thread.event_id, "Ev01");
    assert_eq!(in_thread.account.id, "T01/U01");
    assert_eq!(
        in_thread.act,
        Act::Command {
            text: "approve run_0001".to_owned()
        }
    );
    assert_eq!(in_thread.form_ticket, None);
    let address = in_thread.reply_to.unwrap().address;
    assert_eq!(
        (&address["thread"], &address["opens"]),
        (&"1772441990.000100".into(), &false.into())
    );

    let alone = changed("/event/thread_ts", &Value::Null);
    let address = event(endpoint.as_ref(), &alone.to_string())
        .reply_to
        .unwrap()
        .address;
    assert_eq!(
        (&address["thread"], &address["opens"]),
        (&"1772441999.000200".into(), &true.into())
    );
    assert!(!endpoint.shows(ActKind::Command, &Reply::text("x")));

    let guest = changed("/event/user_team", &"T99".into());
    assert_eq!(
        event(endpoint.as_ref(), &guest.to_string()).account.id,
        "T99/U01"
    );
}

#[test]
fn a_direct_message_is_a_command() {
    let endpoint = slack(Some("xoxb-1")).event().unwrap();
    let mut direct = changed("/event/type", &"message".into());
    direct["event"]["channel_type"] = "im".into();
    direct["event"]["channel"] = "D01".into();
    direct["event"]["thread_ts"] = Value::Null;
    direct["event"]["text"] = "/rave show run_1 &amp; more".into();
    let event = event(endpoint.as_ref(), &direct.to_string());
    assert_eq!(
        event.act,
        Act::Command {
            text: "show run_1 & more".to_owned()
        }
    );
    assert_eq!(event.place.privacy, Privacy::Direct);
    assert_eq!(event.reply_to.unwrap().address.get("thread"), None);
}

#[test]
fn other_events_are_acknowledged() {
    let endpoint = slack(Some("xoxb-1")).event().unwrap();
    for callback in [
        changed("/event/bot_id", &"B01".into()),
        changed("/event/subtype", &"message_changed".into()),
        changed("/event/edited", &json!({"user": "U01", "ts": "1.2"})),
        changed("/event/user", &"UBOT".into()),
        changed("/event/type", &"message".into()),
        changed("/event/type", &"reaction_added".into()),
        changed("/event/channel", &"D01".into()),
        changed("/event", &Value::Null),
        json!({"type": "app_rate_limited", "minute_rate_limited": 1}),
        json!({"type": "of_tomorrow"}),
        json!({}),
    ] {
        let answer = answered(endpoint.as_ref(), &callback.to_string());
        assert!(answer.status == 200 && answer.body.is_empty(), "{callback}");
    }
    // Nobody could read the answer.
    let without_bot = slack(None).event().unwrap();
    assert_eq!(
        answered(without_bot.as_ref(), &mention().to_string()).status,
        200
    );
    let challenge = json!({"token": "x", "challenge": "3eZbrw1aB", "type": "url_verification"});
    let answer = answered(without_bot.as_ref(), &challenge.to_string());
    assert_eq!(answer.body, r#"{"challenge":"3eZbrw1aB"}"#);
    for body in [
        "",
        "[",
        "\"x\"",
        &changed("/event", &"x".into()).to_string(),
    ] {
        let error = endpoint.verify(&signed(body), now()).unwrap_err();
        assert_eq!(endpoint.refuse(&error).status, 200, "{body}");
    }
}

#[test]
fn answers_are_what_slack_shows() {
    let endpoint = slack(None).command().unwrap();
    let reply = Reply::text("Nothing runs").to_conversation();
    let answer = endpoint.answer(ActKind::Command, &reply);
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    insta::assert_snapshot!(
        String::from_utf8_lossy(&answer.body),
        @r#"{"response_type":"in_channel","text":"Nothing runs","blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"Nothing runs"}]}]}]}"#
    );
}

#[tokio::test]
async fn without_a_bot_there_are_no_forms() {
    let endpoint = slack(None).command().unwrap();
    let event = event(endpoint.as_ref(), &form(&COMMAND));
    let form = Form {
        purpose: FormPurpose::Deny {
            run: RunId::new("run_0001").unwrap(),
        },
        title: "Deny".to_owned(),
        intro: String::new(),
        submit: "Deny".to_owned(),
        fields: vec![FormField {
            name: "reason".to_owned(),
            label: "Reason".to_owned(),
            help: String::new(),
            kind: FormFieldKind::Line { max: 10 },
            needed: Needed::Optional,
            value: None,
        }],
    };
    assert!(endpoint.open_form(&event, &form, now()).await.is_err());
}

/// Made once: a client of its own for each of hundreds of bodies takes long.
static SLACK: std::sync::LazyLock<Slack> = std::sync::LazyLock::new(|| slack(Some("xoxb-1")));

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn no_body_brings_it_down(body in "(payload=|text=|%7B|[{}\":,&=a-z0-9\\[\\]]){0,40}") {
        for endpoint in [SLACK.command(), SLACK.interaction(), SLACK.event()] {
            let _ = endpoint.unwrap().verify(&signed(&body), now());
        }
    }
}
