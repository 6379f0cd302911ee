//! What is wrong with the files, all of it at once, each with its place.

use std::fmt;

/// Where in a file, both counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The first character of a file, for what concerns the file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Whether a file can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The catalog does not load.
    Error,
    /// The catalog loads; somebody should look.
    Warning,
}

/// What kind of mistake it is, for tests and for callers that treat one kind differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The text is not YAML or JSON, or uses a part of YAML that intent files do without.
    Syntax,
    /// A file cannot be read, is too large or has no usable name.
    File,
    /// Nobody knows the key.
    UnknownKey,
    /// A key stands twice with different values, or a thing is declared twice.
    Duplicate,
    /// The value has the wrong shape or is out of bounds.
    InvalidValue,
    /// No driver offers the action.
    UnknownAction,
    /// The action or the file needs this and it is not there.
    MissingField,
    /// A name refers to an intent that does not exist.
    UnknownIntent,
    /// Dependencies form a circle.
    Cycle,
    /// A parameter is not declared, not used, or cannot go where it is put.
    Parameter,
    /// A command is not well formed, is taken or shadows a built-in.
    Command,
}

impl Code {
    /// The printed form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::File => "file",
            Self::UnknownKey => "unknown_key",
            Self::Duplicate => "duplicate",
            Self::InvalidValue => "invalid_value",
            Self::UnknownAction => "unknown_action",
            Self::MissingField => "missing_field",
            Self::UnknownIntent => "unknown_intent",
            Self::Cycle => "cycle",
            Self::Parameter => "parameter",
            Self::Command => "command",
        }
    }
}

/// One mistake. Prints as `intents/x.yaml:3:1: message; hint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the reader can open it.
    pub file: String,
    /// Where in it.
    pub at: Position,
    /// How bad it is.
    pub severity: Severity,
    /// What kind.
    pub code: Code,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.at.line, self.at.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, sorted by file and place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts and wraps.
    #[must_use]
    pub fn new(mut found: Vec<Diagnostic>) -> Self {
        // Messages take part so that two mistakes in one place always print in the same order.
        found.sort_by(|a, b| {
            (&a.file, a.at, a.severity, &a.message).cmp(&(&b.file, b.at, b.severity, &b.message))
        });
        found.dedup();
        Self(found)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them keeps the catalog from loading.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|found| found.severity == Severity::Error)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Nobody reads further in one file, and a hostile one must not make a long answer.
const MOST_PER_FILE: usize = 100;

/// Collects the mistakes of one file.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
    /// Mistakes beyond [`MOST_PER_FILE`].
    more: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self {
            file,
            found: Vec::new(),
            more: 0,
        }
    }

    pub(crate) fn error(&mut self, at: Position, code: Code, message: impl Into<String>) {
        self.push(at, Severity::Error, code, message.into(), None);
    }

    pub(crate) fn error_with_hint(
        &mut self,
        at: Position,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(at, Severity::Error, code, message.into(), Some(hint.into()));
    }

    pub(crate) fn warning(
        &mut self,
        at: Position,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let hint = Some(hint.into());
        self.push(at, Severity::Warning, code, message.into(), hint);
    }

    fn push(
        &mut self,
        at: Position,
        severity: Severity,
        code: Code,
        message: String,
        hint: Option<String>,
    ) {
        if self.is_full() && severity == Severity::Error && self.has_errors() {
            self.more += 1;
            return;
        }
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            at,
            severity,
            code,
            message,
            hint: hint.filter(|hint| !hint.is_empty()),
        });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// Whether more mistakes are only counted, so that looking for hints is wasted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MOST_PER_FILE
    }

    pub(crate) fn into_found(mut self) -> Vec<Diagnostic> {
        if let (Some(last), more @ 1..) = (self.found.last().cloned(), self.more) {
            self.found.push(Diagnostic {
                message: format!("and {more} more mistakes in this file"),
                hint: None,
                ..last
            });
        }
        self.found
    }
}
