//! Accounts that people link themselves, the second factor, and channels bound to intents.

use std::time::Duration;

use rave_tests::{Bot, World};
use totp_rs::{Builder, Secret};

/// Needs an approval that only the second factor is strong enough for.
const GUARDED: &str = "action: rollout\nstack: guarded\nroles: [ops]\n\
                       approval: {required: 1, from: [ops], strength: totp}\n";

/// The code or key in the answer's code block.
fn shown(answer: &str, line: usize) -> String {
    let mut lines = answer.lines().skip_while(|line| !line.starts_with("```"));
    lines.nth(line + 1).unwrap_or_default().to_owned()
}

/// What an authenticator with this key shows now.
fn code(bot: &Bot, key: &str) -> String {
    let secret = Secret::try_from_base32(key.replace('-', "")).unwrap();
    let factor = Builder::new()
        .with_secret(secret)
        .with_account_name("ann")
        .build()
        .unwrap();
    let now = bot.engine().now().as_second();
    factor.generate(u64::try_from(now).unwrap()).to_string()
}

#[tokio::test]
async fn an_account_is_linked_by_a_code_that_its_owner_was_shown() {
    let mut bot = World::new().start().await;
    let refused = bot.says("eve", "/rave whoami").await;
    assert!(refused.contains("/rave link"), "{refused}");

    let offered = bot.says("ann", "/rave link").await;
    let command = shown(&offered, 0);
    assert!(command.starts_with("/rave link "), "{offered}");
    let wrong = bot.says("eve", "/rave link AAAA-BBBB-CCCC-DDDD").await;
    assert!(wrong.contains("invalid_code"), "{wrong}");
    let linked = bot.says("eve", &command.to_lowercase()).await;
    assert!(linked.contains("is ann's from now on"), "{linked}");
    let row = bot.audited("account.linked").await.entry;
    assert_eq!(row.person.unwrap().as_str(), "ann");
    assert!(
        bot.audit()
            .await
            .iter()
            .any(|row| row.entry.event == "account.link_refused")
    );

    // The code is spent, and what it made survives a kill.
    let again = bot.says("mallory", &command).await;
    assert!(again.contains("invalid_code"), "{again}");
    bot.crash().await;
    let who = bot.says("eve", "/rave whoami").await;
    assert!(who.contains("ann"), "{who}");

    // Two accounts of one person are one approver.
    bot.says("ann", "/rave rollout media").await;
    let own = bot.says("eve", "/rave approve run_0001").await;
    assert!(own.contains("You asked for this run"), "{own}");
    bot.says("ann", "/rave cancel run_0001").await;

    let others = bot.says("bob", "/rave unlink mattermost:u-eve").await;
    assert!(others.contains("unknown_account"), "{others}");
    bot.says("ann", "/rave unlink mattermost:u-eve").await;
    let gone = bot.says("eve", "/rave whoami").await;
    assert!(gone.contains("unknown_account"), "{gone}");
    assert!(
        !bot.dump()
            .contains(command.trim_start_matches("/rave link "))
    );
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}

#[tokio::test]
async fn a_code_that_is_old_or_guessed_links_nothing() {
    let mut bot = World::new().start().await;
    let command = shown(&bot.says("ann", "/rave link").await, 0);
    bot.turn(Duration::from_secs(601));
    let old = bot.says("eve", &command).await;
    assert!(old.contains("invalid_code"), "{old}");
    for guess in 0..5 {
        bot.says("eve", &format!("/rave link {guess}")).await;
    }
    let command = shown(&bot.says("ann", "/rave link").await, 0);
    let locked_out = bot.says("eve", &command).await;
    assert!(locked_out.contains("Too many wrong codes"), "{locked_out}");
    // The code was not looked at, so it is still good elsewhere.
    let linked = bot.says("fay", &command).await;
    assert!(linked.contains("is ann's from now on"), "{linked}");
    bot.finish().await;
}

#[tokio::test]
async fn a_second_factor_raises_an_approval_and_each_code_is_good_once() {
    let mut bot = World::new().intent("guarded", GUARDED).start().await;
    bot.says("ann", "/rave guarded").await;
    let weak = bot.says("bob", "/rave approve run_0001").await;
    assert!(weak.contains("surface_too_weak"), "{weak}");

    let key = shown(&bot.says("bob", "/rave link totp").await, 0);
    let first = code(&bot, &key);
    let wrong = bot.says("bob", "/rave link totp 000000").await;
    assert!(wrong.contains("invalid_code"), "{wrong}");
    let set = bot.says("bob", &format!("/rave link totp {first}")).await;
    assert!(set.contains("set up"), "{set}");
    assert_eq!(
        bot.audited("totp.enrolled")
            .await
            .entry
            .person
            .unwrap()
            .as_str(),
        "bob"
    );
    assert!(
        !bot.dump().contains(&key.replace('-', "")),
        "the key is in the open"
    );

    // Neither bob's account alone nor bob himself puts another factor in its place.
    let second = bot.says("bob", "/rave link totp").await;
    assert!(second.contains("You have a second factor"), "{second}");
    let own = bot.says("bob", "/rave unlink totp:bob").await;
    assert!(own.contains("policy_denied"), "{own}");

    let asked = bot.says("bob", "/rave approve run_0001").await;
    assert!(asked.contains("code=<code>"), "{asked}");
    let replayed = bot
        .says("bob", &format!("/rave approve run_0001 code={first}"))
        .await;
    assert!(replayed.contains("wrong or spent"), "{replayed}");
    bot.audited("totp.refused").await;
    bot.turn(Duration::from_secs(60));
    bot.crash().await;
    let next = code(&bot, &key);
    let line = format!("/rave approve run_0001 code={next} looks good");
    // What is sent again has the answer of the first time; what is said again is refused.
    for _ in 0..2 {
        let approved = bot.types("bob", &line, "approves").await.text;
        assert!(approved.contains("bob approved it"), "{approved}");
    }
    let replayed = bot.says("bob", &line).await;
    assert!(replayed.contains("wrong or spent"), "{replayed}");
    bot.reaches("run_0001", "succeeded").await;
    let row = bot.audited("run.approved").await.entry;
    assert_eq!(row.details["strength"], "totp");
    assert_eq!(row.details["reason"], "looks good");
    assert!(!bot.dump().contains(&next), "the code is in the store");
    bot.says("root", "/rave unlink totp:bob").await;
    bot.audited("totp.removed").await;
    let anew = bot.says("bob", "/rave link totp").await;
    assert!(anew.contains("authenticator"), "{anew}");
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}

#[tokio::test]
async fn a_channel_takes_only_what_it_is_bound_to() {
    let mut channel = toml::Table::new();
    channel.insert("intents".to_owned(), "scale_*".into());
    let mut channels = toml::Table::new();
    channels.insert("mattermost:c1".to_owned(), channel.into());
    let mut bot = World::new().config("channels", channels).start().await;
    let refused = bot.says("ann", "/rave rollout media").await;
    assert!(
        refused.contains("may not be asked for in this channel")
            && refused.contains("may be asked for here"),
        "{refused}"
    );
    let refused = bot.says("ann", "/rave plan rollout_media").await;
    assert!(
        refused.contains("may not be asked for in this channel"),
        "{refused}"
    );
    bot.audited("intent_denied").await;
    let taken = bot.says("ann", "/rave scale web 3").await;
    assert!(taken.contains("run_0001"), "{taken}");
    // Whoever may decide may do so anywhere.
    bot.reaches("run_0001", "succeeded").await;
    while bot.mattermost().next().is_some() {}
    bot.finish().await;
}
