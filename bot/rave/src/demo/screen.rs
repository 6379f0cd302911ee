//! What the demo prints: a conversation in plain text, made for a terminal.

use std::io::{IsTerminal as _, Write as _};

use super::markdown::{self, BOLD, CODE, Line, PLAIN};

/// Nothing is wider, so that it fits into half of a screen.
const WIDTH: usize = 98;

/// Where messages begin: after two spaces and the speaker.
const MESSAGE: usize = 8;

/// Prints to standard output. Colour is an addition for terminals: words say the same alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: std::io::stdout().is_terminal() && !dumb && !refused,
        }
    }

    /// The heading of a part of the story.
    pub(super) fn scene(self, title: &str) {
        let rule = "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4));
        self.print(&format!("\n{BOLD}── {title} {PLAIN}{rule}"));
    }

    /// What the demo itself says.
    pub(super) fn narrate(self, text: &str) {
        self.put(&Line::of(text), 0, "");
    }

    /// What the demo says in the middle of a conversation.
    pub(super) fn remark(self, text: &str) {
        self.blank();
        self.put(&Line::of(text), 2, "");
    }

    /// What a person types.
    pub(super) fn typed(self, who: &str, command: &str) {
        self.blank();
        let line = Line::of(&format!("{CODE}{command}{PLAIN}"));
        self.put(&line, MESSAGE, &speaker(who));
    }

    /// A message of Rave's in Mattermost's Markdown; `seen_by` is the only one who sees it, if it
    /// is for one person.
    pub(super) fn answered(self, message: &str, seen_by: Option<&str>) {
        let mut name = speaker("rave");
        if let Some(only) = seen_by {
            let line = Line::of(&format!("(only {only} sees this)"));
            self.put(&line, MESSAGE, &std::mem::take(&mut name));
        }
        for line in markdown::lines(message) {
            self.put(&line, MESSAGE, &std::mem::take(&mut name));
        }
    }

    /// Something that is seen to happen meanwhile.
    pub(super) fn progress(self, text: &str) {
        self.put(&Line::of(&format!("· {text}")).hanging(2), MESSAGE, "");
    }

    /// What a program printed.
    pub(super) fn printed(self, text: &str) {
        for line in text.lines() {
            self.put(&Line::of(line).hanging(2), 4, "");
        }
    }

    /// A command for the reader's own terminal, as it is.
    pub(super) fn command(self, text: &str) {
        self.print(&format!("{CODE}{text}{PLAIN}"));
    }

    /// A name and what is to be said about it.
    pub(super) fn entry(self, name: &str, text: &str) {
        self.put(&Line::of(text), 14, &format!("  {BOLD}{name}{PLAIN}"));
    }

    pub(super) fn blank(self) {
        self.print("");
    }

    /// A line broken to the width, `indent` from the left; `first` stands before the first part.
    fn put(self, line: &Line, indent: usize, first: &str) {
        let mut margin = format!("{first}{}", " ".repeat(indent.saturating_sub(width(first))));
        let room = WIDTH.saturating_sub(indent + line.indent);
        for (number, part) in broken(&line.text, room, line.hang).iter().enumerate() {
            let hang = if number == 0 { 0 } else { line.hang };
            let text = format!("{margin}{}{part}", " ".repeat(line.indent + hang));
            self.print(text.trim_end());
            margin = " ".repeat(indent);
        }
    }

    fn print(self, text: &str) {
        let text = if self.colour {
            text.replace(BOLD, "\x1b[1m")
                .replace(CODE, "\x1b[36m")
                .replace(PLAIN, "\x1b[0m")
        } else {
            text.replace([BOLD, CODE, PLAIN], "")
        };
        // A reader that has gone away is not an error.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

fn speaker(who: &str) -> String {
    format!("  {BOLD}{who}{PLAIN}")
}

/// Columns of a text without its marks.
fn width(text: &str) -> usize {
    text.chars()
        .filter(|c| ![BOLD, CODE, PLAIN].contains(c))
        .count()
}

/// Breaks a line at spaces; a word that is too long for a line of its own is cut. Parts after the
/// first have `hang` columns less.
fn broken(text: &str, room: usize, hang: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let limit = |parts: &[String]| {
        if parts.is_empty() {
            room
        } else {
            room.saturating_sub(hang)
        }
    };
    for word in text.split(' ') {
        if !part.is_empty() && width(&part) + 1 + width(word) > limit(&parts) {
            parts.push(std::mem::take(&mut part));
        } else if !part.is_empty() {
            part.push(' ');
        }
        for letter in word.chars() {
            if width(&part) == limit(&parts) && width(letter.encode_utf8(&mut [0; 4])) > 0 {
                parts.push(std::mem::take(&mut part));
            }
            part.push(letter);
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_are_cut() {
        assert_eq!(broken("one two three", 8, 2), ["one two", "three"]);
        assert_eq!(
            broken("a verylongword", 6, 2),
            ["a", "very", "long", "word"]
        );
        assert_eq!(broken("", 8, 2), [""]);
        let marked = format!("{BOLD}one{PLAIN} two");
        assert_eq!(broken(&marked, 7, 0), [marked]);
    }
}
