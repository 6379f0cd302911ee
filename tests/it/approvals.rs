//! Who may agree to a run, how often and how long.

use std::time::Duration;

use insta::assert_snapshot;
use rave_tests::World;
use serde_json::json;

const ROBOT: &str = "description: Roll the web stack with care\naction: rollout\nstack: web\n\
                     roles: [ops, robots]\napproval: {required: 1, from: [ops]}\n";

#[tokio::test]
async fn a_rollout_is_planned_approved_by_somebody_else_and_run_in_order() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave plan rollout media").await;
    bot.says("ann", "/rave rollout media").await;
    bot.says("ann", "/rave approve run_0001").await;
    bot.says("bob", "/rave approve run_0001 looks fine").await;
    bot.hears().await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    ann: /rave plan rollout media
    rave: #### Plan of rollout_media: nothing has been done.

        1. `rollout_content`: **rollout stack/content**, a dependency; undo: back to the release that ran before
        2. `rollout_media`: **rollout stack/media**, after rollout_content; undo: back to the release that ran before

        ```
        rollout content
        rollout media
        ```

        - **Touches:** service web of content, service web of media, stack/content, stack/media
        - **Plan:** D
        - **Fencing:** none: a command that has left Rave cannot be recalled

        rollout_media needs one approval: bob, cem may approve.
    ann: /rave rollout media
    rave: #### run_0001: rollout_media, asked for by ann, awaits approval.

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

        Approve: `/rave approve run_0001` · Deny: `/rave deny run_0001` · Cancel: `/rave cancel run_0001`
    ann: /rave approve run_0001
    rave: ❌ You asked for this run, so somebody else must decide. (approval_refused)
    bob: /rave approve run_0001 looks fine
    rave: bob approved it. run_0001: rollout_media is running.
    rave, later: #### run_0001: rollout_media is running.

        1. `rollout_content`: **running**
        2. `rollout_media`: **pending**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: rollout_media succeeded.

        1. `rollout_content`: **succeeded**, 0 ms
        2. `rollout_media`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().done(), ["rollout_content", "rollout_media"]);
    let approved = bot.audited("run.approved").await.entry;
    assert_eq!(approved.person.unwrap().as_str(), "bob");
    assert_eq!(approved.details["reason"], "looks fine");
    bot.finish().await;
}

#[tokio::test]
async fn one_denial_ends_it() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    let _ = bot.transcript();
    bot.says("cem", "/rave deny run_0001 not today").await;
    bot.hears().await;
    bot.says("bob", "/rave approve run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    cem: /rave deny run_0001 not today
    rave: ⚠️ cem denied run_0001. Nothing was done.
    rave, later: #### ⚠️ run_0001: rollout_media was cancelled.

        1. `rollout_content`: **cancelled**
        2. `rollout_media`: **cancelled**

        cem denied it: not today

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    bob: /rave approve run_0001
    rave: ❌ run_0001 has ended: it was cancelled. (wrong_state)
    ");
    assert_eq!(bot.stacks().calls(), Vec::<String>::new());
    bot.finish().await;
}

#[tokio::test]
async fn nobody_decides_in_time() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    let _ = bot.transcript();
    bot.turn(Duration::from_secs(30 * 60 - 1));
    assert_eq!(
        bot.reaches("run_0001", "awaiting_approval").await["state"],
        "awaiting_approval"
    );
    bot.turn(Duration::from_secs(1));
    bot.reaches("run_0001", "cancelled").await;
    bot.says("bob", "/rave approve run_0001").await;
    bot.says("ann", "/rave show run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0001
    rave: ❌ run_0001 has ended: it was cancelled. (wrong_state)
    ann: /rave show run_0001
    rave: #### ⚠️ run_0001: rollout_media was cancelled.

        1. `rollout_content`: **cancelled**
        2. `rollout_media`: **cancelled**

        Nobody decided in time.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    bot.audited("run.expired").await;
    bot.finish().await;
}

#[tokio::test]
async fn an_approved_run_that_waits_too_long_for_its_lock_does_not_start() {
    let mut bot = World::new().start().await;
    let gate = bot.stacks().blocks("rollout_media");
    bot.says("ann", "/rave rollout media").await;
    bot.says("bob", "/rave approve run_0001").await;
    gate.reached().await;
    bot.says("ann", "/rave rollout media").await;
    bot.hears().await;
    let _ = bot.transcript();
    bot.says("bob", "/rave approve run_0002").await;
    bot.turn(Duration::from_secs(15 * 60));
    bot.hears_with("run_0002").await;
    gate.release();
    bot.hears_with("run_0001").await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0002
    rave: bob approved it. run_0002: rollout_media is queued behind 1 run with the same lock.
    rave, later: #### ⚠️ run_0002: rollout_media was cancelled.

        1. `rollout_content`: **cancelled**
        2. `rollout_media`: **cancelled**

        It was approved, but could not start in time.

        Retry: `/rave retry run_0002` · Show log: `/rave logs run_0002`
    rave, later: #### ✅ run_0001: rollout_media succeeded.

        1. `rollout_content`: **succeeded**, 0 ms
        2. `rollout_media`: **succeeded**, 15 min

        Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().done(), ["rollout_content", "rollout_media"]);
    bot.finish().await;
}

