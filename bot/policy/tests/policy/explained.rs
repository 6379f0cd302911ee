//! The text of `rave policy explain`.

use rave_domain::value::{Value, Values};
use rave_policy::Policy;

use crate::world::*;

fn explain(policy: &Policy, who: &str, intent: &str) -> String {
    policy
        .explain(&id(who), &name(intent), &Values::new())
        .to_string()
}

#[test]
fn allowed_by_a_role_with_an_approval() {
    insta::assert_snapshot!(explain(&policy(), "ann", "rollout_media"), @"
    ann may ask for rollout_media.
      who: a person, with the role ops
      rule intent-roles: one of the person's roles is among the intent's roles
      approval: 1 out of oncall, ops; could approve now: bob, carl
    ");
}

#[test]
fn refused_for_want_of_a_role() {
    insta::assert_snapshot!(explain(&policy(), "eve", "rollout_media"), @"
    eve may not ask for rollout_media.
      who: a person, without roles
      rule no-rule: no rule allows eve to ask for rollout_media
      what would change it: it takes one of the roles ops, admin
      approval: 1 out of oncall, ops; could approve now: ann, bob, carl
    ");
}

#[test]
fn refused_because_no_rule_names_it() {
    insta::assert_snapshot!(explain(&policy(), "bob", "open"), @"
    bob may not ask for open.
      who: a person, with the roles oncall, ops
      rule no-rule: no rule allows bob to ask for open
      what would change it: no rule names open; `roles:` in its file would, or it takes the role admin
    ");
}

#[test]
fn allowed_to_the_scheduler_because_no_rule_names_it() {
    insta::assert_snapshot!(explain(&policy(), "scheduler", "open"), @"
    scheduler may ask for open.
      who: a robot without owners, without roles
      rule reviewed-surface: no rule names the intent, and this robot's configuration is reviewed like intents
      approval: none needed
    ");
}

#[test]
fn refused_to_the_scheduler_because_a_rule_names_it() {
    insta::assert_snapshot!(explain(&policy(), "scheduler", "rollout_media"), @"
    scheduler may not ask for rollout_media.
      who: a robot without owners, without roles
      rule no-rule: no rule allows scheduler to ask for rollout_media
      what would change it: give scheduler one of the roles ops, admin in [people.scheduler]
      approval: 2 out of oncall, ops; could approve now: ann, bob, carl
    ");
}

#[test]
fn a_robot_without_owners_needs_more_people_than_there_are() {
    let mut facts = intents();
    facts[0].approval = Some(need("rollout_media", 3, &["ops", "oncall"]));
    let policy = policy().with_intents(facts).unwrap();
    insta::assert_snapshot!(explain(&policy, "stray", "rollout_media"), @"
    stray may ask for rollout_media.
      who: a robot without owners, with the role ops
      rule intent-roles: one of the person's roles is among the intent's roles
      approval: 4 out of oncall, ops; could approve now: ann, bob, carl
      warning: too few people could approve it, so it would never start
    ");
}

#[test]
fn refused_by_a_condition() {
    let policy = with_files(&[r#"
        @id("small-scale")
        @because("on-call may scale the web to fewer than five")
        permit(principal in Role::"oncall", action == Action::"run.request", resource == Intent::"scale_web")
        when { context.args has replicas && context.args.replicas < 5 };
    "#]);
    let arguments = values([("replicas", Value::Int(7))]);
    let text = policy
        .explain(&id("carl"), &name("scale_web"), &arguments)
        .to_string();
    insta::assert_snapshot!(text, @"
    carl may not ask for scale_web.
      who: a person, with the role oncall
      rule no-rule: no rule allows carl to ask for scale_web
      what would change it: the rule small-scale would: on-call may scale the web to fewer than five, or it takes the role admin
    ");
    insta::assert_snapshot!(explain(&policy, "eve", "scale_web"), @"
    eve may not ask for scale_web.
      who: a person, without roles
      rule no-rule: no rule allows eve to ask for scale_web
      what would change it: it takes one of the roles oncall, admin
    ");
}

#[test]
fn nobody_of_that_name() {
    insta::assert_snapshot!(explain(&policy(), "zoe", "open"), @"
    zoe may not ask for open.
      who: nobody in the configuration
      rule people: there is no person zoe
      what would change it: add [people.zoe] to the configuration
    ");
}

#[test]
fn no_such_intent() {
    insta::assert_snapshot!(explain(&policy(), "ann", "opne"), @"
    ann may not ask for opne.
      who: a person, with the role ops
      rule catalog: there is no intent opne
    ");
}
