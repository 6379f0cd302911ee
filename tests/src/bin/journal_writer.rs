//! Writes audit rows to the store in a directory, several at a time, with a WAL that is copied into
//! the database every few commits, and prints the number of each once it is acknowledged. For
//! tests of power loss, which must not open a store in their own process.
//!
//! `journal-writer <directory> <rows>`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program of the tests"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rave_domain::Timestamp;
use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ports::store::{Store as _, Write};
use rave_store::{Options, Sqlite};

/// Callers at once: some share a commit.
const CALLERS: u32 = 4;

/// Small, so that the WAL begins anew many times.
const CHECKPOINT_PAGES: u32 = 40;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory"));
    let rows: u32 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a number of rows");
    let mut options = Options::new(dir);
    options.checkpoint_pages = CHECKPOINT_PAGES;
    let store = Arc::new(Sqlite::open(options).expect("the store can be opened"));
    let next = Arc::new(AtomicU32::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= rows {
                    return;
                }
                let written = store.commit(vec![Write::Audit(row(number))]).await;
                written.expect("a row can be written");
                println!("{number}");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no caller panics");
    }
}

fn row(number: u32) -> AuditEntry {
    AuditEntry {
        at: Timestamp::UNIX_EPOCH,
        event: "written".to_owned(),
        category: Category::Execution,
        severity: Severity::Info,
        result: AuditResult::Ok,
        person: None,
        account: None,
        surface: None,
        address: None,
        target: String::new(),
        correlation: number.to_string(),
        duration_ms: None,
        details: serde_json::json!({"filling": "x".repeat(1500)}),
    }
}
