//! Opening and closing.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rave_domain::Epoch;
use rave_domain::ports::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::chunks::Chunks;
use crate::connection::{self, APPLICATION_ID};
use crate::encode::Step;
use crate::error::{OpenError, closed, plain};
use crate::journal::{Journal, epoch};
use crate::migrate::{MIGRATIONS, bring_up_to_date, format};
use crate::options::{Counters, Options, Stats};
use crate::preflight::{self, Found, with_suffix};
use crate::readers::Readers;
use crate::writer::{Job, Writer};

/// How many callers may wait in line; beyond that they wait for a place in it.
const QUEUE: usize = 1024;

/// The store on SQLite. One per process and file; share it behind an `Arc`.
pub struct Sqlite {
    pub(crate) file: PathBuf,
    pub(crate) inode: u64,
    pub(crate) readers: Readers,
    pub(crate) chunks: Arc<Chunks>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) epoch: Epoch,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("file", &self.file)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the store for writing, creates it where there is none, and upgrades it where it is
    /// older. Blocks for the time that takes.
    ///
    /// # Errors
    /// See [`OpenError`]; each message says what to do. A store that is refused is left as it was.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let file = options.dir.join(&options.file);
        preflight::check_directory(&options.dir)?;
        let lock = preflight::own(&file)?;
        let connection = prepare(&file, options.max_pages)?;
        let unusable = |error: rusqlite::Error| OpenError::Unusable {
            file: file.clone(),
            why: plain(&error),
        };
        let epoch = raise_epoch(&connection).map_err(unusable)?;
        let journal = Journal::new(connection).map_err(unusable)?;
        Self::start(options, file, lock, journal, epoch)
    }

    fn start(
        options: Options,
        file: PathBuf,
        lock: File,
        journal: Journal,
        epoch: Epoch,
    ) -> Result<Self, OpenError> {
        let unusable = |error: std::io::Error| OpenError::Unusable {
            file: file.clone(),
            why: error.to_string(),
        };
        let inode = std::fs::metadata(&file).map_err(unusable)?.ino();
        let chunks = Arc::new(Chunks::open(&options.dir).map_err(unusable)?);
        let counters = Arc::new(Counters::default());
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let writer = Writer {
            file: file.clone(),
            journal: Some(journal),
            faulty: None,
            lock,
            epoch,
            max_pages: options.max_pages,
            checkpoint_pages: options.checkpoint_pages,
            counters: Arc::clone(&counters),
            fail_point: options.fail_point,
            since_look: 0,
        };
        let thread = std::thread::Builder::new()
            .name("rave-journal".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(unusable)?;
        Ok(Self {
            readers: Readers::new(file.clone(), options.readers),
            file,
            inode,
            chunks,
            counters,
            epoch,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// What the writer has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Writes what waits, copies the WAL into the file and lets go of it. Whatever is asked of the
    /// store after that is refused as unavailable; closing twice is fine.
    pub async fn close(&self) {
        self.readers.close();
        let (done, closed) = oneshot::channel();
        if self.send(Job::Close { done }).await.is_ok() {
            // An error means that the writer is gone already.
            let _ = closed.await;
        }
    }

    /// Whether the writer still takes work.
    pub(crate) fn is_open(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| !jobs.is_closed())
    }

    pub(crate) async fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }

    /// Has steps written, all or none, and gives the number of rows they changed.
    pub(crate) async fn write(&self, steps: Vec<Step>) -> Result<u64, StoreError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Write { steps, done }).await?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.readers.close();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Checks, opens and upgrades the file.
fn prepare(file: &Path, max_pages: Option<u32>) -> Result<Connection, OpenError> {
    let unusable = |error: rusqlite::Error| OpenError::Unusable {
        file: file.to_owned(),
        why: plain(&error),
    };
    if preflight::inspect(file, format(MIGRATIONS))? == Found::Empty {
        create(file)?;
    }
    let connection = connection::writer(file, max_pages).map_err(unusable)?;
    if !connection::use_wal(&connection).map_err(unusable)? {
        return Err(OpenError::Unusable {
            file: file.to_owned(),
            why: "its file system cannot do write-ahead logging; put it on a local disk".to_owned(),
        });
    }
    if let Some(backup) = bring_up_to_date(&connection, file, MIGRATIONS)? {
        tracing::info!(backup = %backup.display(), "upgraded the store; the old state is in the backup");
    }
    Ok(connection)
}

/// Makes a store beside its place and gives it its name once it is whole, so that a power cut
/// leaves none or one that can be used.
fn create(file: &Path) -> Result<(), OpenError> {
    let unusable = |error: rusqlite::Error| OpenError::Unusable {
        file: file.to_owned(),
        why: plain(&error),
    };
    let unwritable = |error: std::io::Error| OpenError::Unusable {
        file: file.to_owned(),
        why: error.to_string(),
    };
    let part = with_suffix(file, ".part");
    preflight::start_anew(&part).map_err(unwritable)?;
    let connection = Connection::open(&part).map_err(unusable)?;
    connection
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(unusable)?;
    bring_up_to_date(&connection, &part, MIGRATIONS).map_err(|error| OpenError::Unusable {
        file: file.to_owned(),
        why: error.to_string(),
    })?;
    connection.close().map_err(|(_, error)| unusable(error))?;
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    std::fs::rename(&part, file)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(unwritable)
}

/// One more than at the start before; on disk when it returns.
fn raise_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'", [])?;
    epoch(connection)
}
