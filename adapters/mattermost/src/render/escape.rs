//! Plain text that stays plain.

use std::borrow::Cow;

use rave_domain::redact::printable;

/// Between `@` and a name: invisible, and no mention starts there any more.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Text with its lines, escaped.
pub(super) fn plain(text: &str) -> String {
    let text = clean(text);
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Text on one line, escaped: a line break would end the list item or heading it stands in.
pub(super) fn one_line(text: &str) -> String {
    line(&unbroken(&clean(text)))
}

/// A name or command as code, which nothing inside can end.
pub(super) fn code_span(text: &str) -> String {
    if text.is_empty() || text.contains('`') {
        return one_line(text);
    }
    format!("`{}`", without_mentions(&unbroken(&clean(text))))
}

/// Text without control characters. Most has none and is not copied.
fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.bytes().all(harmless) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(printable(text.as_bytes()))
    }
}

/// Words with one space between them.
fn unbroken(text: &str) -> Cow<'_, str> {
    let mut after_space = true;
    let single = text.chars().all(|c| {
        let fine = !c.is_whitespace() || (c == ' ' && !after_space);
        after_space = c.is_whitespace();
        fine
    });
    if single && !text.ends_with(' ') {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// One line, escaped. Names that messages put between backticks become code; a backtick without
/// its partner is only a character.
fn line(text: &str) -> String {
    let text = without_mentions(text);
    let indent = text.len() - text.trim_start().len();
    // Four spaces in front would make a line of text a code block.
    let mut rest = if indent > 3 { text.trim_start() } else { &text };
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

/// A pair of backticks that nothing of Markdown takes away.
fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    rave_domain::reply::quoted(text).filter(|(before, _, _)| !before.ends_with('\\'))
}

fn escape(text: &str, out: &mut String) {
    let mut before = out.chars().last().unwrap_or(' ');
    let mut at_start = out.is_empty();
    let mut number = out.trim_start().chars().all(|c| c.is_ascii_digit());
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let next = || text.get(at + c.len_utf8()..)?.chars().next();
        let special = match c {
            '\\' | '`' | '*' | '~' | '[' | ']' | '<' | '>' | '|' => true,
            // Inside a name it is a letter to Markdown, and names must stay as they are.
            '_' => !(before.is_alphanumeric() && next().is_some_and(char::is_alphanumeric)),
            // At the start of a line: headings, lists, rules and underlines of headings.
            '#' | '+' | '-' | '=' => at_start,
            // `1.` and `1)` begin a list.
            '.' | ')' => {
                number && before.is_ascii_digit() && next().is_none_or(char::is_whitespace)
            }
            _ => false,
        };
        if special {
            out.push_str(text.get(copied..at).unwrap_or_default());
            out.push('\\');
            copied = at;
        }
        number = number && (c.is_ascii_digit() || (at_start && c.is_whitespace()));
        at_start = at_start && c.is_whitespace();
        before = c;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
}

/// Breaks every `@` that could start a mention. In an address such as `ann@example.com` no name
/// starts, neither for the server (`ParseText`) nor for the clients.
fn without_mentions(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        out.push(c);
        if c == '@' && !before.is_ascii_alphanumeric() {
            out.push(ZERO_WIDTH_SPACE);
        }
        before = c;
    }
    Cow::Owned(out)
}
