//! One question as a Cedar request: the entities and the context that rules look at.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Expr,
};
use rave_domain::ids::PersonId;
use rave_domain::people::{Person, Role, Strength, Surface};
use rave_domain::value::{Value, Values};

use super::{IntentView, Rules};
use crate::action::{Builtin, Decidable, RunVerb};
use crate::facts::ArgumentKind;
use crate::keys::{Endpoint, Limits};

/// Whom a person stands for, beyond the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// A human, or a robot from the configuration.
    Ordinary,
    /// The holder of the global key, while that counts.
    Api,
    /// A robot whose requests come from files that are reviewed like intents.
    Reviewed,
    /// A key of the key file.
    Key(&'a Limits),
}

impl Standing<'_> {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "person",
            Self::Api => "api",
            Self::Reviewed => "reviewed",
            Self::Key(_) => "key",
        }
    }
}

/// A person as rules see one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PersonView<'a> {
    pub(crate) person: &'a Person,
    pub(crate) standing: Standing<'a>,
}

/// Who wants what, and how it came in.
#[derive(Debug, Clone)]
pub(crate) struct Question<'a> {
    pub(crate) who: PersonView<'a>,
    pub(crate) surface: Surface,
    pub(crate) strength: Strength,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) about: About<'a>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) enum About<'a> {
    Request {
        intent: IntentView<'a>,
        arguments: &'a Values,
    },
    Decide {
        need: &'a Decidable,
        intent: IntentView<'a>,
        requester: PersonView<'a>,
        may_ask: bool,
    },
    Run {
        verb: RunVerb,
        requester: PersonView<'a>,
        intents: Vec<IntentView<'a>>,
        may_ask: bool,
        may_approve: bool,
    },
    Builtin {
        action: Builtin,
        on: Option<&'a str>,
    },
}

type Pairs = Vec<(String, Expr)>;

impl Rules {
    /// The request and its entities, both checked against the schema.
    pub(super) fn request(&self, question: &Question<'_>) -> Result<(Request, Entities), String> {
        let who = &question.who;
        let mut context: Pairs = vec![
            pair("surface", text(question.surface.as_str())),
            pair("strength", Expr::new_long(strength(question.strength))),
        ];
        let mut entities = vec![self.person(who)?];
        let (action, resource) = match &question.about {
            About::Request { intent, arguments } => {
                context.extend(endpoint(question.endpoint));
                context.push(pair("args", self.arguments(arguments)?));
                let entity = self.intent(intent)?;
                let uid = entity.uid();
                entities.push(entity);
                ("run.request", uid)
            }
            About::Decide {
                need,
                intent,
                requester,
                may_ask,
            } => {
                context.push(pair("may_ask", Expr::new_bool(*may_ask)));
                context.push(pair("args", self.arguments(&need.arguments)?));
                entities.push(self.intent(intent)?);
                self.add_requester(&mut entities, who, requester)?;
                let entity = self.need(need)?;
                let uid = entity.uid();
                entities.push(entity);
                ("run.decide", uid)
            }
            About::Run {
                verb,
                requester,
                intents,
                may_ask,
                may_approve,
            } => {
                context.push(pair("may_ask", Expr::new_bool(*may_ask)));
                context.push(pair("may_approve", Expr::new_bool(*may_approve)));
                for intent in intents {
                    entities.push(self.intent(intent)?);
                }
                self.add_requester(&mut entities, who, requester)?;
                let entity = self.run(&requester.person.id, intents)?;
                let uid = entity.uid();
                entities.push(entity);
                (verb.as_str(), uid)
            }
            About::Builtin { action, on } => {
                context.extend(endpoint(question.endpoint));
                let uid = uid(&self.types.thing, on.unwrap_or("*"));
                entities.push(Entity::new_no_attrs(uid.clone(), HashSet::new()));
                (action.as_str(), uid)
            }
        };
        let context = Context::from_pairs(context).map_err(arguments_rule)?;
        let entities = Entities::from_entities(entities, None).map_err(arguments_rule)?;
        let request = Request::new(
            uid(&self.types.person, who.person.id.as_str()),
            uid(&self.types.action, action),
            resource,
            context,
            Some(&self.schema),
        )
        .map_err(arguments_rule)?;
        Ok((request, entities))
    }

    fn person(&self, view: &PersonView<'_>) -> Result<Entity, String> {
        let mut attributes = HashMap::from([
            pair("robot", Expr::new_bool(view.person.is_robot())),
            pair("standing", text(view.standing.as_str())),
        ]);
        if let Standing::Key(limits) = view.standing {
            let lists = [
                pair("endpoints", texts(&limits.endpoints)),
                pair("actions", texts(&limits.actions)),
                pair("stacks", texts(&limits.stacks)),
            ];
            let record = Expr::new_record(lists).map_err(arguments_rule)?;
            attributes.insert("key".to_owned(), record);
        }
        let roles = view
            .person
            .roles
            .iter()
            .map(|role| uid(&self.types.role, &role.0))
            .collect();
        let id = uid(&self.types.person, view.person.id.as_str());
        Entity::new(id, attributes, roles).map_err(arguments_rule)
    }

    /// The requester of a run, unless that is the one who asks.
    fn add_requester(
        &self,
        entities: &mut Vec<Entity>,
        who: &PersonView<'_>,
        requester: &PersonView<'_>,
    ) -> Result<(), String> {
        if requester.person.id != who.person.id {
            entities.push(self.person(requester)?);
        }
        Ok(())
    }

