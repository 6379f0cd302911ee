use super::*;
use rave_domain::plan::Retry;
use rave_domain::value::Value;
use rave_domain::{Role, Strength};
use std::time::Duration;

#[test]
fn a_seed_file_loads_as_it_is() {
    let catalog = catalog(&[(
        "scale_stack_ai.yaml",
        "# Three workers for the AI stack\nlabel_required: approved-by-gemini\naction: scale\nstack: stack-ai\nservice: worker\nreplicas: 3\ncompose:\nstack: stack-ai\n",
    )]);
    let intent = catalog.find("scale_stack_ai").unwrap();
    assert_eq!(intent.description, "Three workers for the AI stack");
    assert_eq!(
        intent.literal("stack"),
        Some(&Value::Text("stack-ai".to_owned()))
    );
    assert_eq!(intent.literal("replicas"), Some(&Value::Int(3)));
    assert_eq!(intent.literal("compose"), None);
    assert_eq!(intent.label("other"), "approved-by-gemini");
    assert_eq!(intent.command.to_string(), "scale_stack_ai");
}

#[test]
fn every_key_is_read() {
    let catalog = catalog(&[
        (
            "web/roll.yaml",
            r"
description: Roll the web
action: rollout
command: rollout web [tag]
params:
  tag: {type: string, pattern: '[a-z0-9.-]+', default: latest}
with: {stack: web, compose: '/opt/{{ tag }}.yml'}
depends_on: [base, base]
roles: [ops]
approval: {required: 2, from: [ops, oncall], ttl: 1h, strength: signed}
timeout: 90s
retry: {max: 3, backoff: 1s..1m}
lock: stack/{{ tag }}
undo: base
",
        ),
        ("base.yaml", "action: rollout\nstack: base\nundo: none\n"),
    ]);
    let intent = catalog.find("web.roll").unwrap();
    assert_eq!(intent.description, "Roll the web");
    assert_eq!(intent.depends_on.len(), 1);
    assert!(intent.roles.contains(&Role("ops".to_owned())));
    let approval = intent.approval.as_ref().unwrap();
    assert_eq!(
        (approval.required, approval.strength),
        (2, Strength::Signed)
    );
    assert_eq!(approval.ttl, Duration::from_secs(3600));
    assert_eq!(approval.run_within, Duration::from_secs(15 * 60));
    assert_eq!(intent.timeout, Duration::from_secs(90));
    let retry = Retry {
        max: 3,
        first: Duration::from_secs(1),
        ceiling: Duration::from_secs(60),
    };
    assert_eq!(intent.retry, retry);
    let bound = catalog.bind(intent, &raw(&[]), &hash).unwrap();
    assert_eq!(
        bound.fields["compose"],
        Value::Text("/opt/latest.yml".to_owned())
    );
    assert_eq!(bound.lock.unwrap().as_str(), "stack/latest");
    assert_eq!(bound.target.to_string(), "stack/web");
}

