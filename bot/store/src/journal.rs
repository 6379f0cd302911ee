//! The open file as the writer sees it: one connection, and the head of the audit chain. Carries
//! out the steps of one caller after the other inside one transaction.

use rave_domain::audit;
use rave_domain::ports::store::{InboxKey, Received, StoreError};
use rave_domain::{Digest, Epoch, RunId};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::encode::{AuditStep, Step};
use crate::error::concerns_one_caller;
use crate::read;
use crate::rows::{number, severity};

/// Why the steps of a caller were not carried out.
pub(crate) enum Stop {
    /// Only this caller's writes are undone.
    OneCaller(StoreError),
    /// The transaction is lost for everybody in it.
    Everybody(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        if concerns_one_caller(&error) {
            Self::OneCaller(StoreError::Unavailable {
                why: format!("what was to be written does not fit what is stored: {error}"),
            })
        } else {
            Self::Everybody(error)
        }
    }
}

/// The last row of the audit chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    id: u64,
    link: Digest,
}

pub(crate) struct Journal {
    connection: Connection,
    head: Head,
}

impl Journal {
    pub(crate) fn new(connection: Connection) -> rusqlite::Result<Self> {
        let head = read_head(&connection)?;
        Ok(Self { connection, head })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn begin(&self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")
    }

    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        self.execute("COMMIT")
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Ends a failed transaction, so that nothing of it is kept. An error means that the
    /// connection is of no more use.
    pub(crate) fn roll_back(&mut self) -> rusqlite::Result<()> {
        // SQLite rolls back by itself after some errors.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.head = read_head(&self.connection)?;
        Ok(())
    }

    /// Carries out the work of one caller so that it can be undone alone.
    pub(crate) fn isolated<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<Result<T, StoreError>, rusqlite::Error> {
        let head = self.head;
        self.execute("SAVEPOINT caller")?;
        match work(self) {
            Ok(done) => {
                self.execute("RELEASE caller")?;
                Ok(Ok(done))
            }
            Err(Stop::OneCaller(error)) => {
                self.execute("ROLLBACK TO caller")?;
                self.execute("RELEASE caller")?;
                self.head = head;
                Ok(Err(error))
            }
            Err(Stop::Everybody(error)) => Err(error),
        }
    }

    /// Carries out steps and says how many rows changed.
    pub(crate) fn apply(&mut self, steps: &[Step]) -> Result<u64, Stop> {
        let mut changed = 0;
        for step in steps {
            changed += match step {
                Step::Statement {
                    sql,
                    values,
                    must_change,
                } => self.statement(sql, values, must_change.as_ref())?,
                Step::Expect { run, events } => self.expect(run, *events)?,
                Step::Audit(entry) => self.append_audit(entry)?,
            };
        }
        Ok(changed)
    }

    /// Records a request with what belongs to it, unless its key is there.
    pub(crate) fn receive(
        &mut self,
        key: &InboxKey,
        row: &Step,
        rest: &[Step],
    ) -> Result<Received, Stop> {
        if self.apply(std::slice::from_ref(row))? > 0 {
            self.apply(rest)?;
            return Ok(Received::New);
        }
        match read::received(&self.connection, key) {
            Ok(Some(first)) => Ok(Received::Duplicate(Box::new(first))),
            Ok(None) => Err(Stop::OneCaller(StoreError::Corrupt {
                table: "inbox",
                why: format!("{} is neither new nor there", key.id),
            })),
            Err(error) => Err(Stop::OneCaller(error)),
        }
    }

    fn statement(
        &self,
        sql: &'static str,
        values: &[rusqlite::types::Value],
        must_change: Option<&RunId>,
    ) -> Result<u64, Stop> {
        let changed = self
            .connection
            .prepare_cached(sql)?
            .execute(params_from_iter(values))?;
        match must_change {
            Some(run) if changed == 0 => {
                Err(Stop::OneCaller(StoreError::Conflict { run: run.clone() }))
            }
            Some(_) | None => Ok(changed as u64),
        }
    }

    fn expect(&self, run: &RunId, events: u64) -> Result<u64, Stop> {
        let stored: u64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM events WHERE run_id = ?1")?
            .query_row([run.as_str()], |row| unsigned(row, 0))?;
        if stored == events {
            Ok(0)
        } else {
            Err(Stop::OneCaller(StoreError::Conflict { run: run.clone() }))
        }
    }

    fn append_audit(&mut self, entry: &AuditStep) -> Result<u64, Stop> {
        let id = self.head.id + 1;
        let text = entry.text.numbered(id);
        let link = audit::link(&self.head.link, &text);
        self.connection
            .prepare_cached(
                "INSERT INTO audit \
                 (id, at, event, person, correlation, severity, text, previous, link) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                number(id),
                entry.at.as_millisecond(),
                entry.event,
                entry.person.as_ref().map(rave_domain::PersonId::as_str),
                entry.correlation,
                severity(entry.severity),
                text,
                self.head.link.bytes(),
                link.bytes(),
            ])?;
        self.head = Head { id, link };
        Ok(1)
    }
}

fn read_head(connection: &Connection) -> rusqlite::Result<Head> {
    let last = connection
        .prepare_cached("SELECT id, link FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Head {
                id: unsigned(row, 0)?,
                link: Digest::from_bytes(row.get(1)?),
            })
        })
        .optional()?;
    Ok(last.unwrap_or_else(|| Head {
        id: 0,
        link: audit::genesis(),
    }))
}

/// The number of starts that the file has seen.
pub(crate) fn epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| {
        unsigned(row, 0).map(Epoch)
    })
}

/// A column that is never negative.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, stored))
}
