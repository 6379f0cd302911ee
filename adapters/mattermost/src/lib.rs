//! Mattermost: commands, buttons and forms in, messages out.
//!
//! [`Mattermost::new`] turns a configuration section into the parts that its keys allow. With a
//! slash token there is a [`ChatSurface`] for `/chat/mattermost/command`, with a `url` there is a
//! [`Courier`] that answers later through a command's `response_url`. With a bot token there is a
//! courier that keeps one message per run, and a [`ChatListener`] for what is said to the bot; with
//! an address for callbacks also buttons and forms. Nothing here contacts Mattermost at start.
//!
//! What Mattermost sends and takes was read in its server's source (`app/command.go`,
//! `model/command_response.go`, `api4/post.go`, `model/integration_action.go`); the constants name
//! what they come from.

mod action;
mod address;
mod base;
mod bot;
mod callback;
mod command;
mod config;
mod courier;
mod dialog;
mod form;
mod listener;
mod place;
mod posts;
mod render;
mod response_url;
#[cfg(test)]
mod script;
pub mod setup;

use std::sync::Arc;

use rave_domain::callback::CallbackSeal;
use rave_domain::ports::courier::Courier;
use rave_domain::ports::surface::{ChatListener, ChatSurface};

pub use config::{ConfigError, MattermostConfig};
pub use courier::COURIER as BOT_COURIER;
pub use render::{MESSAGE_LIMIT, markdown};
pub use response_url::COURIER;

use action::Actions;
use base::Base;
use bot::Bot;
use callback::Callbacks;
use command::SlashCommand;
use courier::BotCourier;
use dialog::Dialogs;
use form::Forms;
use listener::Listener;
use posts::Posts;
use response_url::ResponseUrl;

/// What an installation brings besides its `[mattermost]`.
pub struct Installation<'a> {
    /// A client that follows no redirects; [`http_client`] makes one.
    pub client: reqwest::Client,
    /// Seals what buttons and dialogs carry.
    pub seal: CallbackSeal,
    /// `server.public_url`, where `mattermost.callback_url` is not given.
    pub public_url: Option<&'a str>,
}

/// One Mattermost server.
#[derive(Clone, Default)]
pub struct Mattermost {
    command: Option<Arc<SlashCommand>>,
    response_url: Option<Arc<ResponseUrl>>,
    bot: Option<Arc<BotCourier>>,
    action: Option<Arc<Actions>>,
    dialog: Option<Arc<Dialogs>>,
    listener: Option<Arc<Listener>>,
}

impl Mattermost {
    /// The parts that a configuration allows. Reads token files; contacts nobody.
    ///
    /// # Errors
    /// When an address is not a base, a token file cannot be read, or keys do not go together.
    pub fn new(
        config: &MattermostConfig,
        installation: Installation<'_>,
    ) -> Result<Self, ConfigError> {
        let base = config.url.as_deref().map(|url| Base::parse("url", url));
        let base = base.transpose()?;
        let tokens = config.tokens()?;
        let Installation {
            client,
            seal,
            public_url,
        } = installation;
        let mut parts = Self::default();
        if let Some(base) = &base {
            let courier = ResponseUrl::new(base.clone(), client.clone());
            parts.response_url = Some(Arc::new(courier));
        }
        let bot = match (config.bot()?, &base) {
            (Some(token), Some(base)) => Some(Arc::new(Bot::new(base.clone(), client, token))),
            _ => None,
        };
        let mut forms = None;
        if let (Some(bot), Some(response_url)) = (&bot, &parts.response_url) {
            let callbacks = callback_base(config, public_url)?;
            let callbacks = callbacks.map(|base| Callbacks::new(base, seal));
            if let Some(callbacks) = &callbacks {
                let opens = Arc::new(Forms::new(Arc::clone(bot), callbacks.clone()));
                parts.action = Some(Arc::new(Actions::new(
                    callbacks.clone(),
                    Arc::clone(&opens),
                )));
                parts.dialog = Some(Arc::new(Dialogs::new(Arc::clone(&opens))));
                forms = Some(opens);
            }
            let posts = Arc::new(Posts {
                bot: Arc::clone(bot),
                callbacks,
            });
            if config.websocket {
                parts.listener = Some(Arc::new(Listener::new(Arc::clone(&posts))));
            }
            parts.bot = Some(Arc::new(BotCourier::new(posts, Arc::clone(response_url))));
        }
        if !tokens.is_empty() {
            let command = SlashCommand::new(&tokens, base, bot, forms);
            parts.command = Some(Arc::new(command));
        }
        Ok(parts)
    }

    /// The endpoint for slash commands, when a token is configured.
    #[must_use]
    pub fn command(&self) -> Option<Arc<dyn ChatSurface>> {
        self.command.clone().map(|it| it as Arc<dyn ChatSurface>)
    }

    /// The endpoint for buttons, when there is a bot and an address for callbacks.
    #[must_use]
    pub fn action(&self) -> Option<Arc<dyn ChatSurface>> {
        self.action.clone().map(|it| it as Arc<dyn ChatSurface>)
    }

    /// The endpoint for dialogs, when there is a bot and an address for callbacks.
    #[must_use]
    pub fn dialog(&self) -> Option<Arc<dyn ChatSurface>> {
        self.dialog.clone().map(|it| it as Arc<dyn ChatSurface>)
    }

    /// The couriers: for later answers, when a `url` is configured, and the bot's.
    #[must_use]
    pub fn couriers(&self) -> Vec<Arc<dyn Courier>> {
        let response_url = self.response_url.clone();
        let bot = self.bot.clone();
        response_url
            .map(|it| it as Arc<dyn Courier>)
            .into_iter()
            .chain(bot.map(|it| it as Arc<dyn Courier>))
            .collect()
    }

    /// The connection that the bot keeps, when there is one.
    #[must_use]
    pub fn listener(&self) -> Option<Arc<dyn ChatListener>> {
        self.listener.clone().map(|it| it as Arc<dyn ChatListener>)
    }
}

/// Where callbacks go.
fn callback_base(
    config: &MattermostConfig,
    public_url: Option<&str>,
) -> Result<Option<Base>, ConfigError> {
    let base = match (&config.callback_url, public_url) {
        (Some(url), _) => Base::parse("callback_url", url),
        (None, Some(url)) => Base::parse("server.public_url", url),
        (None, None) => return Ok(None),
    };
    base.map(Some)
}

/// A client as this adapter needs it: no redirects, so that an address under the configured base
/// cannot lead anywhere else.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(response_url::TIMEOUT)
        .timeout(response_url::TIMEOUT)
        .build()
}
