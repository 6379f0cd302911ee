//! Commits and fsyncs of runs.

use std::sync::Arc;

use futures::future::join_all;
use rave_domain::Timestamp;
use rave_domain::ports::store::{Freeze, Store as _, Write};
use rave_store::{Options, Sqlite};
use rave_tests::{Bot, World};
use serde_json::json;
use tokio::sync::Mutex;

/// strace counts for the whole process, so these tests take turns.
static ALONE: Mutex<()> = Mutex::const_new(());

const STEPS: u32 = 10;

/// Ten intents on stacks that the caller names, so that runs side by side share no lock. There is
/// nobody to tell, because deliveries are commits of their own.
async fn start() -> Bot {
    let mut world = World::new().without("discord.audit_webhook");
    for n in 1..=STEPS {
        let intent = format!(
            "action: fake.idempotent\nroles: [ops]\nparams: {{on: {{type: slug}}}}\n\
             with: {{stack: '{{{{ on }}}}-{n}'}}\n"
        );
        world = world.intent(&format!("step{n}"), &intent);
    }
    world.start().await
}

/// Runs all ten, one after the other, to the end.
async fn run(bot: &Bot, on: u32) {
    let intents: Vec<String> = (1..=STEPS).map(|n| format!("step{n}")).collect();
    let body = json!({"intents": intents, "arguments": {"on": format!("s{on}")}});
    let answer = bot.api().post("/orchestrate", &body).await;
    assert_eq!(answer.body["ok"], true, "{}", answer.text);
}

/// One for the request, one that makes the run and claims its first step, and one for each result,
/// which also claims the next step.
#[tokio::test]
async fn a_chain_of_ten_steps_is_twelve_commits() {
    const RUNS: u32 = 5;
    let _alone = ALONE.lock().await;
    let bot = start().await;
    run(&bot, 0).await;
    let before = bot.store().stats().commits;
    for on in 1..=RUNS {
        run(&bot, on).await;
    }
    let commits = bot.store().stats().commits - before;
    println!("{commits} commits for {RUNS} chains");
    assert!(
        commits <= u64::from(RUNS * 12),
        "{commits} for {RUNS} chains"
    );
    bot.finish().await;
}

/// Runs side by side write no more often than one alone: how many writes then share a commit is a
/// matter of time, and `make bench` tells it.
#[tokio::test]
async fn runs_in_flight_write_as_often_as_one_alone() {
    const IN_FLIGHT: u32 = 64;
    let _alone = ALONE.lock().await;
    let bot = start().await;
    let before = bot.store().stats();
    join_all((0..IN_FLIGHT).map(|on| run(&bot, on))).await;
    let after = bot.store().stats();
    let writes = after.batched - before.batched;
    let commits = after.commits - before.commits;
    println!("{writes} writes in {commits} commits for {IN_FLIGHT} chains");
    assert!(writes <= u64::from(IN_FLIGHT * 12), "{writes} writes");
    bot.finish().await;
}

/// While one commit is on its way to the disk, everything that comes waits for one more, not for
/// one each.
#[tokio::test]
async fn whoever_comes_during_a_commit_shares_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let mut options = Options::new(dir.path());
    options.fail_point = Some(Arc::new(move |name| {
        if name == "store.before_commit" {
            // The first commit waits; one that finds no gate any more does not.
            if let Some(gate) = gate.lock().unwrap().take() {
                gate.recv().unwrap();
            }
        }
    }));
    let store = Sqlite::open(options).unwrap();
    let before = store.stats().commits;
    let callers = join_all((0..64).map(|number| store.commit(vec![freeze(number)])));
    // All of them are asked before the gate is opened.
    let (written, ()) = tokio::join!(callers, async { open.send(()).unwrap() });
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let commits = store.stats().commits - before;
    assert!(commits <= 2, "{commits} commits for 64 callers");
    store.close().await;
}

fn freeze(number: u32) -> Write {
    Write::Freeze(Freeze {
        scope: format!("stack/s{number}"),
        by: "ann".parse().unwrap(),
        reason: String::new(),
        since: Timestamp::UNIX_EPOCH,
    })
}

/// Each commit is one fsync, and no more: fewer would lose what was acknowledged, more would be
/// paid for nothing. Copying the WAL into the file costs one now and then.
#[cfg(feature = "real")]
#[tokio::test]
async fn a_commit_is_one_fsync() {
    const RUNS: u32 = 20;
    let _alone = ALONE.lock().await;
    let bot = start().await;
    run(&bot, 0).await;
    let strace = rave_tests::SyncCount::begin().unwrap();
    let before = bot.store().stats().commits;
    for on in 1..=RUNS {
        run(&bot, on).await;
    }
    let commits = bot.store().stats().commits - before;
    let syncs = strace.end().unwrap();
    println!(
        "{syncs} fsyncs for {commits} commits, {} steps",
        RUNS * STEPS
    );
    assert!(syncs >= commits, "{syncs} fsyncs for {commits} commits");
    assert!(
        syncs <= commits + commits / 20 + 2,
        "{syncs} fsyncs for {commits} commits"
    );
    bot.finish().await;
}
