//! A YAML document as a tree whose every key and value knows its place.
//!
//! The tree keeps scalars as written and leaves their meaning to whoever asks, so that
//! `tag: 1.10` stays the text `1.10` for a text field and `replicas: 3` becomes a number for a
//! number field. What intent files do without is refused with a place: several documents in one
//! file, aliases, and tags. Files without aliases cannot blow up, and files without tags mean the
//! same to every reader.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Code, Position, Report};

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text as written, without its quotes.
    Scalar(String),
    List(Vec<Node>),
    /// In file order; a repeated key with the same value is kept once.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn shape(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The text of a scalar as written.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            Kind::Null | Kind::Scalar(_) | Kind::Map(_) => None,
        }
    }

    pub(crate) fn map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            Kind::Null | Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// Equal apart from places.
    fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Scalar(a), Kind::Scalar(b)) => a == b,
            (Kind::List(a), Kind::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Kind::Map(a), Kind::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|(a, b)| a.key == b.key && a.value.same(&b.value))
            }
            (Kind::Null | Kind::Scalar(_) | Kind::List(_) | Kind::Map(_), _) => false,
        }
    }
}

/// Parses the one document of a file; `None` when there is none or an error was reported.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Option<Node> {
    let mut tree = Tree::default();
    for next in Parser::new_from_str(text) {
        match next {
            Ok((event, span)) => {
                if !tree.take(&event, &span, report) {
                    return None;
                }
            }
            Err(error) => {
                report.error(
                    place(error.marker()),
                    Code::Syntax,
                    format!("this is not YAML: {}", error.info()),
                );
                return None;
            }
        }
    }
    tree.finish(report)
}

fn place(marker: &granit_parser::Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// A collection whose end has not come yet.
enum Open {
    List(Position, Vec<Node>),
    Map(Position, OpenMap),
}

/// A map in the making.
#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Where a key stands in `entries`.
    index: BTreeMap<String, usize>,
    /// The key whose value comes next.
    key: Option<(String, Position)>,
}

/// Builds the tree from events without recursion.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    documents: Vec<(Position, Option<Node>)>,
}

impl Tree {
    /// False when nothing sensible can follow.
    fn take(&mut self, event: &Event<'_>, span: &Span, report: &mut Report<'_>) -> bool {
        let at = place(&span.start);
        if let Some(tag) = event.tag() {
            report.error_with_hint(
                at,
                Code::Syntax,
                format!(
                    "the tag `{}` has no meaning in an intent file",
                    tag.original()
                ),
                "leave it out",
            );
            return false;
        }
        if event.is_alias() {
            report.error_with_hint(
                at,
                Code::Syntax,
                "aliases (`*name`) are not part of intent files",
                "write the value out",
            );
            return false;
        }
        if let Some((text, style)) = event.scalar() {
            let plain = style == ScalarStyle::Plain;
            return self.value(
                Node {
                    at,
                    kind: scalar(text, plain),
                },
                report,
            );
        }
        match event {
            Event::DocumentStart(..) => self.documents.push((at, None)),
            Event::SequenceStart(..) => self.open.push(Open::List(at, Vec::new())),
            Event::MappingStart(..) => self.open.push(Open::Map(at, OpenMap::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List(at, items)) => Node {
                        at,
                        kind: Kind::List(items),
                    },
                    Some(Open::Map(at, map)) => Node {
                        at,
                        kind: Kind::Map(map.entries),
                    },
                    None => return true,
                };
                return self.value(node, report);
            }
            // Stream marks and comments carry no data; scalars and aliases were handled above.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Comment(..)
            | Event::Anchor(..)
            | Event::Alias(_)
            | Event::UnresolvedAlias(_)
            | Event::Scalar(..)
            | _ => {}
        }
        true
    }

    fn value(&mut self, node: Node, report: &mut Report<'_>) -> bool {
        match self.open.last_mut() {
            None => {
                if let Some((_, content)) = self.documents.last_mut() {
                    *content = Some(node);
                }
            }
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, map)) => match map.key.take() {
                Some((name, key_at)) => map.add(name, key_at, node, report),
                None => match node.text() {
                    Some(text) => map.key = Some((text.to_owned(), node.at)),
                    None => {
                        report.error(
                            node.at,
                            Code::Syntax,
                            format!("a key is a word, not {}", node.shape()),
                        );
                        return false;
                    }
                },
            },
        }
        true
    }

    /// The only document that holds something.
    fn finish(self, report: &mut Report<'_>) -> Option<Node> {
        let mut full = self.documents.into_iter().filter_map(|(at, content)| {
            content
                .filter(|node| !node.is_null())
                .map(|node| (at, node))
        });
        let first = full.next();
        if let Some((at, _)) = full.next() {
            let count = 2 + full.count();
            report.error_with_hint(
                at,
                Code::Syntax,
                format!("this file holds {count} documents and the second starts here; one file is one intent"),
                "move each document into a file of its own, named after what it does, and list the others in `depends_on` of the one that needs them",
            );
            return None;
        }
        first.map(|(_, node)| node)
    }
}

