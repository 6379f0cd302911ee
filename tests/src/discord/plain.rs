//! Markdown as people read it.

/// The words of a message, without the marks around them.
pub(super) fn plain(markdown: &str) -> String {
    let mut lines = Vec::new();
    let mut code = false;
    for line in markdown.lines() {
        if line == "```" {
            code = !code;
            continue;
        }
        let line = if code {
            line.replace('\u{200b}', "")
        } else {
            words(line)
        };
        if !line.trim().is_empty() {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn words(line: &str) -> String {
    let line = line.strip_prefix("- ").unwrap_or(line);
    let mut words = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => words.extend(chars.next()),
            '`' | '\u{200b}' => {}
            '*' if chars.peek() == Some(&'*') => {
                chars.next();
            }
            c => words.push(c),
        }
    }
    words
}
