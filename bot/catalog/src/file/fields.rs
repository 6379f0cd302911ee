//! The fields of the action: under `with:`, or beside the other keys as in the seed.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::LockKey;
use rave_domain::ports::driver::{ActionSpec, FieldKind, FieldSpec};
use rave_domain::value::Value;

use super::params::Declared;
use super::{Draft, KEYS, value};
use crate::diagnostic::{Code, Position, Report};
use crate::node::{Entry, Kind, Node};
use crate::param::{Param, ParamKind, cut};
use crate::suggest;
use crate::template::{Malformed, Piece, Template, pieces};

/// Reads every field that the action knows and reports the keys that nobody knows.
pub(super) fn read(
    draft: &mut Draft<'_, '_, '_>,
    spec: &ActionSpec,
    params: &[Declared],
) -> BTreeMap<String, Template> {
    let mut fields = BTreeMap::new();
    let mut given: BTreeMap<&str, Position> = BTreeMap::new();
    let entries = draft.entries;
    let flat = entries
        .iter()
        .filter(|entry| !KEYS.contains(&entry.key.as_str()))
        .map(|entry| (entry, true));
    let with = with(entries, draft.report);
    for (entry, is_flat) in flat.chain(with.iter().map(|entry| (entry, false))) {
        let Some(field) = spec.fields.iter().find(|field| field.name == entry.key) else {
            unknown(draft, spec, entry, is_flat);
            continue;
        };
        if let Some(before) = given.insert(&field.name, entry.key_at) {
            draft.report.error_with_hint(
                entry.key_at,
                Code::Duplicate,
                format!(
                    "the field `{}` stands here and outside of `with`",
                    field.name
                ),
                format!("the other is in line {}; keep one of them", before.line),
            );
            continue;
        }
        if entry.value.is_null() {
            given.remove(field.name.as_str());
        } else if let Some(template) = one(&entry.value, field, params, draft.report) {
            fields.insert(field.name.clone(), template);
        }
    }
    missing(draft, spec, &given);
    fields
}

fn with<'a>(entries: &'a [Entry], report: &mut Report<'_>) -> &'a [Entry] {
    let Some(entry) = value::get(entries, "with") else {
        return &[];
    };
    entry.value.map().unwrap_or_else(|| {
        let message = format!("`with` is a map of fields, not {}", entry.value.shape());
        report.error(entry.value.at, Code::InvalidValue, message);
        &[]
    })
}

fn unknown(draft: &mut Draft<'_, '_, '_>, spec: &ActionSpec, entry: &Entry, is_flat: bool) {
    let names = spec.fields.iter().map(|field| field.name.as_str());
    let others = KEYS.iter().copied().filter(|_| is_flat);
    let full = draft.report.is_full();
    let candidates = names.clone().chain(others).filter(|_| !full);
    let near = suggest::did_you_mean(&entry.key, candidates);
    let elsewhere = owners(draft, &entry.key).next();
    let hint = match elsewhere {
        _ if !near.is_empty() => near,
        Some(other) => format!("it is a field of `{}`", other.name),
        None => {
            let names: Vec<&str> = names.collect();
            format!(
                "the fields of `{}` are {}",
                spec.name,
                suggest::and_list(&names)
            )
        }
    };
    let message = if is_flat {
        format!(
            "neither an intent nor the action `{}` has the key {}",
            spec.name,
            cut(&entry.key)
        )
    } else {
        format!(
            "the action `{}` has no field {}",
            spec.name,
            cut(&entry.key)
        )
    };
    draft
        .report
        .error_with_hint(entry.key_at, Code::UnknownKey, message, hint);
}

/// The actions that have a field.
fn owners<'s>(
    draft: &'s Draft<'_, '_, '_>,
    field: &'s str,
) -> impl Iterator<Item = &'s ActionSpec> {
    let has = move |spec: &&ActionSpec| spec.fields.iter().any(|known| known.name == field);
    draft.reader.actions.values().map(AsRef::as_ref).filter(has)
}

/// Without a known action, only the keys that no action has can be called unknown.
pub(super) fn strangers(draft: &mut Draft<'_, '_, '_>) {
    let entries = draft.entries;
    for entry in entries {
        let key = entry.key.as_str();
        if KEYS.contains(&key) || owners(draft, key).next().is_some() {
            continue;
        }
        let full = draft.report.is_full();
        let near = suggest::did_you_mean(key, KEYS.iter().copied().filter(|_| !full));
        let message = format!("neither an intent nor any action has the key {}", cut(key));
        draft
            .report
            .error_with_hint(entry.key_at, Code::UnknownKey, message, near);
    }
}

