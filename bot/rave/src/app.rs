//! The composition root: configuration in, a running Rave out. The only place that knows every
//! crate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rave_compose::simulated::Simulated;
use rave_compose::{Backups, Compose};
use rave_domain::callback::CallbackSeal;
use rave_domain::ports::driver::{Actions, Driver};
use rave_domain::ports::store::Store;
use rave_domain::ports::surface::ChatListener;
use rave_domain::{Clock, IdGen};
use rave_engine::{Engine, FailPoint, Parts, Rules, Sealer};
use rave_server::{About, Server};
use rave_store::Sqlite;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::PolicyAuthenticator;
use crate::chats::{self, Chats};
use crate::config::{Config, ConfigError};
use crate::host::{self, SystemClock, UlidGen};
use crate::{rules, trail};

/// How often old rows are dropped.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// How much of the time to stop in is kept for closing the trail and the journal, but never more
/// than a tenth.
const CLOSING: Duration = Duration::from_secs(2);

/// Why Rave does not start. The text is for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Intents, schedules or policy have mistakes.
    #[error("the files have mistakes:\n{0}")]
    Rules(String),
    /// Nobody could prove who they are.
    #[error(
        "nobody could use this Rave: no key, token or person is configured\n\
         set CHATOPS_API_KEY, or add [people.<name>] with an account and [mattermost] slash_token to rave.toml\n\
         `rave demo` shows Rave without any configuration"
    )]
    Nobody,
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] rave_store::OpenError),
    /// The store was opened, but not read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] rave_domain::ports::store::StoreError),
    /// Something of the machine is missing.
    #[error("{what}: {why}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

pub(crate) fn machine(what: impl Into<String>, why: &impl ToString) -> StartError {
    StartError::Machine {
        what: what.into(),
        why: why.to_string(),
    }
}

/// What tests and the demo put in place of the machine's own.
#[derive(Default)]
pub struct Overrides {
    /// Instead of the system's clock.
    pub clock: Option<Arc<dyn Clock>>,
    /// Instead of ULIDs.
    pub ids: Option<Arc<dyn IdGen>>,
    /// Instead of the configured drivers.
    pub drivers: Option<Vec<Arc<dyn Driver>>>,
    /// Called at named places; does nothing in production.
    pub fail_point: Option<FailPoint>,
    /// Stacks that exist only in this file, instead of Docker's.
    pub simulate: Option<PathBuf>,
    /// Reads the configuration anew, for a reload; without it a reload keeps the one of the start.
    pub reload: Option<LoadConfig>,
}

/// Reads the configuration from where it was read at the start.
pub type LoadConfig = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// A Rave that has been put together.
pub struct App {
    /// The engine.
    pub engine: Engine,
    /// The HTTP server's state.
    pub server: Server,
    /// The journal.
    pub store: Arc<Sqlite>,
    config: Config,
    clock: Arc<dyn Clock>,
    listeners: Vec<Arc<dyn ChatListener>>,
    /// Cancelled when nothing new is taken any more.
    listening: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Puts everything together and recovers what the last process left. Contacts no vendor.
    ///
    /// # Errors
    /// See [`StartError`]; nothing has been changed then, except that the data directory and the
    /// key file exist.
    pub async fn build(config: Config, overrides: Overrides) -> Result<Self, StartError> {
        chats::choose_cryptography();
        let drivers = match overrides.drivers {
            Some(drivers) => drivers,
            None => drivers(&config, overrides.simulate.as_deref())?,
        };
        let actions = actions(&drivers);
        let first = rules::load(&config, &actions).map_err(StartError::Rules)?;
        if !first.policy.knows_anybody() {
            return Err(StartError::Nobody);
        }
        warn(&first);
        let clock: Arc<dyn Clock> = overrides.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let fail_point = overrides
            .fail_point
            .unwrap_or_else(|| Arc::new(|_: &'static str| ()));
        let Opened {
            store,
            sealer,
            callback_seal,
        } = open_store(&config, &fail_point)?;
        let chats = Chats::new(&config, &callback_seal)?;
        let load_rules = reloader(overrides.reload, config.clone(), actions.clone());
        let engine = Engine::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock),
            ids: overrides
                .ids
                .unwrap_or_else(|| Arc::new(UlidGen::default())),
            drivers,
            couriers: chats.couriers,
            rules: first,
            load_rules,
            sealer,
            settings: config.engine.settings(),
            fail_point,
        })
        .map_err(|error| machine("the metrics cannot be registered", &error))?;
        let recovery = engine.start().await?;
        if recovery != rave_engine::Recovery::default() {
            tracing::info!(
                runs = recovery.runs,
                steps = recovery.steps,
                requests = recovery.requests,
                unreadable = recovery.unreadable,
                "recovered"
            );
        }
        // Nothing is asked of it before this.
        let _ = chats.engine.set(engine.clone());
        let server = server(&config, &engine, actions, chats.endpoints)?;
        let app = Self {
            engine,
            server,
            store,
            config,
            clock,
            listeners: chats.listeners,
            listening: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        app.start_trail();
        Ok(app)
    }

