//! `schedules.json`: when which intent is asked for without a person.

use std::collections::{BTreeMap, BTreeSet};

use croner::parser::{CronParser, Seconds, Year};
use rave_domain::IntentName;
use serde::Serialize;

use crate::catalog::Loaded;
use crate::diagnostic::{Code, Position, Report};
use crate::file::value;
use crate::node::{self, Entry, Node};
use crate::param::cut;
use crate::suggest;

/// More often than this is a loop and not a schedule.
const LEAST_SECONDS: i64 = 1;
/// A year; a longer interval is a mistake in the unit.
const MOST_SECONDS: i64 = 366 * 24 * 3600;

const CRON_FIELDS: &str = "they are minute, hour, day of the month, month and day of the week";

const KEYS: &[&str] = &[
    "name",
    "intent",
    "cron",
    "interval_seconds",
    "enabled",
    "dry_run",
    "timezone",
];

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// Its name in commands and audit rows; unique.
    pub name: String,
    /// What is asked for.
    pub intent: IntentName,
    /// When.
    pub when: When,
    /// Whether it fires; a disabled one is listed and can be run by hand.
    pub enabled: bool,
    /// Whether it only shows what would happen.
    pub dry_run: bool,
    /// An IANA name; `None` means the server's own.
    pub timezone: Option<String>,
}

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// By a crontab line of five fields.
    Cron(String),
    /// Every so many seconds.
    EverySeconds(u64),
}

/// The one reading of a crontab line in Rave: five fields, 0 and 7 are Sunday, and a day of the
/// month or a day of the week where both are restricted.
#[must_use]
pub fn cron_parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
}

/// Reads the file. Strict JSON decides whether it is well formed; the tree with places, which
/// reads JSON as the part of YAML that it is, says where things stand.
pub(crate) fn read(
    text: &str,
    loaded: &BTreeMap<IntentName, Loaded>,
    known: &BTreeSet<IntentName>,
    report: &mut Report<'_>,
) -> Vec<Schedule> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let at = Position {
            line: error.line().max(1),
            column: error.column().max(1),
        };
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        report.error(at, Code::Syntax, format!("this is not JSON: {reason}"));
        return Vec::new();
    }
    let Some(root) = node::parse(text, report) else {
        return Vec::new();
    };
    let Some(entries) = value::section(&root, "schedules.json", &["schedules"], report) else {
        return Vec::new();
    };
    let Some(list) = value::get(entries, "schedules") else {
        report.error_with_hint(
            root.at,
            Code::MissingField,
            "`schedules` is missing",
            r#"write {"schedules": []}"#,
        );
        return Vec::new();
    };
    let Some(items) = list.value.list() else {
        let message = format!("`schedules` is a list, not {}", list.value.shape());
        report.error(list.value.at, Code::InvalidValue, message);
        return Vec::new();
    };
    let mut schedules: Vec<Schedule> = Vec::new();
    let mut names = BTreeSet::new();
    for item in items {
        if let Some((schedule, at)) = one(item, known, report) {
            if !names.insert(schedule.name.clone()) {
                report.error(
                    at,
                    Code::Duplicate,
                    format!("another schedule is called {} already", cut(&schedule.name)),
                );
            }
            can_run(&schedule, at, loaded, report);
            schedules.push(schedule);
        }
    }
    schedules
}

fn one(
    node: &Node,
    known: &BTreeSet<IntentName>,
    report: &mut Report<'_>,
) -> Option<(Schedule, Position)> {
    let keys = value::section(node, "schedule", KEYS, report)?;
    let name = name(node, keys, report);
    let intent = intent(node, keys, known, report);
    let when = when(node, keys, report);
    let mut flag = |key: &str| {
        value::get(keys, key)
            .and_then(|entry| value::bool(&entry.value, key, report))
            .unwrap_or(false)
    };
    let enabled = flag("enabled");
    let dry_run = flag("dry_run");
    let timezone = timezone(keys, report);
    let (name, at) = name?;
    let schedule = Schedule {
        name,
        intent: intent?,
        when: when?,
        enabled,
        dry_run,
        timezone,
    };
    Some((schedule, at))
}

