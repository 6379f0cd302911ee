//! A neutral reply as a message of Discord's.
//!
//! Text in blocks is plain and stays plain: Markdown in it is escaped, nothing in it mentions
//! anybody or becomes a preview, and program output cannot end its code block. What fits is the
//! message's content; what does not is an embed, which holds twice as much.

mod escape;
mod fit;

use rave_domain::Timestamp;
use rave_domain::reply::{Block, Button, Press, Reply, StepLine, Tone};
use serenity::all::{ButtonStyle, InteractionResponseFlags, MessageFlags, Nonce};
use serenity::builder::{
    CreateActionRow, CreateAllowedMentions, CreateButton, CreateEmbed, CreateInteractionResponse,
    CreateInteractionResponseMessage, CreateMessage, EditMessage,
};

use crate::seals::Seals;
use escape::{code_span, plain};
use fit::Piece;

pub(crate) use escape::{length, one_line, shortened, unfenced};

/// Characters of a message's content ("Create Message").
pub(crate) const CONTENT_LIMIT: usize = 2000;

/// Characters of an embed's description ("Embed Limits").
pub(crate) const EMBED_LIMIT: usize = 4096;

/// Buttons of a row, and rows of a message ("Action Row").
const ROW: usize = 5;

/// Characters of a button's label.
const LONGEST_LABEL: usize = 80;

/// Who sees an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Only the person.
    Alone,
    /// Everybody in the channel.
    ByAll,
}

/// A reply in Discord's form, for all the ways to send it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    content: String,
    embed: Option<CreateEmbed>,
    rows: Vec<CreateActionRow>,
}

impl Rendered {
    /// The reply with its buttons, which are made at `now`.
    pub(crate) fn of(reply: &Reply, seals: &Seals, now: Timestamp) -> Self {
        let buttons: Vec<&Button> = reply
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Buttons(buttons) => Some(buttons),
                Block::Heading(_)
                | Block::Text(_)
                | Block::Code(_)
                | Block::Fields(_)
                | Block::List(_)
                | Block::Steps(_) => None,
            })
            .flatten()
            .collect();
        let made: Option<Vec<CreateButton>> = buttons
            .iter()
            .take(ROW * ROW)
            .map(|one| button(one, seals, now))
            .collect();
        let rows: Vec<CreateActionRow> = made
            .iter()
            .flat_map(|made| made.chunks(ROW))
            .map(|row| CreateActionRow::Buttons(row.to_vec()))
            .collect();
        // Without buttons people type what they would do.
        let typed = rows.is_empty();
        let mut pieces: Vec<Piece> = reply
            .blocks
            .iter()
            .filter(|block| typed || !matches!(block, Block::Buttons(_)))
            .map(piece)
            .collect();
        mark(&mut pieces, reply.tone);
        let run = reply.run.as_ref();
        let text = fit::joined(pieces, run, EMBED_LIMIT);
        if length(&text) <= CONTENT_LIMIT {
            return Self {
                content: text,
                embed: None,
                rows,
            };
        }
        let embed = CreateEmbed::new()
            .description(text)
            .color(colour(reply.tone));
        Self {
            content: String::new(),
            embed: Some(embed),
            rows,
        }
    }

    /// The answer to an interaction.
    pub(crate) fn answer(self, seen: Seen) -> CreateInteractionResponse {
        CreateInteractionResponse::Message(self.follow_up(seen))
    }

    /// A new message by the bot.
    pub(crate) fn message(self, nonce: String) -> CreateMessage {
        let flags = self.flags();
        CreateMessage::new()
            .content(self.content)
            .embeds(self.embed.into_iter().collect())
            .components(self.rows)
            .flags(flags)
            .allowed_mentions(nobody())
            .nonce(Nonce::String(nonce))
            .enforce_nonce(true)
    }

    /// A follow-up by an interaction's token ("Execute Webhook"): as an answer, without its frame.
    pub(crate) fn follow_up(self, seen: Seen) -> CreateInteractionResponseMessage {
        let mut flags = InteractionResponseFlags::empty();
        if seen == Seen::Alone {
            flags |= InteractionResponseFlags::EPHEMERAL;
        }
        if self.embed.is_none() {
            flags |= InteractionResponseFlags::SUPPRESS_EMBEDS;
        }
        CreateInteractionResponseMessage::new()
            .content(self.content)
            .embeds(self.embed.into_iter().collect())
            .components(self.rows)
            .flags(flags)
            .allowed_mentions(nobody())
    }

    /// The whole message anew; its files stay.
    pub(crate) fn edit(self) -> EditMessage {
        let flags = self.flags();
        EditMessage::new()
            .content(self.content)
            .embeds(self.embed.into_iter().collect())
            .components(self.rows)
            .flags(flags)
            .allowed_mentions(nobody())
    }

    /// Links in a text are not turned into previews; an embed of ours is shown.
    const fn flags(&self) -> MessageFlags {
        if self.embed.is_none() {
            MessageFlags::SUPPRESS_EMBEDS
        } else {
            MessageFlags::empty()
        }
    }
}

/// Without it, Discord mentions whoever a text names; an edit without it does so again.
pub(crate) fn nobody() -> CreateAllowedMentions {
    CreateAllowedMentions::new()
}

fn button(button: &Button, seals: &Seals, now: Timestamp) -> Option<CreateButton> {
    let id = seals.button(button.press, &button.run, now)?;
    let label: String = button.label.chars().take(LONGEST_LABEL).collect();
    Some(
        CreateButton::new(id)
            .label(label)
            .style(match button.press {
                Press::Approve => ButtonStyle::Success,
                Press::Deny => ButtonStyle::Danger,
                Press::Retry => ButtonStyle::Primary,
                Press::Cancel | Press::ShowLog => ButtonStyle::Secondary,
            }),
    )
}

fn piece(block: &Block) -> Piece {
    match block {
        Block::Heading(text) => Piece::prose([format!("**{}**", one_line(text))]),
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
            Piece::prose([buttons.iter().map(typed).collect::<Vec<_>>().join(" · ")])
        }
    }
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

fn typed(button: &Button) -> String {
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
                *line = format!("{sign} {line}");
            }
        }
        Some(Piece::Prose(_) | Piece::Code { .. }) | None => {
            pieces.insert(0, Piece::prose([sign.to_owned()]));
        }
    }
}

/// Whether a line begins a list, which a sign in front would break.
fn is_item(line: &str) -> bool {
    line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit())
}

const fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Neutral => 0x58_65F2,
        Tone::Good => 0x2E_CC71,
        Tone::Warning => 0xF1_C40F,
        Tone::Bad => 0xE7_4C3C,
    }
}

#[cfg(test)]
mod tests;
