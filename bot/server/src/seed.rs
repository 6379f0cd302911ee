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

pub(crate) use bodies::{OrchestrateBody, RunBody, RunNowBody, ValidateBody, intent_name};
pub(crate) use item::{Outputs, reason};
pub(crate) use many::{Refused, orchestrated, planned};
pub(crate) use one::{dry_run, finished};

use rave_domain::{ErrorCode, UserError};

use crate::error::ApiError;

/// A refusal in the words that the seed's clients know.
pub(crate) fn in_the_seeds_words(error: UserError, intent: &str, denied: &str) -> ApiError {
    let words = match error.code {
        ErrorCode::UnknownIntent => Some(format!("Intent not found: {intent}")),
        ErrorCode::PolicyDenied => Some(denied.to_owned()),
        ErrorCode::LabelMismatch => Some("Label requirement mismatch".to_owned()),
        _ => None,
    };
    let error = ApiError::from(error);
    match words {
        Some(words) => error.in_the_seeds_words(words),
        None => error,
    }
}
