//! Discord: audit alerts through a webhook.
//!
//! [`Discord::new`] turns a configuration section into the parts that its keys allow: with
//! `audit_webhook` there is a [`Courier`] for alerts. Nothing here contacts Discord at start.
//!
//! Wire facts are from Discord's developer documentation: "Execute Webhook", "Allowed Mentions",
//! "Embed Limits" and "Rate Limits".

mod alert;
mod audit;
mod config;

use std::sync::Arc;

use rave_domain::ports::courier::Courier;

pub use audit::COURIER;
pub use config::{ConfigError, DiscordConfig};

use audit::AuditWebhook;

/// Discord, as far as a configuration allows.
#[derive(Clone)]
pub struct Discord {
    audit: Option<Arc<AuditWebhook>>,
}

impl Discord {
    /// The parts that a configuration allows. Reads `audit_webhook_file`; contacts nobody.
    ///
    /// `client` must not follow redirects; [`http_client`] makes one that does not.
    ///
    /// # Errors
    /// When the webhook's address is not one of Discord's or its file cannot be read.
    pub fn new(config: &DiscordConfig, client: reqwest::Client) -> Result<Self, ConfigError> {
        let audit = config
            .webhook()?
            .map(|url| Arc::new(AuditWebhook::new(url, client)));
        Ok(Self { audit })
    }

    /// The courier for audit alerts, when a webhook is configured.
    #[must_use]
    pub fn audit(&self) -> Option<Arc<dyn Courier>> {
        self.audit
            .clone()
            .map(|courier| courier as Arc<dyn Courier>)
    }
}

/// A client as this adapter needs it: no redirects, and the name that Discord asks for.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(audit::USER_AGENT)
        .connect_timeout(audit::TIMEOUT)
        .timeout(audit::TIMEOUT)
        .build()
}
