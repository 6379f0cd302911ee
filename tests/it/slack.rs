//! Rave in Slack: one live message, buttons, a form, a thread, and what goes wrong there.

use std::time::Duration;

use insta::assert_snapshot;
use rave_tests::{Bot, Call, FakeChat as _, SIGNING_SECRET, Seen, World, redacted, wait_for};

/// Waits until the message about a run says something.
async fn says(bot: &Bot, run: &str, text: &str) -> String {
    wait_for(&format!("the message of {run} to say {text:?}"), || async {
        match bot.slack().message_of(run) {
            Some(message) if message.contains(text) => Ok(message),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_run_is_asked_for_approved_by_somebody_else_and_told_in_one_message() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    let seen = slack.types("ann", "/rave rollout media").await;
    assert_eq!(
        seen,
        Seen::Alone("run_0001 waits for approval; its message is below.".to_owned())
    );
    let asked = says(&bot, "run_0001", "[Approve]").await;
    assert_snapshot!(redacted(&asked), @"
    run_0001: rollout_media, asked for by ann, awaits approval.
    1. rollout_content: rollout stack/content, a dependency; undo: back to the release that ran before
    2. rollout_media: rollout stack/media, after rollout_content; undo: back to the release that ran before
    rollout content
    rollout media
    Touches: service web of content, service web of media, stack/content, stack/media
    Plan: D
    Fencing: none: a command that has left Rave cannot be recalled
    rollout_media needs one approval of oncall or ops, other than ann.
    [Approve] [Deny] [Cancel]
    ");
    let own = slack.presses("ann", "run_0001", "Approve").await;
    assert!(
        matches!(&own, Seen::Alone(text) if text.contains("somebody else must decide")),
        "{own:?}"
    );
    let approved = slack.presses("bob", "run_0001", "Approve").await;
    assert!(
        matches!(&approved, Seen::Everybody(text) if text.contains("bob approved it")),
        "{approved:?}"
    );
    let ended = says(&bot, "run_0001", "succeeded.").await;
    assert!(
        ended.starts_with("✅ run_0001: rollout_media succeeded."),
        "{ended}"
    );
    assert!(ended.ends_with("[Show log]"), "{ended}");
    assert_eq!(slack.messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn a_denial_asks_for_a_reason() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.types("ann", "/rave rollout media").await;
    says(&bot, "run_0001", "[Deny]").await;
    let form = slack.presses("bob", "run_0001", "Deny").await;
    let fields = vec![("reason".to_owned(), "Reason".to_owned())];
    assert_eq!(
        form,
        Seen::Form {
            title: "Deny this run".to_owned(),
            fields
        }
    );
    let seen = slack.sends("bob", &[("reason", "not <today>")]).await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("bob denied run_0001")),
        "{seen:?}"
    );
    let message = says(&bot, "run_0001", "bob denied it: not <today>").await;
    assert!(message.contains("[Retry]"), "{message}");
    assert_eq!(slack.messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn a_deleted_message_is_posted_anew() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.types("ann", "/rave rollout media").await;
    says(&bot, "run_0001", "[Approve]").await;
    slack.deletes_message_of("run_0001");
    // Whoever cannot see it any more can still decide.
    slack.types("bob", "/rave approve run_0001").await;
    says(&bot, "run_0001", "succeeded.").await;
    assert_eq!(slack.messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn in_a_thread_a_deleted_message_is_posted_anew() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.mentions_rave("ann", "rollout media").await;
    says(&bot, "run_0001", "[Approve]").await;
    bot.delivers_all().await;
    slack.deletes_message_of("run_0001");
    slack.types("bob", "/rave approve run_0001").await;
    says(&bot, "run_0001", "succeeded.").await;
    assert_eq!(slack.messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn a_form_that_comes_too_late_gives_way_to_the_reason() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.types("ann", "/rave rollout media").await;
    says(&bot, "run_0001", "[Deny]").await;
    slack.presses("bob", "run_0001", "Deny").await;
    let seen = slack.types("cem", "/rave approve run_0001").await;
    assert!(matches!(seen, Seen::Everybody(_)), "{seen:?}");
    says(&bot, "run_0001", "succeeded.").await;
    let seen = slack.sends("bob", &[("reason", "not today")]).await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("wrong_state")),
        "{seen:?}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn missing_arguments_are_asked_for_and_checked_again() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    let form = slack.types("ann", "/rave scale web").await;
    assert!(
        matches!(&form, Seen::Form { fields, .. } if fields[0].0 == "count"),
        "{form:?}"
    );
    let wrong = slack.sends("ann", &[("count", "99")]).await;
    assert!(
        matches!(&wrong, Seen::Errors(errors) if errors[0].0 == "count"),
        "{wrong:?}"
    );
    let right = slack.sends("ann", &[("count", "3")]).await;
    assert!(
        matches!(&right, Seen::Alone(text) if text.contains("run_0001")),
        "{right:?}"
    );
    says(&bot, "run_0001", "succeeded.").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_mention_opens_a_thread_and_what_follows_stays_there() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    let seen = slack.mentions_rave("ann", "rollout media").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("run_0001")),
        "{seen:?}"
    );
    says(&bot, "run_0001", "[Approve]").await;
    let seen = slack
        .types_in_thread("bob", "run_0001", "approve run_0001")
        .await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("bob approved it")),
        "{seen:?}"
    );
    says(&bot, "run_0001", "succeeded.").await;
    assert_eq!(slack.messages_of("run_0001"), 1);
    let seen = slack.whispers("ann", "show run_0001").await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("succeeded")),
        "{seen:?}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_chat_that_was_down_for_an_hour_gets_the_final_state() {
    let mut bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    for (nth, status) in [500, 429].into_iter().enumerate() {
        let run = format!("run_{:04}", nth + 1);
        slack.goes_down(status);
        slack.types("ann", "/rave rollout web").await;
        bot.reaches(&run, "succeeded").await;
        bot.postpones(1).await;
        bot.restart().await;
        bot.turn(Duration::from_secs(3600));
        slack.is_back();
        bot.catches_up().await;
        says(&bot, &run, "succeeded.").await;
        assert_eq!(slack.messages_of(&run), 1);
        bot.delivers_all().await;
    }
    bot.finish().await;
}

