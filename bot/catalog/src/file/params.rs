//! The `params` of an intent file.

use std::collections::BTreeMap;
use std::sync::Arc;

use rave_domain::value::Value;
use regex::{Regex, RegexBuilder};

use super::value;
use crate::command::CommandPattern;
use crate::diagnostic::{Code, Position, Report};
use crate::node::{Entry, Kind, Node};
use crate::param::{DEFAULT_MAX_ITEMS, DEFAULT_MAX_TEXT, Param, ParamKind, Pattern, Read, cut};
use crate::suggest;
use crate::template::{is_param_name, same_name};

/// A form needs no more parameters than a person can fill in.
const MOST_PARAMS: usize = 50;
/// Keeps a pattern such as `(a{1000}){1000}` from eating the memory.
const PATTERN_BYTES: usize = 256 * 1024;

const TYPES: &[&str] = &[
    "string", "int", "bool", "enum", "duration", "slug", "email", "host", "list", "map", "file",
    "secret",
];

/// Keys that every type has, and those that only some have.
const KEYS: &[&str] = &[
    "type",
    "description",
    "default",
    "required",
    "short",
    "pattern",
    "min",
    "max",
    "values",
];

/// Names that the grammar takes for itself on every command.
const RESERVED: &[&str] = &[
    "dry_run",
    "help",
    "parallel",
    "rollback_on_failure",
    "stop_on_failure",
    "unwind",
];

/// A parameter and where it is declared.
pub(crate) struct Declared {
    pub(crate) param: Param,
    pub(crate) at: Position,
}

type Patterns = BTreeMap<String, Arc<Regex>>;

/// Reads all of them; those with mistakes are reported and kept as far as they go, so that they
/// do not count as undeclared elsewhere.
pub(crate) fn read(
    entries: &[Entry],
    command: &CommandPattern,
    patterns: &mut Patterns,
    report: &mut Report<'_>,
) -> Vec<Declared> {
    let Some(entry) = value::get(entries, "params") else {
        return Vec::new();
    };
    let Some(params) = entry.value.map() else {
        let message = format!("`params` is a map of names, not {}", entry.value.shape());
        report.error(entry.value.at, Code::InvalidValue, message);
        return Vec::new();
    };
    if params.len() > MOST_PARAMS {
        let message = format!(
            "an intent takes at most {MOST_PARAMS} parameters, not {}",
            params.len()
        );
        report.error(entry.key_at, Code::Parameter, message);
    }
    let mut declared: Vec<Declared> = Vec::new();
    for entry in params.iter().take(MOST_PARAMS) {
        if let Some(message) = name_trouble(&entry.key, &declared) {
            report.error(entry.key_at, Code::Parameter, message);
            continue;
        }
        let param = one(entry, command, patterns, report);
        if let Some(letter) = param.short
            && declared
                .iter()
                .any(|before| before.param.short == Some(letter))
        {
            let message = format!("another parameter has the short form `-{letter}` already");
            report.error(entry.key_at, Code::Parameter, message);
        }
        declared.push(Declared {
            param,
            at: entry.key_at,
        });
    }
    declared
}

fn name_trouble(name: &str, declared: &[Declared]) -> Option<String> {
    if !is_param_name(name) {
        return Some(format!(
            "{} cannot be the name of a parameter: a letter, then letters, digits, `_` and `-`",
            cut(name)
        ));
    }
    if RESERVED.iter().any(|taken| same_name(taken, name)) {
        return Some(format!(
            "every command has the option `{name}` already; choose another name"
        ));
    }
    let twin = declared
        .iter()
        .find(|before| same_name(&before.param.name, name))?;
    Some(format!(
        "`{name}` and `{}` are the same name on a command line",
        twin.param.name
    ))
}

