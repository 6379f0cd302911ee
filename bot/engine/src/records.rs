//! What is written beside an event, in its transaction: audit rows, alerts and messages.

use rave_domain::UserError;
use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ids::StepId;
use rave_domain::people::Surface;
use rave_domain::ports::courier::{Alert, Parcel};
use rave_domain::ports::store::OutboxRow;
use rave_domain::request::Decision;
use rave_domain::run::{Event, Outcome, Run, RunStatus, Step, StepStatus};
use rave_domain::time::{Timestamp, between};
use serde_json::json;

use crate::replies;
use crate::shared::Rules;

/// Characters of error output in an alert, as the seed promises.
const ALERT_OUTPUT: usize = 500;

/// The courier of audit alerts.
pub(crate) const ALERT_COURIER: &str = "discord.audit";

/// An audit row about a run, with the parts that are always the same filled in.
fn entry(run: &Run, at: Timestamp, event: &str) -> AuditEntry {
    AuditEntry {
        at,
        event: event.to_owned(),
        category: Category::Execution,
        severity: Severity::Info,
        result: AuditResult::Ok,
        person: Some(run.origin.person.clone()),
        account: Some(run.origin.account.clone()),
        surface: Some(run.origin.surface),
        address: None,
        target: replies::names(&run.plan),
        correlation: run.id.to_string(),
        duration_ms: None,
        details: json!({}),
    }
}

/// The audit rows of one event. `run` is the state after it.
pub(crate) fn audit(run: &Run, event: &Event) -> Option<AuditEntry> {
    let at = event.at();
    match event {
        Event::Submitted(_) => {
            let mut row = entry(run, at, "run.requested");
            row.address = run.origin.address;
            row.details = json!({
                "request": run.origin.request,
                "digest": run.plan.digest,
                "catalog": run.plan.catalog,
                "policy": run.plan.policy,
                "touches": run.plan.blast_radius(),
                "arguments": run.request.arguments,
                "retry_of": run.origin.retry_of,
            });
            Some(row)
        }
        Event::Decided {
            person,
            account,
            decision,
            reason,
            strength,
            ..
        } => {
            let name = match decision {
                Decision::Approve => "run.approved",
                Decision::Deny => "run.denied",
            };
            let mut row = entry(run, at, name);
            row.category = Category::Approval;
            row.person = Some(person.clone());
            row.surface = Some(account.surface);
            row.account = Some(account.clone());
            row.details =
                json!({"digest": run.plan.digest, "reason": reason, "strength": strength});
            Some(row)
        }
        Event::Expired { timer, .. } => match timer {
            rave_domain::run::Timer::Decide | rave_domain::run::Timer::Start => {
                Some(refused(entry(run, at, "run.expired"), Category::Approval))
            }
            rave_domain::run::Timer::Retry(_) => None,
        },
        Event::Voided { changes, .. } => {
            let mut row = refused(entry(run, at, "run.voided"), Category::Approval);
            row.details = json!({"changes": changes});
            Some(row)
        }
        Event::LockBroken { lock, by, .. } => {
            let mut row = entry(run, at, "lock.lost");
            row.category = Category::Administration;
            row.severity = Severity::Warning;
            row.details = json!({"lock": lock, "by": by});
            Some(row)
        }
        Event::CancelRequested { by, reason, .. } => {
            let mut row = entry(run, at, "run.cancel_requested");
            row.person = Some(by.clone());
            row.details = json!({"reason": reason});
            Some(row)
        }
        Event::Resolved {
            step, verdict, by, ..
        } => {
            let mut row = step_entry(run, *step, at, "step.resolved");
            row.person = Some(by.clone());
            row.severity = Severity::Warning;
            row.details = json!({"verdict": verdict.as_str()});
            Some(row)
        }
        Event::Claimed {
            step,
            attempt,
            epoch,
            ..
        } => {
            let mut row = step_entry(run, *step, at, "intent_started");
            row.details = json!({"attempt": attempt, "epoch": epoch});
            Some(row)
        }
        Event::ClaimRefused { step, failure, .. } => {
            let row = step_entry(run, *step, at, "intent_denied");
            let mut row = refused(row, Category::Authorization);
            row.details = json!({"reason": failure.message, "code": failure.code});
            Some(row)
        }
        Event::Recovered { step, .. } => {
            let mut row = step_entry(run, *step, at, "step.recovered");
            row.severity = Severity::Warning;
            Some(row)
        }
        Event::Reported { step, outcome, .. } => Some(reported(run, *step, at, outcome)),
        Event::LocksGranted { .. } | Event::Started { .. } | Event::Prepared { .. } => None,
    }
}