#[tokio::test]
async fn a_crash_does_not_make_a_second_message() {
    let mut bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.types("ann", "/rave rollout media").await;
    says(&bot, "run_0001", "[Approve]").await;
    bot.crash().await;
    let seen = slack.presses("bob", "run_0001", "Approve").await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("bob approved it")),
        "{seen:?}"
    );
    bot.reaches("run_0001", "succeeded").await;
    // A delivery that the crash cut off may have had time to be put off.
    bot.catches_up().await;
    says(&bot, "run_0001", "succeeded.").await;
    assert_eq!(slack.messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn where_the_bot_is_not_invited_the_command_tells() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    slack.bot_leaves();
    slack.types("ann", "/rave rollout web").await;
    wait_for("the end to be told", || async {
        let channel = slack.channel();
        if channel
            .iter()
            .any(|text| text.contains("run_0001: rollout_web succeeded"))
        {
            Ok(())
        } else {
            Err(format!("{channel:?}"))
        }
    })
    .await;
    assert_eq!(slack.messages_of("run_0001"), 0);
    bot.finish().await;
}

#[tokio::test]
async fn without_a_bot_token_results_come_through_the_command() {
    let bot = World::new()
        .on_slack()
        .without("slack.bot_token")
        .start()
        .await;
    let slack = bot.slack().clone();
    let seen = slack.types("ann", "/rave rollout web").await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("run_0001")),
        "{seen:?}"
    );
    wait_for("the end to be told", || async {
        let channel = slack.channel();
        if channel.iter().any(|text| text.contains("succeeded.")) {
            Ok(())
        } else {
            Err(format!("{channel:?}"))
        }
    })
    .await;
    bot.finish().await;
}

