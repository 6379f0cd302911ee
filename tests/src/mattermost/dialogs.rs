//! Interactive dialogs (`api4/integration_action.go`, `model/integration_action.go`).

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use rave_domain::time::between;
use serde_json::{Map, Value, json};

use super::rest::{AppError, Body, down, unknown_fields};
use super::{CHANNEL, Dialog, FakeMattermost, Trigger};
use crate::chat::Seen;

/// A trigger opens dialogs for this long (`OutgoingIntegrationRequestsTimeout`).
const TRIGGER_LIVES: Duration = Duration::from_secs(30);

/// Opening needs no session: the trigger is its own proof.
pub(super) async fn open(
    State(fake): State<FakeMattermost>,
    Body(body): Body,
) -> Result<Response, Response> {
    let now = fake.now();
    let mut inner = fake.inner();
    if let Some(status) = inner.down {
        return Err(down(status));
    }
    let trigger = body["trigger_id"].as_str().unwrap_or_default();
    let Some(trigger) = inner.triggers.get(trigger).cloned() else {
        inner
            .violations
            .push("a dialog for a trigger that there never was".to_owned());
        let id = "interactive_message.decode_trigger_id.verify_signature_failed";
        return Err(AppError(400, id).into_response());
    };
    if between(trigger.at, now) > TRIGGER_LIVES {
        let id = "interactive_message.decode_trigger_id.expired";
        return Err(AppError(400, id).into_response());
    }
    // The server only warns of these; the client shows nothing.
    let faults = faults(&body);
    if faults.is_empty() {
        let dialog = Dialog {
            url: body["url"].as_str().unwrap_or_default().to_owned(),
            dialog: body["dialog"].clone(),
        };
        inner.dialogs.insert(trigger.person, dialog);
    }
    inner.violations.extend(faults);
    Ok(Json(json!({"status": "OK"})).into_response())
}

/// What is wrong with a dialog (`Dialog.IsValid`).
fn faults(body: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let dialog = &body["dialog"];
    let known = [
        "callback_id",
        "title",
        "introduction_text",
        "icon_url",
        "elements",
        "submit_label",
        "notify_on_cancel",
        "state",
        "source_url",
    ];
    faults.extend(unknown_fields(body, &["trigger_id", "url", "dialog"]));
    faults.extend(unknown_fields(dialog, &known));
    if body["url"]
        .as_str()
        .is_none_or(|url| !url.starts_with("http"))
    {
        faults.push("a dialog that goes nowhere".to_owned());
    }
    let title = dialog["title"].as_str().unwrap_or_default();
    if title.is_empty() || title.len() > 24 {
        faults.push(format!("a dialog with the title {title:?}"));
    }
    let mut names = BTreeSet::new();
    for element in dialog["elements"].as_array().into_iter().flatten() {
        if !names.insert(element["name"].to_string()) {
            faults.push(format!("two fields of one name: {element}"));
        }
        faults.extend(element_fault(element).map(|fault| format!("a field {fault}: {element}")));
    }
    faults
}

