//! Argument values between the command line and a driver.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// One bound, checked argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Text: string, slug, email, host, enum, duration as written.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A list of text values.
    List(Vec<String>),
    /// A map of text values.
    Map(BTreeMap<String, String>),
    /// A secret by reference; the value is sealed elsewhere and dropped when the run ends.
    Secret(SecretRef),
}

/// Stands in a plan for a sealed value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// The parameter's name.
    pub param: String,
    /// A keyed hash, so that a digest changes with the secret without giving it away.
    pub keyed_hash: Digest,
}

/// Bound arguments by name.
pub type Values = BTreeMap<String, Value>;

impl Value {
    /// The text form as a driver or a template sees it; `None` for secrets.
    #[must_use]
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Bool(yes) => Some(yes.to_string()),
            Self::List(items) => Some(items.join(",")),
            Self::Map(items) => Some(
                items
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            Self::Secret(_) => None,
        }
    }

    /// The text, when this is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(_) | Self::Bool(_) | Self::List(_) | Self::Map(_) | Self::Secret(_) => None,
        }
    }

    /// The number, when this is a whole number.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(_) | Self::Bool(_) | Self::List(_) | Self::Map(_) | Self::Secret(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plain() {
            Some(text) => f.write_str(&text),
            None => f.write_str("••••"),
        }
    }
}
