//! JSON bodies: strict, and with errors that say everything that is wrong at once.
//!
//! A key that nobody knows is refused, because the seed's habit of ignoring it turns
//! `{"dryrun": true}` into the real thing. So is a key that stands twice. Errors name keys and
//! kinds of values, never values: those may be secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rave_domain::ErrorCode;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::ApiError;

/// Nobody waits longer; it also keeps the sum with the present representable.
const LONGEST_WAIT: f64 = 7.0 * 24.0 * 3600.0;

/// An object with its keys in order, repeated ones included.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, Value)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        from.deserialize_map(Pairs).map(Object)
    }
}

/// The fields of a body, taken one by one.
pub(crate) struct Fields {
    given: Vec<(String, Value)>,
    faults: Vec<String>,
    typo: Option<String>,
}

impl Fields {
    /// Reads an object whose keys are among the known ones.
    pub(crate) fn parse(body: &[u8], known: &'static [&'static str]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(invalid("the body is empty; expected a JSON object"));
        }
        let Object(pairs) = serde_json::from_slice(body).map_err(|error| not_an_object(&error))?;
        let mut fields = Self {
            given: Vec::new(),
            faults: Vec::new(),
            typo: None,
        };
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                fields.unknown(&name, known);
            } else if fields.given.iter().any(|(given, _)| *given == name) {
                fields.fault(&name, "is there twice");
            } else {
                fields.given.push((name, value));
            }
        }
        Ok(fields)
    }

    fn unknown(&mut self, name: &str, known: &[&str]) {
        let name: String = name.chars().take(80).collect();
        let nearest = known
            .iter()
            .map(|known| (strsim::osa_distance(&name.to_lowercase(), known), *known))
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
            .min();
        match nearest {
            Some((_, near)) => {
                self.faults.push(format!("there is no field {name:?}"));
                self.typo
                    .get_or_insert_with(|| format!("did you mean `{near}`?"));
            }
            None => {
                let list = known.join(", ");
                self.faults
                    .push(format!("there is no field {name:?} (known: {list})"));
            }
        }
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(format!("{name} {what}"));
    }

    fn wrong(&mut self, name: &str, expected: &str, value: &Value) {
        self.fault(name, &format!("must be {expected}, not {}", kind(value)));
    }

    /// A field's value; `null` counts as not given.
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(at).1).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = self.take(name) else {
            return default;
        };
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong(name, "true or false", &value);
        }
        flag.unwrap_or(default)
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        self.wrong(name, "text", &value);
        None
    }

    pub(crate) fn required_text(&mut self, name: &str) -> String {
        let faults = self.faults.len();
        match self.text(name) {
            Some(text) => text,
            None => {
                if self.faults.len() == faults {
                    self.fault(name, "is missing");
                }
                String::new()
            }
        }
    }

    /// A name, which is never empty.
    pub(crate) fn name(&mut self, name: &str) -> String {
        let faults = self.faults.len();
        let text = self.required_text(name);
        if text.trim().is_empty() && self.faults.len() == faults {
            self.fault(name, "is empty");
        }
        text
    }

    pub(crate) fn names(&mut self, name: &str, most: usize) -> Vec<String> {
        let Some(value) = self.take(name) else {
            self.fault(name, "is missing");
            return Vec::new();
        };
        let Value::Array(items) = value else {
            self.wrong(name, "a list of names", &value);
            return Vec::new();
        };
        if items.len() > most {
            self.fault(name, &format!("has more than {most} names"));
            return Vec::new();
        }
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            if let Value::String(text) = item {
                if text.trim().is_empty() {
                    self.fault(name, "holds an empty name");
                }
                names.push(text);
            } else {
                self.wrong(name, "a list of names", &Value::Array(vec![item]));
            }
        }
        names
    }

    /// One of some words.
    pub(crate) fn word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(name)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            self.fault(name, &format!("must be one of {}", words.join(", ")));
        }
        found
    }

    /// Seconds; `None` when not given.
    pub(crate) fn wait(&mut self) -> Option<Duration> {
        let value = self.take("wait")?;
        let seconds = value.as_f64().filter(|s| (0.0..=LONGEST_WAIT).contains(s));
        if seconds.is_none() {
            self.wrong("wait", "a number of seconds, at most a week", &value);
        }
        seconds.map(Duration::from_secs_f64)
    }

    /// Arguments by name: a text, number or flag, a list of these, or an object for a map.
    pub(crate) fn arguments(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut arguments = BTreeMap::new();
        match self.take("arguments") {
            None => {}
            Some(Value::Object(given)) => {
                for (name, value) in given {
                    match raw_values(&value) {
                        Some(values) => {
                            arguments.insert(name, values);
                        }
                        None => self.wrong(
                            &format!("arguments.{}", name.chars().take(80).collect::<String>()),
                            "text, a number, true or false, or a list of these",
                            &value,
                        ),
                    }
                }
            }
            Some(other) => self.wrong("arguments", "an object", &other),
        }
        arguments
    }

    /// The body, or everything that is wrong with it.
    pub(crate) fn finish<T>(self, body: T) -> Result<T, ApiError> {
        if self.faults.is_empty() {
            return Ok(body);
        }
        let error = invalid(&self.faults.join("; "));
        Err(match self.typo {
            Some(typo) => error.hint(typo),
            None => error,
        })
    }
}

