//! What becomes of an effect whose outcome was lost: by class run again, looked up, or left to a
//! person.

use super::event::{Failure, Outcome};
use crate::error::ErrorCode;
use crate::plan::Class;
use crate::ports::driver::{Applied, Inspection};

/// What could be found out about a lost effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Something of it still runs and cannot be ended, so it may take place yet.
    StillRuns,
    /// Nothing of it runs any more; nobody looked at the target.
    Ended,
    /// Nothing of it runs any more, and this is what the target says.
    Looked(Inspection),
}

/// An effect whose outcome was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// How it recovers.
    pub class: Class,
    /// How it was lost, for people, as the beginning of a sentence.
    pub how: String,
    /// What could be found out.
    pub found: Finding,
}

/// What a start makes of a step that was under way when Rave stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It may run again under the same key.
    Rerun,
    /// This is what it came to.
    Ended(Outcome),
}

impl Lost {
    /// What an attempt came to whose driver could not say.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self.settled() {
            Settled::Ended(outcome) => outcome,
            Settled::Rerun => Outcome::Failed {
                failure: Failure {
                    code: ErrorCode::StepTimeout,
                    message: self.how,
                },
                may_pass: true,
                touched: self.class.reruns(),
            },
        }
    }

    /// As [`Self::outcome`], for an attempt that was told to stop.
    #[must_use]
    pub fn stopped(self) -> Outcome {
        match self.settled() {
            Settled::Ended(outcome) => outcome,
            Settled::Rerun => Outcome::Stopped {
                touched: self.class.reruns(),
            },
        }
    }

    /// What the next start makes of it.
    #[must_use]
    pub fn settled(&self) -> Settled {
        let unknown = |why: String| Settled::Ended(Outcome::Unknown { why });
        let how = &self.how;
        match (self.class, &self.found) {
            (_, Finding::StillRuns) => unknown(format!(
                "{how}, but something of it still runs and cannot be ended"
            )),
            (Class::Once, Finding::Ended | Finding::Looked(_)) => unknown(how.clone()),
            (
                Class::Read | Class::Idempotent | Class::Keyed,
                Finding::Ended | Finding::Looked(_),
            ) => Settled::Rerun,
            (Class::Probe, Finding::Looked(Inspection::Happened(Applied { facts }))) => {
                Settled::Ended(Outcome::Succeeded {
                    facts: facts.clone(),
                })
            }
            (Class::Probe, Finding::Looked(Inspection::DidNot)) => Settled::Rerun,
            (Class::Probe, Finding::Looked(Inspection::Unsure { why })) => {
                unknown(format!("{how}; {why}"))
            }
            (Class::Probe, Finding::Ended) => unknown(how.clone()),
        }
    }
}
