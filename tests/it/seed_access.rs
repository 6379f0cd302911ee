//! Who may use the seed's API: keys, key files, addresses, rates.

use rave_tests::World;
use serde_json::json;

const KEYS: &str = r#"{"keys": {
    "reader": {"endpoints": ["schedules"]},
    "roller": {"endpoints": ["run", "orchestrate"], "actions": ["rollout"], "stacks": ["web"]},
    "anything": {"endpoints": ["*"], "actions": ["*"], "stacks": ["*"]},
    "empty-lists": {"endpoints": [], "actions": [], "stacks": []},
    "nothing": {}
}}"#;

#[tokio::test]
async fn keys_of_a_key_file_may_what_it_says() {
    let bot = World::new()
        .environment("CHATOPS_RBAC_JSON", KEYS)
        .start()
        .await;
    let web = json!({"name": "rollout_web"});
    let content = json!({"name": "rollout_content"});
    let scale = json!({"name": "scale_web", "arguments": {"count": 2}});
    let both = json!({"intents": ["rollout_web", "rollout_content"]});
    for (key, path, body, status, detail) in [
        ("roller", "/run", &web, 200, ""),
        (
            "roller",
            "/run",
            &content,
            403,
            "RBAC: action not permitted",
        ),
        ("roller", "/run", &scale, 403, "RBAC: action not permitted"),
        (
            "roller",
            "/schedules/run_now",
            &json!({"intent": "rollout_web"}),
            403,
            "RBAC: run_now not permitted for intent",
        ),
        ("anything", "/run", &scale, 200, ""),
        ("anything", "/orchestrate", &both, 200, ""),
        ("empty-lists", "/run", &scale, 200, ""),
        ("nothing", "/run", &web, 403, "RBAC: action not permitted"),
        ("reader", "/run", &web, 403, "RBAC: action not permitted"),
        ("devkey", "/run", &web, 401, "Unauthorized"),
        ("wrong", "/run", &web, 401, "Unauthorized"),
        ("", "/run", &web, 401, "Unauthorized"),
    ] {
        let answer = bot.api().with_key(key).post(path, body).await;
        assert_eq!(
            (answer.status, answer.detail()),
            (status, detail),
            "{key} {path} {}",
            answer.text
        );
    }
    let mixed = bot
        .api()
        .with_key("roller")
        .post("/orchestrate", &both)
        .await;
    assert_eq!(mixed.status, 200);
    assert_eq!(mixed.body["ok"], false, "{}", mixed.text);
    assert!(
        mixed.text.contains("RBAC: action not permitted"),
        "{}",
        mixed.text
    );
    for (key, status) in [
        ("reader", 200),
        ("anything", 200),
        ("roller", 403),
        ("nothing", 403),
        ("devkey", 401),
    ] {
        let answer = bot.api().with_key(key).get("/schedules").await;
        assert_eq!(answer.status, status, "{key} {}", answer.text);
    }
    let token = bot.api().with_key("token-of-ann").post("/run", &web).await;
    assert_eq!(token.status, 200, "tokens of people stay: {}", token.text);
    bot.audited("intent_denied").await;
    bot.audited("auth.refused").await;
    bot.alerted("Authentication failure").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_key_file_that_does_not_parse_refuses_to_start() {
    for text in ["{", "[]", r#"{"keys": {"a": {"endpoint": []}}}"#] {
        let error = World::new()
            .environment("CHATOPS_RBAC_JSON", text)
            .try_start()
            .await;
        assert!(error.is_err(), "{text} was taken");
    }
}

#[tokio::test]
async fn without_any_key_the_api_says_so() {
    let bot = World::new()
        .without("server.api_key")
        .without("tokens")
        .start()
        .await;
    let answer = bot
        .api()
        .post("/run", &json!({"name": "rollout_web"}))
        .await;
    assert_eq!(
        (answer.status, answer.detail()),
        (503, "Server not configured with API key")
    );
    assert_eq!(bot.api().get("/intents").await.status, 200);
    bot.finish().await;
}

#[tokio::test]
async fn addresses_outside_the_list_are_refused_after_the_key() {
    let bot = World::new()
        .config("server.ip_allowlist", vec!["10.0.0.0/8"])
        .start()
        .await;
    let body = json!({"name": "rollout_web"});
    let answer = bot.api().post("/run", &body).await;
    assert_eq!(
        (answer.status, answer.detail()),
        (403, "Client IP not allowed")
    );
    let spoofed = bot
        .api()
        .request("POST", "/run")
        .header("x-forwarded-for", "10.1.1.1")
        .json(&body);
    assert_eq!(bot.api().send(spoofed).await.status, 403);
    assert_eq!(
        bot.api().with_key("wrong").post("/run", &body).await.status,
        401
    );
    assert_eq!(bot.api().get("/status").await.status, 200);
    let metrics = bot.api().get("/metrics").await.text;
    assert!(
        metrics.contains("chatops_auth_failures_total{reason=\"ip_blocked\"} 2"),
        "{metrics}"
    );
    bot.audited("address.refused").await;
    bot.alerted("Client IP not allowed").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let bot = World::new()
        .config("server.ip_allowlist", vec!["10.0.0.0/8"])
        .config("server.trusted_proxies", vec!["127.0.0.1"])
        .start()
        .await;
    for (header, status) in [
        ("10.1.1.1", 200),
        ("192.0.2.1", 403),
        ("10.1.1.1, 192.0.2.1", 403),
    ] {
        let request = bot
            .api()
            .request("POST", "/run")
            .header("x-forwarded-for", header)
            .json(&json!({"name": "rollout_web"}));
        assert_eq!(bot.api().send(request).await.status, status, "{header}");
    }
    bot.finish().await;
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let bot = World::new()
        .config("rate_limit.address_per_minute", 3)
        .start()
        .await;
    for (path, body) in [
        ("/run", json!({"name": "look", "dry_run": true})),
        (
            "/orchestrate",
            json!({"intents": ["look"], "dry_run": true}),
        ),
        (
            "/schedules/run_now",
            json!({"intent": "look", "dry_run": true}),
        ),
        ("/schedules/reload", json!({})),
    ] {
        for _ in 0..3 {
            assert_eq!(bot.api().post(path, &body).await.status, 200, "{path}");
        }
        let answer = bot.api().post(path, &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (429, "rate_limited"),
            "{path}"
        );
        assert_eq!(answer.body["error"], "Rate limit exceeded: 3 per 1 minute");
        let wait: u64 = answer.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
    }
    bot.audited("rate.limited").await;
    assert_eq!(
        bot.api().get("/status").await.body["rate_limit"],
        "3/minute"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_person_that_types_too_fast_is_told_in_the_chat() {
    let mut bot = World::new()
        .config("rate_limit.burst", 2)
        .config("rate_limit.per_minute", 2)
        .start()
        .await;
    for _ in 0..2 {
        bot.says("ann", "/rave whoami").await;
    }
    let text = bot.says("ann2", "/rave whoami").await;
    assert!(
        text.contains("(rate_limited)") && text.contains("Try again in"),
        "{text}"
    );
    let other = bot.says("bob", "/rave whoami").await;
    assert!(other.contains("bob"), "{other}");
    bot.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_makes_one_run_of_many_requests() {
    let bot = World::new().start().await;
    let send = |name: &'static str, key: &'static str| {
        let api = bot.api();
        async move {
            let request = api
                .request("POST", "/run")
                .header("idempotency-key", key)
                .json(&json!({"name": name}));
            api.send(request).await
        }
    };
    let answers = futures::future::join_all((0..20).map(|_| send("rollout_web", "k1"))).await;
    let run = answers[0].run_id().to_owned();
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.run_id()),
            (200, run.as_str()),
            "{}",
            answer.text
        );
    }
    let reused = send("rollout_content", "k1").await;
    assert_eq!(
        (reused.status, reused.code()),
        (409, "idempotency_key_reused"),
        "{}",
        reused.text
    );
    assert_eq!(bot.stacks().done(), ["rollout_web"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_run_that_waits_for_people_answers_202_and_a_denied_one_409() {
    let mut bot = World::new().start().await;
    let api = bot.api().with_key("token-of-ann");
    let waiting = api.post("/run", &json!({"name": "rollout_media"})).await;
    assert_eq!(
        (waiting.status, waiting.run_id()),
        (202, "run_0001"),
        "{}",
        waiting.text
    );
    assert_eq!(waiting.body["ok"], false);
    let at_once = api
        .post("/run", &json!({"name": "rollout_web", "wait": 0}))
        .await;
    assert_eq!(
        (at_once.status, at_once.run_id()),
        (202, "run_0002"),
        "{}",
        at_once.text
    );
    let deny = bot
        .api()
        .with_key("token-of-bob")
        .post("/api/v1/runs/run_0001/deny", &json!({"reason": "no"}))
        .await;
    assert_eq!(
        (deny.status, &deny.body["state"]),
        (200, &json!("cancelled")),
        "{}",
        deny.text
    );
    let key = "again";
    let ask = || {
        api.request("POST", "/run")
            .header("idempotency-key", key)
            .json(&json!({"name": "rollout_media"}))
    };
    let first = api.send(ask()).await;
    let run = first.run_id().to_owned();
    bot.says("bob", &format!("/rave deny {run} not today"))
        .await;
    let denied = api.send(ask()).await;
    assert_eq!(
        (denied.status, denied.code()),
        (409, "run_cancelled"),
        "{}",
        denied.text
    );
    assert!(
        denied.detail().contains("denied by bob: not today"),
        "{}",
        denied.text
    );
    bot.finish().await;
}
