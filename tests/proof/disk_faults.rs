//! A disk that is full, read-only or broken under the real binary. Nothing that was acknowledged
//! is lost, nothing that was refused comes back, and Rave works again by itself once the disk does.

use insta::assert_snapshot;
use rave_tests::disk::{Disk, On, scratch};
use rave_tests::{Answer, wait_for};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::lossy::OnDisk;

/// A started Rave on a disk, with one run that went through. The world is elsewhere.
struct World {
    rave: OnDisk,
    disk: Disk,
    _elsewhere: TempDir,
    first: String,
}

impl World {
    async fn new() -> Self {
        let disk = Disk::mounted();
        let elsewhere = scratch();
        let mut rave = OnDisk::new(&disk.path().join("data"), &elsewhere.path().join("world"));
        rave.start().await;
        let first = rave.ask(&["copy"], "first").await.run_id().to_owned();
        rave.reached(&first, "succeeded").await;
        Self {
            rave,
            disk,
            _elsewhere: elsewhere,
            first,
        }
    }

    /// Waits until the log says something.
    async fn logged(&self, what: &str) {
        let look = || async {
            self.rave
                .log()
                .contains(what)
                .then_some(())
                .ok_or_else(|| self.rave.log())
        };
        wait_for(&format!("the log to say {what}"), look).await;
    }

    /// Waits until Rave is ready again by itself.
    async fn ready(&self) {
        let api = self.rave.as_("ann");
        let look = || async {
            let answer = api.get("/readyz").await;
            (answer.status == 200).then_some(()).ok_or(answer.text)
        };
        wait_for("Rave to be ready again", look).await;
    }

    async fn not_ready(&self) -> String {
        let answer = self.rave.as_("ann").get("/readyz").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(answer.body["parts"]["store"], "failing", "{}", answer.text);
        answer.detail().to_owned()
    }

    fn copy(&self) -> TempDir {
        let copy = scratch();
        self.disk.image().write_to(copy.path());
        copy
    }

    fn requests(&self) -> Vec<String> {
        requests(&self.copy())
    }

    /// What must be so after every fault: the same Rave works, the first run is there, requests
    /// are the accepted ones and no others, now and after a start. Returns how much the disk had
    /// seen when the last was acknowledged.
    async fn recovers(&mut self, accepted: &[&str]) -> usize {
        self.disk.heal();
        self.ready().await;
        let last = self.rave.ask(&["copy"], "last").await;
        assert_eq!(last.status, 202, "{}", last.text);
        let acknowledged = self.disk.position();
        self.rave.reached(last.run_id(), "succeeded").await;
        let mut expected = accepted.to_vec();
        expected.push("last");
        assert_eq!(self.requests(), expected);
        self.rave.kill().await;
        self.rave.start().await;
        self.rave.reached(&self.first, "succeeded").await;
        assert_eq!(self.requests(), expected, "after a start");
        self.rave.stop().await;
        rave_store::verify(&self.copy().path().join("data"), &[]).unwrap();
        acknowledged
    }
}

