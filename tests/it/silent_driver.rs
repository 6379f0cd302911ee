//! A driver that never answers: every call has its end, the run comes to the state that is true,
//! and the rest of Rave goes on.

use std::time::Duration;

use rave_tests::{Bot, Call, World};

async fn patient_bot() -> Bot {
    let mut world = World::new()
        .config("engine.observe_within", "150ms")
        .config("engine.settle_within", "150ms")
        .config("engine.stop_grace", "100ms");
    for (intent, action, stack) in [
        ("roll", "rollout", "web"),
        ("send", "fake.once", "mail"),
        ("tune", "fake.probe", "db"),
        ("call", "fake.keyed", "pager"),
    ] {
        let text = format!("action: {action}\nstack: {stack}\nroles: [ops]\ntimeout: 200ms\n");
        world = world.intent(intent, &text);
    }
    world.start().await
}

#[tokio::test]
async fn every_call_that_is_never_answered_has_its_end() {
    use Call::{Apply, Cancel, EndLeftovers, Inspect, Plan, Prepare};
    for (silent, intent, state, why) in [
        (&[Plan][..], "roll", "succeeded", ""),
        (
            &[Prepare],
            "roll",
            "failed",
            "reading what runs now took longer",
        ),
        (&[Apply], "roll", "failed", "longer than its timeout"),
        (
            &[Apply],
            "send",
            "needs_attention",
            "longer than its timeout",
        ),
        (&[Apply], "tune", "failed", "longer than its timeout"),
        (
            &[Apply, Inspect],
            "tune",
            "needs_attention",
            "took too long",
        ),
        (
            &[Apply, Cancel],
            "call",
            "failed",
            "longer than its timeout",
        ),
        (
            &[Apply, EndLeftovers],
            "call",
            "needs_attention",
            "still runs",
        ),
    ] {
        let mut bot = patient_bot().await;
        bot.stacks().silent_on(silent);
        bot.says("ann", &format!("/rave {intent}")).await;
        let run = bot.reaches("run_0001", state).await;
        assert!(run.to_string().contains(why), "{silent:?}: {run}");
        // The rest of Rave works all the same.
        bot.stacks().silent_on(&[]);
        bot.says("ann", "/rave rollout content").await;
        bot.reaches("run_0002", "succeeded").await;
        if state == "needs_attention" {
            bot.says("root", "/rave resolve run_0001 1 did-not").await;
            bot.reaches("run_0001", "failed").await;
        }
        bot.delivers_all().await;
        while bot.mattermost().next().is_some() {}
        bot.finish().await;
    }
}

#[tokio::test]
async fn a_silent_driver_delays_neither_answers_nor_the_stop() {
    let mut bot = patient_bot().await;
    bot.stacks()
        .silent_on(&[Call::Apply, Call::Cancel, Call::Health]);
    bot.says("ann", "/rave mail").await;
    bot.reaches("run_0001", "running").await;
    let status = bot.says("ann", "/rave status").await;
    assert!(
        status.contains("driver.fake: it does not answer"),
        "{status}"
    );
    bot.says("ann", "/rave cancel run_0001").await;
    // `mail` has a timeout of minutes; the stop waits for its grace only.
    let stopped = tokio::time::timeout(Duration::from_secs(10), bot.stop()).await;
    assert!(stopped.is_ok(), "the driver kept Rave from stopping");
    bot.stacks().silent_on(&[Call::EndLeftovers]);
    bot.start_again().await;
    let run = bot.reaches("run_0001", "needs_attention").await;
    assert!(run.to_string().contains("still runs"), "{run}");
    bot.stacks().silent_on(&[]);
    bot.says("root", "/rave resolve run_0001 1 did-not").await;
    bot.reaches("run_0001", "cancelled").await;
    bot.delivers_all().await;
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}
