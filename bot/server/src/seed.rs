//! The answers of the ChatOps seed's endpoints, as pure functions of runs and plans.
//!
//! Names, shapes and status codes are the seed's (`seeds.md` 5.3 and 5.5); what Rave adds stands
//! beside them: `run_id`, `state`, `code`, `role`, and a `skipped` or `pending` count when it is
//! not zero.

mod bodies;
mod item;
mod many;
mod one;
#[cfg(test)]
mod tests;

pub(crate) use bodies::{AskBody, OrchestrateBody, RunBody, RunNowBody, ValidateBody, intent_name};
pub(crate) use item::{Item, Outputs, Rollback, reason};
pub(crate) use many::{Many, Refused, orchestrated, planned};
pub(crate) use one::{One, dry_run, finished};

use rave_domain::{ErrorCode, UserError};

use crate::error::ApiError;

/// A refusal in the words that the seed's clients know.
pub(crate) fn in_the_seeds_words(error: UserError, intent: &str, denied: &str) -> ApiError {
    let words = words(error.code, intent, denied);
    let error = ApiError::from(error);
    match words {
        Some(words) => error.in_the_seeds_words(words),
        None => error,
    }
}

/// The seed's words for an error, where it has some.
fn words(code: ErrorCode, intent: &str, denied: &str) -> Option<String> {
    if code == ErrorCode::UnknownIntent {
        let shown: String = intent.chars().take(80).collect();
        Some(format!("Intent not found: {shown}"))
    } else if code == ErrorCode::PolicyDenied {
        Some(denied.to_owned())
    } else if code == ErrorCode::LabelMismatch {
        Some("Label requirement mismatch".to_owned())
    } else {
        None
    }
}
