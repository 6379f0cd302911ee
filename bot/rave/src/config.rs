//! The configuration: `rave.toml` < the seed's environment variables < `RAVE__SECTION__KEY` <
//! flags. Unknown keys are errors, every key is optional, and each number has its default here.
//!
//! The file is checked on its own first, so its mistakes carry line and column; environment
//! values are texts that the field's type parses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rave_compose::ComposeConfig;
use rave_discord::DiscordConfig;
use rave_mattermost::MattermostConfig;
use rave_policy::{ChannelConfig, OneOrMany, PersonConfig, TokenConfig};
use rave_slack::SlackConfig;
use secrecy::SecretString;
use serde::Deserialize;

use crate::lenient::{duration, number, yes_no};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The journal.
    pub store: StoreConfig,
    /// Intents and schedules.
    pub catalog: CatalogConfig,
    /// Roles, keys and rules.
    pub policy: PolicyConfig,
    /// Requests a minute.
    pub rate_limit: RateLimitConfig,
    /// People and robots by name.
    pub people: BTreeMap<String, PersonConfig>,
    /// Chat channels that are bound to intents, by `surface:channel`.
    pub channels: BTreeMap<String, ChannelConfig>,
    /// API tokens by name.
    pub tokens: BTreeMap<String, TokenSection>,
    /// Numbers of the engine.
    pub engine: EngineConfig,
    /// The audit trail.
    pub audit: AuditConfig,
    /// How long things are kept.
    pub retention: RetentionConfig,
    /// The log.
    pub log: LogConfig,
    /// Mattermost.
    pub mattermost: MattermostConfig,
    /// Slack.
    pub slack: SlackConfig,
    /// Discord.
    pub discord: DiscordConfig,
    /// The driver for compose stacks.
    pub compose: ComposeConfig,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the outside reaches Rave; shown in messages.
    pub public_url: Option<String>,
    /// Addresses or networks whose `X-Forwarded-For` counts.
    pub trusted_proxies: OneOrMany,
    /// Whether `/status`, `/metrics`, `/intents` and `/validate` need no key.
    #[serde(deserialize_with = "yes_no")]
    pub public_reads: bool,
    /// The seed's global key, `CHATOPS_API_KEY`.
    pub api_key: Option<SecretString>,
    /// A file that holds it.
    pub api_key_file: Option<PathBuf>,
    /// Clients of keyed endpoints, `CHATOPS_IP_ALLOWLIST`; empty for all.
    pub ip_allowlist: OneOrMany,
    /// How long a Rave that is told to stop may take until its process has ended: answers, running
    /// steps and messages that have not finished by then are left to the next start.
    #[serde(deserialize_with = "duration")]
    pub shutdown_grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            public_url: None,
            trusted_proxies: OneOrMany::default(),
            public_reads: true,
            api_key: None,
            api_key_file: None,
            ip_allowlist: OneOrMany::default(),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:` and a file relative to the data directory.
    pub url: String,
    /// The data directory; `CHATOPS_STATE_DIR`, `--data`.
    pub dir: PathBuf,
    /// The file with the key that seals secrets, relative to the data directory; made when it is
    /// missing.
    pub key_file: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:rave.db".to_owned(),
            dir: PathBuf::from("data"),
            key_file: PathBuf::from("seal.key"),
        }
    }
}

/// `[catalog]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// The folder of intent files; `--intents`.
    pub intents: PathBuf,
    /// The schedules; `CHATOPS_SCHEDULES_FILE`, `--schedules`.
    pub schedules: PathBuf,
    /// The label that counts as approved, `APPROVED_LABEL`.
    pub approved_label: String,
    /// Whether schedules fire, `ENABLE_SCHEDULER`.
    #[serde(deserialize_with = "yes_no")]
    pub enable_scheduler: bool,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            intents: PathBuf::from("intents"),
            schedules: PathBuf::from("schedules.json"),
            approved_label: "approved-by-gemini".to_owned(),
            enable_scheduler: false,
        }
    }
}

