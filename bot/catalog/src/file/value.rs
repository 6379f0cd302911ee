//! Values of known keys: each reader reports what is wrong and gives `None`.

use std::time::Duration;

use crate::diagnostic::{Code, Position, Report};
use crate::node::{Entry, Node};
use crate::param::{cut, parse_duration};
use crate::suggest;

/// Longer than any step or approval should last; catches `timeout: 10000h`.
const LONGEST: Duration = Duration::from_hours(30 * 24);

pub(crate) fn get<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries
        .iter()
        .find(|entry| entry.key == key && !entry.value.is_null())
}

pub(crate) fn text(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    if let Some(text) = node.text() {
        return Some(text.to_owned());
    }
    let message = format!("`{key}` is text, not {}", node.shape());
    report.error(node.at, Code::InvalidValue, message);
    None
}

pub(crate) fn bool(node: &Node, key: &str, report: &mut Report<'_>) -> Option<bool> {
    match node.text() {
        Some("true" | "True" | "TRUE") => Some(true),
        Some("false" | "False" | "FALSE") => Some(false),
        other => {
            let given = other.map_or_else(|| node.shape().to_owned(), cut);
            let message = format!("`{key}` is true or false, not {given}");
            report.error(node.at, Code::InvalidValue, message);
            None
        }
    }
}

pub(crate) fn int(
    node: &Node,
    key: &str,
    bounds: (i64, i64),
    report: &mut Report<'_>,
) -> Option<i64> {
    let (min, max) = bounds;
    let number = node.text().and_then(|text| text.trim().parse::<i64>().ok());
    if let Some(number) = number
        && (min..=max).contains(&number)
    {
        return Some(number);
    }
    let given = node.text().map_or_else(|| node.shape().to_owned(), cut);
    let accepted = crate::ParamKind::Int { min, max }.accepts();
    let message = format!("`{key}` is {accepted}, not {given}");
    report.error(node.at, Code::InvalidValue, message);
    None
}

pub(crate) fn duration(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Duration> {
    if let Some(length) = node.text().and_then(parse_duration)
        && length <= LONGEST
    {
        return Some(length);
    }
    let given = node.text().map_or_else(|| node.shape().to_owned(), cut);
    report.error_with_hint(
        node.at,
        Code::InvalidValue,
        format!("`{key}` is a length of time, not {given}"),
        "write it like 90s, 10m or 2h; at most 30 days",
    );
    None
}

/// A list of texts; a single text counts as a list of one.
pub(crate) fn texts(node: &Node, key: &str, report: &mut Report<'_>) -> Vec<(String, Position)> {
    if let Some(text) = node.text() {
        return vec![(text.to_owned(), node.at)];
    }
    let Some(items) = node.list() else {
        let message = format!("`{key}` is a list, not {}", node.shape());
        report.error(node.at, Code::InvalidValue, message);
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items {
        match item.text() {
            Some(text) => found.push((text.to_owned(), item.at)),
            None => {
                let message = format!("an item of `{key}` is text, not {}", item.shape());
                report.error(item.at, Code::InvalidValue, message);
            }
        }
    }
    found
}

/// The entries of a map, each key checked against the known ones.
pub(crate) fn section<'a>(
    node: &'a Node,
    key: &str,
    known: &[&str],
    report: &mut Report<'_>,
) -> Option<&'a [Entry]> {
    let Some(entries) = node.map() else {
        report.error_with_hint(
            node.at,
            Code::InvalidValue,
            format!("`{key}` is a map, not {}", node.shape()),
            format!("its keys are {}", suggest::and_list(known)),
        );
        return None;
    };
    for entry in entries {
        if !known.contains(&entry.key.as_str()) {
            let candidates = known.iter().copied().filter(|_| !report.is_full());
            let near = suggest::did_you_mean(&entry.key, candidates);
            let all = format!("there are {}", suggest::and_list(known));
            report.error_with_hint(
                entry.key_at,
                Code::UnknownKey,
                format!("`{key}` has no key {}", cut(&entry.key)),
                if near.is_empty() { all } else { near },
            );
        }
    }
    Some(entries)
}