fn one(
    entry: &Entry,
    command: &CommandPattern,
    patterns: &mut Patterns,
    report: &mut Report<'_>,
) -> Param {
    let name = &entry.key;
    // `company: slug` is short for `company: {type: slug}`.
    let (kind, keys): (Option<ParamKind>, &[Entry]) = match &entry.value.kind {
        Kind::Scalar(text) => (kind(text, &[], entry.value.at, patterns, report), &[]),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            let keys = value::section(&entry.value, name, KEYS, report).unwrap_or_default();
            (typed(entry, keys, patterns, report), keys)
        }
    };
    let known = kind.is_some();
    let kind = kind.unwrap_or(ParamKind::String {
        pattern: None,
        max: DEFAULT_MAX_TEXT,
    });
    let default = value::get(keys, "default").filter(|_| known);
    let default = default.and_then(|entry| default_value(&entry.value, name, &kind, report));
    let default = default.or_else(|| matches!(kind, ParamKind::Bool).then_some(Value::Bool(false)));
    let stated = value::get(keys, "required").and_then(|entry| {
        value::bool(&entry.value, "required", report).map(|yes| (yes, entry.value.at))
    });
    if let (Some((true, at)), Some(_)) = (stated, &default)
        && !matches!(kind, ParamKind::Bool)
    {
        report.error(
            at,
            Code::Parameter,
            format!("`{name}` is required and has a default; keep one of them"),
        );
    }
    let optional_slot = command
        .slots
        .iter()
        .any(|slot| slot.param == *name && !slot.required);
    let required = match stated {
        Some((required, _)) => required,
        None => default.is_none() && !optional_slot,
    };
    Param {
        name: name.clone(),
        kind,
        description: value::get(keys, "description")
            .and_then(|entry| value::text(&entry.value, "description", report))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        default: default.filter(|_| !required),
        required,
        short: value::get(keys, "short").and_then(|entry| short(&entry.value, report)),
    }
}

fn typed(
    entry: &Entry,
    keys: &[Entry],
    patterns: &mut Patterns,
    report: &mut Report<'_>,
) -> Option<ParamKind> {
    let Some(word) = value::get(keys, "type") else {
        // Something other than a map was reported already.
        if entry.value.map().is_some() || entry.value.is_null() {
            report.error_with_hint(
                entry.key_at,
                Code::MissingField,
                format!("the parameter `{}` needs a `type`", entry.key),
                format!("there are {}", suggest::and_list(TYPES)),
            );
        }
        return None;
    };
    let at = word.value.at;
    let word = value::text(&word.value, "type", report)?;
    kind(&word, keys, at, patterns, report)
}

fn kind(
    word: &str,
    keys: &[Entry],
    at: Position,
    patterns: &mut Patterns,
    report: &mut Report<'_>,
) -> Option<ParamKind> {
    let allowed: &[&str] = match word {
        "string" | "list" => &["pattern", "max"],
        "int" => &["min", "max"],
        "enum" => &["values"],
        _ => &[],
    };
    for entry in keys {
        let key = entry.key.as_str();
        if matches!(key, "pattern" | "min" | "max" | "values") && !allowed.contains(&key) {
            let message = format!("a parameter of type `{}` has no `{key}`", word.trim());
            report.error(entry.key_at, Code::UnknownKey, message);
        }
    }
    match word {
        "string" => Some(ParamKind::String {
            pattern: pattern(keys, patterns, report),
            max: size(keys, DEFAULT_MAX_TEXT, report),
        }),
        "list" => Some(ParamKind::List {
            pattern: pattern(keys, patterns, report),
            max: size(keys, DEFAULT_MAX_ITEMS, report),
        }),
        "int" => Some(bounds(keys, report)),
        "enum" => words(keys, at, report),
        "bool" => Some(ParamKind::Bool),
        "duration" => Some(ParamKind::Duration),
        "slug" => Some(ParamKind::Slug),
        "email" => Some(ParamKind::Email),
        "host" => Some(ParamKind::Host),
        "map" => Some(ParamKind::Map),
        "file" => Some(ParamKind::File),
        "secret" => Some(ParamKind::Secret),
        other => {
            let near = suggest::did_you_mean(other, TYPES.iter().copied());
            let all = format!("there are {}", suggest::and_list(TYPES));
            report.error_with_hint(
                at,
                Code::InvalidValue,
                format!("{} is not a type of parameter", cut(other)),
                if near.is_empty() { all } else { near },
            );
            None
        }
    }
}

