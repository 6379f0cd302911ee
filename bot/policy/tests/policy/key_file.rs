//! The keys of the ChatOps seed, row by row of its README.

use rave_domain::error::ErrorCode;
use rave_policy::{Action, Builtin, Endpoint, KeyCheck, Keys, Policy, Subject};

use crate::world::*;

const FILE: &str = r#"{"keys": {
  "key-all":      {"endpoints": ["*"], "actions": ["*"], "stacks": ["*"]},
  "key-none":     {},
  "key-open":     {"endpoints": [], "actions": [], "stacks": []},
  "key-run":      {"endpoints": ["run"]},
  "key-scale":    {"actions": ["scale"]},
  "key-media":    {"stacks": ["media"]},
  "key-watch":    {"endpoints": ["schedules"]},
  "key-reload":   {"endpoints": ["schedules_reload"], "actions": ["rollout"]},
  "key-fire":     {"endpoints": ["schedules_run_now"], "actions": ["rollout"]},
  "key-typo":     {"endpoints": ["rnu"]}
}}"#;

fn policy() -> Policy {
    with_keys(Keys::load(None, Some(&key_file(FILE))).unwrap())
}

fn known(policy: &Policy, key: &str, endpoint: Option<Endpoint>) -> Subject {
    match policy.authenticate_key(key, endpoint) {
        KeyCheck::Known(subject) => subject,
        other @ (KeyCheck::Wrong | KeyCheck::GlobalRefused | KeyCheck::NotConfigured) => {
            panic!("{key}: {other:?}")
        }
    }
}

/// Endpoint, and what is done through it.
fn calls() -> Vec<(Endpoint, &'static str, Action)> {
    let builtin = |action| Action::Builtin(action, None);
    vec![
        (Endpoint::Run, "run rollout media", request("rollout_media")),
        (Endpoint::Run, "run rollout content", request("open")),
        (Endpoint::Run, "run scale web", request("scale_web")),
        (Endpoint::Run, "run backup, no stack", request("reviewed")),
        (
            Endpoint::Orchestrate,
            "orchestrate rollout media",
            request("rollout_media"),
        ),
        (
            Endpoint::Schedules,
            "schedules",
            builtin(Builtin::ScheduleRead),
        ),
        (
            Endpoint::SchedulesReload,
            "schedules_reload",
            builtin(Builtin::CatalogReload),
        ),
        (
            Endpoint::SchedulesRunNow,
            "schedules_run_now",
            builtin(Builtin::ScheduleManage),
        ),
        (
            Endpoint::SchedulesRunNow,
            "  … rollout media",
            request("rollout_media"),
        ),
        (
            Endpoint::SchedulesRunNow,
            "  … scale web",
            request("scale_web"),
        ),
        (Endpoint::Run, "audit.read", builtin(Builtin::AuditRead)),
    ]
}

