//! Operators' policy files: conditions on arguments, their names in answers, and what they cannot.

use rave_domain::value::Value;
use rave_policy::{Action, Builtin, Leave};

use crate::world::*;

const SMALL: &str = r#"
@id("small-scale")
@because("on-call may scale the web to fewer than five")
permit(principal in Role::"oncall", action == Action::"run.request", resource == Intent::"scale_web")
when { context.args has replicas && context.args.replicas < 5 };
"#;

fn scale(replicas: i64) -> Action {
    request_with("scale_web", [("replicas", Value::Int(replicas))])
}

#[test]
fn a_condition_looks_at_arguments() {
    let policy = with_files(&[SMALL]);
    let carl = subject(&policy, "carl");
    assert_eq!(outcome(&policy, &carl, scale(4)), "small-scale");
    assert_eq!(outcome(&policy, &carl, scale(5)), "-no-rule");
    assert_eq!(outcome(&policy, &carl, request("scale_web")), "-no-rule");
    assert_eq!(
        outcome(&policy, &subject(&policy, "ann"), scale(4)),
        "-no-rule"
    );
}

#[test]
fn before_the_arguments_are_known_the_answer_is_that_it_depends() {
    let policy = with_files(&[SMALL]);
    let leave = |who: &str| policy.may_ask(&subject(&policy, who), &name("scale_web"));
    assert_eq!(leave("root"), Leave::Yes);
    assert_eq!(leave("carl"), Leave::Depends);
    assert_eq!(leave("ann"), Leave::No);
}

#[test]
fn a_permit_that_mentions_an_intent_takes_it_from_the_reviewed_robots() {
    let scheduler = "scheduler";
    let plain = policy();
    assert_eq!(
        outcome(&plain, &subject(&plain, scheduler), scale(1)),
        "reviewed-surface"
    );
    let policy = with_files(&[SMALL]);
    assert_eq!(
        outcome(&policy, &subject(&policy, scheduler), scale(1)),
        "-no-rule"
    );
    assert_eq!(
        outcome(&policy, &subject(&policy, scheduler), request("open")),
        "reviewed-surface"
    );
}

#[test]
fn a_forbid_wins_over_every_permit_and_brings_its_own_words() {
    let policy = with_files(&[r#"
        @id("no-latest")
        @because("the tag latest cannot be rolled back")
        @hint("name a version")
        forbid(principal, action == Action::"run.request", resource)
        when { context.args has tag && context.args.tag == "latest" };
    "#]);
    let action = request_with("scale_web", [("tag", Value::Text("latest".to_owned()))]);
    let denial = refusal(&policy, "root", action);
    assert_eq!(denial.rule, "no-latest");
    insta::assert_snapshot!(rave_domain::UserError::from(denial), @"the tag latest cannot be rolled back (rule no-latest); name a version");
}

#[test]
fn a_rule_without_an_id_is_called_by_its_place() {
    let policy = with_files(&[
        "// comment\n\npermit(principal, action == Action::\"lock.break\", resource);\n\n\
         forbid(principal, action == Action::\"lock.break\", resource == Thing::\"stack/media\");",
    ]);
    let eve = subject(&policy, "eve");
    let lock = |on: &str| Action::Builtin(Builtin::LockBreak, Some(on.to_owned()));
    assert_eq!(outcome(&policy, &eve, lock("stack/web")), "ops.cedar:3");
    assert_eq!(outcome(&policy, &eve, lock("stack/media")), "-ops.cedar:5");
}

#[test]
fn a_file_may_look_at_the_run_its_intents_and_its_requester() {
    let policy = with_files(&[r#"
        permit(principal in Role::"oncall", action == Action::"run.cancel", resource)
        when { resource.intents.contains(Intent::"open") && !resource.requester.robot };
        permit(principal in Role::"oncall", action == Action::"run.decide", resource)
        when { resource.intent.action == "backup" };
    "#]);
    let run = |requester: &str| {
        Action::Run(
            rave_policy::RunVerb::Cancel,
            rave_policy::RunFacts {
                requester: id(requester),
                intents: [(name("open"), values([]))].into(),
            },
        )
    };
    let carl = subject(&policy, "carl");
    assert_eq!(outcome(&policy, &carl, run("eve")), "ops.cedar:2");
    assert_eq!(outcome(&policy, &carl, run("gone")), "ops.cedar:2");
    assert_eq!(outcome(&policy, &carl, run("bot")), "-no-rule");
}

#[test]
fn the_surface_and_its_strength_are_there_to_look_at() {
    let policy = with_files(&[r#"
        forbid(principal, action == Action::"run.request", resource)
        when { context.surface == "mattermost" && context.strength < 2 };
    "#]);
    assert_eq!(
        refusal(&policy, "root", request("open")).rule,
        "ops.cedar:2"
    );
}

#[test]
fn one_name_with_two_types_is_text_in_conditions() {
    let mut facts = intents();
    facts[0]
        .arguments
        .insert("replicas".to_owned(), rave_policy::ArgumentKind::Text);
    let policy = rave_policy::Policy::load(rave_policy::PolicyInput {
        intents: facts,
        files: vec![file(
            r#"forbid(principal, action == Action::"run.request", resource)
               when { context.args has replicas && context.args.replicas == "5" };"#,
        )],
        ..input()
    })
    .unwrap();
    assert_eq!(refusal(&policy, "root", scale(5)).rule, "ops.cedar:1");
    assert!(policy.decide(&subject(&policy, "root"), scale(4)).is_ok());
    assert!(
        policy
            .warnings()
            .iter()
            .any(|text| text.contains("replicas"))
    );
}

#[test]
fn the_hash_changes_with_everything_that_decides() {
    let base = policy().hash();
    assert_eq!(base, policy().hash(), "the hash depends on something else");
    assert_ne!(base, with_files(&[SMALL]).hash());
    assert_ne!(base, policy().with_intents(Vec::new()).unwrap().hash());
    let keys = rave_policy::Keys::load(None, Some(&key_file(r#"{"keys":{"a":{}}}"#))).unwrap();
    assert_ne!(base, with_keys(keys).hash());
}
