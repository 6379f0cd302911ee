//! Brings a file to the present format, forward only, with a backup of the old state first.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::connection;
use crate::error::{OpenError, plain};
use crate::preflight::with_suffix;

/// What leads from each format to the next; the first leads from an empty file to format 1.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_journal.sql"),
    include_str!("../migrations/0002_chat.sql"),
    include_str!("../migrations/0003_outbox_due.sql"),
];

/// The format after a list of migrations.
pub(crate) fn format(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// Applies what is missing, each migration in a transaction of its own, and says where the backup
/// went if one was made.
pub(crate) fn bring_up_to_date(
    connection: &Connection,
    file: &Path,
    migrations: &[&str],
) -> Result<Option<PathBuf>, OpenError> {
    let unusable = |error: rusqlite::Error| OpenError::Unusable {
        file: file.to_owned(),
        why: plain(&error),
    };
    let found = connection::number(connection, "user_version").map_err(unusable)?;
    let known = format(migrations);
    // The header on disk is judged before the file is opened; the WAL may know more.
    if found > known {
        return Err(OpenError::Newer {
            file: file.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(None);
    }
    let backup = if found == 0 {
        None
    } else {
        Some(back_up(connection, file, found)?)
    };
    for (version, sql) in (1_u32..).zip(migrations) {
        if version > found {
            migrate(connection, version, sql).map_err(|error| OpenError::Migration {
                file: file.to_owned(),
                version,
                why: plain(&error),
            })?;
        }
    }
    // So that the header on disk tells an older program the truth.
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(unusable)?;
    Ok(backup)
}

fn migrate(connection: &Connection, version: u32, sql: &str) -> rusqlite::Result<()> {
    let steps = || {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute_batch(sql)?;
        connection.pragma_update(None, "user_version", version)?;
        connection.execute_batch("COMMIT")
    };
    steps().inspect_err(|_| {
        if !connection.is_autocommit() {
            // A failed rollback leaves nothing behind either: the connection is closed next.
            let _ = connection.execute_batch("ROLLBACK");
        }
    })
}

/// Copies the file as it is to `<file>.format-<n>.backup`, never over an earlier backup.
fn back_up(connection: &Connection, file: &Path, format: u32) -> Result<PathBuf, OpenError> {
    let base = with_suffix(file, &format!(".format-{format}.backup"));
    let target = (1_u32..)
        .map(|number| match number {
            1 => base.clone(),
            more => with_suffix(&base, &format!("-{more}")),
        })
        .find(|path| !path.exists())
        .unwrap_or(base);
    copy(connection, &target).map_err(|why| OpenError::Backup {
        file: file.to_owned(),
        backup: target.clone(),
        why,
    })?;
    Ok(target)
}

/// Writes a consistent copy under a temporary name, syncs it, and gives it its name.
fn copy(connection: &Connection, target: &Path) -> Result<(), String> {
    let part = with_suffix(target, ".part");
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error.to_string());
        }
        Ok(()) | Err(_) => {}
    }
    let copied = (|| {
        let mut destination = Connection::open(&part)?;
        Backup::new(connection, &mut destination)?.step(-1)
    })();
    match copied {
        Ok(StepResult::Done) => {}
        Ok(_) => return Err("another program holds the database file".to_owned()),
        Err(error) => return Err(plain(&error)),
    }
    let dir = target.parent().unwrap_or_else(|| Path::new("."));
    File::open(&part)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&part, target))
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_at_format_1(dir: &Path) -> (PathBuf, Connection) {
        let file = dir.join("rave.db");
        let connection = Connection::open(&file).unwrap();
        assert!(connection::use_wal(&connection).unwrap());
        let backup = bring_up_to_date(&connection, &file, &MIGRATIONS[..1]).unwrap();
        assert_eq!(backup, None, "a new file needs no backup");
        connection
            .execute("INSERT INTO locks (key, epoch) VALUES ('stack/a', 3)", [])
            .unwrap();
        (file, connection)
    }

    const NEXT: &str = "ALTER TABLE locks ADD COLUMN note TEXT;";

    #[test]
    fn a_migration_is_preceded_by_a_backup_of_the_old_state() {
        let dir = tempfile::tempdir().unwrap();
        let (file, connection) = file_at_format_1(dir.path());
        let two = [MIGRATIONS[0], NEXT];

        let backup = bring_up_to_date(&connection, &file, &two).unwrap().unwrap();

        assert_eq!(backup, dir.path().join("rave.db.format-1.backup"));
        assert_eq!(connection::number(&connection, "user_version").unwrap(), 2);
        let old = Connection::open(&backup).unwrap();
        assert_eq!(connection::number(&old, "user_version").unwrap(), 1);
        let epoch: i64 = old
            .query_row("SELECT epoch FROM locks", [], |row| row.get(0))
            .unwrap();
        assert_eq!(epoch, 3);
        assert!(old.prepare("SELECT note FROM locks").is_err());
    }

    #[test]
    fn a_file_of_the_first_format_is_brought_to_the_present_one_with_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let (file, connection) = file_at_format_1(dir.path());

        bring_up_to_date(&connection, &file, MIGRATIONS).unwrap();

        let found = connection::number(&connection, "user_version").unwrap();
        assert_eq!(found, format(MIGRATIONS));
        let held: (i64, i64) = connection
            .query_row(
                "SELECT epoch, (SELECT count(*) FROM shown) FROM locks",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(held, (3, 0));
    }

    #[test]
    fn an_earlier_backup_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, connection) = file_at_format_1(dir.path());
        let first = dir.path().join("rave.db.format-1.backup");
        std::fs::write(&first, "precious").unwrap();

        let backup = bring_up_to_date(&connection, &file, &[MIGRATIONS[0], NEXT]).unwrap();

        assert_eq!(backup, Some(dir.path().join("rave.db.format-1.backup-2")));
        assert_eq!(std::fs::read_to_string(first).unwrap(), "precious");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_old_format() {
        let dir = tempfile::tempdir().unwrap();
        let (file, connection) = file_at_format_1(dir.path());
        let broken = format!("{NEXT} CREATE TABLE locks (oops TEXT);");

        let error = bring_up_to_date(&connection, &file, &[MIGRATIONS[0], &broken]).unwrap_err();

        assert!(error.to_string().contains("was rolled back"), "{error}");
        assert_eq!(connection::number(&connection, "user_version").unwrap(), 1);
        assert!(connection.prepare("SELECT note FROM locks").is_err());
    }

    #[test]
    fn without_room_for_the_backup_nothing_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let (file, connection) = file_at_format_1(dir.path());
        std::fs::create_dir(dir.path().join("rave.db.format-1.backup.part")).unwrap();

        let error = bring_up_to_date(&connection, &file, &[MIGRATIONS[0], NEXT]).unwrap_err();

        assert!(error.to_string().contains("make room"), "{error}");
        assert_eq!(connection::number(&connection, "user_version").unwrap(), 1);
    }
}
