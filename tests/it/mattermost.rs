//! A run in Mattermost with a bot: one message, real buttons, forms, threads.

use rave_tests::{Bot, Call, FakeChat, Seen, World, wait_for};

async fn start() -> Bot {
    World::new()
        .config("mattermost.bot_token", "bot-token")
        .config("mattermost.callback_url", "http://rave.test")
        .start()
        .await
}

/// Waits until a run's message says something.
async fn reads(bot: &Bot, run: &str, text: &str) -> String {
    wait_for(&format!("{run} to say {text:?}"), || async {
        let message = bot.mattermost().message_of(run).unwrap_or_default();
        if message.contains(text) {
            Ok(message)
        } else {
            Err(message)
        }
    })
    .await
}

/// Asks for something that needs an approval.
async fn asks(bot: &Bot, run: &str) -> String {
    let seen = bot.mattermost().types("ann", "rollout media").await;
    let noted = format!("{run} waits for approval; its message is below.");
    assert_eq!(seen, Seen::Alone(noted));
    reads(bot, run, "[Approve]").await
}

#[tokio::test]
async fn a_run_is_one_message_with_buttons_from_the_first_word_to_the_last() {
    let bot = start().await;
    let message = asks(&bot, "run_0001").await;
    assert!(message.ends_with("[Approve] [Deny] [Cancel]"), "{message}");

    // Never the one who asked.
    let seen = bot.mattermost().presses("ann", "run_0001", "Approve").await;
    let Seen::Alone(refusal) = seen else {
        panic!("{seen:?}")
    };
    assert!(refusal.contains("somebody else must decide"), "{refusal}");

    let seen = bot.mattermost().presses("bob", "run_0001", "Approve").await;
    let Seen::Alone(thanks) = seen else {
        panic!("{seen:?}")
    };
    assert!(thanks.starts_with("bob approved it."), "{thanks}");
    bot.reaches("run_0001", "succeeded").await;
    let last = reads(&bot, "run_0001", "succeeded.").await;
    assert!(last.ends_with("[Show log]"), "{last}");
    assert_eq!(bot.mattermost().messages_of("run_0001"), 1);
    assert_eq!(bot.mattermost().unheard(), []);

    let seen = bot
        .mattermost()
        .presses("bob", "run_0001", "Show log")
        .await;
    assert!(matches!(seen, Seen::Alone(_)), "{seen:?}");
    bot.finish().await;
}

