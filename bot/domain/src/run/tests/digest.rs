use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::plans::{intent, lock, need, operation, plan, secs, step};
use crate::ids::{ActionName, Digest, DriverName, StepId, Target};
use crate::plan::{Class, Plan, Undo, canonical_json};
use crate::request::{Order, Unwind};
use crate::value::{SecretRef, Value};

fn some_plan() -> Plan {
    let rollout = step("a").undo_by("restore").planned(|step| {
        let fields = &mut step.operation.fields;
        fields.insert("stack".to_owned(), Value::Text("stack-media".to_owned()));
        fields.insert("password".to_owned(), secret(b"hunter2"));
        step.arguments
            .insert("tag".to_owned(), Value::Text("latest".to_owned()));
        let binding = &mut step.preview.binding;
        binding.insert("image".to_owned(), "sha256:1".to_owned());
    });
    plan([rollout, step("b").needs(["a"]), step("c").after(["b"])]).build()
}

fn secret(value: &[u8]) -> Value {
    Value::Secret(SecretRef {
        param: "password".to_owned(),
        keyed_hash: Digest::of(value),
    })
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn undo_of(plan: &mut Plan) -> &mut crate::plan::Operation {
    match &mut plan.steps[0].undo {
        Undo::Intent { operation, .. } => operation,
        Undo::None | Undo::Own { .. } => panic!("no undo by intent"),
    }
}

#[test]
fn the_same_plan_has_the_same_digest() {
    assert_eq!(some_plan().digest, some_plan().digest);
    assert_eq!(some_plan().digest, some_plan().compute_digest());
    assert_eq!(some_plan().differences(&some_plan()), [""; 0]);
}

#[test]
fn a_digest_survives_the_journal() {
    let text = serde_json::to_string(&some_plan()).unwrap();
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, some_plan());
    assert_eq!(read.compute_digest(), some_plan().digest);
}

#[test]
fn a_digest_does_not_change_from_release_to_release() {
    // Approvals outlive an update of Rave: a new number here voids all that are open.
    assert_eq!(some_plan().digest.short(), "b758f775cb6a");
}

/// The digest as it is defined: the canonical text of one JSON value.
fn as_defined(plan: &Plan) -> Digest {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "operation": step.operation,
                "arguments": step.arguments,
                "needs": step.needs,
                "after": step.after,
                "lock": step.lock,
                "undo": match &step.undo {
                    Undo::None => serde_json::Value::Null,
                    Undo::Own { .. } => json!("own"),
                    Undo::Intent { operation, .. } => json!(operation),
                },
                "binding": step.preview.binding,
            })
        })
        .collect();
    let whole = json!({
        "v": 1,
        "requested": plan.requested,
        "options": plan.options,
        "max_parallel": plan.max_parallel,
        "definitions": plan.definitions,
        "steps": steps,
    });
    Digest::of(canonical_json(&whole).as_bytes())
}

