//! Forms as modals, and what comes back of them.
//!
//! What a form was opened for travels in `private_metadata` under a seal, although Slack signs the
//! submission: it is bound to the person, has an end, and carries a nonce that is the event's id,
//! so that a form does its work once.

use std::collections::BTreeMap;
use std::time::Duration;

use rave_domain::form::{Choice, FieldError, Form, FormField, FormFieldKind, FormPurpose, Needed};
use rave_domain::ports::surface::{
    Act, FormFault, HttpAnswer, Incoming, Place, Privacy, SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::{Reply, Tone};
use rave_domain::time::after;
use rave_domain::{Strength, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::address::Address;
use crate::desk::Desk;
use crate::interaction::Interaction;
use crate::render::{Message, shortened};
use crate::wire;

/// The `callback_id` of Rave's forms.
const CALLBACK: &str = "rave_form";

/// The `action_id` of every field.
const ACTION: &str = "value";

/// What `block_id`s of fields begin with; the field's name follows.
const FIELD: &str = "field.";

/// How long a form may stay open.
const FORM_LIVES: Duration = Duration::from_hours(1);

/// Characters of a modal's title, submit and close ("Reference: views").
const LONGEST_TITLE: usize = 24;

/// Characters of `private_metadata`.
const LONGEST_METADATA: usize = 3000;

/// Blocks of a modal.
const MOST_BLOCKS: usize = 100;

/// Characters of a label and of a hint ("Reference: blocks", input).
const LONGEST_LABEL: usize = 2000;

/// Characters that a text field takes at most.
const LONGEST_INPUT: u32 = 3000;

/// Options of a select, and characters of an option's text and value.
const MOST_OPTIONS: usize = 100;
const LONGEST_OPTION: usize = 75;

/// Characters of a `block_id`.
const LONGEST_BLOCK_ID: usize = 255;

/// The value of a ticked box.
const TICKED: &str = "true";

/// What a form carries.
#[derive(Serialize, Deserialize)]
struct Sealed {
    purpose: FormPurpose,
    address: Address,
    until: Timestamp,
    nonce: String,
    tag: String,
}

impl Desk {
    fn tag_parts(sealed: &Sealed, account: &str) -> Result<[String; 5], serde_json::Error> {
        Ok([
            account.to_owned(),
            serde_json::to_string(&sealed.purpose)?,
            serde_json::to_string(&sealed.address)?,
            sealed.until.to_string(),
            sealed.nonce.clone(),
        ])
    }

    fn sealed(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<String, FormFault> {
        let fault = |why: &str| FormFault {
            why: why.to_owned(),
        };
        let address = event.reply_to.as_ref().map(|it| Address::read(&it.address));
        let Some(Ok(address)) = address else {
            return Err(fault("there is no place to answer in"));
        };
        let mut sealed = Sealed {
            purpose: form.purpose.clone(),
            address,
            until: after(now, FORM_LIVES),
            nonce: self.seal().nonce().map_err(|why| FormFault { why })?,
            tag: String::new(),
        };
        let parts = Self::tag_parts(&sealed, &event.account.id)
            .map_err(|_| fault("what the form is for cannot be written"))?;
        sealed.tag = self.seal().tag(&tagged(&parts));
        let text = serde_json::to_string(&sealed)
            .map_err(|_| fault("what the form is for cannot be written"))?;
        if text.chars().count() > LONGEST_METADATA {
            return Err(fault("the arguments given so far are too long for a form"));
        }
        Ok(text)
    }

    /// What a form was opened for, when it was for this person and not too long ago.
    fn opened(&self, text: &str, account: &str, now: Timestamp) -> Result<Sealed, &'static str> {
        let unreadable = |_| "The form does not say what it is for.";
        let sealed: Sealed = serde_json::from_str(text).map_err(unreadable)?;
        let parts = Self::tag_parts(&sealed, account).map_err(unreadable)?;
        if !self.seal().knows(&tagged(&parts), &sealed.tag) {
            return Err("This form is not one that Rave opened for you. Ask again.");
        }
        if now >= sealed.until {
            return Err("This form was open for more than an hour. Ask again.");
        }
        Ok(sealed)
    }

    /// A form that was sent off. One that is not Rave's is acknowledged, which closes it.
    pub(crate) fn submission(
        &self,
        interaction: &Interaction,
        now: Timestamp,
    ) -> Result<Incoming, SurfaceRejection> {
        let Some(view) = interaction
            .view
            .as_ref()
            .filter(|view| view.callback_id == CALLBACK)
        else {
            return Ok(Incoming::Answered(wire::acknowledged()));
        };
        let account = interaction.account()?;
        let sealed = match self.opened(&view.private_metadata, &account.id, now) {
            Ok(sealed) => sealed,
            Err(why) => {
                tracing::warn!(account = account.id, why, "slack_form_refused");
                return Ok(Incoming::Answered(closing(
                    &Reply::text(why).tone(Tone::Bad),
                )));
            }
        };
        let mut address = sealed.address;
        address.asked = now;
        self.life().clone_into(&mut address.life);
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            event_id: format!("form:{}", sealed.nonce),
            account,
            strength: Strength::Signed,
            place: Place {
                channel: address.channel.clone(),
                privacy: Privacy::Shared,
            },
            reply_to: address.reply_to(self.writes(), now),
            act: Act::Submit {
                purpose: sealed.purpose,
                values: values(&view.state.values),
            },
            form_ticket: None,
        })))
    }

    /// The modal of a form.
    pub(crate) fn view(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<Value, FormFault> {
        let mut blocks = Vec::new();
        if !form.intro.is_empty() {
            blocks.extend(Message::of(&Reply::text(&form.intro)).blocks);
        }
        for field in &form.fields {
            blocks.push(input(field)?);
        }
        if blocks.len() > MOST_BLOCKS {
            return Err(FormFault {
                why: format!("a modal takes {MOST_BLOCKS} blocks, not {}", blocks.len()),
            });
        }
        Ok(json!({
            "type": "modal",
            "callback_id": CALLBACK,
            "title": plain(&form.title, LONGEST_TITLE),
            "submit": plain(&form.submit, LONGEST_TITLE),
            "close": plain("Close", LONGEST_TITLE),
            "private_metadata": self.sealed(event, form, now)?,
            "blocks": blocks,
        }))
    }
}

