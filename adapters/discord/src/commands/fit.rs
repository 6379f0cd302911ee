//! Making commands fit into what Discord takes.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::form::{CommandSpec, Completes, Needed, OptionKind, OptionSpec};

use super::{Choice, Command, Commands, LeftOut, Node};

/// Entries of the command, of a group, and options of a subcommand.
const MOST: usize = 25;

/// Characters of a name.
const LONGEST_NAME: usize = 32;

/// Characters of a description, and of a choice's name and value.
const LONGEST_TEXT: usize = 100;

/// Characters of all names, descriptions and values of the command together.
const LONGEST_COMMAND: usize = 8000;

/// Integers are told apart up to here: 2^53.
const GREATEST: i64 = 1 << 53;

/// Option types.
const SUB_COMMAND: u8 = 1;
const GROUP: u8 = 2;
const STRING: u8 = 3;
const INTEGER: u8 = 4;
const BOOLEAN: u8 = 5;

/// The commands that fit, in the order given; the first to come has the place.
pub(super) fn fitted<'a>(specs: impl Iterator<Item = &'a CommandSpec>) -> Commands {
    let mut fit = Fit::default();
    let mut by_path = BTreeMap::new();
    let mut left_out = Vec::new();
    for spec in specs {
        match fit.add(spec) {
            Ok(path) => {
                by_path.insert(path, spec.clone());
            }
            Err(why) => left_out.push(LeftOut {
                words: spec.words.join(" "),
                why,
            }),
        }
    }
    Commands {
        registered: fit.command,
        by_path,
        left_out,
    }
}

/// Whether a command stands in a group, when it fits.
pub(super) fn in_a_group(spec: &CommandSpec) -> bool {
    path(&spec.words).is_ok_and(|path| path.len() > 1)
}

#[derive(Default)]
struct Fit {
    command: Command,
    used: usize,
}

impl Fit {
    /// Gives the command a place, and says its path.
    fn add(&mut self, spec: &CommandSpec) -> Result<String, String> {
        let path = path(&spec.words)?;
        let mut leaf = leaf(spec)?;
        let taken = |names: &str| format!("`/rave {names}` is already something else");
        let full = |what: &str| format!("{what} takes {MOST} entries and has them");
        let before = if self.used == 0 {
            top_length(&self.command)
        } else {
            self.used
        };
        let room = LONGEST_COMMAND.saturating_sub(before);
        let too_long = || format!("all commands together have {LONGEST_COMMAND} characters");
        match path.as_slice() {
            [name] => {
                if self.command.options.iter().any(|node| node.name == *name) {
                    return Err(taken(name));
                }
                if self.command.options.len() >= MOST {
                    return Err(full("`/rave`"));
                }
                leaf.name.clone_from(name);
                let length = length(&leaf);
                if length > room {
                    return Err(too_long());
                }
                self.used = before + length;
                self.command.options.push(leaf);
            }
            [group, name] => {
                leaf.name.clone_from(name);
                let mut cost = length(&leaf);
                let at = self.command.options.iter().position(|n| n.name == *group);
                match at.and_then(|at| self.command.options.get_mut(at)) {
                    Some(node) if node.kind != GROUP => return Err(taken(group)),
                    Some(node) if node.options.iter().any(|n| n.name == *name) => {
                        return Err(taken(&format!("{group} {name}")));
                    }
                    Some(node) if node.options.len() >= MOST => {
                        return Err(full(&format!("`/rave {group}`")));
                    }
                    Some(_) if cost > room => return Err(too_long()),
                    Some(node) => node.options.push(leaf),
                    None => {
                        if self.command.options.len() >= MOST {
                            return Err(full("`/rave`"));
                        }
                        let mut node = node(GROUP, group, &format!("Commands of {group}"));
                        node.options.push(leaf);
                        cost = length(&node);
                        if cost > room {
                            return Err(too_long());
                        }
                        self.command.options.push(node);
                    }
                }
                self.used = before + cost;
            }
            _ => return Err("it has no name".to_owned()),
        }
        Ok(path.join(" "))
    }
}

