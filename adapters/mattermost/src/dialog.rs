//! Dialogs that are sent off: the request, its proof and its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rave_domain::form::{self, FieldError};
use rave_domain::ports::surface::{
    Act, ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, Place, RawRequest,
    SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::{Reply, Tone};
use rave_domain::{Account, Strength, Surface, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::address::{Address, is_id};
use crate::command::{answered_with, malformed, unauthorized};
use crate::form::Forms;
use crate::render;

/// More fields than this are none of a dialog's.
const MOST_FIELDS: usize = 200;

/// Longer texts are cut off by the dialog.
const LONGEST_ERROR: usize = 1000;

/// The endpoint that dialogs call.
pub(crate) struct Dialogs {
    forms: Arc<Forms>,
}

/// What Mattermost sends (`model.SubmitDialogRequest`). `user_id` is the session's; everything
/// else comes from the client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Submission {
    state: String,
    user_id: String,
    submission: Option<Map<String, Value>>,
    cancelled: bool,
}

impl Dialogs {
    pub(crate) fn new(forms: Arc<Forms>) -> Self {
        Self { forms }
    }
}

#[async_trait]
impl ChatSurface for Dialogs {
    fn surface(&self) -> Surface {
        Surface::Mattermost
    }

    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        let sent: Submission = serde_json::from_slice(&request.body)
            .map_err(|_| SurfaceRejection::NotAuthentic { why: "no seal" })?;
        let callbacks = self.forms.callbacks();
        let state = callbacks.opened(&sent.state, &sent.user_id, now)?;
        if !is_id(&sent.user_id) {
            return Err(malformed("user_id is not an id"));
        }
        if sent.cancelled {
            return Ok(Incoming::Answered(answered_with(&json!({}))));
        }
        let values = values(sent.submission.unwrap_or_default())?;
        let user = sent.user_id;
        let address = Address::new(&state.channel, state.root.as_deref(), &user, now);
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            // A dialog counts once.
            event_id: format!("dialog-{}-{user}", state.nonce),
            account: Account::new(Surface::Mattermost, user),
            strength: Strength::Sealed,
            // Where it was opened; what the client says now could be anywhere.
            place: Place {
                channel: state.channel,
                privacy: state.privacy,
            },
            act: Act::Submit {
                purpose: state.purpose,
                values,
            },
            reply_to: Some(address.reply_to(now)),
            form_ticket: None,
        })))
    }

    /// A dialog has no place for good news: it closes, and the run's message tells. What was
    /// refused is shown in it.
    fn answer(&self, _to: ActKind, reply: &Reply) -> HttpAnswer {
        match reply.tone {
            Tone::Bad => answered_with(&json!({ "error": words(&reply.plain()) })),
            Tone::Neutral | Tone::Good | Tone::Warning => answered_with(&json!({})),
        }
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        let mut fields = Map::new();
        let mut whole = Vec::new();
        for error in errors {
            match &error.field {
                Some(field) => {
                    let message = Value::from(words(&error.message));
                    fields.entry(field.clone()).or_insert(message);
                }
                None => whole.push(error.message.as_str()),
            }
        }
        let mut answer = Map::new();
        if !whole.is_empty() || fields.is_empty() {
            answer.insert("error".to_owned(), words(&whole.join(" ")).into());
        }
        if !fields.is_empty() {
            answer.insert("errors".to_owned(), fields.into());
        }
        answered_with(&answer)
    }

    fn choices(&self, _choices: &[form::Choice]) -> HttpAnswer {
        answered_with(&json!({}))
    }

    async fn open_form(
        &self,
        _event: &VerifiedEvent,
        _form: &form::Form,
        _now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        Err(FormFault {
            why: "a dialog opens no other".to_owned(),
        })
    }

    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => unauthorized(),
            SurfaceRejection::Malformed { why } => answered_with(&json!({
                "error": words(&format!("Mattermost sent something unexpected: {why}.")),
            })),
        }
    }
}

/// What was filled in. Clients send texts, numbers and booleans as they like, lists for several
/// choices, and nothing for what was left empty.
fn values(fields: Map<String, Value>) -> Result<BTreeMap<String, Vec<String>>, SurfaceRejection> {
    if fields.len() > MOST_FIELDS {
        return Err(malformed("more fields than a dialog has"));
    }
    fields
        .into_iter()
        .map(|(name, value)| {
            let texts = match value {
                Value::Array(values) => values.into_iter().map(one).collect::<Option<Vec<_>>>(),
                value @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)) => one(value).map(|text| vec![text]),
            };
            let texts = texts.ok_or_else(|| malformed("a field is neither text nor a list"))?;
            Ok((name, texts.into_iter().flatten().collect()))
        })
        .collect()
}

/// One value as text; the inner `None` is nothing, the outer one is something else.
fn one(value: Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::Bool(yes) => Some(Some(yes.to_string())),
        Value::Number(number) => Some(Some(number.to_string())),
        Value::String(text) => Some(Some(text)),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Plain words: a dialog shows errors as they are.
fn words(text: &str) -> String {
    render::bare(text).chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests;
