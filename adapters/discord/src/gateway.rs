//! The gateway: a connection that Rave keeps to Discord, for installations that Discord cannot
//! call.
//!
//! Wire facts are from "Gateway" and "Opcodes and Status Codes". Interactions come without any
//! intent, and are answered over HTTP as ever.

mod session;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use rave_domain::ports::courier::DeliveryError;
use rave_domain::ports::surface::{
    Answer, ChatHandler, ChatListener, HttpAnswer, Incoming, ListenerFault, VerifiedEvent,
};
use rave_domain::reconnect::Reconnect;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::api::{Api, As, Body, Refused};
use crate::config::Snowflake;
use crate::courier::Messages;
use crate::interaction::Interaction;
use crate::surface::{DEFERS_AFTER, Interactions};
use session::{Ended, Session};

/// The listener's name in logs and `/readyz`.
pub(crate) const LISTENER: &str = "discord.gateway";

/// Keeps the connection.
pub(crate) struct Gateway {
    worker: Arc<Worker>,
}

/// Answers interactions.
struct Worker {
    interactions: Interactions,
    messages: Messages,
}

/// The answer of "Get Gateway Bot".
#[derive(Debug, Deserialize)]
struct GatewayBot {
    url: String,
    session_start_limit: SessionStartLimit,
}

#[derive(Debug, Deserialize)]
struct SessionStartLimit {
    remaining: u64,
    /// Milliseconds.
    reset_after: u64,
}

impl Gateway {
    pub(crate) fn new(interactions: Interactions, messages: Messages) -> Self {
        Self {
            worker: Arc::new(Worker {
                interactions,
                messages,
            }),
        }
    }

    fn api(&self) -> &Api {
        &self.worker.messages.api
    }

    /// Where a new session is begun.
    async fn address(&self) -> Result<String, Ended> {
        let found: Result<GatewayBot, Refused> = self
            .api()
            .call(Method::GET, &["gateway", "bot"], As::Bot, Body::Empty)
            .await;
        match found {
            Ok(found) if found.session_start_limit.remaining == 0 => {
                let wait = Duration::from_millis(found.session_start_limit.reset_after);
                Err(Ended::Broken {
                    why: "Discord lets no more sessions begin for now".to_owned(),
                    pause: Some(wait),
                })
            }
            Ok(found) => Ok(found.url),
            Err(Refused::No { status: 401, .. }) => {
                Err(Ended::Fatal("Discord refuses discord.bot_token".to_owned()))
            }
            Err(Refused::No { status, .. }) => Err(Ended::Broken {
                why: format!("Discord answered {status} when asked for its gateway"),
                pause: None,
            }),
            Err(Refused::Later { why, after }) => Err(Ended::Broken { why, pause: after }),
        }
    }

    /// One connection, from its beginning to its end.
    async fn connect(&self, session: &mut Session, handler: &Arc<dyn ChatHandler>) -> Ended {
        let address = match session.resumes_at() {
            Some(address) => address.to_owned(),
            None => match self.address().await {
                Ok(address) => address,
                Err(ended) => return ended,
            },
        };
        let Some(token) = self.api().bot() else {
            return Ended::Fatal("discord.bot_token is missing".to_owned());
        };
        session
            .run(&address, self.api().base(), token, |data| {
                let worker = Arc::clone(&self.worker);
                let handler = Arc::clone(handler);
                async move { worker.take(data, handler.as_ref()).await }
            })
            .await
    }
}

#[async_trait]
impl ChatListener for Gateway {
    fn name(&self) -> &'static str {
        LISTENER
    }

    async fn listen(&self, handler: Arc<dyn ChatHandler>) -> Result<(), ListenerFault> {
        let mut session = Session::default();
        let mut reconnect = Reconnect::default();
        loop {
            let ended = self.connect(&mut session, &handler).await;
            if session.was_ready() {
                reconnect.worked();
            }
            match ended {
                Ended::Fatal(why) => return Err(ListenerFault { why }),
                Ended::Asked => tracing::debug!("gateway_reconnects"),
                Ended::Broken { why, pause: asked } => {
                    tracing::warn!(why, "gateway_broken");
                    sleep(reconnect.wait().max(asked.unwrap_or_default())).await;
                }
            }
        }
    }
}

impl Worker {
    /// One interaction to its answer.
    async fn take(&self, data: Value, handler: &dyn ChatHandler) {
        let Ok(interaction) = Interaction::deserialize(&data) else {
            tracing::warn!("interaction_unreadable");
            return;
        };
        let Some((id, token)) = interaction.callback() else {
            tracing::warn!("interaction_without_token");
            return;
        };
        let token = token.to_owned();
        let event = match self.interactions.read(interaction, handler.now()) {
            Incoming::Answered(answer) => return self.call_back(id, &token, answer).await,
            Incoming::Event(event) => event,
        };
        let mut handled = std::pin::pin!(handler.handle(&event));
        let answer = tokio::select! {
            answer = &mut handled => answer,
            () = sleep(DEFERS_AFTER) => {
                let deferral = self.interactions.deferral(event.act.kind());
                self.call_back(id, &token, deferral).await;
                if let Some(reply) = handled.await.afterwards() {
                    self.messages.answer_late(&event, reply.content()).await;
                }
                return;
            }
        };
        let rendered = self.rendered(&answer, &event, handler);
        self.call_back(id, &token, rendered).await;
    }

    fn rendered(
        &self,
        answer: &Answer,
        event: &VerifiedEvent,
        handler: &dyn ChatHandler,
    ) -> HttpAnswer {
        let to = event.act.kind();
        match answer {
            Answer::Reply(reply) => self.interactions.answer(to, reply.content()),
            Answer::Form { form, instead } => {
                match self.interactions.form(event, form, handler.now()) {
                    Ok(answer) => answer,
                    Err(fault) => {
                        tracing::info!(why = fault.why, "form_not_opened");
                        self.interactions.answer(to, instead.content())
                    }
                }
            }
            Answer::FieldErrors(errors) => self.interactions.field_errors(errors),
            Answer::Choices(choices) => self.interactions.choices(choices),
        }
    }

    /// "Create Interaction Response".
    async fn call_back(&self, id: Snowflake, token: &str, answer: HttpAnswer) {
        let id = id.to_string();
        let path = ["interactions", &id, token, "callback"];
        let body = Body::Json(answer.body.to_vec());
        let api = &self.messages.api;
        let sent = api.send(Method::POST, &path, As::Address, body).await;
        if let Err(refused) = sent {
            let why = DeliveryError::from(refused);
            tracing::warn!(%why, "interaction_not_answered");
        }
    }
}

#[cfg(test)]
mod tests;
