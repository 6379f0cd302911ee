//! The real binary started again on what a power cut left: it goes on by itself, and does nothing
//! twice that may be done only once.

use std::collections::BTreeMap;

use rave_tests::disk::{Image, Recording, scratch};
use rave_tests::{Api, wait_for};
use serde_json::json;

use super::story::{Told, WORLD};
use crate::lossy::OnDisk;

/// States in which a run waits for nothing but an approval.
const AT_REST: [&str; 4] = ["succeeded", "failed", "cancelled", "awaiting_approval"];

/// Starts again after so many of the crashes, evenly spread.
pub(super) async fn start_again(recording: &Recording, told: &[Told], seed: u64, times: usize) {
    let all = recording.crashes(seed, 1, |_| ());
    let every = all.div_ceil(times);
    let mut chosen = Vec::new();
    recording.crashes(seed, 1, |crash| {
        if crash.index % every == every - 1 {
            chosen.push((crash.to_string(), crash.at, crash.image()));
        }
    });
    for (crash, at, image) in chosen {
        let told = told.iter().filter(|told| told.at <= at);
        once(&crash, &image, recording, at, &told.collect::<Vec<_>>()).await;
    }
}

async fn once(crash: &str, image: &Image, recording: &Recording, at: usize, told: &[&Told]) {
    let dir = scratch();
    image.write_to(dir.path());
    // What was done to the world stays done.
    let written = recording.written(WORLD).into_iter();
    let seen: String = written
        .filter(|(written, _)| *written <= at)
        .map(|(_, line)| line)
        .collect();
    let world = dir.path().join(WORLD);
    std::fs::write(&world, seen).unwrap();
    let mut rave = OnDisk::new(&dir.path().join("data"), &world);
    rave.start().await;
    let api = rave.as_("root");
    let rest = || async {
        let answer = api.get("/api/v1/runs?limit=100").await;
        let runs = answer.body["items"].as_array().cloned().unwrap_or_default();
        let states: BTreeMap<String, String> = runs
            .iter()
            .map(|run| {
                let text = |field: &str| run[field].as_str().unwrap().to_owned();
                (text("id"), text("state"))
            })
            .collect();
        // A dump that was under way waits for a person, and others wait for its lock.
        for (run, _) in states
            .iter()
            .filter(|(_, state)| *state == "needs_attention")
        {
            resolve(&api, run).await;
        }
        let rests = states.values().all(|state| AT_REST.contains(&&**state));
        rests.then_some(states).ok_or(answer.text)
    };
    let states = wait_for(&format!("{crash}: all runs to rest"), rest).await;
    for told in told {
        let state = states.get(&told.run);
        assert!(state.is_some(), "{crash}: {} is not there", told.run);
        let said = told.state.as_deref();
        if matches!(said, Some("succeeded" | "failed" | "cancelled")) {
            assert_eq!(state.map(String::as_str), said, "{crash}: {}", told.run);
        }
    }
    let mut dumps: BTreeMap<String, u32> = BTreeMap::new();
    for line in rave.world().lines().filter(|line| line.contains("dump")) {
        if let Some(effect) = line.strip_prefix("begin ") {
            let key = effect.split(' ').nth(1).unwrap();
            *dumps.entry(key.to_owned()).or_default() += 1;
        }
    }
    let twice = dumps.iter().find(|(_, times)| **times > 1);
    assert_eq!(twice, None, "{crash}: done twice\n{}", rave.world());
    rave.stop().await;
}

/// Says of the step that nobody knows about that it happened.
async fn resolve(api: &Api, run: &str) {
    let shown = api.get(&format!("/api/v1/runs/{run}")).await;
    let steps = shown.body["steps"].as_array().unwrap();
    let unknown = steps.iter().position(|step| step["state"] == "unknown");
    // Not when it has moved on since the list was made.
    if let Some(place) = unknown {
        let path = format!("/api/v1/runs/{run}/steps/{}/resolve", place + 1);
        let answer = api.post(&path, &json!({"verdict": "happened"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}