fn tagged(parts: &[String; 5]) -> [&str; 6] {
    let [account, purpose, address, until, nonce] = parts;
    ["slack.form", account, purpose, address, until, nonce]
}

/// A field as an input.
fn input(field: &FormField) -> Result<Value, FormFault> {
    let block_id = format!("{FIELD}{}", field.name);
    if block_id.chars().count() > LONGEST_BLOCK_ID {
        return Err(FormFault {
            why: format!("the field {:.40} has too long a name", field.name),
        });
    }
    let mut block = json!({
        "type": "input",
        "block_id": block_id,
        "label": plain(&field.label, LONGEST_LABEL),
        // A box that is not ticked says no; Slack would want it ticked.
        "optional": field.needed == Needed::Optional || field.kind == FormFieldKind::Bool,
        "element": element(field),
    });
    if let (false, Some(block)) = (field.help.is_empty(), block.as_object_mut()) {
        block.insert("hint".to_owned(), plain(&field.help, LONGEST_LABEL));
    }
    Ok(block)
}

fn element(field: &FormField) -> Value {
    let given = field.value.as_deref().filter(|value| !value.is_empty());
    let text = |max: u32, multiline: bool| {
        let max = max.clamp(1, LONGEST_INPUT);
        let mut element = json!({
            "type": "plain_text_input",
            "action_id": ACTION,
            "multiline": multiline,
            "max_length": max,
        });
        if let (Some(value), Some(element)) = (given, element.as_object_mut()) {
            let value: String = value.chars().take(max as usize).collect();
            element.insert("initial_value".to_owned(), value.into());
        }
        element
    };
    match &field.kind {
        FormFieldKind::Line { max } | FormFieldKind::Secret { max } => text(*max, false),
        FormFieldKind::Lines { max } => text(*max, true),
        FormFieldKind::Number => {
            let mut element = json!({
                "type": "number_input",
                "action_id": ACTION,
                "is_decimal_allowed": false,
            });
            if let (Some(value), Some(element)) = (given, element.as_object_mut()) {
                element.insert("initial_value".to_owned(), value.into());
            }
            element
        }
        FormFieldKind::Bool => {
            let yes = json!({"text": plain("Yes", LONGEST_OPTION), "value": TICKED});
            let mut element = json!({
                "type": "checkboxes",
                "action_id": ACTION,
                "options": [yes],
            });
            if let (Some(TICKED), Some(element)) = (given, element.as_object_mut()) {
                element.insert("initial_options".to_owned(), json!([yes]));
            }
            element
        }
        FormFieldKind::Choice(choices) if fit_a_select(choices) => select(choices, given),
        FormFieldKind::Choice(_) => text(LONGEST_INPUT, false),
    }
}

