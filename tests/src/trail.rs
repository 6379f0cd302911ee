//! Whether everything that happened to a run is in the audit trail.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Kinds of events and the audit rows that they leave. Locks granted, starts, readings for an undo
/// and waits that are over leave none.
const ROWS: [(&str, &str); 11] = [
    ("submitted", "'run.requested'"),
    ("decided", "'run.approved', 'run.denied'"),
    ("expired", "'run.expired'"),
    ("voided", "'run.voided'"),
    ("lock_broken", "'lock.lost'"),
    ("cancel_requested", "'run.cancel_requested'"),
    ("resolved", "'step.resolved'"),
    ("claimed", "'intent_started'"),
    ("claim_refused", "'intent_denied'"),
    ("recovered", "'step.recovered'"),
    (
        "reported",
        "'intent_succeeded', 'intent_failed', 'intent_stopped', 'intent_unknown', 'intent_rollback'",
    ),
];

/// Runs of a stopped Rave with something in their journal that is not in the audit trail, or the
/// other way round, and what it is.
///
/// # Panics
/// When the store cannot be read.
#[must_use]
pub fn off_the_record(data: &Path) -> Vec<(String, &'static str)> {
    let file = data.join("rave.db");
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut found = Vec::new();
    for (kind, rows) in ROWS {
        let query = format!(
            "SELECT id FROM runs WHERE
             (SELECT count(*) FROM events WHERE run_id = runs.id AND kind = '{kind}'
              AND (kind <> 'expired' OR payload NOT LIKE '%\"retry\":%'))
             <> (SELECT count(*) FROM audit WHERE correlation = runs.id AND event IN ({rows}))"
        );
        let mut statement = connection.prepare(&query).unwrap();
        let runs = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        found.extend(runs.map(|run| (run.unwrap(), kind)));
    }
    found
}
