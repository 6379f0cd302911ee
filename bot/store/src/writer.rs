//! The writer thread: takes what waits, writes it in one transaction, answers after COMMIT.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rave_domain::Epoch;
use rave_domain::ports::store::{InboxKey, Received, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::connection;
use crate::encode::Step;
use crate::error::{cause, plain, spares_connection};
use crate::journal::{Journal, Stop, epoch};
use crate::options::{Counters, FailPoint};

/// The most callers in one transaction. More would not save time: at this size the statements
/// take longer than the fsync.
const BATCH: usize = 256;

/// After how many transactions the length of the WAL is looked at.
const LOOK_AFTER: u32 = 16;

/// Proves that the disk takes writes.
pub(crate) const TOUCH: &str = "UPDATE meta SET value = value + 1 WHERE key = 'touched'";

/// What a caller wants.
pub(crate) enum Job {
    /// All of the steps or none; answers with the number of changed rows.
    Write {
        steps: Vec<Step>,
        done: oneshot::Sender<Result<u64, StoreError>>,
    },
    /// A request with what belongs to it, unless its key is there.
    Receive {
        key: InboxKey,
        row: Step,
        rest: Vec<Step>,
        done: oneshot::Sender<Result<Received, StoreError>>,
    },
    /// No more work: write what came before, leave the file tidy, let go of it.
    Close { done: oneshot::Sender<()> },
}

/// What came of a job, held back until COMMIT.
enum Outcome {
    Written(u64),
    Received(Received),
    Refused(StoreError),
    Closing,
}

impl Outcome {
    fn changed_something(&self) -> bool {
        match self {
            Self::Written(rows) => *rows > 0,
            Self::Received(received) => *received == Received::New,
            Self::Refused(_) | Self::Closing => false,
        }
    }
}

impl Job {
    // A caller that no longer listens has lost nothing: its writes are on disk all the same.
    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Write { done, .. }, Outcome::Written(changed)) => drop(done.send(Ok(changed))),
            (Self::Write { done, .. }, Outcome::Refused(error)) => drop(done.send(Err(error))),
            (Self::Receive { done, .. }, Outcome::Received(what)) => drop(done.send(Ok(what))),
            (Self::Receive { done, .. }, Outcome::Refused(error)) => drop(done.send(Err(error))),
            (Self::Write { .. } | Self::Receive { .. } | Self::Close { .. }, _) => {}
        }
    }

    fn fail(self, why: &str) {
        let why = why.to_owned();
        self.answer(Outcome::Refused(StoreError::Unavailable { why }));
    }
}

/// Everything the thread owns.
pub(crate) struct Writer {
    /// The database file.
    pub(crate) file: PathBuf,
    /// `None` after a fault, until the file could be opened again.
    pub(crate) journal: Option<Journal>,
    /// The connection that met the fault, as long as there is no other. While one is open, SQLite
    /// does not read the WAL anew, which may hold frames of the failed commit.
    pub(crate) faulty: Option<Journal>,
    /// Ownership of the file.
    pub(crate) lock: File,
    pub(crate) epoch: Epoch,
    pub(crate) max_pages: Option<u32>,
    pub(crate) checkpoint_pages: u32,
    pub(crate) counters: Arc<Counters>,
    pub(crate) fail_point: Option<FailPoint>,
    pub(crate) since_look: u32,
}

