//! The words of a command: `vm logs <company> [service]`.

use std::fmt;

use serde::Serialize;

use crate::template::is_param_name;

/// The words that call an intent, and the parameters that positions fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandPattern {
    /// Fixed words, matched without regard to case: `vm`, `logs`.
    pub words: Vec<String>,
    /// Positions after them, the required ones first.
    pub slots: Vec<Slot>,
}

/// A position that fills a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// The parameter's name as declared.
    pub param: String,
    /// `<required>` or `[optional]`.
    pub required: bool,
}

impl CommandPattern {
    /// The command of an intent that states none: its dotted name and no positions.
    #[must_use]
    pub fn of_name(name: &rave_domain::IntentName) -> Self {
        Self {
            words: vec![name.to_string()],
            slots: Vec::new(),
        }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pattern = Self {
            words: Vec::new(),
            slots: Vec::new(),
        };
        for part in text.split_whitespace() {
            if let Some(slot) = slot(part)? {
                pattern.add_slot(slot)?;
            } else if !pattern.slots.is_empty() {
                return Err(format!(
                    "the word `{part}` stands after a parameter; put all fixed words first"
                ));
            } else if is_word(part) {
                pattern.words.push(part.to_owned());
            } else if part.starts_with('-') {
                return Err(format!(
                    "`{part}` need not be listed: every parameter can be given as --name"
                ));
            } else {
                return Err(format!(
                    "`{part}` is not a word, `<required>` or `[optional]`"
                ));
            }
        }
        if pattern.words.is_empty() {
            return Err("a command starts with a fixed word".to_owned());
        }
        Ok(pattern)
    }

    fn add_slot(&mut self, slot: Slot) -> Result<(), String> {
        if self.slots.iter().any(|before| before.param == slot.param) {
            return Err(format!("`{}` stands here twice", slot.param));
        }
        if slot.required && self.slots.last().is_some_and(|before| !before.required) {
            return Err(format!(
                "`<{}>` stands after an optional parameter",
                slot.param
            ));
        }
        self.slots.push(slot);
        Ok(())
    }

    /// What commands are told apart by: the fixed words in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.words.join(" ").to_lowercase()
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))?;
        for slot in &self.slots {
            if slot.required {
                write!(f, " <{}>", slot.param)?;
            } else {
                write!(f, " [{}]", slot.param)?;
            }
        }
        Ok(())
    }
}

fn slot(part: &str) -> Result<Option<Slot>, String> {
    let (inside, required) = if let Some(rest) = part.strip_prefix('<') {
        (rest.strip_suffix('>'), true)
    } else if let Some(rest) = part.strip_prefix('[') {
        (rest.strip_suffix(']'), false)
    } else {
        return Ok(None);
    };
    match inside {
        Some(name) if is_param_name(name) => Ok(Some(Slot {
            param: name.to_owned(),
            required,
        })),
        _ => Err(format!("`{part}` is not `<name>` or `[name]`")),
    }
}

/// Words that need no quotes and cannot be taken for an option or `key=value`.
fn is_word(part: &str) -> bool {
    part.len() <= 64
        && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_prints_as_it_was_written() {
        let pattern = CommandPattern::parse("vm logs <company> [service]").unwrap();
        assert_eq!(pattern.words, ["vm", "logs"]);
        assert_eq!(pattern.to_string(), "vm logs <company> [service]");
        assert_eq!(
            CommandPattern::parse("User Bulk-Add").unwrap().key(),
            "user bulk-add"
        );
    }

    #[test]
    fn what_could_not_be_typed_is_refused() {
        let error = |text| CommandPattern::parse(text).unwrap_err();
        insta::assert_snapshot!(error("vm <company> start"), @"the word `start` stands after a parameter; put all fixed words first");
        insta::assert_snapshot!(error("vm [a] <b>"), @"`<b>` stands after an optional parameter");
        insta::assert_snapshot!(error("vm <a> [a]"), @"`a` stands here twice");
        insta::assert_snapshot!(error("vm <a b>"), @"`<a` is not `<name>` or `[name]`");
        insta::assert_snapshot!(error("vm --force"), @"`--force` need not be listed: every parameter can be given as --name");
        insta::assert_snapshot!(error("vm a=b"), @"`a=b` is not a word, `<required>` or `[optional]`");
        insta::assert_snapshot!(error(" "), @"a command starts with a fixed word");
    }
}
