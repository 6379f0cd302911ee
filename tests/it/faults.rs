//! What Rave needs and does not find.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use rave_tests::World;

#[tokio::test]
async fn a_second_process_on_the_same_store_is_refused() {
    let mut bot = World::new().start().await;
    let error = bot.start_twin().await.unwrap_err().to_string();
    let error = error.replace(&std::process::id().to_string(), "PID");
    assert_snapshot!(error.replace(&bot.dir().display().to_string(), "DIR"), @"DIR/data/rave.db is in use by another Rave (process PID); stop that one first, or name another directory with --data");
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_store_of_a_newer_rave_is_refused_and_left_alone() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.delivers_all().await;
    bot.stop().await;
    let file = bot.data().join("rave.db");
    let version = |number: u32| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        let present = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        connection
            .pragma_update(None, "user_version", number)
            .unwrap();
        present.unwrap()
    };
    let own = version(99);
    let before = std::fs::read(&file).unwrap();
    let error = bot.start_twin().await.unwrap_err().to_string();
    assert_snapshot!(error.replace(&bot.dir().display().to_string(), "DIR"), @"DIR/data/rave.db has format 99, and this Rave knows formats up to 3; it was left untouched: run the newer Rave, or restore the backup from before the upgrade");
    assert_eq!(
        std::fs::read(&file).unwrap(),
        before,
        "the file was touched"
    );
    version(own);
    bot.start_again().await;
    let shown = bot.says("ann", "/rave show run_0001").await;
    assert!(shown.contains("succeeded"), "{shown}");
    bot.finish().await;
}

#[tokio::test]
async fn nobody_who_could_use_it_is_a_reason_not_to_start() {
    let world = World::new()
        .without("server.api_key")
        .without("people")
        .without("tokens");
    let error = world.try_start().await.err().unwrap().to_string();
    assert_snapshot!(error, @"
    nobody could use this Rave: no key, token or person is configured
    set CHATOPS_API_KEY, or add [people.<name>] with an account and [mattermost] slash_token to rave.toml
    `rave demo` shows Rave without any configuration
    ");
}

#[tokio::test]
async fn files_with_mistakes_are_all_named_at_start() {
    let world = World::new()
        .intent("broken", "action: rolout\nstack: web\n")
        .intent(
            "lonely",
            "action: rollout\nstack: web\ndepends_on: [nothing]\n",
        )
        .intent("round", "action: rollout\nstack: web\ndepends_on: [trip]\n")
        .intent("trip", "action: rollout\nstack: web\ndepends_on: [round]\n")
        .schedules(r#"{"schedules": [{"name": "x", "intent": "gone", "cron": "61 * * * *"}]}"#);
    let error = world.try_start().await.err().unwrap().to_string();
    // Without the temporary directory.
    let error: Vec<&str> = error
        .lines()
        .map(|line| match line.split_once(": ") {
            Some((place, _)) => &line[place.rfind('/').map_or(0, |at| at + 1)..],
            None => line,
        })
        .collect();
    assert_snapshot!(error.join("\n"), @"
    the files have mistakes:
    broken.yaml:1:9: no driver offers the action `rolout`; did you mean `rollout`?
    lonely.yaml:3:14: `depends_on` names the intent `nothing`, which does not exist
    round.yaml:3:14: dependencies go in a circle: round → trip → round; take one of them out of `depends_on`
    schedules.json:1:40: the intent `gone` does not exist
    schedules.json:1:56: `61 * * * *` is not a crontab line: Component error: Number out of bounds; they are minute, hour, day of the month, month and day of the week
    ");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused() {
    let mut bot = World::new().start().await;
    bot.stop().await;
    let key = bot.data().join("seal.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = bot.start_twin().await.unwrap_err().to_string();
    assert_snapshot!(error.replace(&bot.dir().display().to_string(), "DIR"), @"the key file cannot be used: DIR/data/seal.key may be read by others; run `chmod 600` on it");
}

#[tokio::test]
async fn commands_that_only_read_write_nothing() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.delivers_all().await;
    let before = bot.store().stats();
    for line in [
        "",
        "help",
        "help rollout",
        "intents",
        "plan rollout media",
        "rollout media --dry-run",
        "runs",
        "show run_0001",
        "logs run_0001",
        "schedules",
        "freezes",
        "locks",
        "whoami",
        "status",
        "rolout",
    ] {
        bot.says("ann", line).await;
    }
    bot.says("root", "/rave audit").await;
    let api = bot.api();
    for path in [
        "/status",
        "/metrics",
        "/intents",
        "/healthz",
        "/readyz",
        "/schedules",
        "/api/v1/runs",
    ] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    assert_eq!(bot.store().stats(), before);
    bot.finish().await;
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_and_nothing_is_done() {
    let mut bot = World::new().start().await;
    let file = bot.data().join("rave.db");
    let tamper = |sql: &str| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    tamper("ALTER TABLE events RENAME TO elsewhere");
    let held = bot.says("ann", "/rave rollout web").await;
    assert!(held.contains("is recorded and goes on by itself"), "{held}");
    assert_eq!(bot.stacks().calls(), Vec::<String>::new());
    tamper("ALTER TABLE elsewhere RENAME TO events");

    bot.hears_with("is running").await;
    bot.hears_with("succeeded").await;
    // What could not be written was not begun, and what was begun is the run that is on record.
    assert_eq!(bot.stacks().calls(), ["rollout_web"]);
    bot.expects_error("store_failed");
    bot.expects_error("a commit failed");
    bot.finish().await;
}
