//! A neutral reply as Slack's blocks.
//!
//! Text goes into `rich_text` blocks, whose text elements are shown as they are: nothing in them
//! is markup, so nothing in them is formatted, mentions anybody or ends the block of code that it
//! stands in. Only the text for notifications beside the blocks is `mrkdwn`, and there `&`, `<`
//! and `>` are escaped, without which Slack knows no mention, link or command.

mod fit;

use rave_domain::RunId;
use rave_domain::redact::printable;
use rave_domain::reply::{Block, Button, Press, Reply, StepLine, Tone};
use serde_json::{Value, json};

/// A message holds 50 blocks, a modal 100 ("Reference: blocks").
pub(crate) const MOST_BLOCKS: usize = 50;

/// Characters of text in one block: the limit of a section, kept by every block of text.
pub(crate) const LONGEST_BLOCK: usize = 3000;

/// Characters of text in all blocks of a message together. Slack refuses a message whose blocks are
/// too long (`msg_blocks_too_long`) and does not say when that is; 12,000 is what its own clients
/// let people write.
pub(crate) const LONGEST_MESSAGE: usize = 12_000;

/// Characters of the text beside the blocks; above 4,000 Slack advises against.
const LONGEST_FALLBACK: usize = 3000;

/// Elements of an `actions` block.
const MOST_BUTTONS: usize = 25;

/// Characters of a button's text.
const LONGEST_LABEL: usize = 75;

/// What `action_id`s of Rave's buttons begin with.
const ACTION: &str = "rave.";

/// A message as the Web API, `response_url`s and answers take it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// For notifications and for clients without blocks.
    pub(crate) text: String,
    pub(crate) blocks: Vec<Value>,
}

impl Message {
    pub(crate) fn of(reply: &Reply) -> Self {
        let mut pieces: Vec<Piece> = reply.blocks.iter().map(piece).collect();
        mark(&mut pieces, reply.tone);
        let pieces = fit::fitted(pieces, reply.run.as_ref());
        let text = fallback(&pieces);
        Self {
            blocks: fit::blocks(&pieces),
            text,
        }
    }
}

/// A rendered part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Lines of text, one below the other.
    Lines(Vec<Line>),
    /// Points of a list.
    Points(Vec<Line>),
    /// Program output.
    Code(Vec<String>),
    /// Buttons.
    Buttons(Vec<Button>),
}

/// A line of text.
type Line = Vec<Span>;

/// Text that looks the same throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    text: String,
    look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Bold,
    Code,
}

impl Span {
    fn new(text: impl Into<String>, look: Look) -> Self {
        Self {
            text: text.into(),
            look,
        }
    }

    fn element(&self) -> Value {
        match self.look {
            Look::Plain => json!({"type": "text", "text": self.text}),
            Look::Bold => json!({"type": "text", "text": self.text, "style": {"bold": true}}),
            Look::Code => json!({"type": "text", "text": self.text, "style": {"code": true}}),
        }
    }
}

fn piece(block: &Block) -> Piece {
    match block {
        Block::Heading(text) => Piece::Lines(vec![vec![Span::new(one_line(text), Look::Bold)]]),
        Block::Text(text) => {
            let text = printable(text.as_bytes());
            Piece::Lines(text.lines().map(words).collect())
        }
        Block::Code(text) => {
            let text = printable(text.as_bytes());
            Piece::Code(text.lines().map(str::to_owned).collect())
        }
        Block::Fields(fields) => Piece::Lines(
            fields
                .iter()
                .map(|(name, value)| {
                    let mut line = vec![Span::new(format!("{}: ", one_line(name)), Look::Bold)];
                    line.extend(words(&one_line(value)));
                    line
                })
                .collect(),
        ),
        Block::List(items) => {
            Piece::Points(items.iter().map(|item| words(&one_line(item))).collect())
        }
        Block::Steps(steps) => Piece::Lines(steps.iter().map(step).collect()),
        Block::Buttons(buttons) => Piece::Buttons(buttons.clone()),
    }
}

