//! The event stream of a run: each event once, in order, whenever a client comes and however
//! often.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use rave_tests::{Bot, Failing, Sent, World};
use serde_json::Value;

/// One line an event: place, what, state of the run, what else it says, steps that changed.
fn told(events: &[Sent]) -> String {
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(sent: &Sent) -> String {
    let event = &sent.data;
    assert_eq!(event["seq"], sent.id, "{event}");
    assert_eq!(event["run_id"], "run_0001", "{event}");
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let mut line = format!("{} {}: {}", sent.id, text("kind"), text("state"));
    for name in [
        "by", "decision", "verdict", "says", "reason", "step", "error",
    ] {
        if let Some(value) = event.get(name) {
            line.push_str(&format!(", {name} {value}"));
        }
    }
    for approval in event["approvals"].as_array().into_iter().flatten() {
        line.push_str(&format!(", {} missing", approval["missing"]));
    }
    for step in event["steps"].as_array().unwrap() {
        let (number, state) = (&step["number"], step["state"].as_str().unwrap());
        line.push_str(&format!(" [{number} {state}]"));
    }
    line
}

/// The view of the run's steps that a client has who draws what it is told.
fn drawn(events: &[Sent]) -> Vec<Value> {
    let mut steps = BTreeMap::new();
    for sent in events {
        for step in sent.data["steps"].as_array().unwrap() {
            steps.insert(step["number"].as_u64().unwrap(), step.clone());
        }
    }
    steps.into_values().collect()
}

async fn whole(bot: &Bot, run: &str) -> Vec<Sent> {
    bot.api().follow(run, None).await.unwrap().rest().await
}

/// Ann asks for `rollout_media`, which waits for an approval and needs `rollout_content`.
async fn asked(bot: &mut Bot) {
    bot.says("ann", "/rave rollout media").await;
    bot.reaches("run_0001", "awaiting_approval").await;
}

async fn approved(bot: &mut Bot) {
    bot.says("bob", "/rave approve run_0001 looks good").await;
    // Bob and Ann are told.
    bot.hears_with("run_0001").await;
    bot.hears_with("run_0001").await;
}

#[tokio::test]
async fn a_run_is_followed_from_its_request_to_its_end() {
    let mut bot = World::new().start().await;
    asked(&mut bot).await;
    let api = bot.api().with_key("token-of-ann");
    let mut stream = api.follow("run_0001", None).await.unwrap();
    let mut events = vec![stream.next().await.unwrap()];
    assert_eq!(events[0].data["state"], "awaiting_approval");
    approved(&mut bot).await;
    events.extend(stream.rest().await);
    assert_snapshot!(told(&events), @r#"
    1 submitted: awaiting_approval, by "ann", 1 missing [1 pending] [2 pending]
    2 decided: queued, by "bob", decision "approve", says "looks good", 0 missing
    3 locks_granted: queued
    4 started: queued
    5 claimed: running, step 1 [1 claimed]
    6 prepared: running, step 1 [1 running]
    7 reported: running, step 1 [1 succeeded]
    8 claimed: running, step 2 [2 claimed]
    9 prepared: running, step 2 [2 running]
    10 reported: succeeded, step 2 [2 succeeded]
    "#);
    let run = api.get("/api/v1/runs/run_0001").await.body;
    assert_eq!(Value::from(drawn(&events)), run["steps"]);
    assert_eq!(
        events,
        whole(&bot, "run_0001").await,
        "later it is the same"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_lost_outcome_and_its_verdict_are_told() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::LostAfter);
    bot.says("ann", "/rave mail").await;
    bot.hears_with("run_0001").await;
    let mut stream = bot.api().follow("run_0001", None).await.unwrap();
    let mut events = stream.until("reported").await;
    bot.says("root", "/rave resolve run_0001 1 did-not").await;
    bot.hears_with("run_0001").await;
    events.extend(stream.rest().await);
    assert_snapshot!(told(&events), @r#"
    1 submitted: queued, by "ann" [1 pending]
    2 locks_granted: queued
    3 started: queued
    4 claimed: running, step 1 [1 claimed]
    5 reported: needs_attention, says "the connection broke", step 1 [1 unknown]
    6 resolved: failed, by "root", verdict "did-not", step 1 [1 failed]
    "#);
    bot.finish().await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let mut bot = World::new().start().await;
    asked(&mut bot).await;
    approved(&mut bot).await;
    bot.reaches("run_0001", "succeeded").await;
    let api = bot.api();
    let all = whole(&bot, "run_0001").await;
    let numbers: Vec<u64> = all.iter().map(|sent| sent.id).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    for (had, last) in numbers.iter().enumerate() {
        let missed = all.get(had + 1..).unwrap();
        let header = api.follow("run_0001", Some(&last.to_string())).await;
        if missed.is_empty() {
            let answer = header.unwrap_err();
            assert_eq!((answer.status, answer.text.as_str()), (204, ""));
            continue;
        }
        assert_eq!(header.unwrap().rest().await, missed);
        let query = format!("run_0001/events?after={last}");
        let query = api.get(&format!("/api/v1/runs/{query}")).await.text;
        assert_eq!(query.matches("\nid: ").count(), missed.len(), "{query}");
    }
    let both = api
        .request("GET", "/api/v1/runs/run_0001/events?after=1")
        .header("last-event-id", (all.len() - 1).to_string());
    let both = api.send(both).await.text;
    assert_eq!(both.matches("\nid: ").count(), 1, "the header wins: {both}");
    bot.finish().await;
}

#[tokio::test]
async fn a_stop_ends_the_stream_and_the_next_process_goes_on_with_it() {
    let mut bot = World::new().start().await;
    asked(&mut bot).await;
    let mut first = bot.api().follow("run_0001", None).await.unwrap();
    let mut events = vec![first.next().await.unwrap()];
    bot.stop().await;
    assert_eq!(first.next().await, None);
    assert!(!bot.log().contains("answers_cut_off"), "{}", bot.log());
    bot.start_again().await;
    let mut second = bot.api().follow("run_0001", Some("1")).await.unwrap();
    bot.crash().await;
    assert_eq!(second.rest().await, []);
    let mut third = bot.api().follow("run_0001", Some("1")).await.unwrap();
    approved(&mut bot).await;
    events.extend(third.rest().await);
    assert_eq!(events, whole(&bot, "run_0001").await);
    assert_eq!(events.last().unwrap().data["state"], "succeeded");
    bot.finish().await;
}

#[tokio::test]
async fn whenever_a_client_comes_it_gets_each_event_once() {
    let mut bot = World::new().start().await;
    asked(&mut bot).await;
    let mut slow = bot.api().follow("run_0001", None).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..8 {
        let api = bot.api();
        readers.push(tokio::spawn(async move {
            let mut stream = api.follow("run_0001", None).await.unwrap();
            stream.rest().await
        }));
    }
    approved(&mut bot).await;
    for _ in 0..8 {
        let api = bot.api();
        readers.push(tokio::spawn(async move {
            let mut stream = api.follow("run_0001", None).await.unwrap();
            stream.rest().await
        }));
    }
    bot.reaches("run_0001", "succeeded").await;
    let all = whole(&bot, "run_0001").await;
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    assert_eq!(slow.rest().await, all, "who read nothing until now");
    bot.finish().await;
}

#[tokio::test]
async fn a_run_that_one_may_not_read_does_not_exist() {
    let mut bot = World::new().start().await;
    bot.says("root", "/rave secret_thing").await;
    bot.hears_with("run_0001").await;
    let ann = bot.api().with_key("token-of-ann");
    let mut answers = Vec::new();
    for run in ["run_0001", "run_9999", "..%2f..", "%ff"] {
        answers.push(ann.follow(run, None).await.unwrap_err());
    }
    for answer in &answers {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let detail = answers[0].detail().replace("run_0001", "run_9999");
    assert_eq!(detail, answers[1].detail());
    assert_eq!(answers[0].code(), "unknown_run");
    assert_eq!(answers[3].code(), "not_found");
    let nobody = bot.api().with_key("");
    let answer = nobody.follow("run_0001", None).await.unwrap_err();
    assert_eq!((answer.status, answer.code()), (401, "unauthorized"));
    bot.audited("auth.refused").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_place_that_is_none_is_an_error_that_says_what_to_send() {
    let mut bot = World::new().start().await;
    asked(&mut bot).await;
    let api = bot.api();
    let last = api.follow("run_0001", Some("yesterday")).await.unwrap_err();
    let ahead = api.follow("run_0001", Some("2")).await.unwrap_err();
    let mut said = vec![last, ahead];
    for query in ["after=-1", "after=soon", "since=1"] {
        let path = format!("/api/v1/runs/run_0001/events?{query}");
        said.push(api.get(&path).await);
    }
    let said: Vec<String> = said
        .iter()
        .map(|answer| {
            assert_eq!((answer.status, answer.code()), (400, "invalid_argument"));
            format!("{} / {}", answer.detail(), answer.body["hint"])
        })
        .collect();
    assert_snapshot!(said.join("\n"), @r#"
    Last-Event-ID must be one event's number / "send back the `id:` of the last event that you have, or leave it out for all"
    run_0001 has had no event number 2 yet / "send the id of the last event that you have, or none for all"
    after must be a whole number from 0 / null
    after must be a whole number from 0 / null
    there is no parameter "since" / "there are after"
    "#);
    bot.leaves_open("run_0001");
    bot.finish().await;
}