/// The message about a field that the action needs.
pub(crate) fn missing_field(action: &str, field: &str) -> String {
    format!("the action `{action}` needs the field `{field}`")
}

fn missing(draft: &mut Draft<'_, '_, '_>, spec: &ActionSpec, given: &BTreeMap<&str, Position>) {
    let at = value::get(draft.entries, "action").map_or(Position::START, |entry| entry.value.at);
    for field in spec.fields.iter().filter(|field| field.required) {
        if !given.contains_key(field.name.as_str()) {
            draft.report.error_with_hint(
                at,
                Code::MissingField,
                missing_field(spec.name.as_str(), &field.name),
                format!("add `{}: …`", field.name),
            );
        }
    }
}

fn one(
    node: &Node,
    field: &FieldSpec,
    params: &[Declared],
    report: &mut Report<'_>,
) -> Option<Template> {
    match &node.kind {
        Kind::Scalar(text) if text.contains("{{") => {
            templated(text, node.at, field, params, report)
        }
        Kind::Scalar(_) | Kind::Null => literal(node, field, report).map(Template::Literal),
        Kind::List(_) if field.kind == FieldKind::List => list(node, &field.name, params, report),
        Kind::List(_) | Kind::Map(_) => {
            let message = format!(
                "`{}` is {}, not {}",
                field.name,
                wanted(field.kind),
                node.shape()
            );
            report.error(node.at, Code::InvalidValue, message);
            None
        }
    }
}

fn wanted(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Int { .. } => "a whole number",
        FieldKind::Bool => "true or false",
        FieldKind::List => "a list",
    }
}

fn literal(node: &Node, field: &FieldSpec, report: &mut Report<'_>) -> Option<Value> {
    let name = &field.name;
    match field.kind {
        FieldKind::Text => value::text(node, name, report).map(Value::Text),
        FieldKind::Int { min, max } => value::int(node, name, (min, max), report).map(Value::Int),
        FieldKind::Bool => value::bool(node, name, report).map(Value::Bool),
        FieldKind::List => {
            let items = value::texts(node, name, report);
            Some(Value::List(
                items.into_iter().map(|(text, _)| text).collect(),
            ))
        }
    }
}

fn list(node: &Node, name: &str, params: &[Declared], report: &mut Report<'_>) -> Option<Template> {
    let items = value::texts(node, name, report);
    if items.iter().all(|(text, _)| !text.contains("{{")) {
        return Some(Template::Literal(Value::List(
            items.into_iter().map(|(text, _)| text).collect(),
        )));
    }
    let items: Option<Vec<Vec<Piece>>> = items
        .iter()
        .map(|(text, at)| {
            let pieces = split(text, *at, params, report)?;
            inside_text(&pieces, *at, params, report).then_some(pieces)
        })
        .collect();
    items.map(Template::List)
}

fn templated(
    text: &str,
    at: Position,
    field: &FieldSpec,
    params: &[Declared],
    report: &mut Report<'_>,
) -> Option<Template> {
    let pieces = split(text.trim(), at, params, report)?;
    if let [Piece::Param(name)] = pieces.as_slice() {
        let param = declared(params, name)?;
        return fits(param, field, at, report).then(|| Template::Param(name.clone()));
    }
    if !inside_text(&pieces, at, params, report) {
        return None;
    }
    match field.kind {
        FieldKind::Text => Some(Template::Text(pieces)),
        FieldKind::List => Some(Template::List(vec![pieces])),
        FieldKind::Int { .. } | FieldKind::Bool => {
            let message = format!(
                "`{}` is {}; it takes one whole `{{{{ param }}}}`, not text around it",
                field.name,
                wanted(field.kind)
            );
            report.error(at, Code::Parameter, message);
            None
        }
    }
}

