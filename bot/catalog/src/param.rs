//! Parameters: what an intent may be given, and how a raw text becomes a checked value.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rave_domain::form::Needed;
use rave_domain::value::Value;
use regex::Regex;
use serde::{Serialize, Serializer};

use crate::suggest;

/// The longest text of a parameter that does not state its own `max`.
pub const DEFAULT_MAX_TEXT: usize = 1_000;
/// The most items of a list that does not state its own `max`, and of every map.
pub const DEFAULT_MAX_ITEMS: usize = 100;
/// The longest content of a `file`.
pub const MAX_FILE_TEXT: usize = 256 * 1024;

/// A declared parameter.
#[derive(Debug, Clone, Serialize)]
pub struct Param {
    /// Its name as declared; `-` and `_` are one character when people type it.
    pub name: String,
    /// What it holds.
    pub kind: ParamKind,
    /// For help; may be empty.
    pub description: String,
    /// Taken when it is not given.
    pub default: Option<Value>,
    /// Whether a request must give it.
    pub required: bool,
    /// A letter that works as `-f`.
    pub short: Option<char>,
}

/// What a parameter holds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    /// Text, optionally of a form.
    String {
        /// The whole text must match.
        pattern: Option<Pattern>,
        /// The most characters.
        max: usize,
    },
    /// A whole number within bounds, both inclusive.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Yes or no; a flag on the command line.
    Bool,
    /// One of some words.
    Enum {
        /// The words, in the order of the file.
        values: Vec<String>,
    },
    /// A length of time.
    Duration,
    /// A short name that is safe in file names and addresses.
    Slug,
    /// An e-mail address.
    Email,
    /// A host name or an address.
    Host,
    /// Several texts.
    List {
        /// Each item must match.
        pattern: Option<Pattern>,
        /// The most items.
        max: usize,
    },
    /// Names with values.
    Map,
    /// The content of a file; the CLI reads it where the caller is, chat attaches it.
    File,
    /// A value that is sealed, redacted and never stored in the open.
    Secret,
}

/// A regular expression for the whole text, together with how it was written.
#[derive(Debug, Clone)]
pub struct Pattern {
    written: String,
    regex: Arc<Regex>,
}

impl Pattern {
    pub(crate) fn new(written: &str, regex: Arc<Regex>) -> Self {
        Self {
            written: written.to_owned(),
            regex,
        }
    }

    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

/// A checked argument, secrets still in the open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Plain(Value),
    Secret(String),
}

impl Param {
    /// Whether a request must give it: nothing stands in for it.
    #[must_use]
    pub fn needed(&self) -> Needed {
        if self.required && self.default.is_none() {
            Needed::Required
        } else {
            Needed::Optional
        }
    }

    /// The raw texts of what a form's field held: nothing when it was left empty, one for each
    /// line where there can be several.
    #[must_use]
    pub fn from_field(&self, values: &[String]) -> Vec<String> {
        let lines = matches!(self.kind, ParamKind::List { .. } | ParamKind::Map);
        values
            .iter()
            .flat_map(|value| match lines {
                true => value.lines().map(str::to_owned).collect(),
                false => vec![value.clone()],
            })
            .filter(|text| !text.trim().is_empty())
            .collect()
    }
}

