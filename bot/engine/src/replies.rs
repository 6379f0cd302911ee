//! Every text about runs and plans that people read, as pure functions.

use std::time::Duration;

use rave_domain::ids::PersonId;
use rave_domain::people::Strength;
use rave_domain::plan::{ApprovalNeed, Class, Plan, PlannedStep, StepRole, Undo};
use rave_domain::reply::{Block, Button, Press, Reply, StepLine, Tone};
use rave_domain::request::Decision;
use rave_domain::run::{ApprovalProgress, EndReason, Run, RunStatus, Step, StepStatus};
use rave_domain::time::{Timestamp, between};

use crate::api::RunSnapshot;

/// Steps shown in a message; more are counted.
const STEPS_SHOWN: usize = 40;

/// Lines of output shown in a final message.
const TAIL_LINES: usize = 12;

/// What would happen, for `/rave plan` and dry runs.
pub(crate) fn plan(plan: &Plan, approvers: &[Vec<String>]) -> Reply {
    let mut reply = Reply::default().with(Block::Heading(format!(
        "Plan of {}: nothing has been done.",
        names(plan)
    )));
    reply = plan_blocks(reply, plan);
    for (need, people) in plan.approvals.iter().zip(approvers) {
        let who = if people.is_empty() {
            "nobody may approve it at the moment".to_owned()
        } else {
            format!("{} may approve", people.join(", "))
        };
        reply = reply.with(Block::Text(format!(
            "{} needs {}: {who}.",
            need.intent,
            approvals_phrase(need.required)
        )));
    }
    reply
}

/// The parts of a plan that an approver must see: commands, blast radius, the way back, warnings.
fn plan_blocks(mut reply: Reply, plan: &Plan) -> Reply {
    let lines = (1_u32..)
        .zip(&plan.steps)
        .take(STEPS_SHOWN)
        .map(|(number, step)| StepLine {
            number,
            title: step.operation.intent.to_string(),
            state: format!("{} {}", step.operation.action, step.operation.target),
            note: step_notes(plan, step),
        })
        .collect();
    reply = reply.with(Block::Steps(lines));
    if plan.steps.len() > STEPS_SHOWN {
        reply = reply.with(Block::Text(format!(
            "… and {} more steps.",
            plan.steps.len() - STEPS_SHOWN
        )));
    }
    let commands: Vec<String> = plan
        .steps
        .iter()
        .take(STEPS_SHOWN)
        .flat_map(|step| step.preview.commands.iter())
        .map(|argv| argv.join(" "))
        .collect();
    if !commands.is_empty() {
        reply = reply.with(Block::Code(commands.join("\n")));
    }
    let touched: Vec<String> = plan.blast_radius().into_iter().collect();
    let mut fields = vec![
        ("Touches".to_owned(), touched.join(", ")),
        ("Plan".to_owned(), plan.digest.short()),
    ];
    if plan.steps.iter().any(|step| step.lock.is_some()) {
        // The lock keeps other runs out; only an agent of ours could turn a late command away.
        fields.push((
            "Fencing".to_owned(),
            "none: a command that has left Rave cannot be recalled".to_owned(),
        ));
    }
    reply = reply.with(Block::Fields(fields));
    let warnings = plan.steps.iter().flat_map(|step| {
        let intent = step.operation.intent.as_str();
        step.preview
            .warnings
            .iter()
            .map(move |warning| (warning.clone(), intent))
    });
    let warnings: Vec<String> = grouped(warnings)
        .into_iter()
        .map(|(warning, intents)| format!("{}: {warning}", listed(&intents)))
        .collect();
    if !warnings.is_empty() {
        reply = reply.with(Block::List(warnings));
    }
    reply
}

fn step_notes(plan: &Plan, step: &PlannedStep) -> String {
    let mut notes = Vec::new();
    if step.role == StepRole::Dependency {
        notes.push("a dependency".to_owned());
    }
    let after: Vec<String> = step
        .needs
        .iter()
        .chain(&step.after)
        .filter_map(|id| plan.step(*id))
        .map(|before| before.operation.intent.to_string())
        .collect();
    if !after.is_empty() {
        notes.push(format!("after {}", after.join(", ")));
    }
    notes.push(match &step.undo {
        Undo::Own { summary, .. } => format!("undo: {summary}"),
        Undo::Intent { operation, .. } => format!("undo: {}", operation.intent),
        Undo::None if step.operation.class == Class::Read => "changes nothing".to_owned(),
        Undo::None => "cannot be undone".to_owned(),
    });
    notes.join("; ")
}

