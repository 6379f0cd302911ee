//! Requests for intents that no rule can tell apart are decided once.
//!
//! The fixed rules look at an intent's action, stack and roles and at whether rules name it, never
//! at its name, its target or its arguments. So as long as no operator's rule is about asking, what
//! allows one intent allows every other that is alike in those. Only a permit is shared: a refusal
//! says what it refuses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rave_domain::ids::{ActionName, IntentName};
use rave_domain::people::Role;
use rave_domain::value::Values;

use crate::action::Action;
use crate::cache::KeyWriter;
use crate::cedar::Rules;
use crate::decide::{Verdict, memo_key, subject_key};
use crate::facts::IntentFacts;
use crate::policy::Policy;
use crate::subject::Subject;

/// Intents of one kind are alike for the fixed rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind(u32);

/// An intent of the catalog.
pub(crate) struct Known {
    pub(crate) facts: IntentFacts,
    pub(crate) kind: Kind,
}

/// Everything of an intent that the fixed rules look at.
type Traits = (ActionName, Option<String>, BTreeSet<Role>, bool);

/// Sorts the intents of a catalog into kinds.
pub(crate) fn sorted(
    intents: BTreeMap<IntentName, IntentFacts>,
    rules: &Rules,
) -> HashMap<IntentName, Known> {
    let mut kinds: BTreeMap<Traits, Kind> = BTreeMap::new();
    intents
        .into_iter()
        .map(|(name, facts)| {
            let next = Kind(u32::try_from(kinds.len()).unwrap_or(u32::MAX));
            let traits = (
                facts.action.clone(),
                facts.stack.clone(),
                facts.roles.clone(),
                rules.has_rule_for(&facts),
            );
            let kind = *kinds.entry(traits).or_insert(next);
            (name, Known { facts, kind })
        })
        .collect()
}

