//! Power cuts. The real binary works on a disk that records every write and every sync; then what
//! would stand on the disk is made for a cut at every sync and at random places between, with
//! nothing, everything or any part of what was not synced. Each is opened again and must hold
//! whatever had been acknowledged, and the claim of every effect that had been seen in the world.
//!
//! The same recording under a lie, as if Rave had synced less, is the control: the same check must
//! find losses then.

mod again;
mod check;
mod journal;
mod story;

use rave_tests::disk::{Disk, Lie};
use rave_tests::{report, scaled};

use check::Wrong;
use story::Story;

/// The same crashes every time; soaks add to it.
const SEED: u64 = 20_261_125;

/// How often the real binary is started on what a crash left.
const STARTS: u32 = 6;

/// Random cuts in each stretch between two syncs.
const TRIES: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_takes_back_nothing_that_was_acknowledged() {
    let disk = Disk::mounted();
    let (recording, truth, told) = Story::told(&disk).await;

    let found = truth.check_all(&recording, SEED, scaled(TRIES));
    found.assert_sound();
    assert!(found.crashes > 500, "only {} crashes", found.crashes);
    let crashes = found.crashes as u64;
    report(
        "power loss: crash images of the real binary, nothing acknowledged lost",
        crashes,
    );

    let times = scaled(STARTS) as usize;
    again::start_again(&recording, &told, SEED, times).await;
    report(
        "power loss: starts of the real binary on a crash image",
        times as u64,
    );

    // What has no teeth proves nothing: the same crashes if Rave had synced less.
    let commits = Lie::CommitsUnsynced {
        database: "rave.db".to_owned(),
    };
    let control = truth.check_ends(&recording.under(commits), SEED);
    control.assert_only(
        "commits are not synced (synchronous=NORMAL)",
        Wrong::is_loss,
    );
    let lies = [
        (
            "chunks are not synced",
            Lie::FilesUnsynced("/chunks/".to_owned()),
        ),
        (
            "directories of chunks are not synced",
            Lie::DirectoriesUnsynced("/chunks/".to_owned()),
        ),
        (
            "the data directory is not synced",
            Lie::DirectoriesUnsynced("data".to_owned()),
        ),
        (
            "the root is not synced",
            Lie::DirectoriesUnsynced(String::new()),
        ),
        (
            "the key is not synced",
            Lie::FilesUnsynced("seal.key".to_owned()),
        ),
        (
            "the database is not synced",
            Lie::FilesUnsynced("rave.db".to_owned()),
        ),
    ];
    for (what, lie) in lies {
        truth
            .check_ends(&recording.under(lie), SEED)
            .assert_wrong(what);
    }
}
