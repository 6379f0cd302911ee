//! From a subject and an action to a proof or a refusal.

use std::collections::BTreeSet;
use std::sync::Arc;

use rave_domain::ids::{Digest, IntentName, PersonId};
use rave_domain::people::{Person, PersonKind, Role, Strength};
use rave_domain::value::Values;

use crate::action::{Action, Asked, Decidable, Permissible, RunFacts, RunVerb};
use crate::alike::Requests;
use crate::authorized::{Authorized, Denial};
use crate::cache::KeyWriter;
use crate::cedar::{About, Answer, IntentView, PersonView, Question, Standing};
use crate::facts::IntentFacts;
use crate::keys::{Endpoint, covers};
use crate::policy::Policy;
use crate::subject::{Entry, Subject};

impl Subject {
    /// The same for two subjects exactly when no rule can tell them apart: a key for what was
    /// worked out from one policy's decisions.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut key = KeyWriter::default();
        subject_key(&mut key, self);
        key.finish()
    }
}

/// A decision as it is remembered: the rules that allowed, or the refusal.
pub(crate) type Verdict = Result<Vec<String>, Denial>;

impl Policy {
    /// Decides one action.
    ///
    /// # Errors
    /// The refusal, in words for the subject.
    pub fn decide(&self, who: &Subject, action: Action) -> Result<Authorized<Action>, Denial> {
        let rules = self.verdict(who, &action).as_ref().clone()?;
        Ok(Authorized::new(
            action,
            who.person.id.clone(),
            rules,
            self.hash(),
        ))
    }

    /// Decides everything that a value asks for.
    ///
    /// # Errors
    /// The first refusal, in words for the subject. A value that asks for nothing is refused.
    pub fn authorize<T: Permissible>(
        &self,
        who: &Subject,
        what: T,
    ) -> Result<Authorized<T>, Denial> {
        let asked = what.asks_for();
        if asked.is_empty() {
            return Err(Denial {
                code: rave_domain::ErrorCode::PolicyDenied,
                rule: "no-rule".to_owned(),
                because: "nothing was asked for that could be allowed".to_owned(),
                nearest_yes: None,
            });
        }
        let mut rules: BTreeSet<String> = BTreeSet::new();
        let mut requests = Requests::new(self, who);
        for asked in asked {
            let verdict = match asked {
                Asked::Request { intent, arguments } => requests.verdict(intent, arguments),
                Asked::Action(action) => self.verdict(who, action),
            };
            for rule in verdict.as_ref().as_ref().map_err(Clone::clone)? {
                // Most of a plan is allowed by the same rule.
                if !rules.contains(rule) {
                    rules.insert(rule.clone());
                }
            }
        }
        Ok(Authorized::new(
            what,
            who.person.id.clone(),
            rules.into_iter().collect(),
            self.hash(),
        ))
    }

    /// The decision, remembered.
    pub(crate) fn verdict(&self, who: &Subject, action: &Action) -> Arc<Verdict> {
        if let Action::Request { intent, arguments } = action {
            return Requests::new(self, who).verdict(intent, arguments);
        }
        self.remembered.get_or(memo_key(who, action), || {
            Arc::new(self.evaluate(who, action))
        })
    }

    /// Whether a subject may ask for an intent with these arguments.
    pub(crate) fn asks(&self, who: &Subject, intent: &IntentName, arguments: &Values) -> bool {
        Requests::new(self, who).verdict(intent, arguments).is_ok()
    }

    /// The decision, worked out.
    pub(crate) fn evaluate(&self, who: &Subject, action: &Action) -> Verdict {
        let answer = match action {
            Action::Request { intent, arguments } => {
                let Some(facts) = self.facts(intent) else {
                    return Err(unknown_intent(intent));
                };
                let intent = self.view(facts);
                self.ask(who, About::Request { intent, arguments })
            }
            Action::Decide(need) => self.answer_decide(who, need),
            Action::Run(verb, run) => self.answer_run(who, *verb, run),
            Action::Builtin(action, on) => self.ask(
                who,
                About::Builtin {
                    action: *action,
                    on: on.as_deref(),
                },
            ),
        };
        match answer {
            Answer::Permit(rules) => Ok(rules),
            refused @ (Answer::Forbid(_) | Answer::Silence | Answer::Broken(_)) => {
                Err(self.denial(who, action, &refused))
            }
        }
    }

