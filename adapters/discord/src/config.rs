//! The section `[discord]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::{Host, Url};

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
    /// The address of the webhook that takes audit alerts; whoever has it may post, so it is a
    /// secret. `DISCORD_WEBHOOK_URL` of the `ChatOps` seed.
    pub audit_webhook: Option<SecretString>,
    /// A file that holds it.
    pub audit_webhook_file: Option<PathBuf>,
    /// Another place than Discord that webhooks may point to, for tests.
    pub api_url: Option<String>,
}

/// What is wrong with the section. Never shows the address.
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
    /// The file cannot be read.
    #[error("discord.audit_webhook_file: {} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Both the address and the file are given.
    #[error("discord: `audit_webhook` and `audit_webhook_file` are both given; keep one")]
    Both,
}

impl DiscordConfig {
    /// The webhook's address, when one is configured and it is Discord's.
    pub(crate) fn webhook(&self) -> Result<Option<Url>, ConfigError> {
        let text = match (&self.audit_webhook, &self.audit_webhook_file) {
            (Some(_), Some(_)) => return Err(ConfigError::Both),
            (Some(url), None) => url.clone(),
            (None, Some(path)) => {
                SecretString::from(std::fs::read_to_string(path).map_err(|source| {
                    ConfigError::File {
                        path: path.clone(),
                        source,
                    }
                })?)
            }
            (None, None) => return Ok(None),
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
        let base = Url::parse(base).map_err(|_| ConfigError::ApiUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(ConfigError::ApiUrl);
        }
        Ok(base.origin() == url.origin())
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
            audit_webhook_file: None,
            api_url: api_url.map(str::to_owned),
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
        assert!(matches!(config.webhook(), Err(ConfigError::Both)));
        assert!(!format!("{config:?}").contains("t0ken"));
    }
}
