//! What stands in a store, as text, to see that nothing was changed.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// Tables that a refused request must leave alone; refusals themselves are audit rows.
const TABLES: [&str; 8] = [
    "runs",
    "events",
    "inbox",
    "ledger",
    "locks",
    "lock_queue",
    "secrets",
    "freezes",
];

/// Every row of the tables that say what happens, in order.
#[must_use]
pub fn dump(data: &Path) -> String {
    let file = data.join("rave.db");
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut out = String::new();
    for table in TABLES {
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            out.push_str(table);
            for column in 0..columns {
                let value = row.get_ref(column).unwrap();
                let _ = match value {
                    ValueRef::Null => write!(out, " -"),
                    ValueRef::Integer(number) => write!(out, " {number}"),
                    ValueRef::Real(number) => write!(out, " {number}"),
                    ValueRef::Text(text) => write!(out, " {}", String::from_utf8_lossy(text)),
                    ValueRef::Blob(bytes) => write!(out, " {}", hex::encode(bytes)),
                };
            }
            out.push('\n');
        }
    }
    out
}
