//! One intent file: from text to an [`Intent`] and all mistakes that can be seen in it alone.

mod fields;
mod params;
mod rules;
pub(crate) mod value;

pub(crate) use fields::missing_field;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rave_domain::ports::driver::ActionSpec;
use rave_domain::{ActionName, Digest, IntentName};
use regex::Regex;

use crate::command::CommandPattern;
use crate::diagnostic::{Code, Position, Report};
use crate::intent::{DEFAULT_TIMEOUT, Intent};
use crate::node::{self, Entry, Node};
use crate::param::Param;
use crate::source::{MAX_FILE_BYTES, SourceFile};
use crate::suggest;

/// Keys of an intent file; everything else is a field of its action.
pub(crate) const KEYS: &[&str] = &[
    "description",
    "action",
    "command",
    "params",
    "with",
    "depends_on",
    "roles",
    "approval",
    "timeout",
    "retry",
    "lock",
    "undo",
    "label_required",
];

/// Where the parts stand that can only be checked together with other files.
#[derive(Debug)]
pub(crate) struct Places {
    /// In the order of `depends_on`.
    pub(crate) depends_on: Vec<Position>,
    pub(crate) undo: Position,
    pub(crate) command: Position,
}

/// What all files share while they are read.
pub(crate) struct Reader<'a> {
    actions: BTreeMap<&'a ActionName, Arc<ActionSpec>>,
    /// Many files state the same pattern; compiling is the expensive part of reading one.
    patterns: BTreeMap<String, Arc<Regex>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(actions: &'a rave_domain::ports::driver::Actions) -> Self {
        Self {
            actions: actions
                .iter()
                .map(|(name, spec)| (name, Arc::new(spec.clone())))
                .collect(),
            patterns: BTreeMap::new(),
        }
    }

    /// Reads a file; `None` when it is not even a map with a name.
    pub(crate) fn read(
        &mut self,
        file: &SourceFile,
        report: &mut Report<'_>,
    ) -> Option<(Intent, Places)> {
        if file.text.len() > MAX_FILE_BYTES {
            report.error(
                Position::START,
                Code::File,
                "this is larger than 64 KiB, too large for an intent",
            );
            return None;
        }
        let name = match file.intent_name() {
            Ok(name) => Some(name),
            Err(message) => {
                report.error(Position::START, Code::File, message);
                None
            }
        };
        let before = report.has_errors();
        let root = node::parse(&file.text, report);
        let Some(root) = root else {
            if report.has_errors() == before {
                report.error_with_hint(
                    Position::START,
                    Code::Syntax,
                    "this file is empty",
                    "an intent needs at least `action`",
                );
            }
            return None;
        };
        let Some(entries) = root.map() else {
            report.error(
                root.at,
                Code::Syntax,
                format!(
                    "an intent is a map of keys and values, not {}",
                    root.shape()
                ),
            );
            return None;
        };
        let comment = node::first_line_comment(&file.text).unwrap_or_default();
        let mut intent = Draft {
            reader: self,
            entries,
            report,
        }
        .intent(&name?, comment)?;
        intent.0.file.clone_from(&file.path);
        Some(intent)
    }

    fn action_names(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(|name| name.as_str())
    }
}

/// One file while it is read.
struct Draft<'d, 'r, 'a> {
    reader: &'d mut Reader<'a>,
    entries: &'d [Entry],
    report: &'d mut Report<'r>,
}

