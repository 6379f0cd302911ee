//! Intake: a change is on disk before anything else happens to it, and happens once.
//!
//! Handlers may be dropped when a client disconnects, so the work is done in a task of its own
//! and the handler only waits for it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ids::{Digest, RequestId, RunId};
use rave_domain::ports::courier::Alert;
use rave_domain::ports::store::{InboxRow, Received, Write};
use rave_domain::ports::surface::ReplyTo;
use rave_domain::redact::Redactor;
use rave_domain::reply::{Block, Reply};
use rave_domain::request::{Change, RunRequest};
use rave_domain::{ErrorCode, UserError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::api::{Caller, Changed, Submission};
use crate::journal::store_error;
use crate::records;
use crate::replies;
use crate::shared::{Rules, Shared, panic_text};

/// How long a repeat of a request waits for the answer to the first.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Pause before a refusal that could not be recorded is written again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// The answer to a request, as it is kept for repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recorded {
    /// It made or moved a run; a repeat gets that run as it is then.
    Run { run: RunId },
    /// It was done.
    Done {
        reply: Reply,
        data: serde_json::Value,
    },
    /// It was refused.
    Refused(UserError),
}

/// A submission under way.
struct Begun {
    /// Its request id, once the request is on disk.
    durable: oneshot::Receiver<RequestId>,
    answer: oneshot::Receiver<Result<Changed, UserError>>,
}

/// What came of making a submission durable.
enum Recording {
    /// It is new and on disk.
    New(Box<Accepted>),
    /// It has been here before.
    Repeat { first: Box<InboxRow>, body: Digest },
}

/// A recorded request on its way through the gate.
#[derive(Clone)]
pub(crate) struct Accepted {
    pub(crate) row: InboxRow,
    pub(crate) caller: Caller,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) rules: Rules,
}

impl Accepted {
    /// The write that records an answer.
    pub(crate) fn answered(&self, answer: &Recorded) -> Write {
        Write::Answered {
            key: self.row.key.clone(),
            answer: serde_json::to_value(answer).unwrap_or_default(),
        }
    }

    /// An audit row about this request, with the parts that are always the same filled in.
    pub(crate) fn audit(&self, at: rave_domain::Timestamp, event: &str) -> AuditEntry {
        AuditEntry {
            at,
            event: event.to_owned(),
            category: Category::Administration,
            severity: Severity::Info,
            result: AuditResult::Ok,
            person: Some(self.caller.person.id.clone()),
            account: Some(self.caller.account.clone()),
            surface: Some(self.caller.account.surface),
            address: self.caller.address,
            target: String::new(),
            correlation: self.row.request.to_string(),
            duration_ms: None,
            details: json!({}),
        }
    }
}

