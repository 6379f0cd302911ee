//! What Discord takes of a message, a modal and a list of choices, and what it refuses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn within(what: &str, value: &Value, least: usize, most: usize) -> Result<(), String> {
    let length = length(value);
    if (least..=most).contains(&length) {
        Ok(())
    } else {
        Err(format!(
            "{what} has {length} characters, {least} to {most} are taken"
        ))
    }
}

fn known(what: &str, object: &Value, keys: &[&str]) -> Result<(), String> {
    let object = object
        .as_object()
        .ok_or_else(|| format!("{what} is no object"))?;
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("{what} has a field `{key}` that nobody knows")),
        None => Ok(()),
    }
}

/// A message as it is created or edited; `known` are the fields of the call.
pub(super) fn message(body: &Value, fields: &[&str]) -> Result<(), String> {
    known("a message", body, fields)?;
    if body["allowed_mentions"]["parse"] != json!([]) {
        return Err("allowed_mentions is missing, so the text may mention people".to_owned());
    }
    within("content", &body["content"], 0, 2000)?;
    let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
    let embeds = list("embeds");
    if embeds.len() > 10 {
        return Err("more than 10 embeds".to_owned());
    }
    let mut together = 0;
    for embed in &embeds {
        within("an embed's title", &embed["title"], 0, 256)?;
        within("an embed's description", &embed["description"], 0, 4096)?;
        together += length(&embed["title"]) + length(&embed["description"]);
    }
    if together > 6000 {
        return Err("embeds have more than 6000 characters together".to_owned());
    }
    components(&list("components"))?;
    let files = list("attachments");
    let empty = length(&body["content"]) == 0 && embeds.is_empty() && files.is_empty();
    if empty {
        return Err("an empty message (50006)".to_owned());
    }
    if length(&body["nonce"]) > 25 {
        return Err("a nonce has at most 25 characters".to_owned());
    }
    Ok(())
}

fn components(rows: &[Value]) -> Result<(), String> {
    if rows.len() > 5 {
        return Err("more than 5 rows".to_owned());
    }
    let mut ids = BTreeSet::new();
    for row in rows {
        let buttons = row["components"].as_array().cloned().unwrap_or_default();
        if row["type"] != 1 || buttons.is_empty() || buttons.len() > 5 {
            return Err(format!("a row has 1 to 5 components: {row}"));
        }
        for button in buttons {
            if button["type"] != 2 || !(1..=4).contains(&button["style"].as_u64().unwrap_or(0)) {
                return Err(format!("not a button: {button}"));
            }
            within("a label", &button["label"], 1, 80)?;
            within("a custom_id", &button["custom_id"], 1, 100)?;
            if !ids.insert(button["custom_id"].to_string()) {
                return Err("two components have one custom_id".to_owned());
            }
        }
    }
    Ok(())
}

/// What opens for somebody.
pub(super) fn modal(data: &Value) -> Result<(), String> {
    known("a modal", data, &["custom_id", "title", "components"])?;
    within("a modal's custom_id", &data["custom_id"], 1, 100)?;
    within("a modal's title", &data["title"], 1, 45)?;
    let components = data["components"].as_array().cloned().unwrap_or_default();
    if components.is_empty() || components.len() > 5 {
        return Err("a modal has 1 to 5 components".to_owned());
    }
    for one in &components {
        match one["type"].as_u64() {
            Some(10) => within("a text", &one["content"], 1, 4000)?,
            Some(18) => label(one)?,
            _ => return Err(format!("a modal takes labels and texts: {one}")),
        }
    }
    Ok(())
}

fn label(label: &Value) -> Result<(), String> {
    known(
        "a label",
        label,
        &["type", "id", "label", "description", "component"],
    )?;
    within("a label", &label["label"], 1, 45)?;
    within("a label's description", &label["description"], 0, 100)?;
    let input = &label["component"];
    let fields = [
        "type",
        "id",
        "custom_id",
        "style",
        "min_length",
        "max_length",
        "required",
        "value",
        "placeholder",
    ];
    known("a text input", input, &fields)?;
    if input["type"] != 4 || !matches!(input["style"].as_u64(), Some(1 | 2)) {
        return Err(format!("not a text input: {input}"));
    }
    within("an input's custom_id", &input["custom_id"], 1, 100)?;
    let most = input["max_length"].as_u64().unwrap_or(4000);
    if !(1..=4000).contains(&most) {
        return Err("max_length is 1 to 4000".to_owned());
    }
    within(
        "an input's value",
        &input["value"],
        0,
        usize::try_from(most).unwrap(),
    )
}

/// What may be chosen.
pub(super) fn choices(data: &Value) -> Result<(), String> {
    let choices = data["choices"].as_array().ok_or("no choices")?;
    if choices.len() > 25 {
        return Err("more than 25 choices".to_owned());
    }
    for choice in choices {
        within("a choice's name", &choice["name"], 1, 100)?;
        within("a choice's value", &choice["value"], 0, 100)?;
    }
    Ok(())
}

/// A command that is registered.
pub(super) fn command(command: &Value) -> Result<(), String> {
    let mut together = 0;
    node(command, 0, &mut together)?;
    if together > 8000 {
        return Err(format!(
            "a command has {together} characters, 8000 are taken"
        ));
    }
    Ok(())
}

fn node(node: &Value, depth: usize, together: &mut usize) -> Result<(), String> {
    let name = node["name"].as_str().unwrap_or_default();
    let fits = (1..=32).contains(&name.chars().count())
        && name.to_lowercase() == name
        && name
            .chars()
            .all(|c| matches!(c, '-' | '_' | '\'') || c.is_alphanumeric());
    if !fits {
        return Err(format!("{name:?} is not a name"));
    }
    within("a description", &node["description"], 1, 100)?;
    *together += length(&node["name"]) + length(&node["description"]);
    let list = |key: &str| node[key].as_array().cloned().unwrap_or_default();
    let (choices, options) = (list("choices"), list("options"));
    if choices.len() > 25 || options.len() > 25 {
        return Err(format!("{name} has more than 25 options or choices"));
    }
    if !choices.is_empty() && node["autocomplete"] == true {
        return Err(format!("{name} has choices and autocomplete"));
    }
    for choice in &choices {
        within("a choice's name", &choice["name"], 1, 100)?;
        within("a choice's value", &choice["value"], 0, 100)?;
        *together += length(&choice["name"]) + length(&choice["value"]);
    }
    let kind = if depth == 0 {
        0
    } else {
        node["type"].as_u64().unwrap_or(0)
    };
    let mut names = BTreeSet::new();
    let mut optional = false;
    for option in &options {
        let inner = option["type"].as_u64().unwrap_or(0);
        let allowed = match (depth, kind) {
            (0, _) => true,
            (_, 2) => inner == 1,
            (_, 1) => inner > 2,
            _ => false,
        };
        if !allowed || !names.insert(option["name"].to_string()) {
            return Err(format!("{name} cannot have {}", option["name"]));
        }
        let required = option["required"] == true;
        if inner > 2 && required && optional {
            return Err(format!("{name} has a required option behind another"));
        }
        optional |= inner > 2 && !required;
        for bound in ["min_value", "max_value"] {
            let value = option[bound].as_f64().unwrap_or_default();
            if value.abs() > 9_007_199_254_740_992.0 {
                return Err(format!("{bound} is beyond 2^53"));
            }
        }
        self::node(option, depth + 1, together)?;
    }
    Ok(())
}
