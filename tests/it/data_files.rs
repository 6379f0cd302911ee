//! Files of the repository that are data: they load, they are complete.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rave::config::Config;
use rave_domain::ErrorCode;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn the_shipped_intents_and_schedules_load_with_the_real_drivers() {
    let config = Config::load(
        None,
        [
            ("RAVE__CATALOG__INTENTS", root().join("intents")),
            ("RAVE__CATALOG__SCHEDULES", root().join("schedules.json")),
        ]
        .map(|(name, path)| (name.to_owned(), path.display().to_string())),
    )
    .unwrap();
    let actions = rave::app::configured_actions(&config).unwrap();
    let rules = rave::rules::load(&config, &actions).unwrap();
    assert_eq!(rules.catalog.len(), 12);
    assert_eq!(rules.catalog.schedules().len(), 2);
}

#[test]
fn the_example_configuration_works_and_names_every_section() {
    let file = root().join("deploy/rave.toml");
    let config = Config::load(Some(&file), []).unwrap();
    assert_eq!(config.people.len(), 4);
    let text = std::fs::read_to_string(file).unwrap();
    for section in [
        "server",
        "store",
        "catalog",
        "policy",
        "rate_limit",
        "engine",
        "audit",
        "log",
        "people.ann",
        "tokens.ci",
        "mattermost",
        "discord",
        "compose",
    ] {
        assert!(
            text.contains(&format!("\n[{section}]\n")),
            "{section} is missing"
        );
    }
}

#[test]
fn the_example_configuration_states_the_defaults() {
    let file = root().join("deploy/rave.toml");
    let example = Config::load(Some(&file), []).unwrap();
    let default = Config::default();
    let shown = |config: &Config| {
        [
            format!("{:?}", config.engine),
            format!("{:?}", config.rate_limit),
            format!("{:?}", config.log),
            format!("{:?}", config.compose),
            format!("{:?}", config.server),
            config.catalog.approved_label.clone(),
        ]
    };
    assert_eq!(shown(&example), shown(&default));
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README" && name != "index")
        .collect();
    let codes: BTreeSet<String> = ErrorCode::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(pages, codes);
}
