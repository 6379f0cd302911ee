//! Making a reply fit into one message, and saying honestly what was left out.

use rave_domain::RunId;
use serde_json::{Value, json};

use super::{LONGEST_BLOCK, LONGEST_MESSAGE, Line, Look, MOST_BLOCKS, Piece, Span, actions};

/// An output that does not fit keeps at least this much of its end.
const LEAST_CODE: usize = 400;

/// Characters that the note about what is missing takes, with a run id of any length.
const NOTE: usize = 100;

/// Blocks that are kept for the note and the buttons.
const SPARE_BLOCKS: usize = 5;

/// The pieces, shortened so that all of them fit.
pub(super) fn fitted(pieces: Vec<Piece>, run: Option<&RunId>) -> Vec<Piece> {
    let pieces: Vec<Piece> = pieces
        .into_iter()
        .filter(|piece| !is_empty(piece))
        .collect();
    let prose: usize = pieces.iter().map(prose_length).sum();
    let outputs = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::Code(_)));
    let room = LONGEST_MESSAGE.saturating_sub(prose.min(LONGEST_MESSAGE));
    let share = room / outputs.count().max(1);
    let share = share.clamp(LEAST_CODE, LONGEST_BLOCK);
    let mut fitted = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Code(lines) => {
                let (note, lines) = end_of(lines, share, run);
                fitted.extend(note);
                fitted.push(Piece::Code(lines));
            }
            Piece::Lines(_) | Piece::Points(_) | Piece::Buttons(_) => fitted.push(piece),
        }
    }
    within(fitted, run)
}

/// Keeps pieces in order as long as they fit; the first that does not is cut, the rest is left
/// out, buttons excepted.
fn within(pieces: Vec<Piece>, run: Option<&RunId>) -> Vec<Piece> {
    let most_blocks = MOST_BLOCKS - SPARE_BLOCKS;
    let mut room = LONGEST_MESSAGE - NOTE;
    let mut blocks = 0;
    let mut kept = Vec::new();
    let mut cut = false;
    for piece in pieces {
        if let Piece::Buttons(_) = piece {
            kept.push(piece);
            continue;
        }
        if cut {
            continue;
        }
        let needs = blocks_of(&piece).len();
        let length = length(&piece);
        if length <= room && blocks + needs <= most_blocks {
            room -= length;
            blocks += needs;
            kept.push(piece);
            continue;
        }
        cut = true;
        if blocks < most_blocks {
            kept.extend(start_of(piece, room.min(LONGEST_BLOCK)));
        }
        kept.push(note("the rest does not fit here", "show", run));
    }
    kept
}

/// The last lines that `room` characters hold, and what to say about the others.
fn end_of(lines: Vec<String>, room: usize, run: Option<&RunId>) -> (Option<Piece>, Vec<String>) {
    let all = lines.len();
    if lines.iter().map(|line| chars(line) + 1).sum::<usize>() <= room + 1 {
        return (None, lines);
    }
    let mut used = 0;
    let mut kept = Vec::new();
    for line in lines.into_iter().rev() {
        let length = chars(&line) + 1;
        if used + length > room {
            if kept.is_empty() {
                let skip = (length + 1).saturating_sub(room);
                kept.push(format!("…{}", line.chars().skip(skip).collect::<String>()));
            }
            break;
        }
        used += length;
        kept.push(line);
    }
    kept.reverse();
    let missing = match all - kept.len() {
        0 => return (None, kept),
        1 => "1 line more".to_owned(),
        number => format!("{number} lines more"),
    };
    (Some(note(&missing, "logs", run)), kept)
}

/// The first lines that `room` characters hold.
fn start_of(piece: Piece, room: usize) -> Option<Piece> {
    let keep = |lines: Vec<Line>| {
        let mut used = 0;
        let mut kept: Vec<Line> = Vec::new();
        for line in lines {
            let length = line_length(&line);
            if used + length > room {
                break;
            }
            used += length;
            kept.push(line);
        }
        (!kept.is_empty()).then_some(kept)
    };
    match piece {
        Piece::Lines(lines) => keep(split(lines)).map(Piece::Lines),
        Piece::Points(lines) => keep(lines).map(Piece::Points),
        Piece::Code(_) | Piece::Buttons(_) => None,
    }
}

