//! Settings of the server that Rave needs (`model/config.go`).

use serde_json::Value;
use url::Host;

use crate::base::Base;

/// What settings are held against.
pub(super) struct Wanted<'a> {
    /// Where Mattermost is.
    pub(super) base: &'a Base,
    /// Where Rave is.
    pub(super) rave: &'a Base,
    /// Who sets up, and so owns the bot.
    pub(super) admin: &'a str,
}

fn service<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    config.get("ServiceSettings")?.get(key)
}

fn is_on(config: &Value, key: &str) -> bool {
    service(config, key).and_then(Value::as_bool) == Some(true)
}

/// Whether bot accounts may be made.
pub(super) fn may_make_bots(config: &Value) -> bool {
    is_on(config, "EnableBotAccountCreation")
}

impl Wanted<'_> {
    /// What must be switched on, a sentence each.
    pub(super) fn of(&self, config: &Value) -> Vec<String> {
        let mut wanted = Vec::new();
        let text = |key: &str| {
            service(config, key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let site = text("SiteURL");
        if site.is_empty() {
            wanted.push(
                "SiteURL (Environment > Web Server) is empty: set it, because slash commands fail without it."
                    .to_owned(),
            );
        } else if Base::parse("url", site).ok().as_ref() != Some(self.base) {
            wanted.push(format!(
                "SiteURL (Environment > Web Server) is {site}: later answers go to addresses under it, so mattermost.url in rave.toml must be the same."
            ));
        }
        if !is_on(config, "EnableCommands") {
            wanted.push(
                "EnableCommands (Integrations > Integration Management) is off: switch custom slash commands on."
                    .to_owned(),
            );
        }
        if !may_make_bots(config) {
            wanted.push(
                "EnableBotAccountCreation (Integrations > Bot Accounts) is off: switch it on, then do this again."
                    .to_owned(),
            );
        }
        if is_on(config, "DisableBotsWhenOwnerIsDeactivated") {
            wanted.push(format!(
                "DisableBotsWhenOwnerIsDeactivated (Integrations > Bot Accounts) is on: the bot stops when {} is deactivated.",
                self.admin
            ));
        }
        let allowed = text("AllowedUntrustedInternalConnections");
        if let Some(host) = self.inside()
            && !allowed.split([' ', ',']).any(|entry| entry == host)
        {
            wanted.push(format!(
                "AllowedUntrustedInternalConnections (Environment > Developer) does not name {host}: Mattermost calls addresses inside its own network only when they are named there, or a network around them is."
            ));
        }
        wanted
    }

    /// Rave's host, where it is one that Mattermost calls only when told to.
    fn inside(&self) -> Option<String> {
        let url = self.rave.at([]);
        let inside = match url.host()? {
            Host::Domain(name) => name == "localhost" || !name.contains('.'),
            Host::Ipv4(address) => {
                address.is_loopback() || address.is_private() || address.is_link_local()
            }
            Host::Ipv6(address) => address.is_loopback() || address.is_unique_local(),
        };
        inside.then(|| url.host_str().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(rave: &str, service: &Value) -> Vec<String> {
        let base = Base::parse("url", "https://chat.example.com").unwrap();
        let rave = Base::parse("url", rave).unwrap();
        let wanted = Wanted {
            base: &base,
            rave: &rave,
            admin: "root",
        };
        let all = wanted.of(&json!({"ServiceSettings": service}));
        let first = |sentence: String| sentence.split(' ').next().unwrap_or_default().to_owned();
        all.into_iter().map(first).collect()
    }

    #[test]
    fn a_server_that_has_it_all_wants_nothing() {
        let fine = json!({
            "SiteURL": "https://chat.example.com", "EnableCommands": true,
            "EnableBotAccountCreation": true, "DisableBotsWhenOwnerIsDeactivated": false,
            "AllowedUntrustedInternalConnections": "10.0.0.7 localhost",
        });
        for rave in [
            "https://rave.example.com",
            "http://localhost:8000",
            "http://10.0.0.7:8000",
        ] {
            assert_eq!(wanted(rave, &fine), Vec::<String>::new(), "{rave}");
        }
        for rave in [
            "http://127.0.0.1:8000",
            "http://rave:8000",
            "http://[::1]:8000",
        ] {
            let allowed = ["AllowedUntrustedInternalConnections"];
            assert_eq!(wanted(rave, &fine), allowed, "{rave}");
        }
    }

    #[test]
    fn a_fresh_server_wants_much() {
        let fresh = json!({
            "SiteURL": "", "EnableCommands": false, "EnableBotAccountCreation": false,
            "DisableBotsWhenOwnerIsDeactivated": true,
        });
        assert_eq!(
            wanted("https://rave.example.com", &fresh),
            [
                "SiteURL",
                "EnableCommands",
                "EnableBotAccountCreation",
                "DisableBotsWhenOwnerIsDeactivated"
            ]
        );
        let other = json!({"SiteURL": "https://other.example.com", "EnableCommands": true, "EnableBotAccountCreation": true});
        assert_eq!(wanted("https://rave.example.com", &other), ["SiteURL"]);
    }
}