fn refused(mut row: AuditEntry, category: Category) -> AuditEntry {
    row.category = category;
    row.severity = Severity::Warning;
    row.result = AuditResult::Refused;
    row
}

fn step_entry(run: &Run, step: StepId, at: Timestamp, event: &str) -> AuditEntry {
    let mut row = entry(run, at, event);
    if let Some(step) = run.step(step) {
        row.target = run.operation(step).map_or_else(
            || run.title(step),
            |operation| format!("{} on {}", run.title(step), operation.target),
        );
    }
    row
}

fn reported(run: &Run, id: StepId, at: Timestamp, outcome: &Outcome) -> AuditEntry {
    let step = run.step(id);
    let undo = step.is_some_and(|step| step.undoes().is_some());
    let (name, result, severity, details) = match outcome {
        Outcome::Succeeded { facts } => (
            if undo {
                "intent_rollback"
            } else {
                "intent_succeeded"
            },
            AuditResult::Ok,
            if undo {
                Severity::Warning
            } else {
                Severity::Info
            },
            json!({"facts": facts}),
        ),
        Outcome::Failed {
            failure, may_pass, ..
        } => (
            if undo {
                "intent_rollback"
            } else {
                "intent_failed"
            },
            AuditResult::Failed,
            Severity::Warning,
            json!({"code": failure.code, "error": failure.message, "may_pass": may_pass}),
        ),
        Outcome::Stopped { .. } => (
            "intent_stopped",
            AuditResult::Failed,
            Severity::Warning,
            json!({}),
        ),
        Outcome::Unknown { why } => (
            "intent_unknown",
            AuditResult::Failed,
            Severity::Critical,
            json!({"why": why}),
        ),
    };
    let mut row = step_entry(run, id, at, name);
    row.result = result;
    row.severity = severity;
    row.details = details;
    row.duration_ms = step
        .and_then(|step| step.claimed_at)
        .map(|claimed| millis(between(claimed, at)));
    row
}

/// The audit row of a reload that somebody on the machine asked for.
pub(crate) fn reloaded(at: Timestamp, loaded: Result<&Rules, &UserError>) -> AuditEntry {
    let (result, severity, details) = match loaded {
        Ok(rules) => (
            AuditResult::Ok,
            Severity::Info,
            json!({"digest": rules.catalog.digest(), "policy": rules.policy.hash()}),
        ),
        Err(error) => (
            AuditResult::Refused,
            Severity::Warning,
            json!({"code": error.code, "reason": error.message}),
        ),
    };
    AuditEntry {
        at,
        event: "catalog.reloaded".to_owned(),
        category: Category::Administration,
        severity,
        result,
        person: None,
        account: None,
        surface: Some(Surface::Cli),
        address: None,
        target: "catalog".to_owned(),
        correlation: String::new(),
        duration_ms: None,
        details,
    }
}

