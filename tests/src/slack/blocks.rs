//! Block Kit as Slack checks it, and as people read it ("Reference: blocks").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

/// What is wrong with some blocks.
pub(super) fn check(blocks: &Value, most: usize) -> Result<(), String> {
    let blocks = blocks.as_array().ok_or("blocks are no list")?;
    if blocks.is_empty() || blocks.len() > most {
        return Err(format!("{} blocks", blocks.len()));
    }
    let (mut actions, mut ids, mut length) = (BTreeSet::new(), BTreeSet::new(), 0);
    for block in blocks {
        if let Some(id) = block.get("block_id").and_then(Value::as_str)
            && (id.len() > 255 || !ids.insert(id))
        {
            return Err(format!("block_id {id}"));
        }
        match kind(block) {
            "rich_text" => {
                only(block, &["type", "elements", "block_id"])?;
                let text = rich(block)?;
                if text > 3000 {
                    return Err(format!("a block of {text} characters"));
                }
                length += text;
            }
            "actions" => {
                only(block, &["type", "elements", "block_id"])?;
                let elements = list(block, "elements")?;
                if elements.is_empty() || elements.len() > 25 {
                    return Err(format!("{} elements in actions", elements.len()));
                }
                for button in elements {
                    check_button(button)?;
                    if !actions.insert(text(button, "action_id")?.to_owned()) {
                        return Err("an action_id twice".to_owned());
                    }
                }
            }
            "input" => check_input(block)?,
            other => return Err(format!("a block of type {other:?}")),
        }
    }
    if length > 12_000 {
        return Err(format!("{length} characters (msg_blocks_too_long)"));
    }
    Ok(())
}

/// A modal ("Reference: views").
pub(super) fn check_view(view: &Value) -> Result<(), String> {
    only(
        view,
        &[
            "type",
            "callback_id",
            "title",
            "submit",
            "close",
            "private_metadata",
            "blocks",
        ],
    )?;
    if kind(view) != "modal" {
        return Err("a view that is no modal".to_owned());
    }
    for (key, most) in [("title", 24), ("submit", 24), ("close", 24)] {
        if let Some(label) = view.get(key) {
            plain_text(label, most)?;
        }
    }
    plain_text(&view["title"], 24)?;
    if view["private_metadata"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .count()
        > 3000
    {
        return Err("private_metadata is too long".to_owned());
    }
    let has_inputs = list(view, "blocks")?
        .iter()
        .any(|block| kind(block) == "input");
    if has_inputs && view.get("submit").is_none() {
        return Err("inputs without submit".to_owned());
    }
    check(&view["blocks"], 100)
}

fn check_button(button: &Value) -> Result<(), String> {
    only(button, &["type", "text", "action_id", "value", "style"])?;
    if kind(button) != "button" {
        return Err(format!("an element of type {:?}", kind(button)));
    }
    plain_text(&button["text"], 75)?;
    bounded(button, "action_id", 255)?;
    bounded(button, "value", 2000)?;
    match button
        .get("style")
        .map(|style| style.as_str().unwrap_or_default())
    {
        None | Some("primary" | "danger") => Ok(()),
        Some(other) => Err(format!("a style {other:?}")),
    }
}

fn check_input(block: &Value) -> Result<(), String> {
    only(
        block,
        &["type", "block_id", "label", "hint", "optional", "element"],
    )?;
    plain_text(&block["label"], 2000)?;
    if let Some(hint) = block.get("hint") {
        plain_text(hint, 2000)?;
    }
    let element = &block["element"];
    bounded(element, "action_id", 255)?;
    let initial = element["initial_value"].as_str().unwrap_or_default();
    match kind(element) {
        "plain_text_input" => {
            only(
                element,
                &[
                    "type",
                    "action_id",
                    "multiline",
                    "max_length",
                    "initial_value",
                ],
            )?;
            let most = element["max_length"].as_u64().unwrap_or(3000);
            if !(1..=3000).contains(&most) || initial.chars().count() as u64 > most {
                return Err("max_length".to_owned());
            }
        }
        "number_input" => {
            only(
                element,
                &["type", "action_id", "is_decimal_allowed", "initial_value"],
            )?;
            if !element["is_decimal_allowed"].is_boolean() {
                return Err("is_decimal_allowed is missing".to_owned());
            }
        }
        "checkboxes" | "static_select" => {
            only(
                element,
                &[
                    "type",
                    "action_id",
                    "options",
                    "initial_options",
                    "initial_option",
                ],
            )?;
            let options = list(element, "options")?;
            let most = if kind(element) == "checkboxes" {
                10
            } else {
                100
            };
            if options.is_empty() || options.len() > most {
                return Err(format!("{} options", options.len()));
            }
            for option in options {
                only(option, &["text", "value"])?;
                plain_text(&option["text"], 75)?;
                bounded(option, "value", 150)?;
            }
        }
        other => return Err(format!("an input of type {other:?}")),
    }
    Ok(())
}

fn rich(value: &Value) -> Result<usize, String> {
    if kind(value) == "text" {
        only(value, &["type", "text", "style"])?;
        let text = text(value, "text")?;
        return if text.is_empty() {
            Err("an empty text".to_owned())
        } else {
            Ok(text.chars().count())
        };
    }
    let known = [
        "rich_text",
        "rich_text_section",
        "rich_text_list",
        "rich_text_preformatted",
    ];
    if !known.contains(&kind(value)) {
        return Err(format!("a rich element of type {:?}", kind(value)));
    }
    let elements = list(value, "elements")?;
    if elements.is_empty() {
        return Err("a rich text without elements".to_owned());
    }
    elements.iter().map(rich).sum()
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value[key]
        .as_array()
        .ok_or_else(|| format!("{key} is no list"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("{key} is no text"))
}

fn bounded(value: &Value, key: &str, most: usize) -> Result<(), String> {
    let length = text(value, key)?.chars().count();
    if (1..=most).contains(&length) {
        Ok(())
    } else {
        Err(format!("{key} of {length} characters"))
    }
}

fn plain_text(value: &Value, most: usize) -> Result<(), String> {
    only(value, &["type", "text", "emoji"])?;
    if kind(value) != "plain_text" {
        return Err("expected plain_text".to_owned());
    }
    bounded(value, "text", most)
}

/// Slack refuses fields that it does not know.
pub(super) fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let fields = value
        .as_object()
        .ok_or_else(|| format!("{value} is no object"))?;
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("an unknown field {unknown}")),
        None => Ok(()),
    }
}

/// A message as people read it: plain words, `[Label]` for each button.
pub(super) fn plain(blocks: &Value, text: &str) -> String {
    let Some(blocks) = blocks.as_array() else {
        return text.to_owned();
    };
    let mut out = String::new();
    for block in blocks {
        read(block, &mut out);
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out.trim_end().to_owned()
}

fn read(value: &Value, out: &mut String) {
    let elements = value["elements"].as_array();
    match kind(value) {
        "text" => out.push_str(value["text"].as_str().unwrap_or_default()),
        "button" => {
            let label = value["text"]["text"].as_str().unwrap_or_default();
            write!(out, "[{label}] ").unwrap();
        }
        "input" => {
            let label = value["label"]["text"].as_str().unwrap_or_default();
            writeln!(out, "{label}: ").unwrap();
        }
        "rich_text_list" => {
            for item in elements.into_iter().flatten() {
                out.push_str("- ");
                read(item, out);
                out.push('\n');
            }
        }
        _ => elements
            .into_iter()
            .flatten()
            .for_each(|element| read(element, out)),
    }
}
