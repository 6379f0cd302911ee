use rave_domain::callback::CallbackSeal;
use rave_domain::ids::{IntentName, RunId};

use super::*;
use crate::places::Places;
use crate::response_url::ResponseUrls;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn desk(key: u8) -> Desk {
    let seal = CallbackSeal::new(&[key; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    let places = Places::parse(None).unwrap();
    let urls = ResponseUrls::new(places.clone(), crate::http_client().unwrap());
    Desk::new(places, seal, "life".to_owned(), urls, None)
}

fn event(account: &str) -> VerifiedEvent {
    let address = Address {
        channel: "C01".to_owned(),
        user: "U01".to_owned(),
        thread: Some("1.2".to_owned()),
        under: None,
        opens: false,
        response: None,
        asked: at(0),
        life: "life".to_owned(),
    };
    VerifiedEvent {
        event_id: "1".to_owned(),
        account: rave_domain::Account::new(rave_domain::Surface::Slack, account),
        strength: Strength::Signed,
        place: Place::default(),
        act: Act::Command {
            text: String::new(),
        },
        reply_to: address.reply_to(crate::address::Writes::AsBot, at(0)),
        form_ticket: Some("t".to_owned()),
    }
}

fn field(name: &str, kind: FormFieldKind, value: Option<&str>) -> FormField {
    FormField {
        name: name.to_owned(),
        label: format!("The {name}"),
        help: "Some help".to_owned(),
        kind,
        needed: Needed::Required,
        value: value.map(str::to_owned),
    }
}

fn choices(number: usize) -> Vec<Choice> {
    (0..number)
        .map(|n| Choice {
            label: format!("Choice {n}"),
            value: format!("c{n}"),
        })
        .collect()
}

fn form(fields: Vec<FormField>) -> Form {
    Form {
        purpose: FormPurpose::Run {
            intent: IntentName::new("scale_web").unwrap(),
            given: [("tag".to_owned(), vec!["1".to_owned()])].into(),
        },
        title: "Scale the web stack up and down".to_owned(),
        intro: "Asks for <everything>.".to_owned(),
        submit: "Scale the web stack up or down".to_owned(),
        fields,
    }
}

fn submission(view: &Value, account: (&str, &str), state: &Value) -> Interaction {
    serde_json::from_value(json!({
        "type": "view_submission",
        "team": {"id": "T01"},
        "user": {"id": account.1, "team_id": account.0},
        "trigger_id": "9.9",
        "view": {
            "id": "V01",
            "hash": "1.a",
            "callback_id": view["callback_id"],
            "private_metadata": view["private_metadata"],
            "state": {"values": state},
        },
        "response_urls": [],
    }))
    .unwrap()
}

#[test]
fn a_form_keeps_the_limits_of_a_modal() {
    let long = "x".repeat(5000);
    let fields = vec![
        field("count", FormFieldKind::Number, Some("3")),
        field("why", FormFieldKind::Lines { max: 9000 }, Some(&long)),
        field("tag", FormFieldKind::Line { max: 0 }, None),
        field("force", FormFieldKind::Bool, Some("true")),
        field("place", FormFieldKind::Choice(choices(100)), Some("c99")),
        field("many", FormFieldKind::Choice(choices(101)), None),
        field("none", FormFieldKind::Choice(Vec::new()), None),
        field("key", FormFieldKind::Secret { max: 3000 }, None),
    ];
    let view = desk(1)
        .view(&event("T01/U01"), &form(fields), at(0))
        .unwrap();
    let length = |pointer: &str| {
        view.pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .chars()
            .count()
    };
    assert!(length("/title/text") <= 24 && length("/submit/text") <= 24);
    assert!(length("/private_metadata") <= 3000);
    let blocks = view["blocks"].as_array().unwrap();
    let inputs: Vec<(&str, &str, bool)> = blocks[1..]
        .iter()
        .map(|block| {
            assert_eq!(block["hint"]["text"], "Some help");
            (
                block["block_id"].as_str().unwrap(),
                block["element"]["type"].as_str().unwrap(),
                block["optional"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        inputs,
        [
            ("field.count", "number_input", false),
            ("field.why", "plain_text_input", false),
            ("field.tag", "plain_text_input", false),
            ("field.force", "checkboxes", true),
            ("field.place", "static_select", false),
            ("field.many", "plain_text_input", false),
            ("field.none", "plain_text_input", false),
            ("field.key", "plain_text_input", false),
        ]
    );
    let element = |at: usize| &blocks[at]["element"];
    assert_eq!(element(1)["initial_value"], "3");
    assert_eq!(element(2)["max_length"], 3000);
    assert_eq!(element(2)["initial_value"].as_str().unwrap().len(), 3000);
    assert_eq!(element(3)["max_length"], 1);
    assert_eq!(element(4)["initial_options"][0]["value"], "true");
    assert_eq!(element(5)["initial_option"]["value"], "c99");
}

#[test]
fn what_does_not_fit_into_a_modal_is_a_fault() {
    let event = event("T01/U01");
    let many = (0..100).map(|n| field(&format!("f{n}"), FormFieldKind::Number, None));
    let error = desk(1)
        .view(&event, &form(many.collect()), at(0))
        .unwrap_err();
    assert!(error.why.contains("100 blocks"), "{error}");
    let mut long = form(vec![field("a", FormFieldKind::Number, None)]);
    long.purpose = FormPurpose::Run {
        intent: IntentName::new("x").unwrap(),
        given: [("a".to_owned(), vec!["x".repeat(3000)])].into(),
    };
    let error = desk(1).view(&event, &long, at(0)).unwrap_err();
    assert!(error.why.contains("too long"), "{error}");
    let name = "n".repeat(250);
    let error = desk(1)
        .view(
            &event,
            &form(vec![field(&name, FormFieldKind::Number, None)]),
            at(0),
        )
        .unwrap_err();
    assert!(error.why.contains("too long a name"), "{error}");
}

#[test]
fn what_was_filled_in_comes_back_for_what_it_was_opened() {
    let form = form(vec![field("count", FormFieldKind::Number, None)]);
    let desk = desk(1);
    let view = desk.view(&event("T01/U01"), &form, at(0)).unwrap();
    let state = json!({
        "field.count": {"value": {"type": "number_input", "value": "3"}},
        "field.empty": {"value": {"type": "plain_text_input", "value": null}},
        "field.force": {"value": {"type": "checkboxes", "selected_options": [{"value": "true"}]}},
        "field.not": {"value": {"type": "checkboxes", "selected_options": []}},
        "field.place": {"value": {"type": "static_select", "selected_option": {"value": "c9"}}},
        "field.open": {"value": {"type": "static_select", "selected_option": null}},
        "other": {"value": {"type": "plain_text_input", "value": "x"}},
        "field.odd": 5,
    });
    let incoming = desk
        .submission(&submission(&view, ("T01", "U01"), &state), at(3599))
        .unwrap();
    let Incoming::Event(event) = incoming else {
        panic!("answered");
    };
    assert_eq!(event.event_id, "form:BwcHBwcHBwcH");
    assert_eq!(event.account.id, "T01/U01");
    assert_eq!(event.place.channel, "C01");
    assert_eq!(
        event.reply_to.clone(),
        None,
        "without a bot there is no way to answer"
    );
    let Act::Submit { purpose, values } = event.act else {
        panic!("another act");
    };
    assert_eq!(purpose, form.purpose);
    let shown: Vec<String> = values
        .iter()
        .map(|(name, values)| format!("{name}={}", values.join(",")))
        .collect();
    assert_eq!(
        shown,
        [
            "count=3",
            "empty=",
            "force=true",
            "not=false",
            "open=",
            "place=c9"
        ]
    );
}

#[test]
fn a_form_is_one_persons_for_an_hour_and_for_its_purpose() {
    let deny = |run: &str| Form {
        purpose: FormPurpose::Deny {
            run: RunId::new(run).unwrap(),
        },
        ..form(vec![field("reason", FormFieldKind::Line { max: 10 }, None)])
    };
    let ours = desk(1);
    let view = ours
        .view(&event("T01/U01"), &deny("run_0001"), at(0))
        .unwrap();
    let swapped = |from: &str, to: &str| {
        let mut view = view.clone();
        let metadata = view["private_metadata"].as_str().unwrap().replace(from, to);
        assert_ne!(view["private_metadata"], metadata);
        view["private_metadata"] = metadata.into();
        view
    };
    let state = json!({});
    let foreign = "not one that Rave opened for you";
    for (desk, view, account, at_second, says) in [
        (&ours, view.clone(), ("T01", "U02"), 1, foreign),
        (&ours, view.clone(), ("T02", "U01"), 1, foreign),
        (&desk(2), view.clone(), ("T01", "U01"), 1, foreign),
        (
            &ours,
            swapped("run_0001", "run_0002"),
            ("T01", "U01"),
            1,
            foreign,
        ),
        (&ours, swapped("C01", "C02"), ("T01", "U01"), 1, foreign),
        (
            &ours,
            swapped("01:00:00", "09:00:00"),
            ("T01", "U01"),
            1,
            foreign,
        ),
        (&ours, swapped("BwcH", "AAAA"), ("T01", "U01"), 1, foreign),
        (
            &ours,
            swapped("{", "["),
            ("T01", "U01"),
            1,
            "does not say what it is for",
        ),
        (
            &ours,
            view.clone(),
            ("T01", "U01"),
            3600,
            "more than an hour",
        ),
    ] {
        let sent = submission(&view, account, &state);
        let Ok(Incoming::Answered(answer)) = desk.submission(&sent, at(at_second)) else {
            panic!("taken: {says}");
        };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(body.contains(says), "{says}: {body}");
    }
}

#[test]
fn errors_stand_at_their_fields() {
    let error = |field: Option<&str>, message: &str| FieldError {
        field: field.map(str::to_owned),
        message: message.to_owned(),
    };
    let body = |errors: &[FieldError]| {
        serde_json::from_slice::<Value>(&field_errors(errors).body).unwrap()
    };
    assert_eq!(
        body(&[
            error(Some("count"), "Too many."),
            error(None, "And late."),
            error(Some("count"), "Not a number."),
        ]),
        json!({"response_action": "errors", "errors": {"field.count": "Too many. Not a number. And late."}})
    );
    let whole = body(&[error(None, "There is no second factor.")]);
    assert_eq!(whole["response_action"], "push");
    assert!(
        whole["view"]["blocks"]
            .to_string()
            .contains("no second factor")
    );
}

#[test]
fn a_text_in_place_of_a_form_has_no_buttons() {
    let reply = Reply::text("No.")
        .tone(Tone::Bad)
        .with(rave_domain::reply::Block::Buttons(vec![
            rave_domain::reply::Button {
                label: "Retry".to_owned(),
                press: rave_domain::reply::Press::Retry,
                run: RunId::new("run_0001").unwrap(),
            },
        ]));
    let body: Value = serde_json::from_slice(&closing(&reply).body).unwrap();
    assert_eq!(body["response_action"], "update");
    assert!(!body.to_string().contains("actions"), "{body}");
}
