use std::path::Path;

use serde_json::json;

use super::*;
use crate::testing::{context, fields, operation, program};

fn action() -> ActionName {
    ActionName::new("backup").unwrap()
}

fn line(json: &serde_json::Value) -> String {
    let backup = parse(&action(), &fields(json)).unwrap();
    backup
        .commands(&ComposeConfig::default())
        .concat()
        .join(" ")
}

fn refusal(json: &serde_json::Value) -> String {
    parse(&action(), &fields(json)).unwrap_err().to_string()
}

fn volumes(extra: &serde_json::Value) -> serde_json::Value {
    let mut whole = json!({
        "backup_type": "docker_volumes", "source": "/srv/volumes", "destination": "/backup",
    });
    let extra = extra.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(extra);
    whole
}

#[test]
fn volumes_are_copied_by_rsync() {
    assert_eq!(
        line(&volumes(&json!({
            "source": "/srv/volumes/",
            "exclude": ["*.tmp", "cache/"],
            "options": ["--delete", "--bwlimit=5000"],
        }))),
        "rsync -av --exclude *.tmp --exclude cache/ --delete --bwlimit=5000 /srv/volumes/ /backup/"
    );
}

#[test]
fn a_vm_is_dumped_by_vzdump_once() {
    let vm = json!({
        "backup_type": "vm_proxmox", "vm_id": 100, "storage": "local-zfs", "compress": "zstd",
        "notes": "nightly {{guestname}}",
    });
    assert_eq!(
        line(&vm),
        "vzdump 100 --storage local-zfs --compress zstd --notes-template nightly {{guestname}}"
    );
    assert_eq!(
        line(&json!({"backup_type": "vm_proxmox", "vm_id": "101"})),
        "vzdump 101"
    );
    let driver = Backups::new(ComposeConfig::default(), []).unwrap();
    let nature = driver.nature(&action(), &fields(&vm)).unwrap();
    assert_eq!((nature.class, nature.undo), (Class::Once, None));
}

#[test]
fn what_a_backup_cannot_do_without_is_named() {
    for (fields, expected) in [
        (json!({}), "Missing backup_type for backup action"),
        (
            json!({"backup_type": "docker_volumes", "source": "/x"}),
            "Missing source or destination for docker_volumes backup",
        ),
        (
            json!({"backup_type": "vm_proxmox"}),
            "Missing vm_id for vm_proxmox backup",
        ),
        (
            json!({"backup_type": "plex", "source_container": "plex"}),
            "Missing source_container, source_path or destination for plex backup",
        ),
        (
            json!({"backup_type": "tape"}),
            "backup_type is \"tape\"; known are docker_volumes, vm_proxmox and plex",
        ),
    ] {
        assert_eq!(refusal(&fields), expected);
    }
}

#[test]
fn fields_that_would_reach_elsewhere_are_refused() {
    for bad in [
        json!({"source": "nas:/volumes"}),
        json!({"source": "rsync://nas/volumes"}),
        json!({"source": "volumes"}),
        json!({"source": "/srv/../etc"}),
        json!({"destination": "/"}),
        json!({"destination": "-x"}),
        json!({"destination": "/srv/volumes/backup"}),
        json!({"destination": "/srv"}),
        json!({"exclude": ["-x"]}),
        json!({"exclude": [""]}),
        json!({"options": ["-e sh"]}),
        json!({"options": ["/etc"]}),
    ] {
        parse(&action(), &fields(&volumes(&bad))).expect_err(&bad.to_string());
    }
    assert_eq!(
        refusal(&volumes(&json!({"options": ["--rsh=sh"]}))),
        "options has \"--rsh=sh\", which starts another program"
    );
    for bad in [
        json!({"backup_type": "vm_proxmox", "vm_id": 99}),
        json!({"backup_type": "vm_proxmox", "vm_id": "all"}),
        json!({"backup_type": "vm_proxmox", "vm_id": 100, "storage": "--all"}),
        json!({"backup_type": "vm_proxmox", "vm_id": 100, "compress": "xz"}),
        json!({"backup_type": "vm_proxmox", "vm_id": 100, "notes": "--all"}),
    ] {
        parse(&action(), &fields(&bad)).expect_err(&bad.to_string());
    }
}

#[tokio::test]
async fn a_copy_of_volumes_needs_no_docker() {
    let directory = tempfile::tempdir().unwrap();
    let config = ComposeConfig {
        docker: "/no/such/docker".to_owned(),
        rsync: program(directory.path(), "rsync", "echo \"rsync $*\""),
        ..ComposeConfig::default()
    };
    let driver = Backups::new(config, []).unwrap();
    driver.health().await.unwrap();
    let (context, sink) = context("volumes");
    driver
        .apply(&operation("backup", &volumes(&json!({}))), &context)
        .await
        .unwrap();
    assert_eq!(sink.out(), "rsync -av /srv/volumes/ /backup/\n");
}

