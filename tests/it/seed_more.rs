//! Orchestration, schedules and metrics of the ChatOps seed's API.

use insta::assert_snapshot;
use serde_json::json;

use crate::seed_api::{seed, shown};

#[tokio::test]
async fn orchestrate_runs_dependencies_first_and_lists_them() {
    let (bot, stacks, _dir) = seed(|world| world).await;
    let api = bot.api();
    let full = api
        .post(
            "/orchestrate",
            &json!({"intents": ["rollout_stack_full", "rollout_stack_media"]}),
        )
        .await;
    assert_eq!(
        (full.status, &full.body["ok"]),
        (200, &json!(true)),
        "{}",
        full.text
    );
    let order: Vec<&str> = full.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["intent"].as_str().unwrap())
        .collect();
    assert_eq!(
        order,
        [
            "rollout_stack_content",
            "rollout_stack_media",
            "rollout_stack_full"
        ]
    );
    assert_eq!(
        full.body["summary"],
        json!({"total": 3, "success": 3, "failed": 0})
    );

    stacks.fail_next_rollout("stack-content").await.unwrap();
    let stopped = api
        .post(
            "/orchestrate",
            &json!({"intents": ["rollout_stack_full", "scale_stack_ai"]}),
        )
        .await;
    assert_eq!(
        (stopped.status, &stopped.body["ok"]),
        (200, &json!(false)),
        "{}",
        stopped.text
    );
    assert_eq!(
        stopped.body["summary"],
        json!({"total": 4, "success": 1, "failed": 2, "skipped": 1}),
        "{}",
        stopped.text
    );

    stacks.fail_next_rollout("stack-content").await.unwrap();
    let body =
        json!({"intents": ["rollout_stack_content", "scale_stack_ai"], "stop_on_failure": false});
    let went_on = api.post("/orchestrate", &body).await;
    assert_eq!(
        went_on.body["summary"],
        json!({"total": 2, "success": 1, "failed": 1}),
        "{}",
        went_on.text
    );

    let unknown = api
        .post(
            "/orchestrate",
            &json!({"intents": ["nothing", "scale_stack_ai"], "stop_on_failure": false}),
        )
        .await;
    assert_eq!(
        unknown.body["results"][1]["error"], "Intent not found: nothing",
        "{}",
        unknown.text
    );
    assert_eq!(
        unknown.body["summary"],
        json!({"total": 2, "success": 1, "failed": 1}),
        "{}",
        unknown.text
    );

    let repeated = api
        .post(
            "/orchestrate",
            &json!({"intents": ["scale_stack_ai", "scale_stack_ai"]}),
        )
        .await;
    assert_eq!(
        (&repeated.body["ok"], &repeated.body["summary"]["total"]),
        (&json!(true), &json!(1)),
        "{}",
        repeated.text
    );
    let none = api.post("/orchestrate", &json!({"intents": []})).await;
    assert_eq!(
        (none.status, &none.body["ok"]),
        (200, &json!(true)),
        "{}",
        none.text
    );
    bot.finish().await;
}

#[tokio::test]
async fn schedules_are_listed_reloaded_and_run() {
    let schedules = r#"{"schedules": [
        {"name": "nightly", "intent": "scale_stack_ai", "cron": "30 2 * * *", "enabled": true},
        {"name": "often", "intent": "scale_stack_ai", "interval_seconds": 60, "enabled": true, "dry_run": true},
        {"name": "off", "intent": "scale_stack_ai", "interval_seconds": 60}
    ]}"#;
    let (bot, _stacks, _dir) = seed(|world| world.schedules(schedules)).await;
    let api = bot.api();
    assert_snapshot!(shown(&api.get("/schedules").await), @r#"
    200 {
      "enabled": false,
      "have_apscheduler": true,
      "count": 2,
      "loaded": [
        {
          "name": "nightly",
          "intent": "scale_stack_ai",
          "type": "cron",
          "cron": "30 2 * * *",
          "dry_run": false
        },
        {
          "name": "often",
          "intent": "scale_stack_ai",
          "type": "interval",
          "seconds": 60,
          "dry_run": true
        }
      ]
    }
    "#);
    assert_snapshot!(shown(&api.post("/schedules/reload", &json!({})).await), @r#"
    200 {
      "ok": false,
      "error": "Scheduler not enabled"
    }
    "#);
    let now = api
        .post("/schedules/run_now", &json!({"intent": "scale_stack_ai"}))
        .await;
    assert_eq!(
        (now.status, &now.body["ok"]),
        (200, &json!(true)),
        "{}",
        now.text
    );
    let missing = api
        .post("/schedules/run_now", &json!({"intent": "nothing"}))
        .await;
    assert_eq!(
        (missing.status, missing.detail()),
        (404, "Intent not found: nothing"),
        "{}",
        missing.text
    );
    bot.finish().await;
    let (bot, _stacks, _dir) = seed(|world| {
        world
            .schedules(schedules)
            .environment("ENABLE_SCHEDULER", "true")
    })
    .await;
    let reloaded = bot.api().post("/schedules/reload", &json!({})).await;
    assert_eq!(
        (
            reloaded.status,
            &reloaded.body["ok"],
            &reloaded.body["count"]
        ),
        (200, &json!(true), &json!(2)),
        "{}",
        reloaded.text
    );
    bot.finish().await;
}

#[tokio::test]
async fn metrics_of_the_seed_are_there_at_zero_with_bounded_labels() {
    let (bot, _stacks, _dir) = seed(|world| world).await;
    let api = bot.api();
    let text = api.get("/metrics").await.text;
    for line in [
        "chatops_intent_requests_total{action=\"rollout\",dry_run=\"false\",intent_name=\"rollout_stack_media\",stack=\"stack-media\"} 0",
        "chatops_intent_failures_total{action=\"rollout\",intent_name=\"rollout_stack_media\",reason=\"label_mismatch\",stack=\"stack-media\"} 0",
        "chatops_intent_failures_total{action=\"rollout\",intent_name=\"rollout_stack_media\",reason=\"command_failed\",stack=\"stack-media\"} 0",
        "chatops_intent_duration_seconds_count{action=\"rollout\",intent_name=\"rollout_stack_media\"} 0",
        "chatops_auth_failures_total{reason=\"invalid_key\"} 0",
        "chatops_auth_failures_total{reason=\"ip_blocked\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let lines = text.lines().count();
    for number in 0..50 {
        let stack = format!("made-up-{number}");
        let body = json!({"name": "scale_stack", "dry_run": true, "arguments": {"stack": stack, "service": "web", "replicas": 1}});
        api.post("/run", &body).await;
        api.post("/run", &json!({"name": format!("nothing{number}")}))
            .await;
    }
    let after = api.get("/metrics").await.text.lines().count();
    assert!(
        after < lines + 10,
        "labels are made of what callers send: {lines} lines, then {after}"
    );
    bot.finish().await;
}