fn raw_values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(scalar).collect(),
        Value::Object(_) => Some(vec![value.to_string()]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            scalar(value).map(|text| vec![text])
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "text",
        Value::Array(items) => match items.first() {
            Some(Value::Array(_)) => "a list of lists",
            Some(Value::Object(_)) => "a list of objects",
            Some(Value::Number(_)) => "a list of numbers",
            Some(Value::Null | Value::Bool(_) | Value::String(_)) | None => "a list",
        },
        Value::Object(_) => "an object",
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidBody, message)
}

/// `serde_json` quotes what it found; only the place is passed on.
fn not_an_object(error: &serde_json::Error) -> ApiError {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            invalid(&format!("the body must be a JSON object ({place})"))
        }
        serde_json::error::Category::Eof => invalid(&format!(
            "the body is not JSON: it ends too early ({place})"
        )),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            invalid(&format!("the body is not JSON ({place})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["name", "dry_run", "wait", "arguments", "intents"];

    fn refused(body: &str) -> String {
        let read = |fields: &mut Fields| {
            fields.name("name");
            fields.flag("dry_run", false);
            fields.wait();
            fields.arguments();
        };
        let error = match Fields::parse(body.as_bytes(), KNOWN) {
            Ok(mut fields) => {
                read(&mut fields);
                fields.finish(()).unwrap_err()
            }
            Err(error) => error,
        };
        let body = error.into_body();
        let detail = Value::from(body.detail);
        match body.hint.map(Value::from) {
            Some(hint) => format!("{detail} / {hint}"),
            None => detail.to_string(),
        }
    }

    #[test]
    fn everything_wrong_is_said_without_repeating_values() {
        insta::assert_snapshot!([
            "",
            "[]",
            "{",
            "{} x",
            r#"{"name": "a", "dryrun": true}"#,
            r#"{"name": "a", "secret": "s3cret"}"#,
            r#"{"name": "a", "dry_run": false, "dry_run": true}"#,
            r#"{}"#,
            r#"{"name": null}"#,
            r#"{"name": "  "}"#,
            r#"{"name": ["s3cret"], "dry_run": "yes", "wait": -1, "arguments": ["x"]}"#,
            r#"{"name": "a", "arguments": {"tag": null, "b": [[1]]}}"#,
            r#"{"name": "a", "wait": 1e99}"#,
        ].map(refused).join("\n"), @r#"
        "the body is empty; expected a JSON object"
        "the body must be a JSON object (line 1, column 0)"
        "the body is not JSON: it ends too early (line 1, column 1)"
        "the body is not JSON (line 1, column 4)"
        "there is no field \"dryrun\"" / "did you mean `dry_run`?"
        "there is no field \"secret\" (known: name, dry_run, wait, arguments, intents)"
        "dry_run is there twice"
        "name is missing"
        "name is missing"
        "name is empty"
        "name must be text, not a list; dry_run must be true or false, not text; wait must be a number of seconds, at most a week, not this number; arguments must be an object, not a list"
        "arguments.tag must be text, a number, true or false, or a list of these, not nothing; arguments.b must be text, a number, true or false, or a list of these, not a list of lists"
        "wait must be a number of seconds, at most a week, not this number"
        "#);
    }

    #[test]
    fn arguments_are_taken_as_written() {
        let body = br#"{"arguments": {"tag": "1.10", "n": 3, "on": true, "l": ["a", 2], "m": {"k": "v"}}}"#;
        let mut fields = Fields::parse(body, KNOWN).unwrap();
        let arguments = fields.arguments();
        assert_eq!(
            format!("{arguments:?}"),
            r#"{"l": ["a", "2"], "m": ["{\"k\":\"v\"}"], "n": ["3"], "on": ["true"], "tag": ["1.10"]}"#
        );
    }
}
