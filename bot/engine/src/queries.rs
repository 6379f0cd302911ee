//! Requests that only read: answered at once, from memory where a chat waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rave_catalog::{Intent, Schedule, When};
use rave_domain::audit::{Category, Severity};
use rave_domain::ids::{IntentName, RunId, StepId};
use rave_domain::ports::store::{AuditFilter, Page, RunFilter};
use rave_domain::ports::surface::ChatReply;
use rave_domain::reply::{Block, Reply, Tone};
use rave_domain::request::{Query, RunRequest};
use rave_domain::run::{Run, Step};
use rave_domain::{ErrorCode, UserError};
use rave_policy::{Action, Builtin, Leave, RunVerb, Subject, owners};

use crate::api::{Caller, DryRun, Refusal, RunSnapshot};
use crate::cells::Cell;
use crate::journal::store_error;
use crate::judge::{decidables, subject};
use crate::metrics::DryRunLabel;
use crate::output::INLINE_BYTES;
use crate::replies;
use crate::shared::{Rules, Shared};

/// Runs and audit rows in one chat message.
const LISTED: u32 = 15;

/// Bytes of output in one answer to `logs`.
const LOGGED_BYTES: usize = 64 * 1024;

/// Runs in line that are named for each lock.
const NAMED: usize = 5;

impl Shared {
    /// A query to its answer. One that a rule refuses leaves an audit row, like any refusal.
    pub(crate) async fn query(
        self: &Arc<Self>,
        rules: &Rules,
        caller: &Caller,
        query: &Query,
    ) -> Arc<ChatReply> {
        let subject = subject(caller);
        if matches!(query, Query::Help { topic } if topic.is_empty()) {
            return overview(rules, &subject);
        }
        let answer = self.answer(rules, caller, &subject, query).await;
        let reply = answer.unwrap_or_else(|error| {
            if matches!(
                error.code,
                ErrorCode::PolicyDenied | ErrorCode::LabelMismatch
            ) {
                self.refuse_query(caller, query, &error);
            }
            Reply::error(&error)
        });
        Arc::new(reply.into())
    }

    fn refuse_query(self: &Arc<Self>, caller: &Caller, query: &Query, error: &UserError) {
        let (event, target) = match query {
            Query::Plan(request) => ("intent_denied", crate::intake::names(request)),
            Query::Help { .. }
            | Query::Intents
            | Query::Runs
            | Query::Show { .. }
            | Query::Logs { .. }
            | Query::Schedules
            | Query::Whoami
            | Query::Locks
            | Query::Freezes
            | Query::Audit
            | Query::Status => ("read.refused", String::new()),
        };
        self.refuse_in_chat(caller, event, target, error);
    }

    /// Leaves an audit row and an alert about something that a rule refused before it was recorded.
    pub(crate) fn refuse_in_chat(
        self: &Arc<Self>,
        caller: &Caller,
        event: &'static str,
        target: String,
        error: &UserError,
    ) {
        let refusal = Refusal {
            at: self.clock.now(),
            event,
            category: Category::Authorization,
            severity: Severity::Warning,
            surface: caller.account.surface,
            address: caller.address,
            account: Some(caller.account.clone()),
            target,
            alert: "Policy denial",
            details: BTreeMap::from([
                ("code".to_owned(), error.code.to_string()),
                ("reason".to_owned(), error.message.clone()),
            ]),
        };
        let shared = Arc::clone(self);
        self.tasks
            .spawn(async move { shared.record_refusal(refusal).await });
    }

