//! The catalog explains itself: what there is, how it is written, what it needs.

use std::fmt::Write as _;

use rave_domain::reply::{Block, Reply};
use rave_domain::{ErrorCode, UserError};

use crate::catalog::Catalog;
use crate::grammar::builtin::{self, BUILTINS};
use crate::grammar::unknown_command;
use crate::intent::{Intent, UndoRule};
use crate::param::{Param, ParamKind};

/// A message with more lines than this is not read; narrower topics show the rest.
const MOST_LINES: usize = 40;

/// One command in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpEntry {
    /// How it is written.
    pub usage: String,
    /// What it does; may be empty.
    pub description: String,
}

/// What somebody can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Intents that the caller may run, by command.
    pub commands: Vec<HelpEntry>,
    /// Built-in commands.
    pub builtins: Vec<HelpEntry>,
}

/// The whole catalog for one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What the caller may run: name and description.
    pub allowed: Vec<HelpEntry>,
    /// What others may run.
    pub others: Vec<HelpEntry>,
}

/// One parameter in the help of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHelp {
    /// Its name, with the short form where there is one.
    pub name: String,
    /// Whether it is needed, what it takes, what it is without being given.
    pub text: String,
}

/// Help about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// A built-in command.
    Builtin(HelpEntry),
    /// An intent.
    Intent {
        /// Usage and description.
        entry: HelpEntry,
        /// Its parameters.
        params: Vec<ParamHelp>,
        /// What else is worth knowing before running it.
        notes: Vec<String>,
    },
    /// Commands that start with the words.
    Group {
        /// The words.
        words: String,
        /// What they can be followed by.
        entries: Vec<HelpEntry>,
    },
}

/// How an intent is written: `vm logs <company> [service] [--follow] [--tail=…]`.
#[must_use]
pub fn usage(intent: &Intent) -> String {
    let mut usage = intent.command.to_string();
    for param in &intent.params {
        if intent
            .command
            .slots
            .iter()
            .any(|slot| slot.param == param.name)
        {
            continue;
        }
        let option = option(param);
        // Writing to a string cannot fail.
        let _ = if param.required {
            write!(usage, " {option}")
        } else {
            write!(usage, " [{option}]")
        };
    }
    usage
}

fn option(param: &Param) -> String {
    if matches!(param.kind, ParamKind::Bool) {
        return format!("--{}", param.name);
    }
    if let ParamKind::Enum { values } = &param.kind
        && values.len() <= 4
    {
        return format!("--{} {}", param.name, values.join("|"));
    }
    format!("--{} <{}>", param.name, param.kind.as_str())
}

/// What the caller may do.
#[must_use]
pub fn overview(catalog: &Catalog, may: &dyn Fn(&Intent) -> bool) -> Overview {
    let mut allowed: Vec<&Intent> = catalog
        .iter()
        .map(AsRef::as_ref)
        .filter(|intent| may(intent))
        .collect();
    allowed.sort_by_cached_key(|intent| intent.command.key());
    Overview {
        commands: allowed.into_iter().map(entry).collect(),
        builtins: BUILTINS.iter().map(builtin_entry).collect(),
    }
}

/// The whole catalog, with a mark at what the caller may run.
#[must_use]
pub fn listing(catalog: &Catalog, may: &dyn Fn(&Intent) -> bool) -> Listing {
    let named = |intent: &Intent| HelpEntry {
        usage: intent.name.to_string(),
        description: intent.description.clone(),
    };
    let (allowed, others): (Vec<&Intent>, Vec<&Intent>) = catalog
        .iter()
        .map(AsRef::as_ref)
        .partition(|intent| may(intent));
    Listing {
        allowed: allowed.into_iter().map(named).collect(),
        others: others.into_iter().map(named).collect(),
    }
}

/// Help about a built-in, a command, an intent or the first words of several commands.
///
/// # Errors
/// When nothing is called that, with the nearest names.
pub fn topic(
    catalog: &Catalog,
    topic: &str,
    may: &dyn Fn(&Intent) -> bool,
) -> Result<Topic, UserError> {
    let words: Vec<String> = topic.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return Err(UserError::new(
            ErrorCode::BadRequest,
            "help needs a topic here",
        ));
    }
    // `help vm logs acme` is about `vm logs`.
    for count in (1..=words.len()).rev() {
        let start = words.get(..count).unwrap_or_default().join(" ");
        if let Some(found) = builtin::find(&start) {
            return Ok(Topic::Builtin(builtin_entry(found)));
        }
    }
    let found = catalog.find(topic.trim()).map(AsRef::as_ref).or_else(|| {
        let (name, _) = catalog.commands().longest(&words)?;
        catalog.get(name).map(AsRef::as_ref)
    });
    if let Some(intent) = found {
        return Ok(intent_topic(intent, may(intent)));
    }
    let entries: Vec<HelpEntry> = catalog
        .commands()
        .continuing(&words)
        .filter_map(|(_, name)| catalog.get(name).map(AsRef::as_ref))
        .filter(|intent| may(intent))
        .map(entry)
        .collect();
    if entries.is_empty() {
        return Err(unknown_command(catalog, &words));
    }
    Ok(Topic::Group {
        words: words.join(" "),
        entries,
    })
}

