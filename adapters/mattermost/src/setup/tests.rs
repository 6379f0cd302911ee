use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::script::Script;

fn baseline(script: &Script, folder: &Path) -> Baseline {
    Baseline {
        url: script.base().text().to_owned(),
        admin_token: "adm1n-token".into(),
        rave_url: "https://rave.example.com".to_owned(),
        team: "rave".to_owned(),
        channel: "agent-control".to_owned(),
        bot: "rave".to_owned(),
        folder: folder.to_owned(),
    }
}

async fn run(script: &Script, folder: &Path) -> Result<Report, SetupError> {
    let client = crate::http_client().unwrap();
    set_up(&baseline(script, folder), client).await
}

fn settings(script: &Script, bots: bool) -> Value {
    json!({"ServiceSettings": {
        "SiteURL": script.base().text(), "EnableCommands": true,
        "EnableBotAccountCreation": bots, "DisableBotsWhenOwnerIsDeactivated": false,
    }})
}

fn admin(script: &Script, bots: bool) {
    let root = json!({"id": "u-root", "username": "root", "roles": "system_user system_admin"});
    script.on("GET /api/v4/users/me", 200, &root).on(
        "GET /api/v4/config",
        200,
        &settings(script, bots),
    );
}

fn missing() -> Value {
    json!({"id": "app.missing.app_error", "message": "Fehlt"})
}

fn command(url: &str) -> Value {
    json!({"id": "k1", "token": "sl4sh", "trigger": "rave", "method": "P", "url": url})
}

const CALLS: &str = "https://rave.example.com/chat/mattermost/command";

