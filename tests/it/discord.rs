//! Discord as people see it: one message per run, buttons, forms.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rave_tests::{Bot, Call, FakeChat as _, Seen, World};
use serde_json::json;

#[tokio::test]
async fn a_run_is_asked_for_approved_by_button_and_told_in_one_message() {
    let mut bot = World::new().on_discord().start().await;
    bot.types_on_discord("ann", "/rave rollout media").await;
    bot.presses_on_discord("ann", "run_0001", "Approve").await;
    bot.presses_on_discord("bob", "run_0001", "Approve").await;
    bot.shows_on_discord("run_0001", "succeeded").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave rollout media
    rave: run_0001: rollout_media, asked for by ann, awaits approval.
        1. rollout_content: rollout stack/content, a dependency; undo: back to the release that ran before
        2. rollout_media: rollout stack/media, after rollout_content; undo: back to the release that ran before
        rollout content
        rollout media
        Touches: service web of content, service web of media, stack/content, stack/media
        Plan: D
        Fencing: none: a command that has left Rave cannot be recalled
        rollout_media needs one approval of oncall or ops, other than ann.
        [Approve] [Deny] [Cancel]
    ann: [Approve]
    rave, to ann alone: ❌ You asked for this run, so somebody else must decide. (approval_refused)
    bob: [Approve]
    rave, to bob alone: bob approved it. run_0001: rollout_media is running.
    the message: ✅ run_0001: rollout_media succeeded.
        1. rollout_content: succeeded, 0 ms
        2. rollout_media: succeeded, 0 ms
        [Show log]
    ");
    let discord = bot.discord().clone();
    assert_eq!(discord.messages_of("run_0001"), 1);
    let approved = bot.audited("run.approved").await.entry;
    assert_eq!(approved.person.unwrap().as_str(), "bob");
    assert_eq!(approved.surface.unwrap().as_str(), "discord");
    bot.finish().await;
}