fn entry(intent: &Intent) -> HelpEntry {
    HelpEntry {
        usage: usage(intent),
        description: intent.description.clone(),
    }
}

fn builtin_entry(builtin: &builtin::Builtin) -> HelpEntry {
    HelpEntry {
        usage: builtin.usage.to_owned(),
        description: builtin.description.to_owned(),
    }
}

fn intent_topic(intent: &Intent, allowed: bool) -> Topic {
    let mut notes = Vec::new();
    if !allowed {
        notes.push("You may not run this as things stand.".to_owned());
    }
    if intent.command.key() != intent.name.as_str() {
        notes.push(format!("It is the intent {}.", intent.name));
    }
    if !intent.depends_on.is_empty() {
        let names: Vec<&str> = intent.depends_on.iter().map(AsRef::as_ref).collect();
        let verb = if names.len() == 1 { "runs" } else { "run" };
        notes.push(format!("Before it {verb} {}.", names.join(", ")));
    }
    if let Some(approval) = &intent.approval {
        notes.push(approval_note(approval));
    }
    match &intent.undo {
        UndoRule::Intent(name) => notes.push(format!("It is undone by {name}.")),
        UndoRule::Disabled => notes.push("It is not undone when it fails.".to_owned()),
        UndoRule::Own => {}
    }
    notes.push("With --dry-run it only shows what would happen.".to_owned());
    Topic::Intent {
        entry: entry(intent),
        params: intent.params.iter().map(param_help).collect(),
        notes,
    }
}

fn approval_note(approval: &rave_domain::plan::ApprovalNeed) -> String {
    let people = match approval.required {
        1 => "one other person".to_owned(),
        count => format!("{count} other people"),
    };
    if approval.from.is_empty() {
        return format!("It waits until {people} agree.");
    }
    let roles: Vec<String> = approval.from.iter().map(ToString::to_string).collect();
    format!(
        "It waits until {people} with the role {} agreed.",
        roles.join(" or ")
    )
}

fn param_help(param: &Param) -> ParamHelp {
    let mut parts = Vec::new();
    if !param.description.is_empty() {
        parts.push(param.description.clone());
    }
    if param.required {
        parts.push("required".to_owned());
    }
    parts.push(param.kind.accepts());
    if let Some(default) = &param.default
        && !matches!(param.kind, ParamKind::Bool)
    {
        parts.push(format!("without it {default}"));
    }
    let name = match param.short {
        Some(letter) => format!("{}, -{letter}", param.name),
        None => param.name.clone(),
    };
    ParamHelp {
        name,
        text: parts.join("; "),
    }
}

impl Overview {
    /// As a message.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let reply = if self.commands.is_empty() {
            Reply::text("There is no intent that you may run.")
        } else {
            entries(Reply::default(), "What you can run", &self.commands)
        };
        // One line for all built-ins: they are the same everywhere, the intents are not.
        let words: Vec<&str> = self
            .builtins
            .iter()
            .map(|entry| first_words(&entry.usage))
            .collect();
        reply.with(Block::Text(format!(
            "Built in: {}. With help in front, each explains itself.",
            words.join(", ")
        )))
    }
}

impl Listing {
    /// As a message.
    #[must_use]
    pub fn reply(&self) -> Reply {
        if self.allowed.is_empty() && self.others.is_empty() {
            return Reply::text("The catalog is empty.");
        }
        let mut reply = Reply::default();
        for (heading, list) in [
            ("You may run", &self.allowed),
            ("Others may run", &self.others),
        ] {
            if !list.is_empty() {
                reply = entries(reply, heading, list);
            }
        }
        reply
    }
}

impl Topic {
    /// As a message.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Builtin(entry) => about(entry),
            Self::Intent {
                entry,
                params,
                notes,
            } => {
                let mut reply = about(entry);
                if !params.is_empty() {
                    let fields = params
                        .iter()
                        .map(|param| (param.name.clone(), param.text.clone()));
                    reply = reply.with(Block::Fields(fields.collect()));
                }
                reply.with(Block::Text(notes.join(" ")))
            }
            Self::Group {
                words,
                entries: list,
            } => entries(
                Reply::default(),
                &format!("Commands that start with {words}"),
                list,
            ),
        }
    }
}

/// The fixed words of a usage: `schedule run` of `schedule run <name>`.
fn first_words(usage: &str) -> &str {
    usage.split(['<', '[']).next().unwrap_or(usage).trim_end()
}

fn about(entry: &HelpEntry) -> Reply {
    let reply = Reply::default().with(Block::Heading(entry.usage.clone()));
    if entry.description.is_empty() {
        return reply;
    }
    let mut text = entry.description.clone();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    reply.with(Block::Text(text))
}

fn entries(reply: Reply, heading: &str, list: &[HelpEntry]) -> Reply {
    let fields = list
        .iter()
        .take(MOST_LINES)
        .map(|entry| (entry.usage.clone(), entry.description.clone()));
    let reply = reply
        .with(Block::Heading(heading.to_owned()))
        .with(Block::Fields(fields.collect()));
    match list.len().checked_sub(MOST_LINES) {
        None | Some(0) => reply,
        Some(more) => reply.with(Block::Text(format!(
            "And {more} more; help with the first word of a command shows those that start with it."
        ))),
    }
}

#[cfg(test)]
mod tests;
