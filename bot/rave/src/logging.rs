//! The log: one JSON object a line, as in the seed: `ts`, `level`, `name`, `msg`, and the fields.

use std::collections::BTreeMap;
use std::fmt;

use rave_domain::Clock as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::host::SystemClock;

/// Writes events as JSON lines.
struct JsonLines;

/// Collects an event's fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // An error without its causes says nothing: the chain is the message.
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, Value::String(text));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = match value {
                Value::String(text) => text,
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_)) => other.to_string(),
            };
        } else {
            self.others.insert(field.name().to_owned(), value);
        }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::WARN => "WARNING",
            tracing::Level::ERROR => "ERROR",
            tracing::Level::INFO => "INFO",
            tracing::Level::DEBUG | tracing::Level::TRACE => "DEBUG",
        };
        let mut line = serde_json::Map::new();
        line.insert("ts".to_owned(), SystemClock.now().to_string().into());
        line.insert("level".to_owned(), level.into());
        line.insert("name".to_owned(), event.metadata().target().into());
        line.insert("msg".to_owned(), fields.message.into());
        line.extend(fields.others);
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The filter of a level name as the seed knows them, or of directives.
fn filter(level: &str) -> Result<EnvFilter, String> {
    level
        .split(',')
        .map(|part| directive(part.trim()))
        .collect::<Option<Vec<_>>>()
        .and_then(|directives| EnvFilter::try_new(directives.join(",")).ok())
        .ok_or_else(|| {
            format!(
                "log.level is `{level}`; it is ERROR, WARNING, INFO, DEBUG, or directives such as \
                 rave_engine=debug"
            )
        })
}

/// A level or one directive, as the filter spells it. A bare word that is no level would silence
/// everything but a module of that name.
fn directive(part: &str) -> Option<&str> {
    match part.to_uppercase().as_str() {
        "CRITICAL" | "ERROR" => Some("error"),
        "WARNING" | "WARN" => Some("warn"),
        "INFO" => Some("info"),
        "DEBUG" => Some("debug"),
        "TRACE" => Some("trace"),
        "OFF" => Some("off"),
        _ => part.contains(['=', '[']).then_some(part),
    }
}

/// Whether logging could start with a level.
///
/// # Errors
/// When the level is not one.
pub fn check(level: &str) -> Result<(), String> {
    filter(level).map(|_| ())
}

/// Starts logging to standard error. Called once, by the binary.
///
/// # Errors
/// When the level is not one.
pub fn start(level: &str) -> Result<(), String> {
    tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr)
        .event_format(JsonLines)
        .try_init()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for fine in [
            "INFO",
            "warning",
            "rave_engine=debug",
            "Warning, rave_engine=debug",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for wrong in ["LOUD", "", "rave_engine=loud", "info,LOUD"] {
            assert_eq!(
                check(wrong),
                Err(format!(
                    "log.level is `{wrong}`; it is ERROR, WARNING, INFO, DEBUG, or directives such \
                     as rave_engine=debug"
                ))
            );
        }
    }
}
