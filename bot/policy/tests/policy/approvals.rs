//! Who may approve, who could now, and how many must.

use rave_domain::error::ErrorCode;
use rave_domain::people::Strength;
use rave_domain::value::Values;
use rave_policy::{Action, Decidable, Policy};

use crate::world::*;

fn decidable(policy: &Policy, intent: &str, requester: &str) -> Decidable {
    let need = policy
        .needs([&name(intent)], &person(policy, "ann"))
        .remove(0);
    Decidable::new(&need, Values::new(), &person(policy, requester))
}

fn eligible(policy: &Policy, intent: &str, requester: &str) -> String {
    let found = policy.eligible(&decidable(policy, intent, requester));
    let found: Vec<_> = found.iter().map(rave_domain::PersonId::as_str).collect();
    found.join(" ")
}

#[test]
fn only_other_people_with_a_role_may_approve() {
    let policy = policy();
    assert_eq!(eligible(&policy, "rollout_media", "ann"), "bob carl");
    assert_eq!(eligible(&policy, "rollout_media", "eve"), "ann bob carl");
    // bob owns bot.
    assert_eq!(eligible(&policy, "rollout_media", "bot"), "ann carl");
    assert_eq!(eligible(&policy, "rollout_media", "stray"), "ann bob carl");
}

#[test]
fn with_nobody_named_whoever_may_ask_may_approve() {
    let policy = policy();
    assert_eq!(eligible(&policy, "reviewed", "ann"), "bob carl root");
}

#[test]
fn what_robots_ask_for_needs_one_more_unless_somebody_owns_them() {
    let policy = policy();
    let required = |who: &str| {
        let needs = policy.needs(
            [
                &name("open"),
                &name("rollout_media"),
                &name("rollout_media"),
            ],
            &person(&policy, who),
        );
        needs.iter().map(|need| need.required).collect::<Vec<_>>()
    };
    assert_eq!(required("ann"), [1]);
    assert_eq!(required("bot"), [1]);
    assert_eq!(required("stray"), [2]);
    assert_eq!(required("scheduler"), [2]);
}

#[test]
fn a_weak_surface_cannot_approve_what_needs_a_strong_one() {
    let policy = policy();
    let mut need = decidable(&policy, "rollout_media", "ann");
    need.strength = Strength::Signed;
    let denial = refusal(&policy, "bob", Action::Decide(need.clone()));
    assert_eq!(
        (denial.code, denial.rule.as_str()),
        (ErrorCode::TooWeak, "strength")
    );
    assert_eq!(policy.eligible(&need), [id("bob"), id("carl")]);
}

#[test]
fn refusals_say_why() {
    let policy = policy();
    let said = |who: &str, requester: &str| {
        let need = decidable(&policy, "rollout_media", requester);
        let denial = refusal(&policy, who, Action::Decide(need));
        assert_eq!(denial.code, ErrorCode::ApprovalRefused);
        rave_domain::UserError::from(denial).to_string()
    };
    let all = [
        said("ann", "ann"),
        said("eve", "ann"),
        said("root", "ann"),
        said("bot", "ann"),
        said("bob", "bot"),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    nobody decides on a run that they asked for (rule not-your-own); somebody else must decide
    no rule allows eve to approve rollout_media; it takes one of the roles oncall, ops
    no rule allows root to approve rollout_media; it takes one of the roles oncall, ops
    robots do not approve (rule robots-never); a person must decide
    the owners of a robot do not approve what it asked for (rule owners-never); somebody who does not own the robot must decide
    ");
}

#[test]
fn a_decision_counts_for_the_needs_that_it_may() {
    let policy = policy();
    let both = [
        decidable(&policy, "rollout_media", "ann"),
        decidable(&policy, "reviewed", "ann"),
    ];
    let counts = |who: &str| policy.counts_for(&subject(&policy, who), &both);
    assert_eq!(counts("bob").unwrap(), [0, 1]);
    assert_eq!(counts("root").unwrap(), [1]);
    assert_eq!(counts("eve").unwrap_err().rule, "no-rule");
    assert!(policy.counts_for(&subject(&policy, "bob"), &[]).is_err());
}

#[test]
fn a_policy_file_can_name_approvers_but_not_lift_the_fixed_limits() {
    let policy = with_files(&[r#"
        permit(principal, action == Action::"run.decide", resource);
    "#]);
    assert_eq!(
        eligible(&policy, "rollout_media", "bot"),
        "ann carl eve root"
    );
}

#[test]
fn whom_a_policy_file_lets_approve_may_read_the_runs() {
    let read = |policy: &Policy| {
        let run = rave_policy::RunFacts {
            requester: id("ann"),
            intents: [(name("rollout_media"), Values::new())].into(),
        };
        let action = Action::Run(rave_policy::RunVerb::Read, run);
        outcome(policy, &subject(policy, "eve"), action)
    };
    assert_eq!(read(&policy()), "-no-rule");
    let file = r#"permit(principal == Person::"eve", action == Action::"run.decide", resource);"#;
    assert_eq!(read(&with_files(&[file])), "readers");
}
