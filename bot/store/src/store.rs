//! The port, method by method.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rave_domain::audit::{AuditEntry, AuditRow};
use rave_domain::ports::store::{
    AuditFilter, ChunkRef, Freeze, InboxKey, InboxRow, LedgerRow, LockRow, LockWait, OutboxCounts,
    OutboxRow, Page, Paged, Received, RunFilter, RunRow, Store, StoreError, TotpRow, Write,
};
use rave_domain::run::Event;
use rave_domain::{Account, Epoch, PersonId, RunId, Timestamp};
use tokio::sync::oneshot;

use crate::chunks::Chunks;
use crate::encode::{self, Step};
use crate::error::closed;
use crate::open::Sqlite;
use crate::read;
use crate::writer::{Job, TOUCH};

/// A commit this young proves that writing works; so a readiness probe, however often it comes,
/// costs at most one fsync in this time.
const PROOF: Duration = Duration::from_secs(1);

impl Sqlite {
    /// Whether the path still leads to the file that was opened. Without this a deleted data
    /// directory would go unnoticed, because writes to a deleted file succeed.
    fn still_there(&self) -> Result<(), StoreError> {
        let file = self.file.display();
        let why = match std::fs::metadata(&self.file) {
            Ok(metadata) if metadata.ino() == self.inode => return Ok(()),
            Ok(_) => format!("{file} was replaced while Rave was running; restart Rave"),
            Err(error) => format!("{file}: {error}"),
        };
        Err(StoreError::Unavailable { why })
    }

    async fn with_chunks<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Chunks) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let chunks = Arc::clone(&self.chunks);
        tokio::task::spawn_blocking(move || work(&chunks))
            .await
            .map_err(|error| StoreError::Unavailable {
                why: format!("work on an output file was broken off: {error}"),
            })?
    }
}

#[async_trait]
impl Store for Sqlite {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    async fn receive(&self, row: InboxRow, audit: Vec<AuditEntry>) -> Result<Received, StoreError> {
        let (done, answer) = oneshot::channel();
        let rest = audit
            .into_iter()
            .map(Step::audit)
            .collect::<Result<_, _>>()?;
        self.send(Job::Receive {
            row: encode::inbox(&row)?,
            key: row.key,
            rest,
            done,
        })
        .await?;
        answer.await.map_err(|_| closed())?
    }

    async fn received(&self, key: &InboxKey) -> Result<Option<InboxRow>, StoreError> {
        let key = key.clone();
        self.readers
            .read(move |connection| read::received(connection, &key))
            .await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.write(encode::steps(writes)?).await.map(drop)
    }

    async fn unanswered(&self) -> Result<Vec<InboxRow>, StoreError> {
        self.readers.read(read::unanswered).await
    }

    async fn open_runs(&self) -> Result<Vec<RunId>, StoreError> {
        self.readers.read(read::open_runs).await
    }

    async fn events(&self, run: &RunId) -> Result<Option<Vec<Event>>, StoreError> {
        let run = run.clone();
        self.readers
            .read(move |connection| read::events(connection, &run))
            .await
    }

    async fn events_after(
        &self,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let run = run.clone();
        self.readers
            .read(move |connection| read::events_after(connection, &run, after, limit))
            .await
    }

    async fn journals(
        &self,
        runs: Vec<RunId>,
    ) -> Result<Vec<Result<Option<Vec<Event>>, StoreError>>, StoreError> {
        self.readers
            .read(move |connection| {
                let journals = runs.iter().map(|run| read::events(connection, run));
                Ok(journals.collect())
            })
            .await
    }

    async fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<RunRow>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| read::runs(connection, &filter, &page))
            .await
    }

    async fn open_effects(
        &self,
        runs: Vec<RunId>,
    ) -> Result<Vec<Result<Vec<LedgerRow>, StoreError>>, StoreError> {
        self.readers
            .read(move |connection| {
                let effects = runs.iter().map(|run| read::open_effects(connection, run));
                Ok(effects.collect())
            })
            .await
    }

    async fn locks(&self) -> Result<Vec<LockRow>, StoreError> {
        self.readers.read(read::locks).await
    }

    async fn lock_waits(&self) -> Result<Vec<LockWait>, StoreError> {
        self.readers.read(read::lock_waits).await
    }

    async fn outbox_due(
        &self,
        now: Timestamp,
        most: u32,
        except: Vec<String>,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.readers
            .read(move |connection| read::outbox_due(connection, now, most, &except))
            .await
    }

    async fn outbox_next(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(read::outbox_next).await
    }

    async fn shown(&self, run: &RunId) -> Result<Option<serde_json::Value>, StoreError> {
        let run = run.clone();
        self.readers
            .read(move |connection| read::shown(connection, &run))
            .await
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.readers.read(read::outbox_counts).await
    }

    async fn lane_length(&self, lane: &str) -> Result<u32, StoreError> {
        let lane = lane.to_owned();
        self.readers
            .read(move |connection| read::lane_length(connection, &lane))
            .await
    }

    async fn audit(
        &self,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Paged<AuditRow>, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| read::audit(connection, &filter, &page))
            .await
    }

    async fn audit_after(&self, id: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.readers
            .read(move |connection| read::audit_after(connection, id, limit))
            .await
    }

    async fn secrets(&self, run: &RunId) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let run = run.clone();
        self.readers
            .read(move |connection| read::secrets(connection, &run))
            .await
    }

    async fn linked_accounts(&self) -> Result<Vec<(Account, PersonId)>, StoreError> {
        self.readers.read(read::linked_accounts).await
    }

    async fn totp(&self, person: &PersonId) -> Result<Option<TotpRow>, StoreError> {
        let person = person.clone();
        self.readers
            .read(move |connection| read::totp(connection, &person))
            .await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        self.readers.read(read::freezes).await
    }

    async fn put_chunk(&self, content: Bytes) -> Result<ChunkRef, StoreError> {
        self.with_chunks(move |chunks| chunks.put(&content)).await
    }

    async fn chunk(&self, chunk: &ChunkRef) -> Result<Option<Bytes>, StoreError> {
        let chunk = chunk.clone();
        self.with_chunks(move |chunks| chunks.get(&chunk)).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.still_there()?;
        if self.is_open() && self.counters.committed_within(PROOF) {
            return Ok(());
        }
        self.write(vec![Step::statement(TOUCH, Vec::new())])
            .await
            .map(drop)
    }
}
