//! What can only be seen across files: names that lead nowhere, circles, commands in each other's
//! way.

use std::collections::{BTreeMap, BTreeSet};

use rave_domain::IntentName;

use crate::catalog::{Loaded, Settings};
use crate::diagnostic::{Code, Diagnostic, Position, Report};
use crate::grammar::builtin;
use crate::intent::UndoRule;
use crate::suggest;

type Intents = BTreeMap<IntentName, Loaded>;
type Names = BTreeSet<IntentName>;

/// Looking for similar names costs a pass over all of them, so only the first mistakes get one.
const SUGGESTIONS: usize = 20;
/// The names of a circle that are printed.
const SHOWN: usize = 10;

/// The words of all commands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands {
    by_key: BTreeMap<String, IntentName>,
    most_words: usize,
}

impl Commands {
    /// The intent whose fixed words start a line, and how many words they are; the longest wins.
    pub(crate) fn longest(&self, words: &[String]) -> Option<(&IntentName, usize)> {
        (1..=words.len().min(self.most_words))
            .rev()
            .find_map(|count| {
                let key = words.get(..count)?.join(" ").to_lowercase();
                self.by_key.get(&key).map(|name| (name, count))
            })
    }

    /// All commands' fixed words in lower case, with their intents.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &IntentName)> {
        self.by_key.iter().map(|(key, name)| (key.as_str(), name))
    }

    /// Commands that start with some words and go on.
    pub(crate) fn continuing(&self, words: &[String]) -> impl Iterator<Item = (&str, &IntentName)> {
        let start = format!("{} ", words.join(" ").to_lowercase());
        self.by_key
            .range(start.clone()..)
            .take_while(move |(key, _)| key.starts_with(&start))
            .map(|(key, name)| (key.as_str(), name))
    }
}

pub(crate) fn declared_twice(name: &IntentName, report: &mut Report<'_>) {
    report.error_with_hint(
        Position::START,
        Code::Duplicate,
        format!("the intent `{name}` is declared twice"),
        "another file has the same path up to its ending, or a dot where this has a folder",
    );
}

pub(crate) fn dependencies(loaded: &Intents, known: &Names, found: &mut Vec<Diagnostic>) {
    let mut budget = SUGGESTIONS;
    for Loaded { intent, places } in loaded.values() {
        let mut report = Report::new(&intent.file);
        for (name, at) in intent.depends_on.iter().zip(&places.depends_on) {
            if !known.contains(name) {
                let message =
                    format!("`depends_on` names the intent `{name}`, which does not exist");
                report.error_with_hint(
                    *at,
                    Code::UnknownIntent,
                    message,
                    near(name, &intent.name, known, &mut budget),
                );
            }
        }
        found.extend(report.into_found());
    }
}

/// Names like one that leads nowhere, but not of the intent that uses it.
fn near(name: &IntentName, user: &IntentName, known: &Names, budget: &mut usize) -> String {
    if *budget == 0 {
        return String::new();
    }
    *budget -= 1;
    let others = known.iter().filter(|known| *known != user);
    suggest::did_you_mean(name.as_str(), others.map(IntentName::as_str))
}

pub(crate) fn undos(loaded: &Intents, known: &Names, found: &mut Vec<Diagnostic>) {
    let mut budget = SUGGESTIONS;
    for Loaded { intent, places } in loaded.values() {
        let UndoRule::Intent(name) = &intent.undo else {
            continue;
        };
        let mut report = Report::new(&intent.file);
        if !known.contains(name) {
            let message = format!("`undo` names the intent `{name}`, which does not exist");
            report.error_with_hint(
                places.undo,
                Code::UnknownIntent,
                message,
                near(name, &intent.name, known, &mut budget),
            );
        }
        if let Some(Loaded { intent: undo, .. }) = loaded.get(name) {
            for param in undo.params.iter().filter(|param| param.required) {
                if intent.param(&param.name).is_none() {
                    report.error_with_hint(
                        places.undo,
                        Code::Parameter,
                        format!("the undo `{name}` needs the parameter `{}`, which this intent does not take", param.name),
                        "an undo gets the arguments of what it undoes",
                    );
                }
            }
            if !undo.depends_on.is_empty() {
                report.warning(
                    places.undo,
                    Code::InvalidValue,
                    format!("the undo `{name}` depends on other intents, which do not run when it undoes"),
                    "give the undo an intent of its own without `depends_on`",
                );
            }
        }
        found.extend(report.into_found());
    }
}

