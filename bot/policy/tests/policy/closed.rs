//! Whatever is wrong with the configuration, nothing opens: each row is an error, or a refusal.

use std::collections::BTreeMap;

use rave_domain::value::Value;
use rave_policy::{
    IntentFacts, Keys, People, PersonConfig, Policy, PolicyInput, TokenConfig, Tokens,
};

use crate::world::*;

fn key_faults(json: &str) -> String {
    Keys::load(None, Some(&key_file(json)))
        .unwrap_err()
        .to_string()
}

fn file_faults(text: &str) -> String {
    let loaded = Policy::load(PolicyInput {
        files: vec![file(text)],
        ..input()
    });
    loaded.unwrap_err().to_string()
}

fn people_faults(json: &str) -> String {
    let config: BTreeMap<String, PersonConfig> = serde_json::from_str(json).unwrap();
    People::load(&config).unwrap_err().to_string()
}

#[test]
fn key_files() {
    let rows = [
        ("no JSON", r#"{"keys": {"s3cret": {"#),
        ("not JSON", "keys: s3cret"),
        ("empty", ""),
        ("no keys", "{}"),
        ("null", "null"),
        ("keys are no map", r#"{"keys": "s3cret"}"#),
        ("key at the top", r#"{"s3cret": {"endpoints": ["run"]}}"#),
        ("entry is no map", "{\"keys\": {\n  \"s3cret\": [\"run\"]}}"),
        ("entry is null", r#"{"keys": {"s3cret": null}}"#),
        (
            "list is a text",
            r#"{"keys": {"s3cret": {"endpoints": "run"}}}"#,
        ),
        ("list is null", r#"{"keys": {"s3cret": {"stacks": null}}}"#),
        (
            "misspelt list",
            r#"{"keys": {"s3cret": {"stack": ["media"]}}}"#,
        ),
        (
            "list twice",
            r#"{"keys": {"s3cret": {"stacks": ["a"], "stacks": []}}}"#,
        ),
        (
            "key twice",
            r#"{"keys": {"s3cret": {"stacks": ["a"]}, "s3cret": {"stacks": []}}}"#,
        ),
        ("empty key", r#"{"keys": {"": {"stacks": ["a"]}}}"#),
    ];
    let said: Vec<_> = rows
        .iter()
        .map(|(what, json)| format!("{what}: {}", key_faults(json)))
        .collect();
    let said = said.join("\n");
    assert!(!said.contains("s3cret"), "a key was shown: {said}");
    insta::assert_snapshot!(said, @r#"
    no JSON: CHATOPS_RBAC_JSON:1:21: the JSON ends too early; no key counts until it is right
    not JSON: CHATOPS_RBAC_JSON:1:1: this is not JSON; no key counts until it is right
    empty: CHATOPS_RBAC_JSON:1:0: the JSON ends too early; no key counts until it is right
    no keys: CHATOPS_RBAC_JSON:1:2: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    null: CHATOPS_RBAC_JSON:1:4: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    keys are no map: CHATOPS_RBAC_JSON:1:17: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    key at the top: CHATOPS_RBAC_JSON:1:9: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    entry is no map: CHATOPS_RBAC_JSON:2:18: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    entry is null: CHATOPS_RBAC_JSON:1:24: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    list is a text: CHATOPS_RBAC_JSON:1:39: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    list is null: CHATOPS_RBAC_JSON:1:35: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    misspelt list: CHATOPS_RBAC_JSON:1:28: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    list twice: CHATOPS_RBAC_JSON:1:46: this is not of the form {"keys": {"<key>": {"endpoints": [...], "actions": [...], "stacks": [...]}}}; no key counts until it is right
    key twice: CHATOPS_RBAC_JSON: two entries have the fingerprint key-1ec1c26b; list each key once
    empty key: CHATOPS_RBAC_JSON: one of the keys is empty
    "#);
}

#[test]
fn policy_files() {
    let rows = [
        (
            "syntax",
            "permit(principal, action, resource)\n  when { principal.robot };\npermit(principal",
        ),
        (
            "two errors at once",
            "permit(principal, acton, resource);\nforbid(principle, action, resource);",
        ),
        (
            "unknown action",
            r#"permit(principal, action == Action::"run.rquest", resource);"#,
        ),
        (
            "unknown attribute",
            "permit(principal, action, resource)\nwhen { principal.robt };",
        ),
        (
            "unknown type",
            r#"permit(principal in Rolle::"ops", action, resource);"#,
        ),
        (
            "unknown argument",
            r#"permit(principal, action == Action::"run.request", resource) when { context.args has replcas && context.args.replcas < 5 };"#,
        ),
        (
            "argument without has",
            r#"permit(principal, action == Action::"run.request", resource) when { context.args.replicas < 5 };"#,
        ),
        (
            "argument of another type",
            r#"permit(principal, action == Action::"run.request", resource) when { context.args has tag && context.args.tag < 5 };"#,
        ),
        (
            "unknown intent",
            "\n  forbid(principal, action == Action::\"run.request\", resource == Intent::\"opne\");",
        ),
        (
            "a fixed rule's name",
            r#"@id("admin") permit(principal, action, resource);"#,
        ),
        (
            "a name twice",
            "@id(\"x\") permit(principal, action, resource);\n@id(\"x\") permit(principal, action, resource);",
        ),
        (
            "a template",
            "permit(principal == ?principal, action, resource);",
        ),
    ];
    let said: Vec<_> = rows
        .iter()
        .map(|(what, text)| format!("{what}: {}", file_faults(text)))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    syntax: ops.cedar:3:17: unexpected end of input, expected `!=`, `)`, `,`, `:`, `<`, `<=`, `==`, `>`, `>=`, `in`, or `is`
    two errors at once: ops.cedar:1:19: found an invalid variable in the policy scope: acton; policy scopes must contain a `principal`, `action`, and `resource` element in that order
    ops.cedar:2:8: found an invalid variable in the policy scope: principle; policy scopes must contain a `principal`, `action`, and `resource` element in that order
    unknown action: ops.cedar:1:29: unrecognized action `Action::"run.rquest"`; did you mean `Action::"run.request"`?
    unknown attribute: ops.cedar:2:8: attribute `robt` on entity type `Person` not found; did you mean `robot`?
    unknown type: ops.cedar:1:21: unrecognized entity type `Rolle`; did you mean `Role`?
    unknown argument: ops.cedar:1:1: policy is impossible: the policy expression evaluates to false for all valid requests; perhaps no attribute or argument has that name
    argument without has: ops.cedar:1:69: unable to guarantee safety of access to optional attribute `args.replicas` in context for Action::"run.request"; try testing for the attribute's presence with `context.args has replicas && ..`
    argument of another type: ops.cedar:1:93: unexpected type: expected Long but saw String
    unknown intent: ops.cedar:2:3: there is no intent "opne"
    a fixed rule's name: ops.cedar:1:1: another rule has the name admin; give each policy an @id of its own
    a name twice: ops.cedar:2:1: another rule has the name x; give each policy an @id of its own
    a template: ops.cedar: templates (`?principal`, `?resource`) have no effect here; write the policy with a role or a person in its scope
    "#);
}

#[test]
fn people_and_tokens() {
    let rows = [
        (
            "account of two",
            r#"{"a": {"accounts": {"slack": "T/U"}}, "b": {"accounts": {"slack": "T/U"}}}"#,
        ),
        ("empty account", r#"{"a": {"accounts": {"slack": ""}}}"#),
        ("bad name", r#"{"a b": {}}"#),
        ("bad role", r#"{"a": {"roles": ["o p s"]}}"#),
        ("empty role", r#"{"a": {"roles": ""}}"#),
        ("unknown owner", r#"{"a": {"robot": {"owners": ["b"]}}}"#),
        (
            "robot as owner",
            r#"{"a": {"robot": {"owners": ["b"]}}, "b": {"robot": true}}"#,
        ),
        (
            "api as a person",
            r#"{"api": {"accounts": {"slack": "T/U"}}}"#,
        ),
        (
            "scheduler with an account",
            r#"{"scheduler": {"robot": true, "accounts": {"slack": "T/U"}}}"#,
        ),
        (
            "a key with roles",
            r#"{"key-0123abcd": {"robot": true, "roles": ["admin"]}}"#,
        ),
    ];
    let mut said: Vec<_> = rows
        .iter()
        .map(|(what, json)| format!("{what}: {}", people_faults(json)))
        .collect();
    let token = |json: &str| -> TokenConfig { serde_json::from_str(json).unwrap() };
    for (what, json) in [
        ("nobody's token", r#"{"person": "zoe", "secret": "s3cret"}"#),
        (
            "a built-in's token",
            r#"{"person": "scheduler", "secret": "s3cret"}"#,
        ),
        ("no secret", r#"{"person": "ann"}"#),
        ("empty secret", r#"{"person": "ann", "secret": ""}"#),
    ] {
        let faults = Tokens::load(&[token(json)], &people()).unwrap_err();
        said.push(format!("{what}: {faults}"));
    }
    let said = said.join("\n");
    assert!(!said.contains("s3cret"), "a token was shown: {said}");
    insta::assert_snapshot!(said, @r#"
    account of two: people.b: the account slack:T/U belongs to a already; an account is one person's; approvals count people
    empty account: people.a: the slack account is empty or has spaces around it
    bad name: people.a b: "a b" is not a person's name (letters, digits and `_ - . @ +`)
    bad role: people.a: "o p s" is not a role (letters, digits and `_ - . :`)
    empty role: people.a: "" is not a role (letters, digits and `_ - . :`)
    unknown owner: people.a: the owner "b" is not a person in the configuration
    robot as owner: people.a: the owner "b" is not a person in the configuration
    api as a person: people.api: the name api belongs to a robot; add `robot = true`
    people.api: the robot api takes no accounts
    scheduler with an account: people.scheduler: the robot scheduler takes no accounts
    a key with roles: people.key-0123abcd: key-0123abcd takes no roles: its entry in the key file says what it may do
    nobody's token: token zoe: there is no person "zoe"
    a built-in's token: token scheduler: scheduler is a built-in robot and takes no token
    no secret: token ann: it has neither `sha256` nor `secret`
    empty secret: token ann: the secret is empty
    "#);
}

#[test]
fn a_role_that_nobody_holds_opens_nothing_and_is_warned_about() {
    let mut facts = IntentFacts::new(name("typo"), "rollout".parse().unwrap());
    facts.roles.insert(rave_domain::Role("opz".to_owned()));
    let policy = Policy::load(PolicyInput {
        intents: vec![facts],
        people: people(),
        ..PolicyInput::default()
    })
    .unwrap();
    for who in ["ann", "bob", "carl", "eve", "bot", "stray", "scheduler"] {
        assert_eq!(
            outcome(&policy, &subject(&policy, who), request("typo")),
            "-no-rule",
            "{who}"
        );
    }
    assert_eq!(
        policy.warnings(),
        ["intent typo: nobody holds the role opz"]
    );
}

#[test]
fn a_role_that_is_not_one_is_refused() {
    let mut facts = IntentFacts::new(name("typo"), "rollout".parse().unwrap());
    facts.roles.insert(rave_domain::Role(String::new()));
    let loaded = Policy::load(PolicyInput {
        intents: vec![facts],
        ..PolicyInput::default()
    });
    assert!(loaded.is_err());
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses_everybody() {
    // The sum overflows. Cedar alone would skip the forbid and let the request through.
    let policy = with_files(&[r#"
        @id("sum")
        forbid(principal, action == Action::"run.request", resource)
        when { context.args has replicas && context.args.replicas + 9223372036854775807 > 0 };
    "#]);
    let action = request_with("scale_web", [("replicas", Value::Int(5))]);
    let denial = refusal(&policy, "root", action);
    assert_eq!(denial.rule, "sum");
    insta::assert_snapshot!(denial.because, @"the rule sum cannot be evaluated for this request, so it refuses");
    assert!(
        policy
            .decide(&subject(&policy, "root"), request("scale_web"))
            .is_ok()
    );
}

#[test]
fn an_argument_of_another_type_than_declared_is_refused() {
    let policy = policy();
    let action = request_with("scale_web", [("replicas", Value::Text("many".to_owned()))]);
    let denial = refusal(&policy, "root", action);
    assert_eq!(denial.code, rave_domain::ErrorCode::InvalidArgument);
}

#[test]
fn an_unknown_intent_is_allowed_to_nobody() {
    let policy = policy();
    let denial = refusal(&policy, "root", request("missing"));
    assert_eq!(denial.code, rave_domain::ErrorCode::UnknownIntent);
}

#[test]
fn a_policy_that_does_not_load_leaves_the_old_one() {
    let old = with_files(&[
        r#"forbid(principal, action == Action::"run.request", resource == Intent::"open");"#,
    ]);
    let shrunk = vec![IntentFacts::new(name("other"), "rollout".parse().unwrap())];
    assert!(
        old.with_intents(shrunk).is_err(),
        "the forbid names an intent that is gone"
    );
    assert_eq!(refusal(&old, "root", request("open")).rule, "ops.cedar:1");
}
