//! What stands in a store, read beside the process that writes it.

use std::collections::BTreeMap;
use std::path::Path;

use rave_domain::run::{Event, Run};
use rusqlite::{Connection, OpenFlags};

fn open(data: &Path) -> Connection {
    let file = data.join("rave.db");
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Every run as its events make it, in the order in which they were asked for.
///
/// # Panics
/// When the events of one cannot be replayed, or its row says something else.
#[must_use]
pub fn journal(data: &Path) -> Vec<Run> {
    let connection = open(data);
    let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    let mut statement = connection
        .prepare("SELECT run_id, payload FROM events ORDER BY run_id, seq")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let payload: String = row.get(1).unwrap();
        let mut payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
        let event = serde_json::from_value(payload["data"].take()).unwrap();
        events.entry(row.get(0).unwrap()).or_default().push(event);
    }
    let mut runs: Vec<Run> = events
        .into_values()
        .map(|events| Run::replay(events).unwrap())
        .collect();
    runs.sort_by_key(|run| (run.created_at, run.id.clone()));
    for run in &runs {
        let query = "SELECT status FROM runs WHERE id = ?1";
        let status: String = connection
            .query_row(query, [run.id.as_str()], |row| row.get(0))
            .unwrap();
        assert_eq!(status, run.status.as_str(), "the row of {}", run.id);
    }
    runs
}

/// Whether a request is on record together with its answer, by the event id of its vendor or its
/// `Idempotency-Key`.
#[must_use]
pub fn answered(data: &Path, id: &str) -> bool {
    let query = "SELECT 1 FROM inbox WHERE id = ?1 AND answer IS NOT NULL";
    let connection = open(data);
    let mut statement = connection.prepare(query).unwrap();
    statement.exists([id]).unwrap()
}

/// How many rows of a table are so: `count(data, "outbox", "done_at IS NULL")`.
#[must_use]
pub fn count(data: &Path, table: &str, condition: &str) -> u32 {
    let query = format!("SELECT count(*) FROM {table} WHERE {condition}");
    open(data).query_row(&query, [], |row| row.get(0)).unwrap()
}