    fn intent(&self, view: &IntentView<'_>) -> Result<Entity, String> {
        let mut attributes = HashMap::from([
            pair("action", text(view.action)),
            pair("roles", self.roles(view.roles)),
            pair("named", Expr::new_bool(view.named)),
        ]);
        attributes.extend(view.stack.map(|stack| pair("stack", text(stack))));
        attributes.extend(
            view.target
                .as_deref()
                .map(|target| pair("target", text(target))),
        );
        let id = uid(&self.types.intent, view.name.as_str());
        Entity::new(id, attributes, HashSet::new()).map_err(arguments_rule)
    }

    fn need(&self, need: &Decidable) -> Result<Entity, String> {
        let intent = uid(&self.types.intent, need.intent.as_str());
        let attributes = HashMap::from([
            pair("intent", Expr::new_entity_uid(intent)),
            pair("from", self.roles(&need.from)),
            pair("anybody", Expr::new_bool(need.from.is_empty())),
            pair("requester", self.person_ref(&need.requester)),
            pair(
                "owners",
                Expr::new_set(need.owners.iter().map(|owner| self.person_ref(owner))),
            ),
            pair("strength", Expr::new_long(strength(need.strength))),
        ]);
        let id = uid(&self.types.need, need.intent.as_str());
        Entity::new(id, attributes, HashSet::new()).map_err(arguments_rule)
    }

    fn run(&self, requester: &PersonId, intents: &[IntentView<'_>]) -> Result<Entity, String> {
        let intents = intents
            .iter()
            .map(|view| Expr::new_entity_uid(uid(&self.types.intent, view.name.as_str())));
        let attributes = HashMap::from([
            pair("requester", self.person_ref(requester)),
            pair("intents", Expr::new_set(intents)),
        ]);
        Entity::new(uid(&self.types.run, "*"), attributes, HashSet::new()).map_err(arguments_rule)
    }

    /// The arguments that conditions can see, in their declared types.
    fn arguments(&self, values: &Values) -> Result<Expr, String> {
        let mut pairs: Pairs = Vec::new();
        for (name, kind, value) in self.visible(values) {
            let expression = expression(kind, value).ok_or_else(|| "arguments".to_owned())?;
            pairs.push((name.clone(), expression));
        }
        Expr::new_record(pairs).map_err(arguments_rule)
    }

    /// Whether all arguments that conditions can see can be put before the rules.
    pub(crate) fn fit(&self, values: &Values) -> bool {
        self.visible(values)
            // Everything that is visible can be written as text.
            .all(|(_, kind, value)| kind == ArgumentKind::Text || expression(kind, value).is_some())
    }

    /// Undeclared names cannot stand in a checked rule, so nothing misses them.
    fn visible<'a>(
        &'a self,
        values: &'a Values,
    ) -> impl Iterator<Item = (&'a String, ArgumentKind, &'a Value)> {
        values
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Secret(_)))
            .filter_map(|(name, value)| Some((name, *self.arguments.get(name)?, value)))
    }

    fn roles(&self, roles: &BTreeSet<Role>) -> Expr {
        Expr::new_set(
            roles
                .iter()
                .map(|role| Expr::new_entity_uid(uid(&self.types.role, &role.0))),
        )
    }

    fn person_ref(&self, id: &PersonId) -> Expr {
        Expr::new_entity_uid(uid(&self.types.person, id.as_str()))
    }
}

/// The rule to blame when a request cannot be built: always something in its arguments.
fn arguments_rule(_: impl std::error::Error) -> String {
    "arguments".to_owned()
}

/// `None` when the value is not of the declared type. Leaving it out instead would let it past a
/// forbid on that argument.
fn expression(kind: ArgumentKind, value: &Value) -> Option<Expr> {
    match (kind, value) {
        (ArgumentKind::Text, _) => value.plain().map(Expr::new_string),
        (ArgumentKind::Int, Value::Int(number)) => Some(Expr::new_long(*number)),
        (ArgumentKind::Bool, Value::Bool(yes)) => Some(Expr::new_bool(*yes)),
        (ArgumentKind::List, Value::List(items)) => {
            Some(Expr::new_set(items.iter().map(|item| text(item))))
        }
        (ArgumentKind::List, Value::Map(items)) => {
            Some(Expr::new_set(items.iter().map(|(key, value)| {
                Expr::new_string(format!("{key}={value}"))
            })))
        }
        (ArgumentKind::List, Value::Text(item)) => Some(Expr::new_set([text(item)])),
        (ArgumentKind::Int, Value::Text(written)) => written.parse().ok().map(Expr::new_long),
        (ArgumentKind::Bool, Value::Text(written)) => written.parse().ok().map(Expr::new_bool),
        (ArgumentKind::Int | ArgumentKind::Bool | ArgumentKind::List, _) => None,
    }
}

fn strength(strength: Strength) -> i64 {
    match strength {
        Strength::Token => 0,
        Strength::Sealed => 1,
        Strength::Signed => 2,
        Strength::Totp => 3,
    }
}

fn endpoint(endpoint: Option<Endpoint>) -> Option<(String, Expr)> {
    endpoint.map(|endpoint| pair("endpoint", text(endpoint.as_str())))
}

fn pair(name: &str, value: Expr) -> (String, Expr) {
    (name.to_owned(), value)
}

fn text(text: &str) -> Expr {
    Expr::new_string(text.to_owned())
}

fn texts(items: &BTreeSet<String>) -> Expr {
    Expr::new_set(items.iter().map(|item| text(item)))
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