#[tokio::test]
async fn what_takes_its_time_is_taken_up_and_answered_later() {
    let bot = World::new()
        .on_slack()
        .config("engine.observe_within", "2500ms")
        .config("engine.answer_within", "10s")
        .start()
        .await;
    let slack = bot.slack().clone();
    bot.stacks().silent_on(&[Call::Plan]);
    let taken_up = "Rave is working on it; the answer follows here.";
    for (line, later) in [
        ("/rave plan rollout_web", "could not be looked at"),
        ("/rave rollout web", "run_0001"),
    ] {
        let seen = slack.types("ann", line).await;
        assert_eq!(seen, Seen::Alone(taken_up.to_owned()), "{line}");
        wait_for(line, || async {
            let told = slack.told_alone("ann");
            told.iter()
                .any(|text| text.contains(later))
                .then_some(())
                .ok_or_else(|| format!("{told:?}"))
        })
        .await;
    }
    bot.stacks().silent_on(&[]);
    says(&bot, "run_0001", "succeeded.").await;
    bot.finish().await;
}

#[tokio::test]
async fn somebody_unknown_is_told_their_account() {
    let bot = World::new().on_slack().start().await;
    let seen = bot.slack().types("eve", "/rave whoami").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("slack = \"T01/UEVE\"")),
        "{seen:?}"
    );
    bot.finish().await;
}

const COMMAND: &str = "team_id=T01&channel_id=C01&user_id=UANN&command=%2Frave&text=rollout+web\
                       &trigger_id=1.2.abc&response_url=";
const PRESS: &str = r#"{"type":"block_actions","user":{"id":"UBOB","team_id":"T01"},
    "trigger_id":"3.4.abc","channel":{"id":"C01"},
    "actions":[{"action_id":"rave.approve.1","value":"run_0001"}]}"#;
const MENTION: &str = r#"{"type":"event_callback","team_id":"T01","event_id":"Ev1",
    "event":{"type":"app_mention","user":"UANN","text":"<@UBOT> rollout web","ts":"1.1","channel":"C01"}}"#;

