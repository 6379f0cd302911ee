use rave_domain::RunId;
use rave_domain::form::{Choice, FormPurpose};

use super::*;

fn field(name: &str, kind: FormFieldKind) -> FormField {
    FormField {
        name: name.to_owned(),
        label: name.to_owned(),
        help: String::new(),
        kind,
        needed: Needed::Required,
        value: None,
    }
}

fn form(fields: Vec<FormField>) -> Form {
    Form {
        purpose: FormPurpose::Deny {
            run: RunId::new("run_0001").unwrap(),
        },
        title: "Deny this run".to_owned(),
        intro: "Say *why*".to_owned(),
        submit: "Deny".to_owned(),
        fields,
    }
}

#[test]
fn a_form_reads_well() {
    let mut choice = field(
        "size",
        FormFieldKind::Choice(vec![Choice {
            label: "Small".to_owned(),
            value: "s".to_owned(),
        }]),
    );
    choice.value = Some("xl".to_owned());
    let dialog = dialog(
        &form(vec![
            field("tag", FormFieldKind::Line { max: 40 }),
            field("count", FormFieldKind::Number),
            field("force", FormFieldKind::Bool),
            field("password", FormFieldKind::Secret { max: 4000 }),
            choice,
        ]),
        "st4te",
    )
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&dialog).unwrap(), @r#"
    {
      "callback_id": "rave",
      "title": "Deny this run",
      "introduction_text": "Say \\*why\\*",
      "elements": [
        {
          "name": "tag",
          "display_name": "tag",
          "help_text": "",
          "optional": false,
          "type": "text",
          "max_length": 40,
          "default": ""
        },
        {
          "name": "count",
          "display_name": "count",
          "help_text": "",
          "optional": false,
          "type": "text",
          "subtype": "number",
          "max_length": 150,
          "default": ""
        },
        {
          "name": "force",
          "display_name": "force",
          "help_text": "",
          "optional": true,
          "type": "bool",
          "default": "false"
        },
        {
          "name": "password",
          "display_name": "password",
          "help_text": "",
          "optional": false,
          "type": "text",
          "subtype": "password",
          "max_length": 150
        },
        {
          "name": "size",
          "display_name": "size",
          "help_text": "",
          "optional": false,
          "type": "select",
          "options": [
            {
              "text": "Small",
              "value": "s"
            }
          ],
          "default": ""
        }
      ],
      "submit_label": "Deny",
      "notify_on_cancel": false,
      "state": "st4te"
    }
    "#);
}

#[test]
fn everything_stays_within_the_dialogs_limits() {
    let long = "ä".repeat(400);
    let mut big = field("tag", FormFieldKind::Line { max: 5000 });
    big.label = long.clone();
    big.help = long.clone();
    let mut whole = form(vec![big]);
    whole.title = long;
    let dialog = dialog(&whole, "s").unwrap();
    let element = &dialog["elements"][0];
    for (value, most) in [
        (&dialog["title"], 24),
        (&element["display_name"], 24),
        (&element["help_text"], 150),
    ] {
        let text = value.as_str().unwrap();
        assert!(text.len() <= most && text.ends_with('…'), "{text}");
    }
    // More than a line may hold becomes several lines.
    assert_eq!(
        (&element["type"], &element["max_length"]),
        (&json!("textarea"), &json!(3000))
    );
    for (max, kind) in [(150, "text"), (151, "textarea")] {
        let element = super::element(&field("a", FormFieldKind::Line { max })).unwrap();
        assert_eq!(element["type"], kind);
    }
}

#[test]
fn a_form_that_no_dialog_can_hold_is_not_opened() {
    let mut full = field("a", FormFieldKind::Lines { max: 5000 });
    full.value = Some("x".repeat(3001));
    let long_name = field(&"n".repeat(301), FormFieldKind::Number);
    for field in [full, long_name] {
        assert!(dialog(&form(vec![field]), "s").is_err());
    }
}

#[test]
fn words_are_cut_at_whole_characters() {
    assert_eq!(cut("short", 24), "short");
    assert_eq!(
        cut("exactly twenty-four byte", 24),
        "exactly twenty-four byte"
    );
    assert_eq!(cut("ääää", 7), "ää…");
}
