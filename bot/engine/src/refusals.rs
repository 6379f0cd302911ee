//! Refusals of requests that never became one: the first from a source is a row and an alert at
//! once, those of the following minute are counted into one more.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rave_domain::audit::{AuditEntry, AuditResult};
use rave_domain::ports::courier::Alert;
use rave_domain::ports::store::Write;
use rave_domain::time::{Timestamp, after};
use serde_json::json;

use crate::api::Refusal;
use crate::records;
use crate::shared::{Shared, lock};

/// How long refusals from one source are counted together.
const WINDOW: Duration = Duration::from_mins(1);

/// Sources counted at once; beyond it, new sources share one counter.
const MOST_SOURCES: usize = 10_000;

/// Sources that were refused within the last minute.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    sources: Mutex<BTreeMap<String, Counted>>,
}

#[derive(Debug)]
struct Counted {
    until: Timestamp,
    more: u64,
    last: Refusal,
}

impl Refusals {
    /// Notes a refusal; true when it is the first of its source within a minute.
    fn note(&self, refusal: &Refusal) -> bool {
        let mut sources = lock(&self.sources);
        let mut source = source(refusal);
        if sources.len() >= MOST_SOURCES && !sources.contains_key(&source) {
            source = format!("{}|others", refusal.event);
        }
        if let Some(counted) = sources.get_mut(&source) {
            counted.more += 1;
            counted.last = refusal.clone();
            return false;
        }
        let counted = Counted {
            until: after(refusal.at, WINDOW),
            more: 0,
            last: refusal.clone(),
        };
        sources.insert(source, counted);
        true
    }

    /// Takes the sources whose minute is over and that were refused again within it.
    fn take_over(&self, now: Timestamp) -> Vec<(Refusal, u64)> {
        let mut sources = lock(&self.sources);
        let over: Vec<String> = sources
            .iter()
            // One that ends later than any window can was begun before the clock was set back.
            .filter(|(_, counted)| counted.until <= now || counted.until > after(now, WINDOW))
            .map(|(source, _)| source.clone())
            .collect();
        over.into_iter()
            .filter_map(|source| sources.remove(&source))
            .filter(|counted| counted.more > 0)
            .map(|counted| (counted.last, counted.more))
            .collect()
    }
}

fn source(refusal: &Refusal) -> String {
    let who = refusal
        .account
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let address = refusal
        .address
        .map_or_else(String::new, |address| address.to_string());
    format!("{}|{}|{who}|{address}", refusal.event, refusal.surface)
}

impl Shared {
    /// Records a refusal.
    pub(crate) async fn record_refusal(&self, refusal: Refusal) {
        if self.refusals.note(&refusal) {
            self.write_refusal(&refusal, 1).await;
        }
    }

    /// Writes the counted rows of sources whose minute is over.
    pub(crate) async fn sweep_refusals(&self) {
        for (refusal, count) in self.refusals.take_over(self.clock.now()) {
            self.write_refusal(&refusal, count).await;
        }
    }

    async fn write_refusal(&self, refusal: &Refusal, count: u64) {
        let mut writes = vec![Write::Audit(AuditEntry {
            at: refusal.at,
            event: refusal.event.to_owned(),
            category: refusal.category,
            severity: refusal.severity,
            result: AuditResult::Refused,
            person: None,
            account: refusal.account.clone(),
            surface: Some(refusal.surface),
            address: refusal.address,
            target: refusal.target.clone(),
            correlation: String::new(),
            duration_ms: None,
            details: json!({"count": count, "details": refusal.details}),
        })];
        if !refusal.alert.is_empty() && self.couriers.contains_key(records::ALERT_COURIER) {
            let from = refusal
                .address
                .map_or_else(String::new, |address| format!(" from {address}"));
            let times = match count {
                1 => String::new(),
                n => format!(", {n} more times within a minute"),
            };
            let alert = Alert {
                title: refusal.alert.to_owned(),
                text: format!("{}{from}{times}", refusal.target),
                good: false,
                at: refusal.at,
            };
            writes.push(Write::Outbox(records::alert_row(alert, None)));
        }
        if let Err(error) = self.store.commit(writes).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "refusal_not_recorded"
            );
        }
        self.outbox_wake.notify_one();
    }
}
