//! What Rave is asked before the power goes, and what it acknowledged when.

use rave_tests::Answer;
use rave_tests::disk::{Disk, Recording};
use serde_json::json;

use super::check::Truth;
use crate::lossy::OnDisk;

/// What the witness saw, on the same disk: so its place among the writes of Rave is known exactly.
pub(super) const WORLD: &str = "world";

/// Something that a client was told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// How much the disk had seen by then.
    pub(super) at: usize,
    pub(super) run: String,
    /// The state that the run had reached, if that was said.
    pub(super) state: Option<String>,
}

pub(super) struct Story<'a> {
    disk: &'a Disk,
    rave: OnDisk,
    told: Vec<Told>,
}

impl Story<'_> {
    /// Lets Rave work on the disk and ends as a power cut does. Runs of every kind: of one step and
    /// of several, with long output, approved, denied, cancelled, failed, retried, unknown; two
    /// starts more, one after an orderly stop and one after a kill; many requests at once.
    pub(super) async fn told(disk: &Disk) -> (Recording, Truth, Vec<Told>) {
        let mut story = Story {
            disk,
            rave: OnDisk::new(&disk.path().join("data"), &disk.path().join(WORLD)),
            told: Vec::new(),
        };
        story.rave.start().await;
        story.work().await;
        story.decide().await;
        story.rave.stop().await;
        story.rave.start().await;
        story.fail().await;
        story.be_killed().await;
        story.hurry().await;
        story.rave.kill().await;
        let recording = disk.recording();
        let truth = Truth::of(disk, &recording, WORLD, &story.told).await;
        (recording, truth, story.told)
    }

    async fn work(&mut self) {
        let first = self.ask(&["copy"], "first").await;
        self.reached(&first, "succeeded").await;
        let loud = self.ask(&["copy_loud", "copy", "dump"], "loud").await;
        self.reached(&loud, "succeeded").await;
        // A repeat is told the same run.
        assert_eq!(self.ask(&["copy"], "first").await, first);
    }

    async fn decide(&mut self) {
        let approved = self.ask(&["copy_asked"], "approved").await;
        self.reached(&approved, "awaiting_approval").await;
        self.change("bob", &approved, "approve").await;
        self.reached(&approved, "succeeded").await;
        let denied = self.ask(&["copy_asked"], "denied").await;
        self.change("bob", &denied, "deny").await;
        let cancelled = self.ask(&["copy_asked"], "cancelled").await;
        self.change("ann", &cancelled, "cancel").await;
    }

    async fn fail(&mut self) {
        let failed = self.ask(&["copy_broken"], "broken").await;
        self.reached(&failed, "failed").await;
        let again = self.change("ann", &failed, "retry").await;
        assert_ne!(again, failed);
        self.reached(&again, "failed").await;
    }

    async fn be_killed(&mut self) {
        let slow = self.ask(&["dump_slow"], "slow").await;
        let begun = || async {
            let world = self.rave.world();
            let begun = world.lines().any(|line| line.contains("dump_slow"));
            begun.then_some(()).ok_or(world)
        };
        rave_tests::wait_for("the dump to begin", begun).await;
        self.rave.kill().await;
        self.rave.start().await;
        self.reached(&slow, "needs_attention").await;
        let api = self.rave.as_("root");
        let path = format!("/api/v1/runs/{slow}/steps/1/resolve");
        let answer = api.post(&path, &json!({"verdict": "happened"})).await;
        self.note(&answer);
        self.reached(&slow, "succeeded").await;
    }

    async fn hurry(&mut self) {
        let asked = (0..8).map(|number| {
            let rave = &self.rave;
            async move {
                rave.ask(&["copy", "dump"], &format!("hurry-{number}"))
                    .await
            }
        });
        let answers = futures::future::join_all(asked).await;
        let runs: Vec<String> = answers.iter().map(|answer| self.note(answer)).collect();
        for run in &runs {
            self.reached(run, "succeeded").await;
        }
    }

    async fn ask(&mut self, intents: &[&str], key: &str) -> String {
        let answer = self.rave.ask(intents, key).await;
        self.note(&answer)
    }

    async fn change(&mut self, person: &str, run: &str, what: &str) -> String {
        let path = format!("/api/v1/runs/{run}/{what}");
        let answer = self.rave.as_(person).post(&path, &json!({})).await;
        self.note(&answer)
    }

    async fn reached(&mut self, run: &str, state: &str) {
        self.rave.reached(run, state).await;
        self.told.push(Told {
            at: self.disk.position(),
            run: run.to_owned(),
            state: Some(state.to_owned()),
        });
    }

    /// An answer that says which run there is and, perhaps, where it is.
    fn note(&mut self, answer: &Answer) -> String {
        let at = self.disk.position();
        assert!(answer.status < 300, "{}: {}", answer.status, answer.text);
        let run = answer.run_id().to_owned();
        assert!(run.starts_with("run_"), "{}", answer.text);
        let state = answer.body["state"].as_str().map(str::to_owned);
        self.told.push(Told {
            at,
            run: run.clone(),
            state,
        });
        run
    }
}
