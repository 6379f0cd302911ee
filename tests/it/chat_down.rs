//! A chat that is down for an hour: nothing is lost, order is kept, and tries are bounded.

use std::time::Duration;

use rave_domain::ports::store::Store as _;
use rave_tests::{World, wait_for};

/// Commands typed while nobody hears the answers.
const RUNS: usize = 12;

#[tokio::test]
async fn an_hour_without_chat_and_alerts_loses_nothing_that_can_still_be_told() {
    let mut bot = World::new().start().await;
    bot.mattermost().fails_with(500);
    bot.discord().fails_with(500);
    for nth in 1..=RUNS {
        bot.says("ann", "/rave rollout web").await;
        bot.reaches(&format!("run_{nth:04}"), "succeeded").await;
    }
    // A `response_url` lives for half an hour; within it everything is tried again and again, but
    // never more often than the backoff allows.
    for minute in 1..=60_u32 {
        let status = [500, 429, 503][minute as usize % 3];
        bot.mattermost().fails_with(status);
        bot.discord().fails_with(status);
        bot.turn(Duration::from_secs(60));
        wait_for("everything that is due to be tried", || async {
            let due = bot
                .store()
                .outbox_due(bot.engine().now(), 1, Vec::new())
                .await
                .unwrap();
            if due.is_empty() {
                Ok(())
            } else {
                Err(format!("{due:?}"))
            }
        })
        .await;
    }
    let tries = bot.mattermost().refused().len();
    // At first after 1, 2, 4, … seconds, then every 5 minutes.
    assert!(tries <= RUNS * 20, "{tries} tries");
    let late = bot.audited("delivery.failed").await.entry;
    assert!(
        late.details["why"].as_str().unwrap().contains("expired"),
        "{late:?}"
    );
    bot.mattermost().is_back();
    bot.discord().is_back();
    bot.turn(Duration::from_secs(301));
    // Alerts have no end: all of them come, in the order in which things happened.
    bot.delivers_all().await;
    let embeds = bot.discord().embeds();
    let order: Vec<usize> = (1..=RUNS)
        .map(|nth| {
            let run = format!("(run_{nth:04})");
            let at = embeds
                .iter()
                .position(|embed| embed.description.contains(&run));
            at.unwrap_or_else(|| panic!("no alert about {run}: {embeds:#?}"))
        })
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(embeds.len(), RUNS, "an alert came twice");
    // The chat hears what is asked from now on, and can ask for what it has missed.
    bot.says("ann", "/rave rollout content").await;
    bot.hears().await;
    let shown = bot.says("ann", "/rave show run_0001").await;
    assert!(shown.contains("succeeded"), "{shown}");
    bot.expects_error("undeliverable");
    bot.finish().await;
}
