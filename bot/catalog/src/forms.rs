//! An intent's parameters as a form, for chats that have dialogs.

use std::collections::BTreeMap;

use rave_domain::form::{Choice, Form, FormField, FormFieldKind, FormPurpose, Needed};
use rave_domain::value::Value;

use crate::intent::Intent;
use crate::param::{DEFAULT_MAX_TEXT, Param, ParamKind};
use crate::template::same_name;

/// The most characters of a field that takes more than a line.
const LONGEST: u32 = 3_000;

/// Raw arguments by name.
type Arguments = BTreeMap<String, Vec<String>>;

impl Intent {
    /// Whether a request leaves out what the intent cannot do without.
    #[must_use]
    pub fn lacks(&self, given: &Arguments) -> bool {
        self.params.iter().any(|param| {
            param.needed() == Needed::Required && values(param, given).next().is_none()
        })
    }

    /// Every parameter as a field, required ones first, with what is given already filled in.
    /// Secrets are never filled in: whoever has typed one types it again.
    #[must_use]
    pub fn form(&self, given: &Arguments) -> Form {
        let (required, optional): (Vec<&Param>, Vec<&Param>) = self
            .params
            .iter()
            .partition(|param| param.needed() == Needed::Required);
        let fields = required.into_iter().chain(optional);
        let known = |name: &str| self.params.iter().any(|param| same_name(&param.name, name));
        let given_besides = given.iter().filter(|(name, _)| !known(name));
        Form {
            purpose: FormPurpose::Run {
                intent: self.name.clone(),
                given: given_besides
                    .map(|(name, values)| (name.clone(), values.clone()))
                    .collect(),
            },
            title: self.name.to_string(),
            intro: self.description.clone(),
            submit: "Run".to_owned(),
            fields: fields.map(|param| field(param, given)).collect(),
        }
    }
}

fn values<'a>(param: &'a Param, given: &'a Arguments) -> impl Iterator<Item = &'a String> {
    given
        .iter()
        .filter(|(name, _)| same_name(name, &param.name))
        .flat_map(|(_, values)| values)
}

fn field(param: &Param, given: &Arguments) -> FormField {
    let accepts = format!("Takes {}", param.kind.accepts());
    let help = if param.description.is_empty() {
        accepts
    } else {
        format!("{}. {accepts}", param.description.trim_end_matches('.'))
    };
    let is_secret = matches!(param.kind, ParamKind::Secret);
    let typed: Vec<&str> = values(param, given).map(String::as_str).collect();
    let value = match typed.as_slice() {
        _ if is_secret => None,
        [] => param.default.as_ref().and_then(Value::plain),
        typed => Some(typed.join("\n")),
    };
    FormField {
        name: param.name.clone(),
        label: param.name.clone(),
        help,
        kind: kind(&param.kind),
        needed: param.needed(),
        value,
    }
}

fn kind(kind: &ParamKind) -> FormFieldKind {
    let characters = |max: usize| u32::try_from(max).unwrap_or(LONGEST).min(LONGEST);
    match kind {
        ParamKind::String { max, .. } if *max <= 150 => FormFieldKind::Line {
            max: characters(*max),
        },
        ParamKind::String { max, .. } => FormFieldKind::Lines {
            max: characters(*max),
        },
        ParamKind::Int { .. } => FormFieldKind::Number,
        ParamKind::Bool => FormFieldKind::Bool,
        ParamKind::Enum { values } => FormFieldKind::Choice(
            values
                .iter()
                .map(|value| Choice {
                    label: value.clone(),
                    value: value.clone(),
                })
                .collect(),
        ),
        ParamKind::Duration | ParamKind::Slug | ParamKind::Email | ParamKind::Host => {
            FormFieldKind::Line { max: 150 }
        }
        ParamKind::List { .. } | ParamKind::Map | ParamKind::File => {
            FormFieldKind::Lines { max: LONGEST }
        }
        ParamKind::Secret => FormFieldKind::Secret {
            max: characters(DEFAULT_MAX_TEXT),
        },
    }
}
