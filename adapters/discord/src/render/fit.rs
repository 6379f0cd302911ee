//! Making a reply fit into one message, and saying honestly what was left out.

use rave_domain::RunId;
use rave_domain::redact::printable;

use super::escape::{end_of, length, start_of, unfenced};

/// An output that does not fit keeps at least this much of its end.
const LEAST_CODE: usize = 300;

/// One rendered block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Lines of Markdown; what does not fit is left out at the end.
    Prose(Vec<String>),
    /// Program output between fences; what does not fit is left out at the start, because errors
    /// come last.
    Code {
        /// What is left of it.
        lines: Vec<String>,
        /// Lines left out before the first.
        missing: usize,
    },
}

impl Piece {
    pub(super) fn prose(lines: impl IntoIterator<Item = String>) -> Self {
        Self::Prose(lines.into_iter().collect())
    }

    pub(super) fn code(text: &str) -> Self {
        let text = unfenced(&printable(text.as_bytes()));
        let lines: Vec<String> = text.trim_matches('\n').lines().map(str::to_owned).collect();
        // Discord shows the fences of an empty block.
        if lines.iter().all(|line| line.trim().is_empty()) {
            return Self::Prose(Vec::new());
        }
        Self::Code { lines, missing: 0 }
    }

    fn rendered(&self, run: Option<&RunId>) -> String {
        match self {
            Self::Prose(lines) => lines.join("\n"),
            Self::Code { lines, missing } => {
                let lines = lines.join("\n");
                format!("{}```\n{lines}\n```", note(*missing, run))
            }
        }
    }

    fn length(&self, run: Option<&RunId>) -> usize {
        length(&self.rendered(run))
    }

    /// Leaves out lines of an output from the start until `room` holds the rest.
    fn shorten(&mut self, room: usize, run: Option<&RunId>) {
        let Self::Code { lines, missing } = self else {
            return;
        };
        let all = *missing + lines.len();
        // The note is counted with a number that is at least as long.
        let room = room.saturating_sub(length(&note(all, run)) + length("```\n\n```"));
        let mut used = 0;
        let mut kept = Vec::new();
        for line in lines.iter().rev() {
            let long = length(line) + 1;
            if used + long > room {
                if kept.is_empty() {
                    kept.push(format!("…{}", end_of(line, room.saturating_sub(2))));
                }
                break;
            }
            used += long;
            kept.push(line.clone());
        }
        kept.reverse();
        *missing = all - kept.len();
        *lines = kept;
    }
}

fn note(missing: usize, run: Option<&RunId>) -> String {
    let lines = match missing {
        0 => return String::new(),
        1 => "1 line".to_owned(),
        more => format!("{more} lines"),
    };
    match run {
        Some(run) => format!("… {lines} more: `/rave logs {run}`\n"),
        None => format!("… {lines} more\n"),
    }
}

/// All pieces as one message of at most `limit` characters.
pub(super) fn joined(mut pieces: Vec<Piece>, run: Option<&RunId>, limit: usize) -> String {
    pieces.retain(|piece| *piece != Piece::Prose(Vec::new()));
    if total(&pieces, run) > limit {
        shorten_code(&mut pieces, run, limit);
    }
    if total(&pieces, run) > limit {
        shorten_prose(&mut pieces, run, limit);
    }
    let rendered: Vec<String> = pieces.iter().map(|piece| piece.rendered(run)).collect();
    rendered.join("\n\n")
}

fn total(pieces: &[Piece], run: Option<&RunId>) -> usize {
    let between = pieces.len().saturating_sub(1) * 2;
    pieces.iter().map(|piece| piece.length(run)).sum::<usize>() + between
}

/// Gives every output an equal part of what the prose leaves; short ones pass on what they do not
/// need.
fn shorten_code(pieces: &mut [Piece], run: Option<&RunId>, limit: usize) {
    let between = pieces.len().saturating_sub(1) * 2;
    let mut prose = 0;
    let mut outputs = Vec::new();
    for piece in pieces {
        let long = piece.length(run);
        match piece {
            Piece::Prose(_) => prose += long,
            Piece::Code { .. } => outputs.push((long, piece)),
        }
    }
    outputs.sort_by_key(|(long, _)| *long);
    let mut room = limit.saturating_sub(prose + between);
    let mut left = outputs.len();
    for (long, output) in outputs {
        let share = (room / left.max(1)).max(LEAST_CODE);
        if long > share {
            output.shorten(share, run);
        }
        room = room.saturating_sub(long.min(share));
        left -= 1;
    }
}

/// Keeps pieces in order as long as they fit; the first that does not is cut, the rest left out.
fn shorten_prose(pieces: &mut Vec<Piece>, run: Option<&RunId>, limit: usize) {
    let note = run.map_or_else(
        || "… the rest does not fit here".to_owned(),
        |run| format!("… the rest does not fit here: `/rave show {run}`"),
    );
    let mut room = limit.saturating_sub(length(&note) + 2);
    let mut kept = Vec::new();
    for piece in std::mem::take(pieces) {
        let long = piece.length(run) + 2;
        if long <= room {
            room -= long;
            kept.push(piece);
            continue;
        }
        if let Piece::Prose(lines) = piece {
            let lines = cut(lines, room.saturating_sub(2));
            if !lines.is_empty() {
                kept.push(Piece::Prose(lines));
            }
        }
        break;
    }
    kept.push(Piece::prose([note]));
    *pieces = kept;
}

/// Leaves the first lines that `room` characters hold; a first line that is longer is cut.
fn cut(mut lines: Vec<String>, room: usize) -> Vec<String> {
    let mut used = 0;
    let mut keep = 0;
    for line in &lines {
        used += length(line) + 1;
        if used > room {
            break;
        }
        keep += 1;
    }
    if keep == 0 && room > 1 {
        let first = lines.first().map_or("", String::as_str);
        return vec![format!("{}…", start_of(first, room - 1))];
    }
    lines.truncate(keep);
    lines
}
