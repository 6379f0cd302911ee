use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), environment)
}

#[test]
fn the_environment_wins_over_the_file_and_is_parsed_by_the_fields_type() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[rate_limit]\nper_minute = 7\n",
        &[
            ("RAVE__SERVER__LISTEN", "127.0.0.1:9"),
            ("RAVE__RATE_LIMIT__BURST", "3"),
            ("RAVE__SERVER__PUBLIC_READS", "false"),
            ("RAVE__MATTERMOST__SLASH_TOKEN", "one,two"),
            ("CHATOPS_API_KEY", "devkey"),
            ("ENABLE_SCHEDULER", "1"),
            ("RAVE__PEOPLE__ANN__ROLES", "ops,oncall"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!(config.rate_limit.per_minute, 7);
    assert_eq!(config.rate_limit.burst, 3);
    assert!(!config.server.public_reads);
    assert!(config.catalog.enable_scheduler);
    assert_eq!(config.mattermost.slash_token.len(), 2);
    assert!(config.server.api_key.is_some());
    assert_eq!(
        config.people.get("ann").unwrap().roles,
        OneOrMany(vec!["ops,oncall".to_owned()])
    );
}

#[test]
fn a_misspelt_key_is_an_error_with_its_line() {
    let error = load("[server]\nlissten = \"127.0.0.1:1\"\n", &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 2"), "{text}");
    assert!(text.contains("lissten"), "{text}");
    let error = load("", &[("RAVE__SERVER__LISSTEN", "x")]).unwrap_err();
    assert!(error.to_string().contains("lissten"), "{error}");
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let config = load(
        "[server]\napi_key = \"SENTINEL\"\n[mattermost]\nslash_token = [\"SENTINEL\"]\n\
         [discord]\naudit_webhook = \"https://discord.com/api/webhooks/1/SENTINEL\"\n\
         [tokens.ci]\nperson = \"ann\"\nsecret = \"SENTINEL\"\n[policy]\nrbac_json = \"SENTINEL\"\n",
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("SENTINEL"));
}

#[test]
fn the_variable_that_does_not_fit_is_named() {
    let environment = [
        ("RAVE__SERVER__LISTEN", "127.0.0.1:9"),
        ("RAVE__RATE_LIMIT__BURST", "many"),
        ("LOG_LEVEL", "INFO"),
    ];
    let error = load("", &environment).unwrap_err().to_string();
    assert!(error.contains(": RAVE__RATE_LIMIT__BURST: "), "{error}");
    let error = load("", &[("ENABLE_SCHEDULER", "perhaps")]).unwrap_err();
    assert!(error.to_string().contains("ENABLE_SCHEDULER: "), "{error}");
}

#[test]
fn a_reload_says_what_it_leaves_out() {
    let start = load("", &[]).unwrap();
    let people = load("[people.ann]\nroles = [\"ops\"]\n", &[]).unwrap();
    assert!(start.restart_for(&people).is_empty());
    let moved = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[mattermost]\nslash_token = [\"x\"]\n",
        &[("RAVE__ENGINE__MAX_PARALLEL", "9")],
    )
    .unwrap();
    assert_eq!(
        start.restart_for(&moved),
        ["server.listen", "engine", "mattermost"]
    );
}

#[test]
fn what_is_most_likely_a_slip_is_warned_of() {
    assert!(load("", &[]).unwrap().warnings().is_empty());
    let config = load(
        "[audit]\nmirror_file = \"/nowhere/at/all/audit.log\"\nanchor_file = \"anchors\"\n\
         [people.ann]\naccounts = { mattermost = \"u1\" }\n",
        &[],
    )
    .unwrap();
    assert_eq!(
        config.warnings(),
        [
            "audit.mirror_file: the folder /nowhere/at/all does not exist",
            "people have Mattermost accounts, but no [mattermost] slash_token is configured, so \
             Mattermost cannot be used"
        ]
    );
}
