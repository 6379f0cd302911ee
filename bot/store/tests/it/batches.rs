//! One transaction for many callers, each of whom it answers for itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rave_domain::ports::store::{Store, StoreError, Write};
use rave_domain::run::RunStatus;
use rave_store::{FailPoint, Stats, verify};

use crate::kit::{World, append, entry, parcel, run, started, submission};

/// Holds the first commit until it is let go.
struct Gate {
    reached: tokio::sync::mpsc::UnboundedReceiver<()>,
    open: mpsc::Sender<()>,
}

fn gate() -> (FailPoint, Gate) {
    let (open, opened) = mpsc::channel();
    let (reach, reached) = tokio::sync::mpsc::unbounded_channel();
    let opened = Mutex::new(Some(opened));
    let wait = move |name: &'static str| {
        if name == "store.before_commit"
            && let Some(opened) = opened.lock().unwrap().take()
        {
            reach.send(()).unwrap();
            opened.recv().unwrap();
        }
    };
    (Arc::new(wait), Gate { reached, open })
}

/// Commits each of these behind a commit that is held up, so that they come to the writer
/// together. Needs a runtime of one thread: there, a task that has begun has handed over its
/// writes by the time that the test runs again.
async fn together(
    world: &World,
    mut gate: Gate,
    commits: Vec<Vec<Write>>,
) -> Vec<Result<(), StoreError>> {
    let begun = Arc::new(AtomicUsize::new(0));
    let spawn = |writes| {
        let (store, begun) = (world.shared(), Arc::clone(&begun));
        tokio::spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            store.commit(writes).await
        })
    };
    let first = spawn(submission(&run("held"), RunStatus::Queued));
    gate.reached.recv().await.unwrap();
    let tasks: Vec<_> = commits.into_iter().map(spawn).collect();
    while begun.load(Ordering::Relaxed) <= tasks.len() {
        tokio::task::yield_now().await;
    }
    gate.open.send(()).unwrap();
    first.await.unwrap().unwrap();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn what_waits_goes_into_one_transaction() {
    let (wait, gate) = gate();
    let world = World::with(|options| options.fail_point = Some(wait));
    let commits = (0..200)
        .map(|_| vec![Write::Audit(entry("x", "run_0001"))])
        .collect();

    let results = together(&world, gate, commits).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let expected = Stats {
        commits: 2,
        batched: 201,
        largest_batch: 200,
    };
    assert_eq!(world.stats(), expected);
}

#[tokio::test]
async fn a_conflict_is_its_own_callers_only() {
    let (wait, gate) = gate();
    let world = World::with(|options| options.fail_point = Some(wait));
    let held = run("held");
    let audit = |text: &str| Write::Audit(entry(text, "run_0001"));
    let commits = vec![
        vec![audit("first"), append(&held, 1, vec![started(1)])],
        // Expects what the first of this batch has just made untrue.
        vec![audit("second"), append(&held, 1, vec![started(2)])],
        vec![audit("third"), append(&held, 2, vec![started(3)])],
        // An event of a run that nobody submitted.
        vec![audit("fourth"), append(&run("none"), 0, vec![started(1)])],
        vec![audit("fifth")],
    ];

    let results = together(&world, gate, commits).await;

    assert!(
        matches!(
            &results[..],
            [
                Ok(()),
                Err(StoreError::Conflict { .. }),
                Ok(()),
                Err(StoreError::Unavailable { .. }),
                Ok(())
            ]
        ),
        "{results:?}"
    );
    assert_eq!(world.stats().commits, 2);
    let rows = world.audit_after(0, 10).await.unwrap();
    let events: Vec<_> = rows.iter().map(|row| row.entry.event.as_str()).collect();
    assert_eq!(events, ["first", "third", "fifth"]);
    assert_eq!(verify(&world.dir(), &[]).unwrap().rows, 3);
    let journal = world.events(&held).await.unwrap().unwrap();
    assert_eq!(journal[1..], [started(1), started(3)]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_for_all_and_keeps_nothing() {
    let (wait, gate) = gate();
    let world = World::with(|options| {
        options.fail_point = Some(wait);
        options.max_pages = Some(200);
    });
    let mut huge = parcel("a", 0);
    huge.courier = "x".repeat(4 << 20);
    let small = || vec![Write::Audit(entry("small", "run_0001"))];

    let results = together(
        &world,
        gate,
        vec![small(), vec![Write::Outbox(huge)], small()],
    )
    .await;

    for result in results {
        assert_eq!(
            result.unwrap_err().to_string(),
            "the store cannot be used: the disk is full"
        );
    }
    assert_eq!(world.audit_after(0, 10).await.unwrap(), []);
    // And it goes on as soon as there is room.
    world.commit(small()).await.unwrap();
    assert_eq!(verify(&world.dir(), &[]).unwrap().rows, 1);
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit() {
    let (wait, mut gate) = gate();
    let world = World::with(|options| options.fail_point = Some(wait));
    let store = world.shared();
    let id = run("0001");
    let writes = submission(&id, RunStatus::Queued);
    let task = tokio::spawn(async move { store.commit(writes).await });
    gate.reached.recv().await.unwrap();

    // The writes are made, and COMMIT is next.
    assert_eq!(world.events(&id).await.unwrap(), None);
    assert!(!task.is_finished());
    assert_eq!(world.stats().commits, 0);

    gate.open.send(()).unwrap();
    task.await.unwrap().unwrap();
    assert!(world.events(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_caller_that_stops_waiting_loses_nothing() {
    let (wait, mut gate) = gate();
    let world = World::with(|options| options.fail_point = Some(wait));
    let store = world.shared();
    let task = tokio::spawn(async move {
        store
            .commit(submission(&run("0001"), RunStatus::Queued))
            .await
    });
    gate.reached.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    gate.open.send(()).unwrap();

    let world = world.reopened();

    assert!(world.events(&run("0001")).await.unwrap().is_some());
}