impl ParamKind {
    /// The word in `type:`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::String { .. } => "string",
            Self::Int { .. } => "int",
            Self::Bool => "bool",
            Self::Enum { .. } => "enum",
            Self::Duration => "duration",
            Self::Slug => "slug",
            Self::Email => "email",
            Self::Host => "host",
            Self::List { .. } => "list",
            Self::Map => "map",
            Self::File => "file",
            Self::Secret => "secret",
        }
    }

    /// What is accepted, as the end of the sentence "it takes …".
    #[must_use]
    pub fn accepts(&self) -> String {
        match self {
            Self::String { pattern, max } => {
                format!("{}{}", text_up_to(*max), form(pattern.as_ref()))
            }
            Self::Int { min, max } => whole_number(*min, *max),
            Self::Bool => "true or false".to_owned(),
            Self::Enum { values } => suggest::or_list(values),
            Self::Duration => "a length of time such as 90s, 10m or 2h".to_owned(),
            Self::Slug => "a short name (lower-case letters, digits, dashes)".to_owned(),
            Self::Email => "an e-mail address".to_owned(),
            Self::Host => "a host name or an IP address".to_owned(),
            Self::List { pattern, max } => {
                format!(
                    "at most {max} items, repeated or with commas between them{}",
                    form(pattern.as_ref())
                )
            }
            Self::Map => "name=value pairs with commas between them, or JSON".to_owned(),
            Self::File => "a text file of at most 256 KiB".to_owned(),
            Self::Secret => "a secret; it is sealed and never shown".to_owned(),
        }
    }

    /// Checks what a request gave; the error is the end of the sentence "`name` …".
    pub(crate) fn read(&self, raw: &[String]) -> Result<Read, String> {
        if let Self::List { pattern, max } = self {
            return self.read_list(raw, pattern.as_ref(), *max).map(Read::Plain);
        }
        if matches!(self, Self::Map) {
            return self.read_map(raw).map(Read::Plain);
        }
        let [text] = raw else {
            return Err(format!("is given {} times and takes one value", raw.len()));
        };
        if matches!(self, Self::Secret) {
            return read_secret(text).map(Read::Secret);
        }
        self.read_one(text).map(Read::Plain)
    }

    fn read_one(&self, text: &str) -> Result<Value, String> {
        let fits = match self {
            Self::Int { min, max } => {
                let number = text.trim().parse::<i64>().ok();
                return number
                    .filter(|number| (min..=max).contains(&number))
                    .map(Value::Int)
                    .ok_or_else(|| self.not(text));
            }
            Self::Bool => {
                return read_bool(text)
                    .map(Value::Bool)
                    .ok_or_else(|| self.not(text));
            }
            Self::String { pattern, max } => {
                let empty_is_fine = pattern.as_ref().is_some_and(|pattern| pattern.matches(""));
                is_clean(text)
                    && (!text.is_empty() || empty_is_fine)
                    && text.chars().count() <= *max
                    && pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
            }
            Self::Enum { values } => {
                if !values.iter().any(|value| value == text) {
                    return Err(self.not_one_of(text, values));
                }
                true
            }
            Self::Duration => parse_duration(text).is_some(),
            Self::Slug => is_slug(text),
            Self::Email => is_email(text),
            Self::Host => is_host(text),
            Self::File => text.len() <= MAX_FILE_TEXT && !text.contains('\0'),
            Self::List { .. } | Self::Map | Self::Secret => false,
        };
        if fits {
            Ok(Value::Text(text.to_owned()))
        } else {
            Err(self.not(text))
        }
    }

    fn read_list(
        &self,
        raw: &[String],
        pattern: Option<&Pattern>,
        max: usize,
    ) -> Result<Value, String> {
        let mut items = Vec::new();
        for text in raw {
            if text.trim_start().starts_with('[') {
                let parsed: Vec<serde_json::Value> =
                    serde_json::from_str(text).map_err(|_| self.not(text))?;
                for item in &parsed {
                    items.push(json_text(item).ok_or_else(|| self.not(text))?);
                }
            } else {
                items.extend(text.split(',').map(|item| item.trim().to_owned()));
            }
        }
        items.retain(|item| !item.is_empty());
        let wrong = items
            .iter()
            .find(|item| !is_clean(item) || pattern.is_some_and(|pattern| !pattern.matches(item)));
        if let Some(item) = wrong {
            return Err(self.not(item));
        }
        if items.len() > max {
            return Err(format!("has {} items and takes at most {max}", items.len()));
        }
        Ok(Value::List(items))
    }

    fn read_map(&self, raw: &[String]) -> Result<Value, String> {
        let mut pairs: BTreeMap<String, String> = BTreeMap::new();
        for text in raw {
            for (key, value) in map_pairs(text).ok_or_else(|| self.not(text))? {
                if key.is_empty() || value.is_empty() || !is_clean(&key) || !is_clean(&value) {
                    return Err(self.not(text));
                }
                match pairs.get(&key) {
                    Some(before) if *before != value => {
                        return Err(format!("gives {} twice with different values", cut(&key)));
                    }
                    _ => pairs.insert(key, value),
                };
            }
        }
        if pairs.len() > DEFAULT_MAX_ITEMS {
            return Err(format!(
                "has {} pairs and takes at most {DEFAULT_MAX_ITEMS}",
                pairs.len()
            ));
        }
        Ok(Value::Map(pairs))
    }

    fn not(&self, text: &str) -> String {
        if text.is_empty() {
            return format!("is empty and takes {}", self.accepts());
        }
        format!("is {} and takes {}", cut(text), self.accepts())
    }

    fn not_one_of(&self, text: &str, values: &[String]) -> String {
        let near = suggest::did_you_mean(text, values.iter().map(String::as_str));
        let near = if near.is_empty() {
            near
        } else {
            format!("; {near}")
        };
        format!("{}{near}", self.not(text))
    }
}

fn text_up_to(max: usize) -> String {
    if max == DEFAULT_MAX_TEXT {
        "text".to_owned()
    } else {
        format!("text of at most {max} characters")
    }
}

fn form(pattern: Option<&Pattern>) -> String {
    pattern.map_or_else(String::new, |pattern| {
        format!(" of the form `{}`", pattern.as_str())
    })
}

fn whole_number(min: i64, max: i64) -> String {
    match (min, max) {
        (i64::MIN, i64::MAX) => "a whole number".to_owned(),
        (min, i64::MAX) => format!("a whole number from {min}"),
        (i64::MIN, max) => format!("a whole number up to {max}"),
        (min, max) => format!("a whole number from {min} to {max}"),
    }
}

/// A given text inside a message, in quotes and cut to a readable length.
pub(crate) fn cut(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !is_hidden(*c)).take(40).collect();
    if text.chars().count() > 40 {
        short.push('…');
    }
    format!("`{short}`")
}

/// Characters that change what a reader sees: controls and the ones that turn the direction.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What an approver reads must be what runs.
fn is_clean(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

fn read_secret(text: &str) -> Result<String, String> {
    // The text itself must not reach the message.
    if text.is_empty() || text.len() > MAX_FILE_TEXT || text.contains('\0') {
        return Err("is empty or too long for a secret".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn read_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(yes) => Some(yes.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            None
        }
    }
}

/// The pairs of a JSON object or of `k=v,k=v`; blank pairs between commas are dropped.
fn map_pairs(text: &str) -> Option<Vec<(String, String)>> {
    if text.trim_start().starts_with('{') {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        return object
            .iter()
            .map(|(key, value)| Some((key.clone(), json_text(value)?)))
            .collect();
    }
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// A length of time such as `90s`, `10m`, `1h30m` or `2d`; days are 24 hours.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let signed = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .ok()?;
    Duration::try_from(signed)
        .ok()
        .filter(|length| !length.is_zero())
}

fn is_slug(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    (1..=64).contains(&local.len())
        && text.len() <= 254
        && local
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_{|}~.-".contains(&b))
        && !local.starts_with(['.', '-'])
        && !local.ends_with('.')
        && !local.contains("..")
        && is_host_name(domain)
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text)
}

fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests;
