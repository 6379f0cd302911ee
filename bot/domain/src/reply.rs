//! Neutral message content. Each chat adapter renders it in its vendor's form and limits; the API
//! and the CLI render it as plain text.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Who sees a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Only the person who asked.
    #[default]
    Asker,
    /// Everybody in the conversation.
    Conversation,
}

/// How a reply looks at a glance; renderers add a colour or a sign, and words carry it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Neither good nor bad.
    #[default]
    Neutral,
    /// It worked.
    Good,
    /// Somebody should look.
    Warning,
    /// It failed or was refused.
    Bad,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Reply {
    /// The run it is about; adapters keep one live message per run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Who sees it.
    #[serde(default)]
    pub audience: Audience,
    /// At a glance.
    #[serde(default)]
    pub tone: Tone,
    /// Its parts, top to bottom.
    pub blocks: Vec<Block>,
}

/// A part of a message. Text in blocks is plain: renderers escape it, and nothing in it can
/// mention anybody or end a code block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// A line that stands out.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// What a program printed or would be run.
    Code(String),
    /// Names and values.
    Fields(Vec<(String, String)>),
    /// Points of a list.
    List(Vec<String>),
    /// A run's steps.
    Steps(Vec<StepLine>),
    /// What can be done about it, for surfaces with buttons; others show the commands.
    Buttons(Vec<Button>),
}

/// One step in a live message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// Counted from one.
    pub number: u32,
    /// `rollout_stack_media`, `undo of rollout_stack_media`.
    pub title: String,
    /// The state's word: `running`, `succeeded`, …
    pub state: String,
    /// Duration, position in the queue, or the error, in a few words.
    pub note: String,
}

/// A button and the command that does the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Its text.
    pub label: String,
    /// What it does.
    pub press: Press,
    /// The run it acts on.
    pub run: RunId,
}

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Press {
    /// Approve the run's plan.
    Approve,
    /// Deny it; a surface may ask for a reason.
    Deny,
    /// Stop the run.
    Cancel,
    /// Ask for the same again.
    Retry,
    /// Show the output.
    ShowLog,
}

impl Press {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Approve,
        Self::Deny,
        Self::Cancel,
        Self::Retry,
        Self::ShowLog,
    ];

    /// The one with this word for a command.
    #[must_use]
    pub fn of_command(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|press| press.command() == word)
    }

    /// The words after `/rave` that do the same.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::ShowLog => "logs",
        }
    }
}

impl Button {
    /// What does the same, typed.
    #[must_use]
    pub fn typed(&self) -> String {
        format!("/rave {} {}", self.press.command(), self.run)
    }
}

impl Tone {
    /// A sign for the first line; the words say the same without it.
    #[must_use]
    pub const fn sign(self) -> Option<&'static str> {
        match self {
            Self::Neutral => None,
            Self::Good => Some("✅"),
            Self::Warning => Some("⚠️"),
            Self::Bad => Some("❌"),
        }
    }
}

/// The first pair of single backticks in a text with something between: what stands before, in
/// and behind it. Messages put names between backticks, and renderers show these as code.
#[must_use]
pub fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (inside, after) = rest.split_once('`')?;
    (!inside.trim().is_empty() && !after.starts_with('`')).then_some((before, inside, after))
}

impl Reply {
    /// A reply of one paragraph.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            blocks: vec![Block::Text(text.into())],
            ..Self::default()
        }
    }

    /// A refusal or failure as a message: what, what next, and the code.
    #[must_use]
    pub fn error(error: &crate::UserError) -> Self {
        let mut text = sentence(&error.message);
        if let Some(hint) = &error.hint {
            text.push(' ');
            text.push_str(&sentence(hint));
        }
        Self {
            tone: Tone::Bad,
            blocks: vec![Block::Text(format!("{text} ({})", error.code))],
            ..Self::default()
        }
    }

    /// Sets the run.
    #[must_use]
    pub fn about(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Sets the tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Shows it to everybody in the conversation.
    #[must_use]
    pub fn to_conversation(mut self) -> Self {
        self.audience = Audience::Conversation;
        self
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// The whole reply as plain text, for terminals, logs of tests and the API.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for block in &self.blocks {
            match block {
                Block::Heading(text) | Block::Text(text) => lines.push(text.clone()),
                Block::Code(text) => lines.extend(text.lines().map(|line| format!("    {line}"))),
                Block::Fields(fields) => {
                    lines.extend(
                        fields
                            .iter()
                            .map(|(name, value)| format!("{name}: {value}")),
                    );
                }
                Block::List(items) => lines.extend(items.iter().map(|item| format!("- {item}"))),
                Block::Steps(steps) => lines.extend(steps.iter().map(StepLine::plain)),
                Block::Buttons(buttons) => lines.extend(
                    buttons
                        .iter()
                        .map(|button| format!("{}: {}", button.label, button.typed())),
                ),
            }
        }
        lines.join("\n")
    }
}

impl StepLine {
    /// The step as one line of text.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut line = format!("{}. {}: {}", self.number, self.title, self.state);
        if !self.note.is_empty() {
            line.push_str(", ");
            line.push_str(&self.note);
        }
        line
    }
}

/// Capitalised and ended; a question keeps its own mark.
fn sentence(words: &str) -> String {
    let mut text = capitalised(words);
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    text
}

/// The sentence with its first letter in upper case, names with `_` left alone.
fn capitalised(sentence: &str) -> String {
    let first_word = sentence.split_whitespace().next().unwrap_or_default();
    if first_word.contains(['_', '/', '.', '`']) {
        return sentence.to_owned();
    }
    let mut chars = sentence.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
