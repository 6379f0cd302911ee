//! Forms: what a chat asks for in a dialog or modal, and the helps while a command is typed.
//! Neutral, like replies: adapters render them in their vendor's form and limits.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{IntentName, RunId};
use crate::reply::{Reply, Tone};

/// The field of a form that asks for a reason.
pub const REASON: &str = "reason";

/// The field of a form that asks for a code of the second factor.
pub const CODE: &str = "code";

/// Something to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it is for. Comes back with what was filled in, so an adapter seals it: a person cannot
    /// make one up, use another's or use it late.
    pub purpose: FormPurpose,
    /// Its heading; vendors show 24 (Mattermost, Slack) or 45 (Discord) characters.
    pub title: String,
    /// A sentence or two above the fields; may be empty.
    pub intro: String,
    /// The button that sends it off; vendors show 24 characters.
    pub submit: String,
    /// Its fields, at least one.
    pub fields: Vec<FormField>,
}

/// What a form was opened for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormPurpose {
    /// The arguments of an intent. On Discord, where commands have typed options, there is no form
    /// for this.
    Run {
        /// Which.
        intent: IntentName,
        /// Arguments that were given and have no field; never a secret.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        given: BTreeMap<String, Vec<String>>,
    },
    /// Why a run is denied: [`REASON`].
    Deny {
        /// Which.
        run: RunId,
    },
    /// The second factor for an approval: [`CODE`].
    Approve {
        /// Which.
        run: RunId,
    },
}

/// One thing to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormField {
    /// Its name, as values and errors come back under it.
    pub name: String,
    /// Shown beside it; vendors show 24 (Mattermost) to 45 (Discord) characters.
    pub label: String,
    /// Shown below it; may be empty.
    pub help: String,
    /// What goes in.
    pub kind: FormFieldKind,
    /// Whether it may stay empty.
    pub needed: Needed,
    /// What is there at first.
    pub value: Option<String>,
}

/// Whether a field may stay empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// It must be filled in.
    Required,
    /// It may stay empty.
    Optional,
}

/// What goes into a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormFieldKind {
    /// One line of text of at most so many characters.
    Line {
        /// The most characters.
        max: u32,
    },
    /// Several lines of at most so many characters.
    Lines {
        /// The most characters.
        max: u32,
    },
    /// A whole number.
    Number,
    /// Yes or no.
    Bool,
    /// One of these.
    Choice(Vec<Choice>),
    /// Something that nobody else may read: a vendor's password field where there is one.
    Secret {
        /// The most characters.
        max: u32,
    },
}

/// One possible value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What people read.
    pub label: String,
    /// What comes back.
    pub value: String,
}

/// What is wrong with what was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field; `None` for the form as a whole.
    pub field: Option<String>,
    /// What is wrong and what is accepted.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl FieldError {
    /// All that is wrong, where a field has no place for it.
    #[must_use]
    pub fn together(errors: &[Self]) -> Reply {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Reply::text(lines.join("\n")).tone(Tone::Bad)
    }
}

/// A command with its options, for vendors that help while it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// The words after `/rave`: `approve`, `vm start`.
    pub words: Vec<String>,
    /// What it does, in one line.
    pub description: String,
    /// What it takes, required ones first. An option is written `name=value` behind the words.
    pub options: Vec<OptionSpec>,
}

/// One option of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// What it is, in one line.
    pub description: String,
    /// What it takes.
    pub kind: OptionKind,
    /// Whether it may be left out.
    pub needed: Needed,
    /// How it is written in a command.
    pub written: Written,
}

/// How an option is written in a command's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// `name=value`.
    Named,
    /// The value alone, as one word, in the order of the options.
    Positional,
    /// The value alone, split into words as it stands: the rest of the line.
    Rest,
}

/// What an option takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionKind {
    /// Text; the vendor may ask [`crate::ports::surface::Act::Complete`] while it is typed.
    Text {
        /// Whether asking is of use.
        completes: Completes,
    },
    /// A whole number within bounds, both inclusive.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Yes or no.
    Bool,
    /// One of these.
    Choice(Vec<Choice>),
}

/// Whether Rave can help while an option is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    /// It knows what may stand there.
    Yes,
    /// It does not.
    No,
}
