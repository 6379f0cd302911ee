//! What runs hold while they are open, and must not hold any longer.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// What belongs to open runs only, with the run that has it.
const QUERIES: [(&str, &str); 4] = [
    ("lock", "SELECT holder FROM locks WHERE holder IS NOT NULL"),
    ("place in the queue", "SELECT run_id FROM lock_queue"),
    ("effect", "SELECT run_id FROM ledger WHERE ended_at IS NULL"),
    ("secret", "SELECT run_id FROM secrets"),
];

/// Runs of a store that is not open for writing, each with what it still has.
#[must_use]
pub fn leftovers(data: &Path) -> Vec<(String, &'static str)> {
    let file = data.join("rave.db");
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut found = Vec::new();
    for (what, query) in QUERIES {
        let mut statement = connection.prepare(query).unwrap();
        let runs = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        found.extend(runs.map(|run| (run.unwrap(), what)));
    }
    found
}
