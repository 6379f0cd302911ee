//! Effects whose outcome is lost: looked up, stopped, or settled by a person.

use insta::assert_snapshot;
use rave_tests::{Failing, World};

#[tokio::test]
async fn an_unknown_outcome_waits_for_a_verdict_and_keeps_its_lock() {
    let mut bot = World::new()
        .intent(
            "after",
            "action: rollout\nstack: web\ndepends_on: [mail]\nroles: [ops]\n",
        )
        .start()
        .await;
    bot.stacks().fails("mail", Failing::LostAfter);
    bot.says("ann", "/rave run after").await;
    bot.hears().await;
    bot.says("bob", "/rave mail").await;
    bot.says("ann", "/rave resolve run_0001 2 happened").await;
    bot.says("ann", "/rave resolve run_0001 7 happened").await;
    bot.says("eve", "/rave resolve run_0001 1 happened").await;
    bot.says("root", "/rave resolve run_0001 1 happened").await;
    bot.hears_with("run_0001").await;
    bot.hears_with("run_0002").await;
    bot.hears_with("run_0002").await;
    assert_snapshot!(bot.transcript(), @r#"
    ann: /rave run after
    rave: #### run_0001: after is running.

        1. `mail`: **running**
        2. `after`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ⚠️ run_0001: after needs attention.

        1. `mail`: **unknown**, the connection broke
        2. `after`: **pending**

        Look whether step 1 (mail) took place, then say: /rave resolve run_0001 1 happened, did-not or again.

        Show log: `/rave logs run_0001`
    bob: /rave mail
    rave: #### run_0002: mail is queued behind 1 run with the same lock.

        1. `mail`: **pending**

        Cancel: `/rave cancel run_0002`
    ann: /rave resolve run_0001 2 happened
    rave: ❌ No rule allows ann to resolve a step of this run. The role admin may, and whoever a policy file permits run.resolve. (policy_denied)
    ann: /rave resolve run_0001 7 happened
    rave: ❌ No rule allows ann to resolve a step of this run. The role admin may, and whoever a policy file permits run.resolve. (policy_denied)
    eve: /rave resolve run_0001 1 happened
    rave: ❌ Rave does not know the account mattermost:u-eve. `/rave link` on an account that Rave knows gives you a code for this one, or an administrator adds it to a person: `accounts = { mattermost = "u-eve" }`. (unknown_account)
    root: /rave resolve run_0001 1 happened
    rave: #### run_0001: after is running.

        1. `mail`: **succeeded**, 0 ms
        2. `after`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: after succeeded.

        1. `mail`: **succeeded**, 0 ms
        2. `after`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    rave, later: #### run_0002: mail is running.

        1. `mail`: **running**

        Cancel: `/rave cancel run_0002`
    rave, later: #### ✅ run_0002: mail succeeded.

        1. `mail`: **succeeded**, 0 ms

        Show log: `/rave logs run_0002`
    "#);
    assert_eq!(bot.stacks().done(), ["mail", "after", "mail"]);
    bot.alerted("Needs attention").await;
    let verdict = bot.audited("step.resolved").await.entry;
    assert_eq!(verdict.person.unwrap().as_str(), "root");
    bot.finish().await;
}

#[tokio::test]
async fn a_verdict_that_it_did_not_happen_fails_the_step() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::LostBefore);
    bot.says("ann", "/rave mail").await;
    bot.hears().await;
    let _ = bot.transcript();
    bot.says("root", "/rave resolve run_0001 1 did-not").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    root: /rave resolve run_0001 1 did-not
    rave: #### ❌ run_0001: mail failed.

        1. `mail`: **failed**, 0 ms, a person found that it did not happen

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    rave, later: #### ❌ run_0001: mail failed.

        1. `mail`: **failed**, 0 ms, a person found that it did not happen

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().done(), Vec::<String>::new());
    bot.finish().await;
}

#[tokio::test]
async fn a_verdict_to_do_it_again_makes_a_new_effect() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::LostBefore);
    bot.says("ann", "/rave mail").await;
    bot.hears().await;
    let _ = bot.transcript();
    bot.says("root", "/rave resolve run_0001 1 again").await;
    bot.hears_with("succeeded").await;
    assert_snapshot!(bot.transcript(), @"
    root: /rave resolve run_0001 1 again
    rave: #### run_0001: mail is running.

        1. `mail`: **running**, attempt 2

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: mail succeeded.

        1. `mail`: **succeeded**, 0 ms, attempt 2

        Show log: `/rave logs run_0001`
    ");
    let effects = bot.stacks().effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].key.as_str(), "run_0001.0.1");
    bot.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_where_that_can_be() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("resize", Failing::LostAfter);
    bot.says("ann", "/rave resize").await;
    bot.hears_with("succeeded").await;
    bot.stacks().cannot_be_probed();
    bot.stacks().fails("resize", Failing::LostAfter);
    bot.says("ann", "/rave resize").await;
    bot.hears_with("needs attention").await;
    bot.says("root", "/rave resolve run_0002 1 happened").await;
    bot.hears_with("succeeded").await;
    assert_eq!(bot.stacks().done(), ["resize", "resize"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_stopped() {
    let mut bot = World::new()
        .intent(
            "slow",
            "action: rollout\nstack: web\nroles: [ops]\ntimeout: 1s\n",
        )
        .intent(
            "slow_once",
            "action: fake.once\nstack: mail\nroles: [ops]\ntimeout: 1s\n",
        )
        .start()
        .await;
    let _first = bot.stacks().blocks("slow");
    let _second = bot.stacks().blocks("slow_once");
    bot.says("ann", "/rave slow").await;
    bot.says("ann", "/rave slow_once").await;
    let _ = bot.transcript();
    bot.hears_with("run_0001").await;
    bot.hears_with("run_0002").await;
    assert_snapshot!(bot.transcript(), @"
    rave, later: #### ❌ run_0001: slow failed.

        1. `slow`: **failed**, 0 ms, it took longer than its timeout of 1 s and was stopped
        2. `undo of slow`: **succeeded**, 0 ms

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    rave, later: #### ⚠️ run_0002: slow_once needs attention.

        1. `slow_once`: **unknown**, it took longer than its timeout of 1 s and was stopped

        Look whether step 1 (slow_once) took place, then say: /rave resolve run_0002 1 happened, did-not or again.

        Show log: `/rave logs run_0002`
    ");
    bot.says("root", "/rave resolve run_0002 1 did-not").await;
    bot.hears_with("run_0002").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_driver_with_a_bug_is_an_outcome_and_not_the_end() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::Panics);
    bot.says("ann", "/rave mail").await;
    bot.hears_with("needs attention").await;
    bot.says("root", "/rave resolve run_0001 1 did-not").await;
    bot.hears().await;
    bot.says("ann", "/rave rollout web").await;
    bot.hears_with("succeeded").await;
    bot.expects_error("driver_panicked");
    bot.finish().await;
}
