//! `rave setup mattermost` as somebody does it for the first time, step by step as
//! docs/how-to/mattermost.md has it.

use std::path::Path;
use std::sync::Arc;

use rave_tests::{FakeChat as _, FakeMattermost, Seen, TestClock, World};

use crate::command_line;

/// Runs the binary; whether it was content, and all that it printed.
async fn rave(dir: &Path, arguments: &[&str], token: &str) -> (bool, String) {
    command_line::rave(dir, arguments, &[("RAVE_MATTERMOST_ADMIN_TOKEN", token)]).await
}

#[tokio::test]
async fn from_nothing_to_the_first_help() {
    let mattermost = FakeMattermost::start(Arc::new(TestClock::default())).await;
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "setup",
        "mattermost",
        "--url",
        mattermost.base(),
        "--rave-url",
        "http://127.0.0.1:8000",
        "--tokens",
        "keys",
    ];
    // Bot accounts are off in a fresh Mattermost.
    mattermost.forbids_bots();
    let token = mattermost.admin_token();
    let (fine, told) = rave(dir.path(), &arguments, token).await;
    assert!(!fine, "{told}");
    assert!(told.contains("EnableBotAccountCreation"), "{told}");
    assert!(
        told.contains("AllowedUntrustedInternalConnections"),
        "{told}"
    );

    mattermost.allows_bots();
    let (fine, told) = rave(dir.path(), &arguments, token).await;
    assert!(fine, "{told}");
    for secret in [token, "slash-token", "bot-token"] {
        assert!(!told.contains(secret), "{told}");
    }
    let changes = mattermost.changes();
    let (fine, again) = rave(dir.path(), &arguments, token).await;
    assert!(fine && !again.contains("Made:"), "{again}");
    assert_eq!(mattermost.changes(), changes, "{again}");
    assert_eq!(mattermost.violations(), Vec::<String>::new());

    // Rave has moved: the command goes with it, and back.
    for (address, calls) in [
        ("http://127.0.0.1:9000", "calls http://127.0.0.1:9000/"),
        ("http://127.0.0.1:8000", "calls http://127.0.0.1:8000/"),
    ] {
        let moved = arguments.map(|argument| match argument {
            "http://127.0.0.1:8000" => address,
            other => other,
        });
        let (fine, told) = rave(dir.path(), &moved, token).await;
        assert!(fine && told.contains(calls), "{told}");
    }

    // A token that is not an administrator's does nothing.
    let (fine, told) = rave(dir.path(), &arguments, "bot-token").await;
    assert!(
        !fine && told.contains("not a system administrator"),
        "{told}"
    );

    // What was printed is a configuration.
    let (_, lines) = again.split_once("For rave.toml:").unwrap();
    let (lines, _) = lines.split_once("\n\nThere is no journal").unwrap();
    let config = format!("server.api_key = 'devkey'\n{lines}\n[people.ann]\nroles = ['ops']\n");
    std::fs::write(dir.path().join("rave.toml"), config).unwrap();
    std::fs::create_dir(dir.path().join("intents")).unwrap();
    std::fs::write(dir.path().join("schedules.json"), r#"{"schedules": []}"#).unwrap();
    let (fine, told) = rave(dir.path(), &["check", "--config", "rave.toml"], "").await;
    assert!(fine, "{told}");

    let keys = |name: &str| dir.path().join("keys").join(name).display().to_string();
    let bot = World::new()
        .without("mattermost.slash_token")
        .config(
            "mattermost.slash_token_file",
            keys("mattermost-slash.token"),
        )
        .config("mattermost.bot_token_file", keys("mattermost-bot.token"))
        .config("mattermost.callback_url", "http://rave.test")
        .start()
        .await;
    let Seen::Alone(help) = bot.mattermost().types("ann", "help").await else {
        panic!("no help")
    };
    assert!(help.contains("rollout web"), "{help}");
    bot.finish().await;
}

#[tokio::test]
async fn the_audit_trail_knows_of_it_where_there_is_one() {
    let mut bot = World::new().start().await;
    let base = bot.mattermost().base().to_owned();
    let data = bot.data().display().to_string();
    let arguments = [
        "setup",
        "mattermost",
        "--url",
        &base,
        "--rave-url",
        "https://rave.example.com",
        "--data",
        &data,
    ];
    let token = bot.mattermost().admin_token();
    // Beside a running Rave it is done and cannot be recorded.
    let (fine, told) = rave(bot.dir(), &arguments, token).await;
    assert!(fine, "{told}");
    assert!(
        told.contains("The audit trail does not know of this"),
        "{told}"
    );

    bot.stop().await;
    let (fine, told) = rave(bot.dir(), &arguments, token).await;
    assert!(
        fine && told.contains("has a row `setup.mattermost`"),
        "{told}"
    );
    bot.start_again().await;
    bot.audited("setup.mattermost").await;
    bot.finish().await;
}
