//! The answer of `POST /validate`: one intent as text, judged without the rest of the catalog.
//!
//! It keeps the seed's words where the seed has some, and it is milder than loading in one point:
//! a key that nobody knows is a warning.

use rave_domain::ports::driver::Actions;
use rave_domain::value::Value;
use serde::Serialize;

use crate::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::file::{Reader, missing_field};
use crate::intent::Intent;
use crate::node;
use crate::source::{MAX_FILE_BYTES, SourceFile};

/// What is to say about a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeedValidation {
    /// Whether it would load, unknown keys aside.
    pub valid: bool,
    /// Why not.
    pub errors: Vec<String>,
    /// What somebody should look at; absent when the text is not even YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    /// The intent as far as it could be read; absent when the text is not even YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<SeedIntent>,
}

/// The fields that the seed's clients read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeedIntent {
    /// The action's name.
    pub action: String,
    /// The stack, when it is fixed.
    pub stack: Option<String>,
    /// The service, when it is fixed.
    pub service: Option<String>,
    /// The number of replicas, when it is fixed.
    pub replicas: Option<i64>,
    /// The label that counts.
    pub label_required: String,
}

/// Judges a text.
#[must_use]
pub fn validate(yaml: &str, actions: &Actions, approved_label: &str) -> SeedValidation {
    if yaml.len() > MAX_FILE_BYTES {
        return refused("Validation error: an intent has at most 64 KiB".to_owned());
    }
    let mut report = Report::new("");
    let root = node::parse(yaml, &mut report);
    let syntax = report.into_found();
    if let Some(first) = syntax.iter().find(|found| found.code == Code::Syntax) {
        return refused(format!(
            "YAML parsing error: {}",
            sentence(first).replace("this is not YAML: ", "")
        ));
    }
    if root.is_none() && syntax.is_empty() {
        return refused("Empty YAML content".to_owned());
    }
    let mut report = Report::new("");
    let file = SourceFile::intent("intent.yaml", yaml);
    let read = Reader::new(actions).read(&file, &mut report);
    let found = crate::Diagnostics::new(report.into_found());
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    for one in &found {
        match (one.severity, one.code) {
            (Severity::Warning, _) | (Severity::Error, Code::UnknownKey) => {
                warnings.push(sentence(one));
            }
            (Severity::Error, _) => {
                errors.push(error(one, read.as_ref().map(|(intent, _)| intent)));
            }
        }
    }
    let Some((intent, _)) = read else {
        return SeedValidation {
            valid: false,
            errors,
            warnings: None,
            intent: None,
        };
    };
    if let Some(label) = &intent.label_required
        && label != approved_label
    {
        warnings.push(format!(
            "label_required '{label}' differs from server's '{approved_label}'"
        ));
    }
    SeedValidation {
        valid: errors.is_empty(),
        errors,
        warnings: Some(warnings),
        intent: Some(seed_intent(&intent, approved_label)),
    }
}

fn refused(error: String) -> SeedValidation {
    SeedValidation {
        valid: false,
        errors: vec![error],
        warnings: None,
        intent: None,
    }
}

/// The seed has words of its own for a field that the action lacks.
fn error(found: &Diagnostic, intent: Option<&Intent>) -> String {
    let lacking = intent.and_then(|intent| {
        let action = intent.action.name.as_str();
        let mut fields = intent.action.fields.iter();
        fields
            .find(|field| found.message == missing_field(action, &field.name))
            .map(|field| format!("action={action} requires '{}' field", field.name))
    });
    lacking.unwrap_or_else(|| format!("Validation error: {}", sentence(found)))
}

fn sentence(found: &Diagnostic) -> String {
    let place = format!("line {}, column {}: ", found.at.line, found.at.column);
    let hint = found
        .hint
        .as_ref()
        .map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{place}{}{hint}", found.message)
}

fn seed_intent(intent: &Intent, approved_label: &str) -> SeedIntent {
    let text = |field: &str| intent.literal(field).and_then(Value::plain);
    SeedIntent {
        action: intent.action.name.to_string(),
        stack: text("stack"),
        service: text("service"),
        replicas: intent.literal("replicas").and_then(Value::as_int),
        label_required: intent.label(approved_label).to_owned(),
    }
}
