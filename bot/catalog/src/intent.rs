//! A checked intent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rave_domain::plan::{ApprovalNeed, Retry};
use rave_domain::ports::driver::ActionSpec;
use rave_domain::value::Value;
use rave_domain::{Digest, IntentName, Role};
use serde::Serialize;

use crate::command::CommandPattern;
use crate::param::Param;
use crate::template::{Template, same_name};

/// How long a step may take when its intent does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// How long people have to decide when the intent does not say.
pub const DEFAULT_APPROVAL_TTL: Duration = Duration::from_mins(30);
/// How long an approval stays good before the first step starts, when the intent does not say.
pub const DEFAULT_RUN_WITHIN: Duration = Duration::from_mins(15);

/// One allowlisted piece of work, as its file declares it, checked.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Its path under the intents folder with dots for slashes.
    pub name: IntentName,
    /// The file that declares it.
    pub file: String,
    /// For help, buttons and plans; may be empty.
    pub description: String,
    /// The action, with the driver that performs it.
    pub action: Arc<ActionSpec>,
    /// The words that call it.
    pub command: CommandPattern,
    /// What it can be given, in the order of the file.
    pub params: Vec<Param>,
    /// The action's fields before arguments are known.
    pub fields: BTreeMap<String, Template>,
    /// Intents that must succeed before it.
    pub depends_on: Vec<IntentName>,
    /// Shorthand for a policy rule; empty means that policy files alone decide.
    pub roles: BTreeSet<Role>,
    /// Who must agree first.
    pub approval: Option<ApprovalNeed>,
    /// The longest a single attempt may take.
    pub timeout: Duration,
    /// Retries after failures that may pass.
    pub retry: Retry,
    /// What its run holds instead of the target.
    pub lock: Option<Template>,
    /// The way back.
    pub undo: UndoRule,
    /// The label the file asks for; `None` means the server's.
    pub label_required: Option<String>,
    /// The digest of everything above but the file's path.
    pub definition: Digest,
}

/// What an intent says about its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UndoRule {
    /// Whatever the action brings itself.
    #[default]
    Own,
    /// None, even if the action brings one.
    Disabled,
    /// An intent that replaces it.
    Intent(IntentName),
}

/// What a definition's digest covers. Fields stand in this order and maps are sorted, so one
/// meaning has one text: comments, order of keys and spelling do not change it.
#[derive(Serialize)]
struct Content<'a> {
    name: &'a IntentName,
    description: &'a str,
    action: &'a str,
    driver: &'a str,
    command: &'a CommandPattern,
    params: &'a [Param],
    fields: &'a BTreeMap<String, Template>,
    depends_on: &'a [IntentName],
    roles: &'a BTreeSet<Role>,
    approval: &'a Option<ApprovalNeed>,
    timeout: Duration,
    retry: Retry,
    lock: &'a Option<Template>,
    undo: &'a UndoRule,
    label_required: &'a Option<String>,
}

impl Intent {
    /// The parameter with a name; `-` and `_` are one character.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params
            .iter()
            .find(|param| same_name(&param.name, name))
    }

    /// The parameter with a short letter.
    #[must_use]
    pub fn param_by_letter(&self, letter: char) -> Option<&Param> {
        self.params.iter().find(|param| param.short == Some(letter))
    }

    /// A field's value, when no argument has a say in it: `stack` of a listing.
    #[must_use]
    pub fn literal(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).and_then(Template::literal)
    }

    /// The label that counts, given the server's.
    #[must_use]
    pub fn label<'a>(&'a self, approved: &'a str) -> &'a str {
        self.label_required.as_deref().unwrap_or(approved)
    }

    /// Fills in `definition`.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        let content = serde_json::to_vec(&Content {
            name: &self.name,
            description: &self.description,
            action: self.action.name.as_str(),
            driver: self.action.driver.as_str(),
            command: &self.command,
            params: &self.params,
            fields: &self.fields,
            depends_on: &self.depends_on,
            roles: &self.roles,
            approval: &self.approval,
            timeout: self.timeout,
            retry: self.retry,
            lock: &self.lock,
            undo: &self.undo,
            label_required: &self.label_required,
        });
        // Only maps with keys that are not text fail to serialise, and there are none.
        self.definition = Digest::of(&content.unwrap_or_default());
        self
    }
}
