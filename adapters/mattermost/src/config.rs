//! The section `[mattermost]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

/// The section `[mattermost]`. Every key is optional and enables what it allows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MattermostConfig {
    /// Where Mattermost is, as in its `SiteURL`: later answers go to addresses under it only.
    pub url: Option<String>,
    /// Tokens of slash commands: one, a list, or a comma list. Several while one is replaced.
    #[serde(deserialize_with = "one_or_many")]
    pub slash_token: Vec<SecretString>,
    /// A file with tokens, one a line or with commas between.
    pub slash_token_file: Option<PathBuf>,
}

/// What is wrong with the section.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be a base.
    #[error("mattermost.url: {why}")]
    Url {
        /// What it must be.
        why: &'static str,
    },
    /// The token file cannot be read.
    #[error("mattermost.slash_token_file: {} cannot be read", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token file is there and holds nothing.
    #[error("mattermost.slash_token_file: {} holds no token", path.display())]
    NoToken {
        /// Which.
        path: PathBuf,
    },
}

impl MattermostConfig {
    /// Every configured token, those of the file included.
    pub(crate) fn tokens(&self) -> Result<Vec<SecretString>, ConfigError> {
        let mut tokens = self.slash_token.clone();
        if let Some(path) = &self.slash_token_file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::TokenFile {
                path: path.clone(),
                source,
            })?;
            let found = split(&text);
            if found.is_empty() {
                return Err(ConfigError::NoToken { path: path.clone() });
            }
            tokens.extend(found);
        }
        Ok(tokens)
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
    fn unknown_keys_are_errors_and_tokens_do_not_print() {
        assert!(
            parsed("slash_tokens = 'a1'")
                .unwrap_err()
                .contains("slash_tokens")
        );
        let config = parsed("slash_token = 'very-secret'").unwrap();
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
