//! The chats of a configuration: endpoints, couriers and connections, as far as its keys allow.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rave_catalog::Catalog;
use rave_discord::{CommandTable, Commands, Discord};
use rave_domain::callback::CallbackSeal;
use rave_domain::ports::courier::Courier;
use rave_domain::ports::surface::{ChatHandler, ChatListener};
use rave_engine::Engine;
use rave_mattermost::Mattermost;
use rave_server::{ChatEndpoints, ListenerHandler, Server};
use rave_slack::Slack;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{StartError, machine};
use crate::config::{Config, ConfigError};
use crate::setup;

/// What all chats together bring.
#[derive(Default)]
pub(crate) struct Chats {
    /// What vendors call.
    pub(crate) endpoints: ChatEndpoints,
    /// What is delivered to vendors.
    pub(crate) couriers: Vec<Arc<dyn Courier>>,
    /// Connections that Rave keeps to vendors.
    pub(crate) listeners: Vec<Arc<dyn ChatListener>>,
    /// The engine, once there is one: what a chat offers is what its catalog holds.
    pub(crate) engine: Arc<OnceLock<Engine>>,
}

impl Chats {
    /// Makes them; contacts nobody.
    pub(crate) fn new(config: &Config, seal: &CallbackSeal) -> Result<Self, StartError> {
        let mut chats = Self::default();
        chats.add_mattermost(config, seal)?;
        chats.add_slack(config, seal)?;
        chats.add_discord(config, seal)?;
        Ok(chats)
    }

    fn add_mattermost(&mut self, config: &Config, seal: &CallbackSeal) -> Result<(), StartError> {
        let client = client(rave_mattermost::http_client())?;
        let mattermost = Mattermost::new(
            &config.mattermost,
            rave_mattermost::Installation {
                client,
                seal: seal.clone(),
                public_url: config.server.public_url.as_deref(),
            },
        )
        .map_err(whole)?;
        self.endpoints.mattermost_command = mattermost.command();
        self.endpoints.mattermost_action = mattermost.action();
        self.endpoints.mattermost_dialog = mattermost.dialog();
        self.couriers.extend(mattermost.couriers());
        self.listeners.extend(mattermost.listener());
        Ok(())
    }

    fn add_slack(&mut self, config: &Config, seal: &CallbackSeal) -> Result<(), StartError> {
        let client = client(rave_slack::http_client())?;
        let slack = Slack::new(&config.slack, client, seal.clone()).map_err(whole)?;
        self.endpoints.slack_command = slack.command();
        self.endpoints.slack_interaction = slack.interaction();
        self.endpoints.slack_event = slack.event();
        self.couriers.extend(slack.couriers());
        self.listeners.extend(slack.listener());
        Ok(())
    }

    fn add_discord(&mut self, config: &Config, seal: &CallbackSeal) -> Result<(), StartError> {
        let client = client(rave_discord::http_client())?;
        let discord = Discord::new(&config.discord, client, seal.clone()).map_err(whole)?;
        let commands = discord_commands(Arc::clone(&self.engine));
        self.endpoints.discord_interaction = discord.endpoint(Arc::clone(&commands));
        self.couriers
            .extend(discord.audit().into_iter().chain(discord.courier()));
        self.listeners.extend(discord.listener(commands));
        Ok(())
    }
}

/// The commands of the catalog as it is now; made anew when it was loaded anew.
fn discord_commands(engine: Arc<OnceLock<Engine>>) -> CommandTable {
    let made: Mutex<Option<(Arc<Catalog>, Arc<Commands>)>> = Mutex::default();
    Arc::new(move || {
        let Some(engine) = engine.get() else {
            return Arc::default();
        };
        let catalog = engine.catalog();
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, commands)) = &*made
            && Arc::ptr_eq(of, &catalog)
        {
            return Arc::clone(commands);
        }
        let commands = Arc::new(setup::discord::commands(&catalog));
        *made = Some((catalog, Arc::clone(&commands)));
        commands
    })
}

fn client(made: Result<reqwest::Client, reqwest::Error>) -> Result<reqwest::Client, StartError> {
    made.map_err(|error| machine("the HTTP client cannot be made", &error))
}

fn whole(error: impl std::error::Error) -> StartError {
    ConfigError::Whole(error.to_string()).into()
}

/// Keeps the connections, each in a task of its own, until they are to stop.
pub(crate) fn listen(
    listeners: Vec<Arc<dyn ChatListener>>,
    server: &Server,
    engine: &Engine,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    for listener in listeners {
        let handler = ListenerHandler::new(server.clone(), listener.name());
        let engine = engine.clone();
        tasks.spawn(keep(listener, Arc::new(handler), engine, stop.clone()));
    }
}

async fn keep(
    listener: Arc<dyn ChatListener>,
    handler: Arc<dyn ChatHandler>,
    engine: Engine,
    stop: CancellationToken,
) {
    let name = listener.name();
    tokio::select! {
        ended = listener.listen(handler) => match ended {
            Ok(()) => tracing::info!(listener = name, "listener_ended"),
            Err(fault) => {
                tracing::error!(listener = name, why = fault.why, "listener_gave_up");
                engine.gave_up(name, fault.why);
            }
        },
        () = stop.cancelled() => {}
    }
}

/// Chooses the process' cryptography. Two providers are in the tree, and one that nobody chose
/// would bring the first TLS connection down.
pub(crate) fn choose_cryptography() {
    // A choice that was made before stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