    fn answer_decide(&self, who: &Subject, need: &Decidable) -> Answer {
        let requester = self.somebody(&need.requester);
        // Asking matters only where anybody who may ask may approve.
        let may_ask = need.from.is_empty() && self.asks(who, &need.intent, &need.arguments);
        self.ask(
            who,
            About::Decide {
                need,
                intent: self.view_by_name(&need.intent),
                requester: self.person_view(&requester),
                may_ask,
            },
        )
    }

    fn answer_run(&self, who: &Subject, verb: RunVerb, run: &RunFacts) -> Answer {
        let requester = self.somebody(&run.requester);
        // Reading has no endpoint of the seed; what counts is whether some endpoint would do.
        let asker = Subject::recorded(Arc::clone(&who.person), who.account.clone());
        let may_ask = run
            .intents
            .iter()
            .any(|(intent, arguments)| self.asks(&asker, intent, arguments));
        let may_approve = !may_ask
            && run
                .intents
                .keys()
                .any(|intent| self.may_approve(who, intent, run));
        let intents = run
            .intents
            .keys()
            .map(|intent| self.view_by_name(intent))
            .collect();
        self.ask(
            who,
            About::Run {
                verb,
                requester: self.person_view(&requester),
                intents,
                may_ask,
                may_approve,
            },
        )
    }

    /// Whether somebody holds a role that may approve an intent, or a policy file lets them. Who
    /// asked does not matter here: it is about seeing the intent's runs, not about deciding.
    fn may_approve(&self, who: &Subject, intent: &IntentName, run: &RunFacts) -> bool {
        let facts = self.facts(intent);
        let Some(need) = facts.and_then(|facts| facts.approval.as_ref()) else {
            return false;
        };
        if who.person.is_robot() {
            return false;
        }
        if !need.from.is_disjoint(&who.person.roles) {
            return true;
        }
        let arguments = run.intents.get(intent).cloned().unwrap_or_default();
        let requester = self.somebody(&run.requester);
        let need = Decidable::new(need, arguments, &requester);
        let approver = Subject {
            strength: Strength::Totp,
            ..who.clone()
        };
        self.rules.has_operator_permit("run.decide")
            && self.verdict(&approver, &Action::Decide(need)).is_ok()
    }

    fn ask(&self, who: &Subject, about: About<'_>) -> Answer {
        let standing = self.standing(&who.person);
        self.rules.answer(&Question {
            who: PersonView {
                person: &who.person,
                standing,
            },
            surface: who.account.surface,
            strength: who.strength,
            endpoint: endpoint(who.entry, standing),
            about,
        })
    }

    /// An intent of the catalog as rules see it.
    fn view<'a>(&self, facts: &'a IntentFacts) -> IntentView<'a> {
        IntentView {
            name: &facts.name,
            action: facts.action.as_str(),
            stack: facts.stack.as_deref(),
            target: facts.target.as_ref().map(ToString::to_string),
            roles: &facts.roles,
            named: self.rules.has_rule_for(facts),
        }
    }

    /// An intent of a run. One that has left the catalog since gives no rights.
    fn view_by_name<'a>(&'a self, name: &'a IntentName) -> IntentView<'a> {
        const NO_ROLES: &BTreeSet<Role> = &BTreeSet::new();
        match self.facts(name) {
            Some(facts) => self.view(facts),
            None => IntentView {
                name,
                action: "",
                stack: None,
                target: None,
                roles: NO_ROLES,
                named: true,
            },
        }
    }

    /// A requester by name, also one who has left the configuration since.
    fn somebody(&self, id: &PersonId) -> Arc<Person> {
        self.person(id).unwrap_or_else(|| {
            Arc::new(Person {
                id: id.clone(),
                roles: BTreeSet::new(),
                kind: PersonKind::Human,
            })
        })
    }

    fn person_view<'a>(&'a self, person: &'a Person) -> PersonView<'a> {
        PersonView {
            person,
            standing: self.standing(person),
        }
    }
}

