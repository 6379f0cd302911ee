//! Keys about how and by whom an intent runs.

use std::collections::BTreeSet;
use std::time::Duration;

use rave_domain::plan::{ApprovalNeed, Retry};
use rave_domain::{IntentName, Role, Strength};

use super::value;
use crate::diagnostic::{Code, Position, Report};
use crate::intent::{DEFAULT_APPROVAL_TTL, DEFAULT_RUN_WITHIN, UndoRule};
use crate::node::Entry;
use crate::param::{cut, parse_duration};
use crate::suggest;

/// More people than any team has awake.
const MOST_APPROVERS: i64 = 20;
/// Retries double their wait; after this many the ceiling has long been reached.
const MOST_RETRIES: i64 = 50;

pub(super) fn depends_on(
    entries: &[Entry],
    report: &mut Report<'_>,
) -> (Vec<IntentName>, Vec<Position>) {
    let mut names = Vec::new();
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    let Some(entry) = value::get(entries, "depends_on") else {
        return (names, places);
    };
    for (text, at) in value::texts(&entry.value, "depends_on", report) {
        match IntentName::new(text.trim()) {
            Ok(name) => {
                // The same dependency twice is one dependency.
                if seen.insert(name.clone()) {
                    names.push(name);
                    places.push(at);
                }
            }
            Err(error) => report.error(at, Code::InvalidValue, error.to_string()),
        }
    }
    (names, places)
}

pub(super) fn roles(entries: &[Entry], key: &str, report: &mut Report<'_>) -> BTreeSet<Role> {
    let mut roles = BTreeSet::new();
    let Some(entry) = value::get(entries, key) else {
        return roles;
    };
    for (text, at) in value::texts(&entry.value, key, report) {
        let text = text.trim();
        let fine = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if fine {
            roles.insert(Role(text.to_owned()));
        } else {
            let message = format!(
                "{} is not a role: letters, digits, `_`, `-` and `.`",
                cut(text)
            );
            report.error(at, Code::InvalidValue, message);
        }
    }
    roles
}

pub(super) fn approval(
    entries: &[Entry],
    intent: &IntentName,
    report: &mut Report<'_>,
) -> Option<ApprovalNeed> {
    let entry = value::get(entries, "approval")?;
    let known = &["required", "from", "ttl", "run_within", "strength"];
    let keys = value::section(&entry.value, "approval", known, report)?;
    let required = value::get(keys, "required")
        .and_then(|entry| value::int(&entry.value, "required", (1, MOST_APPROVERS), report))
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(1);
    let mut time = |key: &str, otherwise: Duration| {
        value::get(keys, key)
            .and_then(|entry| value::duration(&entry.value, key, report))
            .unwrap_or(otherwise)
    };
    let ttl = time("ttl", DEFAULT_APPROVAL_TTL);
    let run_within = time("run_within", DEFAULT_RUN_WITHIN);
    Some(ApprovalNeed {
        intent: intent.clone(),
        required,
        from: roles(keys, "from", report),
        ttl,
        run_within,
        strength: strength(keys, report),
    })
}

fn strength(keys: &[Entry], report: &mut Report<'_>) -> Strength {
    let Some(entry) = value::get(keys, "strength") else {
        return Strength::default();
    };
    let words = ["token", "sealed", "signed", "totp"];
    match entry.value.text() {
        Some("token") => Strength::Token,
        Some("sealed") => Strength::Sealed,
        Some("signed") => Strength::Signed,
        Some("totp") => Strength::Totp,
        other => {
            let given = other.map_or_else(|| entry.value.shape().to_owned(), cut);
            let message = format!("`strength` is {}, not {given}", suggest::or_list(&words));
            report.error(entry.value.at, Code::InvalidValue, message);
            Strength::default()
        }
    }
}

pub(super) fn timeout(entries: &[Entry], report: &mut Report<'_>) -> Option<Duration> {
    let entry = value::get(entries, "timeout")?;
    value::duration(&entry.value, "timeout", report)
}

pub(super) fn retry(entries: &[Entry], report: &mut Report<'_>) -> Option<Retry> {
    let entry = value::get(entries, "retry")?;
    let keys = value::section(&entry.value, "retry", &["max", "backoff"], report)?;
    let Some(max) = value::get(keys, "max") else {
        report.error_with_hint(
            entry.value.at,
            Code::MissingField,
            "`retry` needs `max`",
            "write retry: {max: 3}",
        );
        return None;
    };
    let max = value::int(&max.value, "max", (0, MOST_RETRIES), report)?;
    let mut retry = Retry {
        max: u32::try_from(max).unwrap_or(0),
        ..Retry::default()
    };
    if let Some(entry) = value::get(keys, "backoff") {
        let (first, ceiling) = backoff(entry, report)?;
        retry.first = first;
        retry.ceiling = ceiling;
    }
    Some(retry)
}

fn backoff(entry: &Entry, report: &mut Report<'_>) -> Option<(Duration, Duration)> {
    let found = entry.value.text().and_then(|text| {
        let (first, ceiling) = text.split_once("..")?;
        Some((parse_duration(first)?, parse_duration(ceiling)?))
    });
    if let Some((first, ceiling)) = found
        && first <= ceiling
    {
        return found;
    }
    let given = entry
        .value
        .text()
        .map_or_else(|| entry.value.shape().to_owned(), cut);
    report.error_with_hint(
        entry.value.at,
        Code::InvalidValue,
        format!("`backoff` is the first and the longest wait, not {given}"),
        "write it like 2s..30s",
    );
    None
}

pub(super) fn undo(
    entries: &[Entry],
    own: &IntentName,
    report: &mut Report<'_>,
) -> (Option<UndoRule>, Position) {
    let Some(entry) = value::get(entries, "undo") else {
        return (None, Position::START);
    };
    let at = entry.value.at;
    let Some(text) = value::text(&entry.value, "undo", report) else {
        return (None, at);
    };
    let rule = match text.trim() {
        "none" => Some(UndoRule::Disabled),
        name => match IntentName::new(name) {
            Ok(name) if name == *own => {
                report.error(at, Code::InvalidValue, "an intent cannot be its own undo");
                None
            }
            Ok(name) => Some(UndoRule::Intent(name)),
            Err(error) => {
                report.error(at, Code::InvalidValue, error.to_string());
                None
            }
        },
    };
    (rule, at)
}