impl OpenMap {
    fn add(&mut self, key: String, key_at: Position, value: Node, report: &mut Report<'_>) {
        match self
            .index
            .get(&key)
            .and_then(|index| self.entries.get(*index))
        {
            None => {
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push(Entry { key, key_at, value });
            }
            Some(before) if before.value.same(&value) => {}
            Some(before) => report.error_with_hint(
                key_at,
                Code::Duplicate,
                format!("`{key}` stands here again with another value"),
                format!(
                    "the first is in line {}; keep one of them",
                    before.key_at.line
                ),
            ),
        }
    }
}

fn scalar(text: &str, plain: bool) -> Kind {
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    Kind::Scalar(text.to_owned())
}

/// The text of the comment on the first line, which the seed uses as a description.
pub(crate) fn first_line_comment(text: &str) -> Option<&str> {
    let line = text.trim_start_matches('\u{feff}').lines().next()?;
    let comment = line.strip_prefix('#')?.trim_start_matches('#').trim();
    (!comment.is_empty()).then_some(comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let mut report = Report::new("x.yaml");
        let _ = parse(text, &mut report);
        crate::Diagnostics::new(report.into_found()).to_string()
    }

    #[test]
    fn a_repeated_key_must_agree_with_itself() {
        assert_eq!(errors("a: [1, {b: c}]\nb: 2\na: [1, {b: c}]\n"), "");
        insta::assert_snapshot!(errors("a: 1\nb: 2\na: 3\n"), @"x.yaml:3:1: `a` stands here again with another value; the first is in line 1; keep one of them");
    }

    #[test]
    fn what_intent_files_do_without_is_refused_with_its_place() {
        insta::assert_snapshot!(errors("a: &x 1\nb: *x\n"), @"x.yaml:2:4: aliases (`*name`) are not part of intent files; write the value out");
        insta::assert_snapshot!(errors("a: !!str 1\n"), @"x.yaml:1:10: the tag `!!str` has no meaning in an intent file; leave it out");
        insta::assert_snapshot!(errors("a: 1\n---\nb: 2\n---\nc: 3\n"), @"x.yaml:2:1: this file holds 3 documents and the second starts here; one file is one intent; move each document into a file of its own, named after what it does, and list the others in `depends_on` of the one that needs them");
        insta::assert_snapshot!(errors("a: [1\nb: 2\n"), @"x.yaml:2:2: this is not YAML: illegal placement of ':' indicator");
        insta::assert_snapshot!(errors("? [a]\n: 1\n"), @"x.yaml:1:3: a key is a word, not a list");
        insta::assert_snapshot!(errors("a: 1\n\tb: 2\n"), @"x.yaml:1:4: this is not YAML: while scanning a plain scalar, found a tab");
    }

    #[test]
    fn an_empty_document_beside_the_only_one_is_fine() {
        assert_eq!(errors("---\na: 1\n---\n"), "");
        assert_eq!(errors("\u{feff}a: 1\r\nb: 2\r\n"), "");
    }

    #[test]
    fn the_first_line_comment_is_found() {
        assert_eq!(first_line_comment("# Back up\na: 1"), Some("Back up"));
        assert_eq!(first_line_comment("a: 1 # no"), None);
        assert_eq!(first_line_comment("#\na: 1"), None);
    }
}
