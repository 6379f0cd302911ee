//! The catalog as a whole: what loads, what does not and why, and the files of this repository.

mod binding;
mod data_files;
mod fuzzing;
mod loading;
mod readme_commands;
mod schedules;
mod validation;

use std::collections::BTreeMap;

use rave_domain::ports::driver::{ActionSpec, Actions, FieldKind, FieldSpec};
use rave_domain::{ActionName, Digest, DriverName};

use crate::{Catalog, Settings, SourceFile};

/// The actions of the compose driver, as far as loading is concerned.
pub(crate) fn actions() -> Actions {
    let backup = [
        ("backup_type*", FieldKind::Text),
        ("stack", FieldKind::Text),
        ("service", FieldKind::Text),
        ("database_type", FieldKind::Text),
        ("source", FieldKind::Text),
        ("source_container", FieldKind::Text),
        ("source_path", FieldKind::Text),
        ("destination", FieldKind::Text),
        ("destination_container", FieldKind::Text),
        ("destination_path", FieldKind::Text),
        ("exclude", FieldKind::List),
        ("options", FieldKind::List),
        (
            "vm_id",
            FieldKind::Int {
                min: 100,
                max: 999_999_999,
            },
        ),
        ("retention_days", FieldKind::Int { min: 1, max: 3650 }),
        ("storage", FieldKind::Text),
        ("compress", FieldKind::Text),
        ("notes", FieldKind::Text),
    ];
    let scale = [
        ("stack*", FieldKind::Text),
        ("service*", FieldKind::Text),
        ("replicas*", FieldKind::Int { min: 0, max: 100 }),
        ("compose", FieldKind::Text),
    ];
    let rollout = [
        ("stack*", FieldKind::Text),
        ("service", FieldKind::Text),
        ("compose", FieldKind::Text),
    ];
    Actions::from([
        action("backup", "backup", "backup_type", &backup),
        action("rollout", "stack", "stack", &rollout),
        action("scale", "stack", "stack", &scale),
    ])
}

/// An action; a `*` behind a field's name makes it required.
pub(crate) fn action(
    name: &str,
    target_kind: &str,
    target_field: &str,
    fields: &[(&str, FieldKind)],
) -> (ActionName, ActionSpec) {
    let name = ActionName::new(name).unwrap();
    let fields = fields.iter().map(|(name, kind)| FieldSpec {
        name: name.trim_end_matches('*').to_owned(),
        kind: *kind,
        required: name.ends_with('*'),
    });
    let spec = ActionSpec {
        name: name.clone(),
        driver: DriverName::new("test").unwrap(),
        target_kind: target_kind.to_owned(),
        target_field: target_field.to_owned(),
        fields: fields.collect(),
        summary: String::new(),
    };
    (name, spec)
}

/// Files by their path inside `intents/`.
pub(crate) fn sources(files: &[(&str, &str)]) -> Vec<SourceFile> {
    files
        .iter()
        .map(|(path, text)| SourceFile::intent(*path, *text))
        .collect()
}

pub(crate) fn catalog(files: &[(&str, &str)]) -> Catalog {
    Catalog::load(&sources(files), None, &actions(), &Settings::default()).unwrap()
}

/// Everything that is wrong, one line each.
pub(crate) fn errors(files: &[(&str, &str)]) -> String {
    match Catalog::load(&sources(files), None, &actions(), &Settings::default()) {
        Ok(_) => "nothing".to_owned(),
        Err(found) => found.to_string(),
    }
}

/// Arguments by name.
pub(crate) fn raw(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let mut raw: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        raw.entry((*name).to_owned())
            .or_default()
            .push((*value).to_owned());
    }
    raw
}

pub(crate) fn hash(param: &str, value: &str) -> Digest {
    Digest::of(format!("key {param} {value}").as_bytes())
}