#[tokio::test]
async fn a_run_is_denied_with_a_reason_through_the_form() {
    let mut bot = World::new().on_discord().start().await;
    bot.types_on_discord("ann", "/rave rollout media").await;
    let _ = bot.transcript();
    let form = bot.presses_on_discord("bob", "run_0001", "Deny").await;
    assert!(matches!(form, Seen::Form { .. }), "{form:?}");
    bot.sends_on_discord("bob", &[("reason", "not today, @everyone")])
        .await;
    bot.shows_on_discord("run_0001", "was cancelled").await;
    assert_snapshot!(bot.transcript(), @r#"
    bob: [Deny]
    rave: Form { title: "Deny this run", fields: [("reason", "Reason")] }
    bob: [("reason", "not today, @everyone")]
    rave, to bob alone: ⚠️ bob denied run_0001. Nothing was done.
    the message: ⚠️ run_0001: rollout_media was cancelled.
        1. rollout_content: cancelled
        2. rollout_media: cancelled
        bob denied it: not today, @everyone
        [Retry] [Show log]
    "#);
    let denied = bot.audited("run.denied").await.entry;
    assert_eq!(denied.details["reason"], "not today, @everyone");
    bot.finish().await;
}

#[tokio::test]
async fn a_deleted_message_is_posted_anew_and_an_old_one_goes_on_by_bot() {
    let mut bot = World::new().on_discord().start().await;
    let discord = bot.discord().clone();
    bot.types_on_discord("ann", "/rave rollout media").await;
    bot.shows_on_discord("run_0001", "awaits approval").await;
    bot.delivers_all().await;
    discord.deletes_message_of("run_0001");
    bot.turn(Duration::from_secs(60));
    bot.types_on_discord("bob", "/rave approve run_0001").await;
    bot.shows_on_discord("run_0001", "succeeded").await;

    bot.types_on_discord("ann", "/rave rollout media").await;
    bot.shows_on_discord("run_0002", "awaits approval").await;
    bot.delivers_all().await;
    bot.turn(Duration::from_secs(16 * 60));
    bot.presses_on_discord("bob", "run_0002", "Approve").await;
    bot.shows_on_discord("run_0002", "succeeded").await;
    bot.delivers_all().await;
    bot.finish().await;
}

#[tokio::test]
async fn commands_are_registered_once_and_only_when_they_differ() {
    let mut bot = World::new().on_discord().start().await;
    let discord = bot.discord().clone();
    assert_eq!(discord.registrations(), 1);
    bot.restart().await;
    assert_eq!(discord.registrations(), 1);
    bot.write_intent(
        "wake",
        "description: Wake somebody\naction: rollout\ncommand: rollout wake\nstack: web\n\
         roles: [ops]\n",
    );
    bot.restart().await;
    assert_eq!(discord.registrations(), 2);
    assert_eq!(discord.commands(), ["rave"]);
    bot.finish().await;
}

#[tokio::test]
async fn what_is_typed_into_an_option_is_completed() {
    let bot = World::new().on_discord().start().await;
    let discord = bot.discord();
    let offered = discord.completes("ann", "run", "intent", "roll").await;
    let Seen::Alone(offered) = offered else {
        panic!("{offered:?}");
    };
    assert_eq!(offered, "rollout_content\nrollout_media\nrollout_web");
    bot.finish().await;
}

#[tokio::test]
async fn over_the_gateway_all_is_the_same() {
    let mut bot = World::new()
        .on_discord()
        .config("discord.mode", "gateway")
        .start()
        .await;
    let discord = bot.discord().clone();
    rave_tests::wait_for("a session", || async {
        match discord.sessions() {
            (1, 0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    bot.types_on_discord("ann", "/rave rollout media").await;
    discord.asks_to_reconnect();
    rave_tests::wait_for("the session to go on", || async {
        match discord.sessions() {
            (1, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    bot.presses_on_discord("bob", "run_0001", "Approve").await;
    bot.shows_on_discord("run_0001", "succeeded").await;
    bot.finish().await;
}

/// Asks for a run whose plan takes longer than Discord waits, and sees it through.
async fn is_answered_late(bot: &mut Bot) {
    let seen = bot.types_on_discord("ann", "/rave rollout web").await;
    let Seen::Alone(text) = seen else {
        panic!("{seen:?}");
    };
    assert!(text.contains("run_0001"), "{text}");
    bot.stacks().silent_on(&[]);
    // Everybody sees the run, whoever the acknowledgement was for.
    bot.shows_on_discord("run_0001", "succeeded").await;
}

#[tokio::test]
async fn what_takes_its_time_over_the_gateway_is_acknowledged_and_answered_later() {
    let mut bot = World::new()
        .on_discord()
        .config("discord.mode", "gateway")
        .config("engine.observe_within", "2500ms")
        .config("engine.answer_within", "10s")
        .start()
        .await;
    let discord = bot.discord().clone();
    rave_tests::wait_for("a session", || async {
        match discord.sessions() {
            (1, 0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    bot.stacks().silent_on(&[Call::Plan]);
    is_answered_late(&mut bot).await;
    bot.finish().await;
}

#[tokio::test]
async fn what_takes_its_time_over_http_is_deferred_and_answered_later() {
    let mut bot = World::new()
        .on_discord()
        .config("engine.observe_within", "2500ms")
        .config("engine.answer_within", "10s")
        .start()
        .await;
    bot.stacks().silent_on(&[Call::Plan]);
    let seen = bot.types_on_discord("ann", "/rave plan rollout_web").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("could not be looked at")),
        "{seen:?}"
    );
    is_answered_late(&mut bot).await;
    bot.finish().await;
}

#[tokio::test]
async fn an_answer_after_the_interaction_is_over_goes_to_the_person_alone() {
    let bot = World::new()
        .on_discord()
        .config("engine.observe_within", "2s")
        .config("engine.answer_within", "10ms")
        .start()
        .await;
    let discord = bot.discord().clone();
    bot.stacks().silent_on(&[Call::Plan]);
    let seen = discord.types("cem", "/rave rollout web").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("is recorded as")),
        "{seen:?}"
    );
    bot.turn(Duration::from_secs(16 * 60));
    let told = rave_tests::wait_for("a direct message", || async {
        discord.direct_messages("cem").pop().ok_or_else(String::new)
    });
    let told = told.await;
    assert!(told.contains("policy_denied"), "{told}");
    assert_eq!(discord.direct_messages("ann"), Vec::<String>::new());
    bot.finish().await;
}

#[tokio::test]
async fn many_runs_at_once_are_told_within_the_budget() {
    let bot = World::new().on_discord().start().await;
    let discord = bot.discord();
    let began = Instant::now();
    let asked = (0..15).map(|_| discord.types("ann", "/rave scale web 3"));
    for seen in futures::future::join_all(asked).await {
        assert!(matches!(seen, Seen::Everybody(_)), "{seen:?}");
    }
    bot.delivers_all().await;
    for number in 1..=15 {
        let told = discord.message_of(&format!("run_{number:04}"));
        assert!(
            told.as_ref()
                .is_some_and(|text| text.contains("succeeded.")),
            "{told:?}"
        );
    }
    // Ten at once after a quiet time, then one every 200 ms, and progress as often.
    let written = discord.written();
    let took = written.last().unwrap().duration_since(began);
    let places = took.as_millis() / 200 + 1;
    let most = usize::try_from(10 + 2 * places).unwrap();
    assert!(
        written.len() <= most,
        "{} in {took:?}, at most {most}",
        written.len()
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_bot_that_was_taken_out_still_tells_through_the_interaction() {
    let mut bot = World::new().on_discord().start().await;
    let discord = bot.discord().clone();
    bot.types_on_discord("ann", "/rave rollout media").await;
    bot.shows_on_discord("run_0001", "awaits approval").await;
    bot.delivers_all().await;
    discord.bot_leaves();
    discord.deletes_message_of("run_0001");
    bot.turn(Duration::from_secs(60));
    bot.types_on_discord("bob", "/rave approve run_0001").await;
    bot.shows_on_discord("run_0001", "succeeded").await;
    bot.finish().await;
}

#[tokio::test]
async fn discord_takes_the_address_for_interactions() {
    let bot = World::new().on_discord().start().await;
    assert!(bot.discord().takes_the_address().await);
    bot.finish().await;
}

#[tokio::test]
async fn a_forged_interaction_is_refused_and_nothing_happens() {
    let mut bot = World::new().on_discord().start().await;
    let body = json!({"id": "1", "application_id": "1001", "type": 2, "token": "t"});
    let genuine = bot.discord().signed(&body);
    let api = bot.api().with_key("");
    let mut request = api
        .request("POST", "/chat/discord/interaction")
        .body(body.to_string().replace('2', "3"));
    for (name, value) in genuine {
        request = request.header(name, value);
    }
    assert_eq!(api.send(request).await.status, 401);
    let refused = bot.audited("signature.refused").await.entry;
    assert_eq!(refused.surface.unwrap().as_str(), "discord");
    bot.alerted("Authentication failure").await;
    let stranger = bot.types_on_discord("eve", "/rave rollout web").await;
    let Seen::Alone(text) = stranger else {
        panic!("{stranger:?}");
    };
    assert!(text.contains("Rave does not know the account"), "{text}");
    bot.audited("account.unknown").await;
    bot.delivers_all().await;
    bot.finish().await;
}