fn pattern(keys: &[Entry], patterns: &mut Patterns, report: &mut Report<'_>) -> Option<Pattern> {
    let entry = value::get(keys, "pattern")?;
    let written = value::text(&entry.value, "pattern", report)?;
    if let Some(regex) = patterns.get(&written) {
        return Some(Pattern::new(&written, Arc::clone(regex)));
    }
    // Anchored, so that a pattern describes the whole text and not a part of it.
    let regex = RegexBuilder::new(&format!(r"\A(?:{written})\z"))
        .size_limit(PATTERN_BYTES)
        .build();
    match regex {
        Ok(regex) => {
            let regex = Arc::new(regex);
            patterns.insert(written.clone(), Arc::clone(&regex));
            Some(Pattern::new(&written, regex))
        }
        Err(error) => {
            // The last line of the error is its reason; the lines before draw the pattern.
            let reason = error.to_string();
            let reason = reason.lines().next_back().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ").to_owned();
            report.error(
                entry.value.at,
                Code::InvalidValue,
                format!("{} is not a regular expression: {reason}", cut(&written)),
            );
            None
        }
    }
}

fn size(keys: &[Entry], default: usize, report: &mut Report<'_>) -> usize {
    value::get(keys, "max")
        .and_then(|entry| value::int(&entry.value, "max", (1, 10_000), report))
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(default)
}

fn bounds(keys: &[Entry], report: &mut Report<'_>) -> ParamKind {
    let mut bound = |key: &str, otherwise| {
        value::get(keys, key)
            .and_then(|entry| value::int(&entry.value, key, (i64::MIN, i64::MAX), report))
            .unwrap_or(otherwise)
    };
    let min = bound("min", i64::MIN);
    let max = bound("max", i64::MAX);
    if min > max
        && let Some(entry) = value::get(keys, "min")
    {
        report.error(
            entry.value.at,
            Code::InvalidValue,
            format!("`min` {min} is above `max` {max}, so no number fits"),
        );
    }
    ParamKind::Int { min, max }
}

fn words(keys: &[Entry], at: Position, report: &mut Report<'_>) -> Option<ParamKind> {
    let Some(entry) = value::get(keys, "values") else {
        report.error_with_hint(
            at,
            Code::MissingField,
            "a parameter of type `enum` needs `values`",
            "list the words it takes: values: [a, b]",
        );
        return None;
    };
    let mut values = Vec::new();
    for (word, at) in value::texts(&entry.value, "values", report) {
        if word.is_empty() || values.contains(&word) {
            report.error(
                at,
                Code::InvalidValue,
                format!("{} is empty or stands twice in `values`", cut(&word)),
            );
        } else {
            values.push(word);
        }
    }
    if values.is_empty() {
        report.error(
            entry.value.at,
            Code::InvalidValue,
            "`values` has no words, so nothing could be given",
        );
        return None;
    }
    Some(ParamKind::Enum { values })
}

/// A default goes through the same check as what people type.
fn default_value(
    node: &Node,
    name: &str,
    kind: &ParamKind,
    report: &mut Report<'_>,
) -> Option<Value> {
    if matches!(kind, ParamKind::Secret | ParamKind::File) {
        report.error(
            node.at,
            Code::Parameter,
            format!(
                "a parameter of type `{}` cannot have a default in a file",
                kind.as_str()
            ),
        );
        return None;
    }
    let raw: Vec<String> = match &node.kind {
        Kind::Null => return None,
        Kind::Scalar(text) => vec![text.clone()],
        Kind::List(_) => {
            // As JSON, so that an item with a comma stays one item.
            let items: Vec<String> = value::texts(node, "default", report)
                .into_iter()
                .map(|(text, _)| text)
                .collect();
            vec![serde_json::Value::from(items).to_string()]
        }
        Kind::Map(entries) => {
            let mut pairs = serde_json::Map::new();
            for entry in entries {
                if let Some(text) = value::text(&entry.value, &entry.key, report) {
                    pairs.insert(entry.key.clone(), text.into());
                }
            }
            vec![serde_json::Value::Object(pairs).to_string()]
        }
    };
    match kind.read(&raw) {
        Ok(Read::Plain(value)) => Some(value),
        Ok(Read::Secret(_)) => None,
        Err(message) => {
            report.error(
                node.at,
                Code::InvalidValue,
                format!("the default of `{name}` {message}"),
            );
            None
        }
    }
}

fn short(node: &Node, report: &mut Report<'_>) -> Option<char> {
    let text = value::text(node, "short", report)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some(letter),
        _ => {
            report.error(
                node.at,
                Code::InvalidValue,
                format!("`short` is one letter, not {}", cut(&text)),
            );
            None
        }
    }
}
