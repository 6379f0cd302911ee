//! Commands that read, that set Rave itself, and that are misspelt.

use insta::assert_snapshot;
use rave_domain::audit::AuditResult;
use rave_tests::{Failing, World};

#[tokio::test]
async fn help_shows_what_the_caller_may_do() {
    let mut bot = World::new().start().await;
    let ann = bot.says("ann", "/rave help").await;
    assert!(
        ann.contains("rollout media") && !ann.contains("secret_thing"),
        "{ann}"
    );
    let cem = bot.says("cem", "/rave help").await;
    assert!(!cem.contains("rollout media"), "{cem}");
    let root = bot.says("root", "/rave help").await;
    assert!(root.contains("secret_thing"), "{root}");
    let _ = bot.transcript();
    for line in [
        "intents",
        "help rollout",
        "help rollout media",
        "help approve",
        "rollout media --help",
    ] {
        bot.says("ann", line).await;
    }
    assert_snapshot!(bot.transcript(), @r"
    ann: intents
    rave: #### You may run

        - **look:** Look at the web stack
        - **mail:** Mail everybody
        - **page:** Page somebody
        - **resize:** Resize the database
        - **rollout_content:** Roll the content stack
        - **rollout_media:** Roll the media stack
        - **rollout_web:** Roll the web stack
        - **scale_web:** Set how many web containers run
        - **wipe:** Wipe the database

        #### Others may run

        - **secret_thing:** Only administrators may
    ann: help rollout
    rave: #### Commands that start with rollout

        - **rollout content:** Roll the content stack
        - **rollout media:** Roll the media stack
        - **rollout web:** Roll the web stack
    ann: help rollout media
    rave: #### rollout media

        Roll the media stack.

        It is the intent rollout_media. Before it runs rollout_content. It waits until one other person with the role oncall or ops agreed. With --dry-run it only shows what would happen.
    ann: help approve
    rave: #### approve \<run\> \[reason\]

        Agrees to a run that waits for approval.
    ann: rollout media --help
    rave: #### rollout media

        Roll the media stack.

        It is the intent rollout_media. Before it runs rollout_content. It waits until one other person with the role oncall or ops agreed. With --dry-run it only shows what would happen.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn misspelt_commands_get_the_nearest_ones() {
    let mut bot = World::new().start().await;
    for line in [
        "/rave rolout web",
        "/rave rollout wbe",
        "/rave rollout",
        "/rave aprove run_0001",
        "/rave run rollout_wbe",
        "/rave scale web many",
        "/rave scale web 21",
        "/rave scale web 3 4",
        "/rave scale web --cuont 3",
        "/rave scale web",
        "/rave rollout web \"unclosed",
        "/rave show run_9999",
        "/rave show web",
        "/rave resolve run_0001 0 happened",
        "/rave resolve run_0001 1 maybe",
        "/rave freeze nothing",
        "/rave schedule run nothing",
        "/rave --help me",
    ] {
        bot.says("ann", line).await;
    }
    assert_snapshot!(bot.transcript(), @r#"
    ann: /rave rolout web
    rave: ❌ There is no command `rolout web`. Did you mean `rollout web`? (unknown_command)
    ann: /rave rollout wbe
    rave: ❌ There is no command `rollout wbe`. Did you mean `rollout web`? (unknown_command)
    ann: /rave rollout
    rave: ❌ `rollout` is not a whole command. It goes on as `rollout content`, `rollout media` or `rollout web`. (unknown_command)
    ann: /rave aprove run_0001
    rave: ❌ There is no command `aprove run_0001`. Did you mean `approve`? (unknown_command)
    ann: /rave run rollout_wbe
    rave: ❌ There is no intent called `rollout_wbe`. Did you mean `rollout_web`? (unknown_intent)
    ann: /rave scale web many
    rave: ❌ `count` is `many` and takes a whole number from 0 to 20. (invalid_argument)
    ann: /rave scale web 21
    rave: ❌ `count` is `21` and takes a whole number from 0 to 20. (invalid_argument)
    ann: /rave scale web 3 4
    rave: ❌ `4` is one word too many. Write scale web \<count\>. (invalid_argument)
    ann: /rave scale web --cuont 3
    rave: ❌ There is no parameter `cuont`. Did you mean `count`? (invalid_argument)
    ann: /rave scale web
    rave: ❌ `count` is missing; it takes a whole number from 0 to 20. (invalid_argument)
    ann: /rave rollout web "unclosed
    rave: ❌ A quote is opened and not closed. Close it, or write \\ in front of a quote that is meant as text. (bad_request)
    ann: /rave show run_9999
    rave: ❌ There is no run run_9999. `/rave runs` lists the recent ones. (unknown_run)
    ann: /rave show web
    rave: ❌ `web` is not the id of a run. Ids look like run_01J…; `runs` lists them. (invalid_argument)
    ann: /rave resolve run_0001 0 happened
    rave: ❌ `0` is not the number of a step. Steps count from 1; `show` lists them. (invalid_argument)
    ann: /rave resolve run_0001 1 maybe
    rave: ❌ A verdict is happened, did-not or again, not `maybe`. Happened: the step succeeded; did-not: it failed; again: run it once more. (invalid_argument)
    ann: /rave freeze nothing
    rave: ❌ There is nothing called `nothing` to freeze. A scope is \*, the name of an intent, or a target such as stack/media. (invalid_argument)
    ann: /rave schedule run nothing
    rave: ❌ There is no schedule called `nothing`. `schedules` lists them. (not_found)
    ann: /rave --help me
    rave: #### What you can run

        - **look:** Look at the web stack
        - **mail:** Mail everybody
        - **page:** Page somebody
        - **resize:** Resize the database
        - **rollout content:** Roll the content stack
        - **rollout media:** Roll the media stack
        - **rollout web:** Roll the web stack
        - **scale web \<count\>:** Set how many web containers run
        - **wipe:** Wipe the database

        Built in: help, intents, plan, run, approve, deny, cancel, retry, resolve, runs, show, logs, schedules, schedule run, freeze, unfreeze, freezes, locks, unlock, audit, whoami, link, unlink, reload, status. With help in front, each explains itself.
    "#);
    assert!(!bot.dump().contains("events "), "{}", bot.dump());
    bot.finish().await;
}

#[tokio::test]
async fn what_nobody_may_ask_for_is_refused_with_the_rule() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave secret_thing").await;
    bot.says("cem", "/rave rollout web").await;
    bot.says("cem", "/rave plan rollout web").await;
    bot.says("eve", "/rave help").await;
    bot.says("ann", "/rave audit").await;
    bot.says("ann", "/rave reload").await;
    bot.says("ann", "/rave freeze *").await;
    bot.says("ann", "/rave whoami").await;
    assert_snapshot!(bot.transcript(), @r#"
    ann: /rave secret_thing
    rave: ❌ No rule allows ann to ask for secret_thing. No rule names secret_thing; `roles:` in its file would, or it takes the role admin. (policy_denied)
    cem: /rave rollout web
    rave: ❌ No rule allows cem to ask for rollout_web. It takes one of the roles ops, admin. (policy_denied)
    cem: /rave plan rollout web
    rave: ❌ No rule allows cem to ask for rollout_web. It takes one of the roles ops, admin. (policy_denied)
    eve: /rave help
    rave: ❌ Rave does not know the account mattermost:u-eve. `/rave link` on an account that Rave knows gives you a code for this one, or an administrator adds it to a person: `accounts = { mattermost = "u-eve" }`. (unknown_account)
    ann: /rave audit
    rave: ❌ No rule allows ann to do audit.read. The role admin may, and whoever a policy file permits audit.read. (policy_denied)
    ann: /rave reload
    rave: ❌ No rule allows ann to do catalog.reload on catalog. The role admin may, and whoever a policy file permits catalog.reload. (policy_denied)
    ann: /rave freeze *
    rave: ❌ No rule allows ann to do freeze on \*. The role admin may, and whoever a policy file permits freeze. (policy_denied)
    ann: /rave whoami
    rave: - **Person:** ann
        - **Account:** mattermost:u-ann
        - **Roles:** ops
        - **Proven by:** token
    "#);
    assert_eq!(bot.stacks().calls(), Vec::<String>::new());
    bot.audited("intent_denied").await;
    bot.audited("account.unknown").await;
    bot.audited("read.refused").await;
    bot.alerted("Policy denial").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_wrong_label_is_refused_audited_alerted_and_counted() {
    let mut bot = World::new()
        .intent(
            "labelled",
            "action: rollout\nstack: web\nroles: [ops]\nlabel_required: approved-by-somebody\n",
        )
        .start()
        .await;
    bot.says("ann", "/rave labelled").await;
    assert_snapshot!(bot.transcript(), @r#"
    ann: /rave labelled
    rave: ❌ Label requirement mismatch. Labelled requires the label "approved-by-somebody" and the approved label is "approved-by-gemini". (label_mismatch)
    "#);
    bot.alerted("Label mismatch").await;
    let metrics = bot.api().get("/metrics").await.text;
    assert!(
        metrics.contains(
            "chatops_intent_failures_total{action=\"rollout\",intent_name=\"labelled\",reason=\"label_mismatch\",stack=\"web\"} 1"
        ),
        "{metrics}"
    );
    bot.finish().await;
}

#[tokio::test]
async fn a_freeze_holds_back_new_runs_and_those_that_wait() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    let _ = bot.transcript();
    bot.says("root", "/rave freeze stack/content migration tonight")
        .await;
    bot.says("ann", "/rave rollout content").await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears_with("run_0003").await;
    bot.says("bob", "/rave approve run_0001").await;
    bot.says("ann", "/rave freezes").await;
    bot.says("root", "/rave unfreeze stack/web").await;
    bot.restart().await;
    bot.says("ann", "/rave freezes").await;
    bot.says("root", "/rave unfreeze stack/content").await;
    bot.hears_with("run_0001").await;
    bot.hears_with("run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    root: /rave freeze stack/content migration tonight
    rave: stack/content is frozen: nothing in it starts until `/rave unfreeze stack/content`.
    ann: /rave rollout content
    rave: ❌ Root froze stack/content: migration tonight (rule freeze stack/content). Wait for `unfreeze stack/content`. (frozen)
    ann: /rave rollout web
    rave: #### run_0003: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0003`
    rave, later: #### ✅ run_0003: rollout_web succeeded.

        1. `rollout_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0003`
    bob: /rave approve run_0001
    rave: bob approved it. run_0001: rollout_media is queued: stack/content is frozen.
    ann: /rave freezes
    rave: - stack/content since 2026-03-02T09:00:00Z by root: migration tonight
    root: /rave unfreeze stack/web
    rave: ❌ stack/web is not frozen. (wrong_state)
    ann: /rave freezes
    rave: - stack/content since 2026-03-02T09:00:00Z by root: migration tonight
    root: /rave unfreeze stack/content
    rave: stack/content is no longer frozen; what waited for it goes on.
    rave, later: #### run_0001: rollout_media is running.

        1. `rollout_content`: **running**
        2. `rollout_media`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: rollout_media succeeded.

        1. `rollout_content`: **succeeded**, 0 ms
        2. `rollout_media`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let mut bot = World::new().start().await;
    bot.write_intent(
        "fresh",
        "description: New\naction: rollout\nstack: web\nroles: [ops]\n",
    );
    bot.write_intent("broken", "action: rolout\nstak: web\n");
    bot.says("root", "/rave reload").await;
    bot.says("ann", "/rave fresh").await;
    std::fs::remove_file(bot.dir().join("intents/broken.yaml")).unwrap();
    bot.says("root", "/rave reload").await;
    bot.says("ann", "/rave fresh").await;
    bot.hears().await;
    let transcript = bot
        .transcript()
        .replace(&bot.dir().display().to_string(), "DIR");
    assert_snapshot!(transcript, @"
    root: /rave reload
    rave: ❌ The new files have errors, so the old ones stay in force:
        DIR/intents/broken.yaml:1:9: no driver offers the action `rolout`; did you mean `rollout`?
        DIR/intents/broken.yaml:2:1: neither an intent nor any action has the key `stak`. (catalog_invalid)
    ann: /rave fresh
    rave: ❌ There is no command `fresh`. `help` lists what there is. (unknown_command)
    root: /rave reload
    rave: Loaded 11 intents; they are in force now.
    ann: /rave fresh
    rave: #### run_0001: fresh is running.

        1. `fresh`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: fresh succeeded.

        1. `fresh`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    ");
    bot.audited("catalog.reload_refused").await;
    bot.audited("catalog.reloaded").await;
    bot.expects_error("reload_refused");
    bot.finish().await;
}

#[tokio::test]
async fn schedules_are_listed_and_fired_by_hand() {
    let mut bot = World::new()
        .schedules(
            r#"{"schedules": [
                {"name": "nightly", "intent": "rollout_web", "cron": "30 2 * * *", "enabled": true},
                {"name": "often", "intent": "look", "interval_seconds": 60, "enabled": false}
            ]}"#,
        )
        .start()
        .await;
    bot.says("root", "/rave schedules").await;
    bot.says("ann", "/rave schedule run nightly").await;
    bot.says("root", "/rave schedule run nightly").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @r"
    root: /rave schedules
    rave: - nightly: rollout_web at 30 2 \* \* \*
        - often: look every 60 s, disabled
    ann: /rave schedule run nightly
    rave: ❌ No rule allows ann to do schedule.manage on nightly. The role admin may, and whoever a policy file permits schedule.manage. (policy_denied)
    root: /rave schedule run nightly
    rave: #### run_0002: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0002`
    rave, later: #### ✅ run_0002: rollout_web succeeded.

        1. `rollout_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0002`
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_reload_asked_for_on_the_machine_is_on_record_also_when_it_is_refused() {
    let mut bot = World::new().start().await;
    bot.expects_error("reload_refused");
    bot.engine().reload().await.unwrap();
    bot.write_intent("broken", "action: no_such_action\n");
    assert!(bot.engine().reload().await.is_err());
    let rows = bot.audit().await;
    let mut results: Vec<AuditResult> = rows
        .iter()
        .filter(|row| row.entry.event == "catalog.reloaded")
        .map(|row| row.entry.result)
        .collect();
    results.sort_unstable();
    assert_eq!(results, [AuditResult::Ok, AuditResult::Refused]);
    bot.finish().await;
}

#[tokio::test]
async fn a_schedule_that_is_only_to_be_shown_runs_nothing() {
    let mut bot = World::new()
        .schedules(
            r#"{"schedules": [
                {"name": "nightly", "intent": "rollout_web", "cron": "30 2 * * *"},
                {"name": "shown", "intent": "rollout_web", "cron": "30 2 * * *", "dry_run": true}
            ]}"#,
        )
        .start()
        .await;
    for line in [
        "/rave schedule run nightly --dry-run",
        "/rave schedule run shown",
    ] {
        let said = bot.says("root", line).await;
        assert!(said.contains("nothing has been done"), "{line}: {said}");
    }
    assert!(bot.stacks().effects().is_empty());
    bot.finish().await;
}

#[tokio::test]
async fn a_freeze_on_a_later_target_holds_back_the_whole_run() {
    let mut bot = World::new().start().await;
    // media depends on content, so content would be claimed first.
    bot.says("ann", "/rave rollout media").await;
    bot.says("root", "/rave freeze stack/media").await;
    let said = bot.says("bob", "/rave approve run_0001").await;
    assert!(said.contains("is queued: stack/media is frozen"), "{said}");
    assert!(bot.stacks().effects().is_empty());
    bot.says("root", "/rave unfreeze stack/media").await;
    bot.hears_with("run_0001").await;
    bot.hears_with("succeeded").await;
    bot.finish().await;
}

#[tokio::test]
async fn runs_logs_and_status_are_shown_to_those_who_may_see_them() {
    let mut bot = World::new().start().await;
    bot.stacks()
        .prints("rollout_web", "Container web-1  Started\n");
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    bot.says("root", "/rave secret_thing").await;
    bot.hears().await;
    let _ = bot.transcript();
    bot.says("bob", "/rave runs").await;
    bot.says("bob", "/rave logs run_0001").await;
    bot.says("bob", "/rave show run_0002").await;
    bot.says("bob", "/rave logs run_0002").await;
    bot.says("bob", "/rave retry run_0002").await;
    bot.says("bob", "/rave status").await;
    bot.says("root", "/rave audit").await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave runs
    rave: - run_0001 succeeded: rollout_web by ann
    bob: /rave logs run_0001
    rave: rollout_web:

        ```
        Container web-1  Started
        ```
    bob: /rave show run_0002
    rave: ❌ There is no run run_0002. `/rave runs` lists the recent ones. (unknown_run)
    bob: /rave logs run_0002
    rave: ❌ There is no run run_0002. `/rave runs` lists the recent ones. (unknown_run)
    bob: /rave retry run_0002
    rave: ❌ There is no run run_0002. `/rave runs` lists the recent ones. (unknown_run)
    bob: /rave status
    rave: All parts are well.

        - **Open runs:** 0
        - **Intents:** 10
    root: /rave audit
    rave: - 9 2026-03-02T09:00:00Z run.retry_refused by bob: run_0002
        - 8 2026-03-02T09:00:00Z run.ended by root: secret_thing
        - 7 2026-03-02T09:00:00Z intent_succeeded by root: secret_thing on stack/vault
        - 6 2026-03-02T09:00:00Z intent_started by root: secret_thing on stack/vault
        - 5 2026-03-02T09:00:00Z run.requested by root: secret_thing
        - 4 2026-03-02T09:00:00Z run.ended by ann: rollout_web
        - 3 2026-03-02T09:00:00Z intent_succeeded by ann: rollout_web on stack/web
        - 2 2026-03-02T09:00:00Z intent_started by ann: rollout_web on stack/web
        - 1 2026-03-02T09:00:00Z run.requested by ann: rollout_web
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_driver_that_keeps_failing_is_opened_and_closed_again() {
    let mut bot = World::new().config("engine.open_after", 2).start().await;
    bot.stacks().is_down(true);
    bot.stacks().fails_times("mail", Failing::Unavailable, 2);
    for run in ["run_0001", "run_0002"] {
        bot.says("ann", "/rave mail").await;
        bot.hears_with(run).await;
    }
    let _ = bot.transcript();
    bot.says("ann", "/rave rollout web").await;
    bot.says("ann", "/rave status").await;
    assert_eq!(bot.api().get("/status").await.body["status"], "degraded");
    bot.stacks().is_down(false);
    bot.hears_with("run_0003").await;
    bot.hears_with("run_0003").await;
    bot.says("ann", "/rave status").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave rollout web
    rave: #### run_0003: rollout_web is queued: fake has failed repeatedly: the stacks do not answer.

        1. `rollout_web`: **pending**

        Cancel: `/rave cancel run_0003`
    ann: /rave status
    rave: ⚠️ Some parts need a look.

        - driver.fake: the stacks do not answer
        - breaker.fake: the stacks do not answer

        - **Open runs:** 1
        - **Intents:** 10
    rave, later: #### run_0003: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0003`
    rave, later: #### ✅ run_0003: rollout_web succeeded.

        1. `rollout_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0003`
    ann: /rave status
    rave: All parts are well.

        - **Open runs:** 0
        - **Intents:** 10
    ");
    bot.alerted("Driver fake is opened").await;
    bot.expects_error("driver_opened");
    bot.finish().await;
}
