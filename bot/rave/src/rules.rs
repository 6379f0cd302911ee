//! From configuration and files to the rules in force: catalog and policy, all or nothing.

use std::path::Path;
use std::sync::Arc;

use rave_catalog::{Catalog, source};
use rave_domain::ports::driver::Actions;
use rave_engine::Rules;
use rave_policy::{Channels, KeyFileText, Keys, People, Policy, PolicyFile, PolicyInput, Tokens};
use secrecy::SecretString;

use crate::config::{CatalogConfig, Config};

/// The words of the CLI that intents may not take.
const CLI_WORDS: [&str; 12] = [
    "init",
    "setup",
    "token",
    "gateway enroll",
    "secrets init",
    "tls bootstrap",
    "serve",
    "check",
    "demo",
    "backup",
    "restore",
    "policy",
];

/// Loads and checks everything that decides what may be done.
///
/// # Errors
/// All mistakes of all files, one per line, each with its place.
pub fn load(config: &Config, actions: &Actions) -> Result<Rules, String> {
    let sources = source::read_dir(&config.catalog.intents).map_err(|faults| faults.to_string())?;
    let schedules =
        source::read_file(&config.catalog.schedules).map_err(|faults| faults.to_string())?;
    // Without a name of its own there need not be a file; a name that leads nowhere is a mistake.
    if schedules.is_none() && config.catalog.schedules != CatalogConfig::default().schedules {
        return Err(format!(
            "{}: this does not exist; `--schedules` or `[catalog] schedules` says where the \
             schedules are",
            config.catalog.schedules.display()
        ));
    }
    let settings = rave_catalog::Settings {
        approved_label: config.catalog.approved_label.clone(),
        reserved_words: CLI_WORDS.iter().map(|word| (*word).to_owned()).collect(),
    };
    let catalog = Catalog::load(&sources, schedules.as_ref(), actions, &settings)
        .map_err(|faults| faults.to_string())?;
    let policy = policy(config, &catalog)?;
    let names: Vec<_> = catalog.iter().map(|intent| &intent.name).collect();
    let channels = Channels::load(&config.channels, &names).map_err(|faults| faults.to_string())?;
    Ok(Rules::new(Arc::new(catalog), Arc::new(policy)).with_channels(channels))
}

fn policy(config: &Config, catalog: &Catalog) -> Result<Policy, String> {
    let global = config.api_key().map_err(|error| error.to_string())?;
    let keys = Keys::load(global.as_ref(), key_file(config)?.as_ref())
        .map_err(|faults| faults.to_string())?;
    let tokens = config
        .tokens
        .iter()
        .map(|(name, token)| token.resolve(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let files = config
        .policy
        .files
        .0
        .iter()
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|path| !path.is_empty())
        .map(|path| {
            read(Path::new(path)).map(|text| PolicyFile {
                path: path.to_owned(),
                text,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let people = People::load(&config.people).map_err(|faults| faults.to_string())?;
    let tokens = Tokens::load(&tokens, &people).map_err(|faults| faults.to_string())?;
    Policy::load(PolicyInput {
        people,
        tokens,
        keys,
        files,
        intents: rave_engine::intent_facts(catalog),
    })
    .map_err(|faults| faults.to_string())
}

/// The seed's key file: the variable wins over the file.
fn key_file(config: &Config) -> Result<Option<KeyFileText>, String> {
    if let Some(text) = &config.policy.rbac_json {
        return Ok(Some(KeyFileText {
            origin: "CHATOPS_RBAC_JSON".to_owned(),
            text: text.clone(),
        }));
    }
    let Some(path) = &config.policy.rbac_file else {
        return Ok(None);
    };
    Ok(Some(KeyFileText {
        origin: path.display().to_string(),
        text: SecretString::from(read(path)?),
    }))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
