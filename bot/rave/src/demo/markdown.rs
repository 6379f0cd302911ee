//! The part of Mattermost's Markdown that Rave writes, as lines for a terminal.

/// Marks in front of bold text; [`PLAIN`] ends it. Rave's messages hold no control characters, so
/// these cannot come from outside.
pub(super) const BOLD: char = '\u{1}';

/// In front of names and commands.
pub(super) const CODE: char = '\u{2}';

/// Ends both.
pub(super) const PLAIN: char = '\u{3}';

/// A line before it is broken to a width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The text with its marks.
    pub(super) text: String,
    /// Columns before all of it.
    pub(super) indent: usize,
    /// Further columns before what does not fit into its first part.
    pub(super) hang: usize,
}

impl Line {
    /// A line with marks and without indentation.
    pub(super) fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            indent: 0,
            hang: 0,
        }
    }

    /// The line with its later parts further to the right.
    pub(super) fn hanging(mut self, columns: usize) -> Self {
        self.hang = columns;
        self
    }
}

/// A message as lines; blank ones are left out.
pub(super) fn lines(message: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut fence: Option<&str> = None;
    for line in message.lines() {
        match fence {
            Some(end) if line == end => fence = None,
            Some(_) => lines.push(Line {
                text: line.to_owned(),
                indent: 4,
                hang: 4,
            }),
            None if line.starts_with("```") => fence = Some(line),
            None if line.trim().is_empty() => {}
            // What can be done about it: one command a line, so that it can be copied whole.
            None => lines.extend(line.split(" · ").map(prose)),
        }
    }
    lines
}

fn prose(line: &str) -> Line {
    if let Some(heading) = line.strip_prefix("#### ") {
        return Line::of(&format!(
            "{BOLD}{}{PLAIN}",
            inline(heading).replace(PLAIN, "")
        ));
    }
    let number = line.chars().take_while(char::is_ascii_digit).count();
    let item = number > 0 && line.chars().nth(number) == Some('.');
    let hang = match (item, line.starts_with("- ")) {
        (true, _) => number + 2,
        (_, true) => 2,
        (false, false) => 0,
    };
    Line::of(&inline(line)).hanging(hang)
}

/// Markdown within a line: escapes, `**bold**`, names and commands between backticks.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut bold = false;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' => {
                let mut chars = rest.chars();
                out.extend(chars.next());
                rest = chars.as_str();
            }
            '`' => match rest.split_once('`') {
                Some((name, after)) => {
                    code(name, &mut out);
                    rest = after;
                }
                None => out.push('`'),
            },
            '*' if rest.starts_with('*') => {
                bold = !bold;
                out.push(if bold { BOLD } else { PLAIN });
                rest = rest.get(1..).unwrap_or_default();
            }
            // What keeps `@name` from being a mention has no width.
            '\u{200b}' => {}
            other => out.push(other),
        }
    }
    out
}

/// A name stands for itself; where a command begins and ends must be seen without colour too.
fn code(text: &str, out: &mut String) {
    let is_name = !text.contains(' ') || text.starts_with("undo of ");
    let tick = if is_name { "" } else { "`" };
    out.push_str(&format!("{CODE}{tick}{text}{tick}{PLAIN}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> Vec<String> {
        lines(message)
            .iter()
            .map(|line| format!("{}{}", " ".repeat(line.indent), line.text))
            .map(|text| text.replace([BOLD, CODE, PLAIN], ""))
            .collect()
    }

    #[test]
    fn the_forms_that_rave_writes_become_plain_lines() {
        let message = "#### ✅ run\\_1: all **good**\n\n1. `rollout_a`: **succeeded**, 1.2 s\n\n\
                       - **Touches:** 2 \\* 2\n\n```\n# not a `heading`\n```\n\nAsk @\u{200b}ann.\n\n\
                       Approve: `/rave approve run_1` · Cancel: `/rave cancel run_1`";
        assert_eq!(
            shown(message),
            [
                "✅ run_1: all good",
                "1. rollout_a: succeeded, 1.2 s",
                "- Touches: 2 * 2",
                "    # not a `heading`",
                "Ask @ann.",
                "Approve: `/rave approve run_1`",
                "Cancel: `/rave cancel run_1`",
            ]
        );
    }

    #[test]
    fn items_hang_below_their_text() {
        let hangs: Vec<usize> = lines("10. a\n- b\nc").iter().map(|it| it.hang).collect();
        assert_eq!(hangs, [4, 2, 0]);
    }
}