/// `[policy]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// `.cedar` files with rules of the operator.
    pub files: OneOrMany,
    /// The seed's key file as text, `CHATOPS_RBAC_JSON`; wins over the file.
    pub rbac_json: Option<SecretString>,
    /// The seed's key file, `CHATOPS_RBAC_FILE`.
    pub rbac_file: Option<PathBuf>,
}

/// `[rate_limit]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Per person on chat and `/api/v1`.
    #[serde(deserialize_with = "number")]
    pub per_minute: u32,
    /// How many of these at once.
    #[serde(deserialize_with = "number")]
    pub burst: u32,
    /// Per chat channel, everybody in it together.
    #[serde(deserialize_with = "number")]
    pub channel_per_minute: u32,
    /// Per client address on the seed's endpoints that change something.
    #[serde(deserialize_with = "number")]
    pub address_per_minute: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            per_minute: 30,
            burst: 5,
            channel_per_minute: 120,
            address_per_minute: 10,
        }
    }
}

/// `[tokens.<name>]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// Whose it is.
    pub person: String,
    /// The SHA-256 of the token, 64 hex digits.
    #[serde(default)]
    pub sha256: Option<rave_domain::Digest>,
    /// The token.
    #[serde(default)]
    pub secret: Option<SecretString>,
    /// A file that holds it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
}

impl TokenSection {
    /// The section as policy takes it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn resolve(&self, name: &str) -> Result<TokenConfig, ConfigError> {
        Ok(TokenConfig {
            name: Some(name.to_owned()),
            person: self.person.clone(),
            sha256: self.sha256,
            secret: secret(
                &format!("tokens.{name}.secret"),
                self.secret.as_ref(),
                self.secret_file.as_deref(),
            )?,
        })
    }
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Steps of one run at a time.
    #[serde(deserialize_with = "number")]
    pub max_parallel: u32,
    /// How long an interrupted effect may take to end before it counts as lost.
    #[serde(deserialize_with = "duration")]
    pub stop_grace: Duration,
    /// How long a driver may take to stop an effect, to end what is left of it, or to look for it.
    #[serde(deserialize_with = "duration")]
    pub settle_within: Duration,
    /// Failures in a row after which a driver is opened.
    #[serde(deserialize_with = "number")]
    pub open_after: u32,
    /// How long it stays open before its health is asked.
    #[serde(deserialize_with = "duration")]
    pub open_for: Duration,
    /// How long a look at a target may take before it becomes a warning in the plan.
    #[serde(deserialize_with = "duration")]
    pub observe_within: Duration,
    /// How long a chat answer waits for the gate.
    #[serde(deserialize_with = "duration")]
    pub answer_within: Duration,
    /// First wait before a failed delivery is tried again; doubles.
    #[serde(deserialize_with = "duration")]
    pub delivery_backoff: Duration,
    /// Longest wait between tries of a delivery.
    #[serde(deserialize_with = "duration")]
    pub delivery_backoff_ceiling: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let defaults = rave_engine::Settings::default();
        Self {
            max_parallel: defaults.max_parallel,
            stop_grace: defaults.stop_grace,
            settle_within: defaults.settle_within,
            open_after: defaults.breaker.failures,
            open_for: defaults.breaker.open_for,
            observe_within: defaults.observe_within,
            answer_within: defaults.answer_within,
            delivery_backoff: defaults.delivery_backoff,
            delivery_backoff_ceiling: defaults.delivery_backoff_ceiling,
        }
    }
}

impl EngineConfig {
    /// The section as the engine takes it.
    #[must_use]
    pub fn settings(&self) -> rave_engine::Settings {
        rave_engine::Settings {
            max_parallel: self.max_parallel,
            stop_grace: self.stop_grace,
            settle_within: self.settle_within,
            delivery_backoff: self.delivery_backoff,
            delivery_backoff_ceiling: self.delivery_backoff_ceiling,
            breaker: rave_engine::BreakerSettings {
                failures: self.open_after,
                open_for: self.open_for,
            },
            observe_within: self.observe_within,
            answer_within: self.answer_within,
        }
    }
}

