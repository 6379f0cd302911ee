//! The section `[discord]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

/// Version 10 by name: a path without a version still means version 6 ("API Versioning").
const API: &str = "https://discord.com/api/v10";

/// Where webhooks of Discord live; the first is what Discord hands out today.
const HOSTS: [&str; 4] = [
    "discord.com",
    "discordapp.com",
    "canary.discord.com",
    "ptb.discord.com",
];

/// The section `[discord]`. Every key is optional and enables what it allows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscordConfig {
    /// The application's id, from "General Information" of the developer portal.
    pub application_id: Option<Snowflake>,
    /// The application's public key, 64 hex digits from the same page. It proves interactions that
    /// come over HTTP.
    pub public_key: Option<String>,
    /// The bot's token: live messages go on after the 15 minutes of an interaction, and the
    /// gateway connection needs it.
    pub bot_token: Option<SecretString>,
    /// A file that holds it.
    pub bot_token_file: Option<PathBuf>,
    /// How interactions come.
    pub mode: Mode,
    /// The server that `rave setup discord` registers the commands in; everywhere without it.
    pub guild_id: Option<Snowflake>,
    /// A channel that audit alerts are posted into by the bot.
    pub audit_channel: Option<Snowflake>,
    /// The address of the webhook that takes audit alerts; whoever has it may post, so it is a
    /// secret. `DISCORD_WEBHOOK_URL` of the `ChatOps` seed.
    pub audit_webhook: Option<SecretString>,
    /// A file that holds it.
    pub audit_webhook_file: Option<PathBuf>,
    /// Another place than `https://discord.com/api/v10`, for tests; webhooks may point there too.
    pub api_url: Option<String>,
}

/// How interactions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Discord calls `/chat/discord/interaction`.
    #[default]
    Http,
    /// Rave keeps a connection to Discord; nothing need be reachable from outside.
    Gateway,
}

/// An id of Discord's: a number that is written as text, because JSON's numbers are too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snowflake(u64);

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && *number > 0);
        number
            .map(Self)
            .ok_or("expected an id of Discord's, such as 80351110224678912")
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an id of Discord's")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.trim().parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// What is wrong with the section. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The webhook is not an address that may be called.
    #[error("discord.audit_webhook: {why}")]
    Webhook {
        /// What it must be.
        why: &'static str,
    },
    /// The test address is not an address.
    #[error("discord.api_url: expected an address such as http://127.0.0.1:8080")]
    ApiUrl,
    /// The key is not one.
    #[error("discord.public_key: expected the 64 hex digits of \"Public Key\" in the portal")]
    PublicKey,
    /// The token is not one.
    #[error("discord.bot_token: expected the token alone, without `Bot` and spaces")]
    BotToken,
    /// A file cannot be read.
    #[error("discord.{key}_file: {} cannot be read", path.display())]
    File {
        /// Whose.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Both a secret and its file are given.
    #[error("discord: `{0}` and `{0}_file` are both given; keep one")]
    Both(&'static str),
    /// One key needs another.
    #[error("discord.{key} needs discord.{missing}")]
    Needs {
        /// The one that is there.
        key: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
}

impl DiscordConfig {
    /// The webhook's address, when one is configured and it is Discord's.
    pub(crate) fn webhook(&self) -> Result<Option<Url>, ConfigError> {
        let file = self.audit_webhook_file.as_deref();
        let Some(text) = secret("audit_webhook", self.audit_webhook.as_ref(), file)? else {
            return Ok(None);
        };
        let text = text.expose_secret().trim();
        // The seed's environment file has an empty variable when there is no webhook.
        if text.is_empty() {
            return Ok(None);
        }
        let refuse = |why| ConfigError::Webhook { why };
        let url = Url::parse(text).map_err(|_| {
            refuse("expected an address such as https://discord.com/api/webhooks/…")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a user name or password does not belong in it"));
        }
        if is_discord(&url) || is_loopback(&url) || self.is_test_address(&url)? {
            return Ok(Some(url));
        }
        Err(refuse(
            "expected an https address at discord.com; set discord.api_url to allow another place",
        ))
    }

    fn is_test_address(&self, url: &Url) -> Result<bool, ConfigError> {
        let Some(base) = &self.api_url else {
            return Ok(false);
        };
        Ok(parsed_base(base)?.origin() == url.origin())
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> Result<Url, ConfigError> {
        parsed_base(self.api_url.as_deref().unwrap_or(API))
    }

    /// The bot's token, fit for a header.
    pub(crate) fn bot(&self) -> Result<Option<SecretString>, ConfigError> {
        let file = self.bot_token_file.as_deref();
        let Some(token) = secret("bot_token", self.bot_token.as_ref(), file)? else {
            return Ok(None);
        };
        let token = token.expose_secret().trim();
        if token.is_empty() {
            return Ok(None);
        }
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ConfigError::BotToken);
        }
        Ok(Some(token.into()))
    }

    /// What interactions are proven with.
    pub(crate) fn key(&self) -> Result<Option<VerifyingKey>, ConfigError> {
        let Some(text) = &self.public_key else {
            return Ok(None);
        };
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| ConfigError::PublicKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| ConfigError::PublicKey)?;
        if key.is_weak() {
            return Err(ConfigError::PublicKey);
        }
        Ok(Some(key))
    }
}

fn parsed_base(text: &str) -> Result<Url, ConfigError> {
    let base = Url::parse(text).map_err(|_| ConfigError::ApiUrl)?;
    let plain = base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !plain || !matches!(base.scheme(), "http" | "https") {
        return Err(ConfigError::ApiUrl);
    }
    Ok(base)
}

/// A secret as it is given, or what its file holds.
fn secret(
    key: &'static str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::Both(key)),
        (value, None) => Ok(value.cloned()),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map(|text| Some(SecretString::from(text)))
            .map_err(|source| ConfigError::File {
                key,
                path: path.to_owned(),
                source,
            }),
    }
}

