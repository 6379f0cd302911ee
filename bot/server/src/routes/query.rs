//! Query strings: strict, as bodies are.

use std::str::FromStr;

use http::Uri;
use rave_domain::ErrorCode;
use rave_domain::ports::store::Page;

use crate::error::ApiError;

/// Rows in a page when the client does not say.
const ROWS: u32 = 50;

/// The most rows in a page.
const MOST_ROWS: u32 = 200;

/// The parameters of a query, taken one by one.
pub(crate) struct Query {
    given: Vec<(String, String)>,
    known: &'static [&'static str],
}

impl Query {
    pub(crate) fn parse(uri: &Uri, known: &'static [&'static str]) -> Result<Self, ApiError> {
        let text = uri.query().unwrap_or_default();
        let given: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in &given {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(80).collect();
                return Err(invalid(format!("there is no parameter {name:?}"))
                    .hint(format!("there are {}", known.join(", "))));
            }
            if seen.contains(&name.as_str()) {
                return Err(invalid(format!("{name} is there twice")));
            }
            seen.push(name);
        }
        Ok(Self { given, known })
    }

    fn given(&self, name: &str) -> Option<&str> {
        debug_assert!(self.known.contains(&name));
        self.given
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter as text; an empty one counts as not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// A parameter of a type whose error says what it must be.
    pub(crate) fn typed<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|error| invalid(format!("{name}: {error}")))
            })
            .transpose()
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let wrong = || invalid(format!("{name} must be a whole number from 0"));
        self.given(name)
            .map(|text| text.parse().map_err(|_| wrong()))
            .transpose()
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(invalid(format!(
                    "{name} must be one of {}",
                    list.join(", ")
                )))
            }
        }
    }

    /// `cursor` and `limit`.
    pub(crate) fn page(&self) -> Result<Page, ApiError> {
        let limit = match self.given("limit") {
            None => ROWS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST_ROWS).contains(limit))
                .ok_or_else(|| invalid(format!("limit must be a number from 1 to {MOST_ROWS}")))?,
        };
        Ok(Page {
            cursor: self.text("cursor").map(str::to_owned),
            limit,
        })
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["person", "cursor", "limit"];

    fn parse(query: &str) -> Result<Query, ApiError> {
        let uri: Uri = format!("/api/v1/runs?{query}").parse().unwrap();
        Query::parse(&uri, KNOWN)
    }

    #[test]
    fn queries_are_strict() {
        let query = parse("person=ann&cursor=&limit=200").unwrap();
        assert_eq!(query.text("person"), Some("ann"));
        assert_eq!(
            query.page().unwrap(),
            Page {
                cursor: None,
                limit: 200
            }
        );
        assert!(parse("persons=ann").is_err());
        assert!(parse("person=ann&person=bob").is_err());
        for bad in ["limit=", "limit=0", "limit=201", "limit=x", "limit=-1"] {
            assert!(parse(bad).unwrap().page().is_err(), "{bad}");
        }
        let person = parse("person=a%2Fb").unwrap();
        assert!(person.typed::<rave_domain::PersonId>("person").is_err());
    }
}