#[test]
fn endpoints_actions_and_stacks() {
    let policy = policy();
    let keys = [
        "all", "none", "open", "run", "scale", "media", "watch", "reload", "fire", "typo",
    ];
    let mut text = format!("{:<26}{}", "", keys.join(" "));
    for (endpoint, row, action) in calls() {
        text.push_str(&format!("\n{row:<25}"));
        for key in keys {
            let who = known(&policy, &format!("key-{key}"), Some(endpoint));
            let yes = policy.decide(&who, action.clone()).is_ok();
            text.push_str(&format!(" {:<1$}", if yes { "x" } else { "." }, key.len()));
        }
    }
    let text = text
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(text, @"
                              all none open run scale media watch reload fire typo
    run rollout media         x   .    x    x   .     x     .     .      .    .
    run rollout content       x   .    x    x   .     .     .     .      .    .
    run scale web             x   .    x    x   x     .     .     .      .    .
    run backup, no stack      x   .    x    x   .     .     .     .      .    .
    orchestrate rollout media x   .    x    .   .     x     .     .      .    .
    schedules                 x   .    x    .   x     x     x     .      .    .
    schedules_reload          x   .    x    .   x     x     .     x      .    .
    schedules_run_now         x   .    x    .   x     x     .     .      x    .
      … rollout media         x   .    x    .   .     x     .     .      x    .
      … scale web             x   .    x    .   x     .     .     .      .    .
    audit.read                .   .    .    .   .     .     .     .      .    .
    ");
}

#[test]
fn the_global_key_alone_is_the_robot_api() {
    let global = String::from("devkey").into();
    let policy = with_keys(Keys::load(Some(&global), None).unwrap());
    let who = known(&policy, "devkey", Some(Endpoint::Run));
    assert_eq!(who.person().id.as_str(), "api");
    assert_eq!(
        outcome(&policy, &who, request("rollout_media")),
        "global-key"
    );
    assert_eq!(policy.authenticate_key("devkex", None), KeyCheck::Wrong);
    assert_eq!(policy.authenticate_key("", None), KeyCheck::Wrong);
}

#[test]
fn beside_a_key_file_the_global_key_is_refused() {
    let global = String::from("devkey").into();
    let policy = with_keys(Keys::load(Some(&global), Some(&key_file(FILE))).unwrap());
    assert_eq!(
        policy.authenticate_key("devkey", None),
        KeyCheck::GlobalRefused
    );
    assert_eq!(policy.authenticate_key("other", None), KeyCheck::Wrong);
    known(&policy, "key-all", None);
    assert!(policy.person(&id("api")).is_none());
}

#[test]
fn no_key_at_all_is_told_from_a_wrong_one() {
    let policy = with_keys(Keys::default());
    assert_eq!(policy.authenticate_key("x", None), KeyCheck::NotConfigured);
    assert!(!policy.keys().has_file());
}

#[test]
fn a_key_is_known_by_its_fingerprint_and_never_shown() {
    let policy = policy();
    let who = known(&policy, "key-all", Some(Endpoint::Run));
    insta::assert_snapshot!(who.person().id, @"key-7a839975");
    assert_eq!(who.account().id, who.person().id.as_str());
    let shown = format!(
        "{who:?} {:?} {:?} {:?}",
        policy.keys(),
        policy,
        key_file(FILE)
    );
    assert!(!shown.contains("key-all"), "{shown}");
}

#[test]
fn a_run_on_record_is_decided_again_without_its_endpoint() {
    let policy = policy();
    for (key, yes) in [
        ("run", true),
        ("fire", true),
        ("watch", false),
        ("none", false),
    ] {
        let who = known(&policy, &format!("key-{key}"), None);
        let again = Subject::recorded(who.person().clone(), who.account().clone());
        assert_eq!(policy.decide(&again, request("open")).is_ok(), yes, "{key}");
    }
}

#[test]
fn a_key_that_is_no_longer_listed_may_nothing() {
    let before = policy();
    let who = known(&before, "key-all", Some(Endpoint::Run));
    let after = with_keys(Keys::load(None, Some(&key_file(r#"{"keys":{}}"#))).unwrap());
    assert_eq!(after.authenticate_key("key-all", None), KeyCheck::Wrong);
    assert!(after.person(&who.person().id).is_none());
    assert_eq!(outcome(&after, &who, request("open")), "-key-limits");
}

#[test]
fn a_policy_file_cannot_lift_a_keys_limits() {
    let text = r#"permit(principal, action, resource);"#;
    let policy = Policy::load(rave_policy::PolicyInput {
        keys: Keys::load(None, Some(&key_file(FILE))).unwrap(),
        files: vec![file(text)],
        ..input()
    })
    .unwrap();
    let who = known(&policy, "key-media", Some(Endpoint::Run));
    assert_eq!(outcome(&policy, &who, request("open")), "-key-limits");
    let audit = Action::Builtin(Builtin::AuditRead, None);
    let who = known(&policy, "key-run", Some(Endpoint::Schedules));
    assert_eq!(outcome(&policy, &who, audit), "-key-endpoint-limits");
}

#[test]
fn refusals_say_which_list_is_too_short() {
    let policy = policy();
    let said = |key: &str, action: Action| {
        let who = known(&policy, key, Some(Endpoint::Run));
        let denial = policy.decide(&who, action).unwrap_err();
        assert_eq!(denial.code, ErrorCode::PolicyDenied);
        denial.nearest_yes.unwrap()
    };
    insta::assert_snapshot!(said("key-watch", request("open")), @"its endpoints are schedules; run is not among them");
    insta::assert_snapshot!(said("key-scale", request("open")), @"its actions are scale; rollout is not among them");
    insta::assert_snapshot!(said("key-media", request("open")), @"its stacks are media; content is not among them");
    insta::assert_snapshot!(said("key-media", request("reviewed")), @"its stacks are media, and reviewed has none");
    insta::assert_snapshot!(said("key-none", request("open")), @"the entry is empty, which covers nothing");
}

#[test]
fn an_endpoint_that_does_not_exist_is_warned_about() {
    let policy = policy();
    let warnings: Vec<_> = policy
        .warnings()
        .iter()
        .filter(|text| text.contains("rnu"))
        .collect();
    assert_eq!(warnings.len(), 1, "{:?}", policy.warnings());
}
