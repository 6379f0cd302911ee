//! What becomes of a run: failures, undos, retries, cancels, broken locks.

use std::time::Duration;

use insta::assert_snapshot;
use rave_tests::{Failing, World};

#[tokio::test]
async fn a_failed_rollout_goes_back_to_the_release_before() {
    let mut bot = World::new().start().await;
    bot.stacks()
        .prints("rollout_web", "pulling\nno such image: web:2\n");
    bot.stacks().fails("rollout_web", Failing::LostAfter);
    bot.stacks()
        .fails("scale_web", Failing::Rejected("no such service"));
    bot.says("ann", "/rave scale web 5").await;
    bot.hears().await;
    bot.says("ann", "/rave run rollout_web").await;
    bot.hears().await;
    bot.says("ann", "/rave logs run_0002").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave scale web 5
    rave: #### run_0001: scale_web is running.

        1. `scale_web`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ❌ run_0001: scale_web failed.

        1. `scale_web`: **failed**, 0 ms, no such service
        2. `undo of scale_web`: **succeeded**, 0 ms

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ann: /rave run rollout_web
    rave: #### run_0002: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0002`
    rave, later: #### ❌ run_0002: rollout_web failed.

        1. `rollout_web`: **failed**, 0 ms, the connection broke
        2. `undo of rollout_web`: **succeeded**, 0 ms

        ```
        pulling
        no such image: web:2
        ```

        Retry: `/rave retry run_0002` · Show log: `/rave logs run_0002`
    ann: /rave logs run_0002
    rave: rollout_web:

        ```
        pulling
        no such image: web:2
        ```
    ");
    assert_eq!(bot.stacks().stack("web").release, 1);
    bot.alerted("Command failed").await;
    bot.alerted("Rollback").await;
    bot.finish().await;
}

#[tokio::test]
async fn an_undo_that_fails_too_calls_for_people() {
    let mut bot = World::new().start().await;
    bot.stacks()
        .fails("rollout_web", Failing::Rejected("port is taken"));
    bot.stacks()
        .fails("undo of rollout_web", Failing::Rejected("still taken"));
    bot.says("ann", "/rave rollout web").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave rollout web
    rave: #### run_0001: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ❌ run_0001: rollout_web failed.

        1. `rollout_web`: **failed**, 0 ms, port is taken
        2. `undo of rollout_web`: **failed**, 0 ms, still taken

        The undo failed too: look at the target before anything else is done to it.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    bot.alerted("Rollback failed").await;
    bot.finish().await;
}

#[tokio::test]
async fn an_intent_replaces_the_undo_of_the_action() {
    let mut bot = World::new()
        .intent(
            "back",
            "action: fake.idempotent\nstack: web\nroles: [ops]\n",
        )
        .intent(
            "forth",
            "action: rollout\nstack: web\nundo: back\nroles: [ops]\n",
        )
        .start()
        .await;
    bot.stacks().fails("forth", Failing::Rejected("no"));
    bot.says("ann", "/rave plan forth").await;
    bot.says("ann", "/rave forth").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave plan forth
    rave: #### Plan of forth: nothing has been done.

        1. `forth`: **rollout stack/web**, undo: back

        ```
        rollout web
        ```

        - **Touches:** service web of web, stack/web
        - **Plan:** D
        - **Fencing:** none: a command that has left Rave cannot be recalled
    ann: /rave forth
    rave: #### run_0001: forth is running.

        1. `forth`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ❌ run_0001: forth failed.

        1. `forth`: **failed**, 0 ms, no
        2. `undo of forth`: **succeeded**, 0 ms

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().done(), ["back"]);
    bot.finish().await;
}

