//! Markdown as people read it.

/// The words of a message, without the marks around them.
pub(super) fn plain(markdown: &str) -> String {
    let lines = markdown.lines().map(|line| {
        let line = line.strip_prefix("#### ").unwrap_or(line);
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
    });
    let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n")
}
