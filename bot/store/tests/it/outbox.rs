//! What must still be delivered.

use rave_domain::ports::store::{Delivery, OutboxCounts, OutboxRow, Store, Write};

use crate::kit::{World, at, parcel};

async fn fill(world: &World, parcels: &[(&str, i64)]) {
    let writes = parcels
        .iter()
        .map(|(lane, due)| Write::Outbox(parcel(lane, *due)))
        .collect();
    world.commit(writes).await.unwrap();
}

async fn due(world: &World, now: i64) -> Vec<u64> {
    let rows = world.outbox_due(at(now), 10, Vec::new()).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

fn done(id: u64, delivery: Delivery) -> Vec<Write> {
    vec![Write::OutboxDone {
        id,
        delivery,
        at: at(9),
    }]
}

#[tokio::test]
async fn only_the_first_of_a_lane_is_due() {
    let world = World::new();
    fill(&world, &[("a", 0), ("a", 0), ("b", 5), ("c", 1)]).await;

    assert_eq!(due(&world, 1).await, [1, 4]);
    assert_eq!(due(&world, 5).await, [1, 4, 3]);
    world.commit(done(1, Delivery::Delivered)).await.unwrap();
    assert_eq!(due(&world, 1).await, [2, 4]);
    world
        .commit(done(2, Delivery::Undeliverable))
        .await
        .unwrap();
    assert_eq!(due(&world, 1).await, [4]);
}

#[tokio::test]
async fn each_courier_has_its_share_and_one_that_is_busy_none() {
    let world = World::new();
    let of = |courier: &str, lane: &str, due| OutboxRow {
        courier: courier.to_owned(),
        ..parcel(lane, due)
    };
    let rows = [
        of("slack", "a", 0),
        of("slack", "b", 1),
        of("slack", "c", 2),
        of("slack", "a", 0),
        of("discord", "d", 3),
        of("gone", "e", 9),
    ];
    let writes = rows.map(Write::Outbox);
    world.commit(writes.into()).await.unwrap();

    let due = async |now, most, except: &[&str]| {
        let except = except.iter().map(ToString::to_string).collect();
        let rows = world.outbox_due(at(now), most, except).await.unwrap();
        rows.iter().map(|row| row.id).collect::<Vec<u64>>()
    };
    assert_eq!(due(5, 2, &[]).await, [1, 2, 5]);
    assert_eq!(due(9, 1, &[]).await, [1, 5, 6]);
    assert_eq!(due(9, 9, &["slack"]).await, [5, 6]);
    assert_eq!(world.outbox_next().await.unwrap(), Some(at(0)));
}

#[tokio::test]
async fn a_first_that_is_tried_later_holds_back_its_lane() {
    let world = World::new();
    fill(&world, &[("a", 0), ("a", 0)]).await;
    world
        .commit(vec![Write::OutboxLater {
            id: 1,
            due_at: at(100),
            attempts: 1,
            why: "connection refused".to_owned(),
        }])
        .await
        .unwrap();

    assert_eq!(due(&world, 50).await, Vec::<u64>::new());
    // The next look is at the time of the first, not of the one it holds back.
    assert_eq!(world.outbox_next().await.unwrap(), Some(at(100)));
    let counts = OutboxCounts {
        waiting: 2,
        failing: 1,
    };
    assert_eq!(world.outbox_counts().await.unwrap(), counts);
    let first = &world.outbox_due(at(100), 1, Vec::new()).await.unwrap()[0];
    assert_eq!((first.id, first.attempts), (1, 1));
}

#[tokio::test]
async fn a_row_is_read_as_it_was_written() {
    let world = World::new();
    let row = OutboxRow {
        run: Some(crate::kit::run("0001")),
        expires_at: Some(at(99)),
        ..parcel("a", 0)
    };
    world
        .commit(vec![Write::Outbox(row.clone())])
        .await
        .unwrap();

    let expected = OutboxRow { id: 1, ..row };
    assert_eq!(
        world.outbox_due(at(0), 10, Vec::new()).await.unwrap(),
        [expected]
    );
}

#[tokio::test]
async fn an_address_counts_what_it_was_or_will_be_sent() {
    let world = World::new();
    fill(&world, &[("a", 0), ("a", 0), ("a", 0), ("a", 0), ("b", 0)]).await;
    world.commit(done(1, Delivery::Delivered)).await.unwrap();
    world
        .commit(done(2, Delivery::Undeliverable))
        .await
        .unwrap();
    world.commit(done(3, Delivery::Superseded)).await.unwrap();

    assert_eq!(world.lane_length("a").await.unwrap(), 2);
    assert_eq!(world.lane_length("nobody").await.unwrap(), 0);
}

#[tokio::test]
async fn an_empty_outbox_has_no_next() {
    let world = World::new();
    assert_eq!(world.outbox_next().await.unwrap(), None);
    assert_eq!(
        world.outbox_counts().await.unwrap(),
        OutboxCounts::default()
    );
}
