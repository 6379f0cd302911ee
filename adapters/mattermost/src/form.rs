//! Forms as interactive dialogs (`model.Dialog`). Their limits count bytes.

use std::sync::Arc;

use rave_domain::Timestamp;
use rave_domain::form::{Form, FormField, FormFieldKind, Needed};
use rave_domain::ports::surface::{FormFault, VerifiedEvent};
use serde_json::{Value, json};

use crate::address::Address;
use crate::bot::Bot;
use crate::callback::Callbacks;
use crate::render::{bare, paragraph};

/// `DialogTitleMaxLength`
const TITLE: usize = 24;

/// `DialogElementDisplayNameMaxLength`
const LABEL: usize = 24;

/// `DialogElementNameMaxLength`
const NAME: usize = 300;

/// `DialogElementHelpTextMaxLength`
const HELP: usize = 150;

/// `DialogElementTextMaxLength`
const LINE: usize = 150;

/// `DialogElementTextareaMaxLength`, `DialogElementSelectMaxLength`
const LINES: usize = 3000;

/// Opens forms for people.
pub(crate) struct Forms {
    bot: Arc<Bot>,
    callbacks: Callbacks,
}

impl Forms {
    pub(crate) fn new(bot: Arc<Bot>, callbacks: Callbacks) -> Self {
        Self { bot, callbacks }
    }

    /// The bot's user id, once it is known.
    pub(crate) fn bot_id(&self) -> Option<&str> {
        self.bot.known().map(|me| me.id.as_str())
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// Opens a form for whoever made the event. A trigger works for 30 seconds (three on old
    /// servers), so nothing slow comes before this.
    pub(crate) async fn open(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<(), FormFault> {
        let fault = |why: String| FormFault { why };
        let trigger = event
            .form_ticket
            .as_ref()
            .ok_or_else(|| fault("the event has no trigger".to_owned()))?;
        let address = event.reply_to.as_ref().map(|to| Address::read(&to.address));
        let root = match &address {
            Some(Ok(address)) => address.root.as_deref(),
            Some(Err(_)) | None => None,
        };
        let user = &event.account.id;
        let state = self
            .callbacks
            .state(&form.purpose, user, &event.place, root, now)
            .map_err(fault)?;
        let request = json!({
            "trigger_id": trigger,
            "url": self.callbacks.dialog_url().as_str(),
            "dialog": dialog(form, &state)?,
        });
        let opened = self.bot.open_dialog(&request).await;
        opened.map_err(|error| fault(error.to_string()))
    }
}

/// A form as a dialog.
fn dialog(form: &Form, state: &str) -> Result<Value, FormFault> {
    let elements: Vec<Value> = form.fields.iter().map(element).collect::<Result<_, _>>()?;
    let title = cut(&bare(&form.title), TITLE);
    Ok(json!({
        "callback_id": "rave",
        "title": if title.is_empty() { "Rave" } else { &title },
        "introduction_text": paragraph(&form.intro),
        "elements": elements,
        "submit_label": cut(&bare(&form.submit), LABEL),
        "notify_on_cancel": false,
        "state": state,
    }))
}

fn element(field: &FormField) -> Result<Value, FormFault> {
    let fault = |why: &str| FormFault {
        why: format!("{}: {why}", field.name),
    };
    if field.name.is_empty() || field.name.len() > NAME {
        return Err(fault("its name is too long for a dialog"));
    }
    let label = cut(&bare(&field.label), LABEL);
    let mut element = json!({
        "name": field.name,
        "display_name": if label.is_empty() { cut(&field.name, LABEL) } else { label },
        "help_text": cut(&bare(&field.help), HELP),
        "optional": field.needed == Needed::Optional,
    });
    let value = field.value.as_deref().unwrap_or_default();
    let set = |element: &mut Value, pairs: Vec<(&str, Value)>| {
        if let Value::Object(map) = element {
            for (key, value) in pairs {
                map.insert(key.to_owned(), value);
            }
        }
    };
    match &field.kind {
        FormFieldKind::Line { max } if *max as usize <= LINE && value.len() <= LINE => set(
            &mut element,
            vec![
                ("type", json!("text")),
                ("max_length", json!(max)),
                ("default", json!(value)),
            ],
        ),
        FormFieldKind::Line { max } | FormFieldKind::Lines { max } => {
            if value.len() > LINES {
                return Err(fault("what is there already is too long for a dialog"));
            }
            let max = (*max as usize).clamp(1, LINES);
            set(
                &mut element,
                vec![
                    ("type", json!("textarea")),
                    ("max_length", json!(max)),
                    ("default", json!(value)),
                ],
            );
        }
        FormFieldKind::Number => set(
            &mut element,
            vec![
                ("type", json!("text")),
                ("subtype", json!("number")),
                ("max_length", json!(LINE)),
                ("default", json!(cut(value, LINE))),
            ],
        ),
        FormFieldKind::Secret { max } => set(
            &mut element,
            vec![
                ("type", json!("text")),
                ("subtype", json!("password")),
                ("max_length", json!((*max as usize).clamp(1, LINE))),
            ],
        ),
        // Clients take an unticked box for one that was not filled in.
        FormFieldKind::Bool => set(
            &mut element,
            vec![
                ("type", json!("bool")),
                ("optional", json!(true)),
                (
                    "default",
                    json!(if value == "true" { "true" } else { "false" }),
                ),
            ],
        ),
        FormFieldKind::Choice(choices) => {
            let options: Vec<Value> = choices
                .iter()
                .map(|choice| json!({ "text": bare(&choice.label), "value": choice.value }))
                .collect();
            let known = choices.iter().any(|choice| choice.value == value);
            set(
                &mut element,
                vec![
                    ("type", json!("select")),
                    ("options", json!(options)),
                    ("default", json!(if known { value } else { "" })),
                ],
            );
        }
    }
    Ok(element)
}

/// At most so many bytes, and no half character.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub('…'.len_utf8());
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= room)
        .last()
        .unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default().trim_end())
}

#[cfg(test)]
mod tests;
