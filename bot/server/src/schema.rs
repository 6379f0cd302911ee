//! Words of the domain, as the OpenAPI document describes them.
//!
//! The domain does not know the document, so a field of a domain type names its stand-in here:
//! `#[schema(value_type = RunState)]`. The words themselves are written by the domain's own types.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rave_domain::audit::{AuditResult, Category, Severity};
use rave_domain::plan::{Class, StepRole};
use rave_domain::request::{Decision, Unwind, Verdict};
use rave_domain::run::{RunStatus, StepStatus};
use rave_domain::{ErrorCode, Surface};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A text that is one of a few words.
fn one_of<T: Serialize>(what: &str, words: impl IntoIterator<Item = T>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what.trim()))
        .enum_values(Some(words.into_iter().map(|word| json!(word))))
        .into()
}

/// Declares stand-ins: what it is, name, values.
macro_rules! words {
    ($(#[doc = $what:literal] $name:ident = $words:expr;)*) => {
        $(
            #[doc = $what]
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    one_of($what, $words)
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*
    };
}

words! {
    /// Where a run is.
    RunState = RUN_STATES;
    /// Where a step is.
    StepState = step_states();
    /// Where an intent of a run is: where its step is, or in an answer about one intent, where the run is.
    ResultState = step_states().into_iter().chain(RUN_STATES.map(RunStatus::as_str)).collect::<BTreeSet<_>>();
    /// Why a step is in a plan: it was asked for, or something that was asked for needs it.
    PlanRole = [StepRole::Requested, StepRole::Dependency];
    /// How a step recovers: `read` and `idempotent` run again, `keyed` runs again with the same key, `probe` is looked up first, `once` waits for a person.
    StepClass = [Class::Read, Class::Idempotent, Class::Keyed, Class::Probe, Class::Once];
    /// A stable code that clients may branch on. Each has a page in `docs/errors/`.
    ErrorWord = ErrorCode::ALL;
    /// Where a request comes from.
    SurfaceName = Surface::ALL;
    /// A person's decision on a plan.
    DecisionWord = [Decision::Approve, Decision::Deny];
    /// A person's finding about a step whose outcome is unknown: the effect took place, it did not, or the step shall run again.
    VerdictWord = VERDICTS.map(Verdict::as_str);
    /// What a failure undoes: the failed step, or everything the run did.
    UnwindWord = [Unwind::Step, Unwind::Run];
    /// How serious an audit row is.
    AuditSeverity = SEVERITIES.iter().map(|(word, _)| word);
    /// What kind of audit row it is.
    AuditCategory = [
        Category::Authentication, Category::Authorization, Category::Approval,
        Category::Execution, Category::Administration, Category::Delivery,
    ];
    /// How what an audit row tells of ended.
    AuditOutcome = [AuditResult::Ok, AuditResult::Refused, AuditResult::Failed];
}

/// An intent as somebody names it.
pub(crate) struct IntentText;

impl PartialSchema for IntentText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The name of an intent."))
            .pattern(Some(r"\S"))
            .into()
    }
}

impl ToSchema for IntentText {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("IntentText")
    }
}

/// Arguments by parameter.
pub(crate) struct Arguments;

impl PartialSchema for Arguments {
    fn schema() -> RefOr<Schema> {
        let scalars = || {
            [Type::String, Type::Number, Type::Boolean]
                .map(|kind| ObjectBuilder::new().schema_type(kind))
                .into_iter()
                .fold(OneOfBuilder::new(), OneOfBuilder::item)
        };
        let list = ArrayBuilder::new().items(scalars());
        let map = ObjectBuilder::new().schema_type(Type::Object);
        let value = scalars().item(list).item(map).build();
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(
                "Values by parameter: a text, a number, true or false, a list of these, or an \
                 object for a map.",
            ))
            .additional_properties(Some(Schema::from(value)))
            .into()
    }
}

impl ToSchema for Arguments {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Arguments")
    }
}

/// All states of a run, in the order in which a run meets them.
pub(crate) const RUN_STATES: [RunStatus; 9] = [
    RunStatus::Planned,
    RunStatus::AwaitingApproval,
    RunStatus::Queued,
    RunStatus::Running,
    RunStatus::Compensating,
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Cancelled,
    RunStatus::NeedsAttention,
];

/// All verdicts.
pub(crate) const VERDICTS: [Verdict; 3] = [Verdict::Happened, Verdict::DidNot, Verdict::Again];

/// All severities by their words, mildest first.
pub(crate) const SEVERITIES: &[(&str, Severity)] = &[
    ("info", Severity::Info),
    ("warning", Severity::Warning),
    ("critical", Severity::Critical),
];

fn step_states() -> [&'static str; 8] {
    let failed = StepStatus::Failed(rave_domain::run::Failure {
        code: ErrorCode::CommandFailed,
        message: String::new(),
    });
    [
        StepStatus::Pending { retry_at: None }.as_str(),
        StepStatus::Claimed.as_str(),
        StepStatus::Running.as_str(),
        StepStatus::Succeeded.as_str(),
        failed.as_str(),
        StepStatus::Skipped.as_str(),
        StepStatus::Cancelled.as_str(),
        StepStatus::Unknown { why: String::new() }.as_str(),
    ]
}