/// Several requests of one subject.
pub(crate) struct Requests<'a> {
    policy: &'a Policy,
    who: &'a Subject,
    /// What was allowed before, of these same requests.
    permits: BTreeMap<Kind, Arc<Verdict>>,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(policy: &'a Policy, who: &'a Subject) -> Self {
        Self {
            policy,
            who,
            permits: BTreeMap::new(),
        }
    }

    /// The decision on one of them, remembered.
    pub(crate) fn verdict(&mut self, intent: &IntentName, arguments: &Values) -> Arc<Verdict> {
        if let Some(permit) = self.permit_alike(intent, arguments) {
            return permit;
        }
        let action = Action::Request {
            intent: intent.clone(),
            arguments: arguments.clone(),
        };
        let key = memo_key(self.who, &action);
        let remembered = &self.policy.remembered;
        remembered.get_or(key, || Arc::new(self.policy.evaluate(self.who, &action)))
    }

    /// The permit that an intent shares with all that are alike.
    fn permit_alike(&mut self, intent: &IntentName, arguments: &Values) -> Option<Arc<Verdict>> {
        let rules = &self.policy.rules;
        // Arguments that cannot be put before the rules refuse, whatever the rules look at.
        if rules.any_about_asking() || !rules.fit(arguments) {
            return None;
        }
        let kind = self.policy.intents.get(intent)?.kind;
        if let Some(permit) = self.permits.get(&kind) {
            return Some(Arc::clone(permit));
        }
        let mut key = KeyWriter::default();
        subject_key(&mut key, self.who);
        key.part(b"alike").part(&kind.0.to_le_bytes());
        let verdict = self.policy.remembered.get_or(key.finish(), || {
            let action = Action::Request {
                intent: intent.clone(),
                arguments: arguments.clone(),
            };
            Arc::new(self.policy.evaluate(self.who, &action))
        });
        if verdict.is_ok() {
            self.permits.insert(kind, Arc::clone(&verdict));
        }
        verdict.is_ok().then_some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use rave_domain::people::{Account, Strength, Surface};
    use rave_domain::value::Value;

    use super::*;
    use crate::cedar::{FIXED, PolicyFile};
    use crate::facts::ArgumentKind;
    use crate::keys::{Endpoint, KeyCheck, KeyFileText, Keys};
    use crate::people::{People, Robot};
    use crate::policy::PolicyInput;

    /// Intents of each mixture of traits, two of each, with targets and arguments of their own.
    fn intents() -> Vec<IntentFacts> {
        let mut all = Vec::new();
        for (index, action) in ["scale", "backup"].into_iter().enumerate() {
            for stack in [None, Some("media"), Some("web")] {
                for roles in [&[][..], &["ops"], &["ops", "oncall"]] {
                    for twin in ["one", "two"] {
                        let number = all.len();
                        let name = format!("intent.n{number}").parse().unwrap();
                        all.push(IntentFacts {
                            stack: stack.map(ToOwned::to_owned),
                            target: (index == 0).then(|| rave_domain::ids::Target::new("t", twin)),
                            roles: roles.iter().map(|role| Role((*role).to_owned())).collect(),
                            arguments: [
                                (twin.to_owned(), ArgumentKind::Text),
                                ("count".to_owned(), ArgumentKind::Int),
                            ]
                            .into(),
                            ..IntentFacts::new(name, action.parse().unwrap())
                        });
                    }
                }
            }
        }
        all
    }

    fn policy(files: Vec<PolicyFile>) -> Policy {
        let people = r#"{
          "ann": {"roles": ["ops"]}, "carl": {"roles": ["oncall"]}, "eve": {},
          "root": {"roles": ["admin"]}, "bot": {"roles": ["ops"], "robot": true}
        }"#;
        let keys = KeyFileText {
            origin: "keys".to_owned(),
            text: r#"{"keys": {"secret": {"endpoints": ["run"], "actions": ["scale"], "stacks": ["web"]}}}"#
                .to_owned()
                .into(),
        };
        Policy::load(PolicyInput {
            people: People::load(&serde_json::from_str(people).unwrap()).unwrap(),
            keys: Keys::load(None, Some(&keys)).unwrap(),
            files,
            intents: intents(),
            ..PolicyInput::default()
        })
        .unwrap()
    }

    fn subjects(policy: &Policy) -> Vec<Subject> {
        let mut all: Vec<Subject> = ["ann", "carl", "eve", "root", "bot"]
            .into_iter()
            .map(|who| policy.person(&who.parse().unwrap()).unwrap())
            .chain([policy.robot(Robot::Scheduler)])
            .map(|person| {
                let account = Account::new(Surface::Mattermost, person.id.as_str());
                Subject::new(person, account, Strength::Token)
            })
            .collect();
        for endpoint in [Some(Endpoint::Run), Some(Endpoint::Orchestrate), None] {
            let KeyCheck::Known(subject) = policy.authenticate_key("secret", endpoint) else {
                panic!("the key of the file is not known");
            };
            all.push(subject);
        }
        all
    }

    #[test]
    fn what_is_shared_is_what_each_request_is_told_by_itself() {
        for files in [
            Vec::new(),
            vec![PolicyFile {
                path: "ops.cedar".to_owned(),
                text: r#"permit(principal, action == Action::"freeze", resource);"#.to_owned(),
            }],
            vec![PolicyFile {
                path: "ops.cedar".to_owned(),
                text: r#"forbid(principal, action, resource) when
                         { context has args && context.args has one && context.args.one == "b" };"#
                    .to_owned(),
            }],
        ] {
            let policy = policy(files);
            for who in subjects(&policy) {
                let mut requests = Requests::new(&policy, &who);
                for facts in intents() {
                    for arguments in [
                        Values::new(),
                        [("one".to_owned(), Value::Text("a".to_owned()))].into(),
                        [("one".to_owned(), Value::Text("b".to_owned()))].into(),
                        [("count".to_owned(), Value::Text("many".to_owned()))].into(),
                        [("count".to_owned(), Value::Int(3))].into(),
                    ] {
                        let shared = requests.verdict(&facts.name, &arguments);
                        let action = Action::Request {
                            intent: facts.name.clone(),
                            arguments,
                        };
                        assert_eq!(*shared, policy.evaluate(&who, &action), "{action:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_fixed_rules_look_at_nothing_that_alike_intents_differ_in() {
        let rules: String = FIXED
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for apart in ["args", "target", "Intent", "context ==", "resource =="] {
            assert!(!rules.contains(apart), "{apart}");
        }
    }

    #[test]
    fn a_large_catalog_of_one_kind_takes_one_place_in_memory() {
        let policy = Policy::load(PolicyInput {
            people: People::load(&serde_json::from_str(r#"{"ann": {"roles": ["ops"]}}"#).unwrap())
                .unwrap(),
            intents: (0..10_000)
                .map(|n| IntentFacts {
                    roles: [Role("ops".to_owned())].into(),
                    ..IntentFacts::new(format!("n{n}").parse().unwrap(), "noop".parse().unwrap())
                })
                .collect(),
            ..PolicyInput::default()
        })
        .unwrap();
        let ann = policy.person(&"ann".parse().unwrap()).unwrap();
        let who = Subject::new(
            ann,
            Account::new(Surface::Mattermost, "u-ann"),
            Strength::Token,
        );
        for n in 0..10_000 {
            assert!(policy.asks(&who, &format!("n{n}").parse().unwrap(), &Values::new()));
        }
        assert_eq!(policy.remembered.len(), 1);
    }
}
