//! A clock that jumps: nothing is shortened, and nothing waits for ever.

use std::time::Duration;

use rave_tests::{Failing, World};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

const FLAKY: &str = "action: rollout\nstack: flaky\nroles: [ops]\n\
                     retry: {max: 3, backoff: 2s..30s}\n";

#[tokio::test]
async fn a_clock_set_back_shortens_nothing_and_everything_comes_to_its_end() {
    let mut bot = World::new().intent("flaky", FLAKY).start().await;
    bot.stacks().fails("flaky", Failing::Transient("busy"));
    bot.mattermost().fails_with(503);
    bot.says("ann", "/rave rollout media").await;
    bot.says("ann", "/rave flaky").await;
    bot.says("ann", "/rave rollout web").await;
    bot.reaches("run_0003", "succeeded").await;
    bot.postpones(1).await;
    bot.turn_back(24 * HOUR);
    bot.mattermost().is_back();
    // A message does not wait for a day to pass once more.
    bot.engine().wake();
    bot.hears_with("run_0003").await;
    // The retry was due in two seconds, and two seconds have not passed.
    bot.turn(Duration::from_secs(1));
    bot.says("root", "/rave audit").await;
    assert_eq!(
        bot.stacks()
            .calls()
            .iter()
            .filter(|c| *c == "flaky")
            .count(),
        1
    );
    // People have their 30 minutes, and more.
    bot.says("bob", "/rave approve run_0001").await;
    bot.reaches("run_0001", "succeeded").await;
    bot.turn(24 * HOUR + MINUTE);
    bot.reaches("run_0002", "succeeded").await;
    let ids: Vec<u64> = bot.audit().await.iter().map(|row| row.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    bot.delivers_all().await;
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}

#[tokio::test]
async fn a_clock_set_back_and_right_again_lets_an_approval_expire_in_its_time() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    bot.turn_back(HOUR);
    bot.restart().await;
    bot.turn(HOUR + 29 * MINUTE);
    bot.reaches("run_0001", "awaiting_approval").await;
    bot.turn(2 * MINUTE);
    bot.reaches("run_0001", "cancelled").await;
    bot.audited("run.expired").await;
    bot.delivers_all().await;
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_by_years_ends_what_is_over_and_loses_nothing() {
    let mut bot = World::new().intent("flaky", FLAKY).start().await;
    let gate = bot.stacks().blocks("mail");
    bot.stacks().fails("flaky", Failing::Transient("busy"));
    bot.says("ann", "/rave rollout media").await;
    bot.says("ann", "/rave flaky").await;
    bot.says("ann", "/rave mail").await;
    gate.reached().await;
    let read = "/rave show run_0002";
    bot.says_when("a first try", "ann", read, "tried again in")
        .await;
    bot.turn(5 * 365 * 24 * HOUR);
    bot.reaches("run_0001", "cancelled").await;
    bot.reaches("run_0002", "succeeded").await;
    // A step's timeout is time that passes, not what a clock says.
    bot.reaches("run_0003", "running").await;
    gate.release();
    bot.reaches("run_0003", "succeeded").await;
    // Nobody hears of it where the commands were typed: their addresses are of another time.
    bot.delivers_all().await;
    bot.audited("run.ended").await;
    while bot.mattermost().next().is_some() {}
    bot.expects_error("undeliverable");
    bot.finish().await;
}