#[tokio::test]
async fn who_denies_is_asked_for_a_reason() {
    let bot = start().await;
    asks(&bot, "run_0001").await;
    let seen = bot.mattermost().presses("bob", "run_0001", "Deny").await;
    let fields = vec![("reason".to_owned(), "Reason".to_owned())];
    let title = "Deny this run".to_owned();
    assert_eq!(seen, Seen::Form { title, fields });
    let seen = bot
        .mattermost()
        .sends("bob", &[("reason", "not on a Friday")])
        .await;
    assert_eq!(seen, Seen::Nothing);
    let message = reads(&bot, "run_0001", "was cancelled").await;
    assert!(
        message.contains("bob denied it: not on a Friday"),
        "{message}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_message_that_was_deleted_comes_back_with_what_is_new() {
    let bot = start().await;
    asks(&bot, "run_0001").await;
    bot.delivers_all().await;
    bot.mattermost().deletes_message_of("run_0001");
    assert_eq!(bot.mattermost().message_of("run_0001"), None);
    let seen = bot.mattermost().types("bob", "approve run_0001").await;
    assert!(matches!(seen, Seen::Everybody(_)), "{seen:?}");
    bot.reaches("run_0001", "succeeded").await;
    reads(&bot, "run_0001", "succeeded.").await;
    assert_eq!(bot.mattermost().messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn a_press_that_comes_again_does_nothing_and_anothers_is_refused() {
    let mut bot = start().await;
    asks(&bot, "run_0001").await;
    let (_, press) = bot
        .mattermost()
        .click("bob", "run_0001", "Approve")
        .unwrap();
    let mut forged = press.clone();
    forged["context"]["run"] = "run_0002".into();
    let api = bot.api().with_key("");
    let refused = api.post("/chat/mattermost/action", &forged).await;
    assert_eq!(refused.status, 401);
    bot.audited("signature.refused").await;

    let first = api.post("/chat/mattermost/action", &press).await;
    bot.reaches("run_0001", "succeeded").await;
    reads(&bot, "run_0001", "succeeded.").await;
    let again = api.post("/chat/mattermost/action", &press).await;
    assert_eq!((first.status, again.status), (200, 200));
    let decided = bot.audit().await;
    let decided = decided
        .iter()
        .filter(|row| row.entry.event == "run.approved");
    assert!(decided.count() <= 1);
    assert_eq!(bot.stacks().effects().len(), 2);
    // A dialog that nobody opened.
    let made_up = serde_json::json!({
        "type": "dialog_submission", "state": "x.y", "user_id": "u-bob", "submission": {},
    });
    let refused = api.post("/chat/mattermost/dialog", &made_up).await;
    assert_eq!(refused.status, 401);
    bot.expects_error("nothing");
    bot.finish().await;
}

#[tokio::test]
async fn what_is_said_to_the_bot_in_a_thread_is_answered_there() {
    let bot = start().await;
    asks(&bot, "run_0001").await;
    wait_for("the connection", || async {
        let kept = bot.mattermost().connections();
        if kept == 1 {
            Ok(())
        } else {
            Err(format!("{kept} connections"))
        }
    })
    .await;
    let seen = bot
        .mattermost()
        .types_in_thread("bob", "run_0001", "approve run_0001")
        .await;
    let Seen::Everybody(answer) = seen else {
        panic!("{seen:?}")
    };
    assert!(answer.starts_with("bob approved it."), "{answer}");
    bot.reaches("run_0001", "succeeded").await;
    let help = bot.mattermost().writes_alone("ann", "help").await;
    assert!(help.contains("rollout media"), "{help}");
    bot.finish().await;
}

#[tokio::test]
async fn a_refusal_that_comes_late_is_for_the_person_alone() {
    let bot = World::new()
        .config("mattermost.bot_token", "bot-token")
        .config("mattermost.callback_url", "http://rave.test")
        .config("engine.observe_within", "1s")
        .config("engine.answer_within", "10ms")
        .start()
        .await;
    wait_for("the connection", || async {
        let kept = bot.mattermost().connections();
        (kept == 1).then_some(()).ok_or_else(|| kept.to_string())
    })
    .await;
    bot.stacks().silent_on(&[Call::Plan]);
    let mattermost = bot.mattermost();
    let noted = mattermost.writes_alone("cem", "rollout web").await;
    assert!(noted.contains("is recorded as"), "{noted}");
    let told = wait_for("a direct message", || async {
        mattermost
            .direct_messages("cem")
            .pop()
            .ok_or_else(String::new)
    });
    let told = told.await;
    assert!(told.contains("policy_denied"), "{told}");
    bot.finish().await;
}

#[tokio::test]
async fn without_the_bot_in_the_channel_the_command_itself_is_answered() {
    let mut bot = start().await;
    bot.mattermost().bot_leaves();
    let seen = bot.mattermost().types("ann", "rollout web").await;
    assert!(matches!(seen, Seen::Alone(_)), "{seen:?}");
    bot.reaches("run_0001", "succeeded").await;
    let said = bot.hears_with("succeeded.").await;
    assert!(said.contains("run_0001"), "{said}");
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}

#[tokio::test]
async fn a_chat_that_was_down_gets_the_last_word_once() {
    let bot = start().await;
    asks(&bot, "run_0001").await;
    bot.delivers_all().await;
    bot.mattermost().goes_down(503);
    bot.api()
        .with_key("token-of-bob")
        .post("/api/v1/runs/run_0001/approve", &serde_json::json!({}))
        .await;
    bot.reaches("run_0001", "succeeded").await;
    bot.mattermost().is_back();
    bot.catches_up().await;
    reads(&bot, "run_0001", "succeeded.").await;
    assert_eq!(bot.mattermost().messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn what_a_command_leaves_out_is_asked_for_in_a_form() {
    let bot = start().await;
    let seen = bot.mattermost().types("ann", "scale web").await;
    let fields = vec![("count".to_owned(), "count".to_owned())];
    let title = "scale_web".to_owned();
    assert_eq!(seen, Seen::Form { title, fields });
    let seen = bot.mattermost().sends("ann", &[("count", "99")]).await;
    let Seen::Errors(errors) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0, "count");
    let seen = bot.mattermost().sends("ann", &[("count", "3")]).await;
    assert_eq!(seen, Seen::Nothing);
    reads(&bot, "run_0001", "succeeded.").await;
    assert_eq!(bot.mattermost().messages_of("run_0001"), 1);
    bot.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let bot = start().await;
    let kept = |number: usize| {
        let mattermost = bot.mattermost().clone();
        wait_for("the connection", move || {
            let now = mattermost.connections();
            std::future::ready(if now == number {
                Ok(())
            } else {
                Err(format!("{now} connections"))
            })
        })
    };
    kept(1).await;
    // What is said while it is broken is heard afterwards.
    bot.mattermost().drops_connections();
    kept(0).await;
    let help = bot.mattermost().writes_alone("ann", "help").await;
    assert!(help.contains("rollout media"), "{help}");
    kept(1).await;
    // A Mattermost that has forgotten it begins another.
    bot.mattermost().drops_connections();
    kept(0).await;
    bot.mattermost().forgets_connections();
    kept(1).await;
    let help = bot.mattermost().writes_alone("ann", "help").await;
    assert!(help.contains("rollout media"), "{help}");
    bot.finish().await;
}

#[tokio::test]
async fn a_long_output_comes_as_a_file_into_the_thread() {
    let bot = start().await;
    let line = "pulling <!channel> @all ```\n";
    let long: &'static str = Box::leak(line.repeat(1000).into_boxed_str());
    bot.stacks().prints("rollout_web", long);
    bot.mattermost().types("ann", "rollout web").await;
    reads(&bot, "run_0001", "succeeded.").await;
    bot.delivers_all().await;
    let files = bot.mattermost().files();
    let [(name, content)] = files.as_slice() else {
        panic!("{files:?}")
    };
    assert_eq!(name, "run_0001.1.rollout_web.txt");
    assert!(content.contains(line), "{content}");
    assert_eq!(bot.mattermost().messages_of("run_0001"), 1);
    bot.finish().await;
}