/// `[audit]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// A file that gets every row as a line of JSON, `CHATOPS_AUDIT_LOG_FILE`.
    pub mirror_file: Option<PathBuf>,
    /// A file, better on another machine, that gets the head of the chain every hour.
    pub anchor_file: Option<PathBuf>,
}

/// `[retention]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long a request's key is remembered, so that a repeat is known.
    #[serde(deserialize_with = "number")]
    pub key_days: u32,
    /// How long the content of a request is kept.
    #[serde(deserialize_with = "number")]
    pub body_days: u32,
    /// How long delivered messages are kept.
    #[serde(deserialize_with = "number")]
    pub delivery_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            key_days: 90,
            body_days: 7,
            delivery_days: 7,
        }
    }
}

impl RetentionConfig {
    /// The section as the store takes it.
    #[must_use]
    pub fn retention(&self) -> rave_store::Retention {
        let days = |days: u32| Duration::from_hours(24).saturating_mul(days);
        rave_store::Retention {
            keys: days(self.key_days),
            bodies: days(self.body_days),
            deliveries: days(self.delivery_days),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `ERROR`, `WARNING`, `INFO`, `DEBUG`, or directives such as `rave_engine=debug`;
    /// `LOG_LEVEL`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "INFO".to_owned(),
        }
    }
}