/// What is wrong with a field (`DialogElement.IsValid`); lengths are in bytes.
fn element_fault(element: &Value) -> Option<&'static str> {
    let known = [
        "name",
        "display_name",
        "type",
        "subtype",
        "default",
        "placeholder",
        "help_text",
        "optional",
        "min_length",
        "max_length",
        "data_source",
        "options",
    ];
    let length = |key: &str| element[key].as_str().unwrap_or_default().len();
    let default = element["default"].as_str().unwrap_or_default();
    let has_option = || {
        let options = element["options"].as_array().into_iter().flatten();
        default.is_empty() || options.into_iter().any(|option| option["value"] == default)
    };
    let subtypes = ["", "text", "email", "number", "tel", "url", "password"];
    let subtype = element["subtype"].as_str().unwrap_or_default();
    let longest = match element["type"].as_str().unwrap_or_default() {
        "text" => 150,
        "textarea" | "select" => 3000,
        "bool" => 5,
        _ => return Some("of an unknown type"),
    };
    if !unknown_fields(element, &known).is_empty() {
        Some("with something unknown")
    } else if length("name") == 0 || length("name") > 300 {
        Some("whose name is empty or too long")
    } else if length("display_name") == 0 || length("display_name") > 24 {
        Some("whose label is empty or too long")
    } else if length("help_text") > 150 {
        Some("with too long a help")
    } else if default.len() > longest {
        Some("that is too full")
    } else if element["max_length"].as_u64().is_some_and(|max| max > 3000) {
        Some("that takes too much")
    } else if !subtypes.contains(&subtype) {
        Some("of an unknown subtype")
    } else if element["type"] == "select" && !has_option() {
        Some("with a choice that there is not")
    } else {
        None
    }
}

impl FakeMattermost {
    /// A trigger of somebody who did something.
    pub(super) fn trigger(&self, who: &str) -> String {
        let at = self.now();
        let mut inner = self.inner();
        let id = inner.id("trigger-");
        let person = who.to_owned();
        inner.triggers.insert(id.clone(), Trigger { person, at });
        id
    }

    /// The dialog that has come up for somebody.
    pub(super) fn dialog_of(&self, who: &str) -> Option<Seen> {
        let inner = self.inner();
        let dialog = &inner.dialogs.get(who)?.dialog;
        let elements = dialog["elements"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Seen::Form {
            title: text(&dialog["title"]),
            fields: elements
                .map(|element| (text(&element["name"]), text(&element["display_name"])))
                .collect(),
        })
    }

    /// What somebody's client sends for their dialog.
    pub(super) fn filled_in(&self, who: &str, values: &[(&str, &str)]) -> (String, Value) {
        let inner = self.inner();
        let open = inner.dialogs.get(who);
        let open = open.unwrap_or_else(|| panic!("no dialog is open for {who}"));
        let mut submission = Map::new();
        for element in open.dialog["elements"].as_array().into_iter().flatten() {
            let name = element["name"].as_str().unwrap_or_default();
            let given = values.iter().find(|(field, _)| *field == name);
            let default = element["default"].as_str().unwrap_or_default();
            let value = given.map_or(default, |(_, value)| *value);
            let value = match (element["type"].as_str(), element["subtype"].as_str()) {
                (Some("bool"), _) => json!(value == "true"),
                (_, Some("number")) => match value.parse::<i64>() {
                    Ok(number) => json!(number),
                    Err(_) => json!(value),
                },
                _ if value.is_empty() => Value::Null,
                _ => json!(value),
            };
            submission.insert(name.to_owned(), value);
        }
        let body = json!({
            "type": "dialog_submission",
            "callback_id": open.dialog["callback_id"],
            "state": open.dialog["state"],
            "user_id": format!("u-{who}"),
            "channel_id": CHANNEL,
            "team_id": "t1",
            "submission": submission,
            "cancelled": false,
        });
        (open.url.clone(), body)
    }

    /// What somebody sees after their dialog was answered.
    pub(super) fn dialog_answered(&self, who: &str, answer: &Value) -> Seen {
        for field in unknown_fields(answer, &["error", "errors", "type", "form"]) {
            self.violation(format!("an answer to a dialog has no {field}"));
        }
        let error = answer["error"].as_str().unwrap_or_default();
        let errors = answer["errors"].as_object().into_iter().flatten();
        let mut all: Vec<(String, String)> = errors
            .map(|(field, text)| (field.clone(), text.as_str().unwrap_or_default().to_owned()))
            .collect();
        if !error.is_empty() {
            all.push((String::new(), error.to_owned()));
        }
        if all.is_empty() {
            self.inner().dialogs.remove(who);
            return Seen::Nothing;
        }
        Seen::Errors(all)
    }
}