#[tokio::test]
async fn without_rollback_a_failure_stays_as_it_is() {
    let mut bot = World::new()
        .intent(
            "plain",
            "action: rollout\nstack: web\nundo: none\nroles: [ops]\n",
        )
        .start()
        .await;
    bot.stacks().fails("plain", Failing::Rejected("no"));
    bot.says("ann", "/rave plain").await;
    bot.hears().await;
    assert_eq!(bot.stacks().calls(), ["plain"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_failure_skips_what_depends_on_it_and_what_comes_after() {
    let mut bot = World::new()
        .intent("a", "action: rollout\nstack: a\nroles: [ops]\n")
        .intent(
            "b",
            "action: rollout\nstack: b\ndepends_on: [a]\nroles: [ops]\n",
        )
        .intent("c", "action: rollout\nstack: c\nroles: [ops]\n")
        .start()
        .await;
    bot.stacks().fails("a", Failing::Rejected("no"));
    bot.says("ann", "/rave run b c").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave run b c
    rave: #### run_0001: b and c are running.

        1. `a`: **running**
        2. `b`: **pending**
        3. `c`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ❌ run_0001: b and c failed.

        1. `a`: **failed**, 0 ms, no
        2. `b`: **skipped**
        3. `c`: **skipped**
        4. `undo of a`: **succeeded**, 0 ms

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().calls(), ["a", "undo of a"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_when_its_time_has_come() {
    let mut bot = World::new()
        .intent(
            "flaky",
            "action: rollout\nstack: web\nroles: [ops]\nretry: {max: 3, backoff: 2s..30s}\n",
        )
        .start()
        .await;
    bot.stacks()
        .fails_times("flaky", Failing::Transient("no answer"), 2);
    bot.says("ann", "/rave flaky").await;
    bot.says_when(
        "the first try failed",
        "ann",
        "/rave show run_0001",
        "tried again in",
    )
    .await;
    bot.turn(Duration::from_secs(1));
    bot.turn(Duration::from_secs(1));
    bot.says_when(
        "the second try failed",
        "ann",
        "/rave show run_0001",
        "in 4",
    )
    .await;
    bot.turn(Duration::from_secs(4));
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave flaky
    rave: #### run_0001: flaky is running.

        1. `flaky`: **running**

        Cancel: `/rave cancel run_0001`
    ann: /rave show run_0001
    rave: #### run_0001: flaky is running.

        1. `flaky`: **pending**, tried again in 2.0 s

        Cancel: `/rave cancel run_0001`
    ann: /rave show run_0001
    rave: #### run_0001: flaky is running.

        1. `flaky`: **pending**, 2.0 s, attempt 2, tried again in 4.0 s

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: flaky succeeded.

        1. `flaky`: **succeeded**, 6.0 s, attempt 3

        Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().calls(), ["flaky", "flaky", "flaky"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_restart_does_not_shorten_the_wait_for_a_retry() {
    let mut bot = World::new()
        .intent(
            "flaky",
            "action: rollout\nstack: web\nroles: [ops]\nretry: {max: 3, backoff: 1h..2h}\n",
        )
        .start()
        .await;
    bot.stacks().fails("flaky", Failing::Transient("no answer"));
    bot.says("ann", "/rave flaky").await;
    bot.says_when(
        "the try failed",
        "ann",
        "/rave show run_0001",
        "tried again in",
    )
    .await;
    bot.restart().await;
    bot.turn(Duration::from_secs(59 * 60));
    bot.says("ann", "/rave show run_0001").await;
    assert_eq!(bot.stacks().calls(), ["flaky"]);
    bot.turn(Duration::from_secs(60));
    bot.reaches("run_0001", "succeeded").await;
    assert_eq!(bot.stacks().calls(), ["flaky", "flaky"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_queued_run_shows_its_place_and_can_be_cancelled() {
    let mut bot = World::new().start().await;
    let gate = bot.stacks().blocks("rollout_web");
    bot.says("ann", "/rave rollout web").await;
    gate.reached().await;
    bot.says("bob", "/rave rollout web").await;
    bot.says("ann", "/rave scale web 3").await;
    bot.says("ann", "/rave locks").await;
    bot.says("ann", "/rave cancel run_0002").await;
    bot.says("bob", "/rave cancel run_0002 changed my mind")
        .await;
    bot.hears_with("run_0002").await;
    bot.says("ann", "/rave show run_0003").await;
    gate.release();
    bot.hears_with("run_0001").await;
    bot.hears_with("run_0003").await;
    bot.hears_with("run_0003").await;
    bot.says("ann", "/rave locks").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave rollout web
    rave: #### run_0001: rollout_web is running.

        1. `rollout_web`: **running**

        Cancel: `/rave cancel run_0001`
    bob: /rave rollout web
    rave: #### run_0002: rollout_web is queued behind 1 run with the same lock.

        1. `rollout_web`: **pending**

        Cancel: `/rave cancel run_0002`
    ann: /rave scale web 3
    rave: #### run_0003: scale_web is queued behind 2 runs with the same lock.

        1. `scale_web`: **pending**

        Cancel: `/rave cancel run_0003`
    ann: /rave locks
    rave: - stack/web: held by run_0001; next run_0002, run_0003
    ann: /rave cancel run_0002
    rave: ❌ No rule allows ann to cancel this run. Who asked for the run may, and the role admin. (policy_denied)
    bob: /rave cancel run_0002 changed my mind
    rave: #### ⚠️ run_0002: rollout_web was cancelled.

        1. `rollout_web`: **cancelled**

        bob cancelled it: changed my mind

        Retry: `/rave retry run_0002` · Show log: `/rave logs run_0002`
    rave, later: #### ⚠️ run_0002: rollout_web was cancelled.

        1. `rollout_web`: **cancelled**

        bob cancelled it: changed my mind

        Retry: `/rave retry run_0002` · Show log: `/rave logs run_0002`
    ann: /rave show run_0003
    rave: #### run_0003: scale_web is queued behind 1 run with the same lock.

        1. `scale_web`: **pending**

        Cancel: `/rave cancel run_0003`
    rave, later: #### ✅ run_0001: rollout_web succeeded.

        1. `rollout_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    rave, later: #### run_0003: scale_web is running.

        1. `scale_web`: **running**

        Cancel: `/rave cancel run_0003`
    rave, later: #### ✅ run_0003: scale_web succeeded.

        1. `scale_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0003`
    ann: /rave locks
    rave: Nothing is locked.
    ");
    assert_eq!(bot.stacks().done(), ["rollout_web", "scale_web"]);
    bot.finish().await;
}

#[tokio::test]
async fn cancelling_a_running_step_stops_it_and_undoes_it() {
    let mut bot = World::new().start().await;
    let gate = bot.stacks().blocks("rollout_web");
    bot.says("ann", "/rave run rollout_web rollout_content")
        .await;
    gate.reached().await;
    bot.says("ann", "/rave cancel run_0001 wrong version").await;
    bot.hears().await;
    bot.says("ann", "/rave cancel run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave run rollout_web rollout_content
    rave: #### run_0001: rollout_web and rollout_content are running.

        1. `rollout_web`: **running**
        2. `rollout_content`: **pending**

        Cancel: `/rave cancel run_0001`
    ann: /rave cancel run_0001 wrong version
    rave: #### run_0001: rollout_web and rollout_content are being stopped.

        1. `rollout_web`: **running**
        2. `rollout_content`: **cancelled**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ⚠️ run_0001: rollout_web and rollout_content were cancelled.

        1. `rollout_web`: **cancelled**, 0 ms
        2. `rollout_content`: **cancelled**
        3. `undo of rollout_web`: **succeeded**, 0 ms

        ann cancelled it: wrong version

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ann: /rave cancel run_0001
    rave: ❌ run_0001 has ended: it was cancelled. (wrong_state)
    ");
    assert_eq!(bot.stacks().done(), ["undo of rollout_web"]);
    bot.finish().await;
}

#[tokio::test]
async fn unwinding_undoes_finished_steps_too() {
    let mut bot = World::new().start().await;
    bot.stacks()
        .fails("rollout_content", Failing::Rejected("no"));
    bot.says(
        "ann",
        "/rave run rollout_web scale_web count=4 rollout_content --unwind=run",
    )
    .await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave run rollout_web scale_web count=4 rollout_content --unwind=run
    rave: #### run_0001: rollout_web, scale_web and rollout_content are running.

        1. `rollout_web`: **running**
        2. `scale_web`: **pending**
        3. `rollout_content`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ❌ run_0001: rollout_web, scale_web and rollout_content failed.

        1. `rollout_web`: **succeeded**, 0 ms
        2. `scale_web`: **succeeded**, 0 ms
        3. `rollout_content`: **failed**, 0 ms, no
        4. `undo of rollout_content`: **succeeded**, 0 ms
        5. `undo of scale_web`: **succeeded**, 0 ms
        6. `undo of rollout_web`: **succeeded**, 0 ms

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    assert_eq!(
        bot.stacks().calls(),
        [
            "rollout_web",
            "scale_web",
            "rollout_content",
            "undo of rollout_content",
            "undo of scale_web",
            "undo of rollout_web"
        ]
    );
    assert_eq!(bot.stacks().stack("web").release, 1);
    assert_eq!(bot.stacks().stack("web").replicas, 1);
    bot.finish().await;
}

#[tokio::test]
async fn retry_asks_again_with_a_new_plan_and_new_approvals() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("rollout_media", Failing::Rejected("no"));
    bot.says("ann", "/rave rollout media").await;
    bot.says("ann", "/rave retry run_0001").await;
    bot.says("bob", "/rave approve run_0001").await;
    bot.hears_with("running").await;
    bot.hears_with("failed").await;
    let _ = bot.transcript();
    bot.says("ann", "/rave retry run_0001").await;
    bot.says("bob", "/rave approve run_0003").await;
    bot.hears_with("run_0003").await;
    bot.hears_with("run_0003").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave retry run_0001
    rave: #### run_0003: rollout_media, asked for by ann, awaits approval.

        1. `rollout_content`: **rollout stack/content**, a dependency; undo: back to the release that ran before
        2. `rollout_media`: **rollout stack/media**, after rollout_content; undo: back to the release that ran before

        ```
        rollout content
        rollout media
        ```

        - **Touches:** service web of content, service web of media, stack/content, stack/media
        - **Plan:** D
        - **Fencing:** none: a command that has left Rave cannot be recalled

        rollout_media needs one approval of oncall or ops, other than ann.

        Approve: `/rave approve run_0003` · Deny: `/rave deny run_0003` · Cancel: `/rave cancel run_0003`
    bob: /rave approve run_0003
    rave: bob approved it. run_0003: rollout_media is running.
    rave, later: #### run_0003: rollout_media is running.

        1. `rollout_content`: **running**
        2. `rollout_media`: **pending**

        Cancel: `/rave cancel run_0003`
    rave, later: #### ✅ run_0003: rollout_media succeeded.

        1. `rollout_content`: **succeeded**, 0 ms
        2. `rollout_media`: **succeeded**, 0 ms

        Show log: `/rave logs run_0003`
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_broken_lock_frees_the_next_run_and_ends_the_holder() {
    let mut bot = World::new().start().await;
    bot.stacks().fails("mail", Failing::LostBefore);
    bot.says("ann", "/rave run mail rollout_web").await;
    bot.hears().await;
    bot.says("bob", "/rave mail").await;
    bot.says("ann", "/rave unlock stack/mail").await;
    bot.says("root", "/rave unlock stack/other").await;
    bot.says("root", "/rave unlock stack/mail").await;
    bot.hears_with("run_0002").await;
    bot.hears_with("run_0002").await;
    bot.says("root", "/rave resolve run_0001 1 happened").await;
    bot.hears_with("run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave run mail rollout_web
    rave: #### run_0001: mail and rollout_web are running.

        1. `mail`: **running**
        2. `rollout_web`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ⚠️ run_0001: mail and rollout_web need attention.

        1. `mail`: **unknown**, the connection broke
        2. `rollout_web`: **pending**

        Look whether step 1 (mail) took place, then say: /rave resolve run_0001 1 happened, did-not or again.

        Show log: `/rave logs run_0001`
    bob: /rave mail
    rave: #### run_0002: mail is queued behind 1 run with the same lock.

        1. `mail`: **pending**

        Cancel: `/rave cancel run_0002`
    ann: /rave unlock stack/mail
    rave: ❌ No rule allows ann to do lock.break on stack/mail. The role admin may, and whoever a policy file permits lock.break. (policy_denied)
    root: /rave unlock stack/other
    rave: ❌ Nobody holds the lock stack/other. `/rave locks` lists the held ones. (wrong_state)
    root: /rave unlock stack/mail
    rave: The lock stack/mail is free; run_0001 has lost it and starts nothing further.
    rave, later: #### run_0002: mail is running.

        1. `mail`: **running**

        Cancel: `/rave cancel run_0002`
    rave, later: #### ✅ run_0002: mail succeeded.

        1. `mail`: **succeeded**, 0 ms

        Show log: `/rave logs run_0002`
    root: /rave resolve run_0001 1 happened
    rave: #### ⚠️ run_0001: mail and rollout_web were cancelled.

        1. `mail`: **succeeded**, 0 ms
        2. `rollout_web`: **cancelled**

        root broke its lock stack/mail.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    rave, later: #### ⚠️ run_0001: mail and rollout_web were cancelled.

        1. `mail`: **succeeded**, 0 ms
        2. `rollout_web`: **cancelled**

        root broke its lock stack/mail.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    bot.audited("lock.broken").await;
    bot.finish().await;
}