impl Writer {
    /// Works until it is told to close or nobody can ask any more.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            let mut closing = None;
            let work = batch
                .drain(..)
                .filter_map(|job| match job {
                    Job::Close { done } => {
                        closing = Some(done);
                        None
                    }
                    work @ (Job::Write { .. } | Job::Receive { .. }) => Some(work),
                })
                .collect();
            self.handle(work);
            if let Some(done) = closing {
                self.shut_down();
                // Nobody listening means that nobody waits for it.
                let _ = done.send(());
                return;
            }
            self.checkpoint_when_long();
        }
        self.shut_down();
    }

    fn handle(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        if let Err(error) = self.reopen_after_fault() {
            for job in jobs {
                job.fail(&error);
            }
            return;
        }
        match self.transaction(&jobs) {
            Ok(outcomes) => {
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    job.answer(outcome);
                }
            }
            Err(error) => {
                let why = cause(&self.file, &error);
                tracing::error!(error = %error, callers = jobs.len(), "a commit failed: {why}");
                self.counters.failed();
                self.roll_back(&error);
                for job in jobs {
                    job.fail(&why);
                }
                // At once rather than with the next caller: see there.
                let _ = self.reopen_after_fault();
            }
        }
    }

    /// Writes a batch. At first without savepoints, which cost a fifth of the writer's time; only
    /// when a caller has to be refused is the batch begun anew with one for each.
    fn transaction(&mut self, jobs: &[Job]) -> Result<Vec<Outcome>, rusqlite::Error> {
        let Some(journal) = &mut self.journal else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        journal.begin()?;
        let outcomes = match together(journal, jobs) {
            Ok(outcomes) => outcomes,
            Err(Stop::Everybody(error)) => return Err(error),
            Err(Stop::OneCaller(_)) => {
                journal.roll_back()?;
                journal.begin()?;
                one_by_one(journal, jobs)?
            }
        };
        let changed = outcomes.iter().any(Outcome::changed_something);
        if changed {
            pass(self.fail_point.as_ref(), "store.before_commit");
        }
        journal.commit()?;
        if changed {
            pass(self.fail_point.as_ref(), "store.after_commit");
            self.counters.committed(jobs.len());
        }
        Ok(outcomes)
    }

    fn roll_back(&mut self, error: &rusqlite::Error) {
        let sound = self
            .journal
            .as_mut()
            .is_some_and(|journal| journal.roll_back().is_ok() && spares_connection(error));
        if !sound {
            let failed = self.journal.take();
            // One that is still in its transaction would keep its successor from writing.
            self.faulty = failed.filter(|journal| journal.connection().is_autocommit());
        }
    }

    /// Opens the file again after a fault. The first thing written is a commit of its own: where
    /// an fsync failed, the frames of the failed commit may still stand in the WAL, and this one
    /// overwrites them before a crash could bring back what its callers were told is lost.
    fn reopen_after_fault(&mut self) -> Result<(), String> {
        if self.journal.is_some() {
            return Ok(());
        }
        let fault = |error: rusqlite::Error| cause(&self.file, &error);
        let connection = connection::writer(&self.file, self.max_pages).map_err(fault)?;
        let now = epoch(&connection).map_err(fault)?;
        if now != self.epoch {
            return Err(format!(
                "{} was replaced while Rave was running; restart Rave",
                self.file.display()
            ));
        }
        connection.execute(TOUCH, []).map_err(fault)?;
        let journal = Journal::new(connection).map_err(fault)?;
        self.journal = Some(journal);
        self.faulty = None;
        tracing::info!("the store can be written again");
        Ok(())
    }

    /// Copies the WAL into the file when it has grown long; between batches, when nobody waits
    /// for what was written already.
    fn checkpoint_when_long(&mut self) {
        self.since_look += 1;
        if self.since_look < LOOK_AFTER {
            return;
        }
        self.since_look = 0;
        let Some(journal) = &self.journal else {
            return;
        };
        let checkpoint = |mode: &'static str| {
            journal
                .connection()
                .prepare_cached(mode)?
                .query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        };
        let long = checkpoint("PRAGMA wal_checkpoint(NOOP)")
            .is_ok_and(|(pages, copied)| pages - copied >= i64::from(self.checkpoint_pages));
        if long && let Err(error) = checkpoint("PRAGMA wal_checkpoint(PASSIVE)") {
            // What is committed is safe in the WAL; the next look tries again.
            tracing::warn!(error = %error, "the WAL cannot be copied into the file: {}", plain(&error));
        }
    }

    fn shut_down(self) {
        if let Some(journal) = &self.journal {
            let tidy =
                journal
                    .connection()
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if let Err(error) = tidy {
                // The next start reads the WAL.
                tracing::warn!(error = %error, "the WAL was left beside the file");
            }
        }
        // The connection before the lock, so that a successor finds the file closed.
        drop(self.journal);
        drop(self.faulty);
        drop(self.lock);
    }
}

fn together(journal: &mut Journal, jobs: &[Job]) -> Result<Vec<Outcome>, Stop> {
    jobs.iter().map(|job| carry_out(journal, job)).collect()
}

fn one_by_one(journal: &mut Journal, jobs: &[Job]) -> Result<Vec<Outcome>, rusqlite::Error> {
    jobs.iter()
        .map(|job| {
            journal
                .isolated(|journal| carry_out(journal, job))
                .map(|outcome| outcome.unwrap_or_else(Outcome::Refused))
        })
        .collect()
}

fn carry_out(journal: &mut Journal, job: &Job) -> Result<Outcome, Stop> {
    match job {
        Job::Write { steps, .. } => journal.apply(steps).map(Outcome::Written),
        Job::Receive { key, row, rest, .. } => {
            journal.receive(key, row, rest).map(Outcome::Received)
        }
        Job::Close { .. } => Ok(Outcome::Closing),
    }
}

fn pass(fail_point: Option<&FailPoint>, name: &'static str) {
    if let Some(fail_point) = fail_point {
        fail_point(name);
    }
}
