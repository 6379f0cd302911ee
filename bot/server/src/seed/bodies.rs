//! What the seed's endpoints are sent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use rave_domain::request::{Order, RunOptions, RunRequest, Unwind};
use rave_domain::{ErrorCode, IntentName, UserError};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::fields::Fields;
use crate::schema::{Arguments, IntentText, UnwindWord};

/// Names in one request; a catalog has room for more, a request for a person to read has not.
const MOST_INTENTS: usize = 1000;

/// One intent to run.
#[derive(Debug, ToSchema)]
#[schema(as = RunRequest)]
pub(crate) struct RunBody {
    /// The intent.
    #[schema(value_type = IntentText)]
    pub(crate) name: String,
    /// Only say what would happen.
    #[schema(value_type = Option<bool>, default = false)]
    pub(crate) dry_run: bool,
    /// Undo what a failed step did.
    #[schema(value_type = Option<bool>, default = true)]
    pub(crate) rollback_on_failure: bool,
    /// Arguments by the names of the intent's parameters.
    #[schema(value_type = Option<Arguments>)]
    pub(crate) arguments: BTreeMap<String, Vec<String>>,
    /// Seconds to wait for the end; without it, until the run has ended or waits for people.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 604800)]
    pub(crate) wait: Option<Duration>,
}

impl RunBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const KNOWN: &[&str] = &[
            "name",
            "dry_run",
            "rollback_on_failure",
            "arguments",
            "wait",
        ];
        let mut fields = Fields::parse(body, KNOWN)?;
        let body = Self {
            name: fields.name("name"),
            dry_run: fields.flag("dry_run", false),
            rollback_on_failure: fields.flag("rollback_on_failure", true),
            arguments: fields.arguments(),
            wait: fields.wait(),
        };
        fields.finish(body)
    }

    /// The request, when the name can be an intent's at all: it cannot leave `intents/`.
    pub(crate) fn request(&self) -> Result<(IntentName, RunRequest), ApiError> {
        let name = intent_name(&self.name)?;
        let mut request = RunRequest::of(name.clone());
        request.arguments.clone_from(&self.arguments);
        request.options.rollback_on_failure = self.rollback_on_failure;
        Ok((name, request))
    }
}

/// One intent to run now, as if its schedule had fired. As `RunRequest`, with another name for
/// the name.
#[derive(Debug, ToSchema)]
#[schema(as = RunNowRequest)]
pub(crate) struct RunNowBody {
    /// The intent.
    #[schema(value_type = IntentText)]
    intent: String,
    /// Only say what would happen.
    #[schema(value_type = Option<bool>, default = false)]
    dry_run: bool,
    /// Undo what a failed step did.
    #[schema(value_type = Option<bool>, default = true)]
    rollback_on_failure: bool,
    /// Arguments by the names of the intent's parameters.
    #[schema(value_type = Option<Arguments>)]
    arguments: BTreeMap<String, Vec<String>>,
    /// Seconds to wait for the end; without it, until the run has ended or waits for people.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 604800)]
    wait: Option<Duration>,
}

impl RunNowBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const KNOWN: &[&str] = &[
            "intent",
            "dry_run",
            "rollback_on_failure",
            "arguments",
            "wait",
        ];
        let mut fields = Fields::parse(body, KNOWN)?;
        let body = Self {
            intent: fields.name("intent"),
            dry_run: fields.flag("dry_run", false),
            rollback_on_failure: fields.flag("rollback_on_failure", true),
            arguments: fields.arguments(),
            wait: fields.wait(),
        };
        fields.finish(body)
    }
}

impl From<RunNowBody> for RunBody {
    fn from(body: RunNowBody) -> Self {
        Self {
            name: body.intent,
            dry_run: body.dry_run,
            rollback_on_failure: body.rollback_on_failure,
            arguments: body.arguments,
            wait: body.wait,
        }
    }
}