impl Shared {
    /// Records a change and waits for the gate.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        submission: Submission,
    ) -> Result<Changed, UserError> {
        if self.stopping.is_cancelled() {
            return Err(stopping());
        }
        self.begin(submission).answer.await.unwrap_or_else(|_| {
            // The task has panicked; the log has the cause.
            Err(UserError::internal())
        })
    }

    /// Starts the way of a submission in a task of its own. If nobody waits for the answer any
    /// more when it comes, it is posted to where the request came from.
    fn begin(self: &Arc<Self>, submission: Submission) -> Begun {
        let (recorded, durable) = oneshot::channel();
        let (answered, answer) = oneshot::channel();
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let reply_to = submission.reply_to.clone();
            let request = shared.ids.request_id();
            let outcome = match shared.record(submission, request.clone()).await {
                Err(error) => Err(error),
                Ok(Recording::Repeat { first, body }) => shared.repeat(*first, body).await,
                Ok(Recording::New(accepted)) => {
                    // A receiver that is gone waits for the answer only.
                    let _ = recorded.send(request.clone());
                    (shared.fail_point)("inbox.received");
                    let outcome = shared.process_guarded(&accepted).await;
                    if is_held(&outcome) {
                        let _ = answered.send(outcome.map_err(|error| held(&request, &error)));
                        let outcome = shared.process_held(&accepted).await;
                        return shared.answer_late(reply_to, &request, &outcome).await;
                    }
                    outcome
                }
            };
            if let Err(unheard) = answered.send(outcome) {
                shared.answer_late(reply_to, &request, &unheard).await;
            }
        });
        Begun { durable, answer }
    }

    /// Posts an answer that nobody waits for any more.
    pub(crate) async fn answer_late(
        self: &Arc<Self>,
        reply_to: Option<ReplyTo>,
        request: &RequestId,
        outcome: &Result<Changed, UserError>,
    ) {
        let Some(reply_to) = reply_to else { return };
        let reply = match outcome {
            // The run has gone on since.
            Ok(Changed::Run(snapshot)) => match self.find_run(&snapshot.run.id).await {
                Ok(now) => replies::run(&now, self.clock.now()),
                Err(_) => replies::run(snapshot, self.clock.now()),
            },
            Ok(changed) => self.reply(changed),
            Err(error) => Reply::error(error),
        };
        let run = match outcome {
            Ok(Changed::Run(snapshot)) => Some(snapshot.run.id.clone()),
            Ok(Changed::Done { .. }) | Err(_) => None,
        };
        let row = self.addressed(&reply_to, request, run, reply);
        if let Err(error) = self.store.commit(vec![Write::Outbox(row)]).await {
            tracing::error!(request.id = %request, error = &error as &dyn std::error::Error, "answer_not_posted");
        }
        self.outbox_wake.notify_one();
    }

    /// Makes a submission durable, or finds that it has been here before.
    async fn record(
        &self,
        submission: Submission,
        request: RequestId,
    ) -> Result<Recording, UserError> {
        let rules = self.rules();
        let mut change = submission.change;
        let secrets = match &mut change {
            Change::Run(request) => {
                tidy_arguments(&rules, request);
                take_secrets(&rules, request)
            }
            Change::Decide { .. }
            | Change::Cancel { .. }
            | Change::Retry { .. }
            | Change::Resolve { .. }
            | Change::Unlock { .. }
            | Change::Freeze { .. }
            | Change::Unfreeze { .. }
            | Change::Reload
            | Change::ScheduleRun { .. } => BTreeMap::new(),
        };
        let makes_run = matches!(
            change,
            Change::Run(_) | Change::Retry { .. } | Change::ScheduleRun { dry_run: false, .. }
        );
        let row = InboxRow {
            key: submission.key,
            request,
            received_at: self.clock.now(),
            account: submission.caller.account.clone(),
            person: submission.caller.person.id.clone(),
            strength: submission.caller.strength,
            // Keyed, because a short secret in the body could be found out from a plain digest.
            body: self
                .sealer
                .keyed_hash("request body", &submission.body.to_string()),
            change,
            reply_to: submission.reply_to,
            run: makes_run.then(|| self.ids.run_id()),
            answer: None,
        };
        let received = self
            .store
            .receive(row.clone(), Vec::new())
            .await
            .map_err(|error| store_error(&error))?;
        if let Received::Duplicate(first) = received {
            self.metrics.duplicate(first.key.surface.as_str());
            return Ok(Recording::Repeat {
                first,
                body: row.body,
            });
        }
        Ok(Recording::New(Box::new(Accepted {
            row,
            caller: submission.caller,
            secrets,
            rules,
        })))
    }

    /// As [`Self::process`], and a fault of Rave on the way is an answer too: a request without one
    /// would be taken up again by the next start.
    pub(crate) async fn process_guarded(
        self: &Arc<Self>,
        accepted: &Accepted,
    ) -> Result<Changed, UserError> {
        let processing = AssertUnwindSafe(self.process(accepted)).catch_unwind();
        match processing.await {
            Ok(changed) => changed,
            Err(panic) => {
                tracing::error!(panic = panic_text(panic.as_ref()), "request_panicked");
                let error = UserError::internal();
                self.record_refused(accepted, &error).await;
                Err(error)
            }
        }
    }

    /// Takes a recorded request through the gate and records its answer, unless it is held.
    pub(crate) async fn process(
        self: &Arc<Self>,
        accepted: &Accepted,
    ) -> Result<Changed, UserError> {
        let changed = self.change(accepted).await;
        if let Err(error) = &changed
            && !is_held(&changed)
        {
            self.record_refused(accepted, error).await;
        }
        self.answered.notify_waiters();
        changed
    }

    /// Gives a repeat the answer of the first time.
    async fn repeat(
        self: &Arc<Self>,
        mut first: InboxRow,
        body: Digest,
    ) -> Result<Changed, UserError> {
        if first.body != body {
            return Err(UserError::new(
                ErrorCode::KeyReused,
                "this key was used before with another request",
            )
            .hint("use a new key for a new request"));
        }
        let deadline = tokio::time::Instant::now() + FIRST_ANSWER;
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if let Some(answer) = first.answer.take() {
                return self.recorded(answer).await;
            }
            if let Some(row) = self
                .store
                .received(&first.key)
                .await
                .map_err(|error| store_error(&error))?
            {
                first = row;
            }
            if first.answer.is_some() {
                continue;
            }
            if tokio::time::timeout_at(deadline, answered).await.is_err() {
                return Err(UserError::new(
                    ErrorCode::WrongState,
                    format!("{} is still being handled", first.request),
                )
                .hint("its result follows"));
            }
        }
    }

    async fn recorded(self: &Arc<Self>, answer: serde_json::Value) -> Result<Changed, UserError> {
        match serde_json::from_value(answer) {
            Ok(Recorded::Run { run }) => self.find_run(&run).await.map(Changed::Run),
            Ok(Recorded::Done { reply, data }) => Ok(Changed::Done { reply, data }),
            Ok(Recorded::Refused(error)) => Err(error),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "answer_unreadable"
                );
                Err(UserError::internal())
            }
        }
    }

    /// Records a refusal: the answer, an audit row, and an alert where a rule refused.
    pub(crate) async fn record_refused(self: &Arc<Self>, accepted: &Accepted, error: &UserError) {
        let redactor = Redactor::new(accepted.secrets.values().map(String::as_str));
        let error = &UserError {
            code: error.code,
            message: redactor.text(&error.message),
            hint: error.hint.as_deref().map(|hint| redactor.text(hint)),
        };
        let at = self.clock.now();
        let mut row = accepted.audit(at, refused_event(&accepted.row.change, error.code));
        row.result = AuditResult::Refused;
        row.category = match error.code.class() {
            rave_domain::error::ErrorClass::Policy => Category::Authorization,
            rave_domain::error::ErrorClass::User
            | rave_domain::error::ErrorClass::Identity
            | rave_domain::error::ErrorClass::Conflict
            | rave_domain::error::ErrorClass::External
            | rave_domain::error::ErrorClass::Internal => Category::Administration,
        };
        row.severity = Severity::Warning;
        row.target = describe(&accepted.row.change);
        row.details = json!({"code": error.code, "reason": error.message});
        let mut writes = vec![
            accepted.answered(&Recorded::Refused(error.clone())),
            Write::Audit(row),
        ];
        let title = if error.code == ErrorCode::LabelMismatch {
            Some("Label mismatch")
        } else if error.code == ErrorCode::PolicyDenied {
            Some("Policy denial")
        } else {
            None
        };
        if let Some(title) = title.filter(|_| self.couriers.contains_key(records::ALERT_COURIER)) {
            let alert = Alert {
                title: title.to_owned(),
                text: format!(
                    "{} by {}: {}",
                    describe(&accepted.row.change),
                    accepted.caller.person.id,
                    error.message
                ),
                good: false,
                at,
            };
            writes.push(Write::Outbox(records::alert_row(alert, None)));
        }
        self.count_refused(accepted, error.code);
        if let Err(error) = self.store.commit(writes.clone()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "refusal_not_recorded"
            );
            self.record_later(writes);
        }
        self.outbox_wake.notify_one();
    }

    /// Goes on trying to record a refusal: without it the request would look unanswered, and the
    /// next start would take it up.
    fn record_later(self: &Arc<Self>, writes: Vec<Write>) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            while !shared.stopping.is_cancelled() {
                shared.pause(RECORD_AGAIN).await;
                if shared.store.commit(writes.clone()).await.is_ok() {
                    shared.answered.notify_waiters();
                    return;
                }
            }
        });
    }

    fn count_refused(&self, accepted: &Accepted, code: ErrorCode) {
        let reason = if code == ErrorCode::LabelMismatch {
            "label_mismatch"
        } else if code == ErrorCode::PolicyDenied {
            "policy_denied"
        } else {
            return;
        };
        let Change::Run(request) = &accepted.row.change else {
            return;
        };
        for name in &request.intents {
            if let Some(intent) = accepted.rules.catalog.get(name) {
                self.metrics.refused(intent, reason);
            }
        }
    }

    /// The answer to a submission if it comes in time. Time counts from when the request is on
    /// disk; later than that, the caller gets its id and the answer is posted.
    pub(crate) async fn answer_in_time(
        self: &Arc<Self>,
        submission: Submission,
    ) -> Result<Result<Changed, UserError>, RequestId> {
        if self.stopping.is_cancelled() {
            return Ok(Err(stopping()));
        }
        let Begun {
            durable,
            mut answer,
        } = self.begin(submission);
        let lost = |_| Err(UserError::internal());
        let Ok(request) = durable.await else {
            return Ok(answer.await.unwrap_or_else(lost));
        };
        match tokio::time::timeout(self.settings.answer_within, &mut answer).await {
            Ok(answered) => Ok(answered.unwrap_or_else(lost)),
            Err(_) => Err(request),
        }
    }

    /// A change's result as a message.
    pub(crate) fn reply(&self, changed: &Changed) -> Reply {
        match changed {
            Changed::Run(snapshot) => replies::run(snapshot, self.clock.now()),
            Changed::Done { reply, .. } => reply.clone(),
        }
    }
}

