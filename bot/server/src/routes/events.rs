//! `GET /api/v1/runs/{run}/events`: a run's events as they become durable.
//!
//! The number of an event is its place in the run's journal, so a client that comes back with the
//! last number it has misses nothing and sees nothing twice, whatever happened in between. The
//! stream takes events out of the journal when the client takes them out of the stream: nothing is
//! held for a slow one.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName, StatusCode};
use rave_domain::request::{Decision, Verdict};
use rave_domain::run::{Event, Failure, Outcome, RunStatus, Timer};
use rave_domain::{ErrorCode, PersonId, RunId, StepId, Timestamp};
use rave_engine::{Follow, Happened};
use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::InPath;
use super::query::Query;
use super::runs::run_id;
use super::view::{self, ApprovalView, FailureView, StepView};
use crate::document::{RunInPath, RunRefusals};
use crate::error::ApiError;
use crate::schema::{DecisionWord, RunState, VerdictWord};
use crate::seed;
use crate::state::Server;

/// How often a quiet stream says that it is alive: more often than proxies give up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client waits before it comes back; browsers would wait for several seconds.
const COME_BACK: Duration = Duration::from_secs(1);

/// What a client that comes back sends.
const LAST_EVENT_ID: &str = "last-event-id";

/// Tells nginx not to collect the stream.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// Follow a run
///
/// A stream of server-sent events. Each message's `id` is the event's place in the run's journal
/// and its `data` a `RunEvent`. Without a place the stream begins with the first event; it ends
/// with the last one of a run that has ended, and when Rave stops. Come back with `Last-Event-ID`
/// for what was missed. Comments keep a quiet stream alive.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{run}/events",
    operation_id = "follow_run",
    tag = "runs",
    params(
        RunInPath,
        ("after" = Option<u64>, Query, description = "Give events after this place."),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^[0-9]{0,20}$", description = "The same, as clients send it by themselves when they come back; it wins. Empty is none."),
    ),
    security(("key" = []), ("token" = [])),
    responses(
        (status = 200, description = "Messages, as long as there are any to come; the schema is that of one.", body = RunMessage, content_type = "text/event-stream"),
        (status = 204, description = "The run has ended and there is none after that place; do not come back."),
        RunRefusals,
    ),
)]
pub(crate) async fn events(
    State(server): State<Server>,
    InPath(run): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = server.admit(&request, None)?;
    let query = Query::parse(request.uri(), &["after"])?;
    let (last, asked) = (last_event_id(request.headers())?, query.number("after")?);
    let after = last.or(asked).unwrap_or(0);
    let run = run_id(&run)?;
    let Some(follow) = server.engine().follow(&caller, &run, after).await? else {
        // What makes a browser stop coming back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    let told = Sse::new(told(server, follow)).keep_alive(alive);
    Ok(([UNBUFFERED], told).into_response())
}

/// The number in `Last-Event-ID`; an empty one means none, as in the standard.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|_| values.next().is_none());
    number.map(Some).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidArgument,
            "Last-Event-ID must be one event's number",
        )
        .hint("send back the `id:` of the last event that you have, or leave it out for all")
    })
}

/// Events until the run has ended or the server stops. A client that is cut off comes back with
/// the number of its last event.
fn told(
    server: Server,
    follow: Follow,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    let hello = sse::Event::default().retry(COME_BACK);
    let rest = stream::unfold((server, follow), |(server, mut follow)| async move {
        let next = tokio::select! {
            next = follow.next() => next,
            () = server.stopped() => return None,
        };
        let event = match next {
            Ok(happened) => document(&happened?),
            // It is in the log; the client hears of it when it comes back.
            Err(_) => return None,
        };
        let id = event.seq.to_string();
        let event = sse::Event::default().id(id).json_data(event).ok()?;
        Some((Ok(event), (server, follow)))
    });
    stream::iter([Ok(hello)]).chain(rest)
}

/// One message of the stream, as its fields are named there.
pub(crate) struct RunMessage;

impl PartialSchema for RunMessage {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let place = text().description(Some("The event's place in the run's journal."));
        let data = text()
            .content_media_type("application/json")
            .description(Some("A `RunEvent` as JSON."));
        ObjectBuilder::new()
            .description(Some(
                "One message of the stream, as its fields are named there.",
            ))
            .property("id", place)
            .property("data", data)
            .required("id")
            .required("data")
            .into()
    }
}

impl ToSchema for RunMessage {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("RunMessage")
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// The run exists.
    Submitted,
    /// A person decided on it.
    Decided,
    /// One of its deadlines passed.
    Expired,
    /// It holds all its locks.
    LocksGranted,
    /// An operator broke one of its locks.
    LockBroken,
    /// Its plan was computed again and is still the same.
    Started,
    /// Its plan was computed again and is another one.
    Voided,
    /// A step is about to be executed.
    Claimed,
    /// A rule no longer allows a step.
    ClaimRefused,
    /// A step is being executed.
    Prepared,
    /// A step's attempt ended.
    Reported,
    /// A step that was under way when Rave stopped runs again.
    Recovered,
    /// Somebody wants the run stopped.
    CancelRequested,
    /// A person said what became of a step.
    Resolved,
}

