//! `{{ param }}`: the whole template language.
//!
//! A field that is exactly one template takes the parameter with its type; a template inside text
//! is replaced by the parameter's text. There are no conditions, filters or escapes.

use rave_domain::value::{Value, Values};
use serde::Serialize;

/// What an action field holds before arguments are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Always the same.
    Literal(Value),
    /// A parameter's value with its type.
    Param(String),
    /// Text with parameters inside.
    Text(Vec<Piece>),
    /// A list whose items may hold parameters.
    List(Vec<Vec<Piece>>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// As written.
    Text(String),
    /// Replaced by a parameter's text.
    Param(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// `{{` without `}}`.
    Open,
    /// Something other than one name between the braces.
    NotAName(String),
}

impl Template {
    /// The parameters it uses, in order, with repeats.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        let (single, pieces): (Option<&str>, &[Vec<Piece>]) = match self {
            Self::Literal(_) => (None, &[]),
            Self::Param(name) => (Some(name), &[]),
            Self::Text(pieces) => (None, std::slice::from_ref(pieces)),
            Self::List(items) => (None, items),
        };
        let inside = pieces.iter().flatten().filter_map(|piece| match piece {
            Piece::Param(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        });
        single.into_iter().chain(inside)
    }

    /// The value, when no parameter has a say in it.
    #[must_use]
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Param(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The value with parameters filled in; `None` when its only parameter is absent.
    #[must_use]
    pub fn render(&self, params: &Values) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Param(name) => params.get(name).cloned(),
            Self::Text(pieces) => Some(Value::Text(join(pieces, params))),
            Self::List(items) => Some(Value::List(
                items.iter().map(|pieces| join(pieces, params)).collect(),
            )),
        }
    }
}

/// Text with every parameter replaced; an absent one is empty, which loading rules out.
fn join(pieces: &[Piece], params: &Values) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(name) => params.get(name).and_then(Value::plain).unwrap_or_default(),
        })
        .collect()
}

/// Splits a text at its templates.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, Malformed> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after.split_once("}}").ok_or(Malformed::Open)?;
        let name = inside.trim();
        if !is_param_name(name) {
            return Err(Malformed::NotAName(name.to_owned()));
        }
        if !before.is_empty() {
            found.push(Piece::Text(before.to_owned()));
        }
        found.push(Piece::Param(name.to_owned()));
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest.to_owned()));
    }
    Ok(found)
}

/// Names that a command line can say: a letter, then letters, digits, `_` and `-`.
pub(crate) fn is_param_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && text.len() <= 64
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `oauth-id` and `oauth_id` are the same name, so that both spellings work everywhere.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .all(|(a, b)| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_splits_at_its_templates() {
        assert_eq!(
            pieces("a-{{ b }}-{{c}}").unwrap(),
            [
                Piece::Text("a-".to_owned()),
                Piece::Param("b".to_owned()),
                Piece::Text("-".to_owned()),
                Piece::Param("c".to_owned()),
            ]
        );
        assert_eq!(pieces("").unwrap(), []);
        assert_eq!(pieces("a {{ b"), Err(Malformed::Open));
        assert_eq!(
            pieces("{{ a | b }}"),
            Err(Malformed::NotAName("a | b".to_owned()))
        );
        assert_eq!(pieces("{{}}"), Err(Malformed::NotAName(String::new())));
    }

    #[test]
    fn dashes_and_underscores_are_one_name() {
        assert!(same_name("oauth-id", "oauth_id"));
        assert!(!same_name("oauth-id", "oauthxid"));
        assert!(!same_name("a", "ab"));
    }
}