    async fn answer(
        self: &Arc<Self>,
        rules: &Rules,
        caller: &Caller,
        subject: &Subject,
        query: &Query,
    ) -> Result<Reply, UserError> {
        let may = may_ask(rules, subject);
        match query {
            Query::Help { topic } => {
                rave_catalog::help::topic(&rules.catalog, topic, &may).map(|topic| topic.reply())
            }
            Query::Intents => Ok(rave_catalog::help::listing(&rules.catalog, &may).reply()),
            Query::Plan(request) => {
                let dry = self.dry_run(rules, subject, request).await?;
                Ok(replies::plan(&dry.plan, &dry.approvers))
            }
            Query::Runs => self.list_runs(rules, subject).await,
            Query::Show { run } => {
                let snapshot = self.readable_run(rules, subject, run).await?;
                Ok(replies::run(&snapshot, self.clock.now()))
            }
            Query::Logs { run } => self.logs(rules, subject, run).await,
            Query::Schedules => {
                self.may(rules, subject, Builtin::ScheduleRead)?;
                Ok(schedules(rules))
            }
            Query::Whoami => Ok(whoami(caller)),
            Query::Locks => Ok(self.locks_reply()),
            Query::Freezes => Ok(self.freezes_reply()),
            Query::Audit => {
                self.may(rules, subject, Builtin::AuditRead)?;
                self.audit_reply().await
            }
            Query::Status => Ok(self.status_reply().await),
        }
    }

    pub(crate) fn may(
        &self,
        rules: &Rules,
        subject: &Subject,
        action: Builtin,
    ) -> Result<(), UserError> {
        rules
            .policy
            .decide(subject, Action::Builtin(action, None))
            .map(|_| ())
            .map_err(UserError::from)
    }

    /// Plans and judges without leaving a trace.
    pub(crate) async fn dry_run(
        self: &Arc<Self>,
        rules: &Rules,
        subject: &Subject,
        request: &RunRequest,
    ) -> Result<DryRun, UserError> {
        let planned = self.plan(rules, request).await?;
        let plan = self.judge(rules, subject, planned.plan)?.into_inner().0;
        let operations = plan.steps.iter().map(|step| &step.operation);
        self.metrics.requested(operations, DryRunLabel::DryRun);
        let person = subject.person();
        let owners = owners(person);
        let approvers = decidables(&plan, &person.id, &owners)
            .iter()
            .map(|need| {
                rules
                    .policy
                    .eligible(need)
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            })
            .collect();
        Ok(DryRun {
            plan: Arc::new(plan),
            approvers,
        })
    }

    /// A run as it stands, open or ended.
    pub(crate) async fn find_run(self: &Arc<Self>, id: &RunId) -> Result<RunSnapshot, UserError> {
        if let Some(cell) = self.cells.live(id) {
            return Ok(self.snapshot(&cell));
        }
        let read = self.read_run(id).await;
        let run = read.map_err(|error| store_error(&error))?.ok_or_else(|| {
            UserError::new(ErrorCode::UnknownRun, format!("there is no run {id}"))
                .hint("`/rave runs` lists the recent ones")
        })?;
        Ok(self.snapshot_of(Arc::new(run)))
    }

    /// A run for somebody who may read it; others hear that there is none.
    pub(crate) async fn readable_run(
        self: &Arc<Self>,
        rules: &Rules,
        subject: &Subject,
        id: &RunId,
    ) -> Result<RunSnapshot, UserError> {
        let snapshot = self.find_run(id).await?;
        if self
            .allowed(rules, subject, RunVerb::Read, &snapshot.run)
            .is_err()
        {
            return Err(
                UserError::new(ErrorCode::UnknownRun, format!("there is no run {id}"))
                    .hint("`/rave runs` lists the recent ones"),
            );
        }
        Ok(snapshot)
    }

    pub(crate) fn snapshot(&self, cell: &Cell) -> RunSnapshot {
        self.snapshot_of(cell.current())
    }

    fn snapshot_of(&self, run: Arc<Run>) -> RunSnapshot {
        RunSnapshot {
            queue_position: self.locks.position(&run.id),
            hold: self.cells.hold(&run.id),
            run,
        }
    }

    /// A step's whole output: live, from its chunk file, or from its event.
    pub(crate) async fn step_output(&self, run: &Run, step: &Step) -> Result<String, UserError> {
        if let Some(live) = self.cells.live(&run.id).and_then(|cell| cell.live(step.id)) {
            let mut text = live.text();
            if let Some(progress) = live.progress_line() {
                text.push_str(&format!("\n{progress}"));
            }
            return Ok(text);
        }
        let Some(chunk) = &step.output else {
            return Ok(step.tail.clone());
        };
        let content = self
            .store
            .chunk(chunk)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(match content {
            Some(content) => String::from_utf8_lossy(&content).into_owned(),
            None => format!("(only the end is kept)\n{}", step.tail),
        })
    }

