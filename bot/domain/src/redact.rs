//! Redaction: known secrets are masked in full wherever they appear, also across the borders of
//! chunks and in their base64, URL, JSON and hex forms.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// What stands in for a secret. Says nothing about its length.
pub const MASK: &str = "••••";

/// Secrets shorter than this are not searched for: masking every "on" would hide the output and
/// protect nothing.
pub const SHORTEST: usize = 4;

/// The forms of a set of secrets to look for.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret containing another is masked whole.
    forms: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

impl Redactor {
    /// Prepares to mask these secrets.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            if secret.len() >= SHORTEST {
                forms.extend(forms_of(secret));
            }
        }
        let mut forms: Vec<Vec<u8>> = forms.into_iter().filter(|f| f.len() >= SHORTEST).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self { forms }
    }

    /// Whether there is anything to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Masks every secret in a complete text.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.forms.is_empty() {
            return text.to_owned();
        }
        let mut out = Vec::with_capacity(text.len());
        self.scan(text.as_bytes(), text.len(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Copies input to `out` with secrets masked, starting matches only before `until`; returns
    /// how many input bytes were consumed.
    fn scan(&self, input: &[u8], until: usize, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < until {
            let rest = input.get(at..).unwrap_or_default();
            match self.forms.iter().find(|form| rest.starts_with(form)) {
                Some(form) => {
                    out.extend_from_slice(MASK.as_bytes());
                    at += form.len();
                }
                None => {
                    out.extend(rest.first());
                    at += 1;
                }
            }
        }
        at
    }

    fn longest(&self) -> usize {
        self.forms.first().map_or(0, Vec::len)
    }
}

/// All forms in which a program may print a secret.
fn forms_of(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let url: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let percent = url.replace('+', "%20");
    let json = serde_json::Value::String(secret.to_owned()).to_string();
    let json = json.trim_matches('"').to_owned();
    let mut forms = vec![
        bytes.to_vec(),
        url.to_lowercase().into_bytes(),
        url.into_bytes(),
        percent.to_lowercase().into_bytes(),
        percent.into_bytes(),
        json.replace('/', "\\/").into_bytes(),
        json.into_bytes(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
    ];
    forms.extend(base64_forms(bytes));
    forms
}

/// Base64 of the secret wherever it stands in a longer text: three alignments, of each only the
/// characters that the neighbours cannot change.
fn base64_forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        STANDARD.encode(bytes).into_bytes(),
        STANDARD_NO_PAD.encode(bytes).into_bytes(),
        URL_SAFE.encode(bytes).into_bytes(),
        URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
    ];
    for shift in 0..3_usize {
        let mut shifted = vec![0_u8; shift];
        shifted.extend_from_slice(bytes);
        let fixed_from = shift.div_ceil(3) * 4;
        let fixed_to = shifted.len() / 3 * 4;
        for encoded in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            // Very short cores would mask innocent text.
            if let Some(core) = encoded.get(fixed_from..fixed_to).filter(|c| c.len() >= 8) {
                forms.push(core.as_bytes().to_vec());
            }
        }
    }
    forms
}

/// Masks a stream whose secrets may be cut anywhere: holds back as much as could still become one.
#[derive(Debug, Clone)]
pub struct StreamRedactor {
    redactor: Redactor,
    held: Vec<u8>,
}

impl StreamRedactor {
    /// A stream of its own.
    #[must_use]
    pub fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            held: Vec::new(),
        }
    }

    /// Takes the next chunk and gives what can be shown.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.redactor.is_empty() {
            return chunk.to_vec();
        }
        self.held.extend_from_slice(chunk);
        let keep = self.redactor.longest().saturating_sub(1);
        let until = self.held.len().saturating_sub(keep);
        let mut out = Vec::with_capacity(until);
        let consumed = self.redactor.scan(&self.held, until, &mut out);
        self.held.drain(..consumed.min(self.held.len()));
        out
    }

    /// Gives the rest at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        self.redactor.scan(&self.held, self.held.len(), &mut out);
        self.held.clear();
        out
    }
}

/// Output as people may see it: UTF-8, without control characters and escape sequences. Keeps line
/// feeds and tabs; a carriage return becomes a line feed so that progress bars stay readable.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\n' | '\t' => out.push(c),
            // Direction overrides can make text read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Skips the rest of a terminal escape sequence (ECMA-48 CSI and OSC, or a two-character one).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
}

/// Names whose values are masked in parameters and details, whatever they hold.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "password",
        "passwd",
        "token",
        "secret",
        "api_key",
        "apikey",
        "authorization",
        "credential",
        "session",
        "private_key",
    ]
    .iter()
    .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_masked_in_every_form() {
        let redactor = Redactor::new(["s3cr/et+pass"]);
        for form in [
            "s3cr/et+pass",
            "s3cr%2Fet%2Bpass",
            "s3cr%2fet%2bpass",
            r"s3cr\/et+pass",
            "czNjci9ldCtwYXNz",
            "733363722f65742b70617373",
        ] {
            let shown = redactor.text(&format!("before {form} after"));
            assert_eq!(shown, format!("before {MASK} after"), "{form}");
        }
        let inside = STANDARD.encode("user:s3cr/et+pass");
        assert!(redactor.text(&inside).contains(MASK), "{inside}");
    }

    #[test]
    fn terminal_escapes_are_stripped() {
        let shown = printable(b"\x1b[31mred\x1b[0m\x1b]0;title\x07 a\rb\x00\xff");
        assert_eq!(shown, "red a\nb\u{fffd}");
    }

    proptest! {
        #[test]
        fn a_secret_never_shows_however_it_is_cut(
            secret in "[a-z0-9]{6,20}",
            before in "[A-Z ]{0,40}",
            after in "[A-Z ]{0,40}",
            cuts in proptest::collection::vec(1_usize..7, 1..40),
        ) {
            let text = format!("{before}{secret}{after}");
            let mut stream = StreamRedactor::new(Redactor::new([secret.as_str()]));
            let mut shown = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                shown.extend(stream.push(chunk));
                rest = tail;
            }
            shown.extend(stream.push(rest));
            shown.extend(stream.finish());
            let shown = String::from_utf8(shown).unwrap();
            prop_assert_eq!(shown, format!("{before}{MASK}{after}"));
        }
    }
}
