//! The command line.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rave_domain::{IntentName, PersonId};
use tokio::sync::watch;

use crate::app::{self, App, Overrides};
use crate::config::{Config, ConfigError};
use crate::setup::mattermost::{self, MattermostArgs};
use crate::{demo, logging, rules, setup, trail};

/// ChatOps for people on call.
#[derive(Debug, Parser)]
#[command(name = "rave", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Show Rave in a conversation; needs nothing installed and nothing configured.
    Demo {
        /// End with the story instead of leaving the server up until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Check configuration, intents, schedules and policies; needs no server and no credentials.
    Check(SourceArgs),
    /// Questions about policy.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Set up what is around Rave.
    #[command(subcommand)]
    Setup(SetupCommand),
    /// Print the OpenAPI document of the API, as it is served at `/openapi.json`.
    Openapi,
}

/// Where things are. Each flag has its place in the configuration.
#[derive(Debug, Clone, Args)]
struct SourceArgs {
    /// The configuration file.
    #[arg(long, env = "RAVE_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of intent files.
    #[arg(long)]
    intents: Option<PathBuf>,
    /// The schedules file.
    #[arg(long)]
    schedules: Option<PathBuf>,
    /// The data directory.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
struct ServeArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// The address to listen on.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Work on stacks that exist only in this file instead of Docker's, to try Rave out.
    #[arg(long, value_name = "FILE")]
    simulate: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say whether a person may ask for an intent, why, and who may approve it.
    Explain {
        #[command(flatten)]
        sources: SourceArgs,
        /// The person.
        person: PersonId,
        /// The intent.
        intent: IntentName,
        /// Arguments, as `name=value`.
        #[arg(value_name = "NAME=VALUE")]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check the chain of audit rows; works while a server is running.
    Verify {
        #[command(flatten)]
        sources: SourceArgs,
        /// A file with anchored heads, as `audit.anchor_file` collects them.
        #[arg(long)]
        anchors: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum SetupCommand {
    /// Print the manifest that Slack makes Rave's app of, and what to do with it.
    Slack {
        #[command(flatten)]
        sources: SourceArgs,
        /// How Slack reaches Rave, instead of `server.public_url`.
        #[arg(long, value_name = "URL", conflicts_with = "socket")]
        public_url: Option<String>,
        /// For Socket Mode: Rave connects to Slack, and nothing has to reach Rave.
        #[arg(long)]
        socket: bool,
    },
    /// Make team, channel, slash command and bot in Mattermost where they are missing, and say what
    /// remains to be done.
    Mattermost {
        #[command(flatten)]
        sources: SourceArgs,
        #[command(flatten)]
        args: MattermostArgs,
    },
    /// Register the commands at Discord where they differ, and say what is left to be done there.
    Discord(SourceArgs),
}

impl SourceArgs {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        let put = |place: &mut PathBuf, flag: &Option<PathBuf>| {
            if let Some(path) = flag {
                place.clone_from(path);
            }
        };
        put(&mut config.catalog.intents, &self.intents);
        put(&mut config.catalog.schedules, &self.schedules);
        put(&mut config.store.dir, &self.data);
        Ok(config)
    }
}

impl ServeArgs {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = self.sources.load()?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        Ok(config)
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    main_with(Overrides::default())
}

/// As [`main`], with parts that `serve` takes instead of its own. What flags name (`--simulate`,
/// where the configuration is) comes from the flags.
#[must_use]
pub fn main_with(overrides: Overrides) -> ExitCode {
    let cli = Cli::parse();
    let done = |done: Result<(), String>| done.map(|()| ExitCode::SUCCESS);
    let ended = match cli.command {
        Command::Serve(args) => serve(&args, overrides),
        Command::Demo { once } => done(runtime().and_then(|it| it.block_on(demo::run(once)))),
        Command::Check(sources) => done(check(&sources)),
        Command::Policy(PolicyCommand::Explain {
            sources,
            person,
            intent,
            arguments,
        }) => done(explain(&sources, &person, &intent, &arguments)),
        Command::Audit(AuditCommand::Verify { sources, anchors }) => {
            done(verify(&sources, anchors.as_deref()))
        }
        Command::Setup(SetupCommand::Slack {
            sources,
            public_url,
            socket,
        }) => done(
            sources
                .load()
                .map_err(|error| error.to_string())
                .and_then(|config| {
                    let wish = setup::slack::Wish { public_url, socket };
                    let app = setup::slack::app(&config, &wish)?;
                    print(&app.manifest);
                    // Not to standard output: the manifest alone is what is pasted or piped on.
                    let _ = writeln!(std::io::stderr(), "{}", app.next_steps);
                    Ok(())
                }),
        ),
        Command::Setup(SetupCommand::Mattermost { sources, args }) => {
            done(setup_mattermost(&sources, &args))
        }
        Command::Setup(SetupCommand::Discord(sources)) => done(setup_discord(&sources)),
        Command::Openapi => {
            print(rave_server::openapi().trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    match ended {
        Ok(code) => code,
        Err(message) => {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "rave: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output; a reader that has gone away is not an error.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))
}

/// Serves until told to stop. Ends with success when it stopped in order, and as the signal has it
/// when it was told twice.
fn serve(args: &ServeArgs, overrides: Overrides) -> Result<ExitCode, String> {
    let config = args.load().map_err(|error| error.to_string())?;
    logging::start(&config.log.level)?;
    let overrides = Overrides {
        simulate: args.simulate.clone(),
        reload: Some(Box::new({
            let args = args.clone();
            move || args.load()
        })),
        ..overrides
    };
    let runtime = runtime()?;
    let ended = runtime.block_on(async move {
        let listener = app::bind(config.server.listen)
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let app = App::build(config, overrides)
            .await
            .map_err(|error| error.to_string())?;
        reload_on_hangup(&app)?;
        let told = stop_signals()?;
        tracing::info!(%address, "listening");
        tokio::select! {
            served = app.serve(listener, in_order(told.clone())) => {
                served.map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
            }
            code = at_once(told) => Ok(code),
        }
    });
    // What still runs is settled by the next start, so nobody waits for it.
    runtime.shutdown_background();
    ended
}

fn reload_on_hangup(app: &App) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let engine = app.engine.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Err(error) = engine.reload().await {
                tracing::error!(reason = %error, "reload_refused");
            }
        }
    });
    Ok(())
}

/// What a service manager or a person at the terminal has said so far.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    times: u32,
    /// The number of the last signal.
    signal: u8,
}

/// Counts the orders to stop.
fn stop_signals() -> Result<watch::Receiver<Told>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let (sender, told) = watch::channel(Told::default());
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                _ = term.recv() => 15,
                _ = interrupt.recv() => 2,
            };
            sender.send_modify(|told| {
                told.times += 1;
                told.signal = signal;
            });
        }
    });
    Ok(told)
}

