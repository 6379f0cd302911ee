use serde_json::json;

use super::*;
use crate::testing::{context, operation};

fn open(directory: &tempfile::TempDir) -> Simulated {
    Simulated::open(directory.path().join("stacks.json"), Duration::ZERO).unwrap()
}

fn rollout() -> Operation {
    operation("rollout", &json!({"stack": "stack-ai"}))
}

async fn releases(driver: &Simulated) -> Vec<u64> {
    let services = driver.services("stack-ai").await;
    services.values().map(|service| service.release).collect()
}

#[tokio::test]
async fn images_move_with_each_rollout_and_a_rerun_finds_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let driver = open(&directory);
    let (first, sink) = context("first");
    driver.apply(&rollout(), &first).await.unwrap();
    assert_eq!(releases(&driver).await, [2, 2, 2]);
    assert!(
        sink.out()
            .contains(" Container stack-ai-ollama-1  Started\n"),
        "{}",
        sink.out()
    );
    driver.apply(&rollout(), &first).await.unwrap();
    assert_eq!(releases(&driver).await, [2, 2, 2]);
    driver
        .apply(&rollout(), &context("second").0)
        .await
        .unwrap();
    assert_eq!(releases(&driver).await, [3, 3, 3]);
}

#[tokio::test]
async fn a_restarted_demo_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let scale = operation(
        "scale",
        &json!({"stack": "stack-ai", "service": "ollama", "replicas": 3}),
    );
    open(&directory)
        .apply(&scale, &context("scale").0)
        .await
        .unwrap();
    let again = open(&directory);
    assert_eq!(again.services("stack-ai").await["ollama"].replicas, 3);
}

#[tokio::test]
async fn a_rollout_told_to_fail_fails_once_and_its_undo_restores() {
    let directory = tempfile::tempdir().unwrap();
    open(&directory)
        .fail_next_rollout("stack-ai")
        .await
        .unwrap();
    let driver = open(&directory);
    let (context, sink) = context("fails");
    let before = driver.prepare(&rollout(), &context).await.unwrap().unwrap();
    let error = driver.apply(&rollout(), &context).await.unwrap_err();
    assert!(error.to_string().ends_with("port is already allocated"));
    assert!(sink.err().contains("port is already allocated"));
    assert_eq!(releases(&driver).await, [2, 1, 1]);
    driver.undo(&rollout(), &before, &context).await.unwrap();
    assert_eq!(releases(&driver).await, [1, 1, 1]);
    driver.apply(&rollout(), &context).await.unwrap();
    assert_eq!(releases(&driver).await, [2, 2, 2]);
}

#[tokio::test]
async fn a_slow_rollout_can_be_stopped_half_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stacks.json");
    let driver = Simulated::open(file, Duration::from_secs(60)).unwrap();
    let (context, sink) = context("slow");
    let rollout = rollout();
    let (outcome, ()) = tokio::join!(driver.apply(&rollout, &context), async {
        while !sink.out().contains("Pulling") {
            tokio::task::yield_now().await;
        }
        driver.cancel(&context.key).await;
    });
    assert!(matches!(outcome, Err(DriverError::OutcomeUnknown { .. })));
    assert_eq!(releases(&driver).await, [1, 1, 1]);
}

#[tokio::test]
async fn plans_read_as_those_of_real_stacks() {
    let directory = tempfile::tempdir().unwrap();
    let preview = open(&directory).plan(&rollout()).await.unwrap();
    assert_eq!(
        preview.commands[0].join(" "),
        "docker compose -f /opt/stacks/stack-ai/docker-compose.yml pull"
    );
    assert_eq!(preview.touches.len(), 3);
    assert!(
        !directory.path().join("stacks.json").exists(),
        "a plan wrote something"
    );
}

#[test]
fn a_file_with_something_else_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stacks.json");
    std::fs::write(&file, "[]").unwrap();
    let error = Simulated::open(&file, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("delete it to start afresh"));
}
