//! The app's manifest: what Slack makes an app of ("App manifest reference").

use serde_json::{Value, json};
use url::Url;

/// What the bot's token must allow, each because of what Rave does with it:
/// `commands` for `/rave`, `chat:write` for messages, `files:write` for output, `app_mentions:read`
/// and `im:history` for what is written to Rave, the other histories to find its own message again
/// after a crash.
const SCOPES: [&str; 8] = [
    "commands",
    "chat:write",
    "files:write",
    "app_mentions:read",
    "im:history",
    "channels:history",
    "groups:history",
    "mpim:history",
];

/// The events that are commands.
const EVENTS: [&str; 2] = ["app_mention", "message.im"];

/// How Slack and Rave come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Slack calls Rave, whose address from the outside this is.
    Http(Url),
    /// Rave connects to Slack: Socket Mode.
    Socket,
}

/// The manifest as JSON.
#[must_use]
pub fn manifest(connection: &Connection) -> Value {
    let mut command = json!({
        "command": "/rave",
        "description": "Ask Rave for something",
        "usage_hint": "help",
        "should_escape": false,
    });
    let mut interactivity = json!({"is_enabled": true});
    let mut events = json!({"bot_events": EVENTS});
    if let Connection::Http(base) = connection {
        let address = |what: &str| {
            let base = base.as_str().trim_end_matches('/');
            Value::from(format!("{base}/chat/slack/{what}"))
        };
        for (place, key, what) in [
            (&mut command, "url", "command"),
            (&mut interactivity, "request_url", "interaction"),
            (&mut events, "request_url", "event"),
        ] {
            if let Some(place) = place.as_object_mut() {
                place.insert(key.to_owned(), address(what));
            }
        }
    }
    json!({
        "display_information": {
            "name": "Rave",
            "description": "Reviewed work on your machines, asked for and approved in Slack",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": false,
                "messages_tab_enabled": true,
                "messages_tab_read_only_enabled": false,
            },
            "bot_user": {"display_name": "rave", "always_online": true},
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": SCOPES}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": false,
            "socket_mode_enabled": *connection == Connection::Socket,
            "token_rotation_enabled": false,
        },
    })
}

/// What to do with the manifest, for the person at the terminal.
#[must_use]
pub fn next_steps(connection: &Connection) -> String {
    let (secrets, reach) = match connection {
        Connection::Http(base) => (
            "signing_secret_file = \"…\"   # Basic Information > App Credentials > Signing Secret",
            format!(
                "Restart Rave and let {}/chat/slack/ reach it. Then press\n   \
                 `Retry` at Event Subscriptions > Request URL: Slack asks, and Rave answers.",
                base.as_str().trim_end_matches('/')
            ),
        ),
        Connection::Socket => (
            "app_token_file = \"…\"        # Basic Information > App-Level Tokens, with connections:write (xapp-…)",
            "Restart Rave. Nothing has to reach it: it connects to Slack.".to_owned(),
        ),
    };
    format!(
        "1. Open https://api.slack.com/apps, press `Create New App`, choose `From a manifest` and your\n   \
         workspace, and paste the manifest as JSON.\n\
         2. Press `Install to Workspace`.\n\
         3. Put the app's secrets into files that only Rave may read, and name them in rave.toml:\n   \
         [slack]\n   \
         {secrets}\n   \
         bot_token_file = \"…\"        # OAuth & Permissions > Bot User OAuth Token (xoxb-…)\n\
         4. Say who you are. Slack shows the member id in your profile (… > Copy member ID), and in a\n   \
         browser the workspace's id in the address (app.slack.com/client/T0123/…):\n   \
         [people.ann]\n   \
         roles = [\"admin\"]\n   \
         accounts = {{ slack = \"T0123/U0123\" }}\n\
         5. {reach}\n\
         6. Invite Rave into a channel with `/invite @rave`, and type `/rave help`. Whoever Rave does\n   \
         not know is told which account they have."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_http_slack_gets_the_three_addresses() {
        let base = Url::parse("https://rave.example.com/").unwrap();
        let shown = manifest(&Connection::Http(base)).to_string();
        for what in ["command", "interaction", "event"] {
            let address = format!("\"https://rave.example.com/chat/slack/{what}\"");
            assert!(shown.contains(&address), "{shown}");
        }
        assert!(shown.contains("\"socket_mode_enabled\":false"), "{shown}");
    }

    #[test]
    fn in_socket_mode_there_is_no_address() {
        let manifest = manifest(&Connection::Socket);
        assert!(!manifest.to_string().contains("http"), "{manifest}");
        assert_eq!(manifest["settings"]["socket_mode_enabled"], true);
        assert!(next_steps(&Connection::Socket).contains("xapp-"));
    }

    #[test]
    fn descriptions_keep_slacks_limits() {
        let manifest = manifest(&Connection::Socket);
        let length = |pointer: &str| manifest.pointer(pointer).unwrap().as_str().unwrap().len();
        assert!(length("/display_information/name") <= 35);
        assert!(length("/display_information/description") <= 140);
        assert!(length("/features/bot_user/display_name") <= 80);
        assert!(length("/features/slash_commands/0/description") <= 2000);
    }
}
