//! Once in, once done, and told in the end, whatever the chat or the process does meanwhile.

use std::time::Duration;

use insta::assert_snapshot;
use rave_tests::{Failing, World};

#[tokio::test]
async fn two_hundred_repeats_of_one_command_make_one_run() {
    let mut bot = World::new().start().await;
    let url = bot.mattermost().response_url("ann");
    let form = bot.form("ann", "/rave rollout web", "the-same", &url);
    let answers = futures::future::join_all((0..200).map(|_| bot.post_form(&form))).await;
    let run = bot.hears().await;
    let run = run
        .split([' ', ':'])
        .find(|word| word.starts_with("run_"))
        .unwrap();
    for answer in &answers {
        let text = answer.body["text"].as_str().unwrap();
        assert!(answer.status == 200 && text.contains(run), "{text}");
    }
    assert_eq!(bot.stacks().done(), ["rollout_web"]);
    assert_eq!(bot.dump().matches("runs run_").count(), 1);
    let metrics = bot.api().get("/metrics").await.text;
    assert!(
        metrics.contains("rave_duplicate_requests_total{surface=\"mattermost\"} 199"),
        "{metrics}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_repeat_after_a_restart_gets_the_first_answer() {
    let mut bot = World::new().start().await;
    let first = bot.types("ann", "/rave rollout web", "t-1").await;
    assert!(first.text.contains("run_0001"), "{}", first.text);
    bot.hears().await;
    // A crash before it is noted as delivered may bring the message again.
    bot.delivers_all().await;
    bot.crash().await;
    let again = bot.types("ann", "/rave rollout web", "t-1").await;
    assert!(
        again.text.contains("run_0001: rollout_web succeeded"),
        "{}",
        again.text
    );
    let other = bot.types("ann", "/rave rollout content", "t-1").await;
    assert!(
        other.text.contains("idempotency_key_reused"),
        "{}",
        other.text
    );
    assert_eq!(bot.stacks().done(), ["rollout_web"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_chat_that_was_down_for_a_while_gets_the_final_state() {
    for status in [500, 503] {
        let mut bot = World::new().start().await;
        bot.mattermost().fails_with(status);
        bot.says("ann", "/rave rollout web").await;
        bot.reaches("run_0001", "succeeded").await;
        bot.postpones(1).await;
        bot.turn(Duration::from_secs(60));
        bot.postpones(2).await;
        bot.restart().await;
        bot.mattermost().is_back();
        bot.turn(Duration::from_secs(600));
        let text = bot.hears().await;
        assert!(text.contains("run_0001: rollout_web succeeded"), "{text}");
        bot.finish().await;
    }
}

#[tokio::test]
async fn a_chat_that_was_down_for_too_long_leaves_an_audit_row() {
    let mut bot = World::new().start().await;
    bot.mattermost().fails_with(503);
    bot.says("ann", "/rave rollout web").await;
    bot.reaches("run_0001", "succeeded").await;
    bot.postpones(1).await;
    bot.turn(Duration::from_secs(31 * 60));
    bot.delivers_all().await;
    let row = bot.audited("delivery.failed").await.entry;
    assert_eq!(row.correlation, "run_0001");
    bot.mattermost().is_back();
    bot.expects_error("undeliverable");
    bot.finish().await;
}

#[tokio::test]
async fn the_last_of_five_uses_is_kept_for_the_end() {
    let mut bot = World::new().start().await;
    bot.stacks().fails_times("mail", Failing::LostBefore, 6);
    bot.says("ann", "/rave mail").await;
    for _ in 0..6 {
        bot.reaches("run_0001", "needs_attention").await;
        bot.delivers_all().await;
        bot.says("root", "/rave resolve run_0001 1 again").await;
    }
    bot.reaches("run_0001", "succeeded").await;
    bot.delivers_all().await;
    let heard: Vec<String> = bot.mattermost().all().into_iter().map(|m| m.text).collect();
    assert!(heard.len() <= 5, "{heard:#?}");
    assert!(heard.last().unwrap().contains("succeeded"), "{heard:#?}");
    assert_eq!(bot.mattermost().refused(), Vec::<u16>::new());
    for _ in heard {
        bot.hears().await;
    }
    bot.finish().await;
}

#[tokio::test]
async fn alerts_wait_as_long_as_discord_says() {
    let mut bot = World::new().start().await;
    bot.discord().limits_once(2.5);
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.postpones(1).await;
    assert_eq!(bot.discord().embeds(), []);
    bot.turn(Duration::from_secs(3));
    let embed = bot.alerted("Success").await;
    assert!(embed.good);
    assert_snapshot!(embed.description, @"
    Success
    ```
    rollout_web by ann (run_0001)
    ```
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_deleted_webhook_is_given_up() {
    let mut bot = World::new().start().await;
    bot.discord().is_deleted();
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.audited("delivery.failed").await;
    bot.expects_error("undeliverable");
    bot.finish().await;
}

/// What a killed or restarted Rave finds again, class by class.
#[tokio::test]
async fn a_crash_in_the_middle_of_everything_loses_and_doubles_nothing() {
    in_the_middle_of_everything(true).await;
}

#[tokio::test]
async fn a_restart_in_the_middle_of_everything_loses_and_doubles_nothing() {
    in_the_middle_of_everything(false).await;
}

async fn in_the_middle_of_everything(crash: bool) {
    let mut bot = World::new().start().await;
    let titles = ["rollout_web", "mail", "resize", "page"];
    let gates: Vec<_> = titles
        .iter()
        .map(|title| bot.stacks().blocks(title))
        .collect();
    for title in titles {
        bot.says("ann", &format!("/rave run {title}")).await;
    }
    bot.says("ann", "/rave rollout media").await;
    bot.says("ann", "/rave scale web 7").await;
    for gate in &gates {
        gate.reached().await;
    }
    if crash {
        bot.crash().await;
    } else {
        bot.restart().await;
    }
    for (run, state) in [
        ("run_0001", "succeeded"),
        ("run_0002", "needs_attention"),
        ("run_0003", "succeeded"),
        ("run_0004", "succeeded"),
        ("run_0005", "awaiting_approval"),
        ("run_0006", "succeeded"),
    ] {
        bot.reaches(run, state).await;
    }
    bot.says("bob", "/rave approve run_0005").await;
    bot.says("root", "/rave resolve run_0002 1 did-not").await;
    bot.reaches("run_0005", "succeeded").await;
    let mut done = bot.stacks().done();
    done.sort();
    assert_eq!(
        done,
        [
            "page",
            "resize",
            "rollout_content",
            "rollout_media",
            "rollout_web",
            "scale_web"
        ]
    );
    let page = bot
        .stacks()
        .effects()
        .into_iter()
        .find(|effect| effect.title == "page")
        .unwrap();
    assert_eq!(page.key.as_str(), "run_0004.0.0");
    assert_eq!(bot.stacks().stack("web").replicas, 7);
    bot.delivers_all().await;
    for message in bot.mattermost().unheard() {
        bot.hears_with(&message.text).await;
    }
    let heard = bot.mattermost().all();
    for run in ["run_0001", "run_0003", "run_0004", "run_0005", "run_0006"] {
        let ends = heard
            .iter()
            .filter(|message| message.text.contains(run) && message.text.contains("succeeded."))
            .count();
        assert_eq!(ends, 1, "{run}: {heard:#?}");
    }
    bot.finish().await;
}
