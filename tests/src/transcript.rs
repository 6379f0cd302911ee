//! What was said, as one text for a snapshot.

/// The conversation so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    /// Adds what somebody said; continuation lines are indented.
    pub(crate) fn add(&mut self, who: &str, text: &str) {
        let mut lines = text.lines();
        self.0.push_str(who);
        self.0.push_str(": ");
        self.0.push_str(lines.next().unwrap_or_default());
        self.0.push('\n');
        for line in lines {
            if !line.is_empty() {
                self.0.push_str("    ");
                self.0.push_str(line);
            }
            self.0.push('\n');
        }
    }

    /// The conversation since it was last taken, left where it is.
    pub(crate) fn text(&self) -> String {
        redacted(&self.0)
    }

    /// The conversation since the last time it was taken.
    pub(crate) fn take(&mut self) -> String {
        redacted(&std::mem::take(&mut self.0))
    }
}

/// The text with digests (12 or 64 hex digits with a letter among them) as `D`. Everything else is
/// the same in every run of a test: time is turned by hand and ids count.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        out.push_str(if is_digest(&word) { "D" } else { &word });
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

fn is_digest(word: &str) -> bool {
    matches!(word.len(), 12 | 64)
        && word
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
