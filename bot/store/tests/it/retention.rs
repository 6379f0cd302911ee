//! What is forgotten, and what is not.

use std::time::Duration;

use rave_domain::ports::store::{Delivery, OutboxRow, Received, Store, Write};
use rave_domain::request::{Change, RunRequest};
use rave_domain::run::RunStatus;
use rave_store::{Pruned, Retention};

use crate::kit::{World, at, intent, parcel, request, run, submission};

const DAY: i64 = 24 * 3600 * 1000;

async fn answered(world: &World, id: &str) {
    world.receive(request(id), Vec::new()).await.unwrap();
    world
        .commit(vec![Write::Answered {
            key: request(id).key,
            answer: serde_json::json!("done"),
        }])
        .await
        .unwrap();
}

#[tokio::test]
async fn arguments_go_after_days_and_keys_after_months() {
    let world = World::new();
    answered(&world, "evt-1").await;
    let key = request("evt-1").key;

    let early = world.prune(at(6 * DAY), Retention::default()).await;
    assert_eq!(early.unwrap(), Pruned::default());
    let later = world.prune(at(8 * DAY), Retention::default()).await;
    assert_eq!((later.unwrap()).bodies, 1);
    let row = world.received(&key).await.unwrap().unwrap();
    assert_eq!(row.change, Change::Run(RunRequest::of(intent())));
    let again = world.receive(request("evt-1"), Vec::new()).await.unwrap();
    assert!(matches!(again, Received::Duplicate(_)), "{again:?}");
    let repeated = world.prune(at(9 * DAY), Retention::default()).await;
    assert_eq!(repeated.unwrap(), Pruned::default());

    let last = world.prune(at(91 * DAY), Retention::default()).await;
    assert_eq!((last.unwrap()).keys, 1);
    assert_eq!(world.received(&key).await.unwrap(), None);
}

#[tokio::test]
async fn what_waits_is_kept_however_old() {
    let world = World::new();
    world.receive(request("evt-1"), Vec::new()).await.unwrap();
    world
        .commit(vec![
            Write::Outbox(parcel("a", 0)),
            Write::Outbox(parcel("a", 0)),
            Write::OutboxDone {
                id: 1,
                delivery: Delivery::Delivered,
                at: at(1),
            },
        ])
        .await
        .unwrap();

    let pruned = world.prune(at(1000 * DAY), Retention::default()).await;

    let expected = Pruned {
        deliveries: 1,
        ..Pruned::default()
    };
    assert_eq!(pruned.unwrap(), expected);
    assert_eq!(world.unanswered().await.unwrap(), [request("evt-1")]);
    assert_eq!(
        world.outbox_due(at(0), 10, Vec::new()).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn more_than_one_commit_can_hold_is_forgotten_in_several() {
    let world = World::new();
    let parcels = |_| Write::Outbox(parcel("a", 0));
    world
        .commit((0..1200).map(parcels).collect())
        .await
        .unwrap();
    let done = |id| Write::OutboxDone {
        id,
        delivery: Delivery::Delivered,
        at: at(1),
    };
    world.commit((1..=1200).map(done).collect()).await.unwrap();
    let before = world.stats().commits;
    let retention = Retention {
        deliveries: Duration::from_secs(1),
        ..Retention::default()
    };

    let pruned = world.prune(at(DAY), retention).await.unwrap();

    assert_eq!(pruned.deliveries, 1200);
    assert_eq!(world.stats().commits - before, 3);
    world.commit(vec![parcels(0)]).await.unwrap();
    let next = &world.outbox_due(at(0), 1, Vec::new()).await.unwrap()[0];
    assert_eq!(next.id, 1201, "a number that was given came again");
}

#[tokio::test]
async fn where_a_message_stands_is_forgotten_once_nobody_edits_it() {
    let world = World::new();
    let ended = ["0001", "0002"].map(run);
    for run in ended.clone() {
        world
            .commit(submission(&run, RunStatus::Succeeded))
            .await
            .unwrap();
    }
    let open = run("0003");
    world
        .commit(submission(&open, RunStatus::Running))
        .await
        .unwrap();
    let all = [ended.as_slice(), std::slice::from_ref(&open)].concat();
    let shown = all.iter().map(|run| Write::Shown {
        run: run.clone(),
        courier: "slack".to_owned(),
        message: serde_json::json!({"ts": "1"}),
    });
    world.commit(shown.collect()).await.unwrap();
    let waiting = OutboxRow {
        run: Some(ended[1].clone()),
        ..parcel(&format!("live/{}", ended[1]), 0)
    };
    world.commit(vec![Write::Outbox(waiting)]).await.unwrap();

    let early = world.prune(at(6 * DAY), Retention::default()).await;
    assert_eq!(early.unwrap().shown, 0);
    let later = world.prune(at(8 * DAY), Retention::default()).await;
    assert_eq!(later.unwrap().shown, 1);
    let left = [
        world.shown(&ended[0]).await.unwrap().is_some(),
        world.shown(&ended[1]).await.unwrap().is_some(),
        world.shown(&open).await.unwrap().is_some(),
    ];
    assert_eq!(left, [false, true, true]);
}