fn is_discord(url: &Url) -> bool {
    url.scheme() == "https"
        && url.port().is_none()
        && url.host_str().is_some_and(|host| HOSTS.contains(&host))
}

/// A webhook on this machine is somebody's test or relay; there is nothing to protect from it.
fn is_loopback(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    loopback && matches!(url.scheme(), "http" | "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(webhook: &str, api_url: Option<&str>) -> DiscordConfig {
        DiscordConfig {
            audit_webhook: Some(webhook.into()),
            api_url: api_url.map(str::to_owned),
            ..DiscordConfig::default()
        }
    }

    #[test]
    fn webhooks_are_discords_or_a_tests() {
        for (webhook, api_url, taken) in [
            ("https://discord.com/api/webhooks/1/t0ken", None, true),
            (" https://discord.com/api/webhooks/1/t0ken\n", None, true),
            (
                "https://canary.discord.com/api/webhooks/1/t0ken",
                None,
                true,
            ),
            ("http://discord.com/api/webhooks/1/t0ken", None, false),
            ("https://discord.com:444/api/webhooks/1/t0ken", None, false),
            (
                "https://discord.com.evil.example/api/webhooks/1/t0ken",
                None,
                false,
            ),
            ("https://a:t0ken@discord.com/api/webhooks/1/x", None, false),
            ("https://fake.test/webhooks/1/t0ken", None, false),
            (
                "https://fake.test/webhooks/1/t0ken",
                Some("https://fake.test"),
                true,
            ),
            (
                "http://fake.test/webhooks/1/t0ken",
                Some("https://fake.test"),
                false,
            ),
            ("https://fake.test/webhooks/1/t0ken", Some("t0ken"), false),
            ("http://127.0.0.1:9/t0ken", None, true),
            ("http://[::1]:9/t0ken", None, true),
            ("file://localhost/t0ken", None, false),
            ("t0ken", None, false),
        ] {
            let result = config(webhook, api_url).webhook();
            assert_eq!(result.is_ok(), taken, "{webhook} {api_url:?}");
            if let Err(error) = result {
                assert!(!error.to_string().contains("t0ken"), "{error}");
            }
        }
        assert!(config("", None).webhook().unwrap().is_none());
    }

    #[test]
    fn the_address_comes_from_a_file_and_does_not_print() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("webhook");
        std::fs::write(&path, "https://discord.com/api/webhooks/1/t0ken\n").unwrap();
        let text = format!("audit_webhook_file = '{}'", path.display());
        let mut config: DiscordConfig = toml::from_str(&text).unwrap();
        assert!(config.webhook().unwrap().is_some());

        config.audit_webhook = Some("https://discord.com/api/webhooks/2/t0ken".into());
        assert!(matches!(
            config.webhook(),
            Err(ConfigError::Both("audit_webhook"))
        ));
        assert!(!format!("{config:?}").contains("t0ken"));
    }
    #[test]
    fn keys_and_tokens_are_what_the_portal_shows() {
        let parsed = |text: &str| toml::from_str::<DiscordConfig>(text);
        let config = parsed("application_id = 80351110224678912\nguild_id = '1'").unwrap();
        assert_eq!(
            config.application_id.map(|id| id.to_string()).as_deref(),
            Some("80351110224678912")
        );
        for bad in [
            "application_id = 'x'",
            "application_id = 0",
            "guild_id = ''",
            "mode = 'x'",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        for (key, fine) in [
            (
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                true,
            ),
            (
                " D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A ",
                true,
            ),
            ("d75a98", false),
            // A point of small order: anything would be signed with it.
            (
                "0100000000000000000000000000000000000000000000000000000000000000",
                false,
            ),
        ] {
            let config = DiscordConfig {
                public_key: Some(key.to_owned()),
                ..DiscordConfig::default()
            };
            assert_eq!(config.key().is_ok(), fine, "{key}");
        }
        for (token, fine) in [
            ("MTk4.Cl2FMQ.x-_y", true),
            ("Bot MTk4", false),
            ("a\nb", false),
        ] {
            let config = DiscordConfig {
                bot_token: Some(token.into()),
                ..DiscordConfig::default()
            };
            assert_eq!(config.bot().is_ok(), fine, "{token}");
            assert!(!format!("{config:?}").contains(token));
        }
    }
}
