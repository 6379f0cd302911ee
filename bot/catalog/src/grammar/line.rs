//! From an [`Ask`] back to a line that means the same.

use std::fmt::Write as _;

use rave_domain::request::{Ask, Change, Decision, Identity, Order, Query, RunRequest, Unwind};

use super::HELP_FLAGS;
use super::words::quote;

/// The line, without `/rave`, that [`super::parse`] reads as this request. For hints, buttons on
/// surfaces that have none, and scripts.
#[must_use]
pub fn to_line(ask: &Ask) -> String {
    match ask {
        Ask::Query(query) => query_line(query),
        Ask::Change(change) => change_line(change),
        Ask::Identity(identity) => identity_line(identity),
    }
}

fn query_line(query: &Query) -> String {
    match query {
        Query::Help { topic } => format!("help {topic}").trim_end().to_owned(),
        Query::Intents => "intents".to_owned(),
        Query::Plan(request) => run_line("plan", request),
        Query::Runs => "runs".to_owned(),
        Query::Show { run } => format!("show {run}"),
        Query::Logs { run } => format!("logs {run}"),
        Query::Schedules => "schedules".to_owned(),
        Query::Whoami => "whoami".to_owned(),
        Query::Locks => "locks".to_owned(),
        Query::Freezes => "freezes".to_owned(),
        Query::Audit => "audit".to_owned(),
        Query::Status => "status".to_owned(),
    }
}

fn identity_line(identity: &Identity) -> String {
    match identity {
        Identity::LinkCode => "link".to_owned(),
        Identity::Redeem { code } => format!("link {}", quote(code)),
        Identity::Unlink { account } => format!("unlink {}", quote(account)),
        Identity::EnrolTotp => "link totp".to_owned(),
        Identity::ConfirmTotp { code } => format!("link totp {}", quote(code)),
    }
}

fn change_line(change: &Change) -> String {
    match change {
        Change::Run(request) => run_line("run", request),
        Change::Decide {
            run,
            decision,
            reason,
        } => {
            let verb = match decision {
                Decision::Approve => "approve",
                Decision::Deny => "deny",
            };
            with_reason(&format!("{verb} {run}"), reason)
        }
        Change::Cancel { run, reason } => with_reason(&format!("cancel {run}"), reason),
        Change::Retry { run } => format!("retry {run}"),
        Change::Resolve { run, step, verdict } => {
            format!("resolve {run} {step} {}", verdict.as_str())
        }
        Change::Unlock { lock } => format!("unlock {}", quote(lock.as_str())),
        Change::Freeze { scope, reason } => {
            with_reason(&format!("freeze {}", quote(scope)), reason)
        }
        Change::Unfreeze { scope } => format!("unfreeze {}", quote(scope)),
        Change::Reload => "reload".to_owned(),
        Change::ScheduleRun { name, dry_run } => {
            let flag = if *dry_run { " --dry-run" } else { "" };
            format!("schedule run {}{flag}", quote(name))
        }
    }
}

/// A reason is free text to the end of the line and needs no quotes, unless its last word would
/// be taken for a question.
fn with_reason(line: &str, reason: &str) -> String {
    let last = reason.split_whitespace().next_back().unwrap_or_default();
    if HELP_FLAGS.contains(&last) {
        let quote = if reason.contains('"') { '\'' } else { '"' };
        return format!("{line} {quote}{reason} {quote}");
    }
    format!("{line} {reason}").trim_end().to_owned()
}

fn run_line(verb: &str, request: &RunRequest) -> String {
    let mut line = verb.to_owned();
    // Writing to a string cannot fail.
    for intent in &request.intents {
        let _ = write!(line, " {intent}");
    }
    for (name, values) in &request.arguments {
        for value in values {
            let _ = write!(line, " {name}={}", quote(value));
        }
    }
    let options = &request.options;
    for (is_default, text) in [
        (options.order == Order::Sequential, " --parallel"),
        (options.stop_on_failure, " --stop-on-failure=false"),
        (options.rollback_on_failure, " --rollback-on-failure=false"),
        (options.unwind == Unwind::Step, " --unwind=run"),
    ] {
        if !is_default {
            line.push_str(text);
        }
    }
    line
}
