//! The configuration that tests start from.

use std::path::Path;

/// Who is there: ann and bob operate, bob is on call too, root administers; eve is nobody.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
api_key = "devkey"
shutdown_grace = "300ms"

[rate_limit]
per_minute = 1000000
burst = 1000000
channel_per_minute = 1000000
address_per_minute = 1000000

[engine]
open_for = "20ms"
stop_grace = "500ms"

[people.ann]
roles = ["ops"]
accounts = { mattermost = ["u-ann", "u-ann2"] }

[people.bob]
roles = ["ops", "oncall"]
accounts = { mattermost = ["u-bob", "u-bob2"] }

[people.cem]
roles = ["oncall"]
accounts = { mattermost = "u-cem" }

[people.root]
roles = ["admin"]
accounts = { mattermost = "u-root" }

[tokens.ann]
person = "ann"
secret = "token-of-ann"

[tokens.bob]
person = "bob"
secret = "token-of-bob"

[tokens.root]
person = "root"
secret = "token-of-root"

[mattermost]
slash_token = ["slash-token"]
"#;

/// A configuration that tests change.
#[derive(Debug, Clone)]
pub struct Configuration(toml::Table);

impl Configuration {
    /// The usual people and keys, everything in a folder, with addresses of the two chats.
    #[must_use]
    pub fn new(dir: &Path, mattermost: &str, webhook: &str) -> Self {
        let mut table = Self(CONFIG.parse().unwrap());
        let path = |name: &str| dir.join(name).display().to_string();
        table.set("store.dir", path("data"));
        table.set("catalog.intents", path("intents"));
        table.set("catalog.schedules", path("schedules.json"));
        table.set("mattermost.url", mattermost);
        table.set("discord.audit_webhook", webhook);
        table
    }

    /// Sets `section.key`.
    pub fn set(&mut self, path: &str, value: impl Into<toml::Value>) {
        let keys: Vec<&str> = path.split('.').collect();
        let (last, sections) = keys.split_last().unwrap();
        let mut table = &mut self.0;
        for section in sections {
            table = table
                .entry(*section)
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .unwrap();
        }
        table.insert((*last).to_owned(), value.into());
    }

    /// Takes `section.key` out.
    pub fn remove(&mut self, path: &str) {
        let keys: Vec<&str> = path.split('.').collect();
        let (last, sections) = keys.split_last().unwrap();
        let mut table = &mut self.0;
        for section in sections {
            let Some(inner) = table.get_mut(*section).and_then(toml::Value::as_table_mut) else {
                return;
            };
            table = inner;
        }
        table.remove(*last);
    }

    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        toml::to_string(&self.0).unwrap()
    }
}