    fn start_trail(&self) {
        let store = || Arc::clone(&self.store) as Arc<dyn Store>;
        if let Some(path) = self.config.audit.mirror_file.clone() {
            self.tasks
                .spawn(trail::mirror(store(), path, self.stop.clone()));
        }
        self.tasks.spawn(forget(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            self.config.retention.retention(),
            self.stop.clone(),
        ));
        self.tasks.spawn(trail::anchor(
            store(),
            Arc::clone(&self.clock),
            self.config.audit.anchor_file.clone(),
            self.stop.clone(),
        ));
    }

    /// Serves on a listener until `shutdown`, then stops in order: no new requests and claims,
    /// running steps finish or are left to the next start, what is to be told is delivered or
    /// kept, the trail and the journal are closed. All of it within `server.shutdown_grace`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        let grace = self.config.server.shutdown_grace;
        let listeners = std::mem::take(&mut self.listeners);
        chats::listen(
            listeners,
            &self.server,
            &self.engine,
            &self.tasks,
            &self.listening,
        );
        let told = OnceLock::new();
        let shutdown = async {
            shutdown.await;
            // At once, also while answers under way are still being given.
            self.engine.take_no_more();
            self.listening.cancel();
            told.get_or_init(|| Stop::within(grace)).drained
        };
        let server = self.server.clone();
        rave_server::serve(listener, server, shutdown).await?;
        let stop = told.get().copied();
        self.close_by(stop.unwrap_or_else(|| Stop::within(grace)))
            .await;
        Ok(())
    }

    /// Stops in order.
    pub async fn close(self) {
        let stop = Stop::within(self.config.server.shutdown_grace);
        self.close_by(stop).await;
    }

    async fn close_by(self, stop: Stop) {
        self.listening.cancel();
        self.engine.stop(stop.drained).await;
        self.stop.cancel();
        self.tasks.close();
        let closing = async {
            self.tasks.wait().await;
            self.store.close().await;
        };
        if tokio::time::timeout_at(stop.closed, closing).await.is_err() {
            // What is committed is safe; the next start tidies up.
            tracing::warn!("journal_left_open");
        }
        tracing::info!("stopped");
    }
}

/// By when a Rave that was told to stop must have come how far: one budget for all of it.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// Answers, steps and messages under way.
    drained: Instant,
    /// The trail and the journal.
    closed: Instant,
}

impl Stop {
    fn within(grace: Duration) -> Self {
        let now = Instant::now();
        Self {
            drained: now + grace - CLOSING.min(grace / 10),
            closed: now + grace,
        }
    }
}

/// What a reload does: the configuration is read anew, and its rules come into force or nothing
/// does.
fn reloader(load: Option<LoadConfig>, start: Config, actions: Actions) -> rave_engine::LoadRules {
    Box::new(move || {
        let Some(load) = &load else {
            return rules::load(&start, &actions);
        };
        let config = load().map_err(|error| error.to_string())?;
        let rules = rules::load(&config, &actions)?;
        for key in start.restart_for(&config) {
            tracing::warn!("{key} changed: restart Rave for it");
        }
        warn(&rules);
        Ok(rules)
    })
}

/// Makes what [`App::build`] makes of the configuration besides rules and drivers, and drops it:
/// what `serve` would refuse is refused.
///
/// # Errors
/// See [`StartError`].
pub fn check_parts(config: &Config) -> Result<(), StartError> {
    crate::logging::check(&config.log.level).map_err(ConfigError::Whole)?;
    // Nothing is sealed with it: the parts are dropped.
    let seal = CallbackSeal::new(&[0; 32], host::random);
    Chats::new(config, &seal)?;
    server_config(config)?;
    Ok(())
}

