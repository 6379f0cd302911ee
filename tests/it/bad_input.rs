//! Requests that are malformed, oversized, mistyped, forged: each a clear error, and nothing
//! changed.

use rave_tests::{Answer, Bot, World};

/// A request that must not work, and what comes of it.
struct Bad {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    key: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    status: u16,
    code: &'static str,
}

fn bad(
    what: &'static str,
    path: &'static str,
    body: impl Into<String>,
    status: u16,
    code: &'static str,
) -> Bad {
    Bad {
        what,
        method: "POST",
        path,
        key: "devkey",
        headers: &[("content-type", "application/json")],
        body: body.into(),
        status,
        code,
    }
}

fn get(
    what: &'static str,
    path: &'static str,
    key: &'static str,
    status: u16,
    code: &'static str,
) -> Bad {
    Bad {
        method: "GET",
        key,
        headers: &[],
        ..bad(what, path, "", status, code)
    }
}

/// Endpoints that take a JSON body, with one that works.
const BODIES: [(&str, &str); 6] = [
    ("/run", r#"{"name":"rollout_web"}"#),
    ("/orchestrate", r#"{"intents":["rollout_web"]}"#),
    ("/schedules/run_now", r#"{"intent":"rollout_web"}"#),
    ("/api/v1/runs", r#"{"intents":["rollout_web"]}"#),
    ("/api/v1/runs/run_0001/deny", r#"{"reason":"x"}"#),
    (
        "/api/v1/runs/run_0001/steps/1/resolve",
        r#"{"verdict":"happened"}"#,
    ),
];

fn of_every_body() -> Vec<Bad> {
    let mut all = Vec::new();
    for (path, good) in BODIES {
        let keyed = |key: &'static str, status, code| Bad {
            key,
            ..bad("key", path, good, status, code)
        };
        all.push(keyed("", 401, "unauthorized"));
        all.push(keyed("wrong", 401, "unauthorized"));
        all.push(bad("no JSON", path, "{", 422, "invalid_body"));
        all.push(bad("not an object", path, "[]", 422, "invalid_body"));
        all.push(bad(
            "not UTF-8 escapes",
            path,
            r#"{"name":"\ud800"}"#,
            422,
            "invalid_body",
        ));
        all.push(bad(
            "unknown field",
            path,
            good.replacen('{', r#"{"colour":"blue","#, 1),
            422,
            "invalid_body",
        ));
        all.push(bad(
            "deep",
            path,
            format!("{}1{}", "[".repeat(5000), "]".repeat(5000)),
            422,
            "invalid_body",
        ));
        all.push(bad(
            "too large",
            path,
            format!(r#"{{"name":"{}"}}"#, "x".repeat(1_100_000)),
            413,
            "body_too_large",
        ));
        all.push(Bad {
            headers: &[("content-type", "text/plain")],
            ..bad("content type", path, good, 415, "unsupported_media_type")
        });
        all.push(Bad {
            method: "PUT",
            ..bad("method", path, good, 405, "method_not_allowed")
        });
    }
    all
}

fn of_fields() -> Vec<Bad> {
    vec![
        bad("name missing", "/run", "{}", 422, "invalid_body"),
        bad("name null", "/run", r#"{"name":null}"#, 422, "invalid_body"),
        bad("name number", "/run", r#"{"name":1}"#, 422, "invalid_body"),
        bad(
            "name unknown",
            "/run",
            r#"{"name":"nothing"}"#,
            404,
            "unknown_intent",
        ),
        bad(
            "name leaves the folder",
            "/run",
            r#"{"name":"../intents/rollout_web"}"#,
            404,
            "unknown_intent",
        ),
        bad(
            "name is a path",
            "/run",
            r#"{"name":"/etc/passwd"}"#,
            404,
            "unknown_intent",
        ),
        bad(
            "name with nul",
            "/run",
            r#"{"name":"rollout_web\u0000"}"#,
            404,
            "unknown_intent",
        ),
        bad(
            "dry_run text",
            "/run",
            r#"{"name":"rollout_web","dry_run":"perhaps"}"#,
            422,
            "invalid_body",
        ),
        bad(
            "wait negative",
            "/run",
            r#"{"name":"rollout_web","wait":-1}"#,
            422,
            "invalid_body",
        ),
        bad(
            "argument unknown",
            "/run",
            r#"{"name":"rollout_web","arguments":{"x":1}}"#,
            400,
            "invalid_argument",
        ),
        bad(
            "argument missing",
            "/run",
            r#"{"name":"scale_web"}"#,
            400,
            "invalid_argument",
        ),
        bad(
            "argument of the wrong type",
            "/run",
            r#"{"name":"scale_web","arguments":{"count":"many"}}"#,
            400,
            "invalid_argument",
        ),
        bad(
            "argument out of range",
            "/run",
            r#"{"name":"scale_web","arguments":{"count":-1}}"#,
            400,
            "invalid_argument",
        ),
        bad(
            "arguments no map",
            "/run",
            r#"{"name":"scale_web","arguments":[1]}"#,
            422,
            "invalid_body",
        ),
        bad(
            "a field twice",
            "/run",
            r#"{"name":"look","name":"rollout_web"}"#,
            422,
            "invalid_body",
        ),
        bad(
            "intents text",
            "/orchestrate",
            r#"{"intents":"rollout_web"}"#,
            422,
            "invalid_body",
        ),
        bad(
            "intents of numbers",
            "/orchestrate",
            r#"{"intents":[1]}"#,
            422,
            "invalid_body",
        ),
        bad("intents missing", "/orchestrate", "{}", 422, "invalid_body"),
        bad(
            "no intents",
            "/api/v1/runs",
            r#"{"intents":[]}"#,
            422,
            "invalid_body",
        ),
        bad(
            "unwind",
            "/api/v1/runs",
            r#"{"intents":["look"],"unwind":"all"}"#,
            422,
            "invalid_body",
        ),
        bad(
            "verdict",
            "/api/v1/runs/run_0001/steps/1/resolve",
            r#"{"verdict":"maybe"}"#,
            422,
            "invalid_body",
        ),
        bad(
            "unknown run",
            "/api/v1/runs/run_9999/approve",
            "",
            404,
            "unknown_run",
        ),
        bad(
            "no run id",
            "/api/v1/runs/..%2f..%2fetc/approve",
            "",
            404,
            "unknown_run",
        ),
        bad(
            "step zero",
            "/api/v1/runs/run_0001/steps/0/resolve",
            r#"{"verdict":"happened"}"#,
            404,
            "unknown_step",
        ),
        bad(
            "ended run",
            "/api/v1/runs/run_0001/cancel",
            "",
            409,
            "wrong_state",
        ),
        bad("yaml missing", "/validate", "{}", 422, "invalid_body"),
        bad(
            "yaml number",
            "/validate",
            r#"{"yaml_content":1}"#,
            422,
            "invalid_body",
        ),
        bad("no such path", "/webhook/github", "{}", 404, "not_found"),
        bad("no such path", "/nothing", "", 404, "not_found"),
        get(
            "run of nobody",
            "/api/v1/runs/run_9999",
            "devkey",
            404,
            "unknown_run",
        ),
        get(
            "step of nobody",
            "/api/v1/runs/run_0001/steps/9/output",
            "devkey",
            404,
            "unknown_step",
        ),
        get(
            "limit",
            "/api/v1/runs?limit=0",
            "devkey",
            400,
            "invalid_argument",
        ),
        get(
            "state",
            "/api/v1/runs?state=dancing",
            "devkey",
            400,
            "invalid_argument",
        ),
        get(
            "parameter",
            "/api/v1/runs?colour=blue",
            "devkey",
            400,
            "invalid_argument",
        ),
        get(
            "audit without the right",
            "/api/v1/audit",
            "token-of-ann",
            403,
            "policy_denied",
        ),
        get(
            "runs without a key",
            "/api/v1/runs",
            "",
            401,
            "unauthorized",
        ),
        get(
            "catalog without a key",
            "/api/v1/catalog",
            "",
            401,
            "unauthorized",
        ),
        get(
            "locks without a key",
            "/api/v1/locks",
            "wrong",
            401,
            "unauthorized",
        ),
    ]
}

#[tokio::test]
async fn every_endpoint_refuses_what_it_cannot_use_and_changes_nothing() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.delivers_all().await;
    let effects = bot.stacks().calls();
    let before = without_refused(&bot.dump());
    let mut wrong = Vec::new();
    for request in of_every_body().into_iter().chain(of_fields()) {
        let answer = send(&bot, &request).await;
        let told = answer.body["request_id"].is_string() && !answer.detail().is_empty();
        if (answer.status, answer.code()) != (request.status, request.code) || !told {
            wrong.push(format!(
                "{} {} {}: expected {} {}, got {} {}",
                request.what,
                request.method,
                request.path,
                request.status,
                request.code,
                answer.status,
                answer.text.chars().take(300).collect::<String>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(without_refused(&bot.dump()), before);
    assert_eq!(bot.stacks().calls(), effects);
    for event in ["auth.refused", "intent_invalid", "run.cancel_refused"] {
        bot.audited(event).await;
    }
    bot.finish().await;
}

#[tokio::test]
async fn forged_and_malformed_slash_commands_change_nothing() {
    let mut bot = World::new().start().await;
    let url = bot.mattermost().response_url("ann");
    let before = bot.dump();
    let good = bot.form("ann", "/rave rollout web", "t", &url);
    let with = |key: &str, value: Option<&str>| -> Vec<(String, String)> {
        let mut form = good.clone();
        form.retain(|(name, _)| name != key);
        form.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        form
    };
    for (what, form, status, code) in [
        ("no token", with("token", None), 401, "unauthorized"),
        (
            "wrong token",
            with("token", Some("slash-tokem")),
            401,
            "unauthorized",
        ),
        ("empty token", with("token", Some("")), 401, "unauthorized"),
        (
            "nobody",
            with("user_id", Some("u-eve")),
            200,
            "unknown_account",
        ),
        ("no user", with("user_id", None), 200, "user_id is missing"),
        (
            "no trigger",
            with("trigger_id", None),
            200,
            "trigger_id is missing",
        ),
        (
            "long trigger",
            with("trigger_id", Some(&"t".repeat(5000))),
            200,
            "trigger_id is not an id",
        ),
        (
            "control characters",
            with("user_id", Some("u-ann\n")),
            200,
            "user_id is not an id",
        ),
        (
            "long text",
            with("text", Some(&"x".repeat(5000))),
            200,
            "bad_request",
        ),
        (
            "hidden characters",
            with("text", Some("rollout\u{202e} web")),
            200,
            "bad_request",
        ),
        (
            "unknown",
            with("text", Some("dance")),
            200,
            "unknown_command",
        ),
        (
            "name of another",
            with("user_name", Some("root")),
            200,
            "run_0001",
        ),
    ] {
        let answer = bot.post_form(&form).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.text.contains(code), "{what}: {}", answer.text);
        if what != "name of another" {
            assert_eq!(bot.dump(), before, "{what}");
        }
    }
    let audited = bot.audited("run.requested").await.entry;
    assert_eq!(
        audited.person.unwrap().as_str(),
        "ann",
        "ids count, names do not"
    );
    bot.hears().await;
    let mut twice = good.clone();
    twice.push(("text".to_owned(), "rollout content".to_owned()));
    assert!(bot.post_form(&twice).await.text.contains("more than once"));
    let api = bot.api().with_key("");
    let json = api
        .post(
            "/chat/mattermost/command",
            &serde_json::json!({"token": "slash-token"}),
        )
        .await;
    assert_eq!(json.status, 401, "{}", json.text);
    let large = with("text", Some(&"x".repeat(1_100_000)));
    assert_eq!(bot.post_form(&large).await.status, 413);
    bot.audited("signature.refused").await;
    bot.audited("account.unknown").await;
    bot.alerted("Authentication failure").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_response_url_elsewhere_is_not_called() {
    let mut bot = World::new().start().await;
    let elsewhere = rave_tests::FakeMattermost::start(std::sync::Arc::default()).await;
    let url = elsewhere.response_url("ann");
    let form = bot.form("ann", "/rave rollout web", "t", &url);
    assert_eq!(bot.post_form(&form).await.status, 200);
    bot.reaches("run_0001", "succeeded").await;
    bot.says("ann", "/rave show run_0001").await;
    bot.delivers_all().await;
    assert_eq!(elsewhere.all(), []);
    bot.finish().await;
}

async fn send(bot: &Bot, request: &Bad) -> Answer {
    let api = bot.api().with_key(request.key);
    let mut builder = api.request(request.method, request.path);
    for (name, value) in request.headers {
        builder = builder.header(*name, *value);
    }
    api.send(builder.body(request.body.clone())).await
}

/// Refused requests stay in the inbox, so that a repeat gets the same refusal.
fn without_refused(dump: &str) -> String {
    dump.lines()
        .filter(|line| !line.contains("{\"refused\":"))
        .collect::<Vec<_>>()
        .join("\n")
}
