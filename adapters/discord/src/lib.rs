//! Discord: interactions in, live messages and audit alerts out.
//!
//! [`Discord::new`] turns a configuration section into the parts that its keys allow: with an
//! application there are interactions, over HTTP or over a connection that Rave keeps, and the
//! courier that answers them; with a bot it goes on after an interaction is over; with a webhook
//! or a channel there is a courier for audit alerts. Nothing here contacts Discord at start.
//!
//! Wire facts are from Discord's developer documentation of API version 10; modules name the page.

mod address;
mod alert;
mod api;
mod audit;
mod commands;
mod config;
mod courier;
mod gateway;
mod interaction;
mod modal;
mod render;
mod seals;
mod setup;
mod surface;

use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use rave_domain::Digest;
use rave_domain::callback::CallbackSeal;
use rave_domain::ports::courier::Courier;
use rave_domain::ports::surface::{ChatListener, ChatSurface};

pub use commands::{Commands, LeftOut};
pub use config::{ConfigError, DiscordConfig, Mode, Snowflake};
pub use setup::{Outcome, Registered, SetupFault};

use api::{Api, Budget};
use audit::{AuditAlerts, Channel, Webhook};
use courier::Messages;
use gateway::Gateway;
use seals::Seals;
use surface::{Endpoint, Interactions};

/// Gives the commands of the catalog as it is now.
pub type CommandTable = Arc<dyn Fn() -> Arc<Commands> + Send + Sync>;

/// Discord, as far as a configuration allows.
#[derive(Clone)]
pub struct Discord {
    audit: Option<Arc<AuditAlerts>>,
    application: Option<Application>,
    mode: Mode,
}

/// What an application id allows.
#[derive(Clone)]
struct Application {
    id: Snowflake,
    key: Option<VerifyingKey>,
    /// The key as it is configured.
    public_key: Option<String>,
    guild: Option<Snowflake>,
    api: Api,
    seals: Arc<Seals>,
}

impl Discord {
    /// The parts that a configuration allows. Reads the files of secrets; contacts nobody.
    ///
    /// `client` must not follow redirects; [`http_client`] makes one that does not. `seal` tags
    /// buttons and forms.
    ///
    /// # Errors
    /// When a key or address is not one of Discord's, a file cannot be read, or one key lacks
    /// another.
    pub fn new(
        config: &DiscordConfig,
        client: reqwest::Client,
        seal: CallbackSeal,
    ) -> Result<Self, ConfigError> {
        let budget = Arc::new(Budget::default());
        let api = Api::new(
            config.api()?,
            client.clone(),
            config.bot()?,
            Arc::clone(&budget),
        );
        let needs = |key, missing| Err(ConfigError::Needs { key, missing });
        let bot = api.bot().is_some();
        let key = config.key()?;
        match (config.mode, config.application_id) {
            (Mode::Gateway, None) => return needs("mode", "application_id"),
            (Mode::Gateway, Some(_)) if !bot => return needs("mode", "bot_token"),
            (Mode::Http, None) if key.is_some() => return needs("public_key", "application_id"),
            (Mode::Http | Mode::Gateway, _) => {}
        }
        if config.audit_channel.is_some() && !bot {
            return needs("audit_channel", "bot_token");
        }
        let webhook = config
            .webhook()?
            .map(|url| Webhook::new(url, client, budget));
        let channel = config.audit_channel.map(|id| Channel {
            api: api.clone(),
            id,
        });
        Ok(Self {
            audit: AuditAlerts::new(webhook, channel).map(Arc::new),
            application: config.application_id.map(|id| Application {
                id,
                key,
                public_key: config.public_key.clone(),
                guild: config.guild_id,
                api,
                seals: Arc::new(Seals::new(seal, id)),
            }),
            mode: config.mode,
        })
    }

    /// The courier for audit alerts, when a webhook or a channel is configured.
    #[must_use]
    pub fn audit(&self) -> Option<Arc<dyn Courier>> {
        self.audit
            .clone()
            .map(|courier| courier as Arc<dyn Courier>)
    }

    /// The courier for messages, when an application is configured.
    #[must_use]
    pub fn courier(&self) -> Option<Arc<dyn Courier>> {
        let application = self.application.as_ref()?;
        Some(Arc::new(application.messages()))
    }

    /// The endpoint for interactions over HTTP, when an application and its key are configured.
    #[must_use]
    pub fn endpoint(&self, commands: CommandTable) -> Option<Arc<dyn ChatSurface>> {
        let application = self.application.as_ref()?;
        let key = application.key.filter(|_| self.mode == Mode::Http)?;
        Some(Arc::new(Endpoint {
            interactions: application.interactions(commands),
            messages: application.messages(),
            key,
        }))
    }

    /// The connection to Discord, in the mode `gateway`.
    #[must_use]
    pub fn listener(&self, commands: CommandTable) -> Option<Arc<dyn ChatListener>> {
        let application = self.application.as_ref()?;
        (self.mode == Mode::Gateway).then(|| {
            Arc::new(Gateway::new(
                application.interactions(commands),
                application.messages(),
            )) as Arc<dyn ChatListener>
        })
    }

    /// Registers the commands at Discord, when they are not what is registered there, and looks
    /// whether the application is the configured one. Other commands of the application stay.
    ///
    /// # Errors
    /// When the section lacks an application or a bot, or Discord does not do it.
    pub async fn register(&self, commands: &Commands) -> Result<Registered, SetupFault> {
        let Some(application) = &self.application else {
            return Err(SetupFault {
                why: "there is no discord.application_id".to_owned(),
            });
        };
        setup::register(
            &application.api,
            application.id,
            application.guild,
            application.public_key.as_deref(),
            commands,
        )
        .await
    }
}

impl Application {
    fn messages(&self) -> Messages {
        Messages {
            api: self.api.clone(),
            application: self.id,
            seals: Arc::clone(&self.seals),
        }
    }

    fn interactions(&self, commands: CommandTable) -> Interactions {
        Interactions {
            application: self.id,
            seals: Arc::clone(&self.seals),
            commands,
            bot: self.api.bot().is_some(),
        }
    }
}

/// A client as this adapter needs it: no redirects, and the name that Discord asks for.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(api::USER_AGENT)
        .connect_timeout(api::TIMEOUT)
        .timeout(api::TIMEOUT)
        .build()
}

/// What makes a message come once within minutes: at most 25 characters ("Create Message").
fn nonce(parts: &[&str]) -> String {
    let mut whole = String::new();
    for part in parts {
        whole.push_str(&format!("{}:{part}", part.len()));
    }
    let digest = Digest::of(whole.as_bytes());
    hex::encode(digest.bytes().get(..12).unwrap_or_default())
}