/// What does not fit is typed, and checked as everything is.
fn fit_a_select(choices: &[Choice]) -> bool {
    let short = |choice: &Choice| {
        let length = choice.value.chars().count();
        (1..=LONGEST_OPTION).contains(&length)
    };
    (1..=MOST_OPTIONS).contains(&choices.len()) && choices.iter().all(short)
}

fn select(choices: &[Choice], given: Option<&str>) -> Value {
    let option = |choice: &Choice| {
        let label = if choice.label.is_empty() {
            &choice.value
        } else {
            &choice.label
        };
        json!({"text": plain(label, LONGEST_OPTION), "value": choice.value})
    };
    let options: Vec<Value> = choices.iter().map(option).collect();
    let mut element = json!({
        "type": "static_select",
        "action_id": ACTION,
        "options": options,
    });
    let chosen = given.and_then(|value| choices.iter().find(|choice| choice.value == value));
    if let (Some(chosen), Some(element)) = (chosen, element.as_object_mut()) {
        element.insert("initial_option".to_owned(), option(chosen));
    }
    element
}

/// Text that is shown as it is.
fn plain(text: &str, room: usize) -> Value {
    let text = if text.trim().is_empty() { "–" } else { text };
    json!({"type": "plain_text", "text": shortened(text, room), "emoji": false})
}

/// What was filled in, by field; what was left empty has no values.
fn values(state: &Map<String, Value>) -> BTreeMap<String, Vec<String>> {
    state
        .iter()
        .filter_map(|(block, elements)| {
            let field = block.strip_prefix(FIELD)?;
            Some((field.to_owned(), value(elements.get(ACTION)?)))
        })
        .collect()
}

fn value(element: &Value) -> Vec<String> {
    let text = |value: Option<&Value>| {
        let value = value.and_then(Value::as_str).unwrap_or_default();
        if value.is_empty() {
            Vec::new()
        } else {
            vec![value.to_owned()]
        }
    };
    match element.get("type").and_then(Value::as_str) {
        Some("checkboxes") => {
            let ticked = element.get("selected_options").and_then(Value::as_array);
            let ticked = ticked.is_some_and(|options| !options.is_empty());
            vec![if ticked { TICKED } else { "false" }.to_owned()]
        }
        Some("static_select") => text(element.pointer("/selected_option/value")),
        Some(_) | None => text(element.get("value")),
    }
}

/// The answer to a form that says why it did not do: the form gives way to a text.
pub(crate) fn closing(reply: &Reply) -> HttpAnswer {
    wire::json(
        200,
        &json!({"response_action": "update", "view": text_view(reply)}),
    )
}

fn text_view(reply: &Reply) -> Value {
    let blocks: Vec<Value> = Message::of(reply)
        .blocks
        .into_iter()
        .filter(|block| block.get("type").and_then(Value::as_str) != Some("actions"))
        .collect();
    json!({
        "type": "modal",
        "title": plain("Rave", LONGEST_TITLE),
        "close": plain("Close", LONGEST_TITLE),
        "blocks": blocks,
    })
}

/// The answer to a form that needs another look: each error below its field. Slack takes errors
/// at fields only, so what is wrong with the whole goes to the first of them, or into a view on
/// top of the form.
pub(crate) fn field_errors(errors: &[FieldError]) -> HttpAnswer {
    let mut at_fields: Map<String, Value> = Map::new();
    let mut whole: Vec<&str> = Vec::new();
    for error in errors {
        let Some(field) = &error.field else {
            whole.push(&error.message);
            continue;
        };
        let place = at_fields
            .entry(format!("{FIELD}{field}"))
            .or_insert_with(|| "".into());
        let said = place.as_str().filter(|said| !said.is_empty());
        *place = match said {
            Some(said) => format!("{said} {}", error.message).into(),
            None => error.message.as_str().into(),
        };
    }
    let whole = whole.join(" ");
    match at_fields.values_mut().next() {
        Some(first) => {
            if !whole.is_empty() {
                *first = format!("{} {whole}", first.as_str().unwrap_or_default()).into();
            }
            let body = json!({"response_action": "errors", "errors": at_fields});
            wire::json(200, &body)
        }
        None => {
            let reply = Reply::text(whole).tone(Tone::Bad);
            let body = json!({"response_action": "push", "view": text_view(&reply)});
            wire::json(200, &body)
        }
    }
}

#[cfg(test)]
mod tests;