#[test]
fn all_mistakes_of_all_files_come_at_once() {
    insta::assert_snapshot!(errors(&[
        ("a.yaml", "acton: rollout\naction: rolout\nstack: x\n"),
        ("b.yaml", "action: scale\nstack: x\nreplicas: 500\nservise: web\ntimeout: soon\n"),
        ("c.yaml", "action: rollout\nstack: [x]\ndepends_on: [bb, a]\nretry: 3\nundo: c\n"),
        ("d.yaml", "action: backup\nbackup_type: plex\nvm_id: many\nreplicas: 2\napproval: {require: 2, from: 'no spaces please'}\n"),
        ("e.yaml", "- a\n"),
        ("f.yaml", ""),
        ("two words.yaml", "action: rollout\nstack: x\n"),
    ]), @"
        intents/a.yaml:1:1: neither an intent nor any action has the key `acton`; did you mean `action`?
        intents/a.yaml:2:9: no driver offers the action `rolout`; did you mean `rollout`?
        intents/b.yaml:1:9: the action `scale` needs the field `service`; add `service: …`
        intents/b.yaml:3:11: `replicas` is a whole number from 0 to 100, not `500`
        intents/b.yaml:4:1: neither an intent nor the action `scale` has the key `servise`; did you mean `service`?
        intents/b.yaml:5:10: `timeout` is a length of time, not `soon`; write it like 90s, 10m or 2h; at most 30 days
        intents/c.yaml:2:8: `stack` is text, not a list
        intents/c.yaml:3:14: `depends_on` names the intent `bb`, which does not exist; did you mean `b`?
        intents/c.yaml:4:8: `retry` is a map, not a single value; its keys are `max` and `backoff`
        intents/c.yaml:5:7: an intent cannot be its own undo
        intents/d.yaml:3:8: `vm_id` is a whole number from 100 to 999999999, not `many`
        intents/d.yaml:4:1: neither an intent nor the action `backup` has the key `replicas`; it is a field of `scale`
        intents/d.yaml:5:12: `approval` has no key `require`; did you mean `required`?
        intents/d.yaml:5:30: `no spaces please` is not a role: letters, digits, `_`, `-` and `.`
        intents/e.yaml:1:1: an intent is a map of keys and values, not a list
        intents/f.yaml:1:1: this file is empty; an intent needs at least `action`
        intents/two words.yaml:1:1: `two words` cannot be the name of an intent: letters, digits, `_` and `-` in each folder and file name
        ");
}

#[test]
fn a_file_with_several_documents_says_how_to_split_it() {
    insta::assert_snapshot!(errors(&[(
        "rollout_all_stacks.yaml",
        "action: rollout\nstack: a\n---\naction: rollout\nstack: b\n",
    )]), @"intents/rollout_all_stacks.yaml:3:1: this file holds 2 documents and the second starts here; one file is one intent; move each document into a file of its own, named after what it does, and list the others in `depends_on` of the one that needs them");
}

#[test]
fn parameters_are_checked_where_they_are_declared() {
    insta::assert_snapshot!(errors(&[(
        "x.yaml",
        r"action: rollout
params:
  a: strin
  b: {type: int, min: 5, max: 1, pattern: x}
  c: {type: enum}
  d: {type: string, pattern: '('}
  e: {type: slug, default: Not A Slug}
  f: {type: secret, default: hunter2}
  g-h: {type: slug, required: true, default: x}
  g_h: slug
  dry-run: bool
  9: bool
  i: {defualt: 1}
  j: [a]
  k: {type: bool, short: kk}
stack: '{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ g-h }}{{ i }}{{ j }}{{ k }}'
",
    )]), @"
        intents/x.yaml:3:6: `strin` is not a type of parameter; did you mean `string`?
        intents/x.yaml:4:23: `min` 5 is above `max` 1, so no number fits
        intents/x.yaml:4:34: a parameter of type `int` has no `pattern`
        intents/x.yaml:5:13: a parameter of type `enum` needs `values`; list the words it takes: values: [a, b]
        intents/x.yaml:6:30: `(` is not a regular expression: unclosed group
        intents/x.yaml:7:28: the default of `e` is `Not A Slug` and takes a short name (lower-case letters, digits, dashes)
        intents/x.yaml:8:3: nothing uses the parameter `f`; put `{{ f }}` into a field of the action, or remove it
        intents/x.yaml:8:30: a parameter of type `secret` cannot have a default in a file
        intents/x.yaml:9:31: `g-h` is required and has a default; keep one of them
        intents/x.yaml:10:3: `g_h` and `g-h` are the same name on a command line
        intents/x.yaml:11:3: every command has the option `dry-run` already; choose another name
        intents/x.yaml:12:3: `9` cannot be the name of a parameter: a letter, then letters, digits, `_` and `-`
        intents/x.yaml:13:3: the parameter `i` needs a `type`; there are `string`, `int`, `bool`, `enum`, `duration`, `slug`, `email`, `host`, `list`, `map`, `file` and `secret`
        intents/x.yaml:13:7: `i` has no key `defualt`; did you mean `default`?
        intents/x.yaml:14:6: `j` is a map, not a list; its keys are `type`, `description`, `default`, `required`, `short`, `pattern`, `min`, `max` and `values`
        intents/x.yaml:15:26: `short` is one letter, not `kk`
        ");
}

#[test]
fn templates_must_name_parameters_that_fit() {
    insta::assert_snapshot!(errors(&[(
        "x.yaml",
        r"action: scale
command: scale x <stak> [maybe]
params:
  stack: slug
  count: {type: string}
  token: secret
  maybe: slug
  unused: slug
with:
  stack: '{{ stakc }}'
  service: 'x-{{ token }}-{{ maybe }}'
  replicas: '{{ count }}'
  compose: '{{ a | upper }}'
  stack2: x
lock: '{{ token'
",
    )]), @"
        intents/x.yaml:2:10: the command names `stak`, which `params` does not declare; did you mean `stack`?
        intents/x.yaml:4:3: nothing uses the parameter `stack`; put `{{ stack }}` into a field of the action, or remove it
        intents/x.yaml:8:3: nothing uses the parameter `unused`; put `{{ unused }}` into a field of the action, or remove it
        intents/x.yaml:10:10: `params` does not declare `stakc`; did you mean `stack`?
        intents/x.yaml:11:12: `maybe` stands inside a text and can be left out; give `maybe` a default or make it required
        intents/x.yaml:11:12: the secret `token` cannot stand inside a text; make the whole field `{{ token }}`, so that it can be sealed
        intents/x.yaml:12:13: the field `replicas` is a whole number and the parameter `count` is of type `string`
        intents/x.yaml:13:12: `a | upper` is not the name of a parameter; `{{ name }}` is the whole template language
        intents/x.yaml:14:3: the action `scale` has no field `stack2`; did you mean `stack`?
        intents/x.yaml:15:7: `{{` without `}}`
        ");
}

#[test]
fn a_field_that_is_needed_cannot_hang_on_a_parameter_that_is_not() {
    insta::assert_snapshot!(errors(&[(
        "x.yaml",
        "action: rollout\nparams:\n  stack: {type: slug, required: false}\nwith: {stack: '{{ stack }}'}\n",
    )]), @"intents/x.yaml:4:15: the action needs `stack`, but the parameter `stack` can be left out; give `stack` a default or make it required");
}

#[test]
fn a_field_stands_in_one_place() {
    insta::assert_snapshot!(errors(&[(
        "x.yaml",
        "action: rollout\nstack: a\nwith: {stack: b}\n",
    )]), @"intents/x.yaml:3:8: the field `stack` stands here and outside of `with`; the other is in line 2; keep one of them");
}

#[test]
fn a_circle_is_shown() {
    insta::assert_snapshot!(errors(&[
        ("a.yaml", "action: rollout\nstack: x\ndepends_on: [b]\n"),
        ("b.yaml", "action: rollout\nstack: x\ndepends_on:\n- c\n- a\n"),
        ("c.yaml", "action: rollout\nstack: x\ndepends_on: [a]\n"),
        ("d.yaml", "action: rollout\nstack: x\ndepends_on: [d, a]\n"),
    ]), @"
        intents/a.yaml:3:14: dependencies go in a circle: a → b → a; take one of them out of `depends_on`
        intents/a.yaml:3:14: dependencies go in a circle: a → b → c → a; take one of them out of `depends_on`
        intents/d.yaml:3:14: dependencies go in a circle: d → d; take one of them out of `depends_on`
        ");
}

#[test]
fn names_that_lead_nowhere_are_found() {
    insta::assert_snapshot!(errors(&[
        ("rollout_stack_media.yaml", "action: rollout\nstack: x\ndepends_on: [rollout_stack_contant]\n"),
        ("rollout_stack_content.yaml", "action: rollout\nstack: x\nundo: rollback\n"),
        ("y.yaml", "action: rollout\nstack: x\nundo: z\n"),
        ("z.yaml", "action: rollout\nparams: {tag: slug}\nwith: {stack: '{{ tag }}'}\n"),
    ]), @"
        intents/rollout_stack_content.yaml:3:7: `undo` names the intent `rollback`, which does not exist
        intents/rollout_stack_media.yaml:3:14: `depends_on` names the intent `rollout_stack_contant`, which does not exist; did you mean `rollout_stack_content`?
        intents/y.yaml:3:7: the undo `z` needs the parameter `tag`, which this intent does not take; an undo gets the arguments of what it undoes
        ");
}

#[test]
fn an_undo_that_depends_on_others_is_a_warning() {
    let catalog = catalog(&[
        ("a.yaml", "action: rollout\nstack: x\nundo: b\n"),
        ("b.yaml", "action: rollout\nstack: x\ndepends_on: [c]\n"),
        ("c.yaml", "action: rollout\nstack: x\n"),
    ]);
    insta::assert_snapshot!(catalog.warnings(), @"intents/a.yaml:3:7: warning: the undo `b` depends on other intents, which do not run when it undoes; give the undo an intent of its own without `depends_on`");
}

#[test]
fn commands_do_not_get_in_each_others_way() {
    insta::assert_snapshot!(errors(&[
        ("a.yaml", "action: rollout\nstack: x\ncommand: Roll Media\n"),
        ("b.yaml", "action: rollout\nstack: x\ncommand: roll media\n"),
        ("c.yaml", "action: rollout\nstack: x\ncommand: run c\n"),
        ("status.yaml", "action: rollout\nstack: x\n"),
        ("e.yaml", "action: rollout\nstack: x\ncommand: a\n"),
        ("f.yaml", "action: rollout\nstack: x\ncommand: roll <x>\n"),
        ("g/h.yaml", "action: rollout\nstack: x\n"),
        ("g.h.yaml", "action: rollout\nstack: x\n"),
    ]), @"
        intents/b.yaml:3:10: the command `roll media` belongs to the intent `a` already; commands differ in their fixed words, not in upper case or parameters
        intents/c.yaml:3:10: the command `run c` starts with `run`, which is built in; choose other words in `command`
        intents/e.yaml:3:10: the command `a` belongs to the intent `a` already; commands differ in their fixed words, not in upper case or parameters
        intents/f.yaml:3:10: the command names `x`, which `params` does not declare
        intents/g.h.yaml:1:1: the intent `g.h` is declared twice; another file has the same path up to its ending, or a dot where this has a folder
        intents/status.yaml:1:1: `status` is built in; choose other words in `command`
        ");
    let settings = Settings {
        reserved_words: ["serve".to_owned()].into(),
        ..Settings::default()
    };
    let files = sources(&[("a.yaml", "action: rollout\nstack: x\ncommand: serve it\n")]);
    let found = Catalog::load(&files, None, &actions(), &settings).unwrap_err();
    insta::assert_snapshot!(found, @"intents/a.yaml:3:10: the command `serve it` starts with `serve`, which is built in; choose other words in `command`");
}

#[test]
fn a_definition_changes_with_its_meaning_and_not_with_its_looks() {
    let digest = |text: &str| catalog(&[("a.yaml", text)]).find("a").unwrap().definition;
    let plain = digest("action: rollout\nstack: x\n");
    assert_eq!(
        plain,
        digest("action: rollout\n\nwith:\n  stack: 'x' # the same\n")
    );
    assert_ne!(plain, digest("action: rollout\nstack: y\n"));
    assert_ne!(plain, digest("action: rollout\nstack: x\ntimeout: 5m\n"));
    assert_ne!(plain, digest("action: rollout\nstack: x\nundo: none\n"));
}

#[test]
fn a_large_catalog_loads_without_deep_recursion() {
    let chain: Vec<SourceFile> = (0..5_000)
        .map(|n| {
            let depends = if n == 0 {
                String::new()
            } else {
                format!("depends_on: [i{}]\n", n - 1)
            };
            SourceFile::intent(
                format!("i{n}.yaml"),
                format!("action: rollout\nstack: s{n}\n{depends}"),
            )
        })
        .collect();
    let catalog = Catalog::load(&chain, None, &actions(), &Settings::default()).unwrap();
    let last = catalog.find("i4999").unwrap().name.clone();
    assert_eq!(catalog.reach([&last]).len(), 5_000);
}

#[test]
fn a_large_catalog_full_of_mistakes_is_still_answered() {
    let files: Vec<SourceFile> = (0..2_000)
        .map(|n| {
            let text = format!(
                "action: rollout\nstack: s\ndepends_on: [i{}, gone{n}]\n",
                (n + 1) % 2_000
            );
            SourceFile::intent(format!("i{n}.yaml"), text)
        })
        .collect();
    let found = Catalog::load(&files, None, &actions(), &Settings::default()).unwrap_err();
    assert_eq!(found.len(), 2_001);
    let circle = found
        .iter()
        .find(|one| one.code == crate::Code::Cycle)
        .unwrap();
    insta::assert_snapshot!(circle, @"intents/i0.yaml:3:14: dependencies go in a circle: i0 → i1 → i2 → i3 → i4 → i5 → i6 → i7 → i8 → i9 → … → i0; take one of them out of `depends_on`");
}

#[test]
fn a_file_full_of_mistakes_gives_a_short_answer() {
    let keys: String = (0..5_000).map(|n| format!("k{n}: 1\n")).collect();
    let found = errors(&[("x.yaml", &format!("action: rollout\nstack: x\n{keys}"))]);
    assert_eq!(found.lines().count(), 101);
    insta::assert_snapshot!(found.lines().last().unwrap(), @"intents/x.yaml:102:1: neither an intent nor the action `rollout` has the key `k99`; the fields of `rollout` are `stack`, `service` and `compose`");
}
