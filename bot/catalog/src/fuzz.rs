//! Bodies for fuzzers: they take any text, must never panic, and check what must hold for every
//! text. Tests drive them with generated texts and the committed corpus.

use rave_domain::ports::driver::{ActionSpec, Actions, FieldKind, FieldSpec};
use rave_domain::{ActionName, Digest, DriverName};

use crate::catalog::{Catalog, Settings};
use crate::grammar;
use crate::source::SourceFile;
use crate::validate::validate;

/// Intents with every kind of parameter, so that generated lines have something to hit.
const INTENTS: &[(&str, &str)] = &[
    (
        "rollout_stack_media.yaml",
        "action: fuzz\ncommand: rollout media\nstack: stack-media\n",
    ),
    (
        "vm/logs.yaml",
        "action: fuzz\ncommand: vm logs <company> [service]\nparams:\n  company: slug\n  service: {type: string}\n  follow: {type: bool, short: f}\n  tail: {type: int, min: 0, default: 50, short: t}\n  domain: {type: list, required: false}\n  labels: {type: map, required: false}\n  token: {type: secret, required: false}\nwith:\n  stack: '{{ company }}'\n  compose: '{{ service }}'\n  force: '{{ follow }}'\n  replicas: '{{ tail }}'\n  options: '{{ domain }}'\n  exclude: '{{ labels }}'\n  key: '{{ token }}'\n",
    ),
];

/// Reads a command line. Whatever is accepted must survive being written and read again, and
/// binding its arguments must not panic.
pub fn command_line(text: &str) {
    let Some(catalog) = catalog() else { return };
    let Ok(ask) = grammar::parse(&catalog, text) else {
        return;
    };
    let line = grammar::to_line(&ask);
    if line.chars().count() <= grammar::MAX_CHARS {
        let again = grammar::parse(&catalog, &line);
        assert_eq!(again.as_ref(), Ok(&ask), "{text:?} was written as {line:?}");
    }
    use rave_domain::request::{Ask, Change, Query};
    if let Ask::Change(Change::Run(request)) | Ask::Query(Query::Plan(request)) = &ask {
        let hash = |param: &str, value: &str| Digest::of(format!("{param} {value}").as_bytes());
        if let Err(errors) = catalog.bind_all(&request.intents, &request.arguments, &hash) {
            assert!(!errors.is_empty(), "a refusal without a reason");
        }
    }
}

/// Reads an intent file. Every mistake must have a place in the text, and reading must be
/// repeatable.
pub fn intent_file(text: &str) {
    let actions = actions();
    let sources = [SourceFile::intent("x.yaml", text)];
    let settings = Settings::default();
    let lines = text.lines().count().max(1) + 1;
    let first = Catalog::load(&sources, None, &actions, &settings);
    let again = Catalog::load(&sources, None, &actions, &settings);
    match (&first, &again) {
        (Ok(first), Ok(again)) => assert_eq!(first.digest(), again.digest(), "{text:?}"),
        (Err(first), Err(again)) => {
            assert_eq!(first, again, "{text:?}");
            for found in first {
                assert!((1..=lines).contains(&found.at.line), "{found} in {text:?}");
                assert!(
                    !found.message.is_empty() && !found.message.ends_with('.'),
                    "{found}"
                );
            }
        }
        _ => assert!(
            first.is_ok() == again.is_ok(),
            "{text:?} is read one way and another"
        ),
    }
    let answer = validate(text, &actions, "approved");
    assert!(answer.valid == answer.errors.is_empty(), "{answer:?}");
    assert!(
        answer.valid || first.is_err(),
        "{text:?} loads and is not valid"
    );
}

fn catalog() -> Option<Catalog> {
    let sources: Vec<SourceFile> = INTENTS
        .iter()
        .map(|(path, text)| SourceFile::intent(*path, *text))
        .collect();
    Catalog::load(&sources, None, &actions(), &Settings::default()).ok()
}

/// One action with a field of every kind.
fn actions() -> Actions {
    let field = |name: &str, kind: FieldKind| FieldSpec {
        name: name.to_owned(),
        kind,
        required: name == "stack",
    };
    let (Ok(name), Ok(driver)) = (ActionName::new("fuzz"), DriverName::new("fuzz")) else {
        return Actions::new();
    };
    let spec = ActionSpec {
        name: name.clone(),
        driver,
        target_kind: "stack".to_owned(),
        target_field: "stack".to_owned(),
        fields: vec![
            field("stack", FieldKind::Text),
            field("compose", FieldKind::Text),
            field("key", FieldKind::Text),
            field("replicas", FieldKind::Int { min: 0, max: 100 }),
            field("force", FieldKind::Bool),
            field("options", FieldKind::List),
            field("exclude", FieldKind::List),
        ],
        summary: "does nothing".to_owned(),
    };
    Actions::from([(name, spec)])
}
