use super::*;
use crate::ArgumentError;
use rave_domain::IntentName;
use rave_domain::value::{SecretRef, Value};

const SCALE: (&str, &str) = (
    "scale.yaml",
    "action: scale\nparams:\n  stack: slug\n  replicas: {type: int, min: 0, max: 500}\n  service: {type: enum, values: [web, worker], default: web}\nwith: {stack: '{{ stack }}', service: '{{ service }}', replicas: '{{ replicas }}'}\n",
);

fn refusals(catalog: &Catalog, intent: &str, arguments: &[(&str, &str)]) -> String {
    let intent = catalog.find(intent).unwrap();
    let errors = catalog.bind(intent, &raw(arguments), &hash).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn arguments_become_typed_fields() {
    let catalog = catalog(&[SCALE]);
    let intent = catalog.find("scale").unwrap();
    let bound = catalog
        .bind(
            intent,
            &raw(&[("stack", "media"), ("replicas", "3")]),
            &hash,
        )
        .unwrap();
    assert_eq!(bound.fields["replicas"], Value::Int(3));
    assert_eq!(bound.fields["service"], Value::Text("web".to_owned()));
    assert_eq!(bound.params["stack"], Value::Text("media".to_owned()));
    assert_eq!(bound.target.to_string(), "stack/media");
    assert_eq!(bound.lock, None);
}

#[test]
fn all_argument_errors_come_at_once() {
    let catalog = catalog(&[SCALE]);
    insta::assert_snapshot!(
        refusals(&catalog, "scale", &[("replicas", "many"), ("servise", "web"), ("service", "wrker"), ("x", "1")]),
        @"
        there is no parameter `servise`; did you mean `service`?
        there is no parameter `x`; there are `replicas`, `service` and `stack`
        `stack` is missing; it takes a short name (lower-case letters, digits, dashes)
        `replicas` is `many` and takes a whole number from 0 to 500
        `service` is `wrker` and takes `web` or `worker`; did you mean `worker`?
        "
    );
    insta::assert_snapshot!(refusals(&catalog, "scale", &[("stack", "a"), ("replicas", "300")]), @"`replicas` is 300 and takes a whole number from 0 to 100");
    insta::assert_snapshot!(
        refusals(&catalog, "scale", &[("stack", "a"), ("stack", "b"), ("replicas", "3")]),
        @"`stack` is given 2 times and takes one value"
    );
}

#[test]
fn a_secret_stays_out_of_fields_and_errors() {
    let catalog = catalog(&[(
        "x.yaml",
        "action: rollout\nparams: {token: secret, n: int}\nwith: {stack: s, compose: '{{ token }}', service: '{{ n }}'}\n",
    )]);
    let intent = catalog.find("x").unwrap();
    let bound = catalog
        .bind(intent, &raw(&[("token", "hunter2"), ("n", "1")]), &hash)
        .unwrap();
    let reference = SecretRef {
        param: "token".to_owned(),
        keyed_hash: hash("token", "hunter2"),
    };
    assert_eq!(bound.fields["compose"], Value::Secret(reference));
    assert_eq!(bound.secrets["token"], "hunter2");
    assert!(!format!("{:?} {:?}", bound.fields, bound.params).contains("hunter2"));
    let error = refusals(&catalog, "x", &[("token", "hunter2"), ("token", "hunter2")]);
    assert!(!error.contains("hunter2"), "{error}");
    assert!(
        catalog
            .secret_params(std::slice::from_ref(&intent.name))
            .contains("token")
    );
}

#[test]
fn each_intent_of_a_run_takes_the_parameters_that_it_declares() {
    let catalog = catalog(&[
        (
            "a.yaml",
            "action: rollout\nparams: {tag: slug}\nwith: {stack: a, service: '{{ tag }}'}\ndepends_on: [b]\n",
        ),
        (
            "b.yaml",
            "action: rollout\nparams: {tag: slug, zone: slug}\nwith: {stack: '{{ zone }}', service: '{{ tag }}'}\n",
        ),
    ]);
    let a = IntentName::new("a").unwrap();
    let reached = catalog.reach([&a]);
    let bound = catalog
        .bind_all(&reached, &raw(&[("tag", "x"), ("zone", "z")]), &hash)
        .unwrap();
    assert_eq!(bound.len(), 2);
    assert_eq!(bound[&a].params.len(), 1);
    let errors = catalog
        .bind_all(&reached, &raw(&[("tag", "X"), ("zon", "z")]), &hash)
        .unwrap_err();
    insta::assert_snapshot!(ArgumentError::together(&errors), @"there is no parameter `zon` (did you mean `zone`?); `tag` is `X` and takes a short name (lower-case letters, digits, dashes); `zone` is missing; it takes a short name (lower-case letters, digits, dashes)");
}

#[test]
fn what_is_left_out_leaves_its_field_out() {
    let catalog = catalog(&[(
        "x.yaml",
        "action: backup\nparams:\n  oauth-id: {type: slug, required: false}\n  skip: {type: list, required: false}\n  labels: {type: map, required: false}\n  y: int\nwith: {backup_type: t, storage: '{{ oauth-id }}', exclude: '{{ skip }}', options: ['a', '--x={{ y }}'], notes: '{{ labels }}'}\n",
    )]);
    let intent = catalog.find("x").unwrap();
    let bound = catalog.bind(intent, &raw(&[("y", "1")]), &hash).unwrap();
    assert_eq!(
        bound.fields.keys().collect::<Vec<_>>(),
        ["backup_type", "options"]
    );
    assert_eq!(
        bound.fields["options"],
        Value::List(vec!["a".to_owned(), "--x=1".to_owned()])
    );
    let given = raw(&[
        ("y", "1"),
        ("oauth_id", "me"),
        ("skip", "a,b"),
        ("labels", "k=v"),
    ]);
    let bound = catalog.bind(intent, &given, &hash).unwrap();
    assert_eq!(bound.fields["storage"], Value::Text("me".to_owned()));
    assert_eq!(
        bound.fields["exclude"],
        Value::List(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(bound.fields["notes"], Value::Text("k=v".to_owned()));
}