pub(crate) fn commands(
    loaded: &Intents,
    settings: &Settings,
    found: &mut Vec<Diagnostic>,
) -> Commands {
    let mut commands = Commands::default();
    // Dotted names come first: they always work, so no `command:` may take one.
    for name in loaded.keys() {
        commands
            .by_key
            .insert(name.as_str().to_lowercase(), name.clone());
        commands.most_words = commands.most_words.max(1);
    }
    for (name, Loaded { intent, places }) in loaded {
        let mut report = Report::new(&intent.file);
        let key = intent.command.key();
        let first = intent.command.words.first().map(|word| word.to_lowercase());
        let first = first.unwrap_or_default();
        if builtin::is_head(&first) || settings.reserved_words.contains(&first) {
            let what = if intent.command.words.len() == 1 && key == first {
                format!("`{key}` is built in")
            } else {
                format!(
                    "the command `{}` starts with `{first}`, which is built in",
                    intent.command
                )
            };
            report.error_with_hint(
                places.command,
                Code::Command,
                what,
                "choose other words in `command`",
            );
        }
        match commands.by_key.insert(key.clone(), name.clone()) {
            Some(other) if other != *name => {
                report.error_with_hint(
                    places.command,
                    Code::Command,
                    format!("the command `{key}` belongs to the intent `{other}` already"),
                    "commands differ in their fixed words, not in upper case or parameters",
                );
            }
            Some(_) | None => {}
        }
        commands.most_words = commands.most_words.max(intent.command.words.len());
        found.extend(report.into_found());
    }
    commands
}

/// How far the search has come with an intent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Depth first without recursion: a chain of ten thousand intents is legal.
pub(crate) fn cycles(loaded: &Intents, found: &mut Vec<Diagnostic>) {
    let names: Vec<&IntentName> = loaded.keys().collect();
    let index: BTreeMap<&IntentName, usize> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (*name, index))
        .collect();
    let edges: Vec<Vec<usize>> = loaded
        .values()
        .map(|Loaded { intent, .. }| {
            let known = intent.depends_on.iter();
            known.filter_map(|name| index.get(name).copied()).collect()
        })
        .collect();
    for circle in circles(&edges) {
        let path: Vec<&IntentName> = circle
            .iter()
            .filter_map(|at| names.get(*at).copied())
            .collect();
        report_circle(&path, loaded, found);
    }
}

/// One circle for each edge that leads back into the path it came from.
fn circles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut marks = vec![Mark::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        // The path from the start, each node with the edges that are left to follow.
        let mut path: Vec<(usize, std::slice::Iter<'_, usize>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(node) = next.take() {
                let Some(mark) = marks.get_mut(node) else {
                    break;
                };
                match *mark {
                    Mark::New => {
                        *mark = Mark::Open;
                        path.push((
                            node,
                            edges.get(node).map(|to| to.iter()).unwrap_or_default(),
                        ));
                    }
                    Mark::Open => {
                        let nodes = path.iter().map(|(node, _)| *node);
                        found.push(nodes.skip_while(|on_path| *on_path != node).collect());
                    }
                    Mark::Done => {}
                }
            }
            let Some((node, rest)) = path.last_mut() else {
                break;
            };
            match rest.next() {
                Some(to) => next = Some(*to),
                None => {
                    if let Some(mark) = marks.get_mut(*node) {
                        *mark = Mark::Done;
                    }
                    path.pop();
                }
            }
        }
    }
    found
}

fn report_circle(path: &[&IntentName], loaded: &Intents, found: &mut Vec<Diagnostic>) {
    // From the first name in the alphabet, so that the same circle always prints the same.
    let Some(first) = path.iter().min() else {
        return;
    };
    let turned: Vec<&str> = path
        .iter()
        .chain(path)
        .skip_while(|name| *name != first)
        .take(path.len())
        .map(|name| name.as_str())
        .collect();
    let Some(Loaded { intent, places }) = loaded.get(*first) else {
        return;
    };
    let second = turned.get(1).unwrap_or(&first.as_str()).to_owned();
    let at = intent
        .depends_on
        .iter()
        .zip(&places.depends_on)
        .find(|(name, _)| name.as_str() == second)
        .map_or(Position::START, |(_, at)| *at);
    let mut shown: Vec<&str> = turned.iter().copied().take(SHOWN).collect();
    if turned.len() > SHOWN {
        shown.push("…");
    }
    shown.push(first.as_str());
    let mut report = Report::new(&intent.file);
    report.error_with_hint(
        at,
        Code::Cycle,
        format!("dependencies go in a circle: {}", shown.join(" → ")),
        "take one of them out of `depends_on`",
    );
    found.extend(report.into_found());
}
