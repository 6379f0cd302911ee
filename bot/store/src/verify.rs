//! Verification of the audit chain, with no server, no credentials and no lock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rave_domain::Digest;
use rave_domain::audit::{AuditEntry, ChainFault, genesis, link};
use rusqlite::{Connection, OpenFlags, Row};

use crate::connection::{self, APPLICATION_ID};
use crate::error::plain;
use crate::migrate::{MIGRATIONS, format};
use crate::options::Options;
use crate::preflight::with_suffix;
use crate::rows::severity;

/// What verification found where it found no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many rows the chain has.
    pub rows: u64,
    /// The last row and its link; for an empty chain row 0 and zeroes.
    pub head: (u64, Digest),
    /// The newest row that is known from elsewhere, and is the same here. Without one the report
    /// proves consistency only: a tail may have been cut off, or the whole chain written anew.
    pub anchored: Option<u64>,
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, link) = self.head;
        write!(
            f,
            "{} rows, consistent; the head is row {id} {link}; ",
            self.rows
        )?;
        match self.anchored {
            Some(row) => write!(f, "complete and unchanged up to row {row} by its anchor"),
            None => f.write_str(
                "no anchor was given, so this proves consistency only, not that nothing was cut off",
            ),
        }
    }
}

/// Why a chain is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The chain is not what was written.
    #[error("the audit trail was changed: {0}")]
    Fault(ChainFault),
    /// There is no store there.
    #[error("there is no store at {}; name its directory with --data", file.display())]
    Missing {
        /// Where it should be.
        file: PathBuf,
    },
    /// The file is another program's, or of a newer Rave.
    #[error("{} is not a store that this Rave can read", file.display())]
    NotReadable {
        /// Which.
        file: PathBuf,
    },
    /// The file cannot be read to its end.
    #[error("{} cannot be read: {why}", file.display())]
    Unavailable {
        /// Which.
        file: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// Reads the whole chain of the store at `path`, a data directory or the database file in it, and
/// checks each row's content, number and link, and that each anchored head is in it. Blocks; works
/// while a server is running.
///
/// # Errors
/// [`VerifyError::Fault`] with the first fault, otherwise why the file cannot be read.
pub fn verify(path: &Path, anchors: &[(u64, Digest)]) -> Result<VerifyReport, VerifyError> {
    let file = &if path.is_dir() {
        path.join(Options::new(path).file)
    } else {
        path.to_owned()
    };
    if !file.is_file() {
        return Err(VerifyError::Missing {
            file: file.to_owned(),
        });
    }
    let unavailable = |error: rusqlite::Error| VerifyError::Unavailable {
        file: file.to_owned(),
        why: plain(&error),
    };
    let connection = open(file).map_err(unavailable)?;
    let application = connection::number(&connection, "application_id").map_err(unavailable)?;
    let version = connection::number(&connection, "user_version").map_err(unavailable)?;
    if application != APPLICATION_ID || version == 0 || version > format(MIGRATIONS) {
        return Err(VerifyError::NotReadable {
            file: file.to_owned(),
        });
    }
    let mut anchored: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
    for (id, link) in anchors {
        anchored.entry(*id).or_default().push(*link);
    }
    let mut check = Check {
        rows: 0,
        head: (0, genesis()),
        anchors: anchored,
    };
    check.anchor().map_err(VerifyError::Fault)?;
    read(&connection, &mut check).map_err(unavailable)??;
    check.finish().map_err(VerifyError::Fault)?;
    Ok(VerifyReport {
        rows: check.rows,
        head: check.head,
        anchored: anchors.iter().map(|(id, _)| *id).max(),
    })
}

/// Opens the file for reading. On a medium that takes no writes SQLite cannot make the file that
/// its readers share; without a WAL the database file alone is complete and can be read as it is.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    let shared = connection::reader(file).and_then(|connection| {
        connection::number(&connection, "schema_version")?;
        Ok(connection)
    });
    let wal = with_suffix(file, "-wal");
    if shared.is_ok() || std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0) {
        return shared;
    }
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let escaped: String = path
        .to_string_lossy()
        .chars()
        .map(|letter| match letter {
            '%' => "%25".to_owned(),
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            other => other.to_string(),
        })
        .collect();
    Connection::open_with_flags(
        format!("file:{escaped}?immutable=1"),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )
}

fn read(connection: &Connection, check: &mut Check) -> rusqlite::Result<Result<(), VerifyError>> {
    let mut statement = connection.prepare(
        "SELECT id, text, previous, link, at, event, person, correlation, severity \
         FROM audit ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = Stored::read(row)?;
        if let Err(fault) = check.next(&row) {
            return Ok(Err(VerifyError::Fault(fault)));
        }
    }
    Ok(Ok(()))
}

/// A row as it stands in the file, with its columns for queries.
struct Stored {
    id: u64,
    text: String,
    previous: Digest,
    link: Digest,
    copies: Copies,
}

/// The columns that repeat parts of the text.
#[derive(PartialEq, Eq)]
struct Copies {
    at: i64,
    event: String,
    person: Option<String>,
    correlation: String,
    severity: i64,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id: i64 = row.get(0)?;
        Ok(Self {
            // Row numbers start at 1; a negative one was put there by somebody else and is
            // reported as out of order.
            id: u64::try_from(id).unwrap_or(0),
            text: row.get(1)?,
            previous: Digest::from_bytes(row.get(2)?),
            link: Digest::from_bytes(row.get(3)?),
            copies: Copies {
                at: row.get(4)?,
                event: row.get(5)?,
                person: row.get(6)?,
                correlation: row.get(7)?,
                severity: row.get(8)?,
            },
        })
    }

    /// Whether the columns say the same as the text that the link covers.
    fn copies_agree(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Numbered {
            id: u64,
            #[serde(flatten)]
            entry: AuditEntry,
        }
        serde_json::from_str(&self.text).is_ok_and(|Numbered { id, entry }| {
            id == self.id
                && self.copies
                    == Copies {
                        at: entry.at.as_millisecond(),
                        event: entry.event,
                        person: entry.person.map(String::from),
                        correlation: entry.correlation,
                        severity: severity(entry.severity),
                    }
        })
    }
}

/// Checks the stored text itself rather than a row parsed and written again: whatever the text
/// holds, down to how a fraction is spelled, is under the link.
struct Check {
    rows: u64,
    head: (u64, Digest),
    anchors: BTreeMap<u64, Vec<Digest>>,
}

impl Check {
    fn next(&mut self, row: &Stored) -> Result<(), ChainFault> {
        let (last, head) = self.head;
        if row.id != last + 1 {
            return Err(ChainFault::Gap {
                after: last,
                found: row.id,
            });
        }
        if row.previous != head {
            return Err(ChainFault::Broken { id: row.id });
        }
        if link(&head, &row.text) != row.link || !row.copies_agree() {
            return Err(ChainFault::Edited { id: row.id });
        }
        self.rows += 1;
        self.head = (row.id, row.link);
        self.anchor()
    }

    /// Compares the present head with what was anchored for it.
    fn anchor(&mut self) -> Result<(), ChainFault> {
        let (id, head) = self.head;
        match self.anchors.remove(&id) {
            Some(links) if links.iter().any(|link| *link != head) => Err(ChainFault::Anchor { id }),
            Some(_) | None => Ok(()),
        }
    }

    /// Anchors beyond the last row mean that the rest was cut off.
    fn finish(&self) -> Result<(), ChainFault> {
        match self.anchors.keys().next() {
            Some(id) => Err(ChainFault::Anchor { id: *id }),
            None => Ok(()),
        }
    }
}
