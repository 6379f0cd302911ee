//! Forms as modals ("Modal" under "Interaction Response Object").
//!
//! serenity's builders know the deprecated way only, with text inputs in action rows; this is the
//! Label (type 18).

use rave_domain::form::{Form, FormField, FormFieldKind, Needed};
use rave_domain::ports::surface::FormFault;
use serde::Serialize;

use crate::render::one_line;

/// Characters of a title and of a Label's label.
const LONGEST_TITLE: usize = 45;

/// Characters of a Label's description and of a placeholder.
const LONGEST_HELP: usize = 100;

/// Characters of a text input's value.
const LONGEST_VALUE: u32 = 4000;

/// Components of a modal.
const MOST: usize = 5;

/// Callback type `MODAL`.
#[derive(Debug, Serialize)]
pub(crate) struct Opened {
    #[serde(rename = "type")]
    kind: u8,
    data: Modal,
}

#[derive(Debug, Serialize)]
struct Modal {
    custom_id: String,
    title: String,
    components: Vec<Component>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Component {
    Text(TextDisplay),
    Label(Label),
}

#[derive(Debug, Serialize)]
struct TextDisplay {
    /// 10.
    #[serde(rename = "type")]
    kind: u8,
    content: String,
}

#[derive(Debug, Serialize)]
struct Label {
    /// 18.
    #[serde(rename = "type")]
    kind: u8,
    label: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    component: TextInput,
}

#[derive(Debug, Serialize)]
struct TextInput {
    /// 4.
    #[serde(rename = "type")]
    kind: u8,
    custom_id: String,
    /// 1 is one line, 2 a paragraph.
    style: u8,
    max_length: u32,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// The form as an answer to an interaction. Discord's own button sends it off.
///
/// # Errors
/// When it has fields that cannot be filled in here.
pub(crate) fn of(form: &Form, custom_id: String) -> Result<Opened, FormFault> {
    let mut components = Vec::with_capacity(form.fields.len() + 1);
    if !form.intro.is_empty() {
        components.push(Component::Text(TextDisplay {
            kind: 10,
            content: one_line(&form.intro),
        }));
    }
    for field in &form.fields {
        components.push(Component::Label(label(field)?));
    }
    if form.fields.is_empty() || components.len() > MOST {
        return Err(fault("a modal has 1 to 5 components"));
    }
    Ok(Opened {
        kind: 9,
        data: Modal {
            custom_id,
            title: cut(&form.title, LONGEST_TITLE),
            components,
        },
    })
}

fn label(field: &FormField) -> Result<Label, FormFault> {
    let (style, max) = match &field.kind {
        FormFieldKind::Line { max } | FormFieldKind::Secret { max } => (1, *max),
        FormFieldKind::Lines { max } => (2, *max),
        // Commands have typed options for these.
        FormFieldKind::Number | FormFieldKind::Bool | FormFieldKind::Choice(_) => {
            return Err(fault("a modal of Rave's asks for text"));
        }
    };
    let max_length = max.clamp(1, LONGEST_VALUE);
    Ok(Label {
        kind: 18,
        label: cut(&field.label, LONGEST_TITLE),
        description: cut(&field.help, LONGEST_HELP),
        component: TextInput {
            kind: 4,
            custom_id: field.name.clone(),
            style,
            max_length,
            required: field.needed == Needed::Required,
            value: field
                .value
                .as_ref()
                .filter(|value| value.chars().count() <= max_length as usize)
                .cloned(),
        },
    })
}

fn cut(text: &str, room: usize) -> String {
    if text.encode_utf16().count() <= room {
        return text.to_owned();
    }
    let mut used = 1;
    let start: String = text
        .chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= room
        })
        .collect();
    format!("{}…", start.trim_end())
}

fn fault(why: &str) -> FormFault {
    FormFault {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_domain::form::FormPurpose;
    use rave_domain::ids::RunId;
    use serde_json::{Value, json};

    fn form(fields: Vec<FormField>) -> Form {
        Form {
            purpose: FormPurpose::Deny {
                run: RunId::new("run_0001").unwrap(),
            },
            title: "Deny this run, which has a title that Discord would not take".to_owned(),
            intro: String::new(),
            submit: "Deny".to_owned(),
            fields,
        }
    }

    fn field(kind: FormFieldKind) -> FormField {
        FormField {
            name: "reason".to_owned(),
            label: "Reason".to_owned(),
            help: "h".repeat(101),
            kind,
            needed: Needed::Optional,
            value: Some("because".to_owned()),
        }
    }

    #[test]
    fn a_reason_is_asked_for_in_a_label() {
        let lines = FormFieldKind::Lines { max: 500 };
        let opened = of(&form(vec![field(lines)]), "f1.x".to_owned()).unwrap();
        let help = format!("{}…", "h".repeat(99));
        assert_eq!(
            serde_json::to_value(&opened).unwrap(),
            json!({"type": 9, "data": {
                "custom_id": "f1.x",
                "title": "Deny this run, which has a title that Discor…",
                "components": [{"type": 18, "label": "Reason", "description": help, "component": {
                    "type": 4, "custom_id": "reason", "style": 2, "max_length": 500,
                    "required": false, "value": "because",
                }}],
            }})
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_not_opened() {
        let line = || field(FormFieldKind::Line { max: 9000 });
        let opened =
            |form: &Form| of(form, String::new()).map(|it| serde_json::to_value(it).unwrap());
        let max = |value: &Value| value["data"]["components"][0]["component"]["max_length"].clone();
        assert_eq!(max(&opened(&form(vec![line()])).unwrap()), 4000);
        assert!(opened(&form(vec![line(), line(), line(), line(), line()])).is_ok());
        let mut six = form(vec![line(), line(), line(), line(), line()]);
        six.intro = "Read this".to_owned();
        for bad in [
            six,
            form(Vec::new()),
            form(vec![field(FormFieldKind::Bool)]),
            form(vec![field(FormFieldKind::Number)]),
            form(vec![field(FormFieldKind::Choice(Vec::new()))]),
        ] {
            assert!(opened(&bad).is_err(), "{bad:?}");
        }
    }
}
