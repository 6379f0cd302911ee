//! The audit trail: one row per decision and mutation, linked by hashes.
//!
//! A row is written in the transaction of what it describes. Its link is
//! `SHA-256(previous link ‖ canonical JSON of the row)`, so an edited, removed or inserted row
//! breaks the chain at that place. A cut-off tail or a chain written anew is found only against a
//! head that was anchored elsewhere.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, PersonId};
use crate::people::{Account, Surface};
use crate::plan::canonical_json;
use crate::time::Timestamp;

/// How serious a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody may want to look.
    Warning,
    /// Somebody must look.
    Critical,
}

/// What kind of row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Keys, tokens, signatures, addresses.
    Authentication,
    /// Policy decisions.
    Authorization,
    /// Approvals and denials.
    Approval,
    /// Runs and steps.
    Execution,
    /// Catalog, locks, freezes, schedules.
    Administration,
    /// Deliveries to chats and alerts.
    Delivery,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// It was done or allowed.
    Ok,
    /// It was refused.
    Refused,
    /// It was tried and failed.
    Failed,
}

/// What happened, before it has a place in the chain. Texts are redacted already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The event's name: `run.requested`, `auth.refused`, `intent_succeeded`, …
    pub event: String,
    /// What kind.
    pub category: Category,
    /// How serious.
    pub severity: Severity,
    /// How it ended.
    pub result: AuditResult,
    /// Who, when that is known.
    pub person: Option<PersonId>,
    /// Through which account.
    pub account: Option<Account>,
    /// From which surface.
    pub surface: Option<Surface>,
    /// From which address.
    pub address: Option<IpAddr>,
    /// What it was about: an intent, a run's step, a lock.
    pub target: String,
    /// The request or run it belongs to.
    pub correlation: String,
    /// How long it took, in milliseconds, where that means something.
    pub duration_ms: Option<u64>,
    /// Parameters and details.
    pub details: serde_json::Value,
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number; gapless, from 1.
    pub id: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The link of the row before; zeroes for the first.
    pub previous: Digest,
    /// This row's link.
    pub link: Digest,
}

/// The link before the first row.
#[must_use]
pub fn genesis() -> Digest {
    Digest::from_bytes([0; 32])
}

/// The text of a row that its link covers.
///
/// # Errors
/// Never in practice: an entry is always representable as JSON.
pub fn linked_text(id: u64, entry: &AuditEntry) -> Result<String, serde_json::Error> {
    Ok(Unnumbered::of(entry)?.numbered(id))
}

/// The text of a row that has no number yet. Numbers are given one by one, by whoever appends to
/// the chain; everything else about a text can be done before that, anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnumbered {
    /// From the opening brace to where the number belongs.
    before: String,
    /// From behind it to the closing brace.
    after: String,
}

impl Unnumbered {
    /// The text of an entry.
    ///
    /// # Errors
    /// Never in practice: an entry is always representable as JSON.
    pub fn of(entry: &AuditEntry) -> Result<Self, serde_json::Error> {
        let all = match serde_json::to_value(entry)? {
            Value::Object(all) => all,
            // An entry is a struct, and those are objects.
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        let (before, after): (Map<_, _>, Map<_, _>) =
            all.into_iter().partition(|(key, _)| key.as_str() < "id");
        let mut before = canonical_json(&Value::Object(before));
        before.pop();
        if before.len() > 1 {
            before.push(',');
        }
        let mut after = canonical_json(&Value::Object(after)).split_off(1);
        if after.len() > 1 {
            after.insert(0, ',');
        }
        Ok(Self { before, after })
    }

    /// The text with its number.
    #[must_use]
    pub fn numbered(&self, id: u64) -> String {
        let Self { before, after } = self;
        format!("{before}\"id\":{id}{after}")
    }
}

/// The link of a row's text after the row before.
#[must_use]
pub fn link(previous: &Digest, text: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(previous.bytes());
    hash.update(text.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// What is wrong with a chain, at the first place where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A number is missing or out of order.
    #[error("row {found} follows row {after}: {} rows are missing or out of order", found.saturating_sub(*after).saturating_sub(1))]
    Gap {
        /// The last good row.
        after: u64,
        /// The one that came.
        found: u64,
    },
    /// A row's content is not what its link covers.
    #[error("row {id} was changed after it was written")]
    Edited {
        /// Which.
        id: u64,
    },
    /// A row does not link to the one before.
    #[error("row {id} does not link to the row before it")]
    Broken {
        /// Which.
        id: u64,
    },
    /// An anchored head is not in the chain.
    #[error("row {id} is not the one that was anchored: the chain was cut off or written anew")]
    Anchor {
        /// Which.
        id: u64,
    },
}

/// Checks rows in order and remembers where it is.
#[derive(Debug, Clone)]
pub struct ChainCheck {
    last: u64,
    head: Digest,
}

impl ChainCheck {
    /// Starts before the first row, or after a checkpoint's.
    #[must_use]
    pub fn from(last: u64, head: Digest) -> Self {
        Self { last, head }
    }

    /// Checks the next row.
    ///
    /// # Errors
    /// The first fault; the check cannot go on then.
    pub fn next(&mut self, row: &AuditRow) -> Result<(), ChainFault> {
        if row.id != self.last + 1 {
            return Err(ChainFault::Gap {
                after: self.last,
                found: row.id,
            });
        }
        if row.previous != self.head {
            return Err(ChainFault::Broken { id: row.id });
        }
        let text = linked_text(row.id, &row.entry).unwrap_or_default();
        if link(&row.previous, &text) != row.link {
            return Err(ChainFault::Edited { id: row.id });
        }
        self.last = row.id;
        self.head = row.link;
        Ok(())
    }

    /// The last row checked, and its link.
    #[must_use]
    pub fn head(&self) -> (u64, Digest) {
        (self.last, self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_where_sorted_keys_have_it() {
        let entry = AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            event: "intent_started".to_owned(),
            category: Category::Execution,
            severity: Severity::Info,
            result: AuditResult::Ok,
            person: None,
            account: Some(Account::new(Surface::Mattermost, "u-ann")),
            surface: Some(Surface::Mattermost),
            address: None,
            target: "stack/\"media\"".to_owned(),
            correlation: "run_1".to_owned(),
            duration_ms: Some(3),
            details: serde_json::json!({"id": 7, "z": {"id": null, "a": "ä\n"}}),
        };
        let mut whole = serde_json::to_value(&entry).unwrap();
        whole["id"] = 42.into();
        assert_eq!(linked_text(42, &entry).unwrap(), canonical_json(&whole));
    }
}
