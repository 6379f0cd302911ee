//! A small company to ask about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::{Account, Person, Role, Strength, Surface};
use rave_domain::plan::ApprovalNeed;
use rave_domain::value::{Value, Values};
use rave_policy::{
    Action, ArgumentKind, Denial, IntentFacts, KeyFileText, Keys, People, PersonConfig, Policy,
    PolicyFile, PolicyInput, Subject,
};

pub(crate) const PEOPLE: &str = r#"{
  "ann":  {"roles": ["ops"], "accounts": {"mattermost": "u-ann", "discord": 80351110224678912}},
  "bob":  {"roles": "ops, oncall", "accounts": {"mattermost": ["u-bob", "u-bob2"]}},
  "carl": {"roles": ["oncall"]},
  "eve":  {},
  "root": {"roles": ["admin"]},
  "bot":  {"roles": ["ops"], "robot": {"owners": ["bob"]}},
  "stray": {"roles": ["ops"], "robot": true}
}"#;

pub(crate) fn people() -> People {
    let config: BTreeMap<String, PersonConfig> = serde_json::from_str(PEOPLE).unwrap();
    People::load(&config).unwrap()
}

pub(crate) fn name(text: &str) -> IntentName {
    IntentName::new(text).unwrap()
}

pub(crate) fn id(text: &str) -> PersonId {
    PersonId::new(text).unwrap()
}

pub(crate) fn need(intent: &str, required: u32, from: &[&str]) -> ApprovalNeed {
    ApprovalNeed {
        intent: name(intent),
        required,
        from: from.iter().map(|role| Role((*role).to_owned())).collect(),
        ttl: Duration::from_secs(1800),
        run_within: Duration::from_secs(900),
        strength: Strength::Token,
    }
}

/// `rollout_media` has roles and an approval, `open` has no rule, `scale_web` has an argument,
/// `reviewed` may be approved by anybody who may ask.
pub(crate) fn intents() -> Vec<IntentFacts> {
    let facts = |intent: &str, action: &str, stack: Option<&str>, roles: &[&str]| IntentFacts {
        stack: stack.map(ToOwned::to_owned),
        roles: roles.iter().map(|role| Role((*role).to_owned())).collect(),
        ..IntentFacts::new(name(intent), action.parse().unwrap())
    };
    vec![
        IntentFacts {
            approval: Some(need("rollout_media", 1, &["ops", "oncall"])),
            ..facts("rollout_media", "rollout", Some("media"), &["ops"])
        },
        facts("open", "rollout", Some("content"), &[]),
        IntentFacts {
            arguments: BTreeMap::from([
                ("replicas".to_owned(), ArgumentKind::Int),
                ("tag".to_owned(), ArgumentKind::Text),
            ]),
            ..facts("scale_web", "scale", Some("web"), &[])
        },
        IntentFacts {
            approval: Some(need("reviewed", 1, &[])),
            ..facts("reviewed", "backup", None, &["ops", "oncall"])
        },
    ]
}

pub(crate) fn policy() -> Policy {
    with_files(&[])
}

pub(crate) fn input() -> PolicyInput {
    PolicyInput {
        people: people(),
        intents: intents(),
        ..PolicyInput::default()
    }
}

pub(crate) fn file(text: &str) -> PolicyFile {
    PolicyFile {
        path: "ops.cedar".to_owned(),
        text: text.to_owned(),
    }
}

pub(crate) fn with_files(texts: &[&str]) -> Policy {
    Policy::load(PolicyInput {
        files: texts.iter().map(|text| file(text)).collect(),
        ..input()
    })
    .unwrap()
}

pub(crate) fn with_keys(keys: Keys) -> Policy {
    Policy::load(PolicyInput { keys, ..input() }).unwrap()
}

pub(crate) fn key_file(json: &str) -> KeyFileText {
    KeyFileText {
        origin: "CHATOPS_RBAC_JSON".to_owned(),
        text: json.to_owned().into(),
    }
}

pub(crate) fn person(policy: &Policy, who: &str) -> Arc<Person> {
    policy.person(&id(who)).unwrap()
}

pub(crate) fn subject(policy: &Policy, who: &str) -> Subject {
    let account = Account::new(Surface::Mattermost, format!("u-{who}"));
    Subject::new(person(policy, who), account, Strength::Token)
}

pub(crate) fn request(intent: &str) -> Action {
    request_with(intent, [])
}

pub(crate) fn request_with<const N: usize>(intent: &str, arguments: [(&str, Value); N]) -> Action {
    Action::Request {
        intent: name(intent),
        arguments: values(arguments),
    }
}

pub(crate) fn values<const N: usize>(arguments: [(&str, Value); N]) -> Values {
    arguments
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The rules that allowed, or the rule that refused with a minus.
pub(crate) fn outcome(policy: &Policy, who: &Subject, action: Action) -> String {
    match policy.decide(who, action) {
        Ok(proof) => proof.rules().join("+"),
        Err(denial) => format!("-{}", denial.rule),
    }
}

pub(crate) fn refusal(policy: &Policy, who: &str, action: Action) -> Denial {
    policy.decide(&subject(policy, who), action).unwrap_err()
}
