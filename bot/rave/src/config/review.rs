//! Configurations looked at as a whole: what a reload leaves out, what is most likely a slip.

use std::path::Path;

use rave_discord::Mode;
use rave_domain::Surface;
use rave_policy::PersonConfig;
use secrecy::{ExposeSecret, SecretString};

use super::Config;

impl Config {
    /// The keys that differ in another configuration and that a reload does not take over.
    #[must_use]
    pub fn restart_for(&self, new: &Self) -> Vec<&'static str> {
        let (server, other) = (&self.server, &new.server);
        let changed = [
            ("server.listen", server.listen != other.listen),
            ("server.public_url", server.public_url != other.public_url),
            (
                "server.trusted_proxies",
                server.trusted_proxies != other.trusted_proxies,
            ),
            (
                "server.public_reads",
                server.public_reads != other.public_reads,
            ),
            (
                "server.ip_allowlist",
                server.ip_allowlist != other.ip_allowlist,
            ),
            (
                "server.shutdown_grace",
                server.shutdown_grace != other.shutdown_grace,
            ),
            ("store", self.store != new.store),
            (
                "catalog.enable_scheduler",
                self.catalog.enable_scheduler != new.catalog.enable_scheduler,
            ),
            ("rate_limit", self.rate_limit != new.rate_limit),
            ("engine", self.engine != new.engine),
            ("audit", self.audit != new.audit),
            ("retention", self.retention != new.retention),
            ("log", self.log != new.log),
            ("mattermost", mattermost(self) != mattermost(new)),
            ("slack", slack(self) != slack(new)),
            ("discord", discord(self) != discord(new)),
            ("compose", self.compose != new.compose),
        ];
        changed
            .into_iter()
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    }

    /// What works and is most likely not meant, for `rave check`.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let files = [
            ("audit.mirror_file", &self.audit.mirror_file),
            ("audit.anchor_file", &self.audit.anchor_file),
        ];
        for (key, file) in files {
            let folder = file.as_deref().and_then(Path::parent);
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let folder = folder.display();
                warnings.push(format!("{key}: the folder {folder} does not exist"));
            }
        }
        let linked = |person: &PersonConfig| person.accounts.contains_key(&Surface::Mattermost);
        if self.people.values().any(linked)
            && self.mattermost.slash_token.is_empty()
            && self.mattermost.slash_token_file.is_none()
        {
            warnings.push(
                "people have Mattermost accounts, but no [mattermost] slash_token is configured, \
                 so Mattermost cannot be used"
                    .to_owned(),
            );
        }
        let linked = |person: &PersonConfig| person.accounts.contains_key(&Surface::Slack);
        let slack = &self.slack;
        if self.people.values().any(linked)
            && slack.signing_secret.is_none()
            && slack.signing_secret_file.is_none()
            && !slack.uses_socket()
        {
            warnings.push(
                "people have Slack accounts, but neither [slack] signing_secret nor app_token is \
                 configured, so Slack cannot be used"
                    .to_owned(),
            );
        }
        let bot = self.mattermost.bot_token.is_some() || self.mattermost.bot_token_file.is_some();
        if bot && self.mattermost.callback_url.is_none() && self.server.public_url.is_none() {
            warnings.push(
                "[mattermost] has a bot, but neither mattermost.callback_url nor \
                 server.public_url says where buttons and forms come back to, so there are none"
                    .to_owned(),
            );
        }
        let linked = |person: &PersonConfig| person.accounts.contains_key(&Surface::Discord);
        let discord = &self.discord;
        if self.people.values().any(linked)
            && discord.mode == Mode::Http
            && (discord.application_id.is_none() || discord.public_key.is_none())
        {
            warnings.push(
                "people have Discord accounts, but [discord] lacks application_id or public_key, \
                 so Discord cannot be used"
                    .to_owned(),
            );
        }
        let bot = discord.bot_token.is_some() || discord.bot_token_file.is_some();
        if discord.public_key.is_some() && !bot {
            warnings.push(
                "[discord] has no bot_token: messages of runs stay as they are 15 minutes after \
                 the command"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// What there is to compare of `[mattermost]`.
fn mattermost(config: &Config) -> impl PartialEq {
    let section = &config.mattermost;
    let tokens = section.slash_token.iter().chain(&section.bot_token);
    (
        section.url.as_deref(),
        section.callback_url.as_deref(),
        tokens
            .map(ExposeSecret::expose_secret)
            .collect::<Vec<&str>>(),
        section.bot_token.is_some(),
        section.slash_token_file.as_deref(),
        section.bot_token_file.as_deref(),
        section.websocket,
    )
}

fn secret(secret: &Option<SecretString>) -> Option<&str> {
    secret.as_ref().map(ExposeSecret::expose_secret)
}

/// What there is to compare of `[slack]`.
fn slack(config: &Config) -> ([Option<&str>; 4], [Option<&Path>; 3]) {
    let section = &config.slack;
    (
        [
            secret(&section.signing_secret),
            secret(&section.bot_token),
            secret(&section.app_token),
            section.api_url.as_deref(),
        ],
        [
            section.signing_secret_file.as_deref(),
            section.bot_token_file.as_deref(),
            section.app_token_file.as_deref(),
        ],
    )
}

/// What there is to compare of `[discord]`.
fn discord(config: &Config) -> impl PartialEq {
    let section = &config.discord;
    let secrets = [&section.audit_webhook, &section.bot_token];
    (
        secrets.map(|secret| {
            secret
                .as_ref()
                .map(ExposeSecret::expose_secret)
                .map(str::to_owned)
        }),
        [&section.audit_webhook_file, &section.bot_token_file].map(Clone::clone),
        [
            section.application_id,
            section.guild_id,
            section.audit_channel,
        ],
        [&section.public_key, &section.api_url].map(Clone::clone),
        section.mode,
    )
}
