//! The audit row of what was set up outside, where there is a journal that nobody else has open.

use std::path::PathBuf;

use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ports::store::{Store as _, Write};
use rave_domain::{Clock as _, Surface};
use rave_store::Sqlite;
use serde_json::Value;

use crate::config::Config;
use crate::host::SystemClock;

/// What was done.
pub(super) struct Done {
    /// `setup.mattermost`.
    pub(super) event: &'static str,
    /// At whom.
    pub(super) target: String,
    /// How it went.
    pub(super) result: AuditResult,
    /// What was made, or why not.
    pub(super) details: Value,
}

/// Writes the row; a sentence about that.
pub(super) async fn record(config: &Config, done: Done) -> String {
    let file = config.store_file().unwrap_or("rave.db");
    if !config.store.dir.join(file).is_file() {
        return "There is no journal yet, so the audit trail does not know of this.".to_owned();
    }
    let mut options = rave_store::Options::new(&config.store.dir);
    options.file = PathBuf::from(file);
    let store = match Sqlite::open(options) {
        Ok(store) => store,
        Err(error) => return format!("The audit trail does not know of this: {error}."),
    };
    let event = done.event;
    let entry = AuditEntry {
        at: SystemClock.now(),
        event: event.to_owned(),
        category: Category::Administration,
        severity: Severity::Info,
        result: done.result,
        person: None,
        account: None,
        surface: Some(Surface::Cli),
        address: None,
        target: done.target,
        correlation: String::new(),
        duration_ms: None,
        details: done.details,
    };
    let written = store.commit(vec![Write::Audit(entry)]).await;
    store.close().await;
    match written {
        Ok(()) => format!("The audit trail has a row `{event}` about this."),
        Err(error) => format!("The audit trail does not know of this: {error}."),
    }
}
