//! Arguments meet parameters: everything checked at once, then the action's fields filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rave_domain::ids::Target;
use rave_domain::ports::driver::{FieldKind, FieldSpec};
use rave_domain::value::{SecretRef, Value, Values};
use rave_domain::{Digest, ErrorCode, IntentName, LockKey, UserError};

use crate::catalog::Catalog;
use crate::graph::Place;
use crate::intent::Intent;
use crate::param::{Param, Read, cut};
use crate::suggest;
use crate::template::same_name;

/// A keyed hash of a secret: the parameter's name and the value in the open.
pub type SecretHash<'a> = dyn Fn(&str, &str) -> Digest + 'a;

/// An intent with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The action's fields, secrets by reference.
    pub fields: Values,
    /// All parameters that have a value, secrets by reference.
    pub params: Values,
    /// What it is done to.
    pub target: Target,
    /// What its run holds, when the intent says something else than the target.
    pub lock: Option<LockKey>,
    /// The values of secret parameters in the open: to be sealed, never stored or printed.
    pub secrets: BTreeMap<String, String>,
}

/// What is wrong with one argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArgumentError {
    /// The intent that takes it; `None` when no intent of the request does.
    pub intent: Option<IntentName>,
    /// The parameter as the request or the intent names it.
    pub param: String,
    /// What is wrong, naming the parameter and what is accepted.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ArgumentError {}

impl ArgumentError {
    /// All of them as one answer.
    #[must_use]
    pub fn together(errors: &[Self]) -> UserError {
        if let [only] = errors {
            let error = UserError::new(ErrorCode::InvalidArgument, only.message.clone());
            return match &only.hint {
                Some(hint) => error.hint(hint.clone()),
                None => error,
            };
        }
        let all: Vec<String> = errors
            .iter()
            .map(|error| match &error.hint {
                Some(hint) => format!("{} ({hint})", error.message),
                None => error.message.clone(),
            })
            .collect();
        UserError::new(ErrorCode::InvalidArgument, all.join("; "))
    }
}

impl Catalog {
    /// Binds the arguments of a request for one intent and fills in its fields.
    ///
    /// # Errors
    /// Everything that is wrong with the arguments, one that the intent does not take included.
    pub fn bind(
        &self,
        intent: &Intent,
        raw: &BTreeMap<String, Vec<String>>,
        secret_hash: &SecretHash<'_>,
    ) -> Result<Bound, Vec<ArgumentError>> {
        let mut errors = unknown(std::iter::once(intent), raw);
        let bound = bind_one(intent, raw, secret_hash);
        finish(bound.map_err(|found| errors.extend(found)).ok(), errors)
    }

    /// Binds the arguments of a request for several intents, with their dependencies and undos:
    /// each takes the parameters that it declares, and what none declares is an error.
    ///
    /// # Errors
    /// Everything that is wrong with the arguments, each mistake once.
    pub fn bind_all<'a>(
        &self,
        intents: impl IntoIterator<Item = &'a IntentName>,
        raw: &BTreeMap<String, Vec<String>>,
        secret_hash: &SecretHash<'_>,
    ) -> Result<BTreeMap<IntentName, Bound>, Vec<ArgumentError>> {
        let intents: Vec<&Intent> = intents
            .into_iter()
            .filter_map(|name| self.get(name).map(AsRef::as_ref))
            .collect();
        let bound = bind_each(&intents, raw, secret_hash)?;
        let names = intents.iter().map(|intent| intent.name.clone());
        Ok(names.zip(bound).collect())
    }

    /// The same for intents at their places; what is bound is in the same order.
    ///
    /// # Errors
    /// As [`Self::bind_all`].
    pub fn bind_places(
        &self,
        places: &[Place],
        raw: &BTreeMap<String, Vec<String>>,
        secret_hash: &SecretHash<'_>,
    ) -> Result<Vec<Bound>, Vec<ArgumentError>> {
        let intents: Vec<&Intent> = places
            .iter()
            .filter_map(|place| self.at(*place).map(AsRef::as_ref))
            .collect();
        bind_each(&intents, raw, secret_hash)
    }
}

fn bind_each(
    intents: &[&Intent],
    raw: &BTreeMap<String, Vec<String>>,
    secret_hash: &SecretHash<'_>,
) -> Result<Vec<Bound>, Vec<ArgumentError>> {
    let mut errors = unknown(intents.iter().copied(), raw);
    let mut all = Vec::with_capacity(intents.len());
    for intent in intents {
        match bind_one(intent, raw, secret_hash) {
            Ok(bound) => all.push(bound),
            // A parameter that several intents share is wrong only once.
            Err(found) => {
                for error in found {
                    if !errors.iter().any(|before| before.message == error.message) {
                        errors.push(error);
                    }
                }
            }
        }
    }
    finish(Some(all), errors)
}

fn finish<T>(value: Option<T>, errors: Vec<ArgumentError>) -> Result<T, Vec<ArgumentError>> {
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        _ => Err(errors),
    }
}

/// Arguments that no intent takes.
fn unknown<'a>(
    intents: impl Iterator<Item = &'a Intent> + Clone,
    raw: &BTreeMap<String, Vec<String>>,
) -> Vec<ArgumentError> {
    let params = intents.flat_map(|intent| intent.params.iter());
    raw.keys()
        .filter(|name| !params.clone().any(|param| same_name(&param.name, name)))
        .map(|name| no_such(name, params.clone()))
        .collect()
}

