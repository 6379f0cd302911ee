//! Making a reply fit into one message, and saying honestly what was left out.

use rave_domain::RunId;
use rave_domain::redact::printable;

/// Backticks in a row that output may keep; a fence is always one longer than the longest row.
const LONGEST_TICKS: usize = 15;

/// An output that does not fit keeps at least this much of its end.
const LEAST_CODE: usize = 400;

/// One rendered block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Lines of Markdown; what does not fit is left out at the end.
    Prose(Vec<String>),
    /// Program output; what does not fit is left out at the start, because errors come last.
    Code(Code),
}

/// Program output between fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    fence: String,
    lines: Vec<String>,
    /// Lines left out before the first.
    missing: usize,
}

impl Piece {
    pub(super) fn prose(lines: impl IntoIterator<Item = String>) -> Self {
        Self::Prose(lines.into_iter().collect())
    }

    pub(super) fn code(text: &str) -> Self {
        let text = shorter_ticks(&printable(text.as_bytes()));
        let fence = "`".repeat(longest_ticks(&text).max(2) + 1);
        Self::Code(Code {
            fence,
            lines: text.lines().map(str::to_owned).collect(),
            missing: 0,
        })
    }

    fn rendered(&self, run: Option<&RunId>) -> String {
        match self {
            Self::Prose(lines) => lines.join("\n"),
            Self::Code(code) => code.rendered(run),
        }
    }

    fn length(&self, run: Option<&RunId>) -> usize {
        self.rendered(run).chars().count()
    }
}

impl Code {
    fn rendered(&self, run: Option<&RunId>) -> String {
        let Self {
            fence,
            lines,
            missing,
        } = self;
        let note = match (missing, run) {
            (0, _) => String::new(),
            (_, Some(run)) => format!("… {} more: `/rave logs {run}`\n", lines_of(*missing)),
            (_, None) => format!("… {} more\n", lines_of(*missing)),
        };
        format!("{note}{fence}\n{}\n{fence}", lines.join("\n"))
    }

    /// Leaves out lines from the start until `budget` characters hold the rest.
    fn shorten(&mut self, budget: usize, run: Option<&RunId>) {
        // The note's own length is counted with a number that is at least as long.
        let all = self.missing + self.lines.len();
        let frame = Self {
            fence: self.fence.clone(),
            lines: Vec::new(),
            missing: all,
        };
        let room = budget.saturating_sub(frame.rendered(run).chars().count() + 1);
        let mut used = 0;
        let mut kept = Vec::new();
        for line in self.lines.iter().rev() {
            let length = line.chars().count() + 1;
            if used + length > room {
                if kept.is_empty() {
                    kept.push(end_of(line, room));
                }
                break;
            }
            used += length;
            kept.push(line.clone());
        }
        kept.reverse();
        self.missing = all - kept.len();
        self.lines = kept;
    }
}

/// All pieces as one message of at most `limit` characters.
pub(super) fn joined(mut pieces: Vec<Piece>, run: Option<&RunId>, limit: usize) -> String {
    let whole = together(&pieces, run);
    // There are at least as many bytes as characters, and counting those takes longer.
    if whole.len() <= limit {
        return whole;
    }
    if total(&pieces, run) > limit {
        shorten_code(&mut pieces, run, limit);
    }
    if total(&pieces, run) > limit {
        shorten_prose(&mut pieces, run, limit);
    }
    together(&pieces, run)
}

fn together(pieces: &[Piece], run: Option<&RunId>) -> String {
    let mut whole = String::new();
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            whole.push_str("\n\n");
        }
        match piece {
            Piece::Prose(lines) => {
                for (number, line) in lines.iter().enumerate() {
                    if number > 0 {
                        whole.push('\n');
                    }
                    whole.push_str(line);
                }
            }
            Piece::Code(code) => whole.push_str(&code.rendered(run)),
        }
    }
    whole
}

fn total(pieces: &[Piece], run: Option<&RunId>) -> usize {
    let between = pieces.len().saturating_sub(1) * 2;
    pieces.iter().map(|piece| piece.length(run)).sum::<usize>() + between
}

/// Gives every output an equal part of what the prose leaves; short ones pass on what they do not
/// need.
fn shorten_code(pieces: &mut [Piece], run: Option<&RunId>, limit: usize) {
    let prose: usize = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Prose(_)))
        .map(|piece| piece.length(run))
        .sum();
    let between = pieces.len().saturating_sub(1) * 2;
    let mut room = limit.saturating_sub(prose + between);
    let mut outputs: Vec<(usize, &mut Code)> = pieces
        .iter_mut()
        .filter_map(|piece| match piece {
            Piece::Code(code) => Some((code.rendered(run).chars().count(), code)),
            Piece::Prose(_) => None,
        })
        .collect();
    outputs.sort_by_key(|(length, _)| *length);
    let mut left = outputs.len();
    for (length, code) in outputs {
        let share = (room / left.max(1)).max(LEAST_CODE);
        if length > share {
            code.shorten(share, run);
        }
        room = room.saturating_sub(length.min(share));
        left -= 1;
    }
}

/// Keeps pieces in order as long as they fit; the first that does not is cut, the rest is left out.
fn shorten_prose(pieces: &mut Vec<Piece>, run: Option<&RunId>, limit: usize) {
    let note = run.map_or_else(
        || "… the rest does not fit here".to_owned(),
        |run| format!("… the rest does not fit here: `/rave show {run}`"),
    );
    let mut room = limit.saturating_sub(note.chars().count() + 2);
    let mut kept = Vec::new();
    for mut piece in std::mem::take(pieces) {
        let length = piece.length(run) + 2;
        if length <= room {
            room -= length;
            kept.push(piece);
            continue;
        }
        if let Piece::Prose(lines) = &mut piece {
            cut(lines, room.saturating_sub(2));
            if !lines.is_empty() {
                kept.push(piece);
            }
        }
        break;
    }
    kept.push(Piece::prose([note]));
    *pieces = kept;
}

/// Leaves the first lines that `room` characters hold; a first line that is longer is cut.
fn cut(lines: &mut Vec<String>, room: usize) {
    let mut used = 0;
    let mut keep = 0;
    for line in lines.iter() {
        let length = line.chars().count() + 1;
        if used + length > room {
            break;
        }
        used += length;
        keep += 1;
    }
    if keep == 0 && room > 1 {
        let first: String = lines
            .first()
            .into_iter()
            .flat_map(|line| line.chars())
            .take(room - 1)
            .collect();
        // An escape without what it escapes would reach into the next line.
        *lines = vec![format!("{}…", first.trim_end_matches('\\'))];
    } else {
        lines.truncate(keep);
    }
}

fn end_of(line: &str, room: usize) -> String {
    let length = line.chars().count();
    let skip = (length + 2).saturating_sub(room);
    format!("…{}", line.chars().skip(skip).collect::<String>())
}

fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Breaks up rows of backticks that would need an endless fence.
fn shorter_ticks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut row = 0;
    for c in text.chars() {
        row = if c == '`' { row + 1 } else { 0 };
        if row > LONGEST_TICKS {
            out.push('\u{200b}');
            row = 1;
        }
        out.push(c);
    }
    out
}

fn lines_of(number: usize) -> String {
    if number == 1 {
        "1 line".to_owned()
    } else {
        format!("{number} lines")
    }
}