/// One or two names: Discord knows the command, a group and a subcommand, and no more. The dotted
/// name of an intent is such a path too.
fn path(words: &[String]) -> Result<Vec<String>, String> {
    let words: Vec<String> = match words {
        [one] => one.split('.').map(str::to_lowercase).collect(),
        _ => words.iter().map(|word| word.to_lowercase()).collect(),
    };
    let path = match words.split_first() {
        Some((first, rest)) if !rest.is_empty() => vec![first.clone(), rest.join("-")],
        Some((first, _)) => vec![first.clone()],
        None => return Err("it has no words".to_owned()),
    };
    match path.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("`{name}` cannot be a name at Discord")),
        None => Ok(path),
    }
}

/// `^[-_'\p{L}\p{N}]{1,32}$`, in lower case where there is one.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| matches!(c, '-' | '_' | '\'') || c.is_alphanumeric())
        && name.to_lowercase() == name
}

fn leaf(spec: &CommandSpec) -> Result<Node, String> {
    if spec.options.len() > MOST {
        return Err(format!(
            "it has {} options, and Discord takes {MOST}",
            spec.options.len()
        ));
    }
    let mut names = BTreeSet::new();
    let mut options = Vec::with_capacity(spec.options.len());
    for spec in &spec.options {
        let name = spec.name.to_lowercase();
        if !is_name(&name) {
            return Err(format!("its option `{name}` cannot be a name at Discord"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("two of its options are `{name}` in lower case"));
        }
        options.push(option(spec, &name));
    }
    // Discord wants the required ones first.
    options.sort_by_key(|option| option.required != Some(true));
    let mut leaf = node(SUB_COMMAND, "", &spec.description);
    leaf.options = options;
    Ok(leaf)
}

fn option(spec: &OptionSpec, name: &str) -> Node {
    let kind = match &spec.kind {
        OptionKind::Text { .. } | OptionKind::Choice(_) => STRING,
        OptionKind::Integer { .. } => INTEGER,
        OptionKind::Bool => BOOLEAN,
    };
    let mut option = node(kind, name, &spec.description);
    if spec.needed == Needed::Required {
        option.required = Some(true);
    }
    match &spec.kind {
        OptionKind::Text { completes } => {
            if *completes == Completes::Yes {
                option.autocomplete = Some(true);
            }
        }
        OptionKind::Integer { min, max } => {
            option.min_value = Some((*min).clamp(-GREATEST, GREATEST));
            option.max_value = Some((*max).clamp(-GREATEST, GREATEST));
        }
        OptionKind::Bool => {}
        // What does not fit is typed; Rave checks the value anyway.
        OptionKind::Choice(choices) if choices.len() <= MOST => {
            let fits = |text: &str| (1..=LONGEST_TEXT).contains(&text.chars().count());
            if choices.iter().all(|c| fits(&c.label) && fits(&c.value)) {
                option.choices = choices
                    .iter()
                    .map(|choice| Choice {
                        name: choice.label.clone(),
                        value: choice.value.clone(),
                    })
                    .collect();
            }
        }
        OptionKind::Choice(_) => {}
    }
    option
}

fn node(kind: u8, name: &str, about: &str) -> Node {
    Node {
        kind,
        name: name.to_owned(),
        description: description(about),
        required: None,
        autocomplete: None,
        min_value: None,
        max_value: None,
        choices: Vec::new(),
        options: Vec::new(),
    }
}

/// 1 to 100 characters on one line.
fn description(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "…".to_owned();
    }
    if line.chars().count() <= LONGEST_TEXT {
        return line;
    }
    let start: String = line.chars().take(LONGEST_TEXT - 1).collect();
    format!("{}…", start.trim_end())
}

fn top_length(command: &Command) -> usize {
    count(&command.name) + count(&command.description)
}

/// What Discord counts of a node and everything below it.
fn length(node: &Node) -> usize {
    let choices: usize = node
        .choices
        .iter()
        .map(|choice| count(&choice.name) + count(&choice.value))
        .sum();
    let below: usize = node.options.iter().map(length).sum();
    count(&node.name) + count(&node.description) + choices + below
}

fn count(text: &str) -> usize {
    text.chars().count()
}
