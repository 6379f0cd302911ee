//! A policy decision with 1,000 rules: 400 intents with roles, 300 people, 300 keys. The arguments
//! of each decision have not been seen before, so nothing can be remembered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rave_domain::ids::{IntentName, PersonId};
use rave_domain::people::{Account, Role, Strength, Surface};
use rave_domain::value::{Value, Values};
use rave_policy::{
    Action, ArgumentKind, Endpoint, IntentFacts, KeyCheck, KeyFileText, Keys, People, PersonConfig,
    Policy, PolicyFile, PolicyInput, Subject,
};

use crate::report::Line;
use crate::timing::{ROUNDS, median, p50, p99, spread};

const CONDITION: &str = r#"
permit(principal in Role::"role-3", action == Action::"run.request", resource)
when { resource.action == "scale" && context.args has replicas && context.args.replicas < 5 };
"#;

/// Decisions of a round.
const DECISIONS: usize = 20_000;

pub(crate) fn measure() -> Vec<Line> {
    let policy = company();
    let (mut middle, mut late, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut by_key_late, mut fresh) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut remembered: Vec<Duration> = (0..DECISIONS)
            .map(|n| decide(&policy, &subject(&policy, n % 50), n % 50, 1))
            .collect();
        let mut cold: Vec<Duration> = (0..DECISIONS)
            .map(|n| {
                fresh += 1;
                decide(&policy, &subject(&policy, n), n, fresh)
            })
            .collect();
        let mut keys: Vec<Duration> = (0..DECISIONS / 10)
            .map(|n| {
                fresh += 1;
                by_key(&policy, n, fresh)
            })
            .collect();
        ratios.push(p50(&mut cold).as_secs_f64() / p50(&mut remembered).as_secs_f64());
        middle.push(micros(p50(&mut cold)));
        late.push(micros(p99(&mut cold)));
        by_key_late.push(micros(p99(&mut keys)));
    }
    vec![Line {
        what: "policy decision with 1,000 rules, arguments never seen before",
        budget: "p99 ≤ 300 µs",
        figure: format!(
            "p50 {} µs, p99 {} µs; with finding an API key first p99 {} µs",
            spread(&middle, 0),
            spread(&late, 0),
            spread(&by_key_late, 0)
        ),
        ratio: format!("{:.1} times a remembered decision", median(&ratios)),
        written: String::new(),
    }]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
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

fn subject(policy: &Policy, n: usize) -> Subject {
    let id = PersonId::new(format!("person-{}", n % 300)).unwrap();
    let account = Account::new(Surface::Mattermost, format!("u-{}", n % 300));
    Subject::new(policy.person(&id).unwrap(), account, Strength::Token)
}

fn decide(policy: &Policy, who: &Subject, n: usize, replicas: i64) -> Duration {
    let action = Action::Request {
        intent: intent(n % 400),
        arguments: Values::from([("replicas".to_owned(), Value::Int(replicas))]),
    };
    let started = Instant::now();
    let _ = std::hint::black_box(policy.decide(who, action));
    started.elapsed()
}

/// Finding the key among 300 is part of it.
fn by_key(policy: &Policy, n: usize, replicas: i64) -> Duration {
    let started = Instant::now();
    let key = format!("secret-{}", n % 300);
    let KeyCheck::Known(who) = policy.authenticate_key(&key, Some(Endpoint::Run)) else {
        panic!("the key of the file is not known");
    };
    let found = started.elapsed();
    found + decide(policy, &who, n, replicas)
}
