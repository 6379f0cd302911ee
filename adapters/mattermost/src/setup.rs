//! The baseline of a Mattermost that works with Rave: a team, a channel, a slash command and a bot.
//!
//! Everything is looked for first and made only when it is missing, so doing it again changes
//! nothing. What an administrator must switch on is looked up and told, not changed.

mod files;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::base::Base;
use crate::bot::{Fault, Rest};
use crate::config::ConfigError;
use crate::setup::files::{Kept, keep};

/// The file that gets the bot's token.
pub const BOT_TOKEN_FILE: &str = "mattermost-bot.token";

/// The file that gets the slash command's token.
pub const SLASH_TOKEN_FILE: &str = "mattermost-slash.token";

/// The word after the slash.
const TRIGGER: &str = "rave";

/// The configuration of a whole server is some 60 KiB.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// What to set up, and where.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// Where Mattermost is, as in its `SiteURL`.
    pub url: String,
    /// A token of a system administrator, used here and kept nowhere.
    pub admin_token: SecretString,
    /// How Mattermost reaches Rave.
    pub rave_url: String,
    /// The team's name: 2 to 64 lower-case letters, digits and `-`.
    pub team: String,
    /// The channel's name.
    pub channel: String,
    /// The bot's name, as people mention it.
    pub bot: String,
    /// The folder for the token files.
    pub folder: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was there.
    pub found: Vec<String>,
    /// What was made or changed.
    pub made: Vec<String>,
    /// What an administrator must switch on, and where.
    pub switch_on: Vec<String>,
    /// What could not be done before that.
    pub missing: Vec<String>,
    /// Lines for `rave.toml`.
    pub config: String,
}

/// Why it could not be done. Never shows a token.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An address is not one.
    #[error(transparent)]
    Address(#[from] ConfigError),
    /// Mattermost does not do something.
    #[error("{what}: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// What Mattermost said.
        why: String,
    },
    /// The token is not an administrator's.
    #[error("the token is {user}'s, who is not a system administrator of Mattermost")]
    NoAdmin {
        /// Whose it is.
        user: String,
    },
    /// The bot's name is a person's.
    #[error("the name {name} belongs to a person in Mattermost; choose another with --bot")]
    NameTaken {
        /// Which.
        name: String,
    },
    /// A token file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[derive(Debug, Deserialize)]
struct Thing {
    id: String,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    username: String,
    #[serde(default)]
    roles: String,
    #[serde(default)]
    is_bot: bool,
}

#[derive(Debug, Deserialize)]
struct Command {
    id: String,
    token: String,
    trigger: String,
    method: String,
    url: String,
}

/// One setting-up.
struct Setup<'a> {
    baseline: &'a Baseline,
    base: Base,
    client: reqwest::Client,
    rest: Rest,
    report: Report,
}

/// Sets a Mattermost up, or finds that it is.
///
/// `client` must not follow redirects.
///
/// # Errors
/// See [`SetupError`]. What was made before stays and is found the next time.
pub async fn set_up(baseline: &Baseline, client: reqwest::Client) -> Result<Report, SetupError> {
    let base = Base::parse("url", &baseline.url)?;
    let rave = Base::parse("callback_url", &baseline.rave_url)?;
    let rest = Rest::new(base.clone(), client.clone(), baseline.admin_token.clone());
    let mut setup = Setup {
        baseline,
        base,
        client,
        rest,
        report: Report::default(),
    };
    let admin = setup.admin().await?;
    let may_make_bots = setup.settings(&rave, &admin).await;
    let team = setup.team().await?;
    let channel = setup.channel(&team).await?;
    let slash = setup.command(&team, &rave).await?;
    let bot = match setup.bot(may_make_bots).await? {
        Some(bot) => {
            setup.member(&team, &channel, &bot).await?;
            setup.bot_token(&bot).await?
        }
        None => None,
    };
    setup.report.config = config(baseline, &slash, bot.as_ref());
    Ok(setup.report)
}

