//! Rave's commands as Discord has them: one command `rave` with groups, subcommands and typed
//! options, made to fit Discord's limits ("Application Commands").
//!
//! The same table says what is registered and what an interaction's names and options mean, so the
//! two cannot differ.

mod fit;

use std::collections::BTreeMap;

use rave_domain::form::{CommandSpec, OptionSpec, Written};
use serde::Serialize;

/// The one command.
pub(crate) const NAME: &str = "rave";

/// Every command that Discord can offer, and those that it cannot.
#[derive(Debug, Default)]
pub struct Commands {
    registered: Command,
    /// By the names under `rave`, with a space between group and subcommand.
    by_path: BTreeMap<String, CommandSpec>,
    left_out: Vec<LeftOut>,
}

/// A command that has no place of its own; `/rave run intent:…` reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its words.
    pub words: String,
    /// Why.
    pub why: String,
}

/// What is registered: the body of "Create Global Application Command".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Command {
    pub(crate) name: String,
    /// 1: `CHAT_INPUT`.
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    pub(crate) description: String,
    pub(crate) options: Vec<Node>,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            name: NAME.to_owned(),
            kind: 1,
            description: "Runs what is in Rave's catalog".to_owned(),
            options: Vec::new(),
        }
    }
}

/// A group, a subcommand or an option.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Node {
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) autocomplete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_value: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<Node>,
}

/// One value to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// One option as somebody filled it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Commands {
    /// The commands that fit: Rave's own first, then intents that share groups, then the rest,
    /// each in the order given. So one group holds 25 intents before others take a place each.
    #[must_use]
    pub fn new(own: &[CommandSpec], intents: &[CommandSpec]) -> Self {
        let (groups, others): (Vec<&CommandSpec>, Vec<&CommandSpec>) =
            intents.iter().partition(|spec| fit::in_a_group(spec));
        fit::fitted(own.iter().chain(groups).chain(others))
    }

    /// Commands without a place of their own, and why.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How many commands have a place.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_path.len()
    }

    /// What is registered.
    pub(crate) const fn registered(&self) -> &Command {
        &self.registered
    }

    /// The words of the command under these names. Names that are not known, because the
    /// registration is older than the catalog, are taken for words.
    pub(crate) fn words(&self, path: &[String]) -> Vec<String> {
        match self.by_path.get(&path.join(" ")) {
            Some(spec) => spec.words.clone(),
            None => path.to_vec(),
        }
    }

    /// The option as Rave calls it.
    pub(crate) fn option(&self, path: &[String], name: &str) -> String {
        let spec = self.by_path.get(&path.join(" "));
        let option = spec.and_then(|spec| find(&spec.options, name));
        option.map_or_else(|| name.to_owned(), |option| option.name.clone())
    }

    /// The line that says the same as the command under these names with these options.
    pub(crate) fn line(&self, path: &[String], given: &[Given]) -> String {
        let mut line = self.words(path).join(" ");
        let spec = self.by_path.get(&path.join(" "));
        let options = spec.map_or(&[][..], |spec| &spec.options);
        let written = |given: &Given| find(options, &given.name).map(|option| option.written);
        let mut add = |part: &str| {
            line.push(' ');
            line.push_str(part);
        };
        for option in options
            .iter()
            .filter(|option| option.written == Written::Positional)
        {
            let value = given
                .iter()
                .find(|given| given.name.eq_ignore_ascii_case(&option.name));
            if let Some(given) = value {
                add(&quoted(&given.value));
            }
        }
        for one in given {
            if matches!(written(one), Some(Written::Named) | None) {
                let name = find(options, &one.name).map_or(&one.name, |option| &option.name);
                add(&format!("{name}={}", quoted(&one.value)));
            }
        }
        for one in given {
            if written(one) == Some(Written::Rest) {
                add(one.value.trim());
            }
        }
        line
    }
}

/// Discord's names are in lower case, a parameter's need not be.
fn find<'a>(options: &'a [OptionSpec], name: &str) -> Option<&'a OptionSpec> {
    options
        .iter()
        .find(|option| option.name.to_lowercase() == name)
}

/// A value as one word of a command line: in single quotes, where nothing but a quote means
/// anything, unless it is plain.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+,*".contains(&b));
    if plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
