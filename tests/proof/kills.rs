//! The real binary, killed with SIGKILL at named places and started again on the same data.
//!
//! A witness process stands in for the programs that Rave starts and writes down what was done to
//! the world. Whatever the place: nothing that was acknowledged is lost, what must not be repeated
//! is not repeated, and the audit chain is whole.

use std::time::Duration;

use rave_tests::{Witness, report, wait_for};
use serde_json::{Value, json};

use crate::process::{self, Ended, Rave};

/// Places in the binary, each with how often it is passed before the kill.
const PLACES: [(&str, u32); 10] = [
    ("inbox.received", 1),
    ("turn.before_commit", 4),
    ("turn.after_commit", 4),
    ("store.before_commit", 8),
    ("store.after_commit", 8),
    ("effect.before", 3),
    ("effect.child_started", 3),
    ("effect.after", 3),
    ("effect.before_result", 3),
    ("outbox.delivered", 1),
];

/// Three steps: a copy that may be repeated, a dump that may not, another copy.
const INTENTS: [&str; 3] = ["copy_before", "dump_once", "copy_after"];

#[tokio::test(flavor = "multi_thread")]
async fn no_effect_is_lost_or_doubled_wherever_the_process_is_killed() {
    for (place, times) in PLACES {
        let mut kills = 0;
        for nth in 1..=times {
            if killed_at(place, nth).await == Ended::Killed {
                kills += 1;
            }
        }
        assert!(kills > 0, "{place} was never passed");
        report(&format!("Kills at named places: {place}"), kills);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_outlives_a_killed_rave_is_ended_before_its_step_runs_again() {
    // Long enough that the child still runs when the next process looks.
    let mut rave = Rave::with_children(3_000);
    rave.start(Some("effect.child_started:1")).await;
    let _ = rave.orchestrate(&["copy_before"], "child").await;
    assert_eq!(rave.ended().await, Ended::Killed);
    let orphan = rave.witness().first().expect("the child began").pid;
    assert!(process::is_alive(orphan), "the child outlived Rave");

    rave.start(None).await;
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert!(!process::is_alive(orphan), "the leftover child was ended");
    let lines = rave.witness();
    assert!(
        !lines
            .iter()
            .any(|line| line.pid == orphan && line.what == "end"),
        "the leftover child never finished: {lines:?}"
    );
    assert_eq!(lines.iter().filter(|line| line.what == "end").count(), 1);
    assert_eq!(run["steps"][0]["attempts"], 2, "{run}");
    rave.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_was_under_way_waits_for_a_person_and_keeps_its_lock() {
    let mut rave = Rave::with_children(0);
    rave.start(Some("effect.after:1")).await;
    let _ = rave.orchestrate(&["dump_once"], "once").await;
    assert_eq!(rave.ended().await, Ended::Killed);

    rave.start(None).await;
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "needs_attention", "{run}");
    let locks = rave.get("/api/v1/locks").await;
    assert_eq!(locks["items"][0]["holder"], run["id"], "{locks}");
    assert_eq!(rave.begun("dump_once"), 1, "it was not run again");

    let (status, answer) = rave.resolve(&run, "happened").await.expect("an answer");
    assert!(status < 300, "{status}: {answer}");
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(rave.begun("dump_once"), 1);
    rave.stop().await;
}

/// One kill, one restart, one look at everything that was promised.
async fn killed_at(place: &str, nth: u32) -> Ended {
    let at = format!("{place}:{nth}");
    let mut rave = Rave::with_children(0);
    rave.start(Some(&at)).await;
    let first = rave.orchestrate(&INTENTS, "the-key").await;
    let ended = if place == "outbox.delivered" {
        // A delivery may come after the run's end, but it comes.
        rave.exited().await;
        Ended::Killed
    } else {
        rave.ended_or_idle().await
    };
    if ended == Ended::Running {
        // The place is passed fewer times than this, or next by a delivery that comes later.
        rave.stop().await;
    }

    rave.start(None).await;
    // The client saw its connection break and sends the same request again.
    let again = rave.orchestrate(&INTENTS, "the-key").await;
    assert!(again.is_some(), "{at}: the repeat was answered");
    let mut run = rave.settled_run().await;
    if let Some(acknowledged) = first {
        assert_eq!(
            acknowledged["run_id"], run["id"],
            "{at}: what was acknowledged is still there"
        );
    }
    if run["state"] == "needs_attention" {
        let verdict = if rave.finished("dump_once") > 0 {
            "happened"
        } else {
            "did-not"
        };
        let (status, answer) = rave.resolve(&run, verdict).await.expect("an answer");
        assert!(status < 300, "{at}: {status}: {answer}");
        run = rave.settled_run().await;
    }
    check(&rave, &run, &at).await;
    rave.stop().await;
    rave.verify_audit(&at);
    ended
}

async fn check(rave: &Rave, run: &Value, at: &str) {
    let runs = rave.get("/api/v1/runs").await;
    assert_eq!(
        runs["items"].as_array().map(Vec::len),
        Some(1),
        "{at}: one request, one run: {runs}"
    );
    assert!(rave.begun("dump_once") <= 1, "{at}: the dump began twice");
    let states: Vec<&str> = run["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["state"].as_str().expect("state"))
        .collect();
    for (intent, state) in INTENTS.iter().zip(&states) {
        let finished = rave.finished(intent);
        if *state == "succeeded" {
            assert!(
                finished >= 1,
                "{at}: {intent} says succeeded, nobody saw it"
            );
        }
        if *state == "skipped" {
            assert_eq!(finished, 0, "{at}: {intent} says skipped, but it was done");
        }
    }
    if run["state"] == "succeeded" {
        assert_eq!(states, ["succeeded"; 3], "{at}");
    } else {
        // Only a dump that a person found not to have happened ends otherwise.
        assert_eq!(run["state"], "failed", "{at}: {run}");
        assert_eq!(json!(states[1]), json!("failed"), "{at}: {run}");
        assert_eq!(rave.finished("dump_once"), 0, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_from_outside_leaves_under_way_is_settled_by_the_next_process() {
    let witness = Witness::start().await;
    witness.takes("slow", Duration::from_secs(60));
    let intents = [("slow", "action: stacks.keyed\nstack: web\n")];
    let mut rave = Rave::with_witness(&witness, &intents, |_| {});
    // Data may lie anywhere.
    let elsewhere = tempfile::tempdir().unwrap();
    rave.keep_data_in(elsewhere.path());
    witness.watches(rave.data());
    rave.start(None).await;
    let _ = rave.orchestrate(&["slow"], "slow").await;
    wait_for("the effect to begin", || async {
        (witness.asked("slow") == 1)
            .then_some(())
            .ok_or_else(|| rave.log())
    })
    .await;
    rave.kill().await;

    witness.takes("slow", Duration::ZERO);
    rave.start(None).await;
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["steps"][0]["attempts"], 2, "{run}");
    assert_eq!(witness.count("slow"), 1);
    assert_eq!(witness.violations(), Vec::<String>::new());
    assert!(rave.passes("store.after_commit") > 0);
    rave.stop().await;
    rave.verify_audit("killed from outside");
}
