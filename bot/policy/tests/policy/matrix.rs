//! Who may do what without any policy file, as one table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rave_domain::people::Strength;
use rave_domain::value::Values;
use rave_policy::{Action, Builtin, Decidable, Keys, Policy, RunFacts, RunVerb, owners};

use crate::world::*;

const WHO: [&str; 11] = [
    "ann",
    "bob",
    "carl",
    "eve",
    "root",
    "bot",
    "stray",
    "api",
    "scheduler",
    "webhook-github",
    "webhook-gitlab",
];

fn all_actions(policy: &Policy) -> Vec<(String, Action)> {
    let mut rows = Vec::new();
    for intent in ["open", "rollout_media", "scale_web", "reviewed"] {
        rows.push((format!("run.request {intent}"), request(intent)));
    }
    for (requester, intent) in [
        ("ann", "rollout_media"),
        ("bot", "rollout_media"),
        ("ann", "reviewed"),
    ] {
        let facts = intents();
        let facts = facts
            .iter()
            .find(|facts| facts.name == name(intent))
            .unwrap();
        let need = facts.approval.clone().unwrap();
        let requester = person(policy, requester);
        rows.push((
            format!("run.decide {intent} of {}", requester.id),
            Action::Decide(Decidable::new(&need, Values::new(), &requester)),
        ));
    }
    for verb in RunVerb::ALL {
        for intent in ["open", "rollout_media"] {
            let run = RunFacts {
                requester: id("eve"),
                intents: BTreeMap::from([(name(intent), Values::new())]),
            };
            rows.push((format!("{verb} {intent} of eve"), Action::Run(verb, run)));
        }
    }
    for builtin in Builtin::ALL {
        rows.push((builtin.to_string(), Action::Builtin(*builtin, None)));
    }
    rows
}

fn table(policy: &Policy) -> String {
    let mut text = format!("{:<33}", "");
    for who in WHO {
        write!(text, " {}", who.replace("webhook-git", "")).unwrap();
    }
    for (row, action) in all_actions(policy) {
        write!(text, "\n{row:<33}").unwrap();
        for who in WHO {
            let yes = policy.decide(&subject(policy, who), action.clone()).is_ok();
            let mark = if yes { "x" } else { "." };
            write!(text, " {mark:<0$}", who.replace("webhook-git", "").len()).unwrap();
        }
    }
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn roles_and_actions() {
    let key = String::from("the-global-key").into();
    let policy = with_keys(Keys::load(Some(&key), None).unwrap());
    insta::assert_snapshot!(table(&policy), @"
                                      ann bob carl eve root bot stray api scheduler hub lab
    run.request open                  .   .   .    .   x    .   .     x   x         x   x
    run.request rollout_media         x   x   .    .   x    x   x     x   .         .   .
    run.request scale_web             .   .   .    .   x    .   .     x   x         x   x
    run.request reviewed              x   x   x    .   x    x   x     x   .         .   .
    run.decide rollout_media of ann   .   x   x    .   .    .   .     .   .         .   .
    run.decide rollout_media of bot   x   .   x    .   .    .   .     .   .         .   .
    run.decide reviewed of ann        .   x   x    .   x    .   .     .   .         .   .
    run.read open of eve              .   .   .    x   x    .   .     x   x         x   x
    run.read rollout_media of eve     x   x   x    x   x    x   x     x   .         .   .
    run.cancel open of eve            .   .   .    x   x    .   .     x   .         .   .
    run.cancel rollout_media of eve   .   .   .    x   x    .   .     x   .         .   .
    run.retry open of eve             .   .   .    x   x    .   .     x   .         .   .
    run.retry rollout_media of eve    .   .   .    x   x    .   .     x   .         .   .
    run.resolve open of eve           .   .   .    .   x    .   .     x   .         .   .
    run.resolve rollout_media of eve  .   .   .    .   x    .   .     x   .         .   .
    status.read                       x   x   x    x   x    x   x     x   x         x   x
    schedule.read                     x   x   x    x   x    x   x     x   x         x   x
    schedule.manage                   .   .   .    .   x    .   .     x   .         .   .
    catalog.reload                    .   .   .    .   x    .   .     x   .         .   .
    lock.break                        .   .   .    .   x    .   .     x   .         .   .
    freeze                            .   .   .    .   x    .   .     x   .         .   .
    audit.read                        .   .   .    .   x    .   .     x   .         .   .
    audit.export                      .   .   .    .   x    .   .     x   .         .   .
    token.manage                      .   .   .    .   x    .   .     x   .         .   .
    people.read                       .   .   .    .   x    .   .     x   .         .   .
    people.manage                     .   .   .    .   x    .   .     x   .         .   .
    policy.explain                    .   .   .    .   x    .   .     x   .         .   .
    setup                             .   .   .    .   x    .   .     x   .         .   .
    gateway.enroll                    .   .   .    .   x    .   .     x   .         .   .
    secrets.init                      .   .   .    .   x    .   .     x   .         .   .
    tls.bootstrap                     .   .   .    .   x    .   .     x   .         .   .
    vm.image.build                    .   .   .    .   x    .   .     x   .         .   .
    backup                            .   .   .    .   x    .   .     x   .         .   .
    restore                           .   .   .    .   x    .   .     x   .         .   .
    ");
}

#[test]
fn the_proof_says_who_by_which_rule_and_under_which_policy() {
    let policy = policy();
    let proof = policy
        .decide(&subject(&policy, "ann"), request("rollout_media"))
        .unwrap();
    assert_eq!(proof.by().as_str(), "ann");
    assert_eq!(proof.rules(), ["intent-roles"]);
    assert_eq!(proof.policy(), policy.hash());
    assert_eq!(proof.get(), &request("rollout_media"));
}

#[test]
fn without_a_global_key_the_name_api_means_nothing() {
    let policy = policy();
    assert!(policy.person(&id("api")).is_none());
    let api = policy.robot(rave_policy::Robot::Api);
    let account = rave_domain::Account::new(rave_domain::Surface::Http, "api");
    let subject = rave_policy::Subject::new(api, account, Strength::Token);
    assert_eq!(outcome(&policy, &subject, request("open")), "-no-rule");
}

#[test]
fn a_value_is_allowed_only_when_all_that_it_asks_for_is() {
    struct Both(Vec<Action>);
    impl rave_policy::Permissible for Both {
        fn asks_for(&self) -> Vec<rave_policy::Asked<'_>> {
            self.0.iter().map(Into::into).collect()
        }
    }
    let policy = policy();
    let carl = subject(&policy, "carl");
    let both = Both(vec![request("reviewed"), request("open")]);
    assert_eq!(policy.authorize(&carl, both).err().unwrap().rule, "no-rule");
    assert!(
        policy
            .authorize(&carl, Both(vec![request("reviewed")]))
            .is_ok()
    );
    assert!(
        policy.authorize(&carl, Both(Vec::new())).is_err(),
        "nothing is not everything"
    );
}

#[test]
fn owners_are_those_of_the_robot() {
    let policy = policy();
    assert_eq!(owners(&person(&policy, "bot")), BTreeSet::from([id("bob")]));
    assert_eq!(owners(&person(&policy, "ann")), BTreeSet::new());
}