/// A run as it stands: the one live message that a chat keeps about it.
pub(crate) fn run(snapshot: &RunSnapshot, now: Timestamp) -> Reply {
    let run = &snapshot.run;
    let mut reply = Reply::default()
        .about(run.id.clone())
        .to_conversation()
        .tone(tone(run))
        .with(Block::Heading(headline(snapshot)));
    reply = match run.status {
        RunStatus::Planned | RunStatus::AwaitingApproval => awaiting(reply, run),
        RunStatus::Queued
        | RunStatus::Running
        | RunStatus::Compensating
        | RunStatus::Succeeded
        | RunStatus::Failed
        | RunStatus::Cancelled
        | RunStatus::NeedsAttention => reply.with(Block::Steps(step_lines(run, now))),
    };
    if let Some(text) = explanation(run) {
        reply = reply.with(Block::Text(text));
    }
    if let Some(tail) = failure_tail(run) {
        reply = reply.with(Block::Code(tail));
    }
    let buttons = buttons(run);
    if buttons.is_empty() {
        reply
    } else {
        reply.with(Block::Buttons(buttons))
    }
}

/// What the asker is told at once when a message of its own tells the rest.
pub(crate) fn noted(snapshot: &RunSnapshot) -> Reply {
    let run = &snapshot.run;
    let text = match run.status {
        RunStatus::AwaitingApproval | RunStatus::Planned => {
            format!("{} waits for approval; its message is below.", run.id)
        }
        RunStatus::Queued => format!("{} waits its turn; its message is below.", run.id),
        RunStatus::Running
        | RunStatus::Compensating
        | RunStatus::Succeeded
        | RunStatus::Failed
        | RunStatus::Cancelled
        | RunStatus::NeedsAttention => format!("{} has begun; its message is below.", run.id),
    };
    Reply::text(text)
}

/// The short answer to whoever moved a run whose own message tells the rest.
pub(crate) fn moved(snapshot: &RunSnapshot) -> Reply {
    let headline = headline(snapshot);
    Reply::text(format!("{headline} Its message tells the rest."))
}

/// The short answer to a decision; the run's own message tells the rest.
pub(crate) fn decided(snapshot: &RunSnapshot, by: &PersonId, decision: Decision) -> Reply {
    let run = &snapshot.run;
    let text = match decision {
        Decision::Deny => format!("{by} denied {}. Nothing was done.", run.id),
        Decision::Approve if run.status == RunStatus::AwaitingApproval => {
            let missing: u32 = run
                .approval_progress()
                .iter()
                .map(ApprovalProgress::missing)
                .max()
                .unwrap_or_default();
            format!(
                "{by} approved {}. It still needs {} from other people.",
                run.id,
                approvals_phrase(missing)
            )
        }
        // A run that ends at this moment ends for a reason that the approver should hear.
        Decision::Approve => match explanation(run) {
            Some(why) => format!("{by} approved it. {} {why}", headline(snapshot)),
            None => format!("{by} approved it. {}", headline(snapshot)),
        },
    };
    Reply::text(text)
        .about(run.id.clone())
        .to_conversation()
        .tone(tone(run))
}

fn tone(run: &Run) -> Tone {
    match run.status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Failed => Tone::Bad,
        RunStatus::Cancelled | RunStatus::NeedsAttention | RunStatus::Compensating => Tone::Warning,
        RunStatus::Planned
        | RunStatus::AwaitingApproval
        | RunStatus::Queued
        | RunStatus::Running => Tone::Neutral,
    }
}