fn step(step: &StepLine) -> Line {
    let mut line = vec![
        Span::new(format!("{}. ", step.number), Look::Plain),
        Span::new(one_line(&step.title), Look::Code),
        Span::new(": ", Look::Plain),
        Span::new(one_line(&step.state), Look::Bold),
    ];
    if !step.note.is_empty() {
        line.push(Span::new(
            format!(", {}", one_line(&step.note)),
            Look::Plain,
        ));
    }
    line
}

/// Text on one line, without control characters.
fn one_line(text: &str) -> String {
    let text = printable(text.as_bytes());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line in which what messages put between backticks is code.
fn words(text: &str) -> Line {
    let mut line = Vec::new();
    let mut rest = text;
    while let Some((before, inside, after)) = rave_domain::reply::quoted(rest) {
        if !before.is_empty() {
            line.push(Span::new(before, Look::Plain));
        }
        line.push(Span::new(inside, Look::Code));
        rest = after;
    }
    if !rest.is_empty() {
        line.push(Span::new(rest, Look::Plain));
    }
    line
}

/// A sign in front of the first line; the words say the same without it.
fn mark(pieces: &mut Vec<Piece>, tone: Tone) {
    let Some(sign) = tone.sign() else { return };
    let sign = Span::new(format!("{sign} "), Look::Plain);
    match pieces.first_mut() {
        Some(Piece::Lines(lines)) if !lines.is_empty() => {
            if let Some(line) = lines.first_mut() {
                line.insert(0, sign);
            }
        }
        Some(_) | None => pieces.insert(0, Piece::Lines(vec![vec![sign]])),
    }
}

/// The whole as text, buttons left out.
fn fallback(pieces: &[Piece]) -> String {
    let mut text = String::new();
    let line = |line: &Line| {
        line.iter()
            .map(|span| span.text.as_str())
            .collect::<String>()
    };
    for piece in pieces {
        let lines: Vec<String> = match piece {
            Piece::Lines(lines) => lines.iter().map(line).collect(),
            Piece::Points(points) => points
                .iter()
                .map(|point| format!("• {}", line(point)))
                .collect(),
            Piece::Code(lines) => lines.clone(),
            Piece::Buttons(_) => continue,
        };
        for line in lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line);
        }
    }
    escaped(&text, LONGEST_FALLBACK)
}

/// Text that `mrkdwn` knows no reference in, of at most `room` characters.
pub(crate) fn escaped(text: &str, room: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let written = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        let length = written.len().max(1);
        if used + length >= room {
            out.push('…');
            break;
        }
        used += length;
        if written.is_empty() {
            out.push(c);
        } else {
            out.push_str(written);
        }
    }
    out
}

/// Text of at most so many characters.
pub(crate) fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let start: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

/// Buttons in blocks of at most 25. Every `action_id` of a message must be another.
fn actions(buttons: &[Button]) -> Vec<Value> {
    let elements: Vec<Value> = (1..).zip(buttons).map(button).collect();
    elements
        .chunks(MOST_BUTTONS)
        .map(|elements| json!({"type": "actions", "elements": elements}))
        .collect()
}

fn button((number, button): (usize, &Button)) -> Value {
    let label = shortened(&one_line(&button.label), LONGEST_LABEL);
    let mut element = json!({
        "type": "button",
        "text": {"type": "plain_text", "text": label, "emoji": false},
        "action_id": format!("{ACTION}{}.{number}", button.press.command()),
        "value": button.run.as_str(),
    });
    let style = match button.press {
        Press::Approve => Some("primary"),
        Press::Deny => Some("danger"),
        Press::Cancel | Press::Retry | Press::ShowLog => None,
    };
    if let (Some(style), Some(element)) = (style, element.as_object_mut()) {
        element.insert("style".to_owned(), style.into());
    }
    element
}

/// Which button it was, when it is one of Rave's.
pub(crate) fn pressed(action_id: &str, value: &str) -> Option<(Press, RunId)> {
    let (known, _) = action_id.strip_prefix(ACTION)?.split_once('.')?;
    Some((Press::of_command(known)?, RunId::new(value).ok()?))
}

#[cfg(test)]
mod tests;