    async fn list_runs(&self, rules: &Rules, subject: &Subject) -> Result<Reply, UserError> {
        let page = Page {
            cursor: None,
            limit: LISTED,
        };
        let runs = self
            .store
            .runs(&RunFilter::default(), &page)
            .await
            .map_err(|error| store_error(&error))?;
        let mut lines = Vec::new();
        for row in runs.items {
            let visible = row.person == subject.person().id
                || row
                    .intents
                    .iter()
                    .any(|intent| rules.policy.may_ask(subject, intent) != Leave::No);
            if visible {
                let names: Vec<&str> = row.intents.iter().map(IntentName::as_str).collect();
                lines.push(format!(
                    "{} {}: {} by {}",
                    row.id,
                    row.status,
                    names.join(", "),
                    row.person
                ));
            }
        }
        if lines.is_empty() {
            return Ok(Reply::text("There are no runs yet."));
        }
        Ok(Reply::default().with(Block::List(lines)))
    }

    async fn logs(
        self: &Arc<Self>,
        rules: &Rules,
        subject: &Subject,
        id: &RunId,
    ) -> Result<Reply, UserError> {
        let run = self.readable_run(rules, subject, id).await?.run;
        let mut shown: Vec<[Block; 2]> = Vec::new();
        let mut left = LOGGED_BYTES;
        let mut left_out = 0;
        // What is latest matters most when not everything fits.
        for step in run.steps.iter().rev() {
            let (text, cut) = self.last_output(&run, step);
            if text.trim().is_empty() {
                continue;
            }
            if text.len() > left {
                left_out += 1;
                continue;
            }
            left -= text.len();
            let title = run.title(step);
            let heading = if cut {
                format!("{title} (the last {} KiB):", INLINE_BYTES / 1024)
            } else {
                format!("{title}:")
            };
            shown.push([Block::Text(heading), Block::Code(text)]);
        }
        if shown.is_empty() {
            return Ok(Reply::text(format!("{id} has printed nothing so far.")));
        }
        let mut reply = Reply::default().about(id.clone());
        if left_out > 0 {
            let note = format!("The output of {left_out} more steps is left out; the API has it.");
            reply = reply.with(Block::Text(note));
        }
        for block in shown.into_iter().rev().flatten() {
            reply = reply.with(block);
        }
        Ok(reply)
    }

    /// The last part of a step's output, and whether something stands before it. Needs no chunk
    /// file: the event of a step that has ended holds this part.
    fn last_output(&self, run: &Run, step: &Step) -> (String, bool) {
        match self.cells.live(&run.id).and_then(|cell| cell.live(step.id)) {
            Some(live) => {
                let (mut text, cut) = live.last_part();
                if let Some(progress) = live.progress_line() {
                    text.push_str(&format!("\n{progress}"));
                }
                (text, cut)
            }
            None => (step.tail.clone(), step.output.is_some()),
        }
    }

    fn locks_reply(&self) -> Reply {
        let lines: Vec<String> = self
            .locks
            .view()
            .iter()
            .map(|lock| {
                let holder = lock
                    .holder
                    .as_ref()
                    .map_or_else(|| "free".to_owned(), |run| format!("held by {run}"));
                let named = lock.waiting.iter().take(NAMED).map(ToString::to_string);
                let named: Vec<String> = named.collect();
                let more = lock.waiting.len() - named.len();
                match (named.is_empty(), more) {
                    (true, _) => format!("{}: {holder}", lock.key),
                    (false, 0) => format!("{}: {holder}; next {}", lock.key, named.join(", ")),
                    (false, more) => {
                        let named = named.join(", ");
                        format!("{}: {holder}; next {named} and {more} more", lock.key)
                    }
                }
            })
            .collect();
        if lines.is_empty() {
            Reply::text("Nothing is locked.")
        } else {
            Reply::default().with(Block::List(lines))
        }
    }

