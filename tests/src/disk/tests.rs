//! The disk itself: what survives, what does not, and what the mount passes on.

use super::fault::On;
use super::record::{Kind, Node, ROOT};
use super::tree::Tree;
use super::{Image, Lie, Recording};

fn file(tree: &mut Tree, dir: Node, name: &str) -> Node {
    tree.make(dir, name, Kind::File, 0o600).unwrap()
}

fn sync(tree: &mut Tree, node: Node) {
    tree.sync(node, On::Sync).unwrap();
}

/// Every image that a power cut can leave, with when it was cut.
fn images(recording: &Recording, tries: u32) -> Vec<(usize, Image)> {
    let mut found = Vec::new();
    recording.crashes(1, tries, |crash| found.push((crash.at, crash.image())));
    found
}

fn recording(tree: &Tree) -> Recording {
    Recording::new(tree.log.clone())
}

#[test]
fn a_file_is_there_once_it_and_its_directory_are_synced() {
    let mut tree = Tree::default();
    let node = file(&mut tree, ROOT, "a");
    tree.write(node, 0, b"text").unwrap();
    sync(&mut tree, node);
    let before = tree.log.len();
    sync(&mut tree, ROOT);

    let seen = images(&recording(&tree), 4);
    assert!(
        seen.iter()
            .any(|(at, image)| *at == before && !image.has("a")),
        "the name is not durable before its directory"
    );
    for (at, image) in seen.iter().filter(|(at, _)| *at > before) {
        assert_eq!(image.content("a"), Some(&b"text"[..]), "at {at}");
    }
}

#[test]
fn unsynced_sectors_are_kept_in_any_combination() {
    let mut tree = Tree::default();
    let node = file(&mut tree, ROOT, "a");
    sync(&mut tree, ROOT);
    tree.write(node, 0, &[1; 1024]).unwrap();
    let seen: Vec<Vec<u8>> = images(&recording(&tree), 200)
        .into_iter()
        .filter_map(|(_, image)| image.content("a").map(<[u8]>::to_vec))
        .collect();
    let mut expected = vec![Vec::new(), vec![1; 512], vec![1; 1024]];
    expected.push([vec![0; 512], vec![1; 512]].concat());
    for content in &expected {
        assert!(seen.contains(content), "never {} bytes", content.len());
    }
    assert!(seen.iter().all(|content| expected.contains(content)));
}

#[test]
fn a_rename_is_whole_or_not_at_all_until_one_side_is_synced() {
    let mut tree = Tree::default();
    let parts = tree.make(ROOT, "parts", Kind::Directory, 0o700).unwrap();
    let whole = tree.make(ROOT, "whole", Kind::Directory, 0o700).unwrap();
    let node = file(&mut tree, parts, "a");
    sync(&mut tree, node);
    sync(&mut tree, parts);
    sync(&mut tree, ROOT);
    tree.rename((parts, "a"), (whole, "a")).unwrap();
    let renamed = tree.log.len();
    for (at, image) in images(&recording(&tree), 20) {
        if at == renamed {
            assert_ne!(image.has("parts/a"), image.has("whole/a"));
        }
    }
    sync(&mut tree, whole);
    let end = tree.log.len();
    for (_, image) in images(&recording(&tree), 20)
        .iter()
        .filter(|(at, _)| *at == end)
    {
        assert!(image.has("whole/a"));
    }
}

#[test]
fn what_a_failed_sync_lost_is_not_made_durable_by_the_next() {
    let mut tree = Tree::default();
    let node = file(&mut tree, ROOT, "a");
    sync(&mut tree, ROOT);
    tree.write(node, 0, b"lost").unwrap();
    tree.faults.fail(On::Sync, "a", Some(1));
    assert!(tree.sync(node, On::Sync).is_err());
    sync(&mut tree, node);
    tree.write(node, 4096, b"kept").unwrap();
    sync(&mut tree, node);

    let end = tree.log.len();
    let contents: Vec<_> = images(&recording(&tree), 0)
        .into_iter()
        .filter(|(at, _)| *at == end)
        .map(|(_, image)| image.content("a").unwrap().to_vec())
        .collect();
    let whole = |first: &[u8; 4]| [first.to_vec(), vec![0; 4092], b"kept".to_vec()].concat();
    assert_eq!(contents, [whole(b"\0\0\0\0"), whole(b"lost")]);

    // Written again, the page goes to disk whole.
    tree.write(node, 4, b"too").unwrap();
    sync(&mut tree, node);
    let end = tree.log.len();
    for (at, image) in images(&recording(&tree), 0) {
        if at == end {
            assert!(image.content("a").unwrap().starts_with(b"losttoo"));
        }
    }
}