fn headline(snapshot: &RunSnapshot) -> String {
    let run = &snapshot.run;
    let what = names(&run.plan);
    let (is, was, s) = if run.plan.requested.len() == 1 {
        ("is", "was", "s")
    } else {
        ("are", "were", "")
    };
    let state = match run.status {
        RunStatus::Planned | RunStatus::AwaitingApproval => {
            return format!(
                "{}: {what}, asked for by {}, await{s} approval.",
                run.id, run.origin.person
            );
        }
        RunStatus::Queued => match (snapshot.queue_position, &snapshot.hold) {
            (Some(ahead), _) => format!(
                "{is} queued behind {ahead} {} with the same lock",
                if ahead == 1 { "run" } else { "runs" }
            ),
            (None, Some(hold)) => format!("{is} queued: {hold}"),
            (None, None) => format!("{is} queued"),
        },
        RunStatus::Running if run.cancel.is_some() => format!("{is} being stopped"),
        RunStatus::Running => match &snapshot.hold {
            Some(hold) => format!("wait{s}: {hold}"),
            None => format!("{is} running"),
        },
        RunStatus::Compensating => format!("{is} being undone"),
        RunStatus::Succeeded => "succeeded".to_owned(),
        RunStatus::Failed => "failed".to_owned(),
        RunStatus::Cancelled => format!("{was} cancelled"),
        RunStatus::NeedsAttention => format!("need{s} attention"),
    };
    format!("{}: {what} {state}.", run.id)
}

fn awaiting(mut reply: Reply, run: &Run) -> Reply {
    reply = plan_blocks(reply, &run.plan);
    let progress = run.approval_progress();
    let needs = progress
        .iter()
        .zip(&run.plan.approvals)
        .map(|(progress, need)| (need_phrase(run, progress, need), need.intent.as_str()));
    for (phrase, intents) in grouped(needs) {
        let verb = if intents.len() == 1 { "needs" } else { "need" };
        reply = reply.with(Block::Text(format!(
            "{} {verb} {phrase}.",
            listed(&intents)
        )));
    }
    reply
}

/// What one approval need still asks for: "one approval of oncall, other than ann".
fn need_phrase(run: &Run, progress: &ApprovalProgress, need: &ApprovalNeed) -> String {
    let roles: Vec<String> = need.from.iter().map(ToString::to_string).collect();
    let from = if roles.is_empty() {
        String::new()
    } else {
        format!(" of {}", roles.join(" or "))
    };
    let strength = match need.strength {
        Strength::Token => String::new(),
        Strength::Sealed | Strength::Signed | Strength::Totp => {
            format!(" over a surface that is at least {}", need.strength)
        }
    };
    let have: Vec<String> = progress
        .approved_by
        .iter()
        .map(ToString::to_string)
        .collect();
    let have = if have.is_empty() {
        String::new()
    } else {
        format!("; {} approved", have.join(" and "))
    };
    format!(
        "{}{from}{strength}, other than {}{have}",
        approvals_phrase(need.required),
        run.origin.person
    )
}

/// Texts with the names they are about, equal texts together, in the order of their first.
fn grouped<'a>(about: impl Iterator<Item = (String, &'a str)>) -> Vec<(String, Vec<&'a str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (text, name) in about {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    groups
}

fn approvals_phrase(required: u32) -> String {
    match required {
        1 => "one approval".to_owned(),
        n => format!("{n} approvals"),
    }
}

/// The sentence that says why a run is as it is.
pub(crate) fn explanation(run: &Run) -> Option<String> {
    if run.status == RunStatus::NeedsAttention {
        let steps: Vec<String> = run
            .unknown_steps()
            .map(|step| {
                format!(
                    "Look whether step {} ({}) took place, then say: /rave resolve {} {} happened, did-not or again.",
                    step.id,
                    run.title(step),
                    run.id,
                    step.id
                )
            })
            .collect();
        return Some(steps.join(" "));
    }
    let with_reason = |text: String, reason: &str| {
        if reason.is_empty() {
            format!("{text}.")
        } else {
            format!("{text}: {reason}")
        }
    };
    match &run.reason {
        Some(EndReason::Denied { by, reason }) => {
            Some(with_reason(format!("{by} denied it"), reason))
        }
        Some(EndReason::ApprovalExpired) => Some("Nobody decided in time.".to_owned()),
        Some(EndReason::StartExpired) => {
            Some("It was approved, but could not start in time.".to_owned())
        }
        Some(EndReason::Voided { changes }) => Some(format!(
            "The plan is no longer the one that was approved: {}. Nothing was done; ask again.",
            changes.join("; ")
        )),
        Some(EndReason::Cancelled { by, reason }) => {
            Some(with_reason(format!("{by} cancelled it"), reason))
        }
        Some(EndReason::LockBroken { lock, by }) => Some(format!("{by} broke its lock {lock}.")),
        Some(EndReason::UndoFailed) => Some(
            "The undo failed too: look at the target before anything else is done to it."
                .to_owned(),
        ),
        None => None,
    }
}