#[tokio::test]
async fn an_empty_server_gets_all_of_it_and_tokens_stay_private() {
    let script = Script::start().await;
    let dir = tempfile::tempdir().unwrap();
    admin(&script, true);
    script
        .on("GET /api/v4/teams/name/rave", 404, &missing())
        .on("POST /api/v4/teams", 201, &json!({"id": "t1"}))
        .on(
            "GET /api/v4/teams/t1/channels/name/agent-control",
            404,
            &missing(),
        )
        .on("POST /api/v4/channels", 201, &json!({"id": "c1"}))
        .on(
            "GET /api/v4/commands?team_id=t1&custom_only=true",
            200,
            &json!([]),
        )
        .on("POST /api/v4/commands", 201, &command(CALLS))
        .on("GET /api/v4/users/username/rave", 404, &missing())
        .on(
            "POST /api/v4/bots",
            201,
            &json!({"user_id": "b1", "username": "rave"}),
        )
        .on("GET /api/v4/teams/t1/members/b1", 404, &missing())
        .on("POST /api/v4/teams/t1/members", 201, &json!({}))
        .on("GET /api/v4/channels/c1/members/b1", 404, &missing())
        .on("POST /api/v4/channels/c1/members", 201, &json!({}))
        .on(
            "POST /api/v4/users/b1/tokens",
            200,
            &json!({"id": "x", "token": "b0t"}),
        );
    let report = run(&script, dir.path()).await.unwrap();
    for asked in script.asked() {
        assert_eq!(
            asked.headers["authorization"], "Bearer adm1n-token",
            "{}",
            asked.line
        );
    }
    assert_eq!(report.found, Vec::<String>::new());
    assert_eq!(report.made.len(), 8, "{:#?}", report.made);
    assert_eq!((report.switch_on, report.missing), (vec![], vec![]));
    for (name, token) in [(SLASH_TOKEN_FILE, "sl4sh\n"), (BOT_TOKEN_FILE, "b0t\n")] {
        let path = dir.path().join(name);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // The lines work as they are.
    let table: toml::Table = report.config.parse().unwrap();
    let config: crate::MattermostConfig = table["mattermost"].clone().try_into().unwrap();
    assert_eq!(config.tokens().unwrap().len(), 1);
    assert!(config.bot().unwrap().is_some());
    assert!(!report.config.contains("b0t\""), "{}", report.config);
}

#[tokio::test]
async fn doing_it_again_changes_nothing() {
    let script = Script::start().await;
    let dir = tempfile::tempdir().unwrap();
    keep(&dir.path().join(SLASH_TOKEN_FILE), "sl4sh").unwrap();
    keep(&dir.path().join(BOT_TOKEN_FILE), "b0t").unwrap();
    admin(&script, true);
    let bot = json!({"id": "b1", "username": "rave", "is_bot": true});
    script
        .on("GET /api/v4/teams/name/rave", 200, &json!({"id": "t1"}))
        .on(
            "GET /api/v4/teams/t1/channels/name/agent-control",
            200,
            &json!({"id": "c1"}),
        )
        .on("GET /api/v4/commands", 200, &json!([command(CALLS)]))
        .on("GET /api/v4/users/username/rave", 200, &bot)
        .on(
            "GET /api/v4/teams/t1/members/b1",
            200,
            &json!({"delete_at": 0}),
        )
        .on("GET /api/v4/channels/c1/members/b1", 200, &json!({}))
        .on("GET /api/v4/users/me", 200, &bot);
    let report = run(&script, dir.path()).await.unwrap();
    assert_eq!(report.made, Vec::<String>::new());
    assert_eq!(report.found.len(), 8, "{:#?}", report.found);
    assert_eq!(
        script.asked().pop().unwrap().headers["authorization"],
        "Bearer b0t"
    );
}

#[tokio::test]
async fn without_bot_accounts_the_rest_is_made_and_said() {
    let script = Script::start().await;
    let dir = tempfile::tempdir().unwrap();
    admin(&script, false);
    script
        .on("GET /api/v4/teams/name/rave", 200, &json!({"id": "t1"}))
        .on(
            "GET /api/v4/teams/t1/channels/name/agent-control",
            200,
            &json!({"id": "c1"}),
        )
        .on(
            "GET /api/v4/commands",
            200,
            &json!([command("https://old.example.com/x")]),
        )
        .on("PUT /api/v4/commands/k1", 200, &json!({}))
        .on("GET /api/v4/users/username/rave", 404, &missing());
    let report = run(&script, dir.path()).await.unwrap();
    let changed = script.asked()[5].body.clone();
    assert_eq!(
        (&changed["url"], &changed["token"]),
        (&json!(CALLS), &json!("sl4sh"))
    );
    assert!(report.switch_on[0].starts_with("EnableBotAccountCreation"));
    assert_eq!(report.missing.len(), 1);
    assert!(!report.config.contains("bot_token"), "{}", report.config);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_without_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let somebody = json!({"id": "u1", "username": "ann", "roles": "system_user"});
    let person = json!({"id": "u2", "username": "rave", "is_bot": false});
    let no = json!({"id": "api.context.permissions.app_error"});

    let script = Script::start().await;
    script.on("GET /api/v4/users/me", 200, &somebody);
    let error = run(&script, dir.path()).await.unwrap_err().to_string();
    assert!(
        error.contains("ann's, who is not a system administrator"),
        "{error}"
    );

    let script = Script::start().await;
    script.on("GET /api/v4/users/me", 401, &no);
    let error = run(&script, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("does not take the token"), "{error}");
    assert!(!error.contains("adm1n-token"), "{error}");

    let script = Script::start().await;
    admin(&script, true);
    script
        .on("GET /api/v4/teams/name/rave", 404, &missing())
        .on("POST /api/v4/teams", 403, &no);
    let error = run(&script, dir.path()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "making team rave: Mattermost answered 403: api.context.permissions.app_error"
    );

    let script = Script::start().await;
    admin(&script, true);
    script
        .on("GET /api/v4/teams/name/rave", 200, &json!({"id": "t1"}))
        .on(
            "GET /api/v4/teams/t1/channels/name/agent-control",
            200,
            &json!({"id": "c1"}),
        )
        .on("GET /api/v4/commands", 200, &json!([command(CALLS)]))
        .on("GET /api/v4/users/username/rave", 200, &person);
    let error = run(&script, dir.path()).await.unwrap_err();
    assert!(matches!(error, SetupError::NameTaken { .. }), "{error}");
}
