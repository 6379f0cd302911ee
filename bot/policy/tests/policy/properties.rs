//! What holds for any policy file.

use proptest::prelude::*;
use rave_domain::value::{Value, Values};
use rave_policy::{Action, Builtin, Decidable, Policy, RunFacts, RunVerb};

use crate::world::*;

const PEOPLE: [&str; 6] = ["ann", "bob", "carl", "eve", "root", "bot"];
const INTENTS: [&str; 4] = ["rollout_media", "open", "scale_web", "reviewed"];

fn scope() -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        Just("principal".to_owned()),
        prop::sample::select(&["ops", "oncall", "admin", "nobody"][..])
            .prop_map(|role| format!("principal in Role::\"{role}\"")),
        prop::sample::select(&PEOPLE[..]).prop_map(|who| format!("principal == Person::\"{who}\"")),
    ];
    let rest = prop_oneof![
        Just("action, resource".to_owned()),
        prop::sample::select(&INTENTS[..]).prop_map(|intent| format!(
            "action == Action::\"run.request\", resource == Intent::\"{intent}\""
        )),
        prop::sample::select(&["run.request", "run.decide", "run.read", "freeze"][..])
            .prop_map(|action| format!("action == Action::\"{action}\", resource")),
    ];
    (principal, rest).prop_map(|(principal, rest)| format!("({principal}, {rest})"))
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" when { principal.robot }".to_owned()),
        Just(" unless { principal.robot }".to_owned()),
        Just(" when { context.surface == \"mattermost\" }".to_owned()),
    ]
}

fn rule(effect: &'static str) -> impl Strategy<Value = String> {
    (scope(), condition()).prop_map(move |(scope, when)| format!("{effect}{scope}{when};\n"))
}

fn rules() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop_oneof![rule("permit"), rule("forbid")], 0..5)
}

fn questions(policy: &Policy) -> Vec<Action> {
    let mut asked = vec![
        Action::Builtin(Builtin::Freeze, Some("*".to_owned())),
        request_with("scale_web", [("replicas", Value::Int(3))]),
    ];
    for intent in INTENTS {
        asked.push(request(intent));
        asked.push(Action::Run(
            RunVerb::Read,
            RunFacts {
                requester: id("eve"),
                intents: [(name(intent), Values::new())].into(),
            },
        ));
    }
    for intent in ["rollout_media", "reviewed"] {
        for need in policy.needs([&name(intent)], &person(policy, "ann")) {
            asked.push(Action::Decide(Decidable::new(
                &need,
                Values::new(),
                &person(policy, "bot"),
            )));
        }
    }
    asked
}

/// Everything that everybody may.
fn allowed(policy: &Policy) -> Vec<(String, Action)> {
    let mut yes = Vec::new();
    for who in PEOPLE.into_iter().chain(["scheduler", "webhook-gitlab"]) {
        for action in questions(policy) {
            if policy.decide(&subject(policy, who), action.clone()).is_ok() {
                yes.push((who.to_owned(), action));
            }
        }
    }
    yes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_forbid_never_allows_more(rules in rules(), forbid in rule("forbid")) {
        let before = with_files(&[&rules.concat()]);
        let after = with_files(&[&rules.concat(), &forbid.replace("forbid(", "@id(\"new\") forbid(")]);
        let before = allowed(&before);
        for yes in allowed(&after) {
            prop_assert!(before.contains(&yes), "{forbid} allows {yes:?}");
        }
    }

    #[test]
    fn nobody_ever_approves_their_own_run_and_no_robot_approves(rules in rules()) {
        let policy = with_files(&[&rules.concat()]);
        for who in PEOPLE {
            for need in policy.needs([&name("rollout_media")], &person(&policy, who)) {
                let own = Decidable::new(&need, Values::new(), &person(&policy, who));
                prop_assert!(policy.decide(&subject(&policy, who), Action::Decide(own.clone())).is_err());
                prop_assert!(policy.decide(&subject(&policy, "bot"), Action::Decide(own.clone())).is_err());
                prop_assert!(!policy.eligible(&own).contains(&id(who)));
                let of_bot = Decidable::new(&need, Values::new(), &person(&policy, "bot"));
                prop_assert!(!policy.eligible(&of_bot).contains(&id("bob")), "bob owns bot");
            }
        }
    }

    #[test]
    fn a_remembered_decision_is_the_same_as_a_fresh_one(rules in rules()) {
        let warm = with_files(&[&rules.concat()]);
        let first = allowed(&warm);
        prop_assert_eq!(&first, &allowed(&warm));
        prop_assert_eq!(&first, &allowed(&with_files(&[&rules.concat()])));
    }

    #[test]
    fn no_text_panics_or_opens(text in "\\PC{0,120}") {
        // Text that parses can only be comments or white space: nobody may more than without it.
        if let Ok(policy) = Policy::load(rave_policy::PolicyInput { files: vec![file(&text)], ..input() }) {
            prop_assert_eq!(allowed(&policy), allowed(&crate::world::policy()));
        }
        prop_assert!(rave_policy::Keys::load(None, Some(&key_file(&text))).is_err());
    }
}
