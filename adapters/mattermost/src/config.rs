//! The section `[mattermost]`.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// The section `[mattermost]`. Every key is optional and enables what it allows.
///
/// Without a bot token, commands are answered and results come through their `response_url`, five
/// in 30 minutes. With one, a run has one message that is edited, and with an address for
/// callbacks also buttons and forms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MattermostConfig {
    /// Where Mattermost is, as in its `SiteURL`: later answers go to addresses under it only.
    pub url: Option<String>,
    /// Tokens of slash commands: one, a list, or a comma list. Several while one is replaced.
    #[serde(deserialize_with = "one_or_many")]
    pub slash_token: Vec<SecretString>,
    /// A file with tokens, one a line or with commas between.
    pub slash_token_file: Option<PathBuf>,
    /// The bot account's token: Rave keeps one message per run, sends files and hears its name.
    /// Needs `url`.
    pub bot_token: Option<SecretString>,
    /// A file that holds it, as `rave setup mattermost` writes it.
    pub bot_token_file: Option<PathBuf>,
    /// How Mattermost reaches Rave for buttons and forms; `server.public_url` where it is not
    /// given. Without either, messages show commands instead of buttons.
    pub callback_url: Option<String>,
    /// Whether the bot keeps a connection to Mattermost, to hear what is said to it in threads
    /// and direct messages.
    #[serde(deserialize_with = "yes_no")]
    pub websocket: bool,
}

impl Default for MattermostConfig {
    fn default() -> Self {
        Self {
            url: None,
            slash_token: Vec::new(),
            slash_token_file: None,
            bot_token: None,
            bot_token_file: None,
            callback_url: None,
            websocket: true,
        }
    }
}

/// What is wrong with the section.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be a base.
    #[error("{}{key}: {why}", if key.contains('.') { "" } else { "mattermost." })]
    Url {
        /// Of which key.
        key: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// A token file cannot be read.
    #[error("mattermost.{key}: {} cannot be read", path.display())]
    TokenFile {
        /// Of which key.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token file is there and holds nothing.
    #[error("mattermost.{key}: {} holds no token", path.display())]
    NoToken {
        /// Of which key.
        key: &'static str,
        /// Which.
        path: PathBuf,
    },
    /// Both the bot token and its file are given.
    #[error("mattermost: `bot_token` and `bot_token_file` are both given; keep one")]
    TwoBots,
    /// A bot without a Mattermost.
    #[error("mattermost.bot_token is of no use without mattermost.url")]
    BotWithoutUrl,
}

impl MattermostConfig {
    /// Every configured token, those of the file included.
    pub(crate) fn tokens(&self) -> Result<Vec<SecretString>, ConfigError> {
        let mut tokens = self.slash_token.clone();
        if let Some(path) = &self.slash_token_file {
            tokens.extend(read_tokens("slash_token_file", path)?);
        }
        Ok(tokens)
    }

    /// The bot's token. An empty value is none, as an environment file has it.
    pub(crate) fn bot(&self) -> Result<Option<SecretString>, ConfigError> {
        let given = self.bot_token.as_ref().map(ExposeSecret::expose_secret);
        let given = given.map(str::trim).filter(|token| !token.is_empty());
        let token = match (given, &self.bot_token_file) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoBots),
            (Some(token), None) => Some(token.into()),
            (None, Some(path)) => read_tokens("bot_token_file", path)?.into_iter().next(),
            (None, None) => None,
        };
        if token.is_some() && self.url.is_none() {
            return Err(ConfigError::BotWithoutUrl);
        }
        Ok(token)
    }
}

fn read_tokens(key: &'static str, path: &Path) -> Result<Vec<SecretString>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::TokenFile {
        key,
        path: path.to_owned(),
        source,
    })?;
    let found = split(&text);
    if found.is_empty() {
        return Err(ConfigError::NoToken {
            key,
            path: path.to_owned(),
        });
    }
    Ok(found)
}

