//! What is refused at the start, and in which words.

use std::path::Path;

use rave_domain::ports::store::Store;
use rave_store::{OpenError, Options, Sqlite};

use crate::kit::World;

fn refusal(dir: &Path) -> (OpenError, String) {
    let error = Sqlite::open(Options::new(dir)).unwrap_err();
    let message = error.to_string();
    (error, message)
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let world = World::new();

    let (error, message) = refusal(&world.dir());

    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let expected = format!(
        "{} is in use by another Rave (process {}); stop that one first, or name another directory with --data",
        world.file().display(),
        std::process::id()
    );
    assert_eq!(message, expected);
    world.close().await;
    Sqlite::open(Options::new(world.dir())).unwrap();
}

#[tokio::test]
async fn the_lock_file_of_a_killed_owner_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rave.db.lock"), "4194304000\n").unwrap();
    Sqlite::open(Options::new(dir.path())).unwrap();
}

#[tokio::test]
async fn a_store_that_an_interrupted_start_left_half_made_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("rave.db"), "").unwrap();
    std::fs::write(path("rave.db.part"), "half").unwrap();
    std::fs::write(path("rave.db.part-journal"), "half").unwrap();

    let store = Sqlite::open(Options::new(dir.path())).unwrap();

    store.health().await.unwrap();
    assert!(!path("rave.db.part").exists());
    assert!(!path("rave.db.part-journal").exists());
}

#[tokio::test]
async fn the_epoch_rises_with_each_start() {
    let mut world = World::new();
    for epoch in 1..=3 {
        assert_eq!(world.epoch().0, epoch);
        world = world.reopened();
    }
}

#[tokio::test]
async fn a_store_of_a_newer_rave_is_left_untouched() {
    let world = World::new();
    let file = world.file();
    world.close().await;
    world.tamper("PRAGMA user_version = 99");
    let before = std::fs::read(&file).unwrap();

    let (error, message) = refusal(&world.dir());

    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
    assert!(
        message.contains("has format 99, and this Rave knows formats up to 3"),
        "{message}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_newer_format_that_only_the_wal_knows_is_refused_too() {
    let world = World::new();
    world.close().await;
    // A reader that stays keeps the last writer from copying the WAL into the file.
    let reader = rusqlite::Connection::open(world.file()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
    world.tamper("PRAGMA user_version = 99");

    let (error, _) = refusal(&world.dir());

    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
}

#[tokio::test]
async fn another_programs_file_is_left_untouched() {
    for make in [
        (|file| std::fs::write(file, "notes of a meeting").unwrap()) as fn(&Path),
        |file| {
            rusqlite::Connection::open(file)
                .unwrap()
                .execute_batch("CREATE TABLE t (x)")
                .unwrap();
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rave.db");
        make(&file);
        let before = std::fs::read(&file).unwrap();

        let (error, message) = refusal(dir.path());

        assert!(matches!(error, OpenError::NotOurs { .. }), "{error:?}");
        assert!(message.contains("is not a store of Rave"), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
}

#[tokio::test]
async fn a_directory_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let (error, message) = refusal(&missing);
    assert!(
        matches!(error, OpenError::DirectoryMissing { .. }),
        "{error:?}"
    );
    let expected = format!(
        "the data directory {} does not exist; create it, or name another with --data",
        missing.display()
    );
    assert_eq!(message, expected);

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (error, _) = refusal(&file);
    assert!(
        matches!(error, OpenError::NotADirectory { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_directory_that_takes_no_files_is_named() {
    // Not a matter of rights, so that it holds for root too.
    let (error, message) = refusal(Path::new("/proc"));
    assert!(
        matches!(error, OpenError::DirectoryUnwritable { .. }),
        "{error:?}"
    );
    assert!(
        message.starts_with("the data directory /proc cannot be written"),
        "{message}"
    );
}