/// The first order: stop in order.
async fn in_order(mut told: watch::Receiver<Told>) {
    // The sender lives as long as the process.
    drop(told.wait_for(|told| told.times > 0).await);
    tracing::info!("stopping");
}

/// The second order: stop where everything stands. The next start settles it, as after a kill.
async fn at_once(mut told: watch::Receiver<Told>) -> ExitCode {
    let told = told.wait_for(|told| told.times > 1).await;
    tracing::warn!("stopped_at_once");
    ExitCode::from(128 + told.map_or(0, |told| told.signal))
}

fn check(sources: &SourceArgs) -> Result<(), String> {
    let config = sources.load().map_err(|error| error.to_string())?;
    app::check_parts(&config).map_err(|error| error.to_string())?;
    let actions = app::configured_actions(&config).map_err(|error| error.to_string())?;
    let rules = rules::load(&config, &actions)?;
    for warning in rules.catalog.warnings().iter() {
        print(&format!("warning: {warning}"));
    }
    for warning in rules.policy.warnings() {
        print(&format!("warning: {warning}"));
    }
    if !rules.policy.knows_anybody() {
        print("warning: no key, token or person is configured, so `rave serve` will not start");
    }
    if rules.catalog.is_empty() {
        let folder = config.catalog.intents.display();
        print(&format!("warning: {folder} holds no intents"));
    }
    for warning in config.warnings() {
        print(&format!("warning: {warning}"));
    }
    print(&format!(
        "{} and {} are fine.",
        count(rules.catalog.len(), "intent"),
        count(rules.catalog.schedules().len(), "schedule")
    ));
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

fn explain(
    sources: &SourceArgs,
    person: &PersonId,
    intent: &IntentName,
    arguments: &[String],
) -> Result<(), String> {
    let config = sources.load().map_err(|error| error.to_string())?;
    let actions = app::configured_actions(&config).map_err(|error| error.to_string())?;
    let rules = rules::load(&config, &actions)?;
    let definition = rules.catalog.get(intent).ok_or_else(|| {
        let near = rules.catalog.near(intent.as_str());
        if near.is_empty() {
            format!("there is no intent {intent}")
        } else {
            format!(
                "there is no intent {intent}; did you mean {}?",
                near.join(" or ")
            )
        }
    })?;
    let mut raw = std::collections::BTreeMap::new();
    for argument in arguments {
        let (name, value) = argument
            .split_once('=')
            .ok_or_else(|| format!("{argument:?} is not name=value"))?;
        raw.entry(name.to_owned())
            .or_insert_with(Vec::new)
            .push(value.to_owned());
    }
    // Conditions cannot see secrets, so their hashes may be anything here.
    let bound = rules
        .catalog
        .bind(definition, &raw, &|param, _| {
            rave_domain::Digest::of(param.as_bytes())
        })
        .map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("\n")
        })?;
    let mut values = bound.params;
    values.extend(bound.fields);
    print(&rules.policy.explain(person, intent, &values).to_string());
    Ok(())
}

fn setup_mattermost(sources: &SourceArgs, args: &MattermostArgs) -> Result<(), String> {
    let config = sources.load().map_err(|error| error.to_string())?;
    let told = runtime()?.block_on(mattermost::run(&config, args, std::env::vars()))?;
    print(&told);
    Ok(())
}

fn setup_discord(sources: &SourceArgs) -> Result<(), String> {
    let config = sources.load().map_err(|error| error.to_string())?;
    let actions = app::configured_actions(&config).map_err(|error| error.to_string())?;
    let catalog = rules::load(&config, &actions)?.catalog;
    let told = runtime()?.block_on(setup::discord::run(&config, &catalog))?;
    print(&told);
    Ok(())
}

fn verify(sources: &SourceArgs, anchors: Option<&Path>) -> Result<(), String> {
    let config = sources.load().map_err(|error| error.to_string())?;
    let file = config
        .store
        .dir
        .join(config.store_file().unwrap_or("rave.db"));
    let anchors = anchors.or(config.audit.anchor_file.as_deref());
    let heads = match anchors {
        Some(path) => trail::read_anchors(path)?
            .into_iter()
            .map(|anchor| (anchor.id, anchor.link))
            .collect(),
        None => Vec::new(),
    };
    let report = rave_store::verify(&file, &heads).map_err(|error| error.to_string())?;
    print(&report.to_string());
    Ok(())
}