/// The end of what the failed step printed.
fn failure_tail(run: &Run) -> Option<String> {
    if !run.status.is_terminal() && run.status != RunStatus::NeedsAttention {
        return None;
    }
    let step = run.steps.iter().find(|step| {
        matches!(
            step.status,
            StepStatus::Failed(_) | StepStatus::Unknown { .. }
        )
    })?;
    let tail = last_lines(&step.tail, TAIL_LINES);
    (!tail.trim().is_empty()).then_some(tail)
}

/// The last so many lines of a text.
pub(crate) fn last_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(most);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn buttons(run: &Run) -> Vec<Button> {
    let button = |label: &str, press| Button {
        label: label.to_owned(),
        press,
        run: run.id.clone(),
    };
    match run.status {
        RunStatus::Planned | RunStatus::AwaitingApproval => vec![
            button("Approve", Press::Approve),
            button("Deny", Press::Deny),
            button("Cancel", Press::Cancel),
        ],
        RunStatus::Queued | RunStatus::Running => vec![button("Cancel", Press::Cancel)],
        RunStatus::Failed | RunStatus::Cancelled => vec![
            button("Retry", Press::Retry),
            button("Show log", Press::ShowLog),
        ],
        RunStatus::Compensating | RunStatus::Succeeded | RunStatus::NeedsAttention => {
            vec![button("Show log", Press::ShowLog)]
        }
    }
}

/// A run's steps, one line each.
pub(crate) fn step_lines(run: &Run, now: Timestamp) -> Vec<StepLine> {
    run.steps
        .iter()
        .take(STEPS_SHOWN)
        .map(|step| StepLine {
            number: step.id.0 + 1,
            title: run.title(step),
            state: step_word(&step.status).to_owned(),
            note: step_note(step, now),
        })
        .collect()
}

/// A step's state for people: that a claim comes before the effect is Rave's own business.
fn step_word(status: &StepStatus) -> &'static str {
    if *status == StepStatus::Claimed {
        StepStatus::Running.as_str()
    } else {
        status.as_str()
    }
}

fn step_note(step: &Step, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(started) = step.started_at {
        let until = step.ended_at.unwrap_or(now);
        // Something that has only just begun needs no stopwatch.
        if step.ended_at.is_some() || between(started, until) >= Duration::from_secs(1) {
            parts.push(duration(started, until));
        }
    }
    if step.attempts.0 > 1 {
        parts.push(format!("attempt {}", step.attempts.0));
    }
    match &step.status {
        StepStatus::Failed(failure) => parts.push(failure.message.clone()),
        StepStatus::Unknown { why } => parts.push(why.clone()),
        StepStatus::Pending { retry_at: Some(at) } => {
            parts.push(format!("tried again in {}", duration(now, *at)));
        }
        StepStatus::Pending { retry_at: None }
        | StepStatus::Claimed
        | StepStatus::Running
        | StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Cancelled => {}
    }
    parts.join(", ")
}

/// A duration in words short enough for a list.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let took = between(from, to);
    let seconds = took.as_secs();
    match seconds {
        0 => format!("{} ms", took.as_millis()),
        1..=9 => format!("{:.1} s", took.as_secs_f64()),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// The intents of a plan, for a headline.
pub(crate) fn names(plan: &Plan) -> String {
    let names: Vec<&str> = plan
        .requested
        .iter()
        .map(rave_domain::IntentName::as_str)
        .collect();
    listed(&names)
}

/// Names as a phrase, long lists shortened.
fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first, .., last] if names.len() > 4 => {
            format!("{first}, {} more and {last}", names.len() - 2)
        }
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}
