//! How domain values stand in columns, and back. What cannot be read back is named with its
//! table and column, never guessed.

use std::fmt::Display;
use std::str::FromStr;

use rave_domain::audit::Severity;
use rave_domain::ports::store::{Delivery, StoreError};
use rave_domain::{Digest, Timestamp};
use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, Params, Row};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use crate::error::unavailable;

/// The present shape of JSON columns.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Wrapped<'a, T: ?Sized> {
    v: u32,
    data: &'a T,
}

#[derive(Deserialize)]
struct Unwrapped<T> {
    data: T,
}

#[derive(Deserialize)]
struct OnlyVersion {
    v: u32,
}

/// A value as versioned JSON text.
pub(crate) fn to_json<T: Serialize + ?Sized>(
    table: &'static str,
    data: &T,
) -> Result<String, StoreError> {
    plain_json(table, &Wrapped { v: VERSION, data })
}

/// A value as JSON text without a version, for lists of names and answers.
pub(crate) fn plain_json<T: Serialize + ?Sized>(
    table: &'static str,
    data: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(data).map_err(|error| StoreError::Corrupt {
        table,
        why: format!("a value cannot be written as JSON: {error}"),
    })
}

/// Reads versioned JSON text.
pub(crate) fn from_json<T: DeserializeOwned>(
    table: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    let error = match serde_json::from_str::<Unwrapped<T>>(text) {
        Ok(unwrapped) => return Ok(unwrapped.data),
        Err(error) => error,
    };
    // Only now is the version worth a second look: it explains why the shape is another one.
    let why = match serde_json::from_str::<OnlyVersion>(text) {
        Ok(OnlyVersion { v }) if v != VERSION => format!("a value of version {v}"),
        Ok(_) | Err(_) => error.to_string(),
    };
    Err(StoreError::Corrupt { table, why })
}

/// A whole number as SQLite keeps it.
pub(crate) fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// An instant in milliseconds.
pub(crate) fn time(at: Timestamp) -> Value {
    Value::Integer(at.as_millisecond())
}

/// Text.
pub(crate) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// A digest as raw bytes.
pub(crate) fn digest(digest: &Digest) -> Value {
    Value::Blob(digest.bytes().to_vec())
}

/// NULL where there is nothing.
pub(crate) fn maybe(value: Option<Value>) -> Value {
    value.unwrap_or(Value::Null)
}

/// Severity as a number, so that "this serious or more" is a comparison.
pub(crate) const fn severity(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    }
}

/// The word for a way out of the outbox.
pub(crate) const fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Delivered => "delivered",
        Delivery::Undeliverable => "undeliverable",
        Delivery::Superseded => "superseded",
    }
}

/// One row, and the table it is from for the error message.
pub(crate) struct Fields<'row, 'statement> {
    table: &'static str,
    row: &'row Row<'statement>,
}

impl Fields<'_, '_> {
    fn corrupt(&self, column: &str, why: impl Display) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            why: format!("column {column}: {why}"),
        }
    }

    /// A column as it is.
    pub(crate) fn get<T: FromSql>(&self, column: &str) -> Result<T, StoreError> {
        self.row
            .get(column)
            .map_err(|error| self.corrupt(column, error))
    }

    /// A number that is never negative.
    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        let stored: i64 = self.get(column)?;
        T::try_from(stored).map_err(|_| self.corrupt(column, format!("{stored} is out of range")))
    }

    /// Text with a constructor that checks it.
    pub(crate) fn parsed<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let stored: String = self.get(column)?;
        stored.parse().map_err(|error| self.corrupt(column, error))
    }

    /// As [`Self::parsed`], where there may be nothing.
    pub(crate) fn maybe_parsed<T>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let stored: Option<String> = self.get(column)?;
        stored
            .map(|stored| stored.parse().map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    /// A word that is a variant of an enum.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let stored: String = self.get(column)?;
        let word: StrDeserializer<'_, WordError> = stored.as_str().into_deserializer();
        T::deserialize(word).map_err(|error| self.corrupt(column, error))
    }

    /// Versioned JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let stored: String = self.get(column)?;
        from_json(self.table, &stored)
    }

    /// Versioned JSON, where there may be nothing.
    pub(crate) fn maybe_json<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let stored: Option<String> = self.get(column)?;
        stored
            .map(|stored| from_json(self.table, &stored))
            .transpose()
    }

    /// JSON without a version.
    pub(crate) fn plain_json<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let stored: Option<String> = self.get(column)?;
        stored
            .map(|stored| {
                serde_json::from_str(&stored).map_err(|error| self.corrupt(column, error))
            })
            .transpose()
    }

    /// An instant.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        let stored: i64 = self.get(column)?;
        Timestamp::from_millisecond(stored).map_err(|error| self.corrupt(column, error))
    }

    /// An instant, where there may be none.
    pub(crate) fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let stored: Option<i64> = self.get(column)?;
        stored
            .map(|stored| {
                Timestamp::from_millisecond(stored).map_err(|error| self.corrupt(column, error))
            })
            .transpose()
    }

    /// A digest.
    pub(crate) fn digest(&self, column: &str) -> Result<Digest, StoreError> {
        self.get::<[u8; 32]>(column).map(Digest::from_bytes)
    }
}

/// All rows of a query.
pub(crate) fn all<T>(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    parameters: impl Params,
    decode: impl Fn(&Fields<'_, '_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| unavailable(&error))?;
    let mut rows = statement
        .query(parameters)
        .map_err(|error| unavailable(&error))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|error| unavailable(&error))? {
        found.push(decode(&Fields { table, row })?);
    }
    Ok(found)
}

/// The first row of a query.
pub(crate) fn first<T>(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    parameters: impl Params,
    decode: impl Fn(&Fields<'_, '_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| unavailable(&error))?;
    let mut rows = statement
        .query(parameters)
        .map_err(|error| unavailable(&error))?;
    match rows.next().map_err(|error| unavailable(&error))? {
        Some(row) => decode(&Fields { table, row }).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_later_version_is_named_as_such() {
        let error = from_json::<u32>("runs", r#"{"v":2,"data":{"new":"shape"}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store holds something unreadable in runs: a value of version 2"
        );
        assert_eq!(from_json::<u32>("runs", r#"{"v":1,"data":7}"#).unwrap(), 7);
    }
}
