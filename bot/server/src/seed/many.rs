//! `/orchestrate`: one answer about several intents.
//!
//! Every step is listed once, dependencies too, in the order in which they run. An intent that
//! was asked for and is a dependency of another runs once and counts once.

use http::StatusCode;
use rave_domain::{IntentName, UserError};
use rave_engine::api::{DryRun, RunSnapshot};
use serde_json::{Value, json};

use super::item::{self, Item, Outputs};
use super::one::{add_list, plan_facts, standing, steps};

/// An intent of the request that cannot be part of a run, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) intent: String,
    pub(crate) error: UserError,
}

impl Refused {
    fn item(&self) -> Item {
        item::refused_item(&self.intent, &self.error)
    }
}

/// What would happen, and what could not.
pub(crate) fn planned(dry: Option<&DryRun>, refused: &[Refused], repeated: &[IntentName]) -> Item {
    let mut items: Vec<Item> = dry.map_or_else(Vec::new, |dry| {
        dry.plan.steps.iter().map(item::dry).collect()
    });
    items.extend(refused.iter().map(Refused::item));
    let mut body = answer(items, repeated);
    body.insert("dry_run".to_owned(), true.into());
    if let Some(dry) = dry {
        body.insert("plan".to_owned(), plan_facts(dry));
    }
    body
}

/// What a run did, together with what was refused before it. Without a run, `held_back` was not
/// started because of what was refused.
pub(crate) fn orchestrated(
    snapshot: Option<&RunSnapshot>,
    outputs: &Outputs,
    refused: &[Refused],
    held_back: &[IntentName],
    repeated: &[IntentName],
) -> (StatusCode, Item) {
    let mut items: Vec<Item> = snapshot.map_or_else(Vec::new, |snapshot| {
        steps(&snapshot.run, outputs)
            .map(|(_, item)| item)
            .collect()
    });
    items.extend(refused.iter().map(Refused::item));
    if let Some(first) = refused.first() {
        let because = |intent: &IntentName| item::held_back(intent, &first.intent);
        items.extend(held_back.iter().map(because));
    }
    let mut body = answer(items, repeated);
    let Some(snapshot) = snapshot else {
        return (StatusCode::OK, body);
    };
    let run = &snapshot.run;
    body.insert("run_id".to_owned(), run.id.as_str().into());
    body.insert("state".to_owned(), run.status.as_str().into());
    if let Some(why) = &run.reason {
        body.insert("reason".to_owned(), item::reason(why).into());
    }
    if run.status.is_terminal() {
        return (StatusCode::OK, body);
    }
    body.insert("ok".to_owned(), false.into());
    body.insert("detail".to_owned(), standing(snapshot).into());
    (StatusCode::ACCEPTED, body)
}

/// The seed's shape around the items.
fn answer(items: Vec<Item>, repeated: &[IntentName]) -> Item {
    let mut counts = Counts::default();
    for item in &items {
        counts.add(item);
    }
    let mut body = Item::new();
    let ok = counts.success == counts.total;
    body.insert("ok".to_owned(), ok.into());
    let items = items.into_iter().map(Value::Object).collect();
    body.insert("results".to_owned(), Value::Array(items));
    body.insert("summary".to_owned(), counts.summary());
    let repeated = repeated
        .iter()
        .map(|intent| json!({"intent": intent, "skipped": true, "reason": "already_executed"}))
        .collect();
    add_list(&mut body, "repeated", repeated);
    body
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    success: u32,
    failed: u32,
    skipped: u32,
    pending: u32,
}

impl Counts {
    fn add(&mut self, item: &Item) {
        let is = |key: &str| item.get(key).and_then(Value::as_bool).unwrap_or(false);
        self.total += 1;
        if is("ok") {
            self.success += 1;
        } else if is("skipped") {
            self.skipped += 1;
        } else if item.contains_key("error") {
            self.failed += 1;
        } else {
            self.pending += 1;
        }
    }

    /// The seed's three numbers; ours only when they say something.
    fn summary(&self) -> Value {
        let mut summary = Item::new();
        for (name, count) in [
            ("total", self.total),
            ("success", self.success),
            ("failed", self.failed),
        ] {
            summary.insert(name.to_owned(), count.into());
        }
        for (name, count) in [("skipped", self.skipped), ("pending", self.pending)] {
            if count > 0 {
                summary.insert(name.to_owned(), count.into());
            }
        }
        Value::Object(summary)
    }
}
