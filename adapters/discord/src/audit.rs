//! The courier of audit alerts: a webhook, a channel that the bot posts into, or both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use http::Method;
use rave_domain::ports::courier::{Alert, Courier, DeliveryError, Parcel, Receipt};
use serde::Deserialize;
use url::Url;

use crate::alert;
use crate::api::{self, Api, As, Body, Budget, Refused, code};
use crate::config::Snowflake;
use crate::nonce;

/// The courier's name in outbox rows.
pub(crate) const COURIER: &str = "discord.audit";

/// Alerts that one of two places has taken and the other has not, remembered for the next try.
const REMEMBERED: usize = 1000;

/// Where alerts go.
pub(crate) struct AuditAlerts {
    webhook: Option<Webhook>,
    channel: Option<Channel>,
    /// What the webhook has taken while the channel did not.
    by_webhook: Mutex<BTreeSet<String>>,
}

/// One webhook. The address holds its token and is never printed.
pub(crate) struct Webhook {
    url: Url,
    client: reqwest::Client,
    budget: Arc<Budget>,
    /// It was deleted: asking again would get our address restricted.
    gone: AtomicBool,
}

/// One channel, as the bot.
pub(crate) struct Channel {
    pub(crate) api: Api,
    pub(crate) id: Snowflake,
}

/// What is read of a posted message.
#[derive(Debug, Deserialize)]
struct Posted {
    id: Option<String>,
}

impl Webhook {
    pub(crate) fn new(mut url: Url, client: reqwest::Client, budget: Arc<Budget>) -> Self {
        // Without `wait`, Discord answers before it has taken the message and loses it silently.
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "wait")
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("wait", "true");
        Self {
            url,
            client,
            budget,
            gone: AtomicBool::new(false),
        }
    }

    async fn post(&self, alert: &Alert) -> Result<Receipt, DeliveryError> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(never("the audit webhook was deleted at Discord"));
        }
        let request = self
            .client
            .post(self.url.clone())
            .json(&alert::for_webhook(alert));
        match api::send(&self.budget, request).await {
            Ok(answer) => Ok(Receipt {
                // That it was taken says the status; an answer that cannot be read changes nothing.
                message_id: serde_json::from_slice::<Posted>(&answer)
                    .ok()
                    .and_then(|posted| posted.id),
            }),
            Err(refused) => {
                if let Refused::No { code, .. } = refused
                    && code == code::UNKNOWN_WEBHOOK
                {
                    self.gone.store(true, Ordering::Relaxed);
                }
                Err(refused.into())
            }
        }
    }
}

impl Channel {
    /// The nonce makes a second try within minutes find the first one's message.
    async fn post(&self, alert: &Alert, dedupe: &str) -> Result<Receipt, DeliveryError> {
        let id = self.id.to_string();
        let message = alert::for_channel(alert, nonce(&["alert", dedupe]));
        let posted: Posted = self
            .api
            .call(
                Method::POST,
                &["channels", &id, "messages"],
                As::Bot,
                Body::json(&message),
            )
            .await?;
        Ok(Receipt {
            message_id: posted.id,
        })
    }
}

impl AuditAlerts {
    pub(crate) fn new(webhook: Option<Webhook>, channel: Option<Channel>) -> Option<Self> {
        (webhook.is_some() || channel.is_some()).then(|| Self {
            webhook,
            channel,
            by_webhook: Mutex::default(),
        })
    }

    /// Both places. An alert that reached one of them and never will reach the other has been
    /// delivered; one that may reach the other later is tried again there alone.
    async fn both(
        &self,
        webhook: &Webhook,
        channel: &Channel,
        alert: &Alert,
        dedupe: &str,
    ) -> Result<Receipt, DeliveryError> {
        let known = self.taken().contains(dedupe);
        let by_webhook = if known {
            Ok(Receipt::default())
        } else {
            webhook.post(alert).await
        };
        let by_channel = channel.post(alert, dedupe).await;
        self.taken().remove(dedupe);
        match (by_webhook, by_channel) {
            (Ok(receipt), Err(DeliveryError::Later { why, after })) => {
                drop(receipt);
                let mut taken = self.taken();
                if taken.len() < REMEMBERED {
                    taken.insert(dedupe.to_owned());
                }
                Err(DeliveryError::Later { why, after })
            }
            (Ok(receipt), Err(DeliveryError::Never { why }))
            | (Err(DeliveryError::Never { why }), Ok(receipt)) => {
                tracing::error!(why, "audit_alert_in_one_place_only");
                Ok(receipt)
            }
            (Ok(_), taken @ Ok(_)) => taken,
            // The channel knows its message again by the nonce.
            (later @ Err(DeliveryError::Later { .. }), _) => later,
            (Err(DeliveryError::Never { .. }), refused @ Err(_)) => refused,
        }
    }

    /// What is in there is valid after each statement, so a panic elsewhere spoils nothing.
    fn taken(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.by_webhook
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Courier for AuditAlerts {
    fn name(&self) -> &'static str {
        COURIER
    }

    async fn deliver(&self, parcel: &Parcel, dedupe: &str) -> Result<Receipt, DeliveryError> {
        let Parcel::Alert(alert) = parcel else {
            return Err(never("the audit courier takes alerts, not messages"));
        };
        match (&self.webhook, &self.channel) {
            (Some(webhook), Some(channel)) => self.both(webhook, channel, alert, dedupe).await,
            (Some(webhook), None) => webhook.post(alert).await,
            (None, Some(channel)) => channel.post(alert, dedupe).await,
            (None, None) => Err(never("audit alerts go nowhere")),
        }
    }
}

fn never(why: &str) -> DeliveryError {
    DeliveryError::Never {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests;
