//! What a test starts from: people, intents, configuration, drivers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rave::app::StartError;
use rave_domain::ports::driver::Driver;
use tempfile::TempDir;

use crate::bot::Bot;
use crate::chat::FakeChat as _;
use crate::clock::{CountingIds, TestClock};
use crate::config::Configuration;
use crate::discord::FakeDiscord;
use crate::intents::INTENTS;
use crate::logs::Logs;
use crate::mattermost::FakeMattermost;
use crate::slack::FakeSlack;
use crate::stacks::FakeStacks;

type Change = Box<dyn FnOnce(&mut Configuration)>;

/// Builder of a [`Bot`].
pub struct World {
    files: BTreeMap<String, String>,
    schedules: String,
    changes: Vec<Change>,
    drivers: Option<Vec<Arc<dyn Driver>>>,
    intents_dir: Option<PathBuf>,
    environment: Vec<(String, String)>,
    on_slack: bool,
    on_discord: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            files: INTENTS
                .iter()
                .map(|(name, text)| (format!("{name}.yaml"), (*text).to_owned()))
                .collect(),
            schedules: r#"{"schedules": []}"#.to_owned(),
            changes: Vec::new(),
            drivers: None,
            intents_dir: None,
            environment: Vec::new(),
            on_slack: false,
            on_discord: false,
        }
    }
}

/// What stays when a bot is started again.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ids: Arc<CountingIds>,
    pub(crate) stacks: FakeStacks,
    pub(crate) drivers: Vec<Arc<dyn Driver>>,
    pub(crate) mattermost: FakeMattermost,
    pub(crate) discord: FakeDiscord,
    pub(crate) slack: FakeSlack,
    pub(crate) logs: Logs,
    pub(crate) environment: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("rave.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl World {
    /// The usual people and intents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces an intent file.
    #[must_use]
    pub fn intent(mut self, name: &str, yaml: &str) -> Self {
        self.files.insert(format!("{name}.yaml"), yaml.to_owned());
        self
    }

    /// Sets `schedules.json`.
    #[must_use]
    pub fn schedules(mut self, json: &str) -> Self {
        json.clone_into(&mut self.schedules);
        self
    }

    /// Sets one key of the configuration: `config("rate_limit.burst", 2)`.
    #[must_use]
    pub fn config(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        let (path, value) = (path.to_owned(), value.into());
        self.changes
            .push(Box::new(move |table| table.set(&path, value)));
        self
    }

    /// Takes one key out of the configuration.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let path = path.to_owned();
        self.changes
            .push(Box::new(move |table| table.remove(&path)));
        self
    }

    /// Sets a variable of the bot's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Configures Slack, and gives everybody an account there.
    #[must_use]
    pub fn on_slack(mut self) -> Self {
        self.on_slack = true;
        self
    }

    /// Everybody has an account at Discord, and Rave is an application there.
    #[must_use]
    pub fn on_discord(mut self) -> Self {
        self.on_discord = true;
        self
    }

    /// Other drivers, and intents from a folder: `(drivers, folder)`.
    #[must_use]
    pub fn drivers(mut self, drivers: Vec<Arc<dyn Driver>>, intents: &Path) -> Self {
        self.drivers = Some(drivers);
        self.intents_dir = Some(intents.to_owned());
        self
    }

    /// Starts the bot.
    pub async fn start(self) -> Bot {
        match self.try_start().await {
            Ok(bot) => bot,
            Err(error) => panic!("Rave does not start: {error}"),
        }
    }

    /// Starts the bot, or says why that cannot be.
    ///
    /// # Errors
    /// As the binary has it.
    pub async fn try_start(self) -> Result<Bot, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let mattermost = FakeMattermost::start(Arc::clone(&clock)).await;
        let slack = FakeSlack::start(Arc::clone(&clock)).await;
        let discord = FakeDiscord::start_at(Arc::clone(&clock)).await;
        let mut table = Configuration::new(dir.path(), mattermost.base(), &discord.webhook());
        if self.on_discord {
            discord.configure(&mut table);
            for who in ["ann", "bob", "cem", "root"] {
                table.set(
                    &format!("people.{who}.accounts.discord"),
                    discord.account(who),
                );
            }
        }
        std::fs::create_dir(dir.path().join("intents")).unwrap();
        match &self.intents_dir {
            Some(folder) => table.set("catalog.intents", folder.display().to_string()),
            None => {
                for (name, text) in &self.files {
                    let file = dir.path().join("intents").join(name);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, text).unwrap();
                }
            }
        }
        std::fs::write(dir.path().join("schedules.json"), &self.schedules).unwrap();
        if self.on_slack {
            slack.configure(&mut table);
        }
        for change in self.changes {
            change(&mut table);
        }
        let stacks = FakeStacks::default();
        let place = Place {
            drivers: self
                .drivers
                .unwrap_or_else(|| vec![Arc::new(stacks.clone())]),
            dir,
            clock,
            ids: Arc::default(),
            stacks,
            mattermost,
            discord,
            slack,
            logs: Logs::default(),
            environment: self.environment,
        };
        std::fs::write(place.config_file(), table.text()).unwrap();
        Bot::start(place).await
    }
}