#[test]
fn the_digest_is_that_of_the_canonical_text() {
    assert_eq!(some_plan().digest, as_defined(&some_plan()));
    for (what, change) in decisive() {
        let mut now = some_plan();
        change(&mut now);
        assert_eq!(now.compute_digest(), as_defined(&now), "{what}");
    }
    let mut odd = some_plan();
    odd.steps[0].arguments.extend([
        ("a \"quoted\" name\n".to_owned(), text("ä\u{1}\\/")),
        ("number".to_owned(), Value::Int(i64::MIN)),
        ("yes".to_owned(), Value::Bool(true)),
        (
            "list".to_owned(),
            Value::List(vec!["b".to_owned(), "a".to_owned()]),
        ),
        (
            "map".to_owned(),
            Value::Map(
                [("b", "1"), ("a", "2")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
            ),
        ),
    ]);
    odd.steps[0].operation.retry.first = Duration::from_millis(1_250);
    assert_eq!(odd.compute_digest(), as_defined(&odd));
    // More than goes into the digest at once, and nothing at all.
    odd.steps = (0..100).flat_map(|_| odd.steps.clone()).collect();
    assert_eq!(odd.compute_digest(), as_defined(&odd));
    odd.steps.clear();
    odd.definitions.clear();
    assert_eq!(odd.compute_digest(), as_defined(&odd));
}

#[test]
fn the_order_of_a_maps_keys_does_not_matter() {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let one = canonical_json(&read(r#"{"b": [1, {"y": null, "x": "ä\n"}], "a": true}"#));
    let other = canonical_json(&read(r#"{"a":true,"b":[1,{"x":"ä\n","y":null}]}"#));
    assert_eq!(one, other);
    assert_eq!(one, r#"{"a":true,"b":[1,{"x":"ä\n","y":null}]}"#);
    let swapped = canonical_json(&read(r#"{"a":true,"b":[{"x":"ä\n","y":null},1]}"#));
    assert_ne!(one, swapped);
}

type Change = fn(&mut Plan);

/// What decides what happens, each with a change to it.
fn decisive() -> Vec<(&'static str, Change)> {
    vec![
        ("the definition of an intent", |plan| {
            plan.definitions.insert(intent("a"), Digest::of(b"edited"));
        }),
        ("a further definition", |plan| {
            plan.definitions.insert(intent("z"), Digest::of(b"z"));
        }),
        ("a definition less", |plan| {
            plan.definitions.remove(&intent("b"));
        }),
        ("a field", |plan| {
            let fields = &mut plan.steps[0].operation.fields;
            fields.insert("stack".to_owned(), text("stack-tools"));
        }),
        ("a further field", |plan| {
            let fields = &mut plan.steps[0].operation.fields;
            fields.insert("service".to_owned(), text("web"));
        }),
        ("an argument", |plan| {
            let arguments = &mut plan.steps[0].arguments;
            arguments.insert("tag".to_owned(), text("1.2"));
        }),
        ("a secret", |plan| {
            let fields = &mut plan.steps[0].operation.fields;
            fields.insert("password".to_owned(), secret(b"hunter3"));
        }),
        ("the target", |plan| {
            plan.steps[0].operation.target = Target::new("vm", "other");
        }),
        ("the action", |plan| {
            plan.steps[0].operation.action = ActionName::new("scale").unwrap();
        }),
        ("the driver", |plan| {
            plan.steps[0].operation.driver = DriverName::new("vm").unwrap();
        }),
        ("the class", |plan| {
            plan.steps[0].operation.class = Class::Once;
        }),
        ("the timeout", |plan| {
            plan.steps[0].operation.timeout = secs(61);
        }),
        ("the retries", |plan| plan.steps[0].operation.retry.max = 1),
        ("an observation that binds", |plan| {
            let binding = &mut plan.steps[0].preview.binding;
            binding.insert("image".to_owned(), "sha256:2".to_owned());
        }),
        ("a further observation that binds", |plan| {
            let binding = &mut plan.steps[0].preview.binding;
            binding.insert("count".to_owned(), "3".to_owned());
        }),
        ("what an undo is done to", |plan| {
            undo_of(plan).target = Target::new("vm", "other");
        }),
        ("an undo's field", |plan| {
            undo_of(plan).fields.insert("x".to_owned(), text("y"));
        }),
        ("an undo that is gone", |plan| {
            plan.steps[0].undo = Undo::None;
        }),
        ("an undo that is there now", |plan| {
            plan.steps[1].undo = Undo::Intent {
                operation: Box::new(operation("restore", Class::Idempotent)),
                preview: crate::plan::Preview::default(),
            };
        }),
        ("an undo of the action itself", |plan| {
            plan.steps[1].undo = Undo::Own {
                summary: String::new(),
                class: Class::Idempotent,
            };
        }),
        ("a lock", |plan| plan.steps[0].lock = Some(lock("vm/other"))),
        ("no lock", |plan| plan.steps[0].lock = None),
        ("a need", |plan| {
            plan.steps[2].needs.insert(StepId(0));
        }),
        ("an order", |plan| plan.steps[2].after.clear()),
        ("a step less", |plan| {
            plan.steps.pop();
        }),
        ("two steps swapped", |plan| plan.steps.swap(1, 2)),
        ("what was asked for", |plan| {
            plan.requested.pop();
        }),
        ("the order of what was asked for", |plan| {
            plan.requested.reverse();
        }),
        ("how many run at once", |plan| plan.max_parallel = 5),
        ("stop_on_failure", |plan| {
            plan.options.stop_on_failure = false;
        }),
        ("rollback_on_failure", |plan| {
            plan.options.rollback_on_failure = false;
        }),
        ("unwind", |plan| plan.options.unwind = Unwind::Run),
        ("parallel", |plan| plan.options.order = Order::Parallel),
    ]
}

#[test]
fn everything_that_decides_what_happens_changes_the_digest_and_is_named() {
    let approved = some_plan();
    let mut seen = BTreeMap::from([(approved.digest.to_string(), "the plan itself")]);
    for (what, change) in decisive() {
        let mut now = some_plan();
        change(&mut now);
        let now = now.sealed();
        let twin = seen.insert(now.digest.to_string(), what);
        assert_eq!(twin, None, "{what}");
        assert!(!approved.differences(&now).is_empty(), "{what}");
    }
}

#[test]
fn what_stands_beside_the_plan_does_not_change_the_digest() {
    let beside: [Change; 6] = [
        |plan| plan.catalog = Digest::of(b"other"),
        |plan| plan.policy = Digest::of(b"other"),
        |plan| plan.approvals = vec![need(3)],
        |plan| {
            plan.steps[0]
                .preview
                .warnings
                .push("cannot look".to_owned());
        },
        |plan| {
            plan.steps[0]
                .preview
                .commands
                .push(vec!["docker".to_owned()]);
        },
        |plan| {
            plan.steps[0]
                .preview
                .touches
                .insert("service web".to_owned());
        },
    ];
    for change in beside {
        let mut now = some_plan();
        change(&mut now);
        assert_eq!(now.sealed().digest, some_plan().digest);
    }
}

#[track_caller]
fn says(change: Change, expected: &[&str]) {
    let mut now = some_plan();
    change(&mut now);
    assert_eq!(some_plan().differences(&now.sealed()), expected);
}

#[test]
fn differences_are_told_in_words() {
    says(
        |plan| {
            plan.definitions.insert(intent("a"), Digest::of(b"edited"));
            plan.definitions.insert(intent("z"), Digest::of(b"z"));
            plan.definitions.remove(&intent("b"));
        },
        &[
            "the definition of a changed",
            "b is no longer part of it",
            "z is new in it",
        ],
    );
    says(
        |plan| {
            let fields = &mut plan.steps[0].operation.fields;
            fields.insert("stack".to_owned(), text("stack-tools"));
            fields.insert("password".to_owned(), secret(b"hunter3"));
            let binding = &mut plan.steps[0].preview.binding;
            binding.insert("image".to_owned(), "sha256:2".to_owned());
        },
        &[
            "password of a changed",
            "stack of a changed",
            "image of a changed",
        ],
    );
    says(
        |plan| plan.options.stop_on_failure = false,
        &["the order or the options changed"],
    );
}
