//! What the seed's endpoints are sent.

use std::collections::BTreeMap;
use std::time::Duration;

use rave_domain::request::{Order, RunOptions, RunRequest, Unwind};
use rave_domain::{ErrorCode, IntentName, UserError};

use crate::error::ApiError;
use crate::fields::Fields;

/// Names in one request; a catalog has room for more, a request for a person to read has not.
const MOST_INTENTS: usize = 1000;

/// `POST /run`.
#[derive(Debug)]
pub(crate) struct RunBody {
    pub(crate) name: String,
    pub(crate) dry_run: bool,
    pub(crate) rollback_on_failure: bool,
    pub(crate) arguments: BTreeMap<String, Vec<String>>,
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

/// `POST /schedules/run_now`: as `/run`, with another name for the name.
#[derive(Debug)]
pub(crate) struct RunNowBody;

impl RunNowBody {
    pub(crate) fn parse(body: &[u8]) -> Result<RunBody, ApiError> {
        const KNOWN: &[&str] = &[
            "intent",
            "dry_run",
            "rollback_on_failure",
            "arguments",
            "wait",
        ];
        let mut fields = Fields::parse(body, KNOWN)?;
        let body = RunBody {
            name: fields.name("intent"),
            dry_run: fields.flag("dry_run", false),
            rollback_on_failure: fields.flag("rollback_on_failure", true),
            arguments: fields.arguments(),
            wait: fields.wait(),
        };
        fields.finish(body)
    }
}

/// `POST /orchestrate`, and `POST /api/v1/runs`.
#[derive(Debug)]
pub(crate) struct OrchestrateBody {
    pub(crate) intents: Vec<String>,
    pub(crate) dry_run: bool,
    pub(crate) arguments: BTreeMap<String, Vec<String>>,
    pub(crate) options: RunOptions,
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
            arguments: fields.arguments(),
            options: RunOptions {
                stop_on_failure: fields.flag("stop_on_failure", true),
                rollback_on_failure: fields.flag("rollback_on_failure", true),
                unwind: match fields.word("unwind", &["step", "run"]) {
                    Some("run") => Unwind::Run,
                    Some(_) | None => Unwind::Step,
                },
                order: if fields.flag("parallel", false) {
                    Order::Parallel
                } else {
                    Order::Sequential
                },
            },
            wait: fields.wait(),
        };
        fields.finish(body)
    }

    /// A request for some of the intents.
    pub(crate) fn request(&self, intents: Vec<IntentName>) -> RunRequest {
        RunRequest {
            intents,
            arguments: self.arguments.clone(),
            options: self.options.clone(),
        }
    }
}

/// `POST /validate`.
#[derive(Debug)]
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