/// The endpoint that a key's entry is compared with.
fn endpoint(entry: Entry, standing: Standing<'_>) -> Option<Endpoint> {
    match (entry, standing) {
        (Entry::Direct, _) => None,
        (Entry::Endpoint(endpoint), _) => Some(endpoint),
        // Which one it was is not on record; the entry must still cover one that makes runs.
        (Entry::Recorded, Standing::Key(limits)) => Endpoint::SUBMIT
            .into_iter()
            .find(|endpoint| covers(&limits.endpoints, endpoint.as_str())),
        (Entry::Recorded, Standing::Ordinary | Standing::Api | Standing::Reviewed) => None,
    }
}

fn unknown_intent(intent: &IntentName) -> Denial {
    Denial {
        code: rave_domain::ErrorCode::UnknownIntent,
        rule: "catalog".to_owned(),
        because: format!("there is no intent {intent}"),
        nearest_yes: None,
    }
}

/// Everything of a subject and an action that rules can see.
pub(crate) fn memo_key(who: &Subject, action: &Action) -> Digest {
    let mut key = KeyWriter::default();
    subject_key(&mut key, who);
    key.part(action.name().as_bytes());
    match action {
        Action::Request { intent, arguments } => {
            key.part(intent.as_str().as_bytes());
            values(&mut key, arguments);
        }
        Action::Decide(need) => {
            key.part(need.intent.as_str().as_bytes())
                .list(need.from.iter().map(|role| role.0.as_str()))
                .part(&[strength_byte(need.strength)])
                .part(need.requester.as_str().as_bytes())
                .list(need.owners.iter().map(PersonId::as_str));
            values(&mut key, &need.arguments);
        }
        Action::Run(_, run) => {
            key.part(run.requester.as_str().as_bytes());
            for (intent, arguments) in &run.intents {
                key.part(intent.as_str().as_bytes());
                values(&mut key, arguments);
            }
        }
        Action::Builtin(_, on) => {
            key.list(on.as_deref());
        }
    }
    key.finish()
}

/// Everything of a subject that rules can see.
pub(crate) fn subject_key(key: &mut KeyWriter, who: &Subject) {
    let person = &who.person;
    key.part(person.id.as_str().as_bytes())
        .list(person.roles.iter().map(|role| role.0.as_str()))
        .part(&[u8::from(person.is_robot())])
        .part(who.account.surface.as_str().as_bytes())
        .part(&[strength_byte(who.strength), entry_byte(who.entry)]);
}

fn values(key: &mut KeyWriter, values: &Values) {
    // Values always serialise; were one not to, its debug form would still tell it apart.
    let text = serde_json::to_string(values).unwrap_or_else(|_| format!("{values:?}"));
    key.part(text.as_bytes());
}

const fn strength_byte(strength: Strength) -> u8 {
    match strength {
        Strength::Token => 0,
        Strength::Sealed => 1,
        Strength::Signed => 2,
        Strength::Totp => 3,
    }
}

const fn entry_byte(entry: Entry) -> u8 {
    match entry {
        Entry::Direct => 0,
        Entry::Recorded => 1,
        Entry::Endpoint(Endpoint::Run) => 2,
        Entry::Endpoint(Endpoint::Orchestrate) => 3,
        Entry::Endpoint(Endpoint::Schedules) => 4,
        Entry::Endpoint(Endpoint::SchedulesReload) => 5,
        Entry::Endpoint(Endpoint::SchedulesRunNow) => 6,
    }
}