#[tokio::test]
async fn two_approvals_are_two_people_and_not_two_accounts() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave wipe").await;
    let _ = bot.transcript();
    for line in ["bob", "bob", "bob2", "ann2", "eve", "root"] {
        bot.says(line, "/rave approve run_0001").await;
    }
    assert_snapshot!(bot.transcript(), @r#"
    bob: /rave approve run_0001
    rave: bob approved run_0001. It still needs one approval from other people.
    bob: /rave approve run_0001
    rave: ❌ You have approved this run already; another person must. (approval_refused)
    bob2: /rave approve run_0001
    rave: ❌ You have approved this run already; another person must. (approval_refused)
    ann2: /rave approve run_0001
    rave: ❌ You asked for this run, so somebody else must decide. (approval_refused)
    eve: /rave approve run_0001
    rave: ❌ Rave does not know the account mattermost:u-eve. `/rave link` on an account that Rave knows gives you a code for this one, or an administrator adds it to a person: `accounts = { mattermost = "u-eve" }`. (unknown_account)
    root: /rave approve run_0001
    rave: ❌ No rule allows root to approve wipe. It takes one of the roles oncall, ops. (approval_refused)
    "#);
    bot.reaches("run_0001", "awaiting_approval").await;
    assert_eq!(bot.stacks().calls(), Vec::<String>::new());
    bot.says("cem", "/rave approve run_0001").await;
    bot.hears().await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    cem: /rave approve run_0001
    rave: cem approved it. run_0001: wipe is running.
    rave, later: #### run_0001: wipe is running.

        1. `wipe`: **running**

        Cancel: `/rave cancel run_0001`
    rave, later: #### ✅ run_0001: wipe succeeded.

        1. `wipe`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().done(), ["wipe"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_plan_that_changed_after_the_question_is_not_run() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    let _ = bot.transcript();
    bot.stacks().publishes("media");
    bot.says("bob", "/rave approve run_0001").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0001
    rave: ⚠️ bob approved it. run_0001: rollout_media was cancelled. The plan is no longer the one that was approved: the release of rollout_media changed. Nothing was done; ask again.
    rave, later: #### ⚠️ run_0001: rollout_media was cancelled.

        1. `rollout_content`: **cancelled**
        2. `rollout_media`: **cancelled**

        The plan is no longer the one that was approved: the release of rollout_media changed. Nothing was done; ask again.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    assert_eq!(bot.stacks().calls(), Vec::<String>::new());
    bot.finish().await;
}

#[tokio::test]
async fn a_definition_that_changed_after_the_question_voids_the_approval() {
    let mut bot = World::new().start().await;
    bot.says("ann", "/rave rollout media").await;
    bot.write_intent(
        "rollout_content",
        "action: rollout\ncommand: rollout content\nstack: other\nroles: [ops]\n",
    );
    bot.says("root", "/rave reload").await;
    let _ = bot.transcript();
    bot.says("bob", "/rave approve run_0001").await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0001
    rave: ⚠️ bob approved it. run_0001: rollout_media was cancelled. The plan is no longer the one that was approved: the definition of rollout_content changed; stack of rollout_content changed. Nothing was done; ask again.
    rave, later: #### ⚠️ run_0001: rollout_media was cancelled.

        1. `rollout_content`: **cancelled**
        2. `rollout_media`: **cancelled**

        The plan is no longer the one that was approved: the definition of rollout_content changed; stack of rollout_content changed. Nothing was done; ask again.

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    bot.finish().await;
}

#[tokio::test]
async fn the_owner_of_a_robot_cannot_approve_what_it_asked_for() {
    let mut bot = World::new()
        .intent("careful", ROBOT)
        .config("people.ci.roles", "robots")
        .config("people.ci.robot.owners", vec!["bob"])
        .config("tokens.ci.person", "ci")
        .config("tokens.ci.secret", "token-of-ci")
        .start()
        .await;
    let ci = bot.api().with_key("token-of-ci");
    let asked = ci
        .post("/api/v1/runs", &json!({"intents": ["careful"]}))
        .await;
    assert_eq!(
        (asked.status, asked.run_id()),
        (202, "run_0001"),
        "{}",
        asked.text
    );
    let own = ci.post("/api/v1/runs/run_0001/approve", &json!({})).await;
    assert_eq!(
        (own.status, own.code()),
        (403, "approval_refused"),
        "{}",
        own.text
    );
    bot.says("bob", "/rave approve run_0001").await;
    bot.says("ann", "/rave approve run_0001").await;
    bot.reaches("run_0001", "succeeded").await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0001
    rave: ❌ You own ci, which asked for this run, so somebody else must decide. (approval_refused)
    ann: /rave approve run_0001
    rave: ann approved it. run_0001: careful is running.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_robot_that_nobody_owns_needs_one_approval_more() {
    let mut bot = World::new()
        .intent("careful", ROBOT)
        .config("people.ci.roles", "robots")
        .config("people.ci.robot", true)
        .config("tokens.ci.person", "ci")
        .config("tokens.ci.secret", "token-of-ci")
        .start()
        .await;
    let ci = bot.api().with_key("token-of-ci");
    ci.post("/api/v1/runs", &json!({"intents": ["careful"]}))
        .await;
    bot.says("bob", "/rave approve run_0001").await;
    bot.reaches("run_0001", "awaiting_approval").await;
    let ann = bot.api().with_key("token-of-ann");
    let approved = ann
        .post("/api/v1/runs/run_0001/approve", &json!({"reason": "seen"}))
        .await;
    assert_eq!(approved.status, 202, "{}", approved.text);
    bot.reaches("run_0001", "succeeded").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_weak_surface_cannot_approve_what_wants_a_stronger_one() {
    let mut bot = World::new()
        .intent(
            "careful",
            "action: rollout\nstack: web\nroles: [ops]\n\
             approval: {required: 1, from: [ops], strength: signed}\n",
        )
        .start()
        .await;
    bot.says("ann", "/rave careful").await;
    let _ = bot.transcript();
    bot.says("bob", "/rave approve run_0001").await;
    bot.says("ann", "/rave cancel run_0001 cannot be approved here")
        .await;
    bot.hears().await;
    assert_snapshot!(bot.transcript(), @"
    bob: /rave approve run_0001
    rave: ❌ This approval needs a surface that proves more strongly who decides (rule strength). Decide through a surface of strength signed or more. (surface_too_weak)
    ann: /rave cancel run_0001 cannot be approved here
    rave: #### ⚠️ run_0001: careful was cancelled.

        1. `careful`: **cancelled**

        ann cancelled it: cannot be approved here

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    rave, later: #### ⚠️ run_0001: careful was cancelled.

        1. `careful`: **cancelled**

        ann cancelled it: cannot be approved here

        Retry: `/rave retry run_0001` · Show log: `/rave logs run_0001`
    ");
    bot.finish().await;
}

#[tokio::test]
async fn runs_that_need_or_take_no_approval_say_so() {
    let mut bot = World::new().start().await;
    let gate = bot.stacks().blocks("rollout_web");
    bot.says("ann", "/rave rollout web").await;
    gate.reached().await;
    let _ = bot.transcript();
    bot.says("bob", "/rave approve run_0001").await;
    gate.release();
    bot.hears().await;
    bot.says("bob", "/rave deny run_0001").await;
    bot.says("bob", "/rave approve run_0999").await;
    bot.says("bob", "/rave approve").await;
    assert_snapshot!(bot.transcript(), @r"
    bob: /rave approve run_0001
    rave: ❌ run_0001 needs no approval. (wrong_state)
    rave, later: #### ✅ run_0001: rollout_web succeeded.

        1. `rollout_web`: **succeeded**, 0 ms

        Show log: `/rave logs run_0001`
    bob: /rave deny run_0001
    rave: ❌ run_0001 has ended: it succeeded. (wrong_state)
    bob: /rave approve run_0999
    rave: ❌ There is no run run_0999. `/rave runs` lists the recent ones. (unknown_run)
    bob: /rave approve
    rave: ❌ `approve` needs a run. Write approve \<run\> \[reason\]. (bad_request)
    ");
    bot.finish().await;
}

#[tokio::test]
async fn what_is_no_longer_allowed_when_its_turn_comes_is_not_done() {
    let mut bot = World::new().start().await;
    let gate = bot.stacks().blocks("rollout_web");
    bot.says("bob", "/rave rollout web").await;
    gate.reached().await;
    bot.says("ann", "/rave scale web 3").await;
    bot.write_intent(
        "scale_web",
        "action: scale\ncommand: scale web <count>\n\
         params:\n  count: {type: int, min: 0, max: 20}\n\
         with: {stack: web, replicas: '{{ count }}'}\nroles: [oncall]\n",
    );
    bot.says("root", "/rave reload").await;
    gate.release();
    let run = bot.reaches("run_0002", "failed").await;
    assert_eq!(run["steps"][0]["state"], "failed", "{run}");
    assert_eq!(bot.stacks().calls(), ["rollout_web"]);
    bot.alerted("Policy denial").await;
    bot.hears_with("run_0001").await;
    bot.hears_with("scale_web failed").await;
    bot.finish().await;
}
