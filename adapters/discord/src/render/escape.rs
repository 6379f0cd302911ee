//! Plain text that stays plain.

use rave_domain::redact::printable;

/// Between `@` and a name, or between backticks: invisible, and nothing starts or ends there.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Text with its lines, escaped.
pub(super) fn plain(text: &str) -> String {
    let text = printable(text.as_bytes());
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Text on one line, escaped: a line break would end the list item or heading it stands in.
pub(crate) fn one_line(text: &str) -> String {
    line(&unbroken(&printable(text.as_bytes())))
}

/// A name or command as code, which nothing inside can end.
pub(super) fn code_span(text: &str) -> String {
    if text.trim().is_empty() || text.contains('`') {
        return one_line(text);
    }
    format!("`{}`", unbroken(&printable(text.as_bytes())))
}

/// Three backticks anywhere would end a block, so they are kept apart by an invisible space.
pub(crate) fn unfenced(text: &str) -> String {
    text.replace("``", "`\u{200b}`")
}

/// Discord does not say how it counts; UTF-16 units are the most cautious reading.
pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The start of a text, and how much of it is missing, within `room`.
pub(crate) fn shortened(text: &str, room: usize) -> String {
    let whole = length(text);
    if whole <= room {
        return text.to_owned();
    }
    // The note is a little longer than any number in it.
    let start = start_of(text, room.saturating_sub(48));
    format!("{start}… {} characters more", whole - length(&start))
}

/// As much of the start as fits, without half an escape at its end.
pub(super) fn start_of(text: &str, room: usize) -> String {
    let mut used = 0;
    let start: String = text
        .chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= room
        })
        .collect();
    start.trim_end_matches('\\').to_owned()
}

/// As much of the end as fits.
pub(super) fn end_of(text: &str, room: usize) -> &str {
    let mut used = 0;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        used += c.len_utf16();
        if used > room {
            break;
        }
        from = at;
    }
    text.get(from..).unwrap_or_default()
}

/// Words with one space between them.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line, escaped. Names that messages put between backticks become code; a backtick without
/// its partner is only a character.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
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

/// Escapes what Discord's Markdown knows: emphasis, code, spoilers, links, mentions and times in
/// `<…>`, and at the start of a line headings, quotes, lists and small text.
fn escape(text: &str, out: &mut String) {
    let mut before = out.chars().next_back().unwrap_or(' ');
    let mut at_start = out.is_empty();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let special = match c {
            '\\' | '`' | '*' | '~' | '|' | '[' | ']' | '<' => true,
            // Inside a name it is a letter, and names must stay as they are.
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            '#' | '>' | '-' | '+' => at_start,
            // `1.` begins a list.
            '.' => before.is_ascii_digit() && next.is_whitespace() && is_number(out),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
        // Mentions are off, but `@everyone` would still be coloured like one.
        if c == '@' && !before.is_alphanumeric() {
            out.push(ZERO_WIDTH_SPACE);
        }
        at_start = at_start && c.is_whitespace();
        before = c;
    }
}

fn is_number(text: &str) -> bool {
    text.trim_start().bytes().all(|b| b.is_ascii_digit())
}
