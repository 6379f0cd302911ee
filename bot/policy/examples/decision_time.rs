//! How long a decision takes with 1,000 rules: 400 intents with roles, 300 people, 300 keys.
//!
//! `cargo run --release -p rave-policy --example decision_time`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for the terminal that may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::{Account, Role, Strength, Surface};
use rave_domain::value::{Value, Values};
use rave_policy::{
    Action, ArgumentKind, Endpoint, IntentFacts, KeyCheck, KeyFileText, Keys, People, PersonConfig,
    Policy, PolicyFile, PolicyInput, Subject,
};

const CONDITION: &str = r#"
permit(principal in Role::"role-3", action == Action::"run.request", resource)
when { resource.action == "scale" && context.args has replicas && context.args.replicas < 5 };
"#;

fn main() {
    let started = Instant::now();
    let policy = company();
    println!(
        "load: {:?}, rules: 400 intents + 300 people + 300 keys",
        started.elapsed()
    );
    report(
        "as it comes, arguments never seen before",
        &mut cold(&policy),
    );
    report("remembered", &mut warm(&policy));
    report(
        "key of the key file, never seen before",
        &mut by_key(&policy),
    );
    let started = Instant::now();
    let again = policy.with_intents(intents(10_000)).unwrap();
    println!("reload with 10,000 intents: {:?}", started.elapsed());
    report("with 10,000 intents", &mut cold(&again));
}

fn company() -> Policy {
    let people: BTreeMap<String, PersonConfig> = (0..300)
        .map(|n| {
            let roles = [format!("role-{}", n % 20), format!("role-{}", n % 7)];
            let accounts = BTreeMap::from([(Surface::Mattermost, [format!("u-{n}")].into())]);
            let config = PersonConfig {
                roles: roles.into(),
                accounts,
                robot: None,
            };
            (format!("person-{n}"), config)
        })
        .collect();
    let keys: BTreeMap<String, serde_json::Value> = (0..300)
        .map(|n| {
            let entry = serde_json::json!({
                "endpoints": ["run"], "actions": ["scale"], "stacks": [format!("stack-{n}"), "stack-1"],
            });
            (format!("secret-{n}"), entry)
        })
        .collect();
    let text = serde_json::json!({ "keys": keys }).to_string();
    let file = KeyFileText {
        origin: "keys.json".to_owned(),
        text: text.into(),
    };
    Policy::load(PolicyInput {
        people: People::load(&people).unwrap(),
        keys: Keys::load(None, Some(&file)).unwrap(),
        files: vec![PolicyFile {
            path: "ops.cedar".to_owned(),
            text: CONDITION.to_owned(),
        }],
        intents: intents(400),
        ..PolicyInput::default()
    })
    .unwrap()
}

fn intents(count: usize) -> Vec<IntentFacts> {
    (0..count)
        .map(|n| IntentFacts {
            stack: Some(format!("stack-{}", n % 300)),
            roles: [Role(format!("role-{}", n % 20)), Role("ops".to_owned())].into(),
            arguments: BTreeMap::from([("replicas".to_owned(), ArgumentKind::Int)]),
            ..IntentFacts::new(intent(n), "scale".parse().unwrap())
        })
        .collect()
}

fn intent(n: usize) -> IntentName {
    IntentName::new(format!("scale_{n}")).unwrap()
}

fn arguments(n: usize) -> Values {
    Values::from([("replicas".to_owned(), Value::Int(i64::try_from(n).unwrap()))])
}

fn subject(policy: &Policy, n: usize) -> Subject {
    let id = PersonId::new(format!("person-{}", n % 300)).unwrap();
    let account = Account::new(Surface::Mattermost, format!("u-{}", n % 300));
    Subject::new(policy.person(&id).unwrap(), account, Strength::Token)
}

fn timed(count: usize, mut one: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    (0..count).map(&mut one).collect()
}

fn decide(policy: &Policy, who: &Subject, n: usize, arguments: Values) -> Duration {
    let action = Action::Request {
        intent: intent(n % 400),
        arguments,
    };
    let started = Instant::now();
    let _ = std::hint::black_box(policy.decide(who, action));
    started.elapsed()
}

fn cold(policy: &Policy) -> Vec<Duration> {
    timed(50_000, |n| {
        decide(policy, &subject(policy, n), n, arguments(n))
    })
}

fn warm(policy: &Policy) -> Vec<Duration> {
    timed(50_000, |n| {
        decide(policy, &subject(policy, n % 50), n % 50, arguments(1))
    })
}

/// Finding the key among 300 is part of it.
fn by_key(policy: &Policy) -> Vec<Duration> {
    timed(10_000, |n| {
        let started = Instant::now();
        let key = format!("secret-{}", n % 300);
        let KeyCheck::Known(who) = policy.authenticate_key(&key, Some(Endpoint::Run)) else {
            return Duration::MAX;
        };
        let found = started.elapsed();
        found + decide(policy, &who, n, arguments(n + 1_000_000))
    })
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |share: usize| {
        times
            .get(times.len() * share / 1000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what}: p50 {:?}, p99 {:?}, p99.9 {:?}",
        at(500),
        at(990),
        at(999)
    );
}
