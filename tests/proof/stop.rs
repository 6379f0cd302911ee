//! SIGTERM: nothing new begins, what is under way finishes or is left to the next start, and one
//! budget of time holds for all of it.

use std::time::Duration;

use rave_tests::{FakeMattermost, TestClock, Witness, wait_for};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::process::Rave;

const INTENTS: [(&str, &str); 2] = [
    ("slow", "action: stacks.keyed\nstack: web\nroles: [ops]\n"),
    ("next", "action: stacks.keyed\nstack: db\nroles: [ops]\n"),
];

/// A Rave with a step under way that takes so long.
async fn under_way(witness: &Witness, takes: Duration, grace: &str) -> Rave {
    witness.takes("slow", takes);
    let mut rave = Rave::with_witness(witness, &INTENTS, |configuration| {
        configuration.set("server.shutdown_grace", grace);
    });
    rave.start(None).await;
    let body = json!({"intents": ["slow", "next"]});
    let (status, answer) = rave.post("/api/v1/runs", "the-key", &body).await.unwrap();
    assert!(status < 300, "{status}: {answer}");
    begins(witness, "slow").await;
    rave
}

async fn begins(witness: &Witness, title: &str) {
    wait_for("an effect to begin", || async {
        let asked = witness.asked(title);
        (asked > 0).then_some(()).ok_or_else(|| title.to_owned())
    })
    .await;
}

async fn logs(rave: &Rave, text: &str) {
    wait_for("a line in the log", || async {
        let log = rave.log();
        log.contains(text).then_some(()).ok_or(log)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_a_step_finishes_and_the_next_one_waits_for_the_next_start() {
    let witness = Witness::start().await;
    let mut rave = under_way(&witness, Duration::from_secs(1), "30s").await;
    rave.signal(Signal::TERM);
    logs(&rave, "\"stopping\"").await;
    // A new request is refused on its connection, or told why.
    let body = json!({"intents": ["next"]});
    if let Some((status, answer)) = rave.post("/api/v1/runs", "too-late", &body).await {
        assert_eq!((status, &answer["code"]), (503, &json!("stopping")));
    }
    let status = rave.exited().await;
    assert!(status.success(), "{status}: {}", rave.log());
    assert_eq!((witness.count("slow"), witness.asked("next")), (1, 0));

    rave.start(None).await;
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["steps"][0]["attempts"], 1, "{run}");
    assert_eq!((witness.asked("slow"), witness.count("next")), (1, 1));
    rave.stop().await;
    let runs = rave_tests::journal(rave.data());
    assert_eq!(runs.len(), 1, "what came too late was not half taken");
    assert_eq!(witness.violations(), [""; 0]);
    rave.verify_audit("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_rave_stops_is_told_before_it_is_gone() {
    let witness = Witness::start().await;
    witness.takes("slow", Duration::from_secs(1));
    let mattermost = FakeMattermost::start(TestClock::default().into()).await;
    let mut rave = Rave::with_witness(&witness, &INTENTS, |configuration| {
        configuration.set("mattermost.url", mattermost.base());
    });
    rave.start(None).await;
    let url = mattermost.response_url("ann");
    let request = rave.command("ann", "/rave run slow", "trigger", &url);
    rave.send(request).await.unwrap();
    begins(&witness, "slow").await;
    rave.signal(Signal::TERM);
    let status = rave.exited().await;
    assert!(status.success(), "{status}: {}", rave.log());
    let told = mattermost.all();
    let told: Vec<&str> = told.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("slow succeeded"), "{told:?}");
    assert_eq!(
        rave_tests::count(rave.data(), "outbox", "done_at IS NULL"),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_budget_holds_for_clients_and_steps_that_do_not_end() {
    let grace = Duration::from_secs(3);
    let witness = Witness::start().await;
    let mut rave = under_way(&witness, Duration::from_secs(300), "3s").await;
    // One client waits for the end of a run, another one never sends all of its request.
    let waiting = rave.request(http::Method::POST, "/api/v1/runs");
    let waiting = waiting.header("Idempotency-Key", "the-key");
    let waiting = waiting.json(&json!({"intents": ["slow", "next"]}));
    let waiting = rave.send(waiting).await.unwrap();
    let run = waiting.1["id"].as_str().unwrap().to_owned();
    let patient = rave.request(http::Method::POST, "/orchestrate");
    let patient = patient.json(&json!({"intents": ["next"], "wait": 60}));
    let patient = tokio::spawn(patient.send());
    let mut stuck = TcpStream::connect(rave.address()).await.unwrap();
    let half = "POST /run HTTP/1.1\r\nhost: rave\r\nx-api-key: devkey\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stuck.write_all(half.as_bytes()).await.unwrap();
    wait_for("the second run", || async {
        let runs = rave_tests::journal(rave.data()).len();
        if runs == 2 {
            Ok(())
        } else {
            Err(runs.to_string())
        }
    })
    .await;

    let told = Instant::now();
    rave.signal(Signal::TERM);
    let status = rave.exited().await;
    let took = told.elapsed();
    assert!(status.success(), "{status}: {}", rave.log());
    // Generous, because machines are shared; each part with a grace of its own takes longer.
    assert!(took < grace + Duration::from_secs(2), "took {took:?}");
    let answered = patient.await.unwrap();
    assert!(answered.is_ok(), "a waiting client is let go: {answered:?}");

    witness.takes("slow", Duration::ZERO);
    rave.start(None).await;
    let path = format!("/api/v1/runs/{run}");
    let run = wait_for("the run to go on", || async {
        let run = rave.get(&path).await;
        if run["state"] == "succeeded" {
            Ok(run)
        } else {
            Err(run.to_string())
        }
    })
    .await;
    assert_eq!(run["steps"][0]["attempts"], 2, "{run}");
    assert_eq!(witness.count("slow"), 1);
    assert_eq!(witness.violations(), [""; 0]);
    rave.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_twice_it_ends_at_once_and_loses_nothing() {
    let witness = Witness::start().await;
    let mut rave = under_way(&witness, Duration::from_secs(600), "10m").await;
    rave.signal(Signal::TERM);
    logs(&rave, "\"stopping\"").await;
    rave.signal(Signal::TERM);
    let status = rave.exited().await;
    assert_eq!(status.code(), Some(143), "{}", rave.log());

    witness.takes("slow", Duration::ZERO);
    rave.start(None).await;
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!((witness.count("slow"), witness.count("next")), (1, 1));
    assert_eq!(witness.violations(), [""; 0]);
    rave.stop().await;
}
