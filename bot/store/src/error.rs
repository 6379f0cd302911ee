//! Errors of opening the store, and plain words for what SQLite and the system say.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rave_domain::ports::store::StoreError;
use rusqlite::ErrorCode;

use crate::preflight::with_suffix;

/// Why a store was not opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory is not there.
    #[error(
        "the data directory {} does not exist; create it, or name another with --data", dir.display()
    )]
    DirectoryMissing {
        /// Which.
        dir: PathBuf,
    },
    /// There is something else in its place.
    #[error("{} is not a directory; name a directory with --data", dir.display())]
    NotADirectory {
        /// Which.
        dir: PathBuf,
    },
    /// Nothing can be created in it.
    #[error(
        "the data directory {} cannot be written ({why}); {advice}",
        dir.display()
    )]
    DirectoryUnwritable {
        /// Which.
        dir: PathBuf,
        /// What the system said.
        why: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// Locks and syncs mean little on network file systems.
    #[error(
        "the data directory {} is on a network file system ({kind}), where a journal can be lost or damaged; put it on a local disk",
        dir.display()
    )]
    NetworkFileSystem {
        /// Which.
        dir: PathBuf,
        /// What it is called: `nfs`, `cifs`, …
        kind: String,
    },
    /// Another process owns the store.
    #[error(
        "{} is in use by another Rave{}; stop that one first, or name another directory with --data",
        file.display(), by(*pid)
    )]
    InUse {
        /// The database file.
        file: PathBuf,
        /// The owner's process id, where it can be read.
        pid: Option<u32>,
    },
    /// The file belongs to another program.
    #[error(
        "{} is not a store of Rave; move it away, or name another directory with --data",
        file.display()
    )]
    NotOurs {
        /// Which.
        file: PathBuf,
    },
    /// The file was written by a newer Rave.
    #[error(
        "{} has format {found}, and this Rave knows formats up to {known}; it was left untouched: run the newer Rave, or restore the backup from before the upgrade",
        file.display()
    )]
    Newer {
        /// Which.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The backup before a migration failed; nothing was changed.
    #[error(
        "{} needs an upgrade, and the backup before it cannot be written to {} ({why}); make room there and start again",
        file.display(), backup.display()
    )]
    Backup {
        /// The database file.
        file: PathBuf,
        /// Where the backup should have gone.
        backup: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// A migration failed and was rolled back.
    #[error(
        "upgrading {} to format {version} failed ({why}) and was rolled back; the backup beside it has the old state too",
        file.display()
    )]
    Migration {
        /// The database file.
        file: PathBuf,
        /// The format that was to be.
        version: u32,
        /// What went wrong.
        why: String,
    },
    /// The file or its surroundings cannot be used.
    #[error("{} cannot be opened: {why}", file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// What went wrong.
        why: String,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

/// What SQLite says, in words for an operator.
pub(crate) fn plain(error: &rusqlite::Error) -> String {
    let Some(code) = error.sqlite_error_code() else {
        return error.to_string();
    };
    let known = [
        (ErrorCode::DiskFull, "the disk is full"),
        (
            ErrorCode::ReadOnly,
            "the database file or its directory is read-only",
        ),
        (
            ErrorCode::SystemIoFailure,
            "the disk reports an input/output error; look at the kernel's log",
        ),
        (
            ErrorCode::CannotOpen,
            "the database file cannot be opened; is the data directory still there, is there room on its disk, and may this user write to it?",
        ),
        (
            ErrorCode::DatabaseBusy,
            "another program holds the database file",
        ),
        (
            // SQLite says so of a page that the disk fails to read, too.
            ErrorCode::DatabaseCorrupt,
            "the database file is damaged or its disk cannot be read; look at the kernel's log, and restore a backup if the disk is sound",
        ),
        (
            ErrorCode::NotADatabase,
            "the database file is damaged; restore a backup",
        ),
    ];
    known
        .into_iter()
        .find(|(candidate, _)| *candidate == code)
        .map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}

/// As [`plain`], for a file that is written. SQLite calls almost all that a disk refuses an
/// input/output error; whether the file system is read-only can be asked of the file's lock. Not of
/// the file: closing it would give up the locks that SQLite holds on it.
pub(crate) fn cause(file: &Path, error: &rusqlite::Error) -> String {
    let lock = OpenOptions::new()
        .write(true)
        .open(with_suffix(file, ".lock"));
    match (lock, error.sqlite_error_code()) {
        (Err(refused), Some(code))
            if refused.kind() == ErrorKind::ReadOnlyFilesystem && code != ErrorCode::DiskFull =>
        {
            "its file system has become read-only; the kernel's log says why".to_owned()
        }
        _ => plain(error),
    }
}

/// A failure of SQLite as the port tells it.
pub(crate) fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable { why: plain(error) }
}

/// A failure of the system as the port tells it.
pub(crate) fn io_unavailable(what: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        why: format!("{what}: {error}"),
    }
}

/// The answer to everybody who comes after the end.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable {
        why: "it has been closed".to_owned(),
    }
}

/// Whether an error concerns the writes of one caller and leaves the transaction intact.
pub(crate) fn concerns_one_caller(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_some_and(|code| {
        code == ErrorCode::ConstraintViolation
            || code == ErrorCode::TooBig
            || code == ErrorCode::TypeMismatch
    })
}

/// Whether a connection is as good as before once the transaction is rolled back.
pub(crate) fn spares_connection(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error_code()
        .is_some_and(|code| code == ErrorCode::DiskFull || code == ErrorCode::DatabaseBusy)
}