/// Several intents to run.
#[derive(Debug, ToSchema)]
#[schema(as = OrchestrateRequest)]
pub(crate) struct OrchestrateBody {
    /// The intents, in the order in which they run.
    #[schema(value_type = Vec<IntentText>, max_items = 1000)]
    pub(crate) intents: Vec<String>,
    /// Only say what would happen.
    #[schema(value_type = Option<bool>, default = false)]
    pub(crate) dry_run: bool,
    /// Start nothing further once something has failed.
    #[schema(value_type = Option<bool>, default = true)]
    pub(crate) stop_on_failure: bool,
    /// Undo what a failed step did.
    #[schema(value_type = Option<bool>, default = true)]
    pub(crate) rollback_on_failure: bool,
    /// Run them at the same time instead of one after the other.
    #[schema(value_type = Option<bool>, default = false)]
    pub(crate) parallel: bool,
    /// What a failure undoes: the failed step, or everything the run did.
    #[schema(value_type = Option<UnwindWord>)]
    pub(crate) unwind: Unwind,
    /// Arguments by the names of the intents' parameters.
    #[schema(value_type = Option<Arguments>)]
    pub(crate) arguments: BTreeMap<String, Vec<String>>,
    /// Seconds to wait for the end. Without it, `/orchestrate` waits until the run has ended or
    /// waits for people, and `/api/v1/runs` does not wait.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 604800)]
    pub(crate) wait: Option<Duration>,
}

impl OrchestrateBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const KNOWN: &[&str] = &[
            "intents",
            "dry_run",
            "stop_on_failure",
            "rollback_on_failure",
            "parallel",
            "unwind",
            "arguments",
            "wait",
        ];
        let mut fields = Fields::parse(body, KNOWN)?;
        let body = Self {
            intents: fields.names("intents", MOST_INTENTS),
            dry_run: fields.flag("dry_run", false),
            stop_on_failure: fields.flag("stop_on_failure", true),
            rollback_on_failure: fields.flag("rollback_on_failure", true),
            parallel: fields.flag("parallel", false),
            unwind: match fields.word("unwind", &["step", "run"]) {
                Some("run") => Unwind::Run,
                Some(_) | None => Unwind::Step,
            },
            arguments: fields.arguments(),
            wait: fields.wait(),
        };
        fields.finish(body)
    }

    /// A request for some of the intents.
    pub(crate) fn request(&self, intents: Vec<IntentName>) -> RunRequest {
        RunRequest {
            intents,
            arguments: self.arguments.clone(),
            options: RunOptions {
                stop_on_failure: self.stop_on_failure,
                rollback_on_failure: self.rollback_on_failure,
                unwind: self.unwind,
                order: if self.parallel {
                    Order::Parallel
                } else {
                    Order::Sequential
                },
            },
        }
    }
}

/// At least one intent to run. Otherwise as `OrchestrateRequest`.
#[derive(Debug)]
pub(crate) struct AskBody(pub(crate) OrchestrateBody);

impl AskBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body = OrchestrateBody::parse(body)?;
        if body.intents.is_empty() {
            return Err(ApiError::new(ErrorCode::InvalidBody, "intents is empty"));
        }
        Ok(Self(body))
    }
}

impl PartialSchema for AskBody {
    fn schema() -> RefOr<Schema> {
        let mut schema = OrchestrateBody::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema
            && let Some(RefOr::T(Schema::Array(intents))) = object.properties.get_mut("intents")
        {
            intents.min_items = Some(1);
        }
        schema
    }
}

impl ToSchema for AskBody {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("RunsRequest")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        OrchestrateBody::schemas(schemas);
    }
}

/// The text of an intent file to judge.
#[derive(Debug, ToSchema)]
#[schema(as = ValidateRequest)]
pub(crate) struct ValidateBody {
    pub(crate) yaml_content: String,
}

impl ValidateBody {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body, &["yaml_content"])?;
        let body = Self {
            yaml_content: fields.required_text("yaml_content"),
        };
        fields.finish(body)
    }
}

/// A name that could be an intent's.
pub(crate) fn intent_name(name: &str) -> Result<IntentName, ApiError> {
    IntentName::new(name).map_err(|error| {
        let error = UserError::new(ErrorCode::UnknownIntent, error.to_string());
        super::in_the_seeds_words(error, name, "")
    })
}
