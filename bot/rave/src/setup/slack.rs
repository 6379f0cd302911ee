//! `rave setup slack`: the app's manifest, and what a person does with it.

use rave_slack::Connection;
use url::Url;

use crate::config::Config;

/// What the command line says about the way between Slack and Rave.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Rave's address from the outside.
    pub(crate) public_url: Option<String>,
    /// Whether Rave connects to Slack.
    pub(crate) socket: bool,
}

/// What Slack makes an app of, and what a person does with it.
#[derive(Debug)]
pub(crate) struct SlackApp {
    /// JSON.
    pub(crate) manifest: String,
    pub(crate) next_steps: String,
}

/// The Slack app for a configuration; contacts nobody.
pub(crate) fn app(config: &Config, wish: &Wish) -> Result<SlackApp, String> {
    let address = wish
        .public_url
        .as_deref()
        .or(config.server.public_url.as_deref());
    let connection = match address {
        _ if wish.socket => Connection::Socket,
        // An address that somebody names counts more than a token that is there.
        None if config.slack.uses_socket() => Connection::Socket,
        Some(_) if wish.public_url.is_none() && config.slack.uses_socket() => Connection::Socket,
        Some(address) => Connection::Http(base(address)?),
        None => {
            return Err(
                "Slack must reach Rave, or Rave connects to Slack: set server.public_url, or use \
                 --socket"
                    .to_owned(),
            );
        }
    };
    let manifest = rave_slack::manifest(&connection);
    Ok(SlackApp {
        manifest: serde_json::to_string_pretty(&manifest).map_err(|error| error.to_string())?,
        next_steps: rave_slack::next_steps(&connection),
    })
}

fn base(address: &str) -> Result<Url, String> {
    let url = Url::parse(address).ok().filter(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.ok_or_else(|| {
        format!(
            "Slack calls addresses such as https://rave.example.com, and {address:?} is not one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(toml: &str, wish: &Wish) -> Result<SlackApp, String> {
        app(&toml::from_str(toml).unwrap(), wish)
    }

    #[test]
    fn the_configuration_says_how_slack_and_rave_come_together() {
        let public = "server.public_url = 'https://rave.example.com/chatops'\n";
        let token = "slack.app_token = 'xapp-1'\n";
        let both = format!("{public}{token}");
        let with = |public_url: Option<&str>, socket| Wish {
            public_url: public_url.map(str::to_owned),
            socket,
        };
        for (toml, wish, says) in [
            (
                public,
                with(None, false),
                "https://rave.example.com/chatops/chat/slack/command",
            ),
            (
                public,
                with(Some("https://other.example.com"), false),
                "https://other.example.com/chat/slack/event",
            ),
            (public, with(None, true), "\"socket_mode_enabled\": true"),
            (token, with(None, false), "\"socket_mode_enabled\": true"),
            (
                both.as_str(),
                with(None, false),
                "\"socket_mode_enabled\": true",
            ),
            (
                both.as_str(),
                with(Some("https://x.example.com"), false),
                "https://x.example.com/chat/slack/command",
            ),
        ] {
            let app = made(toml, &wish).unwrap();
            assert!(app.manifest.contains(says), "{says}: {}", app.manifest);
        }
        for (toml, wish, says) in [
            ("", with(None, false), "--socket"),
            (
                "",
                with(Some("http://rave.example.com"), false),
                "is not one",
            ),
            ("", with(Some("rave.example.com"), false), "is not one"),
        ] {
            let error = made(toml, &wish).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
