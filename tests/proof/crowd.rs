//! Very many runs that wait: memory is bounded, Rave answers, and one of them is as quick as ever.

use std::time::{Duration, Instant};

use rave_store::{Options, Sqlite};
use rave_tests::{MARK, Witness, crowd, report, scaled, wait_for};
use serde_json::{Value, json};

use crate::process::Rave;

/// What a waiting run may cost, all of the process counted that was not there without it.
const EACH: u64 = 2 * 1024;

/// A start with nothing to do has caches of the store to fill that a start with many runs fills.
const CACHES: u64 = 12 * 1024 * 1024;

const ASKED: &str = "action: stacks.keyed\nroles: [ops]\n\
                     approval: {required: 1, from: [ops], ttl: 30d}\n\
                     params: {stack: {type: slug}}\nwith: {stack: '{{ stack }}'}\n";

async fn ask(rave: &Rave, stack: &str) -> Value {
    let body = json!({"intents": ["asked"], "arguments": {"stack": stack}, "wait": 0});
    let (status, answer) = rave.post("/api/v1/runs", stack, &body).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    answer
}

async fn approve(rave: &Rave, run: &str) {
    let path = format!("/api/v1/runs/{run}/approve");
    // Two, because nobody stands for what a key without a person asks.
    for token in ["token-of-ann", "token-of-bob"] {
        let request = rave.request_as(token, http::Method::POST, &path);
        let (status, answer) = rave.send(request.json(&json!({}))).await.unwrap();
        assert!(status < 300, "{answer}");
    }
    wait_for("the approved run to end", || async {
        let shown = rave.get(&format!("/api/v1/runs/{run}")).await;
        if shown["state"] == "succeeded" {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    })
    .await;
}

async fn open_runs(rave: &Rave) -> u64 {
    let request = rave.request(http::Method::GET, "/metrics");
    let text = request.send().await.unwrap().text().await.unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("rave_open_runs "));
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_waiting_runs_cost_little_memory_and_stand_in_nobodys_way() {
    let count = scaled(20_000);
    let witness = Witness::start().await;
    let mut rave = Rave::with_witness(&witness, &[("asked", ASKED)], |_| {});
    rave.start(None).await;
    let first = ask(&rave, MARK).await["id"].as_str().unwrap().to_owned();
    rave.stop().await;
    rave.start(None).await;
    let empty = rave.memory("VmRSS:");
    rave.stop().await;
    let store = Sqlite::open(Options::new(rave.data())).unwrap();
    let runs = crowd(&store, &first.parse().unwrap(), count).await;
    store.close().await;

    let started = Instant::now();
    rave.start(None).await;
    let took = started.elapsed();
    assert_eq!(open_runs(&rave).await, u64::from(count) + 1);
    let full = rave.memory("VmRSS:");
    let each = full.saturating_sub(empty + CACHES) / u64::from(count);
    assert!(
        each <= EACH,
        "{each} bytes a run; {empty} without, {full} with them"
    );
    approve(&rave, runs[count as usize / 2].as_str()).await;

    // What came in by the usual way is parked as well.
    let before = rave.memory("VmRSS:");
    for number in 0..500 {
        ask(&rave, &format!("live-{number}")).await;
    }
    let grown = rave.memory("VmRSS:").saturating_sub(before);
    assert!(grown < 500 * EACH + CACHES, "{grown} bytes for 500 runs");
    rave.kill().await;
    rave.start(None).await;
    assert_eq!(open_runs(&rave).await, u64::from(count) + 500);
    approve(&rave, runs[0].as_str()).await;
    rave.stop().await;
    assert!(took < Duration::from_secs(600), "{took:?}");
    report("waiting runs: parked and answered beside", u64::from(count));
}
