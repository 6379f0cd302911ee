//! What the endpoints and the socket share: reading what comes, answering, telling later.

use std::sync::Arc;
use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::Form;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::{ActKind, FormFault, HttpAnswer, VerifiedEvent};
use rave_domain::reply::{Audience, Reply, Tone};
use serde_json::json;

use crate::address::{Address, Writes};
use crate::bot::Bot;
use crate::mark::Mark;
use crate::modal;
use crate::places::Places;
use crate::response_url::{self, ResponseUrls};
use crate::wire::{self, never};

/// A trigger works for three seconds, and so long may the answer to the event take.
const OPENS_WITHIN: Duration = Duration::from_millis(1500);

/// Reads events, answers them, and says afterwards what Slack does not show of an answer.
pub(crate) struct Desk {
    places: Places,
    seal: CallbackSeal,
    life: String,
    urls: ResponseUrls,
    bot: Option<Arc<Bot>>,
}

impl Desk {
    pub(crate) fn new(
        places: Places,
        seal: CallbackSeal,
        life: String,
        urls: ResponseUrls,
        bot: Option<Arc<Bot>>,
    ) -> Self {
        Self {
            places,
            seal,
            life,
            urls,
            bot,
        }
    }

    pub(crate) const fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) const fn seal(&self) -> &CallbackSeal {
        &self.seal
    }

    /// A word for this process, new at each start.
    pub(crate) fn life(&self) -> &str {
        &self.life
    }

    pub(crate) const fn writes(&self) -> Writes {
        if self.bot.is_some() {
            Writes::AsBot
        } else {
            Writes::ByResponseUrl
        }
    }

    /// What opens a form: only the bot may.
    pub(crate) fn form_ticket(&self, trigger: &str) -> Option<String> {
        self.bot.as_ref().map(|_| trigger.to_owned())
    }

    /// The answer itself. Slack shows it to commands, and to forms only what keeps them open.
    pub(crate) fn answer(to: ActKind, reply: &Reply) -> HttpAnswer {
        match to {
            ActKind::Command => response_url::slash_answer(reply),
            ActKind::Submit if reply.tone == Tone::Bad => modal::closing(reply),
            ActKind::Submit | ActKind::Press | ActKind::Complete => wire::acknowledged(),
        }
    }

    /// Opens a form; the answer to the event then says nothing.
    pub(crate) async fn open_form(
        &self,
        event: &VerifiedEvent,
        form: &Form,
        now: Timestamp,
    ) -> Result<HttpAnswer, FormFault> {
        let (Some(bot), Some(trigger)) = (&self.bot, &event.form_ticket) else {
            return Err(FormFault {
                why: "Slack opens forms for a bot only, and not for an event".to_owned(),
            });
        };
        let view = self.view(event, form, now)?;
        let body = json!({"trigger_id": trigger, "view": view});
        bot.api()
            .write_within("views.open", &body, OPENS_WITHIN)
            .await
            .map_err(|fault| FormFault { why: fault.why() })?;
        Ok(wire::acknowledged())
    }

    /// Says what was answered where Slack shows no answer.
    pub(crate) async fn say(&self, event: &VerifiedEvent, reply: &Reply) {
        if let Err(error) = self.try_to_say(event, reply).await {
            tracing::warn!(why = %error, "slack_answer_not_told");
        }
    }

    async fn try_to_say(&self, event: &VerifiedEvent, reply: &Reply) -> Result<(), DeliveryError> {
        let reply_to = event.reply_to.as_ref();
        let address = reply_to.ok_or_else(|| never("there is no place to answer in"))?;
        let address = Address::read(&address.address)?;
        match &self.bot {
            Some(bot) => bot.tell(&address, reply, &Mark::Row(&event.event_id)).await,
            None => {
                let url = self.urls.of(&address);
                let url = url.ok_or_else(|| never("there is no response_url of Slack's"))?;
                let thread = match reply.audience {
                    Audience::Asker => None,
                    Audience::Conversation => address.talk(),
                };
                self.urls.say(url, reply, thread).await
            }
        }
    }
}
