//! From a line to words, quoted as in a shell.
//!
//! Chat clients replace what people type: straight quotes become curly ones and `--` becomes a
//! dash. Both are read as what was meant. An apostrophe inside a word (`don’t`) stays one.

use rave_domain::{ErrorCode, UserError};

/// The most words of a line.
pub const MAX_WORDS: usize = 200;

/// One word, its quotes taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Where the first `=` stands that was not quoted.
    pub(crate) equals: Option<usize>,
    /// `--name`, `-f` or `--`: starts with a dash that was not quoted and is not a number.
    pub(crate) is_option: bool,
}

/// Takes words off a line one by one, so that free text behind them need not be quoted.
pub(crate) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// What has not been taken yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// The next word.
    pub(crate) fn word(&mut self) -> Result<Option<Word>, UserError> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut word = Word {
            text: String::new(),
            equals: None,
            is_option: false,
        };
        let mut chars = self.rest.char_indices();
        let mut first = true;
        while let Some((at, c)) = chars.next() {
            if c.is_whitespace() {
                self.rest = self.rest.get(at..).unwrap_or_default();
                return Ok(Some(word));
            }
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => word.text.push(escaped),
                    None => {
                        return Err(bad(
                            "the line ends with a backslash",
                            "write \\\\ for a backslash",
                        ));
                    }
                },
                c if let Some(closing) = closing_quote(c, first) => {
                    quoted(&mut chars, &mut word.text, closing)?;
                }
                // A dash that a phone made of two.
                '—' | '–'
                    if first
                        && chars
                            .clone()
                            .next()
                            .is_some_and(|(_, c)| c.is_ascii_alphabetic()) =>
                {
                    word.is_option = true;
                    word.text.push_str("--");
                }
                c => {
                    word.is_option |= first && c == '-';
                    if c == '=' && word.equals.is_none() {
                        word.equals = Some(word.text.len());
                    }
                    word.text.push(c);
                }
            }
            first = false;
        }
        self.rest = "";
        Ok(Some(word))
    }

    /// All words that are left.
    pub(crate) fn words(mut self) -> Result<Vec<Word>, UserError> {
        let mut words = Vec::new();
        while let Some(word) = self.word()? {
            if words.len() == MAX_WORDS {
                return Err(bad(
                    format!("the line has more than {MAX_WORDS} words"),
                    "long values belong into quotes or a file",
                ));
            }
            words.push(finished(word));
        }
        Ok(words)
    }
}

/// `-5` and `-` are values, not options.
fn finished(mut word: Word) -> Word {
    let second = word.text.chars().nth(1);
    word.is_option &= second.is_some_and(|c| !c.is_ascii_digit() && c != '.');
    word
}

fn closing_quote(c: char, at_start: bool) -> Option<&'static [char]> {
    match c {
        '"' => Some(&['"']),
        '\'' => Some(&['\'']),
        '“' | '”' | '„' => Some(&['“', '”', '"']),
        '‘' if at_start => Some(&['’']),
        _ => None,
    }
}

fn quoted(
    chars: &mut std::str::CharIndices<'_>,
    text: &mut String,
    closing: &[char],
) -> Result<(), UserError> {
    while let Some((_, c)) = chars.next() {
        if closing.contains(&c) {
            return Ok(());
        }
        // Inside double quotes a backslash speaks for the quote and itself; elsewhere it is text.
        if c == '\\' && !closing.contains(&'\'') {
            let next = chars.clone().next();
            if let Some((_, escaped)) = next
                && (escaped == '\\' || closing.contains(&escaped))
            {
                text.push(escaped);
                chars.next();
                continue;
            }
        }
        text.push(c);
    }
    Err(bad(
        "a quote is opened and not closed",
        "close it, or write \\ in front of a quote that is meant as text",
    ))
}

pub(crate) fn bad(message: impl Into<String>, hint: impl Into<String>) -> UserError {
    UserError::new(ErrorCode::BadRequest, message).hint(hint)
}

/// A text as one word of a line: bare when that is safe, otherwise in single quotes.
pub(crate) fn quote(text: &str) -> String {
    let bare = !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+,~".contains(&b));
    if bare {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = Lexer::new(line).words().unwrap();
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_split_and_unquoted_as_in_a_shell() {
        assert_eq!(
            words(r#"a  'b c' "d \"e\" \n" f\ g h'i'"j""#),
            ["a", "b c", r#"d "e" \n"#, "f g", "hij"]
        );
        assert_eq!(words("a '' b"), ["a", "", "b"]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn what_a_phone_makes_of_quotes_and_dashes_is_understood() {
        assert_eq!(
            words("say “two words” „drei“ ‘x y’ don’t"),
            ["say", "two words", "drei", "x y", "don’t"]
        );
        let option = Lexer::new("—keypair").words().unwrap();
        assert_eq!(option[0].text, "--keypair");
        assert!(option[0].is_option);
        assert_eq!(words("a\u{a0}b"), ["a", "b"]);
    }

    #[test]
    fn only_unquoted_dashes_and_equals_have_a_meaning() {
        let word = |line: &str| Lexer::new(line).words().unwrap().remove(0);
        assert!(word("--a").is_option && word("-f").is_option && word("--").is_option);
        assert!(!word("'--a'").is_option && !word("-5").is_option && !word("-").is_option);
        assert_eq!(word("a=b=c").equals, Some(1));
        assert_eq!(word("a'='b").equals, None);
    }

    #[test]
    fn an_open_quote_is_explained() {
        let error = Lexer::new("a \"b").words().unwrap_err();
        insta::assert_snapshot!(error, @r"a quote is opened and not closed; close it, or write \ in front of a quote that is meant as text");
        let error = Lexer::new("a \\").words().unwrap_err();
        insta::assert_snapshot!(error, @r"the line ends with a backslash; write \\ for a backslash");
        let error = Lexer::new(&"a ".repeat(201)).words().unwrap_err();
        insta::assert_snapshot!(error, @"the line has more than 200 words; long values belong into quotes or a file");
    }
}
