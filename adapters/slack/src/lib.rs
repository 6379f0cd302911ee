//! Slack: commands, buttons, modals and events in; messages and files out.
//!
//! [`Slack::new`] turns a configuration section into the parts that its keys allow: with a signing
//! secret there is a [`ChatSurface`] for each of Slack's three endpoints, with a bot token a
//! [`Courier`] that keeps live messages and sends files; without one, results go through each
//! command's `response_url`. With an app token a [`ChatListener`] takes through a connection what
//! the endpoints take over HTTP. Nothing here contacts Slack at start.
//!
//! Wire facts are from Slack's documentation; the constants name the page.

mod address;
mod api;
mod bot;
mod command;
mod config;
mod desk;
mod endpoint;
mod event;
mod files;
mod ids;
mod interaction;
mod manifest;
mod mark;
mod modal;
mod places;
mod render;
mod response_url;
mod signature;
mod socket;
mod typed;
mod wire;

use std::sync::Arc;

use rave_domain::callback::CallbackSeal;
use rave_domain::ports::courier::Courier;
use rave_domain::ports::surface::{ChatListener, ChatSurface};

pub use config::{ConfigError, SlackConfig};
pub use manifest::{Connection, manifest, next_steps};

use api::WebApi;
use bot::Bot;
use desk::Desk;
use endpoint::{Endpoint, Kind};
use places::Places;
use response_url::ResponseUrls;
use signature::Signature;
use socket::Socket;

/// One Slack app.
#[derive(Clone)]
pub struct Slack {
    desk: Arc<Desk>,
    signature: Option<Signature>,
    couriers: Vec<Arc<dyn Courier>>,
    /// With the app's token, which opens connections and nothing else.
    app: Option<WebApi>,
}

impl Slack {
    /// The parts that a configuration allows. Reads the files that it names; contacts nobody.
    ///
    /// `client` must not follow redirects; [`http_client`] makes one that does not. `seal` tags
    /// what goes into forms.
    ///
    /// # Errors
    /// When a secret cannot be read or is of another kind, or `api_url` is not a base address.
    pub fn new(
        config: &SlackConfig,
        client: reqwest::Client,
        seal: CallbackSeal,
    ) -> Result<Self, ConfigError> {
        let places = Places::parse(config.api_url.as_deref())?;
        let secrets = config.secrets()?;
        // Without random bytes every message is looked for before it is posted.
        let life = seal.nonce().unwrap_or_default();
        let api = |token| WebApi::new(places.clone(), client.clone(), token);
        let (app, bot) = (secrets.app.map(api), secrets.bot.map(api));
        let urls = ResponseUrls::new(places.clone(), client);
        let bot = bot.map(|api| Arc::new(Bot::new(api, urls.clone(), life.clone())));
        let mut couriers: Vec<Arc<dyn Courier>> = Vec::new();
        if secrets.signing.is_some() || app.is_some() {
            couriers.push(Arc::new(urls.clone()));
        }
        if let Some(bot) = &bot {
            couriers.push(Arc::clone(bot) as Arc<dyn Courier>);
        }
        Ok(Self {
            desk: Arc::new(Desk::new(places, seal, life, urls, bot)),
            signature: secrets.signing.as_ref().and_then(Signature::new),
            couriers,
            app,
        })
    }

    /// `/chat/slack/command`, when a signing secret is configured.
    #[must_use]
    pub fn command(&self) -> Option<Arc<dyn ChatSurface>> {
        self.endpoint(Kind::Command)
    }

    /// `/chat/slack/interaction`, when a signing secret is configured.
    #[must_use]
    pub fn interaction(&self) -> Option<Arc<dyn ChatSurface>> {
        self.endpoint(Kind::Interaction)
    }

    /// `/chat/slack/event`, when a signing secret is configured.
    #[must_use]
    pub fn event(&self) -> Option<Arc<dyn ChatSurface>> {
        self.endpoint(Kind::Event)
    }

    fn endpoint(&self, kind: Kind) -> Option<Arc<dyn ChatSurface>> {
        let signature = Some(self.signature.clone()?);
        let endpoint = Endpoint::new(kind, signature, Arc::clone(&self.desk));
        Some(Arc::new(endpoint))
    }

    /// The connection of Socket Mode, when an app token is configured.
    #[must_use]
    pub fn listener(&self) -> Option<Arc<dyn ChatListener>> {
        let end = |kind| Endpoint::new(kind, None, Arc::clone(&self.desk));
        let api = self.app.clone()?;
        Some(Arc::new(Socket::new(
            api,
            end(Kind::Command),
            end(Kind::Interaction),
            end(Kind::Event),
        )))
    }

    /// The couriers: that of `response_url`s where anything can come in, and the bot's where there
    /// is a bot token.
    #[must_use]
    pub fn couriers(&self) -> Vec<Arc<dyn Courier>> {
        self.couriers.clone()
    }
}

/// A client as this adapter needs it: no redirects, so that an address of Slack's cannot lead
/// anywhere else.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(wire::TIMEOUT)
        .timeout(wire::TIMEOUT)
        .build()
}