/// What is wrong with the configuration, for the person who wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{what} {path} cannot be read: {why}")]
    Unreadable {
        /// What kind of file.
        what: String,
        /// Which.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// A file is not what it should be; the message has line and column.
    #[error("{path} is not valid:\n{why}")]
    Invalid {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The environment and flags do not fit.
    #[error("the environment does not fit the configuration: {why}")]
    Environment {
        /// What is wrong.
        why: String,
    },
    /// A value is set in two ways.
    #[error("{key} and {key}_file are both set; remove one")]
    Twice {
        /// The key.
        key: String,
    },
    /// The whole does not fit together.
    #[error("{0}")]
    Whole(String),
}

/// The environment variables of the seed and where their values go.
const SEED_VARIABLES: [(&str, &str, &str); 12] = [
    ("CHATOPS_API_KEY", "server", "api_key"),
    ("APPROVED_LABEL", "catalog", "approved_label"),
    ("CHATOPS_IP_ALLOWLIST", "server", "ip_allowlist"),
    ("CHATOPS_RBAC_JSON", "policy", "rbac_json"),
    ("CHATOPS_RBAC_FILE", "policy", "rbac_file"),
    ("CHATOPS_STATE_DIR", "store", "dir"),
    ("CHATOPS_AUDIT_LOG_FILE", "audit", "mirror_file"),
    ("DISCORD_WEBHOOK_URL", "discord", "audit_webhook"),
    ("ENABLE_SCHEDULER", "catalog", "enable_scheduler"),
    ("CHATOPS_SCHEDULES_FILE", "catalog", "schedules"),
    ("LOG_LEVEL", "log", "level"),
    ("DOCKER_HOST", "compose", "docker_host"),
];

/// The prefix of variables that set any key: `RAVE__SERVER__LISTEN`.
const PREFIX: &str = "RAVE__";

impl Config {
    /// Reads the file, if one is named, and lays the environment over it.
    ///
    /// # Errors
    /// What is wrong, with line and column where it is in the file.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = match file {
            None => toml::Table::new(),
            Some(path) => read_file(path)?,
        };
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let config = overlaid(&table, &environment, None).map_err(|why| {
            // The variable without which it would work, or would fail otherwise, is the culprit.
            let culprit = environment.keys().find(|variable| {
                place(variable).is_some()
                    && overlaid(&table, &environment, Some(variable))
                        .err()
                        .as_ref()
                        != Some(&why)
            });
            let why = culprit.map_or_else(|| why.clone(), |variable| format!("{variable}: {why}"));
            ConfigError::Environment { why }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.store_file().is_none() {
            return Err(ConfigError::Whole(format!(
                "store.url is {:?}; this Rave knows `sqlite:` and a file name, such as sqlite:rave.db",
                self.store.url
            )));
        }
        if self.rate_limit.per_minute == 0
            || self.rate_limit.burst == 0
            || self.rate_limit.address_per_minute == 0
        {
            return Err(ConfigError::Whole(
                "rate_limit: every number must be at least 1".to_owned(),
            ));
        }
        if self.engine.max_parallel == 0 {
            return Err(ConfigError::Whole(
                "engine.max_parallel must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }

    /// The journal's file name within the data directory.
    #[must_use]
    pub fn store_file(&self) -> Option<&str> {
        self.store
            .url
            .strip_prefix("sqlite:")
            .filter(|file| !file.is_empty())
    }

    /// The seed's global key.
    ///
    /// # Errors
    /// When its file cannot be read, or it is set twice.
    pub fn api_key(&self) -> Result<Option<SecretString>, ConfigError> {
        secret(
            "server.api_key",
            self.server.api_key.as_ref(),
            self.server.api_key_file.as_deref(),
        )
    }
}

/// Where the value of a variable goes.
fn place(variable: &str) -> Option<Vec<String>> {
    if let Some(path) = variable.strip_prefix(PREFIX) {
        let path = path.to_lowercase();
        return Some(path.split("__").map(str::to_owned).collect());
    }
    SEED_VARIABLES
        .iter()
        .find(|(name, _, _)| *name == variable)
        .map(|(_, section, key)| vec![(*section).to_owned(), (*key).to_owned()])
}

/// The table of a file with the environment over it, or over it without one variable.
fn overlaid(
    table: &toml::Table,
    environment: &BTreeMap<String, String>,
    without: Option<&str>,
) -> Result<Config, String> {
    let mut table = table.clone();
    let values = environment
        .iter()
        .filter(|(variable, _)| without != Some(variable.as_str()))
        .filter_map(|(variable, value)| place(variable).map(|keys| (variable, keys, value)));
    // The seed's variables first: Rave's own win over them. Sorting keeps the order otherwise.
    let mut values: Vec<_> = values
        .filter(|(variable, _, value)| variable.starts_with(PREFIX) || !value.is_empty())
        .collect();
    values.sort_by_key(|(variable, _, _)| variable.starts_with(PREFIX));
    for (_, keys, value) in values {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        set(&mut table, &keys, value);
    }
    toml::Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Reads and checks a configuration file by itself.
fn read_file(path: &Path) -> Result<toml::Table, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Unreadable {
        what: "the configuration".to_owned(),
        path: shown.clone(),
        why,
    })?;
    let invalid = |error: toml::de::Error| ConfigError::Invalid {
        path: shown.clone(),
        why: error.to_string(),
    };
    toml::from_str::<Config>(&text).map_err(invalid)?;
    toml::from_str(&text).map_err(invalid)
}

/// A value that may be given as it is or by a file.
fn secret(
    key: &str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::Twice {
            key: key.to_owned(),
        }),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Unreadable {
                what: key.to_owned(),
                path: path.display().to_string(),
                why,
            })?;
            Ok(Some(SecretString::from(text.trim().to_owned())))
        }
        (None, None) => Ok(None),
    }
}

fn set(table: &mut toml::Table, keys: &[&str], value: &str) {
    let Some((first, rest)) = keys.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), toml::Value::String(value.to_owned()));
        return;
    }
    let inner = table
        .entry((*first).to_owned())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(inner) = inner {
        set(inner, rest, value);
    }
}

mod review;
#[cfg(test)]
mod tests;
