//! The gate: policy, label, freeze, and the two looks that are taken again later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rave_domain::error::ErrorClass;
use rave_domain::ids::IntentName;
use rave_domain::plan::{Operation, Plan, StepRole};
use rave_domain::ports::store::Freeze;
use rave_domain::request::RunRequest;
use rave_domain::run::{Event, Run};
use rave_domain::value::Values;
use rave_domain::{ErrorCode, UserError};
use rave_policy::{
    Action, Asked, Authorized, Decidable, Denial, Permissible, RunFacts, RunVerb, Subject,
    freeze_gate, label_gate,
};
use secrecy::ExposeSecret as _;

use crate::planner::Planned;
use crate::shared::{Rules, Shared, lock};

/// A plan that may be run once each of its intents is allowed.
pub(crate) struct AskedPlan(pub(crate) Plan);

impl Permissible for AskedPlan {
    fn asks_for(&self) -> Vec<Asked<'_>> {
        self.0
            .steps
            .iter()
            .map(|step| Asked::Request {
                intent: &step.operation.intent,
                arguments: &step.arguments,
            })
            .collect()
    }
}

impl Shared {
    /// Policy → label → freeze, in that order, for a plan as asked for. Adds who must approve.
    pub(crate) fn judge(
        &self,
        rules: &Rules,
        subject: &Subject,
        mut plan: Plan,
    ) -> Result<Authorized<AskedPlan>, Denial> {
        let asked = plan
            .steps
            .iter()
            .filter(|step| {
                step.role == StepRole::Requested
                    || step.operation.class != rave_domain::plan::Class::Read
            })
            .map(|step| &step.operation.intent);
        plan.approvals = rules.policy.needs(asked, subject.person());
        let authorized = rules.policy.authorize(subject, AskedPlan(plan))?;
        let approved = &rules.catalog.settings().approved_label;
        for step in &authorized.get().0.steps {
            let name = &step.operation.intent;
            label_gate(name, rules.catalog.label_of(name), approved)?;
        }
        let freezes = lock(&self.freezes).clone();
        for step in &authorized.get().0.steps {
            freeze_gate(
                &freezes,
                &step.operation.intent,
                Some(&step.operation.target),
            )?;
        }
        Ok(authorized)
    }

    /// The freeze that covers an operation now.
    pub(crate) fn frozen_by(&self, operation: &Operation) -> Option<Freeze> {
        let freezes = lock(&self.freezes);
        freezes
            .iter()
            .find(|freeze| {
                freeze_gate(
                    std::slice::from_ref(freeze),
                    &operation.intent,
                    Some(&operation.target),
                )
                .is_err()
            })
            .cloned()
    }

    /// Whether the requester of a run may still ask for one of its operations.
    pub(crate) fn still_allowed(&self, run: &Run, operation: &Operation) -> Result<(), UserError> {
        let rules = self.rules();
        let subject = self.requester(&rules, run)?;
        let arguments = run
            .plan
            .steps
            .iter()
            .find(|step| step.operation.intent == operation.intent)
            .map(|step| step.arguments.clone())
            .unwrap_or_default();
        let action = Action::Request {
            intent: operation.intent.clone(),
            arguments,
        };
        rules
            .policy
            .decide(&subject, action)
            .map(|_| ())
            .map_err(UserError::from)
    }

    /// The person who asked for a run, with the roles of now.
    fn requester(&self, rules: &Rules, run: &Run) -> Result<Subject, UserError> {
        let person = rules.policy.person(&run.origin.person).ok_or_else(|| {
            UserError::new(
                ErrorCode::PolicyDenied,
                format!("{} is no longer among the people", run.origin.person),
            )
        })?;
        Ok(Subject::recorded(person, run.origin.account.clone()))
    }

