//! The rule set: the fixed rules, the operators' files and the schema that both are checked by.

mod load;
mod request;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, Effect, EntityTypeName, EntityUid,
    Policy, PolicySet, PrincipalConstraint, ResourceConstraint, Schema,
};
use rave_domain::ids::IntentName;
use rave_domain::people::{Person, Role};

use crate::facts::{ArgumentKind, IntentFacts};

pub(crate) use load::FIXED;
pub(crate) use request::{About, PersonView, Question, Standing};

/// The text of one file of `[policy] files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// For messages and rule names.
    pub path: String,
    /// Cedar policies.
    pub text: String,
}

/// Everything that decisions are evaluated with.
#[derive(Debug)]
pub(crate) struct Rules {
    set: PolicySet,
    schema: Schema,
    authorizer: Authorizer,
    types: Types,
    /// The rules of operators' files, for explanations.
    operator: Vec<OperatorRule>,
    /// Every argument that conditions can see.
    arguments: BTreeMap<String, ArgumentKind>,
    /// Intents that a permit of an operator's file mentions.
    named: BTreeSet<IntentName>,
    /// Whether any of the operators' rules is about asking.
    about_asking: bool,
    pub(crate) warnings: Vec<String>,
}

/// The names of entity types, parsed once.
#[derive(Debug, Clone)]
struct Types {
    person: EntityTypeName,
    role: EntityTypeName,
    intent: EntityTypeName,
    need: EntityTypeName,
    run: EntityTypeName,
    thing: EntityTypeName,
    action: EntityTypeName,
}

/// The scope and texts of a rule from an operator's file.
#[derive(Debug)]
pub(crate) struct OperatorRule {
    pub(crate) name: String,
    pub(crate) effect: Effect,
    pub(crate) because: Option<String>,
    /// Whether it has a `when` or `unless`.
    pub(crate) conditional: bool,
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Allowed by these rules.
    Permit(Vec<String>),
    /// Refused by these rules.
    Forbid(Vec<String>),
    /// No rule speaks for it.
    Silence,
    /// This rule could not be evaluated. Cedar would skip it; a skipped forbid would be an open
    /// door, so it refuses.
    Broken(String),
}

impl Rules {
    /// Asks the rules. What cannot be put into a request refuses like a broken rule.
    pub(crate) fn answer(&self, question: &Question<'_>) -> Answer {
        let (request, entities) = match self.request(question) {
            Ok(built) => built,
            Err(why) => return Answer::Broken(why),
        };
        let response = self
            .authorizer
            .is_authorized(&request, &self.set, &entities);
        let mut broken: Vec<String> = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string())
            .collect();
        broken.sort();
        if let Some(rule) = broken.into_iter().next() {
            return Answer::Broken(rule);
        }
        let mut rules: Vec<String> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        rules.sort();
        match response.decision() {
            Decision::Allow => Answer::Permit(rules),
            Decision::Deny if rules.is_empty() => Answer::Silence,
            Decision::Deny => Answer::Forbid(rules),
        }
    }

    /// The `@because` of a rule, in words for people.
    pub(crate) fn because(&self, rule: &str) -> Option<&str> {
        self.annotation(rule, "because")
    }

    /// The `@hint` of a rule: what would change its answer.
    pub(crate) fn hint(&self, rule: &str) -> Option<&str> {
        self.annotation(rule, "hint")
    }

    fn annotation(&self, rule: &str, name: &str) -> Option<&str> {
        let id = cedar_policy::PolicyId::new(rule);
        self.set
            .annotation(&id, name)
            .filter(|text| !text.is_empty())
    }

    /// The operators' rules about an action on an intent whose scope covers it.
    pub(crate) fn operator_rules<'a>(
        &'a self,
        action: &'a str,
        intent: &'a IntentName,
    ) -> impl Iterator<Item = &'a OperatorRule> {
        self.operator.iter().filter(move |rule| {
            rule.action_covers(action) && rule.resource_covers(&self.types.intent, intent)
        })
    }

    /// Whether operators' files say anything about an action.
    pub(crate) fn has_operator_permit(&self, action: &str) -> bool {
        self.operator
            .iter()
            .any(|rule| rule.effect == Effect::Permit && rule.action_covers(action))
    }

    /// Whether an operator's rule is about asking for intents. Such a rule may look at anything.
    pub(crate) fn any_about_asking(&self) -> bool {
        self.about_asking
    }

    /// Whether a rule of its own exists for an intent: its roles, or a permit of an operator's file
    /// that mentions it.
    pub(crate) fn has_rule_for(&self, intent: &IntentFacts) -> bool {
        !intent.roles.is_empty() || self.named.contains(&intent.name)
    }
}

impl OperatorRule {
    fn read(name: String, policy: &Policy) -> Self {
        Self {
            name,
            effect: policy.effect(),
            because: policy.annotation("because").map(ToOwned::to_owned),
            conditional: policy.has_non_scope_constraint(),
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }

    fn action_covers(&self, action: &str) -> bool {
        let is = |uid: &EntityUid| uid.id().unescaped() == action;
        match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => is(uid),
            ActionConstraint::In(uids) => uids.iter().any(is),
        }
    }

    fn resource_covers(&self, kind: &EntityTypeName, intent: &IntentName) -> bool {
        let is =
            |uid: &EntityUid| uid.type_name() == kind && uid.id().unescaped() == intent.as_str();
        match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(name) => name == kind,
            ResourceConstraint::In(uid)
            | ResourceConstraint::Eq(uid)
            | ResourceConstraint::IsIn(_, uid) => is(uid),
        }
    }

    /// Whether its scope covers a person.
    pub(crate) fn principal_covers(&self, person: &Person) -> bool {
        match &self.principal {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
            PrincipalConstraint::Eq(uid) => is_person(uid, person),
            PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
                is_person(uid, person)
                    || role_of(uid).is_some_and(|role| person.roles.contains(&role))
            }
        }
    }

    /// The role that its scope asks for.
    pub(crate) fn role(&self) -> Option<Role> {
        match &self.principal {
            PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => role_of(uid),
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) | PrincipalConstraint::Eq(_) => {
                None
            }
        }
    }
}

fn is_person(uid: &EntityUid, person: &Person) -> bool {
    uid.type_name().basename() == "Person" && uid.id().unescaped() == person.id.as_str()
}

fn role_of(uid: &EntityUid) -> Option<Role> {
    (uid.type_name().basename() == "Role").then(|| Role(uid.id().unescaped().to_owned()))
}

/// An intent as a resource.
#[derive(Debug, Clone)]
pub(crate) struct IntentView<'a> {
    pub(crate) name: &'a IntentName,
    pub(crate) action: &'a str,
    pub(crate) stack: Option<&'a str>,
    pub(crate) target: Option<String>,
    pub(crate) roles: &'a BTreeSet<Role>,
    pub(crate) named: bool,
}
