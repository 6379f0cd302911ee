//! The log of a disk, and lies about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::crash::{Crash, Cuts};
use super::model::Model;

/// The number of a file or directory.
pub(super) type Node = u64;

/// The number that FUSE gives to the root.
pub(super) const ROOT: Node = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// One thing that was done.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Make {
        dir: Node,
        name: String,
        node: Node,
        kind: Kind,
        mode: u32,
        path: String,
    },
    Remove {
        dir: Node,
        name: String,
    },
    Rename {
        from: (Node, String),
        to: (Node, String),
        node: Node,
        path: String,
    },
    Write {
        node: Node,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Truncate {
        node: Node,
        size: u64,
    },
    Mode {
        node: Node,
        mode: u32,
    },
    Sync(Node),
    SyncFailed(Node),
}

/// What a program that syncs less would have done. The same recording under a lie is the failing
/// control of a test: if nothing is lost then, the test could not have noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// The WAL of this database is not synced by a commit, only before its pages are copied and
    /// where it begins anew: what SQLite does with `synchronous=NORMAL`.
    CommitsUnsynced {
        /// The path of the database file ends with this.
        database: String,
    },
    /// Files whose path contains this are never synced.
    FilesUnsynced(String),
    /// Directories whose path contains this are never synced; an empty text means all, the root
    /// included.
    DirectoriesUnsynced(String),
}

/// Everything that a disk has seen.
#[derive(Debug, Clone)]
pub struct Recording {
    log: Vec<Op>,
    lie: Option<Lie>,
}

impl Recording {
    pub(super) fn new(log: Vec<Op>) -> Self {
        Self { log, lie: None }
    }

    /// The same as if a program had synced less.
    #[must_use]
    pub fn under(&self, lie: Lie) -> Self {
        Self {
            log: self.log.clone(),
            lie: Some(lie),
        }
    }

    /// How many changes and syncs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// How many syncs there are: of files and of directories whose path contains the text.
    #[must_use]
    pub fn syncs(&self, path: &str) -> usize {
        let paths = self.paths();
        self.log
            .iter()
            .filter(|op| matches!(op, Op::Sync(node) if paths.get(node).is_some_and(|last| last.contains(path))))
            .count()
    }

    /// The texts written to a file, each with the position at which it was there.
    #[must_use]
    pub fn written(&self, path: &str) -> Vec<(usize, String)> {
        let paths = self.paths();
        self.log
            .iter()
            .enumerate()
            .filter_map(|(index, op)| {
                let Op::Write { node, bytes, .. } = op else {
                    return None;
                };
                let text = || String::from_utf8_lossy(bytes).into_owned();
                (*paths.get(node)? == path).then(|| (index + 1, text()))
            })
            .collect()
    }

    /// The last path of each file and directory.
    fn paths(&self) -> BTreeMap<Node, &str> {
        self.log
            .iter()
            .filter_map(|op| {
                let (Op::Make { node, path, .. } | Op::Rename { node, path, .. }) = op else {
                    return None;
                };
                Some((*node, path.as_str()))
            })
            .collect()
    }

    /// Loses power everywhere: at the end of each stretch between two syncs with nothing of what
    /// was not synced and with all of it, and `tries` times somewhere in the stretch with any part
    /// of it. The same seed gives the same crashes. Returns how many there were.
    pub fn crashes(&self, seed: u64, tries: u32, mut each: impl FnMut(&Crash<'_>)) -> usize {
        let mut cuts = Cuts {
            log: &self.log,
            model: Model::new(self.lie.clone()),
            seed,
            tries,
            count: 0,
        };
        let mut from = 0;
        for to in self.ends() {
            cuts.stretch(from..to, &mut each);
            from = to;
        }
        cuts.count
    }

    /// Where stretches end: before each sync, and at the end.
    fn ends(&self) -> Vec<usize> {
        let syncs = self
            .log
            .iter()
            .enumerate()
            .filter(|(_, op)| matches!(op, Op::Sync(_)))
            .map(|(index, _)| index);
        syncs.chain([self.log.len()]).collect()
    }
}
