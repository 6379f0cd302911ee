//! Mattermost: slash commands in, results out.
//!
//! [`Mattermost::new`] turns a configuration section into the parts that its keys allow: with a
//! slash token there is a [`ChatSurface`] for `/chat/mattermost/command`, with a `url` there is a
//! [`Courier`] that answers later through a command's `response_url`. Nothing here contacts
//! Mattermost at start.
//!
//! What Mattermost sends and takes was read in its server's source (`app/command.go`,
//! `model/command_response.go`); the constants name what they come from.

mod base;
mod command;
mod config;
mod render;
mod response_url;

use std::sync::Arc;

use rave_domain::ports::courier::Courier;
use rave_domain::ports::surface::ChatSurface;

pub use config::{ConfigError, MattermostConfig};
pub use render::{MESSAGE_LIMIT, markdown};
pub use response_url::COURIER;

use base::Base;
use command::SlashCommand;
use response_url::ResponseUrl;

/// One Mattermost server.
#[derive(Clone)]
pub struct Mattermost {
    command: Option<Arc<SlashCommand>>,
    response_url: Option<Arc<ResponseUrl>>,
}

impl Mattermost {
    /// The parts that a configuration allows. Reads `slash_token_file`; contacts nobody.
    ///
    /// `client` must not follow redirects; [`http_client`] makes one that does not.
    ///
    /// # Errors
    /// When `url` is not a base address or the token file cannot be read.
    pub fn new(config: &MattermostConfig, client: reqwest::Client) -> Result<Self, ConfigError> {
        let base = config.url.as_deref().map(Base::parse).transpose()?;
        let tokens = config.tokens()?;
        Ok(Self {
            command: (!tokens.is_empty())
                .then(|| Arc::new(SlashCommand::new(&tokens, base.clone()))),
            response_url: base.map(|base| Arc::new(ResponseUrl::new(base, client))),
        })
    }

    /// The endpoint for slash commands, when a token is configured.
    #[must_use]
    pub fn command(&self) -> Option<Arc<dyn ChatSurface>> {
        self.command
            .clone()
            .map(|command| command as Arc<dyn ChatSurface>)
    }

    /// The courier for later answers, when a `url` is configured.
    #[must_use]
    pub fn courier(&self) -> Option<Arc<dyn Courier>> {
        self.response_url
            .clone()
            .map(|courier| courier as Arc<dyn Courier>)
    }
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
