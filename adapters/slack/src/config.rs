//! The section `[slack]`.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// The section `[slack]`. Every key is optional and enables what it allows: the signing secret the
/// three endpoints, the app token Socket Mode, the bot token messages, forms and files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlackConfig {
    /// "Signing Secret" of the app: what Slack signs its requests with.
    pub signing_secret: Option<SecretString>,
    /// A file that holds it.
    pub signing_secret_file: Option<PathBuf>,
    /// "Bot User OAuth Token", `xoxb-…`.
    pub bot_token: Option<SecretString>,
    /// A file that holds it.
    pub bot_token_file: Option<PathBuf>,
    /// "App-Level Token" with the scope `connections:write`, `xapp-…`: Slack is connected to
    /// instead of calling.
    pub app_token: Option<SecretString>,
    /// A file that holds it.
    pub app_token_file: Option<PathBuf>,
    /// Where the Web API is; another place than `https://slack.com/api/` is for tests, and takes
    /// `response_url`s and files too.
    pub api_url: Option<String>,
}

/// What is wrong with the section. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be a base.
    #[error("slack.api_url: {why}")]
    ApiUrl {
        /// What it must be.
        why: &'static str,
    },
    /// A file cannot be read.
    #[error("slack.{key}_file: {} cannot be read", path.display())]
    File {
        /// Which key.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is there and holds nothing.
    #[error("slack.{key}_file: {} is empty", path.display())]
    Empty {
        /// Which key.
        key: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// A value is given in two ways.
    #[error("slack: `{key}` and `{key}_file` are both given; keep one")]
    Both {
        /// Which key.
        key: &'static str,
    },
    /// A token of another kind: Slack's have a prefix each, and they are easily mixed up.
    #[error("slack.{key}: expected a token that begins with {prefix}")]
    Kind {
        /// Which key.
        key: &'static str,
        /// What it begins with.
        prefix: &'static str,
    },
}

/// The section's secrets, wherever they were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    pub(crate) signing: Option<SecretString>,
    pub(crate) bot: Option<SecretString>,
    pub(crate) app: Option<SecretString>,
}

impl SlackConfig {
    /// Whether Slack is connected to instead of calling.
    #[must_use]
    pub const fn uses_socket(&self) -> bool {
        self.app_token.is_some() || self.app_token_file.is_some()
    }

    pub(crate) fn secrets(&self) -> Result<Secrets, ConfigError> {
        Ok(Secrets {
            signing: secret(
                "signing_secret",
                self.signing_secret.as_ref(),
                self.signing_secret_file.as_deref(),
            )?,
            bot: token(
                "bot_token",
                "xoxb-",
                secret(
                    "bot_token",
                    self.bot_token.as_ref(),
                    self.bot_token_file.as_deref(),
                )?,
            )?,
            app: token(
                "app_token",
                "xapp-",
                secret(
                    "app_token",
                    self.app_token.as_ref(),
                    self.app_token_file.as_deref(),
                )?,
            )?,
        })
    }
}

fn secret(
    key: &'static str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::Both { key }),
        (Some(value), None) => {
            let value = value.expose_secret().trim();
            Ok((!value.is_empty()).then(|| SecretString::from(value)))
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
                key,
                path: path.to_owned(),
                source,
            })?;
            let text = text.trim();
            if text.is_empty() {
                return Err(ConfigError::Empty {
                    key,
                    path: path.to_owned(),
                });
            }
            Ok(Some(SecretString::from(text)))
        }
        (None, None) => Ok(None),
    }
}

fn token(
    key: &'static str,
    prefix: &'static str,
    value: Option<SecretString>,
) -> Result<Option<SecretString>, ConfigError> {
    match &value {
        Some(token) if !token.expose_secret().starts_with(prefix) => {
            Err(ConfigError::Kind { key, prefix })
        }
        Some(_) | None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SlackConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn secrets(text: &str) -> Result<Secrets, String> {
        let secrets = parsed(text).unwrap().secrets();
        secrets.map_err(|error| error.to_string())
    }

    #[test]
    fn each_secret_comes_as_it_is_or_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot");
        std::fs::write(&path, "xoxb-1\n").unwrap();
        let text = format!(
            "signing_secret = ' s3cret '\nbot_token_file = '{}'\napp_token = ''",
            path.display()
        );
        let found = secrets(&text).unwrap();
        let shown = |secret: &Option<SecretString>| {
            let secret = secret.as_ref();
            secret.map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(shown(&found.signing).as_deref(), Some("s3cret"));
        assert_eq!(shown(&found.bot).as_deref(), Some("xoxb-1"));
        assert_eq!(shown(&found.app), None);

        std::fs::write(&path, "\n").unwrap();
        assert!(secrets(&text).unwrap_err().ends_with("bot is empty"));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (text, says) in [
            (
                "bot_token = 'xapp-1'",
                "slack.bot_token: expected a token that begins with xoxb-",
            ),
            (
                "app_token = 'xoxb-1'",
                "slack.app_token: expected a token that begins with xapp-",
            ),
            (
                "signing_secret = 'a'\nsigning_secret_file = 'b'",
                "slack: `signing_secret` and `signing_secret_file` are both given; keep one",
            ),
            (
                "bot_token_file = '/nowhere/at/all'",
                "slack.bot_token_file: /nowhere/at/all cannot be read",
            ),
        ] {
            assert_eq!(secrets(text).unwrap_err(), says, "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_errors_and_secrets_do_not_print() {
        assert!(parsed("token = 'a'").unwrap_err().contains("token"));
        let config =
            parsed("signing_secret = 'very-secret'\nbot_token = 'xoxb-very-secret'").unwrap();
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
