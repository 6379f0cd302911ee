//! `rave setup mattermost`.

use std::path::{Path, PathBuf};

use clap::Args;
use rave_domain::audit::AuditResult;
use rave_mattermost::setup::{Baseline, Report, set_up};
use secrecy::SecretString;
use serde_json::json;

use super::record::{Done, record};
use crate::config::Config;

/// The variable that may hold the administrator's token.
const TOKEN_VARIABLE: &str = "RAVE_MATTERMOST_ADMIN_TOKEN";

/// What the command line says.
#[derive(Debug, Clone, Args)]
pub(crate) struct MattermostArgs {
    /// Where Mattermost is, as in its SiteURL [default: mattermost.url]
    #[arg(long)]
    url: Option<String>,
    /// How Mattermost reaches Rave [default: mattermost.callback_url, or server.public_url]
    #[arg(long, value_name = "URL")]
    rave_url: Option<String>,
    /// A file with a token of a system administrator; otherwise RAVE_MATTERMOST_ADMIN_TOKEN holds
    /// one. It is used for this and kept nowhere.
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The team.
    #[arg(long, default_value = "rave")]
    team: String,
    /// The channel.
    #[arg(long, default_value = "agent-control")]
    channel: String,
    /// The bot's name.
    #[arg(long, default_value = "rave")]
    bot: String,
    /// The folder for the files with the tokens [default: the data directory]
    #[arg(long, value_name = "FOLDER")]
    tokens: Option<PathBuf>,
}

/// Sets up, records it, and tells about it. The text is for standard output.
pub(crate) async fn run(
    config: &Config,
    args: &MattermostArgs,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<String, String> {
    let baseline = baseline(config, args, environment)?;
    let client = rave_mattermost::http_client().map_err(|error| error.to_string())?;
    let done = set_up(&baseline, client).await;
    let (result, made, why) = match &done {
        Ok(report) if report.missing.is_empty() => {
            (AuditResult::Ok, report.made.clone(), String::new())
        }
        Ok(report) => {
            let why = format!("missing: {}", report.missing.join("; "));
            (AuditResult::Failed, report.made.clone(), why)
        }
        Err(error) => (AuditResult::Failed, Vec::new(), error.to_string()),
    };
    let row = Done {
        event: "setup.mattermost",
        target: baseline.url.clone(),
        result,
        details: json!({"made": made, "why": why}),
    };
    let recorded = record(config, row).await;
    let report = done.map_err(|error| format!("{error}\n{recorded}"))?;
    let text = format!("{}\n{recorded}", told(&report));
    if report.missing.is_empty() {
        Ok(text)
    } else {
        Err(format!("not everything could be made\n{text}"))
    }
}

fn baseline(
    config: &Config,
    args: &MattermostArgs,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Baseline, String> {
    let section = &config.mattermost;
    let url = args.url.as_ref().or(section.url.as_ref());
    let url = url.ok_or("where is Mattermost? Say --url, or set mattermost.url")?;
    let rave_url = args
        .rave_url
        .as_ref()
        .or(section.callback_url.as_ref())
        .or(config.server.public_url.as_ref())
        .ok_or("how does Mattermost reach Rave? Say --rave-url, or set server.public_url")?;
    let folder = args.tokens.as_ref().unwrap_or(&config.store.dir);
    Ok(Baseline {
        url: url.clone(),
        admin_token: admin_token(args.admin_token_file.as_deref(), environment)?,
        rave_url: rave_url.clone(),
        team: args.team.clone(),
        channel: args.channel.clone(),
        bot: args.bot.clone(),
        // The lines for rave.toml work from any folder.
        folder: std::path::absolute(folder).map_err(|error| error.to_string())?,
    })
}

fn admin_token(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<SecretString, String> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
        None => environment
            .into_iter()
            .find(|(name, _)| name == TOKEN_VARIABLE)
            .map(|(_, value)| value)
            .unwrap_or_default(),
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(format!(
            "a token of a system administrator is needed: name its file with --admin-token-file, \
             or set {TOKEN_VARIABLE}"
        ));
    }
    Ok(token.into())
}

fn told(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut part = |heading: &str, items: &[String]| {
        if !items.is_empty() {
            lines.push(format!("{heading}:"));
            lines.extend(items.iter().map(|item| format!("- {item}")));
            lines.push(String::new());
        }
    };
    part("Found", &report.found);
    part("Made", &report.made);
    part("Missing", &report.missing);
    part(
        "For an administrator, in Mattermost's System Console",
        &report.switch_on,
    );
    lines.push("For rave.toml:".to_owned());
    lines.push(String::new());
    lines.push(report.config.clone());
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn args() -> MattermostArgs {
        MattermostArgs {
            url: None,
            rave_url: None,
            admin_token_file: None,
            team: "rave".to_owned(),
            channel: "agent-control".to_owned(),
            bot: "rave".to_owned(),
            tokens: None,
        }
    }

    fn env(value: &str) -> [(String, String); 1] {
        [(TOKEN_VARIABLE.to_owned(), value.to_owned())]
    }

    #[test]
    fn what_is_not_said_comes_from_the_configuration() {
        let mut config = Config::default();
        let error = baseline(&config, &args(), env("t")).unwrap_err();
        assert!(error.contains("--url"), "{error}");
        config.mattermost.url = Some("https://chat.example.com".to_owned());
        let error = baseline(&config, &args(), env("t")).unwrap_err();
        assert!(error.contains("--rave-url"), "{error}");
        config.server.public_url = Some("https://rave.example.com".to_owned());
        let error = baseline(&config, &args(), env(" ")).unwrap_err();
        assert!(error.contains(TOKEN_VARIABLE), "{error}");
        let set_up = baseline(&config, &args(), env(" t\n")).unwrap();
        assert_eq!(set_up.admin_token.expose_secret(), "t");
        assert_eq!(set_up.rave_url, "https://rave.example.com");
        assert!(set_up.folder.is_absolute());
    }
}