/// Whether a recorded request waits for the store. It is not refused: it is on disk, so the next
/// start would take it up all the same.
pub(crate) fn is_held(outcome: &Result<Changed, UserError>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| error.code == ErrorCode::StoreUnavailable)
}

/// What the sender of a held request is told at once.
fn held(request: &RequestId, error: &UserError) -> UserError {
    let message = format!(
        "{}; {request} is recorded and goes on by itself",
        error.message
    );
    UserError::new(error.code, message)
        .hint("look at the disk of Rave's data directory; do not ask again")
}

fn stopping() -> UserError {
    UserError::new(
        ErrorCode::Stopping,
        "Rave is stopping and takes no new requests",
    )
    .hint("try again in a moment")
}

/// Puts arguments under the names that the catalog declares. Of a request for an intent that does
/// not exist nothing is kept: nobody can tell what in it is secret.
fn tidy_arguments(rules: &Rules, request: &mut RunRequest) {
    let arguments = std::mem::take(&mut request.arguments);
    let known = |name| rules.catalog.get(name).is_some();
    if request.intents.iter().all(known) {
        request.arguments = rules
            .catalog
            .canonical_arguments(&request.intents, arguments);
    }
}

/// Takes the values of secret parameters out of a request, so that they are never stored in it.
fn take_secrets(rules: &Rules, request: &mut RunRequest) -> BTreeMap<String, String> {
    rules
        .catalog
        .secret_params(&request.intents)
        .into_iter()
        .filter_map(|name| {
            let values = request.arguments.remove(&name)?;
            Some((name, values.into_iter().next_back().unwrap_or_default()))
        })
        .collect()
}