impl Draft<'_, '_, '_> {
    fn intent(&mut self, name: &IntentName, comment: &str) -> Option<(Intent, Places)> {
        let spec = self.action();
        let (command, command_at) = self.command(name);
        let entries = self.entries;
        let params = params::read(entries, &command, &mut self.reader.patterns, self.report);
        let lock = fields::lock(entries, &params, self.report);
        let fields = match &spec {
            Some(spec) => Some(fields::read(self, spec, &params)),
            None => {
                fields::strangers(self);
                None
            }
        };
        self.every_param_is_used(&params);
        self.slots_are_declared(&command, command_at, &params);
        let (depends_on, depends_at) = rules::depends_on(entries, self.report);
        let roles = rules::roles(entries, "roles", self.report);
        let approval = rules::approval(entries, name, self.report);
        let timeout = rules::timeout(entries, self.report);
        let retry = rules::retry(entries, self.report);
        let (undo, undo_at) = rules::undo(entries, name, self.report);
        let description = self
            .text("description")
            // One line, however the file folds it.
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .unwrap_or_else(|| comment.to_owned());
        let label_required = self.text("label_required");
        let fields = fields?;
        let intent = Intent {
            name: name.clone(),
            file: String::new(),
            description,
            action: spec?,
            command,
            params: params.into_iter().map(|declared| declared.param).collect(),
            fields,
            depends_on,
            roles,
            approval,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            retry: retry.unwrap_or_default(),
            lock,
            undo: undo.unwrap_or_default(),
            label_required,
            definition: Digest::of(b""),
        };
        let places = Places {
            depends_on: depends_at,
            undo: undo_at,
            command: command_at,
        };
        Some((intent.sealed(), places))
    }

    fn action(&mut self) -> Option<Arc<ActionSpec>> {
        let Some(entry) = value::get(self.entries, "action") else {
            let names: Vec<&str> = self.reader.action_names().take(12).collect();
            let hint = format!("for example {}", suggest::or_list(&names));
            let hint = if names.is_empty() {
                String::new()
            } else {
                hint
            };
            let at = self
                .entries
                .first()
                .map_or(Position::START, |entry| entry.key_at);
            self.report
                .error_with_hint(at, Code::MissingField, "an intent needs `action`", hint);
            return None;
        };
        let at = entry.value.at;
        let text = value::text(&entry.value, "action", self.report)?;
        let found = ActionName::new(text.as_str())
            .ok()
            .and_then(|name| self.reader.actions.get(&name).cloned());
        if found.is_none() {
            let near = suggest::did_you_mean(&text, self.reader.action_names());
            let names: Vec<&str> = self.reader.action_names().take(12).collect();
            let hint = match near {
                near if !near.is_empty() => near,
                _ if names.is_empty() => String::new(),
                _ => format!("there are {}", suggest::and_list(&names)),
            };
            self.report.error_with_hint(
                at,
                Code::UnknownAction,
                format!("no driver offers the action {}", crate::param::cut(&text)),
                hint,
            );
        }
        found
    }

    fn command(&mut self, name: &IntentName) -> (CommandPattern, Position) {
        let own = (CommandPattern::of_name(name), Position::START);
        let Some(entry) = value::get(self.entries, "command") else {
            return own;
        };
        let at = entry.value.at;
        let node: &Node = &entry.value;
        let Some(text) = node.text() else {
            let shape = node.shape();
            self.report.error(
                at,
                Code::Command,
                format!("`command` is a line of words, not {shape}"),
            );
            return own;
        };
        match CommandPattern::parse(text) {
            Ok(pattern) => (pattern, at),
            Err(message) => {
                self.report.error(at, Code::Command, message);
                own
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let entry = value::get(self.entries, key)?;
        value::text(&entry.value, key, self.report).map(|text| text.trim().to_owned())
    }

    fn slots_are_declared(
        &mut self,
        command: &CommandPattern,
        at: Position,
        params: &[params::Declared],
    ) {
        for (index, slot) in command.slots.iter().enumerate() {
            let declared = params.iter().map(|declared| &declared.param);
            let Some(param) = declared.clone().find(|param| param.name == slot.param) else {
                let near =
                    suggest::did_you_mean(&slot.param, declared.map(|param| param.name.as_str()));
                self.report.error_with_hint(
                    at,
                    Code::Parameter,
                    format!(
                        "the command names `{}`, which `params` does not declare",
                        slot.param
                    ),
                    near,
                );
                continue;
            };
            self.slot_agrees(slot.required, at, param);
            if matches!(param.kind, crate::ParamKind::List { .. })
                && index + 1 < command.slots.len()
            {
                let message = format!(
                    "the list `{}` takes all words that follow; put it last",
                    slot.param
                );
                self.report.error(at, Code::Command, message);
            }
        }
    }

    fn slot_agrees(&mut self, required: bool, at: Position, param: &Param) {
        let name = &param.name;
        if required && !param.required {
            self.report.error_with_hint(
                at,
                Code::Parameter,
                format!("the command shows `<{name}>` as required, but `{name}` can be left out"),
                format!("write `[{name}]`, or take its default away"),
            );
        } else if !required && param.required {
            self.report.error_with_hint(
                at,
                Code::Parameter,
                format!("the command shows `[{name}]` as optional, but `{name}` is required"),
                format!("write `<{name}>`, or give it a default"),
            );
        }
    }

    fn every_param_is_used(&mut self, params: &[params::Declared]) {
        let mut used = BTreeSet::new();
        for entry in self.entries {
            if !matches!(entry.key.as_str(), "params" | "description" | "command") {
                fields::mentioned(&entry.value, &mut used);
            }
        }
        for declared in params {
            let name = declared.param.name.as_str();
            if !used.contains(name) {
                self.report.error_with_hint(
                    declared.at,
                    Code::Parameter,
                    format!("nothing uses the parameter `{name}`"),
                    format!("put `{{{{ {name} }}}}` into a field of the action, or remove it"),
                );
            }
        }
    }
}
