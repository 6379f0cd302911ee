//! `rave setup discord` as somebody does it for the first time, step by step as
//! docs/how-to/discord.md has it. What only the portal can do, the fake is told.

use std::path::Path;

use rave_tests::{Configuration, FakeChat as _, FakeDiscord, Seen, World};
use serde_json::json;
use tempfile::TempDir;

use crate::command_line;

/// Runs the binary; whether it was content, and all that it printed.
async fn rave(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let arguments = [arguments, &["--config", "rave.toml"]].concat();
    command_line::rave(dir, &arguments, &[]).await
}

/// What somebody has before they begin.
fn fresh() -> TempDir {
    let fresh = tempfile::tempdir().unwrap();
    let dir = fresh.path();
    std::fs::create_dir(dir.join("intents")).unwrap();
    let intent = "action: rollout\nstack: web\ncommand: rollout web\nroles: [ops]\n";
    std::fs::write(dir.join("intents/rollout_web.yaml"), intent).unwrap();
    std::fs::write(dir.join("schedules.json"), r#"{"schedules": []}"#).unwrap();
    fresh
}

/// Step 3, with what step 1 has copied.
fn configured(dir: &Path, discord: &FakeDiscord, change: impl FnOnce(&mut Configuration)) {
    let mut configuration = Configuration::new(dir, "http://127.0.0.1:9", "");
    configuration.remove("discord");
    discord.configure(&mut configuration);
    configuration.set("server.public_url", "https://rave.example.com");
    change(&mut configuration);
    std::fs::write(dir.join("rave.toml"), configuration.text()).unwrap();
}

#[tokio::test]
async fn from_nothing_to_the_first_help() {
    let discord = FakeDiscord::start().await;
    let fresh = fresh();
    let dir = fresh.path();

    // What is forgotten is named.
    configured(dir, &discord, |it| it.remove("discord.bot_token"));
    let (fine, told) = rave(dir, &["setup", "discord"]).await;
    assert!(!fine && told.contains("discord.bot_token"), "{told}");
    configured(dir, &discord, |it| it.remove("discord.application_id"));
    let (fine, told) = rave(dir, &["check"]).await;
    assert!(!fine && told.contains("application_id"), "{told}");

    // The public key of another application.
    let other = "11".repeat(32);
    configured(dir, &discord, |it| it.set("discord.public_key", other));
    let (_, told) = rave(dir, &["setup", "discord"]).await;
    assert!(
        told.contains("public_key is not the application's")
            || told.contains("public_key is not a key"),
        "{told}"
    );

    configured(dir, &discord, |_| {});
    let (fine, told) = rave(dir, &["check"]).await;
    assert!(fine, "{told}");
    let (fine, told) = rave(dir, &["setup", "discord"]).await;
    assert!(fine, "{told}");
    let address = "https://rave.example.com/chat/discord/interaction";
    assert!(told.contains(address), "{told}");
    assert!(!told.contains("b0t"), "{told}");
    let registered = discord.registrations();
    let (fine, again) = rave(dir, &["setup", "discord"]).await;
    assert!(fine && again.contains("nothing was sent"), "{again}");
    assert_eq!(discord.registrations(), registered);
    assert_eq!(discord.violations(), Vec::<String>::new());

    let bot = World::new().on_discord().start().await;
    assert!(bot.discord().takes_the_address().await);
    let Seen::Alone(help) = bot.discord().types("ann", "/rave help").await else {
        panic!("no help")
    };
    assert!(help.contains("rollout web"), "{help}");
    bot.finish().await;
}

#[tokio::test]
async fn the_audit_trail_knows_of_it_where_there_is_one() {
    let mut bot = World::new().on_discord().start().await;
    let fresh = fresh();
    configured(fresh.path(), bot.discord(), |_| {});
    let data = bot.data().display().to_string();
    let arguments = ["setup", "discord", "--data", &data];
    // Beside a running Rave it is done and cannot be recorded.
    let (fine, told) = rave(fresh.path(), &arguments).await;
    assert!(
        fine && told.contains("The audit trail does not know of this"),
        "{told}"
    );
    bot.stop().await;
    let (fine, told) = rave(fresh.path(), &arguments).await;
    assert!(fine && told.contains("has a row `setup.discord`"), "{told}");
    bot.start_again().await;
    let row = bot.audited("setup.discord").await.entry;
    // The commands were registered the first time.
    assert_eq!(row.details["made"], json!([]));
    bot.finish().await;
}