    fn freezes_reply(&self) -> Reply {
        let lines: Vec<String> = crate::shared::lock(&self.freezes)
            .iter()
            .map(|freeze| {
                format!(
                    "{} since {} by {}: {}",
                    freeze.scope, freeze.since, freeze.by, freeze.reason
                )
            })
            .collect();
        if lines.is_empty() {
            Reply::text("Nothing is frozen.")
        } else {
            Reply::default().with(Block::List(lines))
        }
    }

    async fn audit_reply(&self) -> Result<Reply, UserError> {
        let page = Page {
            cursor: None,
            limit: LISTED,
        };
        let rows = self
            .store
            .audit(&AuditFilter::default(), &page)
            .await
            .map_err(|error| store_error(&error))?;
        let lines = rows
            .items
            .iter()
            .map(|row| {
                let who = row
                    .entry
                    .person
                    .as_ref()
                    .map_or_else(|| "nobody known".to_owned(), ToString::to_string);
                format!(
                    "{} {} {} by {who}: {}",
                    row.id, row.entry.at, row.entry.event, row.entry.target
                )
            })
            .collect();
        Ok(Reply::default().with(Block::List(lines)))
    }

    async fn status_reply(self: &Arc<Self>) -> Reply {
        let health = self.health().await;
        let faults: Vec<String> = health
            .iter()
            .filter_map(|part| {
                part.fault
                    .as_ref()
                    .map(|fault| format!("{}: {fault}", part.part))
            })
            .collect();
        let fields = vec![
            ("Open runs".to_owned(), self.cells.count().to_string()),
            ("Intents".to_owned(), self.rules().catalog.len().to_string()),
        ];
        if faults.is_empty() {
            Reply::text("All parts are well.").with(Block::Fields(fields))
        } else {
            Reply::text("Some parts need a look.")
                .tone(Tone::Warning)
                .with(Block::List(faults))
                .with(Block::Fields(fields))
        }
    }

    /// One step of a run that the caller may read.
    pub(crate) fn step_of(run: &Run, step: StepId) -> Result<&Step, UserError> {
        run.step(step).ok_or_else(|| {
            UserError::new(
                ErrorCode::UnknownStep,
                format!("{} has no step {step}", run.id),
            )
        })
    }
}

/// Whether somebody may ask for an intent, for help and listings.
fn may_ask(rules: &Rules, subject: &Subject) -> impl Fn(&Intent) -> bool {
    move |intent| rules.policy.may_ask(subject, &intent.name) != Leave::No
}

fn overview(rules: &Rules, subject: &Subject) -> Arc<ChatReply> {
    rules.overviews.get_or(subject.fingerprint(), || {
        rave_catalog::help::overview(&rules.catalog, &may_ask(rules, subject)).reply()
    })
}

fn schedules(rules: &Rules) -> Reply {
    let lines: Vec<String> = rules
        .catalog
        .schedules()
        .iter()
        .map(schedule_line)
        .collect();
    if lines.is_empty() {
        Reply::text("There are no schedules.")
    } else {
        Reply::default().with(Block::List(lines))
    }
}

fn schedule_line(schedule: &Schedule) -> String {
    let when = match &schedule.when {
        When::Cron(cron) => format!("at {cron}"),
        When::EverySeconds(seconds) => format!("every {seconds} s"),
    };
    let mut line = format!("{}: {} {when}", schedule.name, schedule.intent);
    if let Some(zone) = &schedule.timezone {
        line.push_str(&format!(" ({zone})"));
    }
    if schedule.dry_run {
        line.push_str(", dry run");
    }
    if !schedule.enabled {
        line.push_str(", disabled");
    }
    line
}

fn whoami(caller: &Caller) -> Reply {
    let roles: Vec<String> = caller
        .person
        .roles
        .iter()
        .map(ToString::to_string)
        .collect();
    let roles = if roles.is_empty() {
        "none".to_owned()
    } else {
        roles.join(", ")
    };
    Reply::default().with(Block::Fields(vec![
        ("Person".to_owned(), caller.person.id.to_string()),
        ("Account".to_owned(), caller.account.to_string()),
        ("Roles".to_owned(), roles),
        ("Proven by".to_owned(), caller.strength.to_string()),
    ]))
}
