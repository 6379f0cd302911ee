//! A neutral reply as Mattermost's Markdown.
//!
//! Text in blocks is plain and stays plain: Markdown in it is escaped, nothing in it mentions
//! anybody, and program output cannot end its code block. Names such as `rollout_stack_media` and
//! run ids stay as they are, so that people and programs can copy them.

mod escape;
mod fit;

use rave_domain::reply::{Block, Button, Reply, StepLine, Tone};

use escape::{code_span, one_line, plain};
use fit::Piece;

/// Posts hold 16383 characters (`PostMessageMaxRunesV2`), counted in Unicode code points.
pub const MESSAGE_LIMIT: usize = 16_383;

/// What becomes of buttons in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ButtonsAre {
    /// The commands that do the same.
    Commands,
    /// Not part of the text: the message has real ones below it.
    Real,
}

/// The reply as Markdown of at most [`MESSAGE_LIMIT`] characters.
#[must_use]
pub fn markdown(reply: &Reply) -> String {
    text(reply, ButtonsAre::Commands)
}

/// As [`markdown`], with or without the buttons.
pub(crate) fn text(reply: &Reply, buttons: ButtonsAre) -> String {
    let shown =
        |block: &&Block| buttons == ButtonsAre::Commands || !matches!(block, Block::Buttons(_));
    let mut pieces: Vec<Piece> = reply.blocks.iter().filter(shown).map(piece).collect();
    mark(&mut pieces, reply.tone);
    fit::joined(pieces, reply.run.as_ref(), MESSAGE_LIMIT)
}

fn piece(block: &Block) -> Piece {
    match block {
        Block::Heading(text) => Piece::prose([format!("#### {}", one_line(text))]),
        Block::Text(text) => Piece::prose(plain(text).lines().map(str::to_owned)),
        Block::Code(text) => Piece::code(text),
        Block::Fields(fields) => Piece::prose(
            fields
                .iter()
                .map(|(name, value)| format!("- **{}:** {}", one_line(name), one_line(value))),
        ),
        Block::List(items) => {
            Piece::prose(items.iter().map(|item| format!("- {}", one_line(item))))
        }
        Block::Steps(steps) => Piece::prose(steps.iter().map(step)),
        Block::Buttons(buttons) => {
            Piece::prose([buttons.iter().map(button).collect::<Vec<_>>().join(" · ")])
        }
    }
}

/// Words on one line for places that take no Markdown: buttons, dialogs, their errors.
pub(crate) fn bare(words: &str) -> String {
    let words = rave_domain::redact::printable(words.as_bytes());
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A paragraph of a dialog, which takes Markdown.
pub(crate) fn paragraph(words: &str) -> String {
    plain(words)
}

fn step(step: &StepLine) -> String {
    let StepLine {
        number,
        title,
        state,
        note,
    } = step;
    let mut line = format!("{number}. {}: **{}**", code_span(title), one_line(state));
    if !note.is_empty() {
        line.push_str(", ");
        line.push_str(&one_line(note));
    }
    line
}

/// Where there are no buttons, people type what a button would do.
fn button(button: &Button) -> String {
    format!(
        "{}: {}",
        one_line(&button.label),
        code_span(&button.typed())
    )
}

/// A sign in front of the first line; the words say the same without it.
fn mark(pieces: &mut Vec<Piece>, tone: Tone) {
    let Some(sign) = tone.sign() else { return };
    match pieces.first_mut() {
        Some(Piece::Prose(lines)) if lines.first().is_some_and(|line| !is_item(line)) => {
            if let Some(line) = lines.first_mut() {
                *line = match line.strip_prefix("#### ") {
                    Some(heading) => format!("#### {sign} {heading}"),
                    None => format!("{sign} {line}"),
                };
            }
        }
        Some(Piece::Prose(_) | Piece::Code(_)) | None => {
            pieces.insert(0, Piece::prose([sign.to_owned()]));
        }
    }
}

/// Whether a line begins a list, which a sign in front would break.
fn is_item(line: &str) -> bool {
    line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
