//! `/orchestrate`: one answer about several intents.
//!
//! Every step is listed once, dependencies too, in the order in which they run. An intent that
//! was asked for and is a dependency of another runs once and counts once.

use http::StatusCode;
use rave_domain::run::RunStatus;
use rave_domain::{IntentName, RunId, UserError};
use rave_engine::api::{DryRun, RunSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::item::{self, Item, Outputs};
use super::one::{PlanFacts, plan_facts, standing, steps};
use crate::schema::RunState;

/// The answer about several intents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManyResults)]
pub(crate) struct Many {
    /// Whether every intent is.
    ok: bool,
    /// Every step once, dependencies too, in the order in which they run; then what could not.
    results: Vec<Item>,
    summary: Summary,
    /// Intents that were named again; they ran once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repeated: Vec<Repeated>,
    /// True in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// Of a dry run: what approvers would see.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanFacts>,
    /// The run; without one nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    run_id: Option<RunId>,
    /// Where the run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RunState>)]
    state: Option<RunStatus>,
    /// Why the run ended, where the state alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What a run that has not ended waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// An intent that was named again.
#[derive(Debug, Serialize, ToSchema)]
struct Repeated {
    #[schema(value_type = String)]
    intent: IntentName,
    /// Always true.
    skipped: bool,
    /// Always `already_executed`.
    reason: &'static str,
}

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
pub(crate) fn planned(dry: Option<&DryRun>, refused: &[Refused], repeated: &[IntentName]) -> Many {
    let mut items: Vec<Item> = dry.map_or_else(Vec::new, |dry| {
        dry.plan.steps.iter().map(item::dry).collect()
    });
    items.extend(refused.iter().map(Refused::item));
    Many {
        dry_run: Some(true),
        plan: dry.map(plan_facts),
        ..answer(items, repeated)
    }
}

/// What a run did, together with what was refused before it. Without a run, `held_back` was not
/// started because of what was refused.
pub(crate) fn orchestrated(
    snapshot: Option<&RunSnapshot>,
    outputs: &Outputs,
    refused: &[Refused],
    held_back: &[IntentName],
    repeated: &[IntentName],
) -> (StatusCode, Many) {
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
    let mut many = answer(items, repeated);
    let Some(snapshot) = snapshot else {
        return (StatusCode::OK, many);
    };
    let run = &snapshot.run;
    many.run_id = Some(run.id.clone());
    many.state = Some(run.status);
    many.reason = run.reason.as_ref().map(item::reason);
    if run.status.is_terminal() {
        return (StatusCode::OK, many);
    }
    many.ok = false;
    many.detail = Some(standing(snapshot));
    (StatusCode::ACCEPTED, many)
}

/// The seed's shape around the items.
fn answer(items: Vec<Item>, repeated: &[IntentName]) -> Many {
    let summary = Summary::of(&items);
    let repeated = repeated.iter().map(|intent| Repeated {
        intent: intent.clone(),
        skipped: true,
        reason: "already_executed",
    });
    Many {
        ok: summary.success == summary.total,
        results: items,
        summary,
        repeated: repeated.collect(),
        dry_run: None,
        plan: None,
        run_id: None,
        state: None,
        reason: None,
        detail: None,
    }
}

/// The seed's three numbers; ours only when they say something.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Summary {
    total: u32,
    success: u32,
    failed: u32,
    /// Intents that were never started.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u32,
    /// Intents that have not ended yet.
    #[serde(skip_serializing_if = "is_zero")]
    pending: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Summary {
    fn of(items: &[Item]) -> Self {
        let mut summary = Self::default();
        for item in items {
            summary.total += 1;
            if item.ok {
                summary.success += 1;
            } else if item.skipped {
                summary.skipped += 1;
            } else if item.error.is_some() {
                summary.failed += 1;
            } else {
                summary.pending += 1;
            }
        }
        summary
    }
}