#[test]
fn a_lie_about_commits_puts_the_wal_off_until_the_database_is_written() {
    let mut tree = Tree::default();
    let wal = file(&mut tree, ROOT, "x.db-wal");
    let database = file(&mut tree, ROOT, "x.db");
    sync(&mut tree, ROOT);
    tree.write(wal, 0, &[7; 32]).unwrap();
    sync(&mut tree, wal);
    tree.write(wal, 32, &[8; 32]).unwrap();
    sync(&mut tree, wal);
    let committed = tree.log.len();
    tree.write(database, 0, &[9; 32]).unwrap();
    let written = tree.log.len();
    let lie = Lie::CommitsUnsynced {
        database: "x.db".to_owned(),
    };
    let recording = recording(&tree);
    let least = |recording: &Recording, at: usize| {
        let lengths = images(recording, 0).into_iter();
        let lengths = lengths.filter(|(cut, _)| *cut >= at);
        lengths
            .map(|(_, image)| image.content("x.db-wal").unwrap().len())
            .min()
    };
    assert_eq!(least(&recording, committed), Some(64));
    // The header of a WAL is synced by every mode.
    let lied = recording.under(lie);
    assert_eq!(least(&lied, written), Some(64));
    assert!(images(&lied, 4).iter().any(|(at, image)| *at == written - 1
        || image.content("x.db-wal").is_some_and(|wal| wal.len() == 32)));
}

#[cfg(feature = "real")]
mod mounted {
    use std::fs::{self, File};
    use std::io::{ErrorKind, Write as _};

    use crate::disk::{Disk, On};

    #[test]
    fn what_programs_do_is_recorded_in_order() {
        let disk = Disk::mounted();
        let dir = disk.path().join("dir");
        fs::create_dir(&dir).unwrap();
        let mut file = File::create(dir.join("part")).unwrap();
        file.write_all(b"one").unwrap();
        file.write_all(b"two").unwrap();
        let written = disk.position();
        file.sync_all().unwrap();
        fs::rename(dir.join("part"), dir.join("whole")).unwrap();
        File::open(&dir).unwrap().sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();

        assert_eq!(fs::read(dir.join("whole")).unwrap(), b"onetwo");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let recording = disk.recording();
        assert_eq!(recording.syncs("dir/whole"), 1);
        let texts = recording.written("dir/whole");
        assert_eq!(texts.last().unwrap(), &(written, "two".to_owned()));
        let mut last = None;
        recording.crashes(1, 0, |crash| last = Some(crash.image()));
        assert_eq!(last.unwrap(), disk.image());
    }

    #[test]
    fn faults_reach_the_program() {
        let disk = Disk::mounted();
        let path = disk.path().join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one").unwrap();

        disk.fail_times(On::Sync, "a", 1);
        assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
        file.sync_all().unwrap();

        disk.fail(On::Read, "a");
        assert!(fs::read(&path).is_err());
        assert_eq!(disk.failures(), 2);
        disk.heal();

        disk.fill_up(2);
        let error = file.write_all(b"four").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"onefo");
        disk.heal();

        disk.make_read_only();
        let error = file.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        let error = File::options().write(true).open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        disk.heal();
        file.write_all(b"x").unwrap();
    }

    #[test]
    fn it_is_unmounted_when_it_is_dropped_though_a_file_is_open() {
        let disk = Disk::mounted();
        let at = disk.path().to_owned();
        let open = File::create(at.join("a")).unwrap();
        drop(disk);
        assert!(!at.exists(), "the place where it was is removed");
        drop(open);
    }
}