/// One event of a run and what it made of the run: the `data` of a message.
///
/// A view of the run needs nothing else: `steps` holds the whole run's in the first event and
/// those that changed in each later one; put each in the place of the one with its `number`.
/// Fields that say nothing about an event are left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunEvent {
    /// Its place in the run's journal, from 1 and without gaps; the message's `id`.
    seq: u64,
    kind: EventKind,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = String)]
    run_id: RunId,
    /// Where the run is after it. After `succeeded`, `failed` and `cancelled` nothing follows.
    #[schema(value_type = RunState)]
    state: RunStatus,
    /// Why the run ended, where the state alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The number of the step that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    /// The person behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    by: Option<PersonId>,
    /// How that person decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DecisionWord>)]
    decision: Option<Decision>,
    /// What that person found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<VerdictWord>)]
    verdict: Option<&'static str>,
    /// What was said about it: a person's reason, what differs in a plan, which lock, which
    /// deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    /// Why an attempt of the step failed or a rule refused it; it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
    /// Who must agree, and who has, where that may have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    approvals: Option<Vec<ApprovalView>>,
    /// Steps as they are now: all in the first event, those that changed in each later one.
    steps: Vec<StepView>,
}

fn document(happened: &Happened<'_>) -> RunEvent {
    let Happened {
        event,
        run,
        changed,
    } = happened;
    let steps = changed.iter().filter_map(|id| run.step(*id));
    let about = about(event);
    RunEvent {
        seq: run.seq,
        kind: about.kind,
        at: event.at(),
        run_id: run.id.clone(),
        state: run.status,
        reason: run.reason.as_ref().map(seed::reason),
        step: about.step.map(view::number),
        by: about.by,
        decision: about.decision,
        verdict: about.verdict.map(Verdict::as_str),
        says: about.says.filter(|text| !text.is_empty()),
        error: about.error.map(view::failure),
        approvals: matches!(about.kind, EventKind::Submitted | EventKind::Decided)
            .then(|| view::approvals(run)),
        steps: steps.map(|step| view::step(run, step)).collect(),
    }
}

/// What an event says by itself.
struct About<'a> {
    kind: EventKind,
    step: Option<StepId>,
    by: Option<PersonId>,
    decision: Option<Decision>,
    verdict: Option<Verdict>,
    says: Option<String>,
    error: Option<&'a Failure>,
}

impl About<'_> {
    fn new(kind: EventKind) -> Self {
        Self {
            kind,
            step: None,
            by: None,
            decision: None,
            verdict: None,
            says: None,
            error: None,
        }
    }

    fn of_step(kind: EventKind, step: StepId) -> Self {
        Self {
            step: Some(step),
            ..Self::new(kind)
        }
    }

    fn of_person(kind: EventKind, by: &PersonId, says: String) -> Self {
        Self {
            by: Some(by.clone()),
            says: Some(says),
            ..Self::new(kind)
        }
    }
}

fn about(event: &Event) -> About<'_> {
    match event {
        Event::Submitted(submission) => {
            let by = &submission.origin.person;
            About::of_person(EventKind::Submitted, by, String::new())
        }
        Event::Decided {
            person,
            decision,
            reason,
            ..
        } => About {
            decision: Some(*decision),
            ..About::of_person(EventKind::Decided, person, reason.clone())
        },
        Event::Expired { timer, .. } => expired(*timer),
        Event::LocksGranted { .. } => About::new(EventKind::LocksGranted),
        Event::LockBroken { lock, by, .. } => {
            About::of_person(EventKind::LockBroken, by, lock.to_string())
        }
        Event::Started { .. } => About::new(EventKind::Started),
        Event::Voided { changes, .. } => About {
            says: Some(changes.join(", ")),
            ..About::new(EventKind::Voided)
        },
        Event::Claimed { step, .. } => About::of_step(EventKind::Claimed, *step),
        Event::ClaimRefused { step, failure, .. } => About {
            error: Some(failure),
            ..About::of_step(EventKind::ClaimRefused, *step)
        },
        Event::Prepared { step, .. } => About::of_step(EventKind::Prepared, *step),
        Event::Reported { step, outcome, .. } => reported(*step, outcome),
        Event::Recovered { step, .. } => About::of_step(EventKind::Recovered, *step),
        Event::CancelRequested { by, reason, .. } => {
            About::of_person(EventKind::CancelRequested, by, reason.clone())
        }
        Event::Resolved {
            step, verdict, by, ..
        } => About {
            step: Some(*step),
            verdict: Some(*verdict),
            ..About::of_person(EventKind::Resolved, by, String::new())
        },
    }
}

fn expired(timer: Timer) -> About<'static> {
    let about = About::new(EventKind::Expired);
    match timer {
        Timer::Decide => About {
            says: Some("the time to decide is over".to_owned()),
            ..about
        },
        Timer::Start => About {
            says: Some("the time to start is over".to_owned()),
            ..about
        },
        Timer::Retry(step) => About {
            step: Some(step),
            says: Some("the step may be tried again".to_owned()),
            ..about
        },
    }
}

fn reported(step: StepId, outcome: &Outcome) -> About<'_> {
    let about = About::of_step(EventKind::Reported, step);
    match outcome {
        Outcome::Failed { failure, .. } => About {
            error: Some(failure),
            ..about
        },
        Outcome::Unknown { why } => About {
            says: Some(why.clone()),
            ..about
        },
        Outcome::Succeeded { .. } | Outcome::Stopped { .. } => about,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_event_id_is_one_number_or_nothing() {
        for (values, taken) in [
            (vec![], Some(None)),
            (vec![""], Some(None)),
            (vec!["0"], Some(Some(0))),
            (vec![" 17 "], Some(Some(17))),
            (vec!["17", "18"], None),
            (vec!["-1"], None),
            (vec!["1.5"], None),
            (vec!["seventeen"], None),
            (vec!["99999999999999999999"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(LAST_EVENT_ID, value.parse().unwrap());
            }
            assert_eq!(last_event_id(&headers).ok(), taken, "{values:?}");
        }
    }
}
