//! Errors for people: a stable code, what is wrong, and what to do next.
//!
//! One table of codes; each has a page in `docs/errors/`, and a test checks that. A code is added
//! only when a user or a client would act differently on it. The cause of an internal error goes
//! to the log; the user gets the code and the request id.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The caller: the request is wrong as written.
    User,
    /// The caller is not who or not where it must be.
    Identity,
    /// A rule says no.
    Policy,
    /// The request is fine, but not in the present state.
    Conflict,
    /// Something outside Rave failed or is missing.
    External,
    /// A fault of Rave; the log has the cause.
    Internal,
}

/// Declares the table: variant, printed code, class, HTTP status.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $class:ident, $status:literal;)*) => {
        /// A stable code that clients may branch on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, for the test that each has a page.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The printed form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Who can do something about it.
            #[must_use]
            pub const fn class(self) -> ErrorClass {
                match self { $(Self::$variant => ErrorClass::$class,)* }
            }

            /// The HTTP status of an API answer with this code.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

error_codes! {
    /// A command line or body could not be understood.
    BadRequest = "bad_request", User, 400;
    /// The body's fields are missing, unknown or of the wrong type.
    InvalidBody = "invalid_body", User, 422;
    /// The body is larger than the endpoint takes.
    BodyTooLarge = "body_too_large", User, 413;
    /// The body is not of a content type that the endpoint takes.
    UnsupportedMediaType = "unsupported_media_type", User, 415;
    /// No such command or built-in.
    UnknownCommand = "unknown_command", User, 404;
    /// No such intent in the catalog.
    UnknownIntent = "unknown_intent", User, 404;
    /// No such run, or none that the caller may know of.
    UnknownRun = "unknown_run", User, 404;
    /// No such step in the run.
    UnknownStep = "unknown_step", User, 404;
    /// No such path.
    NotFound = "not_found", User, 404;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", User, 405;
    /// An argument is missing, unknown, repeated or of the wrong type.
    InvalidArgument = "invalid_argument", User, 400;
    /// The intent lacks a field that its action needs.
    MissingField = "missing_field", User, 400;
    /// No credentials, or wrong ones.
    Unauthorized = "unauthorized", Identity, 401;
    /// The account belongs to nobody in `people`.
    UnknownAccount = "unknown_account", Identity, 403;
    /// A code that proves somebody is wrong, spent or too old.
    InvalidCode = "invalid_code", Identity, 403;
    /// The client's address is outside the allowlist.
    AddressRefused = "address_refused", Identity, 403;
    /// No rule allows this to this person.
    PolicyDenied = "policy_denied", Policy, 403;
    /// The intent's label is not the approved one.
    LabelMismatch = "label_mismatch", Policy, 403;
    /// A freeze window covers the intent.
    Frozen = "frozen", Policy, 409;
    /// The person may not decide on this run: requester, owner, wrong role, decided already.
    ApprovalRefused = "approval_refused", Policy, 403;
    /// The surface proves too little for this approval.
    TooWeak = "surface_too_weak", Policy, 403;
    /// Too many requests from this person or address.
    RateLimited = "rate_limited", Policy, 429;
    /// The run is not in a state that allows this.
    WrongState = "wrong_state", Conflict, 409;
    /// The same idempotency key came with another body.
    KeyReused = "idempotency_key_reused", Conflict, 409;
    /// The plan is not the one that was approved.
    PlanChanged = "plan_changed", Conflict, 409;
    /// The run was denied, expired, voided or cancelled.
    RunCancelled = "run_cancelled", Conflict, 409;
    /// A step failed; the message ends with what the program said.
    CommandFailed = "command_failed", External, 500;
    /// A step ran out of its time.
    StepTimeout = "step_timeout", External, 500;
    /// The outcome of a step cannot be known without a person.
    OutcomeUnknown = "outcome_unknown", External, 500;
    /// The driver's backend (Docker Engine, a host) does not answer.
    DriverUnavailable = "driver_unavailable", External, 503;
    /// The file or resource that the target needs is not there.
    TargetMissing = "target_missing", External, 500;
    /// The catalog or configuration has errors; the old one stays.
    CatalogInvalid = "catalog_invalid", User, 422;
    /// No key, token or person is configured.
    NotConfigured = "not_configured", Identity, 503;
    /// Rave is stopping and takes no new work.
    Stopping = "stopping", Internal, 503;
    /// The store cannot be written or read.
    StoreUnavailable = "store_unavailable", Internal, 503;
    /// A fault of Rave itself.
    Internal = "internal", Internal, 500;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person or client is told. Never holds a cause that names internals or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserError {
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong and where, one sentence without a full stop.
    pub message: String,
    /// What to do next, where there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl UserError {
    /// An error without a hint.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The constant text of a fault of Rave; the cause belongs in the log under the request id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, "Rave failed while handling this")
            .hint("the log has the cause under the request id")
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UserError {}