/// Drops what is older than the retention says, at the start and then every hour.
async fn forget(
    store: Arc<Sqlite>,
    clock: Arc<dyn Clock>,
    retention: rave_store::Retention,
    stop: CancellationToken,
) {
    loop {
        match store.prune(clock.now(), retention).await {
            Ok(pruned) => tracing::debug!(?pruned, "pruned"),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "prune_failed");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FORGET_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The drivers of a configuration.
fn drivers(
    config: &Config,
    simulate: Option<&std::path::Path>,
) -> Result<Vec<Arc<dyn Driver>>, StartError> {
    if let Some(file) = simulate {
        let pace = Duration::from_millis(400);
        let simulated = Simulated::open(file, pace)
            .map_err(|error| machine("the simulated stacks cannot be opened", &error))?;
        return Ok(vec![Arc::new(simulated)]);
    }
    let compose = Compose::new(config.compose.clone(), std::env::vars_os())
        .map_err(|error| machine("the compose driver cannot be made", &error))?;
    let backups = Backups::new(config.compose.clone(), std::env::vars_os())
        .map_err(|error| machine("the backup driver cannot be made", &error))?;
    Ok(vec![Arc::new(compose), Arc::new(backups)])
}

/// All actions that a configuration's drivers offer, for `rave check`.
///
/// # Errors
/// When a driver cannot be made.
pub fn configured_actions(config: &Config) -> Result<Actions, StartError> {
    Ok(actions(&drivers(config, None)?))
}

fn actions(drivers: &[Arc<dyn Driver>]) -> Actions {
    drivers
        .iter()
        .flat_map(|driver| driver.actions())
        .map(|spec| (spec.name.clone(), spec))
        .collect()
}

fn warn(rules: &Rules) {
    for warning in rules.catalog.warnings().iter() {
        tracing::warn!(warning = %warning, "catalog_warning");
    }
    for warning in rules.policy.warnings() {
        tracing::warn!(warning, "policy_warning");
    }
}

/// The journal, and what the key file beside it is for.
struct Opened {
    store: Arc<Sqlite>,
    sealer: Sealer,
    callback_seal: CallbackSeal,
}

fn open_store(config: &Config, fail_point: &FailPoint) -> Result<Opened, StartError> {
    let dir = &config.store.dir;
    host::make_directory(dir).map_err(|error| {
        machine(
            format!("the data directory {} cannot be made", dir.display()),
            &error,
        )
    })?;
    let mut options = rave_store::Options::new(dir);
    if let Some(file) = config.store_file() {
        options.file = PathBuf::from(file);
    }
    options.fail_point = Some(Arc::clone(fail_point));
    let store = Sqlite::open(options)?;
    let key = host::seal_key(&dir.join(&config.store.key_file))
        .map_err(|error| machine("the key file cannot be used", &error))?;
    Ok(Opened {
        store: Arc::new(store),
        sealer: Sealer::new(&key, host::random),
        callback_seal: CallbackSeal::new(&rave_engine::callback_key(&key), host::random),
    })
}

fn server_config(config: &Config) -> Result<rave_server::ServerConfig, StartError> {
    let addresses = |key: &str, list: &rave_policy::OneOrMany| {
        list.0
            .join(",")
            .parse()
            .map_err(|error| ConfigError::Whole(format!("server.{key}: {error}")))
    };
    Ok(rave_server::ServerConfig {
        trusted_proxies: addresses("trusted_proxies", &config.server.trusted_proxies)?,
        public_reads: config.server.public_reads,
        ip_allowlist: addresses("ip_allowlist", &config.server.ip_allowlist)?,
        ..rave_server::ServerConfig::default()
    })
}

fn server(
    config: &Config,
    engine: &Engine,
    actions: Actions,
    chats: rave_server::ChatEndpoints,
) -> Result<Server, StartError> {
    Ok(Server::new(rave_server::Parts {
        engine: engine.clone(),
        authenticator: Arc::new(PolicyAuthenticator {
            engine: engine.clone(),
        }),
        chats,
        actions: Arc::new(actions),
        config: server_config(config)?,
        rate_limit: rave_server::RateLimitConfig {
            per_minute: config.rate_limit.per_minute,
            burst: config.rate_limit.burst,
            channel_per_minute: config.rate_limit.channel_per_minute,
            address_per_minute: config.rate_limit.address_per_minute,
        },
        about: About {
            version: env!("CARGO_PKG_VERSION"),
            backend: "embedded",
            scheduler: config.catalog.enable_scheduler,
            discord_alerts: config.discord.audit_webhook.is_some()
                || config.discord.audit_webhook_file.is_some()
                || config.discord.audit_channel.is_some(),
        },
    }))
}

/// Binds the configured address.
///
/// # Errors
/// When it is taken or not ours.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| {
        let mut why = error.to_string();
        if error.kind() == std::io::ErrorKind::AddrInUse {
            why.push_str(
                "; another program listens there: stop it, or name another address with --listen",
            );
        }
        machine(format!("cannot listen on {address}"), &why)
    })
}
