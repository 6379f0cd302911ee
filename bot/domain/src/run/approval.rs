//! Counting approvals. Policy says who may decide and for which needs; the core counts people.

use super::state::{Run, RunStatus};
use crate::ids::PersonId;
use crate::request::Decision;

/// How far one approval need is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalProgress {
    /// Its index in the plan.
    pub need: u32,
    /// How many people must agree.
    pub required: u32,
    /// Who has.
    pub approved_by: Vec<PersonId>,
}

impl ApprovalProgress {
    /// How many are still missing.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.required
            .saturating_sub(u32::try_from(self.approved_by.len()).unwrap_or(u32::MAX))
    }
}

/// Why a decision does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecisionRefused {
    /// The run no longer takes decisions.
    #[error("the run no longer takes decisions")]
    TooLate,
    /// The person asked for the run, or owns the robot that did.
    #[error("you asked for this run, so somebody else must decide")]
    Requester,
    /// The person has approved before, through whatever account.
    #[error("you have approved this run already; another person must")]
    Already,
    /// The person is in none of the roles that may.
    #[error("none of your roles may approve this run")]
    NotEligible,
}

impl Run {
    /// How far each need is.
    #[must_use]
    pub fn approval_progress(&self) -> Vec<ApprovalProgress> {
        (0_u32..)
            .zip(&self.plan.approvals)
            .map(|(index, need)| ApprovalProgress {
                need: index,
                required: need.required,
                approved_by: self
                    .approvals
                    .iter()
                    .filter(|record| {
                        record.decision == Decision::Approve && record.counts_for.contains(&index)
                    })
                    .map(|record| record.person.clone())
                    .collect(),
            })
            .collect()
    }

    /// Whether every need is met.
    #[must_use]
    pub fn approvals_met(&self) -> bool {
        self.approval_progress()
            .iter()
            .all(|progress| progress.missing() == 0)
    }

    /// Whether a person's decision would count, given the needs that policy found them eligible
    /// for.
    ///
    /// # Errors
    /// The reason why not, in words for that person.
    pub fn may_decide(
        &self,
        person: &PersonId,
        decision: Decision,
        counts_for: &[u32],
    ) -> Result<(), DecisionRefused> {
        let open = match decision {
            Decision::Approve => self.status == RunStatus::AwaitingApproval,
            // Deny wins until the first claim.
            Decision::Deny => {
                matches!(self.status, RunStatus::AwaitingApproval | RunStatus::Queued)
                    && !self.plan.approvals.is_empty()
            }
        };
        if !open {
            return Err(DecisionRefused::TooLate);
        }
        if self.excluded().contains(person) {
            return Err(DecisionRefused::Requester);
        }
        let needs = self.plan.approvals.len();
        if !counts_for.iter().any(|need| (*need as usize) < needs) {
            return Err(DecisionRefused::NotEligible);
        }
        let already = self
            .approvals
            .iter()
            .any(|record| record.person == *person && record.decision == Decision::Approve);
        if already && decision == Decision::Approve {
            return Err(DecisionRefused::Already);
        }
        Ok(())
    }
}