fn name(node: &Node, keys: &[Entry], report: &mut Report<'_>) -> Option<(String, Position)> {
    let Some(entry) = value::get(keys, "name") else {
        report.error(node.at, Code::MissingField, "a schedule needs a `name`");
        return None;
    };
    let name = value::text(&entry.value, "name", report)?;
    let fine = (1..=100).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(crate::param::is_hidden);
    if !fine {
        report.error(
            entry.value.at,
            Code::InvalidValue,
            "a schedule's `name` has 1 to 100 visible characters",
        );
        return None;
    }
    Some((name, entry.value.at))
}

fn intent(
    node: &Node,
    keys: &[Entry],
    known: &BTreeSet<IntentName>,
    report: &mut Report<'_>,
) -> Option<IntentName> {
    let Some(entry) = value::get(keys, "intent") else {
        report.error(node.at, Code::MissingField, "a schedule needs an `intent`");
        return None;
    };
    let text = value::text(&entry.value, "intent", report)?;
    let name = IntentName::new(text.as_str())
        .ok()
        .filter(|name| known.contains(name));
    if name.is_none() {
        report.error_with_hint(
            entry.value.at,
            Code::UnknownIntent,
            format!("the intent {} does not exist", cut(&text)),
            suggest::did_you_mean(&text, known.iter().map(IntentName::as_str)),
        );
    }
    name
}

fn when(node: &Node, keys: &[Entry], report: &mut Report<'_>) -> Option<When> {
    match (
        value::get(keys, "cron"),
        value::get(keys, "interval_seconds"),
    ) {
        (Some(cron), None) => {
            let text = value::text(&cron.value, "cron", report)?;
            let fields = text.split_whitespace().count();
            if fields != 5 && !text.trim_start().starts_with('@') {
                report.error_with_hint(
                    cron.value.at,
                    Code::InvalidValue,
                    format!(
                        "a crontab line has five fields, and {} has {fields}",
                        cut(&text)
                    ),
                    CRON_FIELDS,
                );
                return None;
            }
            if let Err(error) = cron_parser().parse(&text) {
                report.error_with_hint(
                    cron.value.at,
                    Code::InvalidValue,
                    format!(
                        "{} is not a crontab line: {}",
                        cut(&text),
                        error.to_string().trim_end_matches('.')
                    ),
                    CRON_FIELDS,
                );
                return None;
            }
            Some(When::Cron(text))
        }
        (None, Some(interval)) => {
            let bounds = (LEAST_SECONDS, MOST_SECONDS);
            let seconds = value::int(&interval.value, "interval_seconds", bounds, report)?;
            u64::try_from(seconds).ok().map(When::EverySeconds)
        }
        (Some(_), Some(interval)) => {
            report.error(
                interval.key_at,
                Code::InvalidValue,
                "a schedule has `cron` or `interval_seconds`, not both",
            );
            None
        }
        (None, None) => {
            report.error_with_hint(
                node.at,
                Code::MissingField,
                "a schedule needs `cron` or `interval_seconds`",
                r#"for example "cron": "0 3 * * *""#,
            );
            None
        }
    }
}

fn timezone(keys: &[Entry], report: &mut Report<'_>) -> Option<String> {
    let entry = value::get(keys, "timezone")?;
    let name = value::text(&entry.value, "timezone", report)?;
    if jiff::tz::TimeZone::get(&name).is_err() {
        report.error_with_hint(
            entry.value.at,
            Code::InvalidValue,
            format!("{} is not a time zone that this machine knows", cut(&name)),
            "names are like Europe/Berlin or UTC",
        );
        return None;
    }
    Some(name)
}

/// A schedule brings no arguments, so what it asks for must do without.
fn can_run(
    schedule: &Schedule,
    at: Position,
    loaded: &BTreeMap<IntentName, Loaded>,
    report: &mut Report<'_>,
) {
    let mut seen = BTreeSet::new();
    let mut open = vec![&schedule.intent];
    while let Some(name) = open.pop() {
        let Some(Loaded { intent, .. }) = loaded.get(name) else {
            continue;
        };
        if !seen.insert(name) {
            continue;
        }
        if let Some(param) = intent.params.iter().find(|param| param.required) {
            report.error_with_hint(
                at,
                Code::Parameter,
                format!(
                    "`{name}` needs the parameter `{}`, and a schedule brings none",
                    param.name
                ),
                "give it a default, or schedule an intent that needs nothing",
            );
        }
        open.extend(&intent.depends_on);
    }
}
