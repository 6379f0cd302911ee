//! Connections with the pragmas that durability rests on.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// Marks a file as a store of Rave: `RAVE` in ASCII.
pub(crate) const APPLICATION_ID: u32 = 0x5241_5645;

/// More statements than this crate has, so that each is prepared once per connection.
const STATEMENTS: usize = 96;

/// Backups and other visitors hold the file for moments only.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connection of the writer. The file must exist.
pub(crate) fn writer(file: &Path, max_pages: Option<u32>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    common(&connection)?;
    // Pages are copied out of the WAL by the writer between batches, not inside a COMMIT that
    // somebody waits for. The WAL is never truncated: overwriting it is twice as fast as growing it.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -8000;",
    )?;
    if let Some(pages) = max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(connection)
}

/// Switches the file to write-ahead logging; false where the file system cannot have it.
pub(crate) fn use_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    Ok(mode == "wal")
}

/// A connection that cannot write.
pub(crate) fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    common(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4000;")?;
    Ok(connection)
}

fn common(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this a statement is compiled anew for each value it is given, because its plan might
    // depend on the value; ours do not, and it would be a seventh of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )
}

/// The number behind a pragma such as `user_version`.
pub(crate) fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
