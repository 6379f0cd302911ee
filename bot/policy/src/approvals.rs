//! Who may approve, and how many must. The run core counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use rave_domain::error::ErrorCode;
use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::{Account, Person, PersonKind, Strength, Surface};
use rave_domain::plan::ApprovalNeed;
use rave_domain::value::Values;

use crate::action::{Action, Decidable};
use crate::authorized::Denial;
use crate::policy::Policy;
use crate::subject::Subject;

impl Decidable {
    /// A need of a plan, asked for by a person.
    #[must_use]
    pub fn new(need: &ApprovalNeed, arguments: Values, requester: &Person) -> Self {
        Self {
            intent: need.intent.clone(),
            arguments,
            from: need.from.clone(),
            strength: need.strength,
            requester: requester.id.clone(),
            owners: owners(requester),
        }
    }
}

/// The people who run a robot; nobody for a human.
#[must_use]
pub fn owners(person: &Person) -> BTreeSet<PersonId> {
    match &person.kind {
        PersonKind::Human => BTreeSet::new(),
        PersonKind::Robot { owners } => owners.clone(),
    }
}

impl Policy {
    /// The approvals that the intents of a plan need, each intent once. A robot without owners
    /// needs one more of each, because nobody stands for what it asks.
    #[must_use]
    pub fn needs<'a>(
        &self,
        intents: impl IntoIterator<Item = &'a IntentName>,
        requester: &Person,
    ) -> Vec<ApprovalNeed> {
        let more = u32::from(requester.is_robot() && owners(requester).is_empty());
        let mut seen = BTreeSet::new();
        intents
            .into_iter()
            .filter(|intent| self.guarded.contains(*intent) && seen.insert(*intent))
            .filter_map(|intent| {
                let need = self.facts(intent)?.approval.as_ref()?;
                Some(ApprovalNeed {
                    intent: intent.clone(),
                    required: need.required.saturating_add(more),
                    ..need.clone()
                })
            })
            .collect()
    }

    /// Who could decide on a need now, by name, given a surface that is strong enough.
    #[must_use]
    pub fn eligible(&self, need: &Decidable) -> Vec<PersonId> {
        // Without a permit of an operator's file only the roles of the need count, and thousands
        // of people need not be asked about one by one.
        let by_role = !need.from.is_empty() && !self.rules.has_operator_permit("run.decide");
        self.people()
            .iter()
            .filter(|person| !person.is_robot())
            .filter(|person| !by_role || !person.roles.is_disjoint(&need.from))
            .filter(|person| {
                let subject = self.stand_in(person, Strength::Totp);
                self.verdict(&subject, &Action::Decide(need.clone()))
                    .is_ok()
            })
            .map(|person| person.id.clone())
            .collect()
    }

    /// For which of a run's needs a subject's decision counts, as the event records it.
    ///
    /// # Errors
    /// The first refusal when it counts for none.
    pub fn counts_for(&self, who: &Subject, needs: &[Decidable]) -> Result<Vec<u32>, Denial> {
        let mut counts = Vec::new();
        let mut refusal = None;
        for (index, need) in (0_u32..).zip(needs) {
            match self.verdict(who, &Action::Decide(need.clone())).as_ref() {
                Ok(_) => counts.push(index),
                Err(denial) => refusal = refusal.or_else(|| Some(denial.clone())),
            }
        }
        match refusal {
            Some(denial) if counts.is_empty() => Err(denial),
            None if counts.is_empty() => Err(Denial {
                code: ErrorCode::WrongState,
                rule: "no-need".to_owned(),
                because: "this run needs no approval".to_owned(),
                nearest_yes: None,
            }),
            Some(_) | None => Ok(counts),
        }
    }

    /// Somebody who is not asking now, through the first of their accounts.
    pub(crate) fn stand_in(&self, person: &Arc<Person>, strength: Strength) -> Subject {
        let account = self
            .people()
            .accounts_of(&person.id)
            .next()
            .cloned()
            .unwrap_or_else(|| Account::new(Surface::Cli, person.id.as_str()));
        let mut subject = Subject::recorded(Arc::clone(person), account);
        subject.strength = strength;
        subject
    }
}
