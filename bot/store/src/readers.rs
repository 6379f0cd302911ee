//! Read-only connections beside the writer. Each sees the state of the latest commit when its
//! query begins, and none ever waits for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rave_domain::ports::store::StoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::connection;
use crate::error::{closed, unavailable};

#[derive(Clone)]
pub(crate) struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    file: PathBuf,
    /// One permit per query that may run now; closed with the store.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(file: PathBuf, count: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                file,
                permits: Arc::new(Semaphore::new(count.max(1))),
                idle: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Runs a query on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| closed())?;
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || {
            // Goes back when the query has ended, not when its caller stops waiting.
            let _permit = permit;
            let connection = shared.take()?;
            let answer = query(&connection);
            if !matches!(answer, Err(StoreError::Unavailable { .. })) {
                shared.put_back(connection);
            }
            answer
        });
        answer.await.map_err(|error| StoreError::Unavailable {
            why: format!("a query was broken off: {error}"),
        })?
    }

    /// Lets go of the file. Queries that run end; later ones are refused.
    pub(crate) fn close(&self) {
        self.shared.permits.close();
        self.shared.idle().clear();
    }
}

impl Shared {
    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => connection::reader(&self.file).map_err(|error| unavailable(&error)),
        }
    }

    fn put_back(&self, connection: Connection) {
        if !self.permits.is_closed() {
            self.idle().push(connection);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
