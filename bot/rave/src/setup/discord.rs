//! `rave setup discord`: the commands, and what a person has to enter in the developer portal.

use std::fmt::Write as _;

use rave_catalog::Catalog;
use rave_catalog::grammar::builtin::BUILTINS;
use rave_discord::{Commands, Discord, Mode, Outcome, Registered};
use rave_domain::audit::AuditResult;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::CommandSpec;
use serde_json::json;

use super::record::{Done, record};
use crate::config::Config;
use crate::host;

/// Registers the catalog's commands where they differ, and says what was found, done and left.
///
/// # Errors
/// What is missing in the configuration, or why Discord did not do it; for people.
pub async fn run(config: &Config, catalog: &Catalog) -> Result<String, String> {
    let client = rave_discord::http_client().map_err(|error| error.to_string())?;
    // Nothing is sealed with it: commands have no buttons.
    let seal = CallbackSeal::new(&[0; 32], host::random);
    let discord = Discord::new(&config.discord, client, seal).map_err(|error| error.to_string())?;
    let commands = commands(catalog);
    let registered = discord.register(&commands).await;
    let (result, made, why) = match &registered {
        Ok(Registered {
            outcome: Outcome::Same,
            ..
        }) => (AuditResult::Ok, Vec::new(), String::new()),
        Ok(_) => {
            let made = vec![format!("{} commands", commands.count())];
            (AuditResult::Ok, made, String::new())
        }
        Err(error) => (AuditResult::Failed, Vec::new(), error.to_string()),
    };
    let application = config.discord.application_id;
    let row = Done {
        event: "setup.discord",
        target: application.map_or_else(String::new, |id| id.to_string()),
        result,
        details: json!({"made": made, "why": why}),
    };
    let recorded = record(config, row).await;
    let registered = registered.map_err(|error| format!("{error}\n{recorded}"))?;
    Ok(format!(
        "{}\n{recorded}",
        report(config, &commands, &registered)
    ))
}

/// Built-ins that give way to intents: Discord has 25 places, and these are seldom typed.
const SELDOM: [&str; 2] = ["reload", "unlink"];

/// The catalog's commands as Discord has them.
pub(crate) fn commands(catalog: &Catalog) -> Commands {
    let mut own = catalog.command_specs();
    let intents = own.split_off(BUILTINS.len().min(own.len()));
    let (seldom, own): (Vec<CommandSpec>, Vec<CommandSpec>) = own
        .into_iter()
        .partition(|spec| SELDOM.contains(&spec.words.join(" ").as_str()));
    let rest: Vec<CommandSpec> = intents.into_iter().chain(seldom).collect();
    Commands::new(&own, &rest)
}

fn report(config: &Config, commands: &Commands, registered: &Registered) -> String {
    let place = match registered.guild {
        Some(guild) => format!("in the server {guild}"),
        None => "everywhere".to_owned(),
    };
    let done = match registered.outcome {
        Outcome::Created => "registered",
        Outcome::Changed => "registered anew",
        Outcome::Same => "as they should be, so nothing was sent",
    };
    let mut told = format!(
        "{} commands under /rave are {done}, {place}.\n",
        commands.count()
    );
    // Writing to a string cannot fail.
    let left_out = commands.left_out();
    if !left_out.is_empty() {
        let _ = writeln!(
            told,
            "{} have no place of their own; `/rave run intent:…` reaches every intent, and \
             built-ins are typed in another chat:",
            left_out.len()
        );
        for one in left_out {
            let _ = writeln!(told, "- {}: {}", one.words, one.why);
        }
    }
    if registered.twice {
        told.push_str(
            "The command is registered everywhere besides, so people of the server see it twice.\n",
        );
    }
    if registered.key_is_right == Some(false) {
        told.push_str(
            "discord.public_key is not the application's: copy it from \"General Information\" \
             in the developer portal, or Discord's requests are refused.\n",
        );
    }
    told.push_str(&endpoint(config, registered));
    told
}

/// What is to be entered as \"Interactions Endpoint URL\".
fn endpoint(config: &Config, registered: &Registered) -> String {
    let there = registered.endpoint.as_deref();
    if config.discord.mode == Mode::Gateway {
        return match there {
            None => "Rave connects to Discord: there is nothing to enter in the portal.".to_owned(),
            Some(url) => format!(
                "Rave connects to Discord, but interactions are sent to {url}: empty \"Interactions \
                 Endpoint URL\" in the portal."
            ),
        };
    }
    let Some(base) = &config.server.public_url else {
        return "Enter <where Discord reaches Rave>/chat/discord/interaction as \"Interactions \
                Endpoint URL\" in the portal while Rave is running; with server.public_url this \
                says the whole address."
            .to_owned();
    };
    let ours = format!("{}/chat/discord/interaction", base.trim_end_matches('/'));
    if there == Some(ours.as_str()) {
        return format!("Discord sends interactions to {ours}, as it should.");
    }
    format!(
        "Enter this as \"Interactions Endpoint URL\" in the portal while Rave is running: {ours}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(outcome: Outcome, endpoint: Option<&str>) -> Registered {
        Registered {
            outcome,
            guild: None,
            twice: false,
            key_is_right: Some(true),
            endpoint: endpoint.map(str::to_owned),
        }
    }

    #[test]
    fn the_report_says_what_is_left_to_do() {
        let mut config = Config::default();
        let commands = Commands::default();
        config.server.public_url = Some("https://rave.example.com/".to_owned());
        let url = "https://rave.example.com/chat/discord/interaction";
        let told = report(&config, &commands, &found(Outcome::Same, Some(url)));
        insta::assert_snapshot!(told, @r"
        0 commands under /rave are as they should be, so nothing was sent, everywhere.
        Discord sends interactions to https://rave.example.com/chat/discord/interaction, as it should.
        ");
        let bad = Registered {
            twice: true,
            key_is_right: Some(false),
            ..found(Outcome::Changed, None)
        };
        insta::assert_snapshot!(report(&config, &commands, &bad), @r#"
        0 commands under /rave are registered anew, everywhere.
        The command is registered everywhere besides, so people of the server see it twice.
        discord.public_key is not the application's: copy it from "General Information" in the developer portal, or Discord's requests are refused.
        Enter this as "Interactions Endpoint URL" in the portal while Rave is running: https://rave.example.com/chat/discord/interaction
        "#);
        config.discord.mode = Mode::Gateway;
        let told = endpoint(&config, &found(Outcome::Created, Some(url)));
        assert!(told.contains("empty \"Interactions"), "{told}");
    }
}