/// The audit row of a run's end.
pub(crate) fn ended(run: &Run) -> AuditEntry {
    let at = run.ended_at.unwrap_or(run.updated_at);
    let mut row = entry(run, at, "run.ended");
    row.result = if run.status == RunStatus::Succeeded {
        AuditResult::Ok
    } else {
        AuditResult::Failed
    };
    row.duration_ms = Some(millis(between(run.created_at, at)));
    row.details = json!({"state": run.status, "reason": run.reason});
    row
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The alert of an event, if it is one that somebody must see. `run` is the state after it.
pub(crate) fn alert(run: &Run, event: &Event) -> Option<Alert> {
    let (title, text, good) = match event {
        Event::Reported { step, outcome, .. } => step_alert(run, *step, outcome)?,
        Event::ClaimRefused { failure, .. } => (
            "Policy denial",
            format!(
                "{} of {}: {}",
                replies::names(&run.plan),
                run.origin.person,
                failure.message
            ),
            false,
        ),
        Event::Submitted(_)
        | Event::Decided { .. }
        | Event::Expired { .. }
        | Event::LocksGranted { .. }
        | Event::LockBroken { .. }
        | Event::Started { .. }
        | Event::Voided { .. }
        | Event::Claimed { .. }
        | Event::Prepared { .. }
        | Event::Recovered { .. }
        | Event::CancelRequested { .. }
        | Event::Resolved { .. } => return None,
    };
    Some(Alert {
        title: title.to_owned(),
        text,
        good,
        at: event.at(),
    })
}

/// The alert of a run's end. A failed run has alerted with its failed step, output included.
pub(crate) fn end_alert(run: &Run) -> Option<Alert> {
    let (title, good) = match run.status {
        RunStatus::Succeeded => ("Success", true),
        RunStatus::Cancelled => ("Cancelled", false),
        RunStatus::Failed
        | RunStatus::Planned
        | RunStatus::AwaitingApproval
        | RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Compensating
        | RunStatus::NeedsAttention => return None,
    };
    Some(Alert {
        title: title.to_owned(),
        text: format!(
            "{} by {} ({})",
            replies::names(&run.plan),
            run.origin.person,
            run.id
        ),
        good,
        at: run.ended_at.unwrap_or(run.updated_at),
    })
}

fn step_alert(run: &Run, id: StepId, outcome: &Outcome) -> Option<(&'static str, String, bool)> {
    let step: &Step = run.step(id)?;
    let title = run.title(step);
    let place = format!("{title} ({})", run.id);
    match (outcome, &step.status, step.undoes()) {
        (Outcome::Succeeded { .. }, _, Some(_)) => Some(("Rollback", place, true)),
        (Outcome::Failed { failure, .. }, StepStatus::Failed(_), undo) => {
            let output: String = step.tail.chars().rev().take(ALERT_OUTPUT).collect();
            let output: String = output.chars().rev().collect();
            let heading = match undo {
                Some(_) => "Rollback failed",
                None => "Command failed",
            };
            Some((
                heading,
                format!("{place}: {}\n{output}", failure.message),
                false,
            ))
        }
        (Outcome::Unknown { why }, _, _) => Some((
            "Needs attention",
            format!("{place}: {why}. The run keeps its locks until somebody resolves it."),
            false,
        )),
        (Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Stopped { .. }, _, _) => {
            None
        }
    }
}

/// An outbox row for an alert.
pub(crate) fn alert_row(alert: Alert, run: Option<&Run>) -> OutboxRow {
    OutboxRow {
        id: 0,
        courier: ALERT_COURIER.to_owned(),
        lane: ALERT_COURIER.to_owned(),
        created_at: alert.at,
        due_at: alert.at,
        expires_at: None,
        parcel: Parcel::Alert(alert),
        run: run.map(|run| run.id.clone()),
        attempts: 0,
    }
}

/// What a run's state change means for the conversation it was asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// It left the approval or the queue and runs.
    Started,
    /// A person must say what became of a step.
    Attention,
    /// It is over.
    Ended,
}

/// The milestone between two states, if there is one worth a message.
pub(crate) fn milestone(before: &Run, after: &Run) -> Option<Milestone> {
    if before.status == after.status {
        return None;
    }
    match after.status {
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => Some(Milestone::Ended),
        RunStatus::NeedsAttention => Some(Milestone::Attention),
        RunStatus::Running
            if matches!(
                before.status,
                RunStatus::AwaitingApproval | RunStatus::Queued
            ) =>
        {
            Some(Milestone::Started)
        }
        RunStatus::Planned
        | RunStatus::AwaitingApproval
        | RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Compensating => None,
    }
}