/// The pieces of a text whose parameters are all declared.
fn split(
    text: &str,
    at: Position,
    params: &[Declared],
    report: &mut Report<'_>,
) -> Option<Vec<Piece>> {
    let found = match pieces(text) {
        Ok(found) => found,
        Err(Malformed::Open) => {
            report.error(at, Code::Parameter, "`{{` without `}}`");
            return None;
        }
        Err(Malformed::NotAName(inside)) => {
            report.error_with_hint(
                at,
                Code::Parameter,
                format!("{} is not the name of a parameter", cut(&inside)),
                "`{{ name }}` is the whole template language",
            );
            return None;
        }
    };
    let mut known = true;
    for piece in &found {
        if let Piece::Param(name) = piece
            && declared(params, name).is_none()
        {
            let names: Vec<&str> = params
                .iter()
                .map(|declared| declared.param.name.as_str())
                .collect();
            let near = suggest::did_you_mean(name, names.iter().copied());
            let hint = match near {
                near if !near.is_empty() => near,
                _ if names.is_empty() => {
                    format!("declare it: params: {{{name}: {{type: string}}}}")
                }
                _ => format!("there are {}", suggest::and_list(&names)),
            };
            report.error_with_hint(
                at,
                Code::Parameter,
                format!("`params` does not declare `{name}`"),
                hint,
            );
            known = false;
        }
    }
    known.then_some(found)
}

fn declared<'a>(params: &'a [Declared], name: &str) -> Option<&'a Param> {
    params
        .iter()
        .map(|declared| &declared.param)
        .find(|param| param.name == name)
}

/// Whether a parameter can be the whole of a field.
fn fits(param: &Param, field: &FieldSpec, at: Position, report: &mut Report<'_>) -> bool {
    let name = &param.name;
    if field.required && !param.required && param.default.is_none() {
        report.error_with_hint(
            at,
            Code::Parameter,
            format!(
                "the action needs `{}`, but the parameter `{name}` can be left out",
                field.name
            ),
            format!("give `{name}` a default or make it required"),
        );
        return false;
    }
    let fits = match field.kind {
        FieldKind::Text => true,
        FieldKind::Int { .. } => matches!(param.kind, ParamKind::Int { .. }),
        FieldKind::Bool => matches!(param.kind, ParamKind::Bool),
        FieldKind::List => !matches!(param.kind, ParamKind::Secret | ParamKind::File),
    };
    if !fits {
        report.error(
            at,
            Code::Parameter,
            format!(
                "the field `{}` is {} and the parameter `{name}` is of type `{}`",
                field.name,
                wanted(field.kind),
                param.kind.as_str()
            ),
        );
    }
    fits
}

/// Whether all parameters can stand inside a text.
fn inside_text(
    pieces: &[Piece],
    at: Position,
    params: &[Declared],
    report: &mut Report<'_>,
) -> bool {
    let mut fine = true;
    for piece in pieces {
        let Piece::Param(name) = piece else { continue };
        let Some(param) = declared(params, name) else {
            continue;
        };
        if matches!(param.kind, ParamKind::Secret) {
            report.error_with_hint(
                at,
                Code::Parameter,
                format!("the secret `{name}` cannot stand inside a text"),
                format!("make the whole field `{{{{ {name} }}}}`, so that it can be sealed"),
            );
            fine = false;
        } else if !param.required && param.default.is_none() {
            report.error_with_hint(
                at,
                Code::Parameter,
                format!("`{name}` stands inside a text and can be left out"),
                format!("give `{name}` a default or make it required"),
            );
            fine = false;
        }
    }
    fine
}

/// The `lock` of a file: text with parameters, but no secrets.
pub(super) fn lock(
    entries: &[Entry],
    params: &[Declared],
    report: &mut Report<'_>,
) -> Option<Template> {
    let entry = value::get(entries, "lock")?;
    let at = entry.value.at;
    let text = value::text(&entry.value, "lock", report)?;
    let found = split(text.trim(), at, params, report)?;
    if !inside_text(&found, at, params, report) {
        return None;
    }
    if found.iter().any(|piece| matches!(piece, Piece::Param(_))) {
        return Some(Template::Text(found));
    }
    match LockKey::new(text.trim()) {
        Ok(key) => Some(Template::Literal(Value::Text(key.to_string()))),
        Err(error) => {
            report.error(at, Code::InvalidValue, error.to_string());
            None
        }
    }
}

/// Every parameter that some text in a tree mentions.
pub(super) fn mentioned(node: &Node, found: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Null => {}
        Kind::Scalar(text) => {
            for piece in pieces(text).unwrap_or_default() {
                if let Piece::Param(name) = piece {
                    found.insert(name);
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| mentioned(item, found)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|entry| mentioned(&entry.value, found)),
    }
}