/// The error for a name that is not a parameter.
pub(crate) fn no_such<'a>(name: &str, params: impl Iterator<Item = &'a Param>) -> ArgumentError {
    let names: BTreeSet<&str> = params.map(|param| param.name.as_str()).collect();
    let near = match suggest::did_you_mean(name, names.iter().copied()) {
        near if near.is_empty() => like_an_option(name),
        near => near,
    };
    let names: Vec<&str> = names.into_iter().collect();
    let hint = match near {
        near if !near.is_empty() => near,
        _ if names.is_empty() => "it takes no parameters".to_owned(),
        _ => format!("there are {}", suggest::and_list(&names)),
    };
    ArgumentError {
        intent: None,
        param: name.to_owned(),
        message: format!("there is no parameter {}", cut(name)),
        hint: Some(hint),
    }
}

/// The options of every run.
const OPTIONS: [&str; 5] = [
    "dry-run",
    "parallel",
    "stop-on-failure",
    "rollback-on-failure",
    "unwind",
];

/// The question whether an option of the run was meant, or nothing.
fn like_an_option(name: &str) -> String {
    match suggest::nearest(&name.replace('_', "-"), OPTIONS, 1).first() {
        Some(option) => format!("did you mean `--{option}`?"),
        None => String::new(),
    }
}

fn bind_one(
    intent: &Intent,
    raw: &BTreeMap<String, Vec<String>>,
    secret_hash: &SecretHash<'_>,
) -> Result<Bound, Vec<ArgumentError>> {
    let mut params = Values::new();
    let mut secrets = BTreeMap::new();
    let mut errors = Vec::new();
    for param in &intent.params {
        match read(param, raw) {
            Ok(Some(Read::Plain(value))) => {
                params.insert(param.name.clone(), value);
            }
            Ok(Some(Read::Secret(value))) => {
                let reference = SecretRef {
                    param: param.name.clone(),
                    keyed_hash: secret_hash(&param.name, &value),
                };
                params.insert(param.name.clone(), Value::Secret(reference));
                secrets.insert(param.name.clone(), value);
            }
            Ok(None) => {}
            Err(message) => errors.push(wrong(intent, param, &message)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let fields = fields(intent, &params).map_err(|error| vec![error])?;
    let lock = lock(intent, &params).map_err(|error| vec![error])?;
    Ok(Bound {
        target: target(intent, &fields),
        lock,
        fields,
        params,
        secrets,
    })
}

fn read(param: &Param, raw: &BTreeMap<String, Vec<String>>) -> Result<Option<Read>, String> {
    // `oauth-id` and `oauth_id` may both be there; together they are the texts of one parameter.
    let texts: Vec<String> = raw
        .iter()
        .filter(|(name, _)| same_name(name, &param.name))
        .flat_map(|(_, texts)| texts.iter().cloned())
        .collect();
    if !texts.is_empty() {
        return param.kind.read(&texts).map(Some);
    }
    match &param.default {
        Some(value) => Ok(Some(Read::Plain(value.clone()))),
        None if param.required => Err(format!("is missing; it takes {}", param.kind.accepts())),
        None => Ok(None),
    }
}

fn wrong(intent: &Intent, param: &Param, message: &str) -> ArgumentError {
    ArgumentError {
        intent: Some(intent.name.clone()),
        param: param.name.clone(),
        message: format!("`{}` {message}", param.name),
        hint: None,
    }
}

fn fields(intent: &Intent, params: &Values) -> Result<Values, ArgumentError> {
    let mut fields = Values::new();
    for spec in &intent.action.fields {
        let Some(template) = intent.fields.get(&spec.name) else {
            continue;
        };
        let Some(value) = template.render(params) else {
            continue;
        };
        let value = convert(value, spec).map_err(|message| ArgumentError {
            intent: Some(intent.name.clone()),
            param: template.params().next().unwrap_or(&spec.name).to_owned(),
            message,
            hint: None,
        })?;
        fields.insert(spec.name.clone(), value);
    }
    Ok(fields)
}

/// The value as the field holds it. Loading has made sure that the types go together, so only
/// bounds are left to be wrong.
fn convert(value: Value, spec: &FieldSpec) -> Result<Value, String> {
    match (spec.kind, value) {
        (_, secret @ Value::Secret(_)) => Ok(secret),
        (FieldKind::Int { min, max }, Value::Int(number)) if !(min..=max).contains(&number) => {
            Err(format!(
                "`{}` is {number} and takes a whole number from {min} to {max}",
                spec.name
            ))
        }
        (FieldKind::Text, text @ Value::Text(_)) => Ok(text),
        (FieldKind::Text, value) => Ok(Value::Text(value.plain().unwrap_or_default())),
        (FieldKind::List, Value::Map(pairs)) => Ok(Value::List(
            pairs
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        )),
        (FieldKind::List, list @ Value::List(_)) => Ok(list),
        (FieldKind::List, single) => Ok(Value::List(single.plain().into_iter().collect())),
        (FieldKind::Int { .. } | FieldKind::Bool, value) => Ok(value),
    }
}

fn target(intent: &Intent, fields: &Values) -> Target {
    let name = fields
        .get(&intent.action.target_field)
        .and_then(Value::plain)
        .filter(|name| !name.is_empty());
    // An action whose target field is optional works on what the intent as a whole stands for.
    let name = name.unwrap_or_else(|| intent.name.to_string());
    Target::new(intent.action.target_kind.clone(), name)
}

fn lock(intent: &Intent, params: &Values) -> Result<Option<LockKey>, ArgumentError> {
    let Some(text) = intent.lock.as_ref().and_then(|lock| lock.render(params)) else {
        return Ok(None);
    };
    let text = text.plain().unwrap_or_default();
    LockKey::new(text).map(Some).map_err(|error| ArgumentError {
        intent: Some(intent.name.clone()),
        param: "lock".to_owned(),
        message: format!("these arguments give no lock: {error}"),
        hint: None,
    })
}