#[tokio::test]
async fn a_dump_that_a_signal_ended_has_no_known_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let config = ComposeConfig {
        vzdump: program(directory.path(), "vzdump", "kill -9 $$"),
        ..ComposeConfig::default()
    };
    let driver = Backups::new(config, []).unwrap();
    let (context, _) = context("dump");
    let dump = operation(
        "backup",
        &json!({"backup_type": "vm_proxmox", "vm_id": 100}),
    );
    assert_eq!(
        driver.apply(&dump, &context).await,
        Err(DriverError::OutcomeUnknown {
            message: "vzdump 100 was ended by signal 9".to_owned()
        })
    );
}

/// A Plex backup into a directory, by a `docker` that copies a made-up database.
fn plex(directory: &Path, docker: &str) -> (Backups, Operation, PathBuf) {
    let destination = directory.join("archives");
    let config = ComposeConfig {
        docker: program(directory, "docker", docker),
        ..ComposeConfig::default()
    };
    let backup = operation(
        "backup",
        &json!({
            "backup_type": "plex", "source_container": "plex",
            "source_path": "/config/Databases", "destination": destination.to_str().unwrap(),
            "retention_days": 7,
        }),
    );
    let driver = Backups::new(config, std::env::vars_os()).unwrap();
    (driver, backup, destination)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_plex_archive_is_made_once_and_only_own_old_archives_go() {
    let directory = tempfile::tempdir().unwrap();
    let copy = "mkdir \"$3/Databases\" && echo data >\"$3/Databases/x.db\"; echo \"$1 $2\"";
    let (driver, backup, destination) = plex(directory.path(), copy);
    std::fs::create_dir(&destination).unwrap();
    let old = [
        "plex_db_backup_20250302_040505.tar.gz",
        "plex_db_backup_20250302_040507.tar.gz",
        "plex_db_backup_20200101_000000.tar",
        "other_20200101_000000.tar.gz",
    ];
    for name in old {
        std::fs::write(destination.join(name), "").unwrap();
    }
    std::fs::create_dir(destination.join("plex_db_backup_20200101_000000.tar.gz")).unwrap();

    let expected = [
        "other_20200101_000000.tar.gz",
        "plex_db_backup_20200101_000000.tar",
        "plex_db_backup_20200101_000000.tar.gz",
        "plex_db_backup_20250302_040507.tar.gz",
        "plex_db_backup_20250309_040506.tar.gz",
    ];
    let deletions = ["1", "0"];
    for (attempt, deleted) in deletions.into_iter().enumerate() {
        let (context, _) = context(&format!("plex{attempt}"));
        let applied = driver.apply(&backup, &context).await.unwrap();
        assert_eq!(applied.facts["deleted archives"], deleted);
        assert_eq!(names(&destination), expected);
    }
    let archive = std::fs::read(destination.join(expected[4])).unwrap();
    assert_eq!(archive[..2], [0x1f, 0x8b], "not a gzip file");
}

#[tokio::test]
async fn a_plan_of_a_plex_backup_creates_and_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (driver, backup, destination) = plex(directory.path(), "exit 1");
    let preview = driver.plan(&backup).await.unwrap();
    assert!(!destination.exists());
    assert_eq!(preview.commands.len(), 2);
    assert!(preview.commands[1][2].ends_with("plex_db_backup_YYYYMMDD_HHMMSS.tar.gz"));

    std::fs::create_dir(&destination).unwrap();
    std::fs::write(
        destination.join("plex_db_backup_20200101_000000.tar.gz"),
        "",
    )
    .unwrap();
    let preview = driver.plan(&backup).await.unwrap();
    assert_eq!(names(&destination).len(), 1);
    assert!(
        preview
            .touches
            .iter()
            .any(|it| it.contains("(1 archives there now)"))
    );
}

#[tokio::test]
async fn a_plex_backup_that_fails_keeps_old_archives_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let fails = "echo 'Error: No such container: plex' >&2; exit 1";
    let (driver, backup, destination) = plex(directory.path(), fails);
    std::fs::create_dir(&destination).unwrap();
    let old = "plex_db_backup_20200101_000000.tar.gz";
    std::fs::write(destination.join(old), "").unwrap();
    let (context, _) = context("plexfails");
    let error = driver.apply(&backup, &context).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "docker cp ended with exit code 1: Error: No such container: plex"
    );
    assert_eq!(names(&destination), [old]);
}
