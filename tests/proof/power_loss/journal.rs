//! The store alone, with a WAL that is copied into the database and begun anew every few commits:
//! a start of the real binary does that too seldom to be cut in the middle of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use rave_store::{Options, Sqlite};
use rave_tests::disk::{Crash, Disk, Lie, scratch};
use rave_tests::{report, scaled};
use rusqlite::Connection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::SEED;
use super::check::{Wrong, damaged, find, lost};

/// Rows that are written.
const ROWS: &str = "300";

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_in_the_middle_of_a_checkpoint_takes_back_nothing() {
    let disk = Disk::mounted();
    let told = write(&disk).await;
    assert_eq!(told.len(), 300);
    let recording = disk.recording();
    let syncs = recording.syncs("rave.db") - recording.syncs("rave.db-wal");
    assert!(syncs > 5, "only {syncs} checkpoints");

    let found = find(&recording, SEED, scaled(1), |_, crash| {
        Some(check(crash, &told))
    });
    found.assert_sound();
    assert!(found.crashes > 300, "only {} crashes", found.crashes);
    let crashes = found.crashes as u64;
    report(
        "power loss: crash images of a journal amid checkpoints, nothing acknowledged lost",
        crashes,
    );

    let strict = |crash: &Crash<'_>| crash.is_strict().then(|| check(crash, &told));
    let unsynced = recording.under(Lie::CommitsUnsynced {
        database: "rave.db".to_owned(),
    });
    find(&unsynced, SEED, 0, |_, crash| strict(crash)).assert_only(
        "commits are not synced (synchronous=NORMAL)",
        Wrong::is_loss,
    );
    let unsynced = recording.under(Lie::FilesUnsynced("rave.db-wal".to_owned()));
    find(&unsynced, SEED, 0, |_, crash| strict(crash)).assert_wrong("the WAL is never synced");
}

/// Rows that were acknowledged, with how much the disk had seen by then.
async fn write(disk: &Disk) -> Vec<(usize, String)> {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_journal-writer"))
        .arg(disk.path())
        .arg(ROWS)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push((disk.position(), line));
    }
    assert!(writer.wait().await.unwrap().success());
    told
}

fn check(crash: &Crash<'_>, told: &[(usize, String)]) -> Result<(), Wrong> {
    let dir = scratch();
    crash.image().write_to(dir.path());
    drop(Sqlite::open(Options::new(dir.path())).map_err(|error| damaged(&error))?);
    rave_store::verify(dir.path(), &[]).map_err(|error| damaged(&error))?;
    let there = rows(&dir.path().join("rave.db")).map_err(|error| damaged(&error))?;
    let mut told = told.iter().filter(|(at, _)| *at <= crash.at);
    match told.find(|(_, number)| !there.contains(number)) {
        Some((_, number)) => lost(format!("row {number}")),
        None => Ok(()),
    }
}

fn rows(file: &Path) -> rusqlite::Result<BTreeSet<String>> {
    let connection = Connection::open(file)?;
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(rusqlite::Error::InvalidColumnName(said));
    }
    let mut statement = connection.prepare("SELECT correlation FROM audit")?;
    statement.query_map([], |row| row.get(0))?.collect()
}
