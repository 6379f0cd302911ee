use ed25519_dalek::{Signer as _, SigningKey};
use http::HeaderValue;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::{
    CommandSpec, Completes, FormField, FormFieldKind, FormPurpose, Needed, OptionKind, OptionSpec,
    Written,
};
use rave_domain::ids::{IntentName, RunId};
use rave_domain::ports::surface::{Act, LiveStart, Privacy};
use rave_domain::reply::{Block, Button, Press};
use rave_domain::{Account, Strength};
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::api::Api;
use crate::http_client;

const NOW: i64 = 1_800_000_000;
const APP: &str = "1001";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn run() -> RunId {
    RunId::new("run_0001").unwrap()
}

fn endpoint() -> Endpoint {
    let seal = CallbackSeal::new(&[9; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    let application: Snowflake = APP.parse().unwrap();
    let option = |name: &str, written| OptionSpec {
        name: name.to_owned(),
        description: String::new(),
        kind: OptionKind::Text {
            completes: Completes::Yes,
        },
        needed: Needed::Optional,
        written,
    };
    let specs = [
        CommandSpec {
            words: vec!["run".to_owned()],
            description: "Runs".to_owned(),
            options: vec![
                option("intent", Written::Positional),
                option("arguments", Written::Rest),
            ],
        },
        CommandSpec {
            words: vec!["vm".to_owned(), "start".to_owned()],
            description: "Starts".to_owned(),
            options: vec![option("name", Written::Named)],
        },
    ];
    let commands = Arc::new(Commands::new(&specs, &[]));
    let seals = Arc::new(Seals::new(seal, application));
    let api = Api::new(
        Url::parse("http://127.0.0.1:9").unwrap(),
        http_client().unwrap(),
        None,
        Arc::default(),
    );
    Endpoint {
        messages: Messages {
            api,
            application,
            seals: Arc::clone(&seals),
        },
        interactions: Interactions {
            application,
            seals,
            commands: Arc::new(move || Arc::clone(&commands)),
            bot: true,
        },
        key: key().verifying_key(),
    }
}

fn signed(body: &[u8], timestamp: &str) -> RawRequest {
    let mut message = timestamp.as_bytes().to_vec();
    message.extend_from_slice(body);
    let signature = hex::encode(key().sign(&message).to_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("x-signature-ed25519", signature.parse().unwrap());
    headers.insert("x-signature-timestamp", timestamp.parse().unwrap());
    RawRequest {
        headers,
        body: body.to_vec().into(),
    }
}

fn verified(body: &Value) -> Result<Incoming, SurfaceRejection> {
    let request = signed(body.to_string().as_bytes(), &NOW.to_string());
    endpoint().verify(&request, at(NOW))
}

fn event(body: &Value) -> VerifiedEvent {
    match verified(body) {
        Ok(Incoming::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

fn shown(answer: &HttpAnswer) -> Value {
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    serde_json::from_slice(&answer.body).unwrap()
}

fn told(body: &Value) -> String {
    match verified(body) {
        Ok(Incoming::Answered(answer)) => {
            let shown = shown(&answer);
            assert_eq!(
                (&shown["type"], &shown["data"]["flags"]),
                (&json!(4), &json!(68))
            );
            shown["data"]["content"].as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// An interaction in a server, with what differs laid over it.
fn interaction(kind: u64, data: &Value) -> Value {
    json!({
        "id": "846462639134605312", "application_id": APP, "type": kind, "token": "aW50.t0ken-_",
        "version": 1, "guild_id": "290926798626357999", "channel_id": "645027906669510667",
        "context": 0, "locale": "en-US", "data": data,
        "member": {"permissions": "2147483647", "user": {"id": "53908232506183680", "username": "ann"}},
        "something_new": {"a": [1]},
    })
}

fn command(options: &Value) -> Value {
    interaction(
        2,
        &json!({"id": "1", "name": "rave", "type": 1, "options": options}),
    )
}

#[test]
fn official_vectors_are_verified() {
    // RFC 8032, section 7.1, test 3.
    let key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let mut bytes = [0; 32];
    hex::decode_to_slice(key, &mut bytes).unwrap();
    let key = VerifyingKey::from_bytes(&bytes).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-signature-ed25519", signature.parse().unwrap());
    // The message is the bytes af 82: they are all body, after a timestamp without characters.
    headers.insert("x-signature-timestamp", HeaderValue::from_static(""));
    let verdict = |body: &[u8]| authentic(&key, &headers, body, at(NOW));
    assert_eq!(verdict(&[0xaf, 0x82]), Err("the timestamp is not a time"));
    assert_eq!(verdict(&[0xaf, 0x83]), Err("wrong signature"));
}

#[test]
fn what_discord_did_not_sign_now_is_refused() {
    let body = command(&json!([])).to_string();
    let genuine = || signed(body.as_bytes(), &NOW.to_string());
    assert!(matches!(
        endpoint().verify(&genuine(), at(NOW)),
        Ok(Incoming::Event(_))
    ));
    let edge = endpoint().verify(&genuine(), at(NOW + 300));
    assert!(matches!(edge, Ok(Incoming::Event(_))));
    type Forge = fn(&mut RawRequest);
    let table: [(&str, Forge); 9] = [
        ("no signature", |r| {
            r.headers.remove("x-signature-ed25519");
        }),
        ("no timestamp", |r| {
            r.headers.remove("x-signature-timestamp");
        }),
        ("no signature", |r| {
            r.headers
                .append("x-signature-ed25519", HeaderValue::from_static("00"));
        }),
        ("the signature is not one", |r| {
            r.headers
                .insert("x-signature-ed25519", HeaderValue::from_static("zz"));
        }),
        ("the signature is not one", |r| {
            let short = "00".repeat(63).parse().unwrap();
            r.headers.insert("x-signature-ed25519", short);
        }),
        ("wrong signature", |r| {
            let zeros = "00".repeat(64).parse().unwrap();
            r.headers.insert("x-signature-ed25519", zeros);
        }),
        ("wrong signature", |r| {
            r.headers.insert(
                "x-signature-timestamp",
                HeaderValue::from_static("1800000001"),
            );
        }),
        ("wrong signature", |r| {
            let mut body = r.body.to_vec();
            body.push(b' ');
            r.body = body.into();
        }),
        ("wrong signature", |r| {
            *r = RawRequest {
                headers: r.headers.clone(),
                body: bytes::Bytes::new(),
            };
        }),
    ];
    for (number, (why, forge)) in table.into_iter().enumerate() {
        let mut request = genuine();
        forge(&mut request);
        let refused = endpoint().verify(&request, at(NOW));
        assert_eq!(
            refused,
            Err(SurfaceRejection::NotAuthentic { why }),
            "{number}"
        );
    }
    for now in [NOW + 301, NOW - 301] {
        let stale = endpoint().verify(&genuine(), at(now));
        let why = "signed too long ago, or in the future";
        assert_eq!(stale, Err(SurfaceRejection::NotAuthentic { why }), "{now}");
    }
    for timestamp in ["", "+1800000000", "1800000000.0", "99999999999999999999"] {
        let refused = endpoint().verify(&signed(body.as_bytes(), timestamp), at(NOW));
        let why = "the timestamp is not a time";
        assert_eq!(
            refused,
            Err(SurfaceRejection::NotAuthentic { why }),
            "{timestamp}"
        );
    }
    let answer = endpoint().refuse(&SurfaceRejection::NotAuthentic { why: "x" });
    assert_eq!(answer.status, 401);
}

#[test]
fn a_ping_is_answered() {
    let ping = json!({"id": "1", "application_id": APP, "type": 1, "token": "t", "version": 1});
    let Ok(Incoming::Answered(answer)) = verified(&ping) else {
        panic!("not answered");
    };
    assert_eq!(shown(&answer), json!({"type": 1}));
}

#[test]
fn a_command_is_a_line_by_its_person_in_its_channel() {
    let options = json!([{"name": "vm", "type": 2, "options": [{"name": "start", "type": 1, "options": [
        {"name": "name", "type": 3, "value": "web 1"},
        {"name": "key", "type": 11, "value": "12345"},
    ]}]}]);
    let event = event(&command(&options));
    assert_eq!(event.event_id, "846462639134605312");
    assert_eq!(
        event.account,
        Account::new(Surface::Discord, "53908232506183680")
    );
    assert_eq!(event.strength, Strength::Signed);
    assert_eq!(event.place.channel, "645027906669510667");
    assert_eq!(event.place.privacy, Privacy::Shared);
    assert!(event.form_ticket.is_some());
    let text = "vm start name='web 1'".to_owned();
    assert_eq!(event.act, Act::Command { text });
    let reply_to = event.reply_to.unwrap();
    assert_eq!(
        (reply_to.courier.as_str(), reply_to.live),
        ("discord", Some(LiveStart::Answer))
    );
    assert_eq!(reply_to.address["channel"], "645027906669510667");
}

#[test]
fn direct_messages_are_private() {
    let mut body = command(&json!([]));
    let object = body.as_object_mut().unwrap();
    object.remove("member");
    object.remove("guild_id");
    object.insert("user".to_owned(), json!({"id": "7"}));
    for (context, channel, privacy) in [
        (json!(1), json!({"id": "1", "type": 1}), Privacy::Direct),
        (json!(2), json!({"id": "1", "type": 3}), Privacy::Shared),
        (json!(0), json!({"id": "1", "type": 1}), Privacy::Shared),
        (Value::Null, json!({"id": "1", "type": 1}), Privacy::Direct),
        (Value::Null, json!({"id": "1", "type": 3}), Privacy::Shared),
        (Value::Null, Value::Null, Privacy::Shared),
    ] {
        body["context"] = context.clone();
        body["channel"] = channel;
        let event = event(&body);
        assert_eq!(event.place.privacy, privacy, "{context}");
        assert_eq!(event.account.id, "7");
    }
}

#[test]
fn what_cannot_be_used_is_said_to_the_person_alone() {
    let fine = command(&json!([]));
    let with = |key: &str, value: Value| {
        let mut body = fine.clone();
        body[key] = value;
        body
    };
    for (body, why) in [
        (with("id", json!("x")), "its id is not an id"),
        (
            with("application_id", json!("1002")),
            "it is for another application",
        ),
        (
            with("application_id", Value::Null),
            "it is for another application",
        ),
        (with("member", Value::Null), "it does not say who did it"),
        (
            with("user", json!({"id": "7"})),
            "it does not say who did it",
        ),
        (
            with("member", json!({"user": {"id": "0"}})),
            "it does not say who did it",
        ),
        (
            with("channel_id", json!("")),
            "it does not say in which channel it was done",
        ),
        (
            with("type", json!(99)),
            "Rave does not know this kind of interaction",
        ),
        (
            with("data", json!({"name": "other"})),
            "Rave knows the command /rave only",
        ),
        (
            with("data", json!({"name": "rave", "type": 3})),
            "Rave knows the command /rave only",
        ),
        (with("data", json!(5)), "its data is not what Rave knows"),
        (with("data", Value::Null), "it has no data"),
        (
            interaction(3, &json!({"custom_id": "x", "component_type": 3})),
            "Rave has no such component",
        ),
        (
            interaction(
                3,
                &json!({"custom_id": "x".repeat(101), "component_type": 2}),
            ),
            "Rave has no such component",
        ),
        (
            interaction(3, &json!({"custom_id": "x", "component_type": 2})),
            "this was not made by this Rave, or before its key was changed",
        ),
        (
            interaction(5, &json!({"custom_id": "x", "components": []})),
            "this was not made by this Rave, or before its key was changed",
        ),
    ] {
        assert_eq!(told(&body), format!("❌ Rave cannot use this: {why}."));
    }
    let request = signed(b"{", &NOW.to_string());
    let rejected = endpoint().verify(&request, at(NOW)).unwrap_err();
    assert!(matches!(rejected, SurfaceRejection::Malformed { .. }));
    assert_eq!(endpoint().refuse(&rejected).status, 200);
}

#[test]
fn a_pressed_button_is_what_was_sealed_into_it() {
    let endpoint = endpoint();
    let id = endpoint
        .interactions
        .seals
        .button(Press::Approve, &run(), at(NOW));
    let event = event(&interaction(
        3,
        &json!({"custom_id": id, "component_type": 2}),
    ));
    let press = Press::Approve;
    assert_eq!(event.act, Act::Press { press, run: run() });
    assert_eq!(event.reply_to.unwrap().live, Some(LiveStart::Post));
    let answer = shown(&endpoint.answer(ActKind::Press, &Reply::text("x").to_conversation()));
    assert_eq!(
        (&answer["type"], &answer["data"]["flags"]),
        (&json!(4), &json!(68))
    );
}

#[test]
fn a_form_comes_back_from_the_person_it_was_opened_for() {
    let endpoint = endpoint();
    let purpose = FormPurpose::Deny { run: run() };
    let form = Form {
        purpose: purpose.clone(),
        title: "Deny".to_owned(),
        intro: String::new(),
        submit: "Deny".to_owned(),
        fields: vec![FormField {
            name: "reason".to_owned(),
            label: "Reason".to_owned(),
            help: String::new(),
            kind: FormFieldKind::Lines { max: 500 },
            needed: Needed::Optional,
            value: None,
        }],
    };
    let asked = event(&command(&json!([])));
    let opened = shown(&endpoint.interactions.form(&asked, &form, at(NOW)).unwrap());
    assert_eq!(opened["type"], 9);
    let id = opened["data"]["custom_id"].clone();
    let label = json!([{"type": 18, "id": 1, "component":
        {"type": 4, "id": 2, "custom_id": "reason", "value": "not today"}}]);
    let row = json!([{"type": 1, "components":
        [{"type": 4, "custom_id": "reason", "value": "not today"}]}]);
    for components in [label, row] {
        let sent = interaction(5, &json!({"custom_id": id, "components": components}));
        let submitted = event(&sent);
        assert_eq!(
            submitted.act,
            Act::Submit {
                purpose: purpose.clone(),
                values: [("reason".to_owned(), vec!["not today".to_owned()])].into(),
            }
        );
        assert!(submitted.form_ticket.is_none());
        assert!(
            endpoint
                .interactions
                .form(&submitted, &form, at(NOW))
                .is_err()
        );
    }
    let mut others = interaction(5, &json!({"custom_id": id, "components": []}));
    others["member"]["user"]["id"] = json!("42");
    assert!(told(&others).contains("not made by this Rave"));

    let arguments = Form {
        purpose: FormPurpose::Run {
            intent: IntentName::new("x").unwrap(),
            given: Default::default(),
        },
        ..form
    };
    assert!(
        endpoint
            .interactions
            .form(&asked, &arguments, at(NOW))
            .is_err()
    );
}

#[test]
fn an_option_being_typed_is_completed() {
    let options = json!([{"name": "run", "type": 1, "options": [
        {"name": "intent", "type": 3, "value": "rol", "focused": true},
    ]}]);
    let mut body = command(&options);
    body["type"] = json!(4);
    let event = event(&body);
    assert_eq!(
        event.act,
        Act::Complete {
            words: vec!["run".to_owned()],
            option: "intent".to_owned(),
            typed: "rol".to_owned(),
        }
    );
    assert!(event.reply_to.is_none());
    let choice = |label: String, value: String| Choice { label, value };
    let mut choices = vec![
        choice("x".repeat(101), "v".repeat(100)),
        choice("too long".to_owned(), "v".repeat(101)),
        choice("empty".to_owned(), String::new()),
    ];
    choices.extend((0..30).map(|n| choice(n.to_string(), n.to_string())));
    let answer = shown(&endpoint().choices(&choices));
    assert_eq!(answer["type"], 8);
    let listed = answer["data"]["choices"].as_array().unwrap();
    assert_eq!(listed.len(), 25);
    assert_eq!(listed[0]["name"], format!("{}…", "x".repeat(99)));
    assert_eq!(listed[0]["value"], "v".repeat(100));
    // What cannot be understood is answered with nothing to choose.
    body["data"] = json!({"name": "rave"});
    let Ok(Incoming::Answered(answer)) = verified(&body) else {
        panic!("not answered");
    };
    assert_eq!(shown(&answer), json!({"type": 8, "data": {"choices": []}}));
}

#[test]
fn an_answer_is_for_whom_it_is_meant() {
    let endpoint = endpoint();
    let alone = shown(&endpoint.answer(ActKind::Command, &Reply::text("hi")));
    assert_eq!(alone["type"], 4);
    assert_eq!(alone["data"]["flags"], 68);
    assert_eq!(alone["data"]["content"], "hi");
    assert_eq!(alone["data"]["allowed_mentions"]["parse"], json!([]));
    let button = Button {
        label: "Approve".to_owned(),
        press: Press::Approve,
        run: run(),
    };
    let reply = Reply::text("hi")
        .to_conversation()
        .with(Block::Buttons(vec![button]));
    let everybody = shown(&endpoint.answer(ActKind::Command, &reply));
    assert_eq!(everybody["data"]["flags"], 4);
    let row = &everybody["data"]["components"][0];
    assert_eq!(
        (&row["type"], &row["components"][0]["label"]),
        (&json!(1), &json!("Approve"))
    );
    let errors = [FieldError {
        field: Some("code".to_owned()),
        message: "wrong".to_owned(),
    }];
    let told = shown(&endpoint.field_errors(&errors));
    assert_eq!(told["data"]["content"], "❌ code: wrong");
}
