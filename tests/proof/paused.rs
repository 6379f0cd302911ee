//! A process that is paused (SIGSTOP) while its deadlines pass: they are judged by the clock when
//! it goes on, and nothing that has expired is run.

use std::time::Duration;

use rave_tests::{Failing, Witness, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::Rave;

const INTENTS: [(&str, &str); 5] = [
    (
        "asked",
        "action: stacks.once\nstack: web\nroles: [ops]\n\
         approval: {required: 1, from: [ops, oncall], ttl: 2s, run_within: 2s}\n",
    ),
    ("holder", "action: stacks.keyed\nstack: web\nroles: [ops]\n"),
    (
        "bounded",
        "action: stacks.keyed\nstack: db\nroles: [ops]\ntimeout: 1s\n",
    ),
    (
        "endless",
        "action: stacks.idempotent\nstack: db\nroles: [ops]\ntimeout: 1s\n",
    ),
    (
        "flaky",
        "action: stacks.keyed\nstack: pager\nroles: [ops]\nretry: {max: 3, backoff: 1s..1s}\n",
    ),
];

/// Longer than every deadline of the intents.
const LONG: Duration = Duration::from_millis(2_500);

struct Paused {
    rave: Rave,
    witness: Witness,
}

impl Paused {
    async fn new() -> Self {
        let witness = Witness::start().await;
        let mut rave = Rave::with_witness(&witness, &INTENTS, |_| {});
        rave.start(None).await;
        Self { rave, witness }
    }

    /// Asks as ann, who may not approve what she asked for.
    async fn ask(&self, intent: &str) -> String {
        let request = self
            .rave
            .request_as("token-of-ann", http::Method::POST, "/api/v1/runs");
        let request = request.json(&json!({"intents": [intent]}));
        let (status, answer) = self.rave.send(request).await.unwrap();
        assert!(status < 300, "{status}: {answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// What bob's approval of a run is answered with.
    fn approve(&self, run: &str) -> impl Future<Output = (u16, String)> + Send + 'static {
        let path = format!("/api/v1/runs/{run}/approve");
        let request = self
            .rave
            .request_as("token-of-bob", http::Method::POST, &path)
            .json(&json!({}));
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    }

    async fn begins(&self, title: &str) {
        wait_for("an effect to begin", || async {
            let asked = self.witness.asked(title);
            (asked > 0).then_some(()).ok_or_else(|| title.to_owned())
        })
        .await;
    }

    async fn state(&self, run: &str, state: &str) -> Value {
        let path = format!("/api/v1/runs/{run}");
        wait_for(state, || async {
            let run = self.rave.get(&path).await;
            if run["state"] == state {
                Ok(run)
            } else {
                Err(run.to_string())
            }
        })
        .await
    }

    /// Pauses the process for longer than its deadlines.
    async fn pause(&self) {
        self.rave.signal(Signal::STOP);
        tokio::time::sleep(LONG).await;
        self.rave.signal(Signal::CONT);
    }

    async fn finish(mut self) {
        self.rave.stop().await;
        assert_eq!(self.witness.violations(), [""; 0]);
        assert_eq!(rave_tests::leftovers(self.rave.data()), []);
        self.rave.verify_audit("paused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_came_during_the_pause_is_too_late_when_its_time_is_over() {
    let paused = Paused::new().await;
    let run = paused.ask("asked").await;
    paused.rave.signal(Signal::STOP);
    // The machine takes the connection; nobody reads from it.
    let approval = tokio::spawn(paused.approve(&run));
    paused.pause().await;
    let (status, answer) = approval.await.unwrap();
    assert_eq!(status, 409, "{answer}");
    let run = paused.state(&run, "cancelled").await;
    assert_eq!(run["steps"][0]["attempts"], 0, "{run}");
    assert_eq!(paused.witness.asked("asked"), 0);
    paused.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_run_whose_time_to_start_passes_in_the_pause_does_not_start() {
    let paused = Paused::new().await;
    paused.witness.takes("holder", Duration::from_secs(1));
    let holder = paused.ask("holder").await;
    paused.begins("holder").await;
    let run = paused.ask("asked").await;
    let (status, answer) = paused.approve(&run).await;
    assert!(status < 300, "{answer}");
    paused.state(&run, "queued").await;
    // The lock is given back in the same moment in which the deadline is seen to have passed.
    paused.pause().await;
    paused.state(&holder, "succeeded").await;
    paused.state(&run, "cancelled").await;
    assert_eq!(paused.witness.asked("asked"), 0);
    assert_eq!(paused.witness.count("holder"), 1);
    paused.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_ended_in_the_pause_has_ended_and_one_that_did_not_is_stopped() {
    let paused = Paused::new().await;
    paused.witness.takes("bounded", Duration::from_millis(500));
    let run = paused.ask("bounded").await;
    paused.begins("bounded").await;
    paused.pause().await;
    let run = paused.state(&run, "succeeded").await;
    assert_eq!(run["steps"][0]["attempts"], 1, "{run}");
    assert_eq!(paused.witness.asked("bounded"), 1);

    paused.witness.takes("endless", Duration::from_secs(600));
    let run = paused.ask("endless").await;
    paused.begins("endless").await;
    paused.pause().await;
    let run = paused.state(&run, "failed").await;
    assert_eq!(run["steps"][0]["error"]["code"], "step_timeout", "{run}");
    assert_eq!(paused.witness.count("endless"), 0, "it was stopped");
    paused.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_was_due_in_the_pause_is_made_once() {
    let paused = Paused::new().await;
    let busy = Failing::Transient("busy");
    paused.witness.fails("flaky", &busy, 1);
    let run = paused.ask("flaky").await;
    paused.begins("flaky").await;
    paused.pause().await;
    let run = paused.state(&run, "succeeded").await;
    assert_eq!(run["steps"][0]["attempts"], 2, "{run}");
    assert_eq!(paused.witness.asked("flaky"), 2);
    assert_eq!(paused.witness.count("flaky"), 1);
    paused.finish().await;
}
