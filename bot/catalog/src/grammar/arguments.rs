//! Options and `key=value` behind a command's words.

use std::collections::BTreeMap;

use rave_domain::request::{Ask, Change, Order, Query, RunOptions, RunRequest, Unwind};
use rave_domain::{ErrorCode, UserError};

use super::words::{Word, bad};
use super::{invalid, wants_help};
use crate::bind::no_such;
use crate::intent::Intent;
use crate::param::{Param, ParamKind, cut, read_bool};
use crate::suggest;
use crate::template::{is_param_name, same_name};

/// What stands behind a command's words, sorted by kind.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Words without a name, in order.
    pub(super) plain: Vec<String>,
    /// Names as written with their values, in order.
    pub(super) named: Vec<(String, String)>,
    pub(super) options: Options,
    pub(super) help: bool,
}

/// Options that every command has.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) run: RunOptions,
    pub(super) dry_run: bool,
}

impl Options {
    /// The request, as a question when only its plan is wanted.
    pub(super) fn ask(&self, only_plan: bool, request: RunRequest) -> Ask {
        if only_plan || self.dry_run {
            Ask::Query(Query::Plan(request))
        } else {
            Ask::Change(Change::Run(request))
        }
    }

    /// Takes an option by its name; false when it is not one of these.
    fn take(&mut self, name: &str, value: Option<&str>) -> Result<bool, UserError> {
        let flag = || {
            let text = value.unwrap_or("true");
            read_bool(text).ok_or_else(|| {
                invalid(
                    format!("`{name}` is true or false, not {}", cut(text)),
                    format!("write --{name}=false"),
                )
            })
        };
        if same_name(name, "dry_run") {
            self.dry_run = flag()?;
        } else if same_name(name, "parallel") {
            self.run.order = if flag()? {
                Order::Parallel
            } else {
                Order::Sequential
            };
        } else if same_name(name, "stop_on_failure") {
            self.run.stop_on_failure = flag()?;
        } else if same_name(name, "rollback_on_failure") {
            self.run.rollback_on_failure = flag()?;
        } else if same_name(name, "unwind") {
            self.run.unwind = match value {
                Some("run") => Unwind::Run,
                Some("step") => Unwind::Step,
                _ => return Err(invalid("`unwind` is run or step", "write --unwind=run")),
            };
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

impl Gathered {
    /// The named values under the names as declared; a name that nobody declares is an error,
    /// all of them at once.
    pub(super) fn arguments(
        &self,
        accepted: &[(&Intent, &Param)],
    ) -> Result<BTreeMap<String, Vec<String>>, UserError> {
        let mut arguments: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (name, value) in &self.named {
            match accepted
                .iter()
                .find(|(_, param)| same_name(&param.name, name))
            {
                Some((_, param)) => arguments
                    .entry(param.name.clone())
                    .or_default()
                    .push(value.clone()),
                None => unknown.push(no_such(name, accepted.iter().map(|(_, param)| *param))),
            }
        }
        unknown.dedup();
        if unknown.is_empty() {
            Ok(arguments)
        } else {
            Err(crate::ArgumentError::together(&unknown))
        }
    }
}

/// Sorts words by kind. Which options take a value is known from the accepted parameters.
pub(super) fn gather(
    accepted: &[(&Intent, &Param)],
    words: &[Word],
) -> Result<Gathered, UserError> {
    let mut found = Gathered::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word.is_option && word.text == "--" {
            found
                .plain
                .extend(words.by_ref().map(|word| word.text.clone()));
        } else if wants_help(word) && letter(accepted, word).is_none() {
            found.help = true;
        } else if word.is_option {
            let (name, value) = option(accepted, word)?;
            let value = match value {
                Some(value) => Some(value),
                None => next_value(accepted, &name, &mut words)?,
            };
            if !found.options.take(&name, value.as_deref())? {
                found
                    .named
                    .push((name, value.unwrap_or_else(|| "true".to_owned())));
            }
        } else if let Some((name, value)) = pair(word) {
            if !found.options.take(name, Some(value))? {
                found.named.push((name.to_owned(), value.to_owned()));
            }
        } else {
            found.plain.push(word.text.clone());
        }
    }
    Ok(found)
}

/// `key=value`, when the part before an unquoted `=` can be a name.
fn pair(word: &Word) -> Option<(&str, &str)> {
    let (name, value) = word.text.split_at_checked(word.equals?)?;
    is_param_name(name).then(|| (name, value.strip_prefix('=').unwrap_or(value)))
}

/// The name and, where it is attached, the value of `--name`, `--name=value`, `-f` or `-f=value`.
fn option(
    accepted: &[(&Intent, &Param)],
    word: &Word,
) -> Result<(String, Option<String>), UserError> {
    let (dashed, value) = match word.equals.and_then(|at| word.text.split_at_checked(at)) {
        Some((name, value)) => (name, value.strip_prefix('=').map(str::to_owned)),
        None => (word.text.as_str(), None),
    };
    if let Some(name) = dashed.strip_prefix("--") {
        if is_param_name(name) {
            return Ok((name.to_owned(), value));
        }
        return Err(bad(
            format!("{} is not an option", cut(dashed)),
            "an option is --name, --name value or --name=value",
        ));
    }
    match letter(accepted, word) {
        Some(param) => Ok((param.name.clone(), value)),
        None => {
            let letters: Vec<String> = accepted
                .iter()
                .filter_map(|(_, param)| param.short.map(|letter| format!("-{letter}")))
                .collect();
            let hint = match suggest::and_list(&letters) {
                all if all.is_empty() => "options here are written --name".to_owned(),
                all => format!("there are {all}"),
            };
            Err(UserError::new(
                ErrorCode::InvalidArgument,
                format!("there is no option {}", cut(dashed)),
            )
            .hint(hint))
        }
    }
}

/// The parameter that a word such as `-f` or `-f=x` means.
fn letter<'a>(accepted: &[(&'a Intent, &'a Param)], word: &Word) -> Option<&'a Param> {
    let text = match word.equals {
        Some(at) => word.text.get(..at)?,
        None => word.text.as_str(),
    };
    let mut chars = text.strip_prefix('-')?.chars();
    let (letter, None) = (chars.next()?, chars.next()) else {
        return None;
    };
    accepted
        .iter()
        .find(|(_, param)| param.short == Some(letter))
        .map(|(_, param)| *param)
}

/// The word behind `--name`, unless the name is a flag; a flag takes only a plain true or false.
fn next_value<'w>(
    accepted: &[(&Intent, &Param)],
    name: &str,
    words: &mut std::iter::Peekable<impl Iterator<Item = &'w Word>>,
) -> Result<Option<String>, UserError> {
    let is_run_flag = [
        "dry_run",
        "parallel",
        "stop_on_failure",
        "rollback_on_failure",
    ]
    .iter()
    .any(|flag| same_name(flag, name));
    let param = accepted
        .iter()
        .find(|(_, param)| same_name(&param.name, name));
    let is_flag =
        is_run_flag || param.is_some_and(|(_, param)| matches!(param.kind, ParamKind::Bool));
    if is_flag {
        let stated = words.next_if(|word| matches!(word.text.as_str(), "true" | "false"));
        return Ok(stated.map(|word| word.text.clone()));
    }
    if param.is_none() && !same_name(name, "unwind") {
        // Whether it takes a value cannot be known, so nothing behind it can be understood.
        return Err(crate::ArgumentError::together(&[no_such(
            name,
            accepted.iter().map(|(_, param)| *param),
        )]));
    }
    match words.next_if(|word| !word.is_option) {
        Some(word) => Ok(Some(word.text.clone())),
        None => Err(invalid(
            format!("`--{name}` needs a value"),
            format!("write --{name}=value"),
        )),
    }
}
