//! The API of the ChatOps seed, as its README promises it: requests and answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use rave_compose::simulated::Simulated;
use rave_tests::{Answer, Bot, World};
use serde_json::{Value, json};

use crate::data_files::root;

/// Rave with the shipped intents on simulated stacks, and the stacks.
pub(crate) async fn seed(
    change: impl FnOnce(World) -> World,
) -> (Bot, Arc<Simulated>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("stacks.json");
    let stacks = Arc::new(Simulated::open(file, Duration::ZERO).unwrap());
    let world = World::new().drivers(vec![stacks.clone()], &root().join("intents"));
    (change(world).start().await, stacks, dir)
}

/// Status and body, without what is different each time.
pub(crate) fn shown(answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    let text = serde_json::to_string_pretty(&body).unwrap();
    rave_tests::redacted(&format!("{} {text}", answer.status))
}

#[tokio::test]
async fn health_and_status_are_public() {
    let (bot, _stacks, _dir) = seed(|world| world).await;
    let api = bot.api().with_key("");
    assert_snapshot!(shown(&api.get("/healthz").await), @r#"
    200 {
      "status": "ok"
    }
    "#);
    assert_snapshot!(shown(&api.get("/status").await), @r#"
    200 {
      "status": "healthy",
      "version": "0.1.0",
      "uptime_seconds": 0,
      "intents_loaded": 12,
      "approved_label": "approved-by-gemini",
      "rate_limit": "1000000/minute",
      "features": {
        "dry_run": true,
        "prometheus_metrics": true,
        "discord_alerts": true,
        "ip_allowlist": false,
        "scheduler": false,
        "mattermost": true,
        "slack": false,
        "discord": false
      },
      "environment": {
        "python_version": null,
        "fastapi_version": null,
        "backend": "embedded"
      },
      "parts": {
        "store": "ok",
        "driver.compose": "ok",
        "outbox": "ok"
      }
    }
    "#);
    assert_snapshot!(shown(&api.get("/readyz").await), @r#"
    200 {
      "status": "ready",
      "parts": {
        "store": "ok",
        "driver.compose": "ok",
        "outbox": "ok"
      }
    }
    "#);
    bot.finish().await;
}

#[tokio::test]
async fn the_shipped_intents_are_listed() {
    let (bot, _stacks, _dir) = seed(|world| world).await;
    let answer = bot.api().with_key("").get("/intents").await;
    assert_eq!(answer.body["count"], 12);
    let listed = answer.body["intents"].as_array().unwrap();
    let media = listed
        .iter()
        .find(|intent| intent["name"] == "rollout_stack_media")
        .unwrap();
    assert_snapshot!(serde_json::to_string_pretty(media).unwrap(), @r#"
    {
      "name": "rollout_stack_media",
      "action": "rollout",
      "stack": "stack-media",
      "service": null,
      "description": "Pulls newer images for the media stack and restarts it",
      "label_required": "approved-by-gemini"
    }
    "#);
    bot.finish().await;
}

#[tokio::test]
async fn yaml_is_validated_without_a_key() {
    let (bot, _stacks, _dir) = seed(|world| world).await;
    let api = bot.api().with_key("");
    let mut all = String::new();
    for yaml in [
        "action: scale\nstack: stack-ai\nservice: ollama\nreplicas: 2\n",
        "",
        "action: scale\nstack: stack-ai\nreplicas: 2\n",
        "action: scale\nstack: stack-ai\nservice: ollama\n",
        "action: rollout\nstack: stack-ai\nlabel_required: another\n",
        "action: rollout\nstack: stack-ai\ncolour: blue\n",
        "action: dance\nstack: stack-ai\n",
        "action: [\n",
    ] {
        let answer = api.post("/validate", &json!({"yaml_content": yaml})).await;
        all.push_str(&format!("{yaml:?}\n{}\n", shown(&answer)));
    }
    assert_snapshot!(all, @r#"
    "action: scale\nstack: stack-ai\nservice: ollama\nreplicas: 2\n"
    200 {
      "valid": true,
      "errors": [],
      "warnings": [],
      "intent": {
        "action": "scale",
        "stack": "stack-ai",
        "service": "ollama",
        "replicas": 2,
        "label_required": "approved-by-gemini"
      }
    }
    ""
    200 {
      "valid": false,
      "errors": [
        "Empty YAML content"
      ]
    }
    "action: scale\nstack: stack-ai\nreplicas: 2\n"
    200 {
      "valid": false,
      "errors": [
        "action=scale requires 'service' field"
      ],
      "warnings": [],
      "intent": {
        "action": "scale",
        "stack": "stack-ai",
        "service": null,
        "replicas": 2,
        "label_required": "approved-by-gemini"
      }
    }
    "action: scale\nstack: stack-ai\nservice: ollama\n"
    200 {
      "valid": false,
      "errors": [
        "action=scale requires 'replicas' field"
      ],
      "warnings": [],
      "intent": {
        "action": "scale",
        "stack": "stack-ai",
        "service": "ollama",
        "replicas": null,
        "label_required": "approved-by-gemini"
      }
    }
    "action: rollout\nstack: stack-ai\nlabel_required: another\n"
    200 {
      "valid": true,
      "errors": [],
      "warnings": [
        "label_required 'another' differs from server's 'approved-by-gemini'"
      ],
      "intent": {
        "action": "rollout",
        "stack": "stack-ai",
        "service": null,
        "replicas": null,
        "label_required": "another"
      }
    }
    "action: rollout\nstack: stack-ai\ncolour: blue\n"
    200 {
      "valid": true,
      "errors": [],
      "warnings": [
        "line 3, column 1: neither an intent nor the action `rollout` has the key `colour`; the fields of `rollout` are `stack`, `service` and `compose`"
      ],
      "intent": {
        "action": "rollout",
        "stack": "stack-ai",
        "service": null,
        "replicas": null,
        "label_required": "approved-by-gemini"
      }
    }
    "action: dance\nstack: stack-ai\n"
    200 {
      "valid": false,
      "errors": [
        "Validation error: line 1, column 9: no driver offers the action `dance`; there are `backup`, `rollout` and `scale`"
      ]
    }
    "action: [\n"
    200 {
      "valid": false,
      "errors": [
        "YAML parsing error: line 1, column 9: unclosed bracket '['"
      ]
    }
    "#);
    bot.finish().await;
}

#[tokio::test]
async fn run_rolls_scales_and_backs_up() {
    let (bot, stacks, _dir) = seed(|world| world).await;
    let api = bot.api();
    let rollout = api
        .post("/run", &json!({"name": "rollout_stack_media"}))
        .await;
    assert_snapshot!(shown(&rollout), @r#"
    200 {
      "intent": "rollout_stack_media",
      "ok": true,
      "action": "rollout",
      "stack": "stack-media",
      "dry_run": false,
      "state": "succeeded",
      "stdout": " plex Pulling\n plex Pulled\n radarr Pulling\n radarr Pulled\n sonarr Pulling\n sonarr Pulled\n Container stack-media-plex-1  Recreate\n Container stack-media-plex-1  Started\n Container stack-media-radarr-1  Recreate\n Container stack-media-radarr-1  Started\n Container stack-media-sonarr-1  Recreate\n Container stack-media-sonarr-1  Started\n",
      "run_id": "run_0001"
    }
    "#);
    let scale = api
        .post("/run", &json!({"name": "scale_stack_ai", "dry_run": false}))
        .await;
    assert_eq!(scale.status, 200, "{}", scale.text);
    assert_eq!(scale.body["action"], "scale");
    let parameters = json!({"name": "scale_stack", "arguments": {"stack": "stack-ai", "service": "ollama", "replicas": 3}});
    let scaled = api.post("/run", &parameters).await;
    assert_eq!(scaled.status, 200, "{}", scaled.text);
    assert_eq!(stacks.services("stack-ai").await["ollama"].replicas, 3);
    let backup = api
        .post("/run", &json!({"name": "backup_docker_volumes"}))
        .await;
    assert_snapshot!(shown(&backup), @r#"
    200 {
      "intent": "backup_docker_volumes",
      "ok": true,
      "action": "backup",
      "stack": "docker_volumes",
      "dry_run": false,
      "backup_type": "docker_volumes",
      "state": "succeeded",
      "stdout": "simulated: nothing is copied\n+ rsync -av --exclude *.tmp --exclude */cache/* --delete /var/lib/docker/volumes/ /mnt/backup/docker-volumes/\ndone\n",
      "run_id": "run_0004"
    }
    "#);
    bot.alerted("Success").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_dry_run_shows_the_commands_and_changes_nothing() {
    let (bot, stacks, _dir) = seed(|world| world).await;
    let before = (bot.dump(), stacks.services("stack-media").await);
    let api = bot.api();
    let mut all = String::new();
    for name in [
        "rollout_stack_media",
        "scale_stack_ai",
        "backup_docker_volumes",
        "backup_vm_proxmox",
        "backup_plex_database",
    ] {
        let answer = api
            .post("/run", &json!({"name": name, "dry_run": true}))
            .await;
        let stdout = answer.body["stdout"].as_str().unwrap_or_default();
        all.push_str(&format!(
            "{name}: {} {}\n{stdout}\n",
            answer.status, answer.body["ok"]
        ));
    }
    assert_snapshot!(all, @"
    rollout_stack_media: 200 true
    [DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-media/docker-compose.yml pull
    [DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-media/docker-compose.yml up -d
    scale_stack_ai: 200 true
    [DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-ai/docker-compose.yml up -d --scale worker=3
    backup_docker_volumes: 200 true
    [DRY-RUN] Would execute: rsync -av --exclude *.tmp --exclude */cache/* --delete /var/lib/docker/volumes/ /mnt/backup/docker-volumes/
    backup_vm_proxmox: 200 true
    [DRY-RUN] Would execute: vzdump 100 --storage backup --compress zstd --notes-template made by Rave
    backup_plex_database: 200 true
    [DRY-RUN] Would execute: docker cp plex:/config/Library/Application Support/Plex Media Server/Plug-in Support/Databases /mnt/backup/plex/.plex_db_backup_YYYYMMDD_HHMMSS.work
    [DRY-RUN] Would execute: tar -czf /mnt/backup/plex/plex_db_backup_YYYYMMDD_HHMMSS.tar.gz -C /mnt/backup/plex/.plex_db_backup_YYYYMMDD_HHMMSS.work .
    ");
    let many = api
        .post(
            "/orchestrate",
            &json!({"intents": ["rollout_stack_full"], "dry_run": true}),
        )
        .await;
    assert_snapshot!(shown(&many), @r#"
    200 {
      "ok": true,
      "results": [
        {
          "intent": "rollout_stack_content",
          "ok": true,
          "action": "rollout",
          "stack": "stack-content",
          "dry_run": true,
          "role": "dependency",
          "stdout": "[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-content/docker-compose.yml pull\n[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-content/docker-compose.yml up -d",
          "warnings": [
            "simulated: nothing outside the demo changes"
          ]
        },
        {
          "intent": "rollout_stack_media",
          "ok": true,
          "action": "rollout",
          "stack": "stack-media",
          "dry_run": true,
          "role": "dependency",
          "stdout": "[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-media/docker-compose.yml pull\n[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-media/docker-compose.yml up -d",
          "warnings": [
            "simulated: nothing outside the demo changes"
          ]
        },
        {
          "intent": "rollout_stack_full",
          "ok": true,
          "action": "rollout",
          "stack": "stack-full",
          "dry_run": true,
          "role": "requested",
          "stdout": "[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-full/docker-compose.yml pull\n[DRY-RUN] Would execute: docker compose -f /opt/stacks/stack-full/docker-compose.yml up -d",
          "warnings": [
            "simulated: nothing outside the demo changes"
          ]
        }
      ],
      "summary": {
        "total": 3,
        "success": 3,
        "failed": 0
      },
      "dry_run": true,
      "plan": {
        "digest": "D",
        "touches": [
          "service cms of stack-content",
          "service db of stack-content",
          "service plex of stack-media",
          "service radarr of stack-media",
          "service sonarr of stack-media",
          "service web of stack-content",
          "service web of stack-full",
          "service worker of stack-full",
          "stack/stack-content",
          "stack/stack-full",
          "stack/stack-media"
        ],
        "approvals": []
      }
    }
    "#);
    let again = api
        .post(
            "/schedules/run_now",
            &json!({"intent": "scale_stack_ai", "dry_run": true}),
        )
        .await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!((bot.dump(), stacks.services("stack-media").await), before);
    assert_eq!(bot.audit().await.len(), 0);
    assert_eq!(bot.discord().embeds(), []);
    let metrics = api.get("/metrics").await.text;
    assert!(
        metrics.contains("dry_run=\"true\",intent_name=\"scale_stack_ai\",stack=\"stack-ai\"} 2"),
        "{metrics}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_failed_command_says_what_it_said_and_is_rolled_back() {
    let (bot, stacks, _dir) = seed(|world| world).await;
    let api = bot.api();
    stacks.fail_next_rollout("stack-media").await.unwrap();
    let before = stacks.services("stack-media").await;
    let failed = api
        .post("/run", &json!({"name": "rollout_stack_media"}))
        .await;
    assert_eq!(
        (failed.status, failed.code()),
        (500, "command_failed"),
        "{}",
        failed.text
    );
    assert!(
        failed.detail().starts_with("Command failed: "),
        "{}",
        failed.text
    );
    assert!(
        failed.detail().contains("port is already allocated"),
        "{}",
        failed.text
    );
    assert_eq!(failed.body["rollback"]["ok"], true, "{}", failed.text);
    assert_eq!(stacks.services("stack-media").await, before);
    bot.alerted("Command failed").await;
    bot.alerted("Rollback").await;
    let rollback = bot.audited("intent_rollback").await;
    assert_eq!(rollback.entry.correlation, "run_0001");
    stacks.fail_next_rollout("stack-media").await.unwrap();
    let kept = api
        .post(
            "/run",
            &json!({"name": "rollout_stack_media", "rollback_on_failure": false}),
        )
        .await;
    assert_eq!(
        (kept.status, &kept.body["rollback"]),
        (500, &Value::Null),
        "{}",
        kept.text
    );
    bot.finish().await;
}