#[tokio::test]
async fn slack_takes_the_address_for_events() {
    let bot = World::new().on_slack().start().await;
    let body = r#"{"type":"url_verification","token":"deprecated","challenge":"3eZbrw1aB"}"#;
    let answer = bot
        .slack()
        .requests("/chat/slack/event", body, SIGNING_SECRET, 0);
    let (status, text) = answer.await;
    assert_eq!(
        (status, text.as_str()),
        (200, r#"{"challenge":"3eZbrw1aB"}"#)
    );
    bot.finish().await;
}

#[tokio::test]
async fn what_slack_did_not_sign_now_does_nothing() {
    let bot = World::new().on_slack().start().await;
    let press: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", PRESS)
        .finish();
    let requests = [
        ("command", COMMAND),
        ("interaction", &press),
        ("event", MENTION),
    ];
    for (end, body) in requests {
        let path = format!("/chat/slack/{end}");
        for (secret, seconds_ago) in [
            ("another", 0),
            (SIGNING_SECRET, 301),
            (SIGNING_SECRET, -301),
        ] {
            let (status, text) = bot.slack().requests(&path, body, secret, seconds_ago).await;
            assert_eq!(status, 401, "{path} {seconds_ago} {text}");
        }
        // Slack's own, and not to be understood: acknowledged.
        for odd in ["", "%", "{", "payload=%7B", "[1]", "{\"event\":[]}"] {
            let (status, text) = bot.slack().requests(&path, odd, SIGNING_SECRET, 0).await;
            assert_eq!(status, 200, "{path} {odd} {text}");
        }
    }
    let refused = bot.audited("signature.refused").await.entry;
    assert_eq!(refused.surface.map(|it| it.as_str()), Some("slack"));
    assert_eq!(bot.stacks().done(), Vec::<String>::new());
    bot.finish().await;
}

#[tokio::test]
async fn what_is_sent_again_is_done_once() {
    let bot = World::new().on_slack().start().await;
    for (nth, (end, body)) in [("command", COMMAND), ("event", MENTION)]
        .into_iter()
        .enumerate()
    {
        let path = format!("/chat/slack/{end}");
        let requests = (0..20).map(|_| bot.slack().requests(&path, body, SIGNING_SECRET, 0));
        for (status, _) in futures::future::join_all(requests).await {
            assert_eq!(status, 200);
        }
        bot.delivers_all().await;
        let channel = wait_for("one more message", || async {
            let channel = bot.slack().channel();
            let ended = channel
                .iter()
                .filter(|text| text.contains("web succeeded."));
            if ended.count() > nth {
                Ok(channel)
            } else {
                Err(format!("{channel:?}"))
            }
        })
        .await;
        assert_eq!(channel.len(), nth + 1, "{channel:?}");
    }
    assert_eq!(bot.stacks().done(), ["rollout_web", "rollout_web"]);
    bot.finish().await;
}

#[tokio::test]
async fn without_a_public_address_rave_connects_to_slack() {
    let world = World::new().on_slack().without("slack.signing_secret");
    let mut bot = world.config("slack.app_token", "xapp-fake").start().await;
    let slack = bot.slack().clone();
    let connects = async |number: usize| {
        wait_for("a connection", || async {
            let now = slack.connections();
            if now == number {
                Ok(())
            } else {
                Err(format!("{now} connections"))
            }
        })
        .await;
    };
    connects(1).await;
    let seen = slack.types("ann", "/rave rollout media").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("run_0001")),
        "{seen:?}"
    );
    says(&bot, "run_0001", "[Approve]").await;
    // The next connection is there before the old one ends.
    slack.says_goodbye();
    connects(2).await;
    let form = slack.presses("bob", "run_0001", "Deny").await;
    assert!(matches!(&form, Seen::Form { .. }), "{form:?}");
    slack.ends_a_connection();
    connects(1).await;
    let seen = slack
        .types_in_thread("bob", "run_0001", "approve run_0001")
        .await;
    assert!(
        matches!(&seen, Seen::Everybody(text) if text.contains("bob approved it")),
        "{seen:?}"
    );
    says(&bot, "run_0001", "succeeded.").await;
    bot.restart().await;
    connects(1).await;
    let seen = slack.types("ann", "/rave show run_0001").await;
    assert!(
        matches!(&seen, Seen::Alone(text) | Seen::Everybody(text) if text.contains("succeeded")),
        "{seen:?}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn long_output_comes_as_a_file_and_mentions_nobody() {
    let bot = World::new().on_slack().start().await;
    let slack = bot.slack().clone();
    let lines = (0..3000).map(|n| format!("line {n} <!channel> <@UANN> ``` äöü\n"));
    let output: String = lines.collect();
    bot.stacks().prints("rollout_web", output.leak());
    slack.types("ann", "/rave rollout web").await;
    says(&bot, "run_0001", "succeeded.").await;
    bot.delivers_all().await;
    // What mentions somebody, and what is not measured in bytes, is a violation of the fake's.
    let files = slack.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].0, "run_0001.1.rollout_web.txt");
    assert!(
        files[0].1.contains("line 2999 <!channel>"),
        "{}",
        files[0].1
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_connection_that_gives_up_is_named_where_people_look() {
    let world = World::new().on_slack();
    let mut bot = world
        .config("slack.app_token", "xapp-revoked")
        .start()
        .await;
    let api = bot.api();
    wait_for("/readyz to name the connection", || async {
        let answer = api.get("/readyz").await;
        if answer.text.contains("slack.socket") {
            Ok(())
        } else {
            Err(answer.text)
        }
    })
    .await;
    // What comes over HTTP is answered all the same.
    let seen = bot.slack().types("ann", "/rave whoami").await;
    assert!(
        matches!(&seen, Seen::Alone(text) if text.contains("ann")),
        "{seen:?}"
    );
    bot.expects_error("listener_gave_up");
    bot.finish().await;
}
