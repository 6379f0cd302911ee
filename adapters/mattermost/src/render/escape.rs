//! Plain text that stays plain.

use rave_domain::redact::printable;

/// Between `@` and a name: invisible, and no mention starts there any more.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Text with its lines, escaped.
pub(super) fn plain(text: &str) -> String {
    let text = printable(text.as_bytes());
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Text on one line, escaped: a line break would end the list item or heading it stands in.
pub(super) fn one_line(text: &str) -> String {
    line(
        &printable(text.as_bytes())
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// A name or command as code, which nothing inside can end.
pub(super) fn code_span(text: &str) -> String {
    if text.is_empty() || text.contains('`') {
        return one_line(text);
    }
    let text = printable(text.as_bytes())
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    format!("`{}`", without_mentions(&text))
}

/// One line, escaped. Names that messages put between backticks become code; a backtick without
/// its partner is only a character.
fn line(text: &str) -> String {
    let text = without_mentions(text);
    let indent = text.len() - text.trim_start().len();
    // Four spaces in front would make a line of text a code block.
    let mut rest = if indent > 3 {
        text.trim_start()
    } else {
        text.as_str()
    };
    let mut out = String::with_capacity(text.len() + 8);
    while let Some((before, inside, after)) = quoted(rest) {
        escape(before, &mut out);
        out.push('`');
        out.push_str(inside);
        out.push('`');
        rest = after;
    }
    escape(rest, &mut out);
    out
}

/// The first pair of single backticks with something between.
fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (inside, after) = rest.split_once('`')?;
    let single = !inside.trim().is_empty() && !after.starts_with('`') && !before.ends_with('\\');
    single.then_some((before, inside, after))
}

fn escape(text: &str, out: &mut String) {
    let mut before = out.chars().last().unwrap_or(' ');
    let mut chars = text.chars().peekable();
    let mut at_start = out.is_empty();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let special = match c {
            '\\' | '`' | '*' | '~' | '[' | ']' | '<' | '>' | '|' => true,
            // Inside a name it is a letter to Markdown, and names must stay as they are.
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            // At the start of a line: headings, lists, rules and underlines of headings.
            '#' | '+' | '-' | '=' => at_start,
            // `1.` and `1)` begin a list.
            '.' | ')' => {
                next.is_whitespace()
                    && before.is_ascii_digit()
                    && out.trim_start().chars().all(|c| c.is_ascii_digit())
            }
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
        at_start = at_start && c.is_whitespace();
        before = c;
    }
}

/// Breaks every `@` that could start a mention. In an address such as `ann@example.com` no name
/// starts, neither for the server (`ParseText`) nor for the clients.
fn without_mentions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        out.push(c);
        if c == '@' && !before.is_ascii_alphanumeric() {
            out.push(ZERO_WIDTH_SPACE);
        }
        before = c;
    }
    out
}