/// Environment variables carry yes and no as text.
fn yes_no<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "true or false")]
    enum YesNo {
        Plain(bool),
        Text(String),
    }
    match YesNo::deserialize(from)? {
        YesNo::Plain(yes) => Ok(yes),
        YesNo::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(serde::de::Error::custom("expected true or false")),
        },
    }
}

/// Environment variables carry lists as one string with commas.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SecretString>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a token or a list of tokens")]
    enum OneOrMany {
        One(SecretString),
        Many(Vec<SecretString>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => split(one.expose_secret()),
        OneOrMany::Many(many) => many
            .iter()
            .flat_map(|one| split(one.expose_secret()))
            .collect(),
    })
}

fn split(text: &str) -> Vec<SecretString> {
    text.split([',', '\n', '\r'])
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<MattermostConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn shown(config: &MattermostConfig) -> Vec<String> {
        let tokens = config.tokens().unwrap();
        tokens
            .iter()
            .map(|token| token.expose_secret().to_owned())
            .collect()
    }

    #[test]
    fn tokens_come_as_one_as_a_list_and_as_a_comma_list() {
        for (text, tokens) in [
            ("slash_token = 'a1'", vec!["a1"]),
            ("slash_token = 'a1, b2,'", vec!["a1", "b2"]),
            ("slash_token = ['a1', 'b2,c3']", vec!["a1", "b2", "c3"]),
            ("", vec![]),
        ] {
            assert_eq!(shown(&parsed(text).unwrap()), tokens, "{text}");
        }
    }

    #[test]
    fn a_token_file_adds_to_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "b2\nc3\n").unwrap();
        let mut config = parsed("slash_token = 'a1'").unwrap();
        config.slash_token_file = Some(path.clone());
        assert_eq!(shown(&config), ["a1", "b2", "c3"]);

        std::fs::write(&path, "\n").unwrap();
        let error = config.tokens().unwrap_err().to_string();
        assert!(error.ends_with("tokens holds no token"), "{error}");
    }

    #[test]
    fn a_bot_has_one_token_and_a_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot");
        std::fs::write(&path, "b0t\n").unwrap();
        let file = path.display();
        for (text, token) in [
            ("", Ok(None)),
            ("bot_token = ' '", Ok(None)),
            ("url = 'https://x'\nbot_token = ' b0t '", Ok(Some("b0t"))),
            (
                &format!("url = 'https://x'\nbot_token_file = '{file}'"),
                Ok(Some("b0t")),
            ),
            (
                "bot_token = 'b0t'",
                Err("mattermost.bot_token is of no use without mattermost.url"),
            ),
            (
                &format!("url = 'https://x'\nbot_token = 'b0t'\nbot_token_file = '{file}'"),
                Err("mattermost: `bot_token` and `bot_token_file` are both given; keep one"),
            ),
        ] {
            let bot = parsed(text).unwrap().bot();
            let bot = bot.map(|token| token.map(|token| token.expose_secret().to_owned()));
            assert_eq!(
                bot.map_err(|error| error.to_string()),
                token
                    .map(|token| token.map(str::to_owned))
                    .map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn the_connection_is_kept_unless_it_is_switched_off() {
        for (text, kept) in [
            ("", true),
            ("websocket = false", false),
            ("websocket = 'off'", false),
            ("websocket = 'true'", true),
        ] {
            assert_eq!(parsed(text).unwrap().websocket, kept, "{text}");
        }
        assert!(parsed("websocket = 'perhaps'").is_err());
    }

    #[test]
    fn unknown_keys_are_errors_and_tokens_do_not_print() {
        assert!(
            parsed("slash_tokens = 'a1'")
                .unwrap_err()
                .contains("slash_tokens")
        );
        let config = parsed("slash_token = 'very-secret'\nbot_token = 'very-secret'").unwrap();
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
