use bytes::Bytes;
use http::HeaderMap;
use rave_domain::RunId;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::FormPurpose;
use rave_domain::ports::surface::Privacy;

use super::*;
use crate::base::Base;
use crate::bot::Bot;
use crate::callback::Callbacks;

const NOW: &str = "2026-03-02T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn callbacks(key: u8) -> Callbacks {
    let base = Base::parse("url", "https://rave.example.com").unwrap();
    let seal = CallbackSeal::new(&[key; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    Callbacks::new(base, seal)
}

fn surface() -> Dialogs {
    let base = Base::parse("url", "http://127.0.0.1:9").unwrap();
    let client = crate::http_client().unwrap();
    let bot = Arc::new(Bot::new(base, client, "b0t".into()));
    Dialogs::new(Arc::new(Forms::new(bot, callbacks(1))))
}

fn state(key: u8) -> String {
    let purpose = FormPurpose::Deny {
        run: RunId::new("run_0001").unwrap(),
    };
    let place = Place {
        channel: "c1".to_owned(),
        privacy: Privacy::Shared,
    };
    callbacks(key)
        .state(&purpose, "u-bob", &place, Some("r1"), at(NOW))
        .unwrap()
}

/// A dialog of bob's, as Mattermost sends it.
fn sent(key: u8) -> Value {
    json!({
        "type": "dialog_submission", "callback_id": "rave", "state": state(key),
        "user_id": "u-bob", "channel_id": "c9", "team_id": "t1", "cancelled": false,
        "submission": {"reason": "not today"},
    })
}

fn incoming(body: &[u8], now: &str) -> Result<Incoming, SurfaceRejection> {
    let request = RawRequest {
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body),
    };
    surface().verify(&request, at(now))
}

fn verify(body: &Value, now: &str) -> Result<VerifiedEvent, SurfaceRejection> {
    match incoming(body.to_string().as_bytes(), now)? {
        Incoming::Event(event) => Ok(*event),
        Incoming::Answered(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn a_dialog_says_who_what_for_and_where_it_was_opened() {
    let event = verify(&sent(1), NOW).unwrap();
    assert_eq!(event.account, Account::new(Surface::Mattermost, "u-bob"));
    assert_eq!(event.strength, Strength::Sealed);
    // Not where the client says.
    assert_eq!(event.place.channel, "c1");
    assert_eq!(event.form_ticket, None);
    let Act::Submit { purpose, values } = event.act else {
        panic!("{:?}", event.act)
    };
    let run = RunId::new("run_0001").unwrap();
    assert_eq!(purpose, FormPurpose::Deny { run });
    assert_eq!(values["reason"], ["not today"]);
    let address = event.reply_to.unwrap().address;
    assert_eq!(
        (&address["channel"], &address["root"]),
        (&json!("c1"), &json!("r1"))
    );
    let again = verify(&sent(1), NOW).unwrap();
    assert_eq!(again.event_id, event.event_id);
}

#[test]
fn a_dialog_that_was_not_opened_for_whoever_sends_it_is_refused() {
    let with = |key: &str, value: Value| {
        let mut body = sent(1);
        body[key] = value;
        body
    };
    let other = state(1).replacen('.', "A.", 1);
    for (body, why) in [
        (sent(2), "wrong seal"),
        (with("state", json!("")), "no seal"),
        (with("state", json!("x.y")), "wrong seal"),
        (with("state", json!(other)), "wrong seal"),
        (with("state", json!(state(1).replace('.', ""))), "no seal"),
        (
            with("state", json!("x".repeat(70_000))),
            "a state that is too long",
        ),
        (with("state", json!(7)), "no seal"),
        (with("user_id", json!("u-eve")), "somebody else's dialog"),
        (with("user_id", json!("")), "somebody else's dialog"),
        (with("submission", json!("x")), "no seal"),
        (json!("x"), "no seal"),
    ] {
        assert_eq!(
            verify(&body, NOW),
            Err(SurfaceRejection::NotAuthentic { why }),
            "{body}"
        );
    }
    let why = "a dialog that is too old";
    assert!(verify(&sent(1), "2026-03-02T20:59:59Z").is_ok());
    assert_eq!(
        verify(&sent(1), "2026-03-02T21:00:00Z"),
        Err(SurfaceRejection::NotAuthentic { why })
    );
    assert!(incoming(b"\xff", NOW).is_err());
}

#[test]
fn a_buttons_seal_opens_no_dialog() {
    // Both are under one key; what they begin with keeps them apart.
    let tag = CallbackSeal::new(&[1; 32], |_| Ok(())).tag(&["mattermost.action", "x"]);
    let mut body = sent(1);
    body["state"] = json!(format!("x.{tag}"));
    let why = "wrong seal";
    assert_eq!(
        verify(&body, NOW),
        Err(SurfaceRejection::NotAuthentic { why })
    );
}

#[test]
fn a_closed_dialog_is_answered_and_nothing_else() {
    let mut body = sent(1);
    body["cancelled"] = json!(true);
    body["submission"] = Value::Null;
    let incoming = incoming(body.to_string().as_bytes(), NOW).unwrap();
    let Incoming::Answered(answer) = incoming else {
        panic!("{incoming:?}")
    };
    assert_eq!((answer.status, answer.body.as_ref()), (200, &b"{}"[..]));
}

#[test]
fn values_come_as_clients_send_them() {
    let mut body = sent(1);
    body["submission"] = json!({
        "yes": true, "count": 3, "text": "a", "none": null, "many": ["a", 1, false, null],
    });
    let Act::Submit { values, .. } = verify(&body, NOW).unwrap().act else {
        panic!()
    };
    let shown: Vec<String> = values
        .iter()
        .map(|(name, values)| format!("{name}={}", values.join(",")))
        .collect();
    assert_eq!(
        shown,
        ["count=3", "many=a,1,false", "none=", "text=a", "yes=true"]
    );

    let many: Map<String, Value> = (0..201).map(|n| (n.to_string(), json!(1))).collect();
    for bad in [json!({"a": {"b": 1}}), json!({"a": [["b"]]}), json!(many)] {
        body["submission"] = bad;
        let refused = verify(&body, NOW);
        assert!(
            matches!(refused, Err(SurfaceRejection::Malformed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn answers_close_the_dialog_or_say_what_is_wrong() {
    let body = |answer: HttpAnswer| {
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let surface = surface();
    let good = Reply::text("run_0001 has begun");
    assert_eq!(body(surface.answer(ActKind::Submit, &good)), "{}");
    let bad = Reply::text("No.\nAsk ann.").tone(Tone::Bad);
    assert_eq!(
        body(surface.answer(ActKind::Submit, &bad)),
        r#"{"error":"No. Ask ann."}"#
    );
    let error = |field: Option<&str>, message: &str| FieldError {
        field: field.map(str::to_owned),
        message: message.to_owned(),
    };
    assert_eq!(
        body(surface.field_errors(&[error(Some("tag"), "is bad"), error(Some("tag"), "twice")])),
        r#"{"errors":{"tag":"is bad"}}"#
    );
    assert_eq!(
        body(surface.field_errors(&[error(None, "both"), error(Some("tag"), "is bad")])),
        r#"{"error":"both","errors":{"tag":"is bad"}}"#
    );
    assert_eq!(
        surface
            .refuse(&SurfaceRejection::NotAuthentic { why: "x" })
            .status,
        401
    );
}