    /// Computes the plan of a run again and compares: what people approved is what runs. `Err` when
    /// it cannot be computed now, with why: that says nothing about the plan.
    pub(crate) async fn confirm(self: &Arc<Self>, run: &Run) -> Result<Event, String> {
        // Without an approval there is nothing that a changed plan could betray.
        if run.plan.approvals.is_empty() {
            return Ok(Event::Started {
                at: self.clock.now(),
            });
        }
        let changes = match self.plan_again(run).await {
            Ok(planned) if planned.plan.digest == run.plan.digest => Vec::new(),
            Ok(planned) => run.plan.differences(&planned.plan),
            Err(error) => match error.code.class() {
                ErrorClass::External | ErrorClass::Internal => return Err(error.message),
                ErrorClass::User
                | ErrorClass::Identity
                | ErrorClass::Policy
                | ErrorClass::Conflict => vec![error.message],
            },
        };
        let at = self.clock.now();
        Ok(if changes.is_empty() {
            Event::Started { at }
        } else {
            Event::Voided { at, changes }
        })
    }

    async fn plan_again(self: &Arc<Self>, run: &Run) -> Result<Planned, UserError> {
        let rules = self.rules();
        let mut request: RunRequest = (*run.request).clone();
        for (param, value) in self.secrets_of(run).await? {
            request.arguments.insert(param, vec![value]);
        }
        self.plan(&rules, &request).await
    }

    /// A run's secrets in the open, by parameter.
    pub(crate) async fn secrets_of(
        &self,
        run: &Run,
    ) -> Result<BTreeMap<String, String>, UserError> {
        let sealed = self
            .store
            .secrets(&run.id)
            .await
            .map_err(|error| crate::journal::store_error(&error))?;
        sealed
            .iter()
            .map(|(param, sealed)| {
                let opened = self
                    .sealer
                    .open(&run.id, param, sealed)
                    .map_err(|error| UserError::new(ErrorCode::Internal, error.to_string()))?;
                Ok((param.clone(), opened.expose_secret().to_owned()))
            })
            .collect()
    }
}

/// What policy needs to know of a run.
pub(crate) fn run_facts(run: &Run) -> RunFacts {
    RunFacts {
        requester: run.origin.person.clone(),
        intents: intents_of(&run.plan),
    }
}

fn intents_of(plan: &Plan) -> BTreeMap<IntentName, Values> {
    plan.steps
        .iter()
        .map(|step| (step.operation.intent.clone(), step.arguments.clone()))
        .collect()
}

/// The arguments of those intents of a plan that need an approval.
fn approved_arguments(plan: &Plan) -> BTreeMap<&IntentName, &Values> {
    let asked: BTreeSet<&IntentName> = plan.approvals.iter().map(|need| &need.intent).collect();
    plan.steps
        .iter()
        .filter(|step| asked.contains(&step.operation.intent))
        .map(|step| (&step.operation.intent, &step.arguments))
        .collect()
}

/// An action on a run, for policy.
pub(crate) fn run_action(verb: RunVerb, run: &Run) -> Action {
    Action::Run(verb, run_facts(run))
}

/// A plan's approval needs with what decides who may meet them.
pub(crate) fn decidables(
    plan: &Plan,
    requester: &rave_domain::PersonId,
    owners: &BTreeSet<rave_domain::PersonId>,
) -> Vec<Decidable> {
    let arguments = approved_arguments(plan);
    plan.approvals
        .iter()
        .map(|need| Decidable {
            intent: need.intent.clone(),
            arguments: arguments
                .get(&need.intent)
                .map_or_else(Values::new, |values| (*values).clone()),
            from: need.from.clone(),
            strength: need.strength,
            requester: requester.clone(),
            owners: owners.clone(),
        })
        .collect()
}

/// The subject of a caller.
pub(crate) fn subject(caller: &crate::api::Caller) -> Subject {
    let subject = Subject::new(
        Arc::clone(&caller.person),
        caller.account.clone(),
        caller.strength,
    );
    match caller.endpoint.and_then(|name| name.parse().ok()) {
        Some(endpoint) => subject.at(endpoint),
        None => subject,
    }
}