/// The requests that made runs, by their keys.
fn requests(root: &TempDir) -> Vec<String> {
    let connection = Connection::open(root.path().join("data/rave.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT i.id FROM inbox i JOIN runs r ON r.id = i.run ORDER BY i.request")
        .unwrap();
    let keys = statement.query_map([], |row| row.get(0)).unwrap();
    keys.map(Result::unwrap).collect()
}

/// The part of a refusal that people read.
fn words(answer: &Answer) -> String {
    let hint = answer.body["hint"].as_str().unwrap_or_default();
    format!(
        "{} {}: {} ({hint})",
        answer.status,
        answer.code(),
        answer.detail()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_by_name_and_rave_goes_on_once_there_is_room() {
    let mut world = World::new().await;
    let running = world.rave.ask(&["copy_slow"], "running").await;
    let begun = || async {
        let seen = world.rave.world();
        seen.contains("copy_slow").then_some(()).ok_or(seen)
    };
    wait_for("the copy to begin", begun).await;

    world.disk.fill_up(0);
    let refused = world.rave.ask(&["copy"], "refused").await;
    assert_snapshot!(words(&refused), @"503 store_unavailable: Rave cannot use its store: the disk is full (nothing was changed: look at the disk of Rave's data directory, then try again)");
    assert_snapshot!(world.not_ready().await, @"failing: store");
    // The step ends meanwhile; its result waits for room.
    world.logged("result_not_written").await;

    world.disk.heal();
    let run = world.rave.reached(running.run_id(), "succeeded").await;
    assert_eq!(run["steps"][0]["attempts"], 1, "{run}");
    world.recovers(&["first", "running"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_the_middle_of_a_commit_keeps_all_or_nothing() {
    let mut world = World::new().await;
    let mut accepted = vec!["first".to_owned()];
    let (mut refused, mut held) = (0, 0);
    // Each leaves room for a little more of what a request writes.
    for room in (0..40_u32).map(|part| part * 1_700) {
        world.disk.fill_up(u64::from(room));
        let key = format!("room-{room}");
        let answer = world.rave.ask(&["copy"], &key).await;
        if answer.status == 503
            && !answer
                .detail()
                .contains("is recorded and goes on by itself")
        {
            assert!(
                answer.detail().ends_with("the disk is full"),
                "{}",
                answer.text
            );
            refused += 1;
        } else {
            held += usize::from(answer.status == 503);
            accepted.push(key);
        }
        world.disk.heal();
        world.ready().await;
    }
    assert!(refused > 3 && held > 0, "{refused} refused, {held} held");
    for key in &accepted {
        // A repeat waits for the run of the first time.
        let run = world.rave.ask(&["copy"], key).await;
        assert!(run.status < 300, "{key}: {}", run.text);
        world.rave.reached(run.run_id(), "succeeded").await;
    }
    let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
    world.recovers(&accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_read_only_at_the_start_is_a_reason_not_to_start() {
    let mut world = World::new().await;
    world.rave.stop().await;
    world.disk.make_read_only();
    let said = world.rave.try_start().await.unwrap_err();
    assert_snapshot!(last_line(&said, &world.disk), @"rave: the data directory DISK/data cannot be written (Read-only file system (os error 30)); mount it for writing; where it became read-only by itself, the kernel's log says why");
    world.disk.heal();
    world.disk.fill_up(0);
    let said = world.rave.try_start().await.unwrap_err();
    assert_snapshot!(last_line(&said, &world.disk), @"rave: DISK/data/rave.db cannot be opened: the database file cannot be opened; is the data directory still there, is there room on its disk, and may this user write to it?");
    world.disk.heal();
    world.rave.start().await;
    world.recovers(&["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only_refuses_by_name_and_passes() {
    let mut world = World::new().await;
    world.disk.make_read_only();
    let refused = world.rave.ask(&["copy"], "refused").await;
    assert_snapshot!(words(&refused), @"503 store_unavailable: Rave cannot use its store: its file system has become read-only; the kernel's log says why (nothing was changed: look at the disk of Rave's data directory, then try again)");
    assert_snapshot!(world.not_ready().await, @"failing: store");
    // What is only read is answered.
    world.rave.reached(&world.first, "succeeded").await;
    world.recovers(&["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_is_refused_and_leaves_nothing() {
    let mut world = World::new().await;
    world.disk.fail(On::Write, "rave.db-wal");
    let refused = world.rave.ask(&["copy"], "refused").await;
    assert_snapshot!(words(&refused), @"503 store_unavailable: Rave cannot use its store: the disk reports an input/output error; look at the kernel's log (nothing was changed: look at the disk of Rave's data directory, then try again)");
    assert_snapshot!(world.not_ready().await, @"failing: store");
    world.recovers(&["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sync_failed_is_refused_and_never_comes_back() {
    for times in [1, 2, 3, 5] {
        let mut world = World::new().await;
        world.disk.fail_times(On::Sync, "rave.db-wal", times);
        let refused = world.rave.ask(&["copy"], "refused").await;
        assert_eq!(refused.code(), "store_unavailable", "{}", refused.text);
        assert!(world.disk.failures() > 0);
        let acknowledged = world.recovers(&["first"]).await;
        // Nor does a power cut bring it back, whatever of the failed commit reached the disk.
        world
            .disk
            .recording()
            .crashes(u64::from(times), 1, |crash| {
                if crash.at >= acknowledged {
                    let left = scratch();
                    crash.image().write_to(left.path());
                    assert_eq!(requests(&left), ["first", "last"], "{crash}");
                }
            });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sync_failed_stays_refused_though_nothing_can_be_tidied_up() {
    // Neither the WAL nor the database takes a sync for a while: the first connection cannot copy
    // the WAL and drop it when it is closed.
    let mut world = World::new().await;
    world.disk.fail(On::Sync, "rave.db");
    world.disk.fail(On::Sync, "rave.db-wal");
    let refused = world.rave.ask(&["copy"], "refused").await;
    assert_snapshot!(words(&refused), @"503 store_unavailable: Rave cannot use its store: the disk reports an input/output error; look at the kernel's log (nothing was changed: look at the disk of Rave's data directory, then try again)");
    for _ in 0..3 {
        world.not_ready().await;
    }
    world.recovers(&["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_read_says_so_and_passes() {
    let mut world = World::new().await;
    world.disk.fail(On::Read, "rave.db");
    world.disk.fail(On::Read, "rave.db-wal");
    let answer = world.rave.as_("root").get("/api/v1/audit").await;
    assert_snapshot!(words(&answer), @"503 store_unavailable: Rave cannot use its store: the database file is damaged or its disk cannot be read; look at the kernel's log, and restore a backup if the disk is sound (nothing was changed: look at the disk of Rave's data directory, then try again)");
    world.recovers(&["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_a_reason_not_to_start() {
    let mut world = World::new().await;
    world.rave.stop().await;
    let pages = world.disk.content("data/rave.db").len() / 4096;
    // The first page has the schema; the others have rows and indexes.
    for page in 1..pages {
        world.disk.damage("data/rave.db", page * 4096, 4096);
    }
    let said = world.rave.try_start().await.unwrap_err();
    assert_snapshot!(last_line(&said, &world.disk), @"rave: DISK/data/rave.db cannot be opened: the database file is damaged or its disk cannot be read; look at the kernel's log, and restore a backup if the disk is sound");
}

/// The reason, without the temporary directory.
fn last_line(said: &str, disk: &Disk) -> String {
    let line = said.lines().last().unwrap_or_default();
    line.replace(&disk.path().display().to_string(), "DISK")
}
