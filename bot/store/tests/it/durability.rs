//! Faults of the disk, and the end of the store.

use rave_domain::ports::store::{Store, StoreError, Write};

use crate::kit::{World, append, entry, parcel, started};

fn audit() -> Vec<Write> {
    vec![Write::Audit(entry("x", "run_0001"))]
}

#[tokio::test]
async fn a_restart_sees_everything() {
    let world = World::new();
    let id = world.submit("0001").await;
    world
        .commit(vec![
            append(&id, 1, vec![started(1)]),
            Write::Outbox(parcel("a", 0)),
        ])
        .await
        .unwrap();
    let before = (world.epoch(), world.open_runs().await.unwrap());

    let world = world.reopened();

    assert_eq!(world.open_runs().await.unwrap(), before.1);
    assert_eq!(world.outbox_counts().await.unwrap().waiting, 1);
    assert_eq!(world.epoch().0, before.0.0 + 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let world = World::with(|options| options.max_pages = Some(150));
    let mut written = 0;
    let error = loop {
        let mut parcel = parcel("a", 0);
        parcel.courier = "x".repeat(20_000);
        match world.commit(vec![Write::Outbox(parcel)]).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "the store cannot be used: the disk is full"
    );
    assert_eq!(world.outbox_counts().await.unwrap().waiting, written);

    // With room again, everything that was acknowledged is there and writing works.
    let world = world.reopened();
    assert_eq!(world.outbox_counts().await.unwrap().waiting, written);
    world.commit(audit()).await.unwrap();
    world.health().await.unwrap();
}

#[tokio::test]
async fn a_commit_that_fails_at_its_very_end_is_told_and_leaves_nothing() {
    let world = World::new();
    // A constraint that is looked at in COMMIT, when all statements have gone well.
    world.tamper(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER late AFTER INSERT ON audit BEGIN INSERT INTO child VALUES (1); END;",
    );
    let result = world.commit(audit()).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable { .. })),
        "{result:?}"
    );
    world.tamper("DROP TRIGGER late");

    world.commit(audit()).await.unwrap();
    assert_eq!(rave_store::verify(&world.dir(), &[]).unwrap().rows, 1);
}

#[tokio::test]
async fn after_a_fault_the_file_is_opened_again() {
    let world = World::new();
    world.commit(audit()).await.unwrap();
    world.tamper("ALTER TABLE audit RENAME TO elsewhere");

    for _ in 0..2 {
        let result = world.commit(audit()).await;
        assert!(
            matches!(result, Err(StoreError::Unavailable { .. })),
            "{result:?}"
        );
        assert!(world.health().await.is_err());
    }
    world.tamper("ALTER TABLE elsewhere RENAME TO audit");

    world.commit(audit()).await.unwrap();
    world.health().await.unwrap();
    assert_eq!(rave_store::verify(&world.dir(), &[]).unwrap().rows, 2);
}

#[tokio::test]
async fn a_file_that_is_no_longer_there_is_noticed() {
    let world = World::new();
    world.health().await.unwrap();
    std::fs::rename(world.file(), world.dir().join("aside")).unwrap();
    assert!(world.health().await.is_err());
    std::fs::copy(world.dir().join("aside"), world.file()).unwrap();
    let error = world.health().await.unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
}

#[tokio::test]
async fn a_probe_of_health_proves_that_the_disk_takes_writes() {
    let world = World::new();
    world.health().await.unwrap();
    assert_eq!(world.stats().commits, 1);
    // Just proven: a flood of probes is no flood of writes.
    world.health().await.unwrap();
    assert_eq!(world.stats().commits, 1);
}

#[tokio::test]
async fn a_closed_store_is_tidy_and_refuses() {
    let world = World::new();
    world.commit(audit()).await.unwrap();

    world.close().await;
    world.close().await;

    let names: Vec<_> = std::fs::read_dir(world.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
    for error in [
        world.commit(audit()).await.unwrap_err(),
        world.open_runs().await.unwrap_err(),
        world.health().await.unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "the store cannot be used: it has been closed"
        );
    }
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.commit(audit()).await.unwrap();
    for name in ["rave.db", "rave.db-wal", "rave.db.lock"] {
        let mode = std::fs::metadata(world.dir().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

#[tokio::test]
async fn the_wal_is_copied_into_the_file_before_it_grows_long() {
    let world = World::with(|options| options.checkpoint_pages = 100);
    for _ in 0..600 {
        let mut parcel = parcel("a", 0);
        parcel.courier = "x".repeat(4000);
        world.commit(vec![Write::Outbox(parcel)]).await.unwrap();
    }
    let wal = std::fs::metadata(world.dir().join("rave.db-wal")).unwrap();
    // 600 commits of three or more pages would make 7 MB.
    assert!(wal.len() < 2_000_000, "the WAL has {} bytes", wal.len());
}
