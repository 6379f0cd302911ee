//! Buttons: the request, its proof and its answer.

use async_trait::async_trait;
use rave_domain::form::{self, FieldError};
use rave_domain::ports::surface::{
    Act, ActKind, ChatSurface, FormFault, HttpAnswer, Incoming, RawRequest, SurfaceRejection,
    VerifiedEvent,
};
use rave_domain::reply::Reply;
use rave_domain::{Account, Strength, Surface, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::address::{Address, is_id};
use crate::callback::{Callbacks, Context};
use crate::command::{answered_with, malformed, unauthorized};
use crate::form::Forms;
use crate::place;
use crate::render;

/// The endpoint that buttons call.
pub(crate) struct Actions {
    callbacks: Callbacks,
    forms: Arc<Forms>,
}

/// What Mattermost sends (`model.PostActionIntegrationRequest`). Only the user comes from the
/// session of whoever clicked; everything else that counts is under the seal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Press {
    user_id: String,
    channel_id: String,
    channel_name: String,
    post_id: String,
    trigger_id: String,
    context: Value,
}

impl Actions {
    pub(crate) fn new(callbacks: Callbacks, forms: Arc<Forms>) -> Self {
        Self { callbacks, forms }
    }
}

#[async_trait]
impl ChatSurface for Actions {
    fn surface(&self) -> Surface {
        Surface::Mattermost
    }

    fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Incoming, SurfaceRejection> {
        let no_seal = |_| SurfaceRejection::NotAuthentic { why: "no seal" };
        let press: Press = serde_json::from_slice(&request.body).map_err(no_seal)?;
        let context: Context = serde_json::from_value(press.context).map_err(no_seal)?;
        let pressed = self
            .callbacks
            .pressed(&context, &press.channel_id, &press.post_id, now)?;
        if !is_id(&press.user_id) {
            return Err(malformed("user_id is not an id"));
        }
        let channel = &press.channel_id;
        let address = Address::new(channel, Some(&pressed.root), &press.user_id, now);
        Ok(Incoming::Event(Box::new(VerifiedEvent {
            // One button counts once for each person, however often the request comes.
            event_id: format!("press-{}-{}", pressed.nonce, press.user_id),
            place: place::of(channel, &press.channel_name, self.forms.bot_id()),
            account: Account::new(Surface::Mattermost, press.user_id),
            strength: Strength::Sealed,
            act: Act::Press {
                press: pressed.press,
                run: pressed.run,
            },
            reply_to: Some(address.reply_to(now)),
            form_ticket: Some(press.trigger_id).filter(|trigger| is_id(trigger)),
        })))
    }

    fn answer(&self, _to: ActKind, reply: &Reply) -> HttpAnswer {
        // The run's message is edited by the courier; `update` would keep its old buttons.
        answered_with(&json!({
            "ephemeral_text": render::markdown(reply),
            "skip_slack_parsing": true,
        }))
    }

    fn field_errors(&self, errors: &[FieldError]) -> HttpAnswer {
        let all: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        self.answer(ActKind::Press, &Reply::text(all.join(" ")))
    }

    fn choices(&self, _choices: &[form::Choice]) -> HttpAnswer {
        answered_with(&json!({}))
    }

    async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &form::Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        self.forms.open(event, form, now).await?;
        Ok(answered_with(&json!({})))
    }

    fn refuse(&self, rejection: &SurfaceRejection) -> HttpAnswer {
        match rejection {
            SurfaceRejection::NotAuthentic { .. } => unauthorized(),
            SurfaceRejection::Malformed { why } => self.answer(
                ActKind::Press,
                &Reply::text(format!("Mattermost sent something unexpected: {why}.")),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
