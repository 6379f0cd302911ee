//! How a store is opened, and what it counts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Called at named instants: `store.before_commit` and `store.after_commit`, the latter before
/// anybody is answered. Crash tests end the process in it.
pub type FailPoint = Arc<dyn Fn(&'static str) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The data directory. It must exist; chunks go under it.
    pub dir: PathBuf,
    /// The database file, relative to the directory.
    pub file: PathBuf,
    /// How many pages of 4 KiB the WAL holds before they are copied into the file.
    pub checkpoint_pages: u32,
    /// The largest size of the file in pages of 4 KiB; `None` for what the disk takes.
    pub max_pages: Option<u32>,
    /// How many reads may run at once.
    pub readers: usize,
    /// Where crash tests stop the writer.
    pub fail_point: Option<FailPoint>,
}

impl Options {
    /// The settings that suit a server, in a data directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            file: PathBuf::from("rave.db"),
            // 8 MiB: long enough that a busy page is copied once for many commits, short enough
            // that copying stalls the writer for milliseconds only.
            checkpoint_pages: 2000,
            max_pages: None,
            readers: 4,
            fail_point: None,
        }
    }
}

/// What the writer has done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Transactions that changed something and reached the disk: one fsync each.
    pub commits: u64,
    /// Callers answered by these transactions.
    pub batched: u64,
    /// The most callers that one transaction answered.
    pub largest_batch: u64,
}

/// The live numbers behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    batched: AtomicU64,
    largest_batch: AtomicU64,
    last_commit: Mutex<Option<Instant>>,
}

impl Counters {
    pub(crate) fn committed(&self, callers: usize) {
        let callers = callers as u64;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.batched.fetch_add(callers, Ordering::Relaxed);
        self.largest_batch.fetch_max(callers, Ordering::Relaxed);
        *self.last() = Some(Instant::now());
    }

    pub(crate) fn failed(&self) {
        *self.last() = None;
    }

    /// Whether the latest transaction succeeded and is younger than this.
    pub(crate) fn committed_within(&self, age: Duration) -> bool {
        self.last().is_some_and(|at| at.elapsed() < age)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.commits.load(Ordering::Relaxed),
            batched: self.batched.load(Ordering::Relaxed),
            largest_batch: self.largest_batch.load(Ordering::Relaxed),
        }
    }
}