/// The intents of a request, for audit rows and alerts.
pub(crate) fn names(request: &RunRequest) -> String {
    let names: Vec<&str> = request
        .intents
        .iter()
        .map(rave_domain::IntentName::as_str)
        .collect();
    names.join(", ")
}

/// What a change is about, for audit rows and alerts.
pub(crate) fn describe(change: &Change) -> String {
    match change {
        Change::Run(request) => names(request),
        Change::Decide { run, .. }
        | Change::Cancel { run, .. }
        | Change::Retry { run }
        | Change::Resolve { run, .. } => run.to_string(),
        Change::Unlock { lock } => lock.to_string(),
        Change::Freeze { scope, .. } | Change::Unfreeze { scope } => scope.clone(),
        Change::Reload => "catalog".to_owned(),
        Change::ScheduleRun { name, .. } => name.clone(),
    }
}

fn refused_event(change: &Change, code: ErrorCode) -> &'static str {
    match (change, code) {
        (Change::Run(_), ErrorCode::LabelMismatch | ErrorCode::PolicyDenied) => "intent_denied",
        (Change::Run(_), _) => "intent_invalid",
        (Change::Decide { .. }, _) => "approval.refused",
        (Change::Cancel { .. }, _) => "run.cancel_refused",
        (Change::Retry { .. }, _) => "run.retry_refused",
        (Change::Resolve { .. }, _) => "step.resolve_refused",
        (Change::Unlock { .. }, _) => "lock.break_refused",
        (Change::Freeze { .. } | Change::Unfreeze { .. }, _) => "freeze.refused",
        (Change::Reload, _) => "catalog.reload_refused",
        (Change::ScheduleRun { .. }, _) => "schedule.run_refused",
    }
}

/// A short confirmation with data for programs.
pub(crate) fn done(text: impl Into<String>, data: serde_json::Value) -> (Reply, serde_json::Value) {
    (
        Reply::default()
            .to_conversation()
            .with(Block::Text(text.into())),
        data,
    )
}