/// Lines none of which is longer than a block: a longer one goes on in the next.
fn split(lines: Vec<Line>) -> Vec<Line> {
    let most = LONGEST_BLOCK / 2;
    let mut out = Vec::new();
    for line in lines {
        if line_length(&line) <= most {
            out.push(line);
            continue;
        }
        let mut part: Line = Vec::new();
        let mut used = 0;
        for span in line {
            let mut text = String::new();
            for c in span.text.chars() {
                if used + 1 >= most {
                    part.push(Span::new(std::mem::take(&mut text), span.look));
                    out.push(std::mem::take(&mut part));
                    used = 0;
                }
                text.push(c);
                used += 1;
            }
            part.push(Span::new(text, span.look));
        }
        out.push(part);
    }
    out
}

fn note(what: &str, command: &str, run: Option<&RunId>) -> Piece {
    Piece::Lines(vec![match run {
        Some(run) => vec![
            Span::new(format!("… {what}: "), Look::Plain),
            Span::new(format!("/rave {command} {run}"), Look::Code),
        ],
        None => vec![Span::new(format!("… {what}"), Look::Plain)],
    }])
}

/// All pieces as blocks; there is always one.
pub(super) fn blocks(pieces: &[Piece]) -> Vec<Value> {
    let mut blocks: Vec<Value> = pieces.iter().flat_map(blocks_of).collect();
    if blocks.is_empty() {
        blocks.push(rich_text(&section(&[vec![Span::new("–", Look::Plain)]])));
    }
    blocks.truncate(MOST_BLOCKS);
    blocks
}

fn blocks_of(piece: &Piece) -> Vec<Value> {
    match piece {
        Piece::Lines(lines) => chunks(split(lines.clone()))
            .iter()
            .map(|lines| rich_text(&section(lines)))
            .collect(),
        Piece::Points(points) => chunks(split(points.clone()))
            .iter()
            .map(|points| {
                let items: Vec<Value> = points
                    .iter()
                    .map(|point| section(std::slice::from_ref(point)))
                    .collect();
                rich_text(&json!({"type": "rich_text_list", "style": "bullet", "elements": items}))
            })
            .collect(),
        Piece::Code(lines) => vec![rich_text(&json!({
            "type": "rich_text_preformatted",
            "elements": [{"type": "text", "text": lines.join("\n")}],
        }))],
        Piece::Buttons(buttons) => actions(buttons),
    }
}

fn rich_text(element: &Value) -> Value {
    json!({"type": "rich_text", "elements": [element]})
}

/// Lines as one section. Text elements must not be empty.
fn section(lines: &[Line]) -> Value {
    let mut elements: Vec<Value> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            elements.push(Span::new("\n", Look::Plain).element());
        }
        elements.extend(
            line.iter()
                .filter(|span| !span.text.is_empty())
                .map(Span::element),
        );
    }
    if elements.is_empty() {
        elements.push(Span::new(" ", Look::Plain).element());
    }
    json!({"type": "rich_text_section", "elements": elements})
}

/// Lines in groups of at most a block's length.
fn chunks(lines: Vec<Line>) -> Vec<Vec<Line>> {
    let mut groups: Vec<Vec<Line>> = Vec::new();
    let mut used = 0;
    for line in lines {
        let length = line_length(&line);
        match groups.last_mut() {
            Some(group) if used + length <= LONGEST_BLOCK => group.push(line),
            Some(_) | None => {
                groups.push(vec![line]);
                used = 0;
            }
        }
        used += length;
    }
    groups
}

fn is_empty(piece: &Piece) -> bool {
    match piece {
        Piece::Lines(lines) | Piece::Points(lines) => lines.is_empty(),
        Piece::Code(lines) => lines.iter().all(String::is_empty),
        Piece::Buttons(buttons) => buttons.is_empty(),
    }
}

fn prose_length(piece: &Piece) -> usize {
    match piece {
        Piece::Lines(_) | Piece::Points(_) => length(piece),
        Piece::Code(_) | Piece::Buttons(_) => 0,
    }
}

fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Lines(lines) | Piece::Points(lines) => lines.iter().map(line_length).sum(),
        Piece::Code(lines) => lines.iter().map(|line| chars(line) + 1).sum(),
        Piece::Buttons(_) => 0,
    }
}

/// Characters of a line with the break after it.
fn line_length(line: &Line) -> usize {
    line.iter().map(|span| chars(&span.text)).sum::<usize>() + 1
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