impl Setup<'_> {
    fn found(&mut self, what: String) {
        self.report.found.push(what);
    }

    fn made(&mut self, what: String) {
        self.report.made.push(what);
    }

    /// What there is at a path; `None` where there is nothing.
    async fn look<T: DeserializeOwned, const N: usize>(
        &self,
        what: &str,
        path: [&str; N],
    ) -> Result<Option<T>, SetupError> {
        match self.rest.get(path, LONGEST_ANSWER).await {
            Ok(thing) => Ok(Some(thing)),
            Err(fault) if fault.is(&[404]) => Ok(None),
            Err(fault) => Err(refused(format!("looking for {what}"), &fault)),
        }
    }

    async fn make<T: DeserializeOwned, const N: usize>(
        &self,
        what: &str,
        path: [&str; N],
        body: &Value,
    ) -> Result<T, SetupError> {
        let made = self.rest.post(path, body, LONGEST_ANSWER).await;
        made.map_err(|fault| refused(format!("making {what}"), &fault))
    }

    async fn admin(&mut self) -> Result<User, SetupError> {
        let me: Option<User> = self
            .look("the account of the token", ["users", "me"])
            .await?;
        let me = me.ok_or_else(|| SetupError::Refused {
            what: "looking for the account of the token".to_owned(),
            why: "there is no Mattermost at this address".to_owned(),
        })?;
        if !me.roles.split(' ').any(|role| role == "system_admin") {
            return Err(SetupError::NoAdmin { user: me.username });
        }
        Ok(me)
    }

    /// Tells what must be switched on; whether bots may be made.
    async fn settings(&mut self, rave: &Base, admin: &User) -> bool {
        let config: Result<Value, Fault> = self.rest.get(["config"], LONGEST_ANSWER).await;
        match config {
            Ok(config) => {
                let wanted = settings::Wanted {
                    base: &self.base,
                    rave,
                    admin: &admin.username,
                };
                self.report.switch_on = wanted.of(&config);
                settings::may_make_bots(&config)
            }
            Err(fault) => {
                self.report
                    .switch_on
                    .push(format!("The settings could not be read ({fault}); look at SiteURL, EnableCommands, EnableBotAccountCreation and AllowedUntrustedInternalConnections yourself."));
                true
            }
        }
    }

    async fn team(&mut self) -> Result<String, SetupError> {
        let name = &self.baseline.team;
        let what = format!("team {name}");
        if let Some(team) = self
            .look::<Thing, _>(&what, ["teams", "name", name])
            .await?
        {
            self.found(what);
            return Ok(team.id);
        }
        let body = json!({"name": name, "display_name": "Rave", "type": "I"});
        let team: Thing = self.make(&what, ["teams"], &body).await?;
        self.made(format!("{what}, into which people are invited"));
        Ok(team.id)
    }

    async fn channel(&mut self, team: &str) -> Result<String, SetupError> {
        let name = &self.baseline.channel;
        let what = format!("channel {name}");
        let path = ["teams", team, "channels", "name", name];
        if let Some(channel) = self.look::<Thing, _>(&what, path).await? {
            self.found(what);
            return Ok(channel.id);
        }
        let body = json!({
            "team_id": team, "name": name, "display_name": "Agent control", "type": "O",
            "purpose": "Where Rave is asked and answers",
        });
        let channel: Thing = self.make(&what, ["channels"], &body).await?;
        self.made(what);
        Ok(channel.id)
    }

    /// The slash command, and the file with its token.
    async fn command(&mut self, team: &str, rave: &Base) -> Result<PathBuf, SetupError> {
        let what = format!("slash command /{TRIGGER}");
        let mut url = self.rest.at(["commands"]);
        url.query_pairs_mut()
            .append_pair("team_id", team)
            .append_pair("custom_only", "true");
        let commands: Result<Vec<Command>, Fault> = self.rest.get_at(url, LONGEST_ANSWER).await;
        let commands = commands.map_err(|fault| refused(format!("looking for {what}"), &fault))?;
        let calls = rave.at(["chat", "mattermost", "command"]);
        let body = json!({
            "team_id": team, "trigger": TRIGGER, "method": "P", "url": calls.as_str(),
            "display_name": "Rave", "description": "Ask Rave for something",
            "auto_complete": true, "auto_complete_hint": "help | intents | status | <what to do>",
            "auto_complete_desc": "Ask Rave for something",
        });
        let known = commands.into_iter().find(|it| it.trigger == TRIGGER);
        let command = match known {
            Some(command) if command.method == "P" && command.url == calls.as_str() => {
                self.found(what);
                command
            }
            Some(command) => {
                let mut body = body;
                set(&mut body, "id", json!(command.id));
                set(&mut body, "token", json!(command.token));
                let path = ["commands", command.id.as_str()];
                let changed: Result<Value, Fault> =
                    self.rest.put(path, &body, LONGEST_ANSWER).await;
                changed.map_err(|fault| refused(format!("changing {what}"), &fault))?;
                self.made(format!("{what} calls {calls} now"));
                command
            }
            None => {
                let command: Command = self.make(&what, ["commands"], &body).await?;
                self.made(format!("{what}, which calls {calls}"));
                command
            }
        };
        self.keep(SLASH_TOKEN_FILE, &command.token.into())
    }

    /// The bot account; `None` where it is not there and may not be made.
    async fn bot(&mut self, may_make: bool) -> Result<Option<String>, SetupError> {
        let name = self.baseline.bot.clone();
        let what = format!("bot account {name}");
        let path = ["users", "username", name.as_str()];
        if let Some(user) = self.look::<User, _>(&what, path).await? {
            if !user.is_bot {
                return Err(SetupError::NameTaken { name });
            }
            self.found(what);
            return Ok(Some(user.id));
        }
        if !may_make {
            self.report
                .missing
                .push(format!("The {what}: bot accounts are switched off."));
            return Ok(None);
        }
        let body = json!({
            "username": name, "display_name": "Rave",
            "description": "Keeps one message about each run",
        });
        let bot: BTreeMap<String, Value> = self.make(&what, ["bots"], &body).await?;
        let id = bot.get("user_id").and_then(Value::as_str);
        let id = id.ok_or_else(|| SetupError::Refused {
            what: format!("making {what}"),
            why: "Mattermost gave no id for it".to_owned(),
        })?;
        self.made(what);
        Ok(Some(id.to_owned()))
    }

    /// The bot in the team and the channel.
    async fn member(&mut self, team: &str, channel: &str, bot: &str) -> Result<(), SetupError> {
        let places = [("teams", team, "team"), ("channels", channel, "channel")];
        for (kind, id, word) in places {
            let what = format!("the bot's membership in the {word}");
            let path = [kind, id, "members", bot];
            let there: Option<Value> = self.look(&what, path).await?;
            // Somebody who left a team is still listed.
            let left = there.as_ref().and_then(|it| it.get("delete_at"));
            if there.is_some() && left.and_then(Value::as_i64).unwrap_or(0) == 0 {
                self.found(what);
                continue;
            }
            let body = match kind {
                "teams" => json!({"team_id": id, "user_id": bot}),
                _ => json!({"user_id": bot}),
            };
            let _: Value = self.make(&what, [kind, id, "members"], &body).await?;
            self.made(what);
        }
        Ok(())
    }

    /// The file with the bot's token: the one that is there, where it works.
    async fn bot_token(&mut self, bot: &str) -> Result<Option<PathBuf>, SetupError> {
        let path = self.baseline.folder.join(BOT_TOKEN_FILE);
        if let Some(token) = files::read(&path) {
            let rest = Rest::new(self.base.clone(), self.client.clone(), token);
            let whose: Result<Thing, Fault> = rest.who(LONGEST_ANSWER).await;
            if whose.is_ok_and(|user| user.id == bot) {
                self.found(format!("the bot's token in {}", path.display()));
                return Ok(Some(path));
            }
        }
        let what = "a token for the bot";
        let body = json!({"description": "Rave"});
        let made: BTreeMap<String, Value> =
            self.make(what, ["users", bot, "tokens"], &body).await?;
        let token = made.get("token").and_then(Value::as_str);
        let token = token.ok_or_else(|| SetupError::Refused {
            what: format!("making {what}"),
            why: "Mattermost gave none".to_owned(),
        })?;
        self.keep(BOT_TOKEN_FILE, &token.into()).map(Some)
    }

    fn keep(&mut self, name: &str, token: &SecretString) -> Result<PathBuf, SetupError> {
        let path = self.baseline.folder.join(name);
        let kept = keep(&path, token.expose_secret()).map_err(|source| SetupError::File {
            path: path.clone(),
            source,
        })?;
        let shown = path.display();
        match kept {
            Kept::Before => self.found(format!("the token in {shown}")),
            Kept::Now => self.made(format!("{shown}, which only you may read")),
        }
        Ok(path)
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}

fn refused(what: String, fault: &Fault) -> SetupError {
    SetupError::Refused {
        what,
        why: fault.to_string(),
    }
}

/// Lines for `rave.toml`.
fn config(baseline: &Baseline, slash: &std::path::Path, bot: Option<&PathBuf>) -> String {
    let quoted = |text: &str| json!(text).to_string();
    let path = |path: &std::path::Path| quoted(&path.display().to_string());
    let mut lines = vec![
        "[mattermost]".to_owned(),
        format!("url = {}", quoted(&baseline.url)),
        format!("callback_url = {}", quoted(&baseline.rave_url)),
        format!("slash_token_file = {}", path(slash)),
    ];
    lines.extend(bot.map(|bot| format!("bot_token_file = {}", path(bot))));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
