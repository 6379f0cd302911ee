//! The audit trail outside the database: a mirror of every row, and heads of the chain where an
//! intruder on this machine cannot reach them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::Digest;
use rave_domain::ports::store::Store;
use rave_domain::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// How often the mirror looks for new rows.
const MIRROR_EVERY: Duration = Duration::from_secs(1);

/// How often the head of the chain is anchored.
const ANCHOR_EVERY: Duration = Duration::from_hours(1);

/// Rows read at once.
const BATCH: u32 = 500;

/// The head of the chain at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// When.
    pub at: Timestamp,
    /// The last row.
    pub id: u64,
    /// Its link.
    pub link: Digest,
}

/// Reads anchors, one JSON object a line.
///
/// # Errors
/// When the file cannot be read or a line is not an anchor.
pub fn read_anchors(path: &Path) -> Result<Vec<Anchor>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    text.lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}:{number}: {error}", path.display()))
        })
        .collect()
}

/// Appends every audit row to a file as a line of JSON, until told to stop. At least once: after
/// a crash the last rows may stand there twice.
pub(crate) async fn mirror(store: Arc<dyn Store>, path: PathBuf, stop: CancellationToken) {
    let mut last = last_mirrored(&path);
    loop {
        match store.audit_after(last, BATCH).await {
            Ok(rows) => {
                let mut text = String::new();
                for row in &rows {
                    text.push_str(&serde_json::to_string(row).unwrap_or_default());
                    text.push('\n');
                }
                match append(&path, &text) {
                    Ok(()) => last = rows.last().map_or(last, |row| row.id),
                    Err(error) => {
                        tracing::error!(path = %path.display(), error = &error as &dyn std::error::Error, "audit_mirror_failed");
                    }
                }
                if rows.len() == BATCH as usize {
                    continue;
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "audit_mirror_failed"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(MIRROR_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The number in the last line of an existing mirror.
fn last_mirrored(path: &Path) -> u64 {
    #[derive(Deserialize)]
    struct Numbered {
        id: u64,
    }
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| {
            let line = text.lines().last()?;
            serde_json::from_str::<Numbered>(line).ok()
        })
        .map_or(0, |row| row.id)
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Writes the head of the chain to the log and the anchor file every hour, and once at the stop.
pub(crate) async fn anchor(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    path: Option<PathBuf>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ANCHOR_EVERY) => {}
            () = stop.cancelled() => {
                write_anchor(store.as_ref(), clock.as_ref(), path.as_deref()).await;
                return;
            }
        }
        write_anchor(store.as_ref(), clock.as_ref(), path.as_deref()).await;
    }
}

async fn write_anchor(store: &dyn Store, clock: &dyn Clock, path: Option<&Path>) {
    let page = rave_domain::ports::store::Page {
        cursor: None,
        limit: 1,
    };
    let newest = store
        .audit(&rave_domain::ports::store::AuditFilter::default(), &page)
        .await;
    let Some(row) = newest.ok().and_then(|rows| rows.items.into_iter().next()) else {
        return;
    };
    let anchor = Anchor {
        at: clock.now(),
        id: row.id,
        link: row.link,
    };
    tracing::info!(audit.id = anchor.id, audit.link = %anchor.link, "audit_anchor");
    if let Some(path) = path {
        let line = serde_json::to_string(&anchor).unwrap_or_default() + "\n";
        if let Err(error) = append(path, &line) {
            tracing::error!(path = %path.display(), error = &error as &dyn std::error::Error, "anchor_failed");
        }
    }
}
