//! Runs that wait: they are read from the journal when something touches them, and are the same
//! run to everybody who does.

use std::time::Duration;

use futures::future::join_all;
use rave_tests::{Answer, Bot, Failing, World, scaled};

/// Asks for a run over the API; its id.
async fn asks(bot: &Bot, intent: &str, key: &str) -> String {
    let api = bot.api().with_key("token-of-ann");
    let request = api
        .request("POST", "/api/v1/runs")
        .header("idempotency-key", key)
        .json(&serde_json::json!({"intents": [intent], "wait": 0}));
    let answer = api.send(request).await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
    answer.run_id().to_owned()
}

async fn posts(bot: &Bot, token: &str, path: String) -> Answer {
    let api = bot.api().with_key(token);
    let request = api
        .request("POST", &path)
        .json(&serde_json::json!({"reason": "race"}));
    api.send(request).await
}

/// Everything that can touch a waiting run comes at once. Were there ever two cells of one run,
/// the second turn would find a journal that has moved on.
#[tokio::test]
async fn a_waiting_run_that_many_touch_at_once_takes_one_turn_after_the_other() {
    let bot = World::new().start().await;
    for round in 0..scaled(12) {
        let run = asks(&bot, "rollout_media", &format!("round-{round}")).await;
        let path = format!("/api/v1/runs/{run}");
        let reads = (0..8).map(|_| async {
            let answer = bot.api().with_key("token-of-root").get(&path).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        });
        let approvals = (0..4).map(|_| posts(&bot, "token-of-bob", format!("{path}/approve")));
        let cancels = (0..2).map(|_| posts(&bot, "token-of-root", format!("{path}/cancel")));
        let clock = async { bot.turn(Duration::from_secs(1)) };
        let (_, approvals, cancels, ()) = tokio::join!(
            join_all(reads),
            join_all(approvals),
            join_all(cancels),
            clock
        );
        let all: Vec<&Answer> = approvals.iter().chain(&cancels).collect();
        for answer in &all {
            assert!(!answer.text.contains("moved on"), "{}", answer.text);
        }
        let taken = |answers: &[Answer]| answers.iter().filter(|a| a.status < 300).count();
        assert!(taken(&approvals) <= 1, "{approvals:#?}");
        assert!(taken(&cancels) <= 1, "{cancels:#?}");
        let ended = bot.api().with_key("token-of-root").get(&path).await;
        let state = ended.body["state"].as_str().unwrap().to_owned();
        if !matches!(state.as_str(), "succeeded" | "cancelled") {
            let wanted = if taken(&cancels) == 1 {
                "cancelled"
            } else {
                "succeeded"
            };
            bot.reaches(&run, wanted).await;
        }
    }
    bot.finish().await;
}

#[tokio::test]
async fn what_holds_a_waiting_run_is_shown_and_found_again_after_a_restart() {
    let mut bot = World::new().start().await;
    let run = asks(&bot, "rollout_media", "held").await;
    bot.says("root", "/rave freeze stack/media").await;
    bot.says("bob", &format!("/rave approve {run}")).await;
    let show = format!("/rave show {run}");
    let held = "is queued: stack/media is frozen";
    assert!(bot.says("ann", &show).await.contains(held));
    bot.crash().await;
    bot.says_when("the hold", "ann", &show, held).await;
    let status = bot.says("root", "/rave status").await;
    assert!(status.contains("**Open runs:** 1"), "{status}");
    bot.says("root", "/rave unfreeze stack/media").await;
    bot.reaches(&run, "succeeded").await;
    bot.finish().await;
}

#[tokio::test]
async fn runs_in_line_go_on_in_order_after_a_restart() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::LostBefore);
    let first = asks(&bot, "mail", "first").await;
    bot.reaches(&first, "needs_attention").await;
    let mut line = Vec::new();
    for place in 0..5 {
        line.push(asks(&bot, "mail", &format!("line-{place}")).await);
    }
    bot.crash().await;
    let shown = bot.says("ann", &format!("/rave show {}", line[4])).await;
    assert!(shown.contains("queued behind 5 runs"), "{shown}");
    bot.says("root", &format!("/rave resolve {first} 1 did-not"))
        .await;
    for run in &line {
        bot.reaches(run, "succeeded").await;
    }
    let keys: Vec<String> = bot
        .stacks()
        .effects()
        .iter()
        .map(|effect| effect.key.as_str().split('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(keys, line);
    bot.finish().await;
}

/// A bit of the journal has gone bad while Rave was stopped, or while the run waited.
#[tokio::test]
async fn a_run_that_cannot_be_read_back_is_set_aside_and_the_others_go_on() {
    for restart in [true, false] {
        let mut bot = World::new().start().await;
        bot.expects_error("journal_unreadable");
        bot.expects_error("store_failed");
        bot.stacks().fails("mail", Failing::LostBefore);
        let spoilt = asks(&bot, "mail", "spoilt").await;
        bot.reaches(&spoilt, "needs_attention").await;
        let behind = asks(&bot, "mail", "behind").await;
        let other = asks(&bot, "rollout_media", "other").await;
        let spoil = || {
            let file = bot.data().join("rave.db");
            let connection = rusqlite::Connection::open(file).unwrap();
            let sql = "UPDATE events SET payload = '{\"v\":1,\"data\":{}}' \
                       WHERE run_id = ?1 AND seq = 2";
            assert_eq!(connection.execute(sql, [&spoilt]).unwrap(), 1);
        };
        spoil();
        if restart {
            bot.restart().await;
        }
        let shown = bot.says("root", &format!("/rave show {spoilt}")).await;
        assert!(shown.contains("cannot be read back"), "{shown}");
        let status = bot.says("root", "/rave status").await;
        let told = format!("{spoilt} cannot be read back; what they hold stays locked");
        assert!(status.contains(&told), "{status}");
        assert!(status.contains("**Open runs:** 2"), "{status}");
        bot.says("bob", &format!("/rave approve {other}")).await;
        bot.reaches(&other, "succeeded").await;
        bot.reaches(&behind, "queued").await;
        let broken = bot.says("root", "/rave unlock stack/mail").await;
        assert!(broken.contains("is free"), "{broken}");
        bot.reaches(&behind, "succeeded").await;
        bot.leaves_open(&spoilt);
        bot.finish().await;
    }
}
