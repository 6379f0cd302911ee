//! Values that may come as text, because environment variables only hold text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

struct Lenient<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    whole: fn(u64) -> Option<T>,
    truth: fn(bool) -> Option<T>,
}

impl<T> Visitor<'_> for Lenient<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text.trim())
            .ok_or_else(|| E::custom(format_args!("{text:?} is not {}", self.expected)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.whole)(number)
            .ok_or_else(|| E::custom(format_args!("{number} is not {}", self.expected)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .ok()
            .and_then(self.whole)
            .ok_or_else(|| E::custom(format_args!("{number} is not {}", self.expected)))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<T, E> {
        (self.truth)(yes).ok_or_else(|| E::custom(format_args!("{yes} is not {}", self.expected)))
    }
}

/// A whole number, also as text.
pub(crate) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr + TryFrom<u64>,
{
    deserializer.deserialize_any(Lenient {
        expected: "a whole number within its range",
        parse: |text| text.parse().ok(),
        whole: |number| T::try_from(number).ok(),
        truth: |_| None,
    })
}

/// Yes or no: a boolean, or `1`, `true`, `yes`, `on` and their opposites in any case, as the seed
/// takes them.
pub(crate) fn yes_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Lenient {
        expected: "true or false",
        parse: |text| match text.to_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" | "" => Some(false),
            _ => None,
        },
        whole: |number| match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        truth: Some,
    })
}

/// A duration such as `30s`, `10m`, `1h30m`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Lenient {
        expected: "a duration such as 30s or 10m",
        parse: |text| {
            let span: jiff::SignedDuration = text.parse().ok()?;
            Duration::try_from(span).ok()
        },
        whole: |_| None,
        truth: |_| None,
    })
}
