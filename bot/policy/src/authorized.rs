//! The proof of a decision, and the refusal.

use rave_domain::error::{ErrorCode, UserError};
use rave_domain::ids::{Digest, PersonId};

/// A value that policy allowed somebody to act on. Only this crate makes one.
///
/// ```compile_fail
/// let forged = rave_policy::Authorized { what: (), by: todo!(), rules: vec![], policy: todo!() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Authorized<T> {
    what: T,
    by: PersonId,
    rules: Vec<String>,
    policy: Digest,
}

impl<T> Authorized<T> {
    pub(crate) fn new(what: T, by: PersonId, rules: Vec<String>, policy: Digest) -> Self {
        Self {
            what,
            by,
            rules,
            policy,
        }
    }

    /// What is allowed.
    pub fn get(&self) -> &T {
        &self.what
    }

    /// What is allowed, giving up the proof.
    pub fn into_inner(self) -> T {
        self.what
    }

    /// To whom.
    pub fn by(&self) -> &PersonId {
        &self.by
    }

    /// The rules that allowed it, for the audit row.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The policy that they are from.
    pub fn policy(&self) -> Digest {
        self.policy
    }
}

/// A refusal, in words for the person refused. Never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct Denial {
    /// For clients.
    pub code: ErrorCode,
    /// The rule that refused: an id of `fixed.cedar`, `file.cedar:line`, `no-rule`, …
    pub rule: String,
    /// Why, one sentence without a full stop.
    pub because: String,
    /// What would change the answer, where something would.
    pub nearest_yes: Option<String>,
}

impl Denial {
    /// Whether the entry of a key in the key file refused, not a rule about people.
    #[must_use]
    pub fn by_key_file(&self) -> bool {
        matches!(self.rule.as_str(), "key-limits" | "key-endpoint-limits")
    }
}

impl From<Denial> for UserError {
    fn from(denial: Denial) -> Self {
        let Denial {
            code,
            rule,
            because,
            nearest_yes,
        } = denial;
        let message = match (code, rule.as_str()) {
            // The seed's text, word for word.
            (ErrorCode::LabelMismatch, _)
            // The rule would tell that the run exists.
            | (ErrorCode::UnknownRun, _)
            // The sentence says already that there is no such rule, intent or argument.
            | (_, "no-rule" | "catalog" | "arguments") => because,
            (_, rule) => format!("{because} (rule {rule})"),
        };
        let error = Self::new(code, message);
        match nearest_yes {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
